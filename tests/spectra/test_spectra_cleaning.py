"""Each step of the cleaning drops what it is for, and every spectrum is counted once."""

import dataclasses
import json

import astropy.units as u
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mg_profiles import AXES, H, K, gaussian, noisy, spectrum

from solarxai.errors import ContractError
from solarxai.spectra import REASONS, STEPS, Cleaning, regrid, study_grid, tally

AXIS = AXES["native"]
OFF = dict.fromkeys(STEPS) | {"missing": False, "saa": False, "saturation_level": None}


def point(wavelength):
    return int(np.abs(AXIS - wavelength).argmin())


def good():
    return spectrum(AXIS, peak=400.0)


def quality(counts, cleaning=None, *, axis=AXIS, saa=None, valid=None):
    saa = np.zeros(len(counts), bool) if saa is None else saa
    cleaning = Cleaning() if cleaning is None else cleaning
    return cleaning.apply(counts, axis * u.AA, saa=saa, valid=valid)


def reason(counts, cleaning=None, **given):
    return REASONS[int(quality(counts, cleaning, **given)[0])]


def only(name):
    """Return a cleaning with all steps off but one."""
    kept = {name: getattr(Cleaning(), name)}
    return Cleaning(**(OFF | kept))


def missing():
    counts = good()
    counts[0, point(2800)] = np.nan
    return counts


def at_the_limb():
    return spectrum(AXIS, peak=400.0, continuum=0.7)


def with_a_cosmic_ray():
    counts = good()
    counts[0, point(2801) + np.arange(-2, 3)] += [200, 800, 1200, 800, 200]
    return counts


def negative():
    counts = good()
    counts[0, point(2800)] = -100.0
    return counts


def saturated():
    return np.minimum(good(), 300.0)


def underexposed():
    return spectrum(AXIS, peak=8.5)


def with_too_little_k():
    return spectrum(AXIS, peak=400.0, kh=0.6)


def spiky():
    counts = good()
    counts[0, point(2800)] += 120.0
    return counts


BAD = {
    "missing": missing, "limb": at_the_limb, "cosmic_ray": with_a_cosmic_ray, "negative": negative,
    "saturated": saturated, "underexposed": underexposed, "kh_ratio": with_too_little_k,
    "spike": spiky,
}  # fmt: skip


def test_a_good_spectrum_is_kept_on_every_axis():
    for axis in AXES.values():
        assert reason(spectrum(axis, peak=400.0), axis=axis) == "kept"
    assert quality(good()).dtype == np.uint8


@pytest.mark.parametrize("name", BAD)
def test_a_step_drops_what_it_is_for_and_nothing_good(name):
    assert reason(BAD[name](), only(name)) == name
    assert reason(good(), only(name)) == "kept"


@pytest.mark.parametrize("name", BAD)
def test_a_step_can_be_switched_off(name):
    off = {name: OFF[name]} | ({"saturation_level": None} if name == "saturated" else {})
    assert reason(BAD[name]()) == name
    assert reason(BAD[name](), Cleaning(**off)) != name


def test_spectra_of_the_south_atlantic_anomaly_are_dropped():
    counts = np.repeat(good(), 3, axis=0)
    found = quality(counts, saa=np.array([False, True, False]))
    assert [REASONS[int(code)] for code in found] == ["kept", "saa", "kept"]
    kept = quality(counts, Cleaning(saa=False), saa=np.ones(3, bool))
    assert tally(kept)["kept"] == 3


def test_the_first_step_in_the_published_order_is_named():
    counts = np.minimum(at_the_limb(), 600.0)
    counts[0, point(2799)] = -150.0
    assert reason(counts) == "limb"
    assert reason(counts, Cleaning(limb=None)) == "negative"
    assert reason(counts, Cleaning(limb=None, negative=None)) == "saturated"
    assert STEPS[:8] == (
        "missing", "limb", "cosmic_ray", "negative", "saturated", "underexposed", "saa",
        "kh_ratio",
    )  # fmt: skip
    assert list(REASONS) == list(range(len(STEPS) + 1))


