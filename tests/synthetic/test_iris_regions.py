from functools import cache

import numpy as np
import pytest
from astropy.io import fits

from solarxai.synthetic.iris_detector import FILL, expose_frames, expose_raster
from solarxai.synthetic.iris_surface import Waves, draw_surface
from solarxai.synthetic.iris_survey import (
    BOXES,
    ROW_ARCSEC,
    Survey,
    draw_flare_list,
    draw_observation,
    draw_region,
)
from solarxai.synthetic.spectra import ACTIVE, NATIVE_SAMPLING, PREFLARE, QUIET

CLEAN = {"cosmic_rays": 0.0, "dust_rows": 0, "rasters": 1, "seed": 11}


@cache
def drawn(**options):
    """Return the observations of a survey with their surfaces."""
    survey = Survey(**CLEAN | options)
    observations = [draw_observation(survey, index) for index in range(survey.total)]
    return [(each, draw_surface(survey, each)) for each in observations]


def spectra(observation, surface, **options):
    """Return the counts of one raster, (spectrum, wavelength), and the wavelengths."""
    survey = Survey(**CLEAN | options)
    counts = expose_raster(survey, observation, surface, 0)[:, :-1, 1:-1]
    return counts.reshape(-1, counts.shape[-1]), survey.wavelength[1:-1]


def by_class(**options):
    """Return the mean spectrum of each observation, split by class, and the wavelengths."""
    means = {"active": [], "preflare": []}
    for observation, surface in drawn(**options):
        counts, wavelength = spectra(observation, surface, **options)
        means[observation.label].append(counts.mean(axis=0))
    return np.array(means["active"]), np.array(means["preflare"]), wavelength


def shift_between(before, after, wavelength):
    """Return by how much one mean spectrum is moved against another, km/s (least squares)."""
    slope = np.gradient(before.mean(axis=0), wavelength)
    difference = (after - before).mean(axis=0)
    shift = -(difference * slope).sum() / (slope**2).sum()
    return shift / wavelength.mean() * 299792.458


def share_between_regions(shared, name="slope"):
    """Return the variance of region means over the whole variance of a trait without a class."""
    groups = {}
    for observation, surface in drawn(
        regions=60, steps=2, slit=30, shared_traits=shared, correlation=0.0
    ):
        groups.setdefault(observation.region.number, []).append(surface.traits[name].ravel())
    values = [np.concatenate(group) for group in groups.values()]
    return np.var([group.mean() for group in values]) / np.concatenate(values).var()


def test_half_of_the_regions_flare_one_of_each_pair():
    survey = Survey(regions=40)
    flaring = np.array([draw_region(survey, number).flaring for number in range(40)])
    assert np.array_equal(flaring[0::2], ~flaring[1::2])
    assert 4 < flaring[0::2].sum() < 16


def test_the_observations_of_a_region_are_of_one_class_unless_it_is_mixed():
    for mixed, classes in ((0.0, 1), (1.0, 2)):
        survey = Survey(regions=6, mixed_regions=mixed)
        for number in range(6):
            labels = {draw_observation(survey, 2 * number + member).label for member in (0, 1)}
            assert len(labels) == classes


def test_every_region_stays_on_the_disk_for_as_many_observations_as_there_may_be():
    survey = Survey(regions=30, observations=6)
    for index in range(survey.total):
        observation = draw_observation(survey, index)
        assert np.hypot(observation.x, observation.y) < 940


def test_flares_of_other_regions_and_without_a_region_are_listed_too():
    survey = Survey(regions=12)
    numbers = [flare.number for flare in draw_flare_list(survey)]
    own = set(range(20_001, 20_013))
    assert len([number for number in numbers if number in own]) == 12 + 6
    assert 0 < numbers.count(0) <= 12
    assert len([number for number in numbers if 10_000 < number < 20_000]) == 12
    assert numbers.count(10_000) == 2


def test_no_flare_without_a_region_is_near_an_observation():
    survey = Survey(regions=200, slit=10)
    observations = [draw_observation(survey, index) for index in range(survey.total)]
    unknown = [flare for flare in draw_flare_list(survey) if flare.number == 0]
    assert len(unknown) < 200
    for flare in unknown:
        apart = min(abs(flare.start - each.start) for each in observations)
        assert apart > np.timedelta64(24, "h")


@pytest.mark.parametrize(
    ("shared", "low", "high"), [(0.0, 0, 0.12), (0.5, 0.25, 0.6), (1.0, 0.6, 1)]
)
def test_the_strength_of_shared_traits_sets_what_regions_have_in_common(shared, low, high):
    assert low <= share_between_regions(shared) <= high


