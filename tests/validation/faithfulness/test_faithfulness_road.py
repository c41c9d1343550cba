from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from solarxai.validation.faithfulness.road import impute


def solved_directly(image, hole):
    """Return the image with the hole filled by a sparse direct solver, written from the paper."""
    ny, nx = image.shape
    number = np.full(image.shape, -1)
    number[hole] = np.arange(hole.sum())
    system = scipy.sparse.lil_matrix((hole.sum(), hole.sum()))
    known = np.zeros(hole.sum())
    for y, x in np.argwhere(hole):
        row = number[y, x]
        for dy, dx in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]:
            v, u = y + dy, x + dx
            if not (0 <= v < ny and 0 <= u < nx) or np.isnan(image[v, u]):
                continue
            weight = 1 / 12 if dy and dx else 1 / 6
            system[row, row] += weight
            if hole[v, u]:
                system[row, number[v, u]] -= weight
            else:
                known[row] += weight * image[v, u]
    filled = image.copy()
    filled[hole] = scipy.sparse.linalg.spsolve(system.tocsc(), known)
    return filled


@pytest.fixture
def image():
    y, x = np.mgrid[:32, :32]
    smooth = 1 - 0.8 * np.exp(-((y - 14.0) ** 2 + (x - 18.0) ** 2) / 40)
    return (smooth + 0.03 * np.random.default_rng(0).normal(size=(32, 32))).astype(np.float32)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_holes_are_filled_as_a_direct_solver_fills_them(image, share):
    blocks = np.random.default_rng(1).random((8, 8)) < share
    hole = np.kron(blocks, np.ones((4, 4), dtype=bool))
    hole[3, 5] = True
    found = impute(image, hole[None])[0]
    np.testing.assert_allclose(found, solved_directly(image, hole), atol=2e-3)
    np.testing.assert_array_equal(found[~hole], image[~hole])


def test_points_that_do_not_exist_are_no_neighbours(image):
    image[10:12] = np.nan
    hole = np.zeros((32, 32), dtype=bool)
    hole[4:20, 6:20] = True
    found = impute(image, hole[None])[0]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(image))
    np.testing.assert_allclose(found, solved_directly(image, hole & ~np.isnan(image)), atol=2e-3)


def test_holes_of_a_spectrum_are_bridged_by_straight_lines():
    spectrum = np.array([9, 0, 2, 9, 9, 8, 9, 9], dtype=np.float32)
    hole = np.isin(np.arange(8), [0, 3, 4, 6, 7])
    found = impute(spectrum, hole[None])[0]
    np.testing.assert_allclose(found, [0, 0, 2, 4, 6, 8, 8, 8])


@pytest.mark.parametrize("space", [(16,), (16, 12)])
def test_where_nothing_is_left_there_is_the_mean(space):
    image = np.random.default_rng(0).random(space).astype(np.float32)
    found = impute(image, np.ones((1, *space), dtype=bool))[0]
    np.testing.assert_allclose(found, image.mean(), atol=1e-6)


def test_noise_falls_on_what_was_imputed_alone(image):
    hole = np.zeros((32, 32), dtype=bool)
    hole[5:20, 8:22] = True
    noise = np.random.default_rng(2).normal(size=image.shape)
    plain, noisy = impute(image, hole[None])[0], impute(image, hole[None], noise=noise)[0]
    np.testing.assert_allclose((noisy - plain)[hole], noise[hole], atol=1e-5)
    np.testing.assert_array_equal(noisy[~hole], image[~hole])


def test_sets_are_imputed_each_by_itself(image):
    rng = np.random.default_rng(4)
    sets = np.kron(rng.random((70, 8, 8)) < rng.random((70, 1, 1)), np.ones((4, 4), dtype=bool))
    together = impute(image, sets.astype(bool))
    apart = np.concatenate([impute(image, one[None].astype(bool)) for one in sets])
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_the_outline_of_a_hole_shows_less_than_under_a_constant(image):
    hole = np.zeros((32, 32), dtype=bool)
    hole[8:20, 12:24] = True
    edge = np.s_[7:9, 12:24]
    filled = impute(image, hole[None])[0]
    constant = np.where(hole, image.mean(), image)
    steps = [np.abs(np.diff(made[edge], axis=0)).mean() for made in (filled, constant)]
    assert steps[0] < 0.5 * steps[1]
