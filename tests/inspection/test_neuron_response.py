"""Responses of a unit: its own activations, at the pixels they look at."""

import networks
import pytest
import torch
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.inspection.neuron_response import neuron_response, strongest_images


class Dots(nn.Module):
    """A layer of stride 4 whose second unit sees single bright pixels."""

    def __init__(self, *, axes=2):
        super().__init__()
        conv = nn.Conv2d if axes == 2 else nn.Conv1d
        self.layer = conv(1, 2, 5, 4, 2)
        self.layer.weight.data.zero_()
        self.layer.weight.data[(1, 0, *(2,) * axes)] = 1.0
        self.layer.bias.data.zero_()
        self.head = nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.layer(x).flatten(2).mean(dim=2))


def dotted(n=1, *, axes=2, at=(8, 4), height=3.0):
    x = torch.zeros(n, 1, *(16,) * axes)
    x[(slice(None), 0, *at[:axes])] = height
    return x


@pytest.mark.parametrize("axes", [1, 2])
def test_a_response_stands_on_the_pixel_that_the_cell_looks_at(axes):
    found = neuron_response(Dots(axes=axes).eval(), dotted(axes=axes), layer="layer", unit=1)
    assert found.places.tolist() == [[8.0, 4.0][:axes]]
    assert found.strongest.tolist() == [3.0]
    assert float(found.values[(0, 0, 8, 4)[: 2 + axes]]) == 3.0
    assert found.values.shape == (1, 1, *(16,) * axes)
    assert float(found.features.values.sum()) == 3.0


def test_the_cells_are_the_activations_of_the_layer_itself():
    model, x = networks.residual(), networks.images(5)
    seen = []
    hook = model.first.register_forward_hook(lambda m, args, out: seen.append(out))
    with torch.no_grad():
        model(x)
    hook.remove()
    for unit in (0, 7):
        found = neuron_response(model, x, layer="first", unit=unit, batch_size=2)
        torch.testing.assert_close(found.features.values[:, 0], seen[0][:, unit])
    assert found.passes == (5 + 2, 2)


def test_the_strongest_images_are_those_of_highest_activation_whatever_the_batches():
    model, x = networks.residual(), networks.images(11)
    peaks = neuron_response(model, x, layer="first", unit=3)
    order = peaks.strongest.sort(descending=True).indices[:4]
    for batches in (x, iter(x.split(3)), [x[:1], x[1:]]):
        found = strongest_images(model, batches, layer="first", unit=3, count=4, batch_size=2)
        assert torch.equal(found.images, order)
        torch.testing.assert_close(found.activations, peaks.strongest[order])
        torch.testing.assert_close(found.places, peaks.places[order])
        assert found.passes == (11 + 2, 2)


def test_equal_activations_stand_in_order_and_all_are_given_where_there_are_few():
    found = strongest_images(Dots().eval(), dotted(3), layer="layer", unit=1)
    assert found.images.tolist() == [0, 1, 2]


def test_units_layers_and_images_that_are_not_there_are_refused():
    model, x = networks.residual(), networks.images(1)
    with pytest.raises(ContractError, match=r"no unit 8.*0 to 7"):
        neuron_response(model, x, layer="first", unit=8)
    with pytest.raises(ExplainerRefusal, match=r"no layer 'frist'.*Did you mean 'first'"):
        neuron_response(model, x, layer="frist", unit=0)
    with pytest.raises(ExplainerRefusal, match="cannot be located"):
        neuron_response(model, x, layer="head", unit=0)
    with pytest.raises(ContractError, match="0 images were asked for"):
        strongest_images(model, x, layer="first", unit=0, count=0)
    with pytest.raises(ContractError, match="there are no images"):
        strongest_images(model, [], layer="first", unit=0)