def test_observations_of_one_region_share_more_than_those_of_two():
    groups = {}
    for observation, surface in drawn(regions=60, steps=2, slit=30, shared_traits=1.0):
        groups.setdefault(observation.region.number, []).append(surface.traits["slope"].mean())
    pairs = np.array(list(groups.values()))
    assert np.corrcoef(pairs.T)[0, 1] > 0.5
    assert abs(np.corrcoef(pairs[:-1, 0], pairs[1:, 1])[0, 1]) < 0.35


@pytest.mark.parametrize(("length", "low", "high"), [(0.0, -0.1, 0.1), (2.0, 0.65, 0.8)])
def test_neighbours_along_the_slit_are_alike_over_the_correlation_length(length, low, high):
    surfaces = drawn(regions=30, shared_traits=0.0, correlation=length)
    values = np.array([surface.traits["slope"][0] for _, surface in surfaces])
    # three quarters smooth, and exp(-d²/2) of one row in 2 arcsec
    assert low < (values[..., 1:] * values[..., :-1]).mean() / (values**2).mean() < high


def test_patches_are_some_arcseconds_long():
    lengths = []
    for _, surface in drawn(regions=20):
        changes = (np.diff(surface.patch[0].astype(int), axis=1) != 0).sum()
        lengths.append(surface.patch[0].size / (changes + surface.patch.shape[1]) * ROW_ARCSEC)
    assert 2 < np.mean(lengths) < 8


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.6])
def test_kernels_cover_the_share_of_the_slit_that_was_asked_for(fraction):
    for observation, surface in drawn(regions=4, kernel_fraction=fraction, impostor_fraction=0.1):
        asked = 0.1 if observation.flare is None else fraction
        assert (surface.patch == PREFLARE).mean() == pytest.approx(asked, abs=0.01)


def test_patches_have_the_traits_of_their_kind():
    values = {kind: [] for kind in (QUIET, ACTIVE, PREFLARE)}
    for _, surface in drawn(regions=40):
        for kind, found in values.items():
            found.append(surface.traits["amplitude"][surface.patch == kind])
    quiet, active, flaring = (np.concatenate(found).mean() for found in values.values())
    assert quiet + 0.4 < active
    assert active + 0.1 < flaring


@pytest.mark.parametrize("agreement", [0.0, 0.8, 1.0])
def test_the_flare_brightens_at_the_kernel_as_often_as_was_asked_for(agreement):
    options = {"regions": 100, "steps": 2, "slit": 20, "brightening_agreement": agreement}
    surfaces = [s for o, s in drawn(**options) if o.flare is not None]
    assert np.mean([s.at_kernel for s in surfaces]) == pytest.approx(agreement, abs=0.09)
    rank = [
        np.mean(s.kernels.at(_points(options)) <= s.kernels.at(_points(options)[s.brightening]))
        for s in surfaces
    ]
    assert np.mean(rank) == pytest.approx(0.5 + 0.49 * agreement, abs=0.09)


def _points(options):
    survey = Survey(**CLEAN | options)
    step, row = np.indices((survey.steps, survey.slit)).astype(float)
    west, north = (step - (survey.steps - 1) / 2) * 2, (row - (survey.slit - 1) / 2) * ROW_ARCSEC
    return np.stack([west, north, np.full_like(west, survey.cadence / 2)], axis=-1)


def test_a_field_has_variance_one_and_falls_off_over_its_length():
    rng = np.random.default_rng(3)
    line = np.stack([np.arange(0, 40, 0.5), np.zeros(80), np.zeros(80)], axis=-1)
    fields = np.array([Waves.draw(rng, 2.0).at(line) for _ in range(800)])
    assert fields.var() == pytest.approx(1, abs=0.05)
    assert (fields[:, 0] * fields[:, 4]).mean() == pytest.approx(np.exp(-0.5), abs=0.08)


def test_the_fiducial_row_is_dark_and_pixels_without_data_are_filled():
    observation, surface = drawn(regions=2)[0]
    counts = expose_raster(Survey(**CLEAN | {"regions": 2}), observation, surface, 0)
    assert np.all(counts[:, -1] == FILL)
    assert np.all(counts[:, :, [0, -1]] == FILL)
    level = np.median(counts[:, :-1, 1:-1], axis=(0, 2))
    near = [observation.fiducial - 1, observation.fiducial + 1]
    assert level[observation.fiducial] < 0.5 * level[near].mean()