@pytest.mark.parametrize(
    ("name", "kept", "dropped"),
    [
        ("limb", spectrum(AXIS, peak=400.0, continuum=0.64), at_the_limb()),
        ("underexposed", spectrum(AXIS, peak=9.3), spectrum(AXIS, peak=8.9)),
    ],
)
def test_a_step_drops_at_its_threshold(name, kept, dropped):
    """The continuum is 0.64 / 1.64 = 0.39 of the maximum; the maxima are 10.2 and 9.8 DN."""
    assert reason(kept, only(name)) == "kept"
    assert reason(dropped, only(name)) == name


def test_k_by_h_is_that_of_the_fluxes_within_one_and_a_half_angstrom():
    """k and h of area 1 and 1 / r over a continuum c of width 3: (1 + 3 c) / (1 / r + 3 c)."""
    area = 0.16 * np.sqrt(2 * np.pi)
    ratio = (area + 0.3) / (area / 1.25 + 0.3)
    for axis in (AXIS, AXES["raster"]):
        counts = spectrum(axis, peak=400.0, triplet=0.0)
        around = Cleaning(kh_ratio=(ratio - 0.01, ratio + 0.01))
        assert reason(counts, around, axis=axis) == "kept"
        for limits in ((0.8, ratio - 0.01), (ratio + 0.01, 2.0)):
            assert reason(counts, Cleaning(kh_ratio=limits), axis=axis) == "kh_ratio"


def test_the_cosmic_ray_window_is_a_length():
    shifted = spectrum(AXIS, peak=400.0, shift=1.7)
    assert reason(shifted, only("cosmic_ray")) == "cosmic_ray"
    wide = Cleaning(**(OFF | {"cosmic_ray": 0.2 * u.nm}))
    assert reason(shifted, wide) == "kept"


def test_counts_at_the_end_of_the_scale_and_infinite_counts_are_saturated():
    """Level 2 files end at 32767 * 0.25 + 7992 = 16183.75 DN."""
    counts = good()
    counts[0, point(K)] = 32767 * 0.25 + 7992
    assert reason(counts, Cleaning(spike=None)) == "saturated"
    counts[0, point(K)] = np.inf
    assert reason(counts) == "saturated"
    assert reason(counts, Cleaning(saturation_level=None, saturated=None, spike=None)) == "kept"


def test_saturation_by_repeated_maxima_needs_as_many_points_as_said():
    counts = good()
    core = point(K)
    counts[0, core : core + 3] = 500.0
    assert reason(counts, only("saturated")) == "saturated"
    assert reason(counts, Cleaning(**(OFF | {"saturated": 4}))) == "kept"


def test_values_outside_the_range_of_the_study_are_not_judged():
    counts = good()
    counts[0, AXIS < 2794.08] = -200.0
    counts[0, AXIS > 2805.8] = np.nan
    assert reason(counts) == "kept"


def test_values_that_are_not_valid_are_missing():
    valid = np.ones(good().shape, bool)
    valid[0, point(2800)] = False
    assert reason(good(), valid=valid) == "missing"
    assert reason(good(), Cleaning(missing=False), valid=valid) == "kept"


@pytest.mark.parametrize("name", ["native", "study", "raster"])
def test_what_is_kept_has_no_gap_on_the_study_grid(name):
    axis = AXES[name]
    counts = np.repeat(spectrum(axis, peak=400.0), len(axis), axis=0)
    valid = ~np.eye(len(axis), dtype=bool)
    kept = quality(counts, axis=axis, valid=valid) == 0
    whole = np.isfinite(regrid(counts, axis * u.AA, study_grid(), valid=valid)).all(axis=1)
    assert np.array_equal(kept, whole)
    assert kept.sum() in range(len(axis) - 460, len(axis) - 40) or name == "study"


def test_noise_alone_is_no_spike_and_a_hot_or_dead_pixel_is():
    """On the flanks of a bright line a hot pixel hides: the flank rises more than it stands out."""
    for peak, least in ((30.0, 495), (400.0, 495), (10000.0, 425)):
        clean = np.repeat(spectrum(AXIS, peak=peak), 500, axis=0)
        counts = noisy(clean, seed=1)
        assert tally(quality(counts, only("spike")))["spike"] == 0
        row = np.arange(500)
        place = np.random.default_rng(2).integers(point(2794.5), point(2805.5), 500)
        counts[row, place] += 25 * np.sqrt(clean[row, place] / 18 + 1.2**2)
        assert tally(quality(counts, only("spike")))["spike"] >= least
    dead = good()
    dead[0, point(K)] = 0.0
    assert reason(dead, only("spike")) == "spike"


