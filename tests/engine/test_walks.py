"""Walks to one image: what is told when."""

import networks
import numpy as np
import pytest
import torch

from solarxai.engine.gradients import Stream
from solarxai.engine.paths import Paths, paths_from
from solarxai.engine.preparation import prepare
from solarxai.engine.shared_passes import answered_together
from solarxai.engine.walks import Walk


def walk(samples: int, *, baselines: int = 6, batch_size: int = 32) -> Walk:
    x = networks.images(1)
    stream = Stream(prepare(networks.residual(), x), batch_size=batch_size)
    weight = torch.tensor([-1.0, 1.0])
    paths = Paths(stream, networks.images(baselines, seed=2), weight, importance="off")
    found = Walk(paths, x[0], np.random.default_rng(0))
    if samples:
        list(answered_together([found.go(samples)], paths.scored, most=batch_size))
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


def test_paths_from_the_same_baselines_are_kept_for_the_next_call():
    x = networks.images(1)
    prepared = prepare(networks.residual(), x)

    def gradients(seed: int, weight: list[float], *, size: int = 32, control: bool = True) -> int:
        stream = Stream(prepared, batch_size=size)
        baselines = networks.images(6, seed=seed)
        before = stream.backward
        paths = paths_from(
            stream, baselines, torch.tensor(weight), control=control, importance="off"
        )
        assert paths.stream is stream
        assert sorted(paths.order) == list(range(6))
        return stream.backward - before

    margin, first = [-1.0, 1.0], [1.0, 0.0]
    assert gradients(2, margin) == 6
    assert gradients(2, margin) == 0
    assert gradients(3, margin) == 6
    assert gradients(2, first) == 6
    assert gradients(2, margin, size=2) == 6
    assert gradients(2, first) == 0
    assert gradients(2, first, control=False) == 0
    assert gradients(2, margin) == 6, "only so many are kept"
