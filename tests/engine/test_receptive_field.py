"""Centres of receptive fields: by arithmetic, and by where the gradient of a cell lies."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from solarxai.engine.receptive_field import Grid, grids
from solarxai.engine.tracing import ShapeRecorder, Traced, trace
from solarxai.errors import ExplainerRefusal


class Calls(nn.Module):
    """A network that is one function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def traced(network: nn.Module, x: torch.Tensor) -> Traced:
    found = trace(network.eval())
    recorder = ShapeRecorder(found.graph)
    recorder.run(x)
    return Traced(graph=found.graph, layers=found.layers, shapes=recorder.shapes)


def located(network: nn.Module, *, axes: int = 1, size: int = 64) -> tuple[Grid, ...]:
    found = traced(network, torch.zeros(1, 1, *(size,) * axes))
    output = list(found.graph.graph.nodes)[-1]
    return grids(found, output.args[0])


def centre_of_gradient(network: nn.Module, cell: int, *, size: int) -> float:
    """Return the centroid of |d cell / d input| for a network of positive weights."""
    x = torch.ones(1, 1, size, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[0, :, cell].sum(), x)
    weight = gradient[0, 0].abs()
    return float((weight * torch.arange(size)).sum() / weight.sum())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("layer", "start", "stride"),
    [
        (nn.Conv1d(1, 1, 3, 1, 1), 0, 1),
        (nn.Conv1d(1, 1, 3, 2, 1), 0, 2),
        (nn.Conv1d(1, 1, 3, 2), 1, 2),
        (nn.Conv1d(1, 1, 4, 4), 1.5, 4),
        (nn.Conv1d(1, 1, 5, 1, dilation=3), 6, 1),
        (nn.Conv1d(1, 1, 4, padding="same"), 0.5, 1),
        (nn.Conv1d(1, 1, 4, padding="valid"), 1.5, 1),
        (nn.MaxPool1d(2), 0.5, 2),
        (nn.AvgPool1d(3, 3, 1), 0, 3),
        (nn.AdaptiveAvgPool1d(16), 1.5, 4),
        (nn.ConstantPad1d((3, 1), 0.0), -3, 1),
        (nn.ConvTranspose1d(1, 1, 2, 2), -0.25, 0.5),
        (nn.Upsample(scale_factor=2), -0.25, 0.5),
        (nn.ReLU(), 0, 1),
    ],
)
def test_one_layer_moves_the_grid_by_arithmetic(layer, start, stride):
    assert located(nn.Sequential(layer)) == (Grid(start=start, stride=stride),)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize(
    ("function", "start", "stride"),
    [
        (lambda x: F.max_pool1d(x, 2), 0.5, 2),
        (lambda x: F.avg_pool1d(x, kernel_size=4, stride=2, padding=1), 0.5, 2),
        (lambda x: F.pad(x, (2, 2)), -2, 1),
        (lambda x: F.interpolate(x, scale_factor=2), -0.25, 0.5),
        (lambda x: F.adaptive_avg_pool1d(x, 32), 0.5, 2),
        (lambda x: torch.relu(x) + 2 * x, 0, 1),
        (lambda x: F.conv1d(x, x.new_ones(1, 1, 4), padding="same"), 0.5, 1),
    ],
)
def test_functions_are_known_like_modules(function, start, stride):
    assert located(Calls(function)) == (Grid(start=start, stride=stride),)


def test_a_functional_convolution_is_located_by_its_weight():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1, 1, 5, 3))

        def forward(self, x):
            return F.conv2d(x, self.weight, None, (2, 1))

    assert located(Functional(), axes=2) == (Grid(start=2, stride=2), Grid(start=1))


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_centres_are_where_the_gradient_of_a_cell_lies(padded, dilation, steps):
    layers = [
        nn.Conv1d(1, 1, 3, 2, dilation if padded else 0, dilation=dilation, bias=False)
        for _ in range(steps)
    ]
    network = nn.Sequential(*layers, nn.AvgPool1d(2, 1))
    for layer in layers:
        nn.init.ones_(layer.weight)
    size = 512
    (grid,) = located(network, size=size)
    assert grid.stride == 2**steps
    cell = (size // 2) // 2**steps
    wanted = centre_of_gradient(network, cell, size=size)
    assert float(grid.centres(cell + 1)[-1]) == pytest.approx(wanted, abs=1e-3)


def test_the_published_iris_network_has_centres_at_23_plus_9_i():
    network = nn.Sequential(nn.Conv1d(1, 2, 20, 3), nn.ReLU(), nn.Conv1d(2, 4, 10, 3), nn.ReLU())
    assert located(network, size=240) == (Grid(start=23, stride=9),)


def test_branches_of_one_stride_meet_at_the_mean_of_their_centres():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv1d(1, 1, 3, 2, 1), nn.AvgPool1d(2)

        def forward(self, x):
            return self.conv(x) + self.pool(x)

    assert located(Joined()) == (Grid(start=0.25, stride=2),)


def test_branches_of_different_strides_are_refused():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.same = nn.Conv1d(1, 1, 34, 1), nn.Conv1d(1, 1, 2, 2, 0)

        def forward(self, x):
            return self.conv(x)[:, :, :31] + self.same(x)[:, :, :31]

    with pytest.raises(ExplainerRefusal, match=r"not known how getitem.*Name another layer"):
        located(Joined())

    class Strides(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.step = nn.Conv1d(1, 1, 33, 1), nn.Conv1d(1, 1, 2, 2)

        def forward(self, x):
            return self.conv(x) + self.step(x)

    with pytest.raises(ExplainerRefusal, match=r"joins branches of strides \[1.0, 2.0\]"):
        located(Strides())


def test_a_gate_of_one_cell_moves_nothing():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 1, 3, 2)

        def forward(self, x):
            x = self.conv(x)
            return x * torch.sigmoid(x.mean(dim=2, keepdim=True))

    assert located(Gated()) == (Grid(start=1, stride=2),)


@pytest.mark.parametrize(
    "layer",
    [nn.Upsample(scale_factor=2, mode="linear", align_corners=True), nn.GLU()],
)
def test_what_moves_pixels_in_an_unknown_way_is_refused(layer):
    with pytest.raises(ExplainerRefusal, match=r"cannot be located"):
        located(nn.Sequential(layer))


def test_a_flip_is_refused():
    with pytest.raises(ExplainerRefusal, match=r"not known how flip"):
        located(Calls(lambda x: torch.flip(x, (2,))))


def test_a_vector_is_not_a_feature_map():
    with pytest.raises(ExplainerRefusal, match=r"is not a feature map"):
        located(nn.Sequential(nn.Conv1d(1, 1, 3), nn.AdaptiveAvgPool1d(1)))
