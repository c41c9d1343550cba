"""Cuts: exact on images small enough to try all masks, and right on planted discs."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from solarxai.errors import ContractError
from solarxai.inspection import saliency_cut as module
from solarxai.inspection.saliency_cut import saliency_cut


def planted(size=64, *, centre=(36, 25), radius=11, height=-0.4, noise=0.08, seed=0):
    """Return an image with a disc, a saliency map that touches parts of it, and the disc."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    image = 1 + height * disc + noise * rng.standard_normal((size, size))
    edge = disc & ~ndimage.binary_erosion(disc, iterations=2)
    saliency = ndimage.gaussian_filter(edge * rng.random((size, size)), 1.5)
    return image, saliency + 0.02 * rng.random((size, size)), disc


def overlap(found, wanted):
    return (found & wanted).sum() / (found | wanted).sum()


@pytest.mark.parametrize("height", [-0.4, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_disc_is_cut_out_whole_from_saliency_on_its_edge(height, seed):
    image, saliency, disc = planted(height=height, seed=seed)
    found = saliency_cut(image, saliency)
    assert overlap(found.mask, disc) > 0.95
    (top, bottom), (left, right) = found.box
    np.testing.assert_allclose([top, bottom, left, right], [25, 48, 14, 37], atol=2)
    assert not (found.mask & ~found.cut).any()


def test_thresholding_the_same_saliency_finds_less():
    image, saliency, disc = planted()
    threshold = saliency >= np.quantile(saliency, 1 - disc.mean())
    assert overlap(threshold, disc) < 0.7 < overlap(saliency_cut(image, saliency).mask, disc)


def test_a_line_of_a_spectrum_is_cut_out():
    rng = np.random.default_rng(0)
    wavelength = np.arange(240)
    line = np.abs(wavelength - 100) <= 12
    spectrum = 1 - 0.6 * line + 0.05 * rng.standard_normal(240)
    saliency = np.exp(-(((wavelength - 97) / 6) ** 2)) + 0.01 * rng.random(240)
    found = saliency_cut(spectrum, saliency)
    assert overlap(found.mask, line) > 0.9
    assert len(found.box) == 1


def energy(labels, excess, borders):
    """Return the energy of a labelling, less a constant."""
    flat = labels.ravel()
    total = (excess.ravel() * flat).sum()
    return total + sum((cost * (flat[p] != flat[q])).sum() for p, q, cost in borders)


@pytest.mark.parametrize("seed", range(5))
def test_the_cut_has_the_least_energy_of_all_masks(seed):
    rng = np.random.default_rng(seed)
    excess = rng.normal(size=(3, 4))
    borders = list(module._borders(rng.normal(size=(3, 4)), 0.5))
    cut, resolution = module._cut(excess, borders)
    masks = (np.array(bits).reshape(3, 4) for bits in itertools.product((0, 1), repeat=12))
    least = min(energy(mask, excess, borders) for mask in masks)
    assert energy(cut, excess, borders) == pytest.approx(least, abs=40 * resolution)


def test_every_pair_of_neighbours_is_counted_once_with_its_distance():
    borders = list(module._borders(np.random.default_rng(0).normal(size=(3, 3)), 1.0))
    pairs = [frozenset(pair) for p, q, _ in borders for pair in zip(p, q, strict=True)]
    assert len(pairs) == len(set(pairs)) == 12 + 8
    coordinates = np.array(list(np.ndindex(3, 3)))
    for p, q, _ in borders:
        assert (np.abs(coordinates[p] - coordinates[q]).max(axis=1) == 1).all()


def test_capacities_of_a_large_image_stay_within_an_integer():
    excess = np.full((300, 300), 1e4)
    excess[:150] = -1e4
    cut, resolution = module._cut(excess, list(module._borders(np.eye(300), 1.0)))
    assert (cut == (excess < 0)).all()
    assert resolution == pytest.approx(45000 * 1e4 / 2**30)


def test_without_a_border_cost_each_pixel_goes_by_its_intensity():
    image, saliency, _ = planted(noise=0.2)
    loose, tight = (saliency_cut(image, saliency, smoothness=s).cut for s in (0.0, 4.0))
    assert ndimage.label(loose)[1] > 5 * ndimage.label(tight)[1]


def test_an_object_that_looks_like_its_surroundings_is_not_found_and_said_so():
    rng = np.random.default_rng(0)
    image, saliency = rng.normal(size=(2, 32, 32))
    found = saliency_cut(image, saliency, smoothness=50.0)
    assert found.box is None
    assert not found.mask.any()


def test_nothing_given_is_changed():
    image, saliency, _ = planted()
    kept = image.copy(), saliency.copy()
    saliency_cut(image, saliency)
    np.testing.assert_array_equal((image, saliency), kept)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"saliency": np.ones((3, 3))}, "do not fit"),
        ({"saliency": np.ones((64, 64))}, "saliency is constant"),
        ({"image": np.full((64, 64), np.nan)}, "image is constant, or contains"),
        ({"foreground": 0.2}, "cannot cut"),
        ({"bins": 1}, "cannot cut"),
        ({"smoothness": -1.0}, "cannot cut"),
    ],
)
def test_what_cannot_be_cut_is_refused(change, told):
    image, saliency, _ = planted()
    with pytest.raises(ContractError, match=told):
        saliency_cut(**({"image": image, "saliency": saliency} | change))
