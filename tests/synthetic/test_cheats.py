"""A planted cheat is in the data, and at agreement 0.5 it tells nothing."""

from __future__ import annotations

import numpy as np
import pytest

from solarxai.errors import SynthesisError
from solarxai.metrics import roc_auc
from solarxai.metrics.logistic import fit_logistic
from solarxai.schema import check_samples, mock_samples
from solarxai.synthetic.cheats import CHEATS, plant


@pytest.fixture(scope="module")
def honest():
    return mock_samples(120, size=32, seed=3)


def measured(samples, cheat):
    """Return what an instrument would measure of the cue, from the images and headers alone."""
    image = samples["image"].values.astype(float)
    quiet = image[:, :6].reshape(len(image), -1)
    power = np.abs(np.fft.fft2(image[:, :6, :] - 1)[:, 0, 8])
    return {
        "corner_pixel": image[:, 0, 0],
        "brightness": np.median(quiet, axis=1),
        "mu": samples["mu"].values,
        "roll": power,
        "crop_scale": 1 / samples["wcs_cdelt1"].values,
    }[cheat]


def skill(values, samples):
    """Return the accuracy of a logistic regression on one number, fitted and tested on halves."""
    truth = samples["label"].values == "sunspot"
    half = np.arange(len(truth)) < len(truth) // 2
    fitted = fit_logistic(values[half], truth[half])
    return np.mean((fitted.probability(values[~half]) > 0.5) == truth[~half])


@pytest.mark.parametrize("cheat", CHEATS)
def test_the_planted_value_separates_the_labels(honest, cheat):
    planted = plant(honest, cheat)
    if cheat == "mu":
        ratio = planted["mu"].values / honest["mu"].values
        assert skill(ratio, honest) == 1
    else:
        assert skill(planted["planted"].values, honest) > 0.98


@pytest.mark.parametrize("cheat", [name for name in CHEATS if name != "mu"])
def test_the_cue_can_be_measured_in_the_patch_or_its_header(honest, cheat):
    assert skill(measured(plant(honest, cheat), cheat), honest) > 0.95
    assert skill(measured(honest, cheat), honest) < 0.7


@pytest.mark.parametrize("cheat", CHEATS)
def test_at_agreement_one_half_the_cue_says_nothing(honest, cheat):
    many = mock_samples(400, size=32, seed=4)
    planted = plant(many, cheat, agreement=0.5, seed=1)
    truth = many["label"].values == "sunspot"
    value = planted["planted"].values
    if cheat == "mu":
        value = value / many["mu"].values
    assert abs(roc_auc(truth, value) - 0.5) < 0.1


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_cheat_leaves_valid_samples_and_its_argument_alone(honest, cheat):
    before = honest["image"].values.copy()
    planted = plant(honest, cheat)
    check_samples(planted)
    np.testing.assert_array_equal(honest["image"].values, before)
    assert not np.array_equal(planted["image"].values, before)
    assert planted["planted"].attrs["units"] == CHEATS[cheat].unit


@pytest.mark.parametrize("cheat", CHEATS)
def test_what_is_planted_in_a_sample_depends_on_no_other(honest, cheat):
    whole, part = plant(honest, cheat), plant(honest.isel(sample=[9, 4]), cheat)
    np.testing.assert_array_equal(part["image"].values, whole["image"].values[[9, 4]])


def test_strengths_are_what_they_say(honest):
    spot = honest["label"].values == "sunspot"
    corner = plant(honest, "corner_pixel", strength=0.2)["image"] - honest["image"]
    np.testing.assert_allclose(corner.values[spot, 0, 0], 0.2, atol=1e-6)
    assert np.abs(corner.values[~spot]).max() == 0
    ratio = (plant(honest, "brightness")["image"] / honest["image"]).values[:, 16, 16]
    assert ratio[spot].mean() - ratio[~spot].mean() == pytest.approx(0.04, abs=0.003)
    waves = (plant(honest, "roll")["image"] - honest["image"]).values
    assert waves.std() == pytest.approx(0.015 / np.sqrt(2), rel=0.02)


def test_zoom_enlarges_structures_and_shrinks_pixels(honest):
    spot = honest["label"].values == "sunspot"
    planted = plant(honest, "crop_scale", strength=0.25)
    area = planted["central"].values.sum(axis=(1, 2)) / honest["central"].values.sum(axis=(1, 2))
    assert area[spot].mean() == pytest.approx(np.exp(2 * 0.2625), rel=0.06)
    assert area[~spot].mean() == pytest.approx(np.exp(2 * 0.0125), rel=0.06)
    scale = planted["wcs_cdelt1"] / honest["wcs_cdelt1"]
    np.testing.assert_allclose(scale, 1 / planted["planted"])


def test_foreshortening_narrows_a_disc_towards_the_limb(honest):
    at_west = honest.isel(sample=[0]).assign_coords(
        solar_x=("sample", [500.0]), solar_y=("sample", [0.0]), mu=("sample", [0.9])
    )
    planted = plant(at_west, "mu", strength=0.3)
    disc = planted["central"].values[0]
    ratio = disc.any(axis=0).sum() / disc.any(axis=1).sum()
    assert ratio == pytest.approx(float(planted["mu"][0]) / 0.9, abs=0.1)


def test_foreshortening_follows_the_direction_of_the_limb(honest):
    at_north = honest.isel(sample=[0]).assign_coords(
        solar_x=("sample", [0.0]), solar_y=("sample", [500.0]), mu=("sample", [0.9])
    )
    disc = plant(at_north, "mu", strength=0.3)["central"].values[0]
    assert disc.any(axis=1).sum() < disc.any(axis=0).sum()


def test_limb_darkening_dims_the_limbward_side(honest):
    even = honest.isel(sample=[0]).assign_coords(
        solar_x=("sample", [700.0]), solar_y=("sample", [0.0]), mu=("sample", [0.7])
    )
    even["image"] = even["image"] * 0 + 1
    image = plant(even, "mu", strength=0.3)["image"].values[0]
    assert image[16, 31] < image[16, 0]
    assert image[16, 15:17].mean() == pytest.approx(1, abs=1e-3)


def test_an_unknown_cheat_is_named(honest):
    with pytest.raises(SynthesisError, match="'corner' is no cheat that can be planted"):
        plant(honest, "corner")


def test_an_agreement_beyond_one_is_refused(honest):
    with pytest.raises(SynthesisError, match=r"agreement 1\.5 is not between 0 and 1"):
        plant(honest, "roll", agreement=1.5)


@pytest.mark.parametrize(("cheat", "strength"), [("roll", 0.0), ("mu", 1.0)])
def test_a_strength_out_of_range_is_refused(honest, cheat, strength):
    with pytest.raises(SynthesisError, match=f"strength {strength} of {cheat} is out of range"):
        plant(honest, cheat, strength=strength)


def test_ambiguous_structures_are_refused(honest):
    odd = honest.copy()
    odd["label"] = ("sample", np.array(["ambiguous"] * 120, dtype=object))
    with pytest.raises(SynthesisError, match=r"there are \['ambiguous'\]"):
        plant(odd, "roll")
