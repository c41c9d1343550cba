"""Nuisances leave an honest network alone and name what a cheat reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.photosphere import limb_darkening
from solarxai.synthetic.cheats import plant
from solarxai.validation.causal._sights import redraw, rotation, sights
from solarxai.validation.causal.counterfactual import Resampling, intervene
from solarxai.validation.causal.interventions import cut_patches
from solarxai.validation.causal.nuisances import (
    DISTURBANCES,
    SWAPS,
    Amplitudes,
    disturb,
    draw_disturbances,
    nuisance_checks,
    nuisance_rows,
    score_disturbances,
)
from solarxai.validation.report import Limits

FEW = Resampling(n=50, seed=0)


@pytest.fixture(scope="module")
def clean(spots):
    """Return the samples without the two shortcuts, seen at differing places of the disk."""
    rng = np.random.default_rng(0)
    image = spots["image"].values.copy()
    image[:, 0, 0] = 1
    spot = spots["label"].values == "sunspot"
    image[spot] /= np.float32(1.02)
    made = spots.copy()
    made["image"] = spots["image"].copy(data=image)
    x = rng.uniform(-600, 600, 40)
    return made.assign_coords(solar_x=("sample", x), mu=("sample", rng.uniform(0.6, 1, 40)))


def judged(samples, classifier, **options):
    loss = intervene(samples, classifier).loss("penumbra removed")
    found = disturb(samples, classifier, **options)
    checks = nuisance_checks(found, samples, loss=loss, limits=Limits(), resampling=FEW)
    return found, checks


def failing(checks):
    return {c.name.split(":")[0].removeprefix("nuisance ") for c in checks if c.verdict == "fails"}


def check_named(checks, name):
    return next(check for check in checks if check.name == name)


def sight(samples, row=0, **amplitudes):
    few = samples.isel(sample=[row])
    return sights(few, cut_patches(few, scale_mm=0.5), Amplitudes(**amplitudes))[0]


class Pattern(nn.Module):
    """A cheat: compares the power of waves of 4 pixels along x and along y."""

    def forward(self, x):
        power = torch.fft.fft2(x[:, 0]).abs()
        quarter = x.shape[-1] // 4
        margin = power[:, 0, quarter] - power[:, quarter, 0]
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Narrowness(nn.Module):
    """A cheat: whether what is dark is narrower along x than along y."""

    def forward(self, x):
        dark = torch.relu(-0.15 - x[:, 0])
        away = torch.arange(x.shape[-1]) - (x.shape[-1] - 1) / 2
        along_x = (dark.sum(dim=1) * away**2).sum(dim=1)
        along_y = (dark.sum(dim=2) * away**2).sum(dim=1)
        margin = torch.log(along_y / along_x) - 0.35
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Size(nn.Module):
    """A cheat: how many pixels the umbra has, 52 in the samples as they are."""

    def forward(self, x):
        margin = (x[:, 0] < -0.5).float().sum(dim=(1, 2)) - 68
        return torch.stack([-margin / 2, margin / 2], dim=1)


def classifier_of(network):
    contract = InputContract(shape=(32, 32), scale_mm=0.5)
    return Classifier(network=network, contract=contract, architecture="tests:cheat")


def test_a_network_that_counts_penumbral_pixels_passes_all_that_leave_its_pixels(clean, classifier):
    gentle = Amplitudes(brightness=0.01, zoom=1.05, foreshortening=0.95)
    _, checks = judged(clean, classifier("rim"), amplitudes=gentle)
    assert failing(checks) == set()


def test_a_corner_is_named_by_corners_border_and_both_swaps(clean, classifier):
    cheated = plant(clean, "corner_pixel", strength=0.3)
    _, checks = judged(cheated, classifier("corner"))
    named = {"corners", "border", "swap border", "swap background"}
    assert named <= failing(checks)
    assert not failing(checks) & {"swap brightness", "swap mu", "swap plate scale", "swap roll"}
    swap = check_named(checks, "nuisance swap border: calls changed")
    assert swap.value == pytest.approx(1, abs=0.05)


def test_brightness_is_named_by_its_swap(clean, classifier):
    level = np.where(clean["label"].values == "sunspot", 1.02, 1.0)[:, None, None]
    cheated = clean.copy()
    cheated["image"] = clean["image"].copy(data=(clean["image"].values * level).astype("f4"))
    _, checks = judged(cheated, classifier("brightness"))
    assert {"brightness", "swap brightness"} <= failing(checks)
    assert check_named(checks, "nuisance swap brightness: calls changed").value > 0.9


def test_a_pattern_is_named_by_quarter_turn_and_background(clean):
    cheated = plant(clean, "roll", strength=0.03)
    _, checks = judged(cheated, classifier_of(Pattern()))
    assert {"quarter turn", "swap background"} <= failing(checks)
    assert "swap brightness" not in failing(checks)


def test_foreshortening_is_named_by_the_mu_that_the_header_says(clean):
    west = clean.assign_coords(
        solar_x=("sample", np.full(40, 500.0)),
        solar_y=("sample", np.zeros(40)),
        mu=("sample", np.full(40, 0.9)),
    )
    cheated = plant(west, "mu", strength=0.3)
    _, checks = judged(cheated, classifier_of(Narrowness()))
    assert "swap mu" in failing(checks)
    assert check_named(checks, "nuisance swap mu: calls changed").value > 0.4
    assert not failing(checks) & {"swap brightness", "swap border", "swap plate scale"}


def test_zoom_is_named_by_the_plate_scale_that_the_header_says(clean):
    _, checks = judged(plant(clean, "crop_scale", strength=0.3), classifier_of(Size()))
    assert "swap plate scale" in failing(checks)
    assert check_named(checks, "nuisance swap plate scale: calls changed").value > 0.9


def test_a_swap_of_an_honest_column_changes_nothing(clean, classifier):
    _, checks = judged(clean, classifier("rim"))
    for name in ("swap brightness", "swap border", "swap plate scale", "swap roll"):
        assert abs(check_named(checks, f"nuisance {name}: calls changed").value) <= 0.1


def test_swaps_and_other_nuisances_have_limits_of_their_own(clean, classifier):
    found = disturb(clean, classifier("rim"))
    loss = intervene(clean, classifier("rim")).loss("penumbra removed")
    chosen = Limits(nuisance_flip=0.3, nuisance_share=0.4, swap_flip=0.01, swap_share=0.02)
    checks = nuisance_checks(found, clean, loss=loss, limits=chosen, resampling=FEW)
    limits = {(c.name.startswith("nuisance swap"), "÷" in c.name): c.limit for c in checks}
    assert limits == {
        (False, False): 0.3, (False, True): 0.4, (True, False): 0.01, (True, True): 0.02
    }  # fmt: skip


def test_every_nuisance_gives_images_of_the_same_shape(clean):
    drawn = list(draw_disturbances(clean, scale_mm=0.5))
    swaps = {f"{name}, {side} label" for name in SWAPS for side in ("own", "other")}
    assert {block.name for block in drawn} == set(DISTURBANCES) | swaps
    for block in drawn:
        assert block.images.shape[1:] == (32, 32)
        assert np.isfinite(block.images).all()
        assert len(block.images) == len(block.rows) == len(block.variants)


def test_drawn_once_they_serve_two_classifiers(clean, classifier):
    drawn = list(draw_disturbances(clean, scale_mm=0.5))
    for name in ("rim", "corner"):
        once = score_disturbances(drawn, clean, classifier(name))
        again = disturb(clean, classifier(name))
        assert once.changed.keys() == again.changed.keys()
        for key, scores in once.changed.items():
            np.testing.assert_array_equal(scores, again.changed[key])


def test_a_nuisance_of_a_sample_does_not_depend_on_its_company(clean, classifier):
    whole = disturb(clean, classifier("rim")).changed
    part = disturb(clean.isel(sample=[7, 2]), classifier("rim")).changed
    for name in DISTURBANCES:
        np.testing.assert_allclose(part[name], whole[name][:, [7, 2]], rtol=1e-5, atol=1e-5)


def test_without_a_partner_of_the_other_label_a_swap_is_left_out(clean, classifier):
    alone = clean.isel(sample=np.flatnonzero(clean["label"].values == "sunspot"))
    found, checks = judged(alone, classifier("rim"))
    told = {row["intervention"]: row for row in found.left_out}
    assert told["swap mu, other label"]["reason"] == "no partner of that label"
    assert told["swap mu, other label"]["count"] == 20
    assert check_named(checks, "nuisance swap mu: calls changed").verdict == "informs"


def test_without_common_quiet_sun_backgrounds_are_not_swapped(clean, classifier):
    full = clean.copy()
    full["segmentation"] = clean["segmentation"] * 0 + 2
    found = disturb(full, classifier("rim"))
    reasons = {row["intervention"]: row["reason"] for row in found.left_out}
    assert reasons["swap background, own label"] == "too little quiet Sun in common with a partner"
    assert reasons["swap brightness, own label"] == "too little quiet Sun to measure its level"


def test_real_and_synthetic_structures_are_judged_apart(clean, classifier):
    origin = np.array(["real"] * 20 + ["synthetic"] * 20, dtype=object)
    _, checks = judged(clean.assign_coords(origin=("sample", origin)), classifier("rim"))
    groups = {c.group for c in checks if c.name == "nuisance zoom: calls changed"}
    assert groups == {"real · all", "synthetic · all"}


def test_limb_darkening_across_the_patch_is_that_of_the_sun(clean):
    at_west = clean.assign_coords(solar_x=("sample", np.full(40, 500.0)))
    at_west = at_west.assign_coords(solar_y=("sample", np.zeros(40)))
    seen = sight(at_west, limb_mu=0.6)
    put_on, taken_off = DISTURBANCES["limb darkening"].change(seen)
    ratio = put_on[16] / seen.patch.image[16]
    away = np.sqrt(1 - 0.6**2) + (np.arange(32) - 15.5) * 0.5 / 695.7
    wanted = limb_darkening(np.sqrt(1 - away**2)) / limb_darkening(0.6)
    np.testing.assert_allclose(ratio, wanted, rtol=1e-4)
    np.testing.assert_allclose(put_on * taken_off, seen.patch.image**2, rtol=1e-5)


def test_foreshortening_narrows_towards_the_limb_alone(clean):
    at_north = clean.assign_coords(
        solar_x=("sample", np.zeros(40)), solar_y=("sample", np.full(40, 500.0))
    )
    seen = sight(at_north)
    dark = DISTURBANCES["foreshortening"].change(seen)[0] < 0.85
    before = seen.patch.image < 0.85
    assert dark.any(axis=0).sum() == before.any(axis=0).sum()
    assert dark.any(axis=1).sum() < before.any(axis=1).sum()


def test_the_direction_of_the_limb_follows_the_roll(clean):
    turned = clean.assign_coords(
        solar_x=("sample", np.full(40, 500.0)), solar_y=("sample", np.zeros(40)),
        wcs_pc1_1=("sample", np.zeros(40)), wcs_pc1_2=("sample", np.full(40, -1.0)),
        wcs_pc2_1=("sample", np.ones(40)), wcs_pc2_2=("sample", np.zeros(40)),
    )  # fmt: skip
    np.testing.assert_allclose(sight(turned).limbward, (0, -1), atol=1e-12)


def test_a_trend_of_the_quiet_sun_is_measured_towards_the_limb(clean):
    at_west = clean.assign_coords(
        solar_x=("sample", np.full(40, 500.0)), solar_y=("sample", np.zeros(40))
    )
    sloped = at_west.copy()
    slope = (1 + 1e-2 * (np.arange(32) - 15.5)).astype("f4")
    sloped["image"] = at_west["image"].copy(data=at_west["image"].values * slope)
    gained = sight(sloped).trend - sight(at_west).trend
    assert gained == pytest.approx(1e-2, rel=0.03)


def test_masked_borders_keep_the_structure(clean):
    seen = sight(clean)
    made = DISTURBANCES["border"].change(seen)[0]
    central = seen.patch.central
    np.testing.assert_array_equal(made[central], seen.patch.image[central])
    assert (made[0] != seen.patch.image[0]).all()
    corners = DISTURBANCES["corners"].change(seen)[0]
    assert corners[0, 0] != seen.patch.image[0, 0]
    np.testing.assert_array_equal(corners[0, 12:20], seen.patch.image[0, 12:20])


def test_a_quarter_turn_by_interpolation_is_exact():
    image = np.random.default_rng(0).random((32, 32)).astype("f4")
    turned = redraw(image, rotation(np.pi / 2))
    np.testing.assert_allclose(turned, np.rot90(image, 1), atol=1e-5)


def test_the_table_says_what_is_done_with_its_amplitude():
    rows = {row["nuisance"]: row for row in nuisance_rows(Amplitudes(zoom=1.3))}
    assert rows["zoom"]["what"] == "magnified 1.3 times, and by its inverse"
    assert all(row["why"] for row in rows.values())


@pytest.mark.parametrize("wrong", [{"zoom": 1.0}, {"limb_mu": 1.5}, {"shift_px": 0}])
def test_amplitudes_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError, match="is out of range: brightness, foreshortening"):
        Amplitudes(**wrong)


@pytest.mark.parametrize("name", ["mirror", "quarter turn"])
def test_mirrors_and_quarter_turns_keep_every_value(clean, name):
    one = sight(clean)
    for image in DISTURBANCES[name].change(one):
        assert image.shape == one.patch.image.shape
        assert not np.array_equal(image, one.patch.image)
        np.testing.assert_array_equal(
            np.sort(image, axis=None), np.sort(one.patch.image, axis=None)
        )


def test_a_shift_moves_the_patch_by_whole_pixels_along_each_axis(clean):
    one = sight(clean, shift_px=5)
    down, up, right, left = DISTURBANCES["shift"].change(one)
    image = one.patch.image
    np.testing.assert_allclose(down[7:-2], image[2:-7], atol=1e-5)
    np.testing.assert_allclose(up[2:-7], image[7:-2], atol=1e-5)
    np.testing.assert_allclose(right[:, 7:-2], image[:, 2:-7], atol=1e-5)
    np.testing.assert_allclose(left[:, 2:-7], image[:, 7:-2], atol=1e-5)


def test_brightness_is_a_factor_and_its_counterpart(clean):
    one = sight(clean, brightness=0.1)
    more, less = DISTURBANCES["brightness"].change(one)
    np.testing.assert_allclose(more, 1.1 * one.patch.image, rtol=1e-6)
    np.testing.assert_allclose(less, 0.9 * one.patch.image, rtol=1e-6)


def test_noise_has_the_stated_strength(clean):
    one = sight(clean, noise=0.02)
    (noisy,) = DISTURBANCES["noise"].change(one)
    assert np.std(noisy - one.patch.image) == pytest.approx(0.02, rel=0.1)
