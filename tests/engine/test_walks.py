"""Walks to one image: what is told when."""

import networks
import numpy as np
import pytest
import torch

from solarxai.engine.baselines import tour
from solarxai.engine.gradients import Stream
from solarxai.engine.paths import Paths
from solarxai.engine.preparation import prepare
from solarxai.engine.walks import Walk


def walk(samples: int, *, baselines: int = 6, batch_size: int = 32) -> Walk:
    x = networks.images(1)
    stream = Stream(prepare(networks.residual(), x), batch_size=batch_size)
    weight = torch.tensor([-1.0, 1.0])
    paths = Paths(stream, networks.images(baselines, seed=2), weight, importance="off")
    found = Walk(paths, x[0], np.random.default_rng(0))
    if samples:
        found.go(samples)
    return found


def test_no_values_are_told_before_a_gradient_was_taken():
    with pytest.raises(ValueError, match=r"no gradient was taken"):
        walk(0).values()


@pytest.mark.parametrize("samples", [2, 5, 6, 7, 11, 12, 13])
@pytest.mark.parametrize("baselines", [1, 2, 3, 6])
def test_any_number_of_samples_has_a_finite_error(samples, baselines):
    found = walk(samples, baselines=baselines).stderr()
    assert torch.isfinite(found).all()
    assert found.max() > 0


@pytest.mark.parametrize("batch_size", [1, 2, 5, 7])
def test_the_size_of_passes_does_not_matter(batch_size):
    few, many = walk(20, batch_size=batch_size), walk(20)
    torch.testing.assert_close(few.values(), many.values(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(few.stderr(), many.stderr(), rtol=1e-3, atol=1e-6)


def test_the_tour_of_the_same_baselines_is_kept_for_the_next_call(monkeypatch):
    x, made = networks.images(1), []
    prepared = prepare(networks.residual(), x)

    def counted(*given):
        made.append(given)
        return tour(*given)

    monkeypatch.setattr("solarxai.engine.paths.tour", counted)
    sets = [networks.images(6, seed=seed) for seed in (2, 2, 3)]
    weights = [torch.tensor([-1.0, 1.0])] * 3 + [torch.tensor([1.0, 0.0])]
    for baselines, weight in zip([*sets, sets[-1]], weights, strict=True):
        stream = Stream(prepared, batch_size=32)
        order = Paths(stream, baselines, weight, importance="off").order
        assert sorted(order) == list(range(6))
    assert len(made) == 3
