"""Spectral augmentation shifts, makes noisy and scales spectra by as much as it says."""

import math

import pytest
import torch

from solarxai.errors import TrainingError
from solarxai.training.augmentation import SpectralAugmentation

POINT_KM_S = 5.19
STILL = {"shift_km_s": None, "noise_level": 0, "scaling": None}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def changed(spectra, *, seed=0, **amounts):
    """Return spectra changed by nothing but the amounts that are named."""
    return SpectralAugmentation(**(STILL | amounts))(spectra, seeded(seed), point_km_s=POINT_KM_S)


def line(n=64, *, slits=None, centre=60.0):
    """Return the same Gaussian line n times, (n, 1, 120) or (n, 1, slits, 120)."""
    one = torch.exp(-0.5 * ((torch.arange(120.0) - centre) / 6) ** 2)
    shape = (n, 1, 120) if slits is None else (n, 1, slits, 120)
    return one.expand(shape).clone()


def place(spectra):
    """Return the centre of mass of each line in points."""
    return (spectra * torch.arange(120.0)).sum(dim=-1) / spectra.sum(dim=-1)


def test_all_amounts_zero_change_nothing_at_all():
    spectra = torch.randn(8, 1, 50, generator=seeded())
    assert torch.equal(changed(spectra), spectra)
    assert torch.equal(changed(spectra, shift_km_s=0.0, noise_level=None, scaling=0.0), spectra)


def test_the_input_is_left_alone_and_the_same_generator_gives_the_same_spectra():
    spectra = line()
    before = spectra.clone()
    first, again = (
        SpectralAugmentation()(spectra, seeded(3), point_km_s=POINT_KM_S) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert torch.equal(spectra, before)
    assert not torch.equal(first, spectra)


def test_shifts_are_as_large_as_told_in_km_s_and_of_both_signs():
    moved = (place(changed(line(), shift_km_s=10.0)) - 60).flatten() * POINT_KM_S
    assert float(moved.abs().max()) <= 10.01
    assert float(moved.max()) > 8
    assert float(moved.min()) < -8


def test_a_shift_within_a_point_keeps_the_shape_and_the_maximum_of_a_line():
    moved = changed(line(), shift_km_s=POINT_KM_S)
    shift = place(moved) - 60
    expected = torch.exp(-0.5 * ((torch.arange(120.0) - 60 - shift[..., None]) / 6) ** 2)
    expected = expected / expected.amax(dim=-1, keepdim=True)
    torch.testing.assert_close(moved, expected, atol=5e-4, rtol=0)


def test_the_positions_of_a_slit_are_shifted_alike_and_empty_ones_stay_empty():
    spectra = line(16, slits=5)
    spectra[3, 0, 2] = math.nan
    moved = changed(spectra, shift_km_s=8.0, noise_level=0.01, scaling=0.02)
    assert bool(moved[3, 0, 2].isnan().all())
    assert int(moved.isnan().any(dim=-1).sum()) == 1
    where = place(changed(spectra, shift_km_s=8.0))
    kept = where.nan_to_num(nan=float(where[3, 0, 0]))
    torch.testing.assert_close(kept, kept[..., :1].expand_as(kept))
    assert float(kept[:, 0, 0].std()) > 0.3


def test_ends_go_on_where_a_shift_uncovers_them():
    flat = torch.full((32, 1, 40), 0.7)
    torch.testing.assert_close(changed(flat, shift_km_s=60.0), flat)


def test_noise_is_white_at_most_as_strong_as_told_and_leaves_the_maximum():
    spectra = 5 * line(256)
    noisy = changed(spectra, noise_level=0.04)
    torch.testing.assert_close(noisy.amax(dim=-1), spectra.amax(dim=-1))
    sigma = (noisy - spectra)[..., :30].std(dim=-1).flatten() / 5
    assert 0.03 < float(sigma.max()) < 0.06
    assert float(sigma.min()) < 0.002


def test_scaling_comes_after_the_noise_and_multiplies_a_whole_spectrum():
    spectra = line(256)
    ratio = changed(spectra, noise_level=0.02, scaling=0.1).amax(dim=-1) / spectra.amax(dim=-1)
    assert 0.08 < float((ratio - 1).abs().max()) <= 0.1001


@pytest.mark.parametrize(
    "wrong", [{"shift_km_s": -1.0}, {"noise_level": math.nan}, {"scaling": math.inf}]
)
def test_amounts_out_of_range_are_refused(wrong):
    with pytest.raises(TrainingError, match="out of range: all amounts >= 0"):
        SpectralAugmentation(**wrong)
