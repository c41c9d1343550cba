"""Running moments, against those of all maps at once."""

import numpy as np
import pytest
import torch
from scipy.stats import kstatvar

from solarxai.engine.moments import Moments


def taken(maps, parts, **options):
    moments = Moments(**options)
    for part in torch.split(maps, parts):
        moments.add(part)
    return moments


@pytest.mark.parametrize("parts", [[50], [1] * 50, [3, 40, 7]])
def test_parts_do_not_matter(parts):
    maps = torch.randn(50, 1, 4, generator=torch.Generator().manual_seed(0)) ** 3 + 2
    moments = taken(maps, parts, fourth=True)
    assert moments.count == 50
    torch.testing.assert_close(moments.mean, maps.double().mean(dim=0))
    torch.testing.assert_close(moments.variance(), maps.double().var(dim=0))
    torch.testing.assert_close(moments.stderr(), (maps.double().var(dim=0) / 50).sqrt())
    wanted = [kstatvar(maps[:, 0, i].double().numpy(), 2) ** 0.5 for i in range(4)]
    np.testing.assert_allclose(moments.variance_stderr()[0], wanted, rtol=1e-6)


def test_the_second_moment_alone_is_that_of_all_four():
    maps = torch.arange(12.0).reshape(6, 1, 2) ** 2
    alone, all_four = taken(maps, [2, 4]), taken(maps, [2, 4], fourth=True)
    assert torch.equal(alone.variance(), all_four.variance())


def test_a_small_spread_about_a_large_mean_is_not_lost():
    maps = 1e6 + torch.randn(64, 1, 3, dtype=torch.float64)
    moments = taken(maps, [16] * 4)
    torch.testing.assert_close(moments.variance(), (maps - 1e6).var(dim=0), rtol=1e-8, atol=0)


def test_the_stderr_of_a_variance_is_that_of_repeated_draws():
    draws = torch.randn(2000, 60, generator=torch.Generator().manual_seed(1))
    moments = taken(draws.T.reshape(60, 1, 2000), [60], fourth=True)
    wanted = float(draws.double().var(dim=1).std())
    assert float(moments.variance_stderr().square().mean().sqrt()) == pytest.approx(wanted, rel=0.1)


def test_one_map_says_nothing_of_its_spread():
    with pytest.raises(ValueError, match=r"1 maps say nothing of their spread"):
        taken(torch.ones(1, 1, 2), [1]).variance()
    with pytest.raises(ValueError, match=r"3 maps say nothing of their spread"):
        taken(torch.ones(3, 1, 2), [3], fourth=True).variance_stderr()
