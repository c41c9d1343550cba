"""A map that follows the structure is told from one that stays in the patch."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.errors import ValidationError
from solarxai.schema import QUIET
from solarxai.validation.causal.positional import follow, move_structures, positional_checks
from solarxai.validation.report import Limits, Resampling

FEW = Resampling(n=50, seed=0)


def dark(images):
    return 1 - images


def staying(images):
    maps = np.zeros_like(images)
    maps[:, :4, :4] = 1
    return maps


def half(images):
    """Return maps of the darkness and of the corner, whose squares sum to the same."""
    parts = [np.where(images < 0.9, 1.0, 0.0), staying(images)]
    return sum(part / np.sqrt((part**2).sum(axis=(1, 2), keepdims=True)) for part in parts)


@pytest.fixture(scope="module")
def moves(spots):
    return move_structures(spots, scale_mm=0.5, shift_px=4)


def checks_of(spots, moves, explain):
    found = follow(spots, moves, explain)
    return positional_checks(found, spots, method="tests", limits=Limits(), resampling=FEW)


def test_the_structure_is_elsewhere_and_its_place_is_quiet(spots, moves):
    emptied = 0
    for image, row, (dy, dx) in zip(moves.images, moves.rows, moves.steps, strict=True):
        central = spots["central"].values[row]
        moved = np.roll(central, (dy, dx), axis=(0, 1))
        np.testing.assert_allclose(image[moved], spots["image"].values[row][central], atol=1e-5)
        left = central & ~np.roll(central, (dy, dx), axis=(0, 1))
        left &= np.hypot(*(np.indices((32, 32)) - 15.5 - np.array([dy, dx])[:, None, None])) > 10
        if left.any():
            emptied += 1
            assert abs(image[left].mean() - 1) < 0.05
    assert emptied >= 40


def test_a_mark_in_the_corner_stays(spots, moves):
    first = spots["image"].values[moves.rows, 0, 0]
    np.testing.assert_array_equal(moves.images[:, 0, 0], first)


def test_a_map_of_the_darkness_follows_the_structure(spots, moves):
    ahead, stays = checks_of(spots, moves, dark)
    assert ahead.verdict == "holds"
    assert ahead.value > 0.2
    assert stays.value < 0.1
    assert stays.verdict == "informs"


def test_a_map_of_the_corner_stays_and_fails(spots, moves):
    ahead, stays = checks_of(spots, moves, staying)
    assert ahead.verdict == "fails"
    assert ahead.value < -0.4
    np.testing.assert_allclose(follow(spots, moves, staying).staying, 1)
    assert stays.value == pytest.approx(1, abs=0.02)


def test_a_map_of_both_is_told_by_the_share_that_stays(spots, moves):
    found = follow(spots, moves, half)
    assert np.nanmedian(found.stays) == pytest.approx(0.5, abs=0.15)


def test_signs_do_not_matter(spots, moves):
    plain, turned = (follow(spots, moves, f) for f in (dark, lambda images: -dark(images)))
    np.testing.assert_allclose(plain.along, turned.along)


def test_an_even_map_correlates_with_nothing(spots, moves):
    found = follow(spots, moves, np.ones_like)
    assert np.abs(found.staying).max() < 1e-6


def test_a_map_of_nothing_leaves_the_share_undefined(spots, moves):
    ahead, stays = checks_of(spots, moves, np.zeros_like)
    assert ahead.value == 0
    assert np.isnan(stays.value)


def test_structures_without_room_are_counted(spots):
    wide = spots.copy()
    wide["central"] = spots["central"] | True
    moves = move_structures(wide, scale_mm=0.5, shift_px=4)
    assert {row["reason"] for row in moves.left_out} == {"no room to move the structure"}
    assert sum(row["count"] for row in moves.left_out) == 40
    ahead, _ = checks_of(wide, moves, dark)
    assert ahead.verdict == "informs"
    assert ahead.structures == 0


def test_a_patch_without_a_structure_is_counted(spots):
    empty = spots.isel(sample=slice(0, 5)).copy()
    empty["central"] = empty["central"] & False
    empty["segmentation"] = empty["segmentation"] * 0 + QUIET
    moves = move_structures(empty, scale_mm=0.5, shift_px=4)
    assert [row["reason"] for row in moves.left_out] == ["no structure at the centre"] * 2


def test_a_structure_is_not_moved_onto_another(spots):
    crowded = spots.isel(sample=[1]).copy()
    planes = crowded["segmentation"].values.copy()
    planes[0, 22:, :] = 2
    crowded["segmentation"] = crowded["segmentation"].copy(data=planes)
    moves = move_structures(crowded, scale_mm=0.5, shift_px=6, moves=8)
    assert len(moves.steps) > 0
    assert (moves.steps[:, 0] <= 0).all()


@pytest.mark.parametrize("wrong", [{"shift_px": 0}, {"shift_px": 16}, {"moves": 9}])
def test_moves_out_of_range_are_refused(spots, wrong):
    with pytest.raises(ValidationError, match="is out of range"):
        move_structures(spots, scale_mm=0.5, **wrong)