def test_counts_follow_exposure_time_and_summed_pixels():
    single = by_class(regions=2)
    longer = by_class(regions=2, exposure=8.0)
    native = by_class(regions=2, sampling=NATIVE_SAMPLING)
    for ours, slow, fine in zip(single[:2], longer[:2], native[:2], strict=True):
        assert slow.mean() / ours.mean() == pytest.approx(2, rel=0.02)
        assert ours.mean() / fine.mean() == pytest.approx(2, rel=0.02)


def test_no_slit_jaw_frame_brightens_when_no_flare_follows():
    options = {"regions": 2, "frames": 4, "frame_size": 20}
    for observation, surface in drawn(**options):
        frames = expose_frames(Survey(**CLEAN | options), observation, surface)
        assert frames.brightening.any() == (observation.flare is not None)


def test_without_cheats_the_classes_have_the_same_zero_point_slope_and_fiducial():
    survey = Survey(regions=400)
    found = {"active": [], "preflare": []}
    for index in range(survey.total):
        each = draw_observation(survey, index)
        found[each.label].append((each.region.zero_point, each.zero_point, each.fiducial))
    active, flaring = (np.array(rows) for rows in found.values())
    error = np.hypot(active.std(axis=0), flaring.std(axis=0)) / np.sqrt(200)
    assert np.all(np.abs(active.mean(axis=0) - flaring.mean(axis=0)) < 3 * error)


def test_a_planted_zero_point_moves_pre_flare_spectra():
    options = {"regions": 8, "steps": 2, "slit": 30}
    before, after = by_class(**options), by_class(wavelength_zero_point=2.0, **options)
    assert shift_between(before[0], after[0], before[2]) == pytest.approx(0, abs=0.1)
    assert shift_between(before[1], after[1], before[2]) == pytest.approx(2, abs=0.1)


def test_a_planted_slope_tilts_pre_flare_continua():
    slopes = {"active": [], "preflare": []}
    for observation, surface in drawn(regions=8, shared_traits=0.0, continuum_slope=0.05):
        slopes[observation.label].append(surface.traits["slope"].mean())
    assert np.mean(slopes["active"]) == pytest.approx(0, abs=0.005)
    assert np.mean(slopes["preflare"]) == pytest.approx(0.05, abs=0.005)
    active, flaring, wavelength = by_class(regions=8, shared_traits=0.0, continuum_slope=0.05)
    ends = [np.abs(wavelength - line) < 0.3 for line in (2793.8, 2805.0)]
    tilt = [(means[:, ends[1]] / means[:, ends[0]].mean()).mean() for means in (active, flaring)]
    assert tilt[1] / tilt[0] > 1.4


def test_a_planted_fiducial_row_tells_the_class():
    for observation, _ in drawn(regions=8, fiducial_row=True):
        assert observation.fiducial == (15 if observation.flare is None else 45)


@pytest.mark.parametrize("place", ["k", "h", "middle"])
def test_a_planted_box_stands_at_its_wavelengths_in_one_class_only(place):
    plain = {"regions": 2, "shared_traits": 0.0}
    boxed = plain | {"box": place, "box_height": 0.3, "box_width": 0.6}
    before, after = by_class(**plain), by_class(**boxed)
    wavelength = before[2]
    inside = np.abs(wavelength - BOXES[place]) <= 0.3
    assert np.allclose(before[0], after[0], atol=1.5)
    added = (after[1] - before[1]).mean(axis=0)
    assert np.abs(added[~inside]).max() < 15
    assert added[inside].min() > 100
    assert added[inside].std() < 0.1 * added[inside].mean()


def test_cheats_agree_with_the_class_as_often_as_was_asked_for():
    survey = Survey(regions=150, cheat_agreement=0.7)
    observations = [draw_observation(survey, index) for index in range(survey.total)]
    agree = [each.planted == (each.flare is not None) for each in observations]
    assert np.mean(agree) == pytest.approx(0.7, abs=0.07)


@pytest.mark.real_data
def test_whole_spectrograms_have_about_the_counts_of_real_ones(real_data):
    files = sorted(real_data.glob("iris/20140329*/*raster/*.fits"))
    real = np.concatenate([fits.getdata(file, 9).ravel() for file in files])
    survey = Survey(seed=0, regions=20)
    ours = []
    for index in range(survey.total):
        observation = draw_observation(survey, index)
        surface = draw_surface(survey, observation)
        ours.append(expose_raster(survey, observation, surface, 0).ravel())
    counts = np.concatenate(ours)
    percentiles = [50, 90, 99]
    theirs = np.percentile(real[real > -100], percentiles)
    assert np.percentile(counts[counts > FILL], percentiles) == pytest.approx(theirs, rel=0.3)
