"""Operations are known by what they do, whoever does it, and those that are not are refused."""

import networks
import pytest
import rule_networks
import torch
from torch import nn

from solarxai.engine.operations import Kind, follow, is_rectifier
from solarxai.engine.preparation import prepare
from solarxai.errors import ExplainerRefusal


class Headed(nn.Module):
    """A convolution, an operation given, a pooled head."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.operation = operation
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.operation(self.conv(x)).mean((2, 3)))


def followed(operation):
    network = networks.trained_looking(Headed(operation))
    return follow(prepare(network, networks.images(1)), rule="the rule")


def kinds(operation) -> list[Kind]:
    found = list(followed(operation).kinds.values())
    return found[2:-3]


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (torch.relu, Kind.ACTIVATION),
        (lambda x: x.clamp(min=0), Kind.ACTIVATION),
        (lambda x: nn.functional.gelu(x), Kind.ACTIVATION),
        (lambda x: nn.functional.max_pool2d(x, 2), Kind.MAXIMUM),
        (lambda x: nn.functional.avg_pool2d(x, 2), Kind.AFFINE),
        (lambda x: 2 * x, Kind.AFFINE),
        (lambda x: x / 3, Kind.AFFINE),
        (lambda x: x + 1, Kind.AFFINE),
        (lambda x: 1 - x, Kind.AFFINE),
        (lambda x: 1 / x, Kind.PRODUCT),
        (lambda x: x * x, Kind.PRODUCT),
        (lambda x: x.softmax(1), Kind.PRODUCT),
        (lambda x: x.permute(0, 1, 3, 2), Kind.ROUTING),
    ],
)
def test_a_function_is_known_by_what_it_does(operation, kind):
    assert kinds(operation) == [kind]


def test_a_question_about_the_shape_does_not_depend_on_the_image():
    found = kinds(lambda x: x.reshape(x.shape[0], x.size(1), -1, 16))
    assert set(found) == {Kind.CONSTANT, Kind.ROUTING}
    assert found[-1] is Kind.ROUTING


@pytest.mark.parametrize("spelling", rule_networks.SPELLINGS)
def test_every_spelling_of_relu_is_a_rectifier(spelling):
    network = rule_networks.spelled(spelling)
    found = follow(prepare(network, networks.images(1)), rule="the rule")
    rectifiers = [is_rectifier(found, node) for node in found.of(Kind.ACTIVATION)]
    assert rectifiers == [True, True]


@pytest.mark.parametrize(
    "operation", [nn.ReLU6(), lambda x: x.clamp(0, 1), lambda x: x.clamp(min=0.1), torch.tanh]
)
def test_other_activations_are_not(operation):
    found = followed(operation)
    assert [is_rectifier(found, node) for node in found.of(Kind.ACTIVATION)] == [False]


@pytest.mark.parametrize(
    ("operation", "name"),
    [(lambda x: torch.cumsum(x, 2), "cumsum"), (lambda x: torch.sort(x, 2)[0], "sort")],
)
def test_an_operation_that_is_not_known_is_refused_by_its_name(operation, name):
    with pytest.raises(ExplainerRefusal, match=rf"the rule has no rule for {name} \(at {name}"):
        followed(operation)


def test_a_maximum_that_says_where_is_refused_and_not_taken_for_a_constant():
    with pytest.raises(ExplainerRefusal, match=r"no rule for MaxPool2d"):
        followed(Pooled())


def test_a_network_that_cannot_be_traced_is_refused_with_the_reason():
    network = networks.trained_looking(Headed(lambda x: x if x.sum() > 0 else -x))
    with pytest.raises(ExplainerRefusal, match=r"cannot be followed \(.*TraceError"):
        follow(prepare(network, networks.images(1)), rule="the rule")


class Pooled(nn.Module):
    """A maximum that gives two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2, return_indices=True)

    def forward(self, x):
        return self.pool(x)[0]


def overwritten(x):
    y = nn.functional.relu(x.view(x.shape), inplace=True)
    return x + y


def test_a_tensor_overwritten_and_read_again_is_refused():
    with pytest.raises(ExplainerRefusal, match=r"relu \(at relu\) changes a tensor in place"):
        followed(overwritten)
