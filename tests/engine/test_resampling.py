"""Cells come back to the pixels they looked at."""

import numpy as np
import pytest
import torch

from solarxai.engine.receptive_field import Grid
from solarxai.engine.resampling import resample


def one_cell(grid: Grid, cells: int, lit: int, pixels: int) -> torch.Tensor:
    values = torch.zeros(1, 1, cells)
    values[0, 0, lit] = 2.0
    return resample(values, (grid.centres(cells),), (pixels,))[0, 0]


def test_a_cell_keeps_its_amplitude_at_its_centre():
    map_ = one_cell(Grid(start=3, stride=4), 8, 2, 40)
    assert float(map_[11]) == 2.0
    assert float(map_.max()) == 2.0


def test_between_two_centres_the_map_is_linear():
    values = torch.tensor([[[0.0, 4.0]]])
    map_ = resample(values, (torch.tensor([1.0, 5.0]),), (7,))
    torch.testing.assert_close(map_[0, 0], torch.tensor([0.0, 0, 1, 2, 3, 4, 4]))


@pytest.mark.parametrize("start", [0.0, 3.5, 7.0])
def test_a_constant_map_stays_constant_where_no_cell_is_missing(start):
    values = torch.ones(1, 1, 8)
    map_ = resample(values, (Grid(start=start, stride=8).centres(8),), (64,))
    torch.testing.assert_close(map_, torch.ones(1, 1, 64))


def test_beyond_a_network_without_padding_the_map_falls_to_zero():
    grid = Grid(start=23, stride=9)
    map_ = one_cell(grid, 22, 21, 240)
    centre = 23 + 9 * 21
    assert float(map_[centre]) == 2.0
    assert float(map_[centre + 9 :].abs().max()) == 0.0
    pixels = torch.arange(240)
    assert float((map_ * pixels).sum() / map_.sum()) == pytest.approx(centre, abs=1e-3)


def test_axes_are_resampled_each_by_its_own_centres():
    values = torch.zeros(1, 1, 4, 8)
    values[0, 0, 1, 3] = 1.0
    centres = (Grid(stride=8).centres(4), Grid(start=1.5, stride=4).centres(8))
    map_ = resample(values, centres, (32, 32))[0, 0]
    assert float(map_[8, 13]) == pytest.approx(0.875)
    assert float(map_[8, 14]) == pytest.approx(0.875)
    assert map_.shape == (32, 32)


def test_a_single_cell_is_held_everywhere():
    map_ = resample(torch.full((1, 1, 1), 3.0), (torch.tensor([5.0]),), (10,))
    assert (map_ == 3).all()


def test_a_map_is_the_same_to_the_last_bit_beside_others():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(9, 1, 7, 5, generator=generator)
    centres = (Grid(start=2, stride=4).centres(7), Grid(start=3.5, stride=6).centres(5))
    together = resample(values, centres, (31, 33))
    for image in range(9):
        assert torch.equal(
            resample(values[image : image + 1], centres, (31, 33))[0], together[image]
        )


@pytest.mark.parametrize("start", [0.0, 1.5, 9.0])
def test_a_map_is_linear_interpolation_within_its_outermost_centres(start):
    grid = Grid(start=start, stride=3)
    values = torch.randn(1, 2, 6, generator=torch.Generator().manual_seed(1))
    found = resample(values, (grid.centres(6),), (40,))
    for channel in range(2):
        pixels = np.arange(np.ceil(start), start + 15)
        wanted = np.interp(pixels, grid.centres(6).numpy(), values[0, channel].numpy())
        np.testing.assert_allclose(found[0, channel, pixels.astype(int)], wanted, atol=1e-6)