def test_single_precision_drops_the_same_spectra():
    counts = noisy(np.repeat(spectrum(AXIS, peak=400.0), 500, axis=0), seed=5)
    counts *= np.random.default_rng(6).uniform(0.01, 3, (500, 1))
    counts[np.arange(500), 300 + np.arange(500) % 50] += np.linspace(0, 100, 500)
    counts[7, 300], counts[8, 301] = np.inf, np.nan
    counts = counts.astype(np.float32)
    one = quality(counts, Cleaning(saturation_level=None))
    assert np.array_equal(one, quality(counts.astype(float), Cleaning(saturation_level=None)))
    assert {REASONS[code] for code in np.unique(one)} >= {"kept", "spike", "missing"}


def test_the_sharpest_line_the_instrument_can_show_is_no_spike():
    offsets = np.linspace(-0.5, 0.5, 21) * 0.02546
    sharp = gaussian(AXIS, 2800 + offsets, 0.053 / 2.3548, 2000.0)
    assert tally(quality(good() + sharp, only("spike")))["spike"] == 0


def test_spikes_are_not_looked_for_on_pixels_wider_than_the_instruments_profile():
    axis = AXES["raster"]
    counts = spectrum(axis, peak=400.0)
    counts[0, np.abs(axis - 2800.5).argmin()] += 150.0
    assert reason(counts, only("spike"), axis=axis) == "kept"


def test_quiet_sun_profiles_are_dropped_only_when_asked():
    quiet = spectrum(AXIS, peak=120.0, continuum=0.5, triplet=-0.2)
    active = spectrum(AXIS, peak=400.0, continuum=0.1, triplet=-0.02)
    flaring = spectrum(AXIS, peak=120.0, continuum=0.5, triplet=0.4)
    assert reason(quiet) == "kept"
    asked = Cleaning(quiet_sun=(0.0, 4.0))
    assert reason(quiet, asked) == "quiet_sun"
    assert [reason(active, asked), reason(flaring, asked)] == ["kept", "kept"]


def test_a_step_that_needs_what_the_axis_lacks_says_so():
    part = AXIS[(AXIS > 2793.9) & (AXIS < 2799.3)]
    counts = spectrum(part, peak=400.0)
    with pytest.raises(ContractError, match=r"limb or quiet_sun needs points at 2799.688 to"):
        quality(counts, axis=part)
    with pytest.raises(ContractError, match=r"step kh_ratio needs .* Switch the step off"):
        quality(counts, Cleaning(limb=None), axis=part)
    assert reason(counts, Cleaning(kh_ratio=None, limb=None), axis=part) == "kept"


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ContractError, match=r"'saa': \(2,\)"):
        quality(good(), saa=np.zeros(2, bool))
    with pytest.raises(ContractError, match=r"'valid': \(1, 3\)"):
        quality(good(), valid=np.ones((1, 3), bool))
    with pytest.raises(ContractError, match=r"counts of shape \(1, 5\)"):
        quality(np.ones((1, 5)))
    with pytest.raises(ContractError, match="shapes that do not fit"):
        quality(good()[None], saa=np.zeros(1, bool))


def test_thresholds_outside_their_range_are_all_named():
    with pytest.raises(ContractError, match=r"limb = 1.5 .*; kh_ratio = \(2.0, 0.8\)"):
        Cleaning(limb=1.5, kh_ratio=(2.0, 0.8))
    for name, value in (
        ("saturated", 1), ("saturation_level", 0.0), ("underexposed", 0.0), ("quiet_sun", (1,)),
        ("spike", -1.0), ("cosmic_ray", -1 * u.AA),
    ):  # fmt: skip
        with pytest.raises(ContractError, match=name):
            Cleaning(**{name: value})
    with pytest.raises(ContractError, match="cosmic_ray has the unit None"):
        Cleaning(cosmic_ray=1.5)


