"""A network that overwrites answers as before, and overwrites nothing that is still read."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from solarxai.engine import overwriting as module
from solarxai.engine.overwriting import overwriting
from solarxai.engine.tracing import trace


class Kept(nn.Module):
    """Every value that must not be overwritten, and some that may."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.narrow = nn.Linear(4, 1)
        self.relu, self.identity = nn.ReLU(), nn.Identity()

    def forward(self, x):
        given = self.relu(x) + torch.relu(x)
        twice = self.first(x)
        both = functional.relu(twice) + twice
        alias = self.second(x)
        same = self.identity(alias)
        sums = self.relu(same) + same
        wide = self.narrow(x) + self.first(both)
        return given + both + sums + torch.add(wide, x, alpha=2) + torch.add(self.second(x), wide)


def network() -> nn.Module:
    torch.manual_seed(0)
    return Kept().eval()


def test_answers_and_gradients_are_the_same_to_the_bit_and_the_image_is_kept():
    plain = network()
    made = overwriting(trace(plain).graph)
    x = torch.randn(5, 4)
    kept = x.clone()
    with torch.no_grad():
        assert torch.equal(made(x), plain(x))
        assert torch.equal(made(x), plain(x))
    assert torch.equal(x, kept)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    back = [
        torch.autograd.grad(one(leaf).square().sum(), leaf)[0]
        for one, leaf in zip((made, plain), leaves, strict=True)
    ]
    assert torch.equal(*back)


@pytest.mark.parametrize("gradient", [False, True])
def test_it_writes_where_it_may_and_no_gradient_is_wanted(gradient):
    residual = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    made = overwriting(trace(residual.eval().requires_grad_(False)).graph)
    seen = []
    made.get_submodule("0").register_forward_hook(lambda m, i, o: seen.append(o))
    made.get_submodule("2").register_forward_hook(lambda m, i, o: seen.append(i[0]))
    with torch.set_grad_enabled(gradient):
        made(torch.randn(1, 1, 4, 4).requires_grad_(gradient))
    assert (seen[0].data_ptr() == seen[1].data_ptr()) is not gradient


def test_a_sum_is_written_into_whichever_of_the_two_is_free():
    class Shortcut(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            kept = self.first(x)
            return (kept + self.second(kept)).relu() + kept

    made = overwriting(trace(Shortcut()).graph)
    changed = [n for n in made.graph.nodes if n.target is module._added]
    assert [str(n.args[0]) for n in changed] == ["second"]


def test_sums_of_other_shapes_or_numbers_make_a_new_one():
    row, column = torch.ones(1, 4), torch.ones(3, 1)
    assert module._added(row, column).shape == (3, 4)
    assert module._added(row, row.double()).dtype == torch.float64
    assert torch.equal(row, torch.ones(1, 4))