def test_a_tally_refuses_codes_it_does_not_know():
    with pytest.raises(ContractError, match=r"quality codes \[200\] are unknown"):
        tally(np.array([0, 200], np.uint8))


def test_no_spectra_are_cleaned_into_an_empty_tally():
    found = quality(np.zeros((0, len(AXIS))))
    assert sum(tally(found).values()) == 0
    assert set(tally(found)) == {"kept", *STEPS}
    json.dumps(tally(found))


COARSE = np.linspace(2794.0, 2806.0, 61)
COUNTS = arrays(
    np.float32, (6, 61), elements=st.floats(-300, 20000, width=32) | st.sampled_from([np.nan])
)


@settings(max_examples=50)
@given(COUNTS, arrays(np.bool_, 6), st.sets(st.sampled_from(STEPS)))
def test_kept_and_dropped_add_up_whatever_the_counts(counts, saa, off):
    changes = {name: OFF[name] for name in off}
    cleaning = dataclasses.replace(Cleaning(quiet_sun=(0.0, 4.0)), **changes)
    found = tally(cleaning.apply(counts, COARSE * u.AA, saa=saa))
    assert sum(found.values()) == 6
    assert all(found[name] == 0 for name in off if name != "saturated")


@settings(max_examples=50)
@given(COUNTS, st.sampled_from(STEPS))
def test_a_step_more_never_keeps_more(counts, name):
    without = quality(counts, Cleaning(**(OFF)), axis=COARSE)
    step = Cleaning(quiet_sun=(0.0, 4.0))
    with_it = quality(counts, Cleaning(**(OFF | {name: getattr(step, name)})), axis=COARSE)
    assert (without == 0).all()
    assert set(np.unique(with_it)) <= {0, 1 + STEPS.index(name)}


@pytest.mark.real_data
def test_the_real_flare_centroids_lose_only_their_noise_and_spikes(real_data):
    with np.load(real_data / "iris" / "mg2k_centroids.npz") as file:
        counts = 400.0 * file["centroids"].T.astype(np.float64)
    axis = np.linspace(2793.8501, 2799.3240, 216)
    found = quality(counts, Cleaning(kh_ratio=None, limb=None), axis=axis)
    assert tally(found)["kept"] == 50
    assert {int(row): REASONS[int(found[row])] for row in np.flatnonzero(found)} == {
        25: "spike", 51: "cosmic_ray", 52: "spike",
    }  # fmt: skip


@pytest.mark.real_data
def test_every_spectrum_of_the_real_rasters_is_kept_or_counted(real_data):
    counts, axis = raster_counts(real_data)
    valid = np.isfinite(counts) & (counts > -100)
    found = quality(counts, axis=axis, valid=valid)
    seen = tally(found)
    inside = (axis > 2794.0) & (axis < 2805.85)
    assert seen["missing"] == (~valid[:, inside].all(axis=1)).sum() == 624
    assert sum(seen.values()) == len(counts) == 11336
    assert seen["kept"] / len(counts) == pytest.approx(0.75, abs=0.01)
    on_grid = regrid(counts[found == 0], axis * u.AA, study_grid(), valid=valid[found == 0])
    assert np.isfinite(on_grid).all()
    peaks = study_grid().value[on_grid.argmax(axis=1)]
    assert np.minimum(np.abs(peaks - K), np.abs(peaks - H)).max() < 1.6


def raster_counts(root):
    """Return spectra (n, 63) in DN of the binned rasters and their true axis in Angstrom."""
    from astropy.io import fits

    folder = root / "iris" / "20140329_140938_3860258481"
    files = sorted(folder.glob("*_raster/*.fits"))
    header = fits.getheader(files[0])
    axis = np.linspace(header["TWMIN9"], header["TWMAX9"], 63)
    counts = np.concatenate([fits.getdata(file, 9).reshape(-1, 63) for file in files])
    return counts.astype(np.float64), axis


def test_a_length_can_be_written_with_its_unit():
    assert Cleaning(cosmic_ray="0.2 nm") == Cleaning(cosmic_ray=0.2 * u.nm)
    with pytest.raises(ContractError, match="cosmic_ray = 'wide' is no length"):
        Cleaning(cosmic_ray="wide")
