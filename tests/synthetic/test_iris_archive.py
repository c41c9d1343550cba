import csv
import inspect
import warnings
from datetime import datetime, timedelta

import numpy as np
import pytest
from astropy.io import fits
from irispy.io.sji import read_sji_lvl2
from irispy.io.spectrograph import read_spectrograph_lvl2

from solarxai.catalog import Catalog
from solarxai.errors import SynthesisError
from solarxai.events.labels import LabelRule, label_exposures
from solarxai.events.swpc import read_swpc
from solarxai.synthetic.iris_archive import (
    flare_list,
    observation_count,
    observation_files,
    write_iris,
    write_iris_catalog,
    write_observation,
)
from solarxai.synthetic.iris_survey import Survey, draw_observation

SMALL = {"regions": 4, "observations": 2, "seed": 7, "slit": 24, "frames": 5, "frame_size": 24}
WINDOW = "Mg II k 2796"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("iris")
    write_iris(out, **SMALL)
    return out


@pytest.fixture(scope="module")
def observations():
    return [draw_observation(Survey(**SMALL), index) for index in range(8)]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def raster(files):
    with warnings.catch_warnings():
        # irispy takes the root of the -200 DN of pixels without data
        warnings.filterwarnings("ignore", "invalid value encountered in sqrt")
        return read_spectrograph_lvl2(list(map(str, files)), uncertainty=True)[WINDOW]


def sky(cube, column, row, step):
    """Return helioprojective (x, y), arcsec, of a pixel."""
    _, y, x = cube.wcs.pixel_to_world_values(column, row, step)
    turn = 3600 if abs(x) < 1 else 1
    return float(x) * turn, float(y) * turn


def test_the_same_seed_gives_the_same_bytes_in_any_folder_and_order(folder, tmp_path):
    for index in reversed(range(8)):
        write_observation(tmp_path / "elsewhere", index=index, **SMALL)
    write_iris_catalog(tmp_path / "elsewhere", **SMALL)
    assert contents(tmp_path / "elsewhere") == contents(folder)


def test_another_seed_gives_other_spectra(tmp_path):
    ours, theirs = (
        write_observation(tmp_path, index=0, **SMALL | {"seed": seed}) for seed in (7, 8)
    )
    assert not np.array_equal(fits.getdata(ours[0], 1), fits.getdata(theirs[0], 1))


def test_the_files_are_those_foretold(folder, observations):
    foretold = [path for i in range(8) for path in observation_files(folder, index=i, **SMALL)]
    assert observation_count(**SMALL) == 8
    assert sorted(foretold) == sorted(folder.glob("*.fits"))
    assert foretold[0].name == f"iris_l2_{observations[0].name}_raster_t000_r00000.fits"


def test_the_survey_and_write_iris_have_the_same_options_and_defaults():
    written = inspect.signature(write_iris).parameters
    drawn = inspect.signature(Survey).parameters
    assert {n: p.default for n, p in written.items() if n != "out"} == {
        n: p.default for n, p in drawn.items()
    }


def test_irispy_reads_wavelengths_times_and_places_of_every_raster(folder, observations):
    survey = Survey(**SMALL)
    for observation in observations:
        cubes = raster(observation_files(folder, index=observation.index, **SMALL)[:4:2])
        assert len(cubes) == 2
        for number, cube in enumerate(cubes):
            assert cube.data.shape == (4, 24, survey.wavelength.size)
            wavelength = cube.axis_world_coords_values("em.wl")[0] * 1e10
            assert np.allclose(np.asarray(wavelength, float), survey.wavelength, atol=1e-6)
            (times,) = cube.axis_world_coords("time", wcs=cube.extra_coords)
            expected = (number * 4 + np.arange(4)) * survey.cadence
            seconds = (times.datetime64 - observation.start) / np.timedelta64(1, "ms") / 1000
            assert np.allclose(seconds, expected, atol=2e-3)
            middle = sky(cube, 0, 11.5, 1.5)
            assert middle == pytest.approx((observation.x, observation.y), abs=0.01)
            assert cube.meta["exposure time"].to_value("s").tolist() == [4.0] * 4


def test_irispy_finds_the_noise_and_the_pixels_without_data(folder):
    cube = raster(observation_files(folder, index=0, **SMALL)[:1])[0]
    kept = ~cube.mask
    assert np.array_equal(cube.mask, cube.data == -200)
    assert cube.mask[:, -1].all()
    assert not cube.mask[:, :-1, 1:-1].any()
    noise = np.sqrt(np.maximum(cube.data / 18 + 1.2**2, 0))[kept]
    assert np.allclose(cube.uncertainty.array[kept], noise, rtol=1e-4)


def test_the_auxiliary_columns_stand_where_the_keywords_say(folder, observations):
    path = observation_files(folder, index=0, **SMALL)[0]
    with fits.open(path) as units:
        header, table = units[-2].header, units[-2].data
        assert [type(unit).__name__ for unit in units] == [
            "PrimaryHDU", "ImageHDU", "ImageHDU", "TableHDU",
        ]  # fmt: skip
        assert table.shape == (4, 47)
        assert np.allclose(np.diff(table[:, header["TIME"]]), 5.4)
        assert np.all(table[:, header["EXPTIMEN"]] == 4.0)
        middle = table[:, header["XCENIX"]].mean(), table[:, header["YCENIX"]].mean()
        assert middle == pytest.approx((observations[0].x, observations[0].y), abs=1e-9)
        assert units[0].header["TWMAX1"] == Survey(**SMALL).wavelength[-1]
        assert units[0].header["STARTOBS"] == str(observations[0].start)
    with fits.open(path, do_not_scale_image_data=True) as units:
        assert units[1].data.dtype == np.dtype(">i2")
        assert (units[1].header["BSCALE"], units[1].header["BZERO"]) == (0.25, 7992)
        assert units[1].data.min() == -32768


@pytest.mark.real_data
def test_the_headers_have_the_keywords_of_a_real_raster(folder, real_data):
    real = next(real_data.glob("iris/20140329*/*raster/*_r00000.fits"))
    ours = observation_files(folder, index=0, **SMALL)[0]
    window, auxiliary = fits.getheader(real, 9), fits.getheader(real, 10)
    assert set(fits.getheader(ours, 1)) >= set(window) - {""}
    columns = [name for name, place in auxiliary.items() if name in fits.getheader(ours, 2)]
    same = {name: auxiliary[name] for name in columns if not name.startswith("NAXIS")}
    assert {name: fits.getheader(ours, 2)[name] for name in same} == same
    read = {
        "TDET1", "TDESC1", "TWAVE1", "TWMIN1", "TWMAX1", "STARTOBS", "ENDOBS", "OBSID", "SAA",
        "STEPS_AV", "FOVX", "FOVY", "XCEN", "YCEN", "NWIN", "EXPTIME", "DATE_OBS", "DATE_END",
        "SAT_ROT", "SUMSPTRN", "SUMSPAT", "NRASTERP", "RASNRPT", "DATA_LEV", "INSTRUME", "BUNIT",
    }  # fmt: skip
    assert read <= set(fits.getheader(ours)) & set(fits.getheader(real))


def test_a_sit_and_stare_observation_stays_where_it_is(tmp_path):
    files = write_observation(tmp_path, index=0, sit_and_stare=1.0, **SMALL)
    header = fits.getheader(files[0])
    assert fits.getheader(files[0], 1)["CDELT3"] == 0
    assert (header["STEPS_AV"], header["FOVX"]) == (0, 0.33)
    cube = raster(files[:1])[0]
    assert sky(cube, 0, 5, 0) == pytest.approx(sky(cube, 0, 5, 3), abs=1e-3)
    rise = np.subtract(sky(cube, 0, 15, 0), sky(cube, 0, 5, 0))
    assert np.hypot(*rise) == pytest.approx(3.327, abs=1e-3)


def test_a_flipped_observation_is_the_same_sun_after_irispy_turned_it(tmp_path):
    files = write_observation(tmp_path, index=0, flipped=1.0, **SMALL)
    assert fits.getheader(files[0])["STEPS_AV"] < -0.01
    cube = raster(files[:1])[0]
    assert np.array_equal(cube.data, fits.getdata(files[0], 1)[::-1])
    assert sky(cube, 0, 0, 3)[0] > sky(cube, 0, 0, 0)[0] + 5
    (times,) = cube.axis_world_coords("time", wcs=cube.extra_coords)
    assert times[0] > times[-1]
    columns = fits.getdata(files[0], 2)[:, 13]
    assert columns[0] == pytest.approx(columns[-1] + 6, abs=0.01)


def test_an_observation_in_the_anomaly_says_so_and_is_struck(tmp_path):
    files = write_observation(tmp_path, index=0, saa=1.0, **SMALL)
    calm = write_observation(tmp_path / "calm", index=0, cosmic_rays=0.0, **SMALL)
    assert fits.getheader(files[0])["SAA"].split() == ["1"]
    assert fits.getheader(calm[0])["SAA"].split() == ["0"]
    struck = fits.getdata(files[0], 1) > fits.getdata(calm[0], 1).max() + 50
    assert struck.sum() > 20
    spread = fits.getdata(files[0], 1) - fits.getdata(calm[0], 1)
    assert 100 < (spread > 150).sum() < 2000


def test_dust_darkens_the_rows_the_truth_names(folder, observations):
    for observation in observations:
        image = observation_files(folder, index=observation.index, **SMALL)[0]
        truth = fits.getheader(image.with_suffix(".truth.fits"))
        assert truth["DUST"] == " ".join(map(str, observation.dust))
        rows = np.median(fits.getdata(image, 1)[:, :-1, 5:-5], axis=(0, 2))
        for row in set(observation.dust) - {23}:
            assert rows[row] < 0.1 * np.median(rows)


def test_irispy_opens_the_slit_jaw_frames(folder, observations):
    for observation in observations[:4]:
        path = observation_files(folder, index=observation.index, **SMALL)[4]
        cube = read_sji_lvl2(str(path))
        assert cube.data.shape == (5, 24, 24)
        assert abs((cube.time[0].datetime64 - observation.start) / np.timedelta64(1, "ms")) <= 1
        assert abs((cube.time[-1].datetime64 - observation.last) / np.timedelta64(1, "ms")) <= 1


def test_the_flare_brightens_where_and_when_the_truth_says(folder, observations):
    flaring = [o for o in observations if o.flare is not None]
    assert len(flaring) == 4
    for observation in flaring:
        path = observation_files(folder, index=observation.index, **SMALL)[4]
        truth = path.with_suffix(".truth.fits")
        where, table = fits.getheader(truth), fits.getdata(truth, 1)
        grown = fits.getdata(path)[-1] - fits.getdata(path)[0]
        row, column = np.unravel_index(grown.argmax(), grown.shape)
        assert abs(row - where["ROW"]) <= 2
        assert abs(column - where["COLUMN"]) <= 4
        quiet = (
            table["seconds"] <= (observation.flare.start - observation.start).astype(float) / 1000
        )
        assert not table["brightening"][quiet].any()
        assert table["brightening"][-1] > 1900


def test_the_brightening_lies_on_the_raster_position_of_the_truth(folder, observations):
    observation = next(o for o in observations if o.flare is not None)
    files = observation_files(folder, index=observation.index, **SMALL)
    where = fits.getheader(files[5])
    x, y = sky(raster(files[:1])[0], 0, where["FL_SLIT"], where["FL_STEP"])
    header = fits.getheader(files[4])
    across = (where["COLUMN"] + 1 - header["CRPIX1"]) * header["CDELT1"]
    up = (where["ROW"] + 1 - header["CRPIX2"]) * header["CDELT2"]
    assert x == pytest.approx(
        header["CRVAL1"] + header["PC1_1"] * across + header["PC1_2"] * up, abs=0.01
    )
    assert y == pytest.approx(
        header["CRVAL2"] + header["PC2_1"] * across + header["PC2_2"] * up, abs=0.01
    )


def test_the_truth_of_a_raster_has_a_row_a_spectrum(folder, observations):
    image, truth = observation_files(folder, index=0, **SMALL)[:2]
    table, header = fits.getdata(truth, 1), fits.getheader(truth)
    assert len(table) == 4 * 24
    assert table["slit"].reshape(4, 24).tolist() == [list(range(24))] * 4
    assert header["LABEL"] == observations[0].label
    assert f"NOAA {header['NOAA_AR']}" == f"NOAA {observations[0].region.number}"
    counts = fits.getdata(image, 1).reshape(96, -1)
    bright = np.exp(table["amplitude"])
    peaks = counts[:, 5:-5].max(axis=1)
    clear = ~np.isin(table["slit"], [23, observations[0].fiducial, *observations[0].dust])
    assert np.corrcoef(np.log(bright[clear]), np.log(peaks[clear]))[0, 1] > 0.8


def test_the_catalog_names_every_file_with_its_region(folder, observations):
    catalog = Catalog.load(folder / "catalog.yaml")
    assert str(folder) not in (folder / "catalog.yaml").read_text()
    assert not catalog.problems()
    readers = [reference.instrument for reference in catalog.references]
    assert (readers.count("iris_raster"), readers.count("iris_sji")) == (16, 8)
    assert [r.region for r in catalog.references[::6]] == [
        f"NOAA {each.region.number}" for each in observations[::2]
    ]
    assert all(reference.truth is not None for reference in catalog.references)


def flares(folder):
    with (folder / "flares.csv").open() as file:
        header = file.readline().rstrip("\n").split(",")
        rows = [line[1:] for line in csv.reader(file)]
    return [dict(zip(header, row, strict=True)) for row in rows]


def when(flare, column="start_time"):
    return datetime.strptime(flare["date"] + flare[column], "%Y%m%d%H%M")


def test_flares_follow_pre_flare_observations_within_half_an_hour(folder, observations):
    listed = flares(folder)
    for observation in observations:
        end = observation.end.astype("datetime64[us]").item()
        start = observation.start.astype("datetime64[us]").item()
        own = [f for f in listed if f["noaa_ar"] in (str(observation.region.number), " " * 5)]
        after = [(when(flare) - end) / timedelta(minutes=1) for flare in own]
        if observation.flare is not None:
            assert sum(5 <= minutes <= 25 for minutes in after) == 1
        else:
            day = timedelta(hours=24)
            assert not [f for f in own if start - day < when(f) < end + day]


@pytest.mark.parametrize("mixed", [0.0, 1.0])
def test_the_label_rule_gives_every_exposure_the_class_it_was_drawn_with(tmp_path, mixed):
    options = {**SMALL, "regions": 12, "mixed_regions": mixed}
    survey = Survey(**options)
    path = tmp_path / "flares.csv"
    path.write_text(flare_list(survey))
    rule = LabelRule(window=25.0, quiet_hours=24.0, unknown_hours=24.0)
    listed = read_swpc(path)
    assert not listed.malformed
    for index in range(survey.total):
        observation = draw_observation(survey, index)
        after = (np.arange(8) * survey.cadence * 1000).astype("timedelta64[ms]")
        region = f"NOAA {observation.region.number}"
        table = label_exposures(observation.start + after, region, listed, rule)
        assert set(table.label) == {observation.label}
        if observation.flare is not None:
            assert set(table.flare_class) == {observation.flare.goes_class}


@pytest.mark.real_data
def test_the_flare_list_has_the_columns_of_the_real_one(folder, real_data):
    real = real_data / "events" / "swpc_flarelist_20100101-20210810.csv"
    ours = (folder / "flares.csv").read_text().splitlines()
    theirs = real.read_text().splitlines()
    assert ours[0] == theirs[0]
    assert [len(word) for word in ours[1].split(",")][3:10] == [
        len(word) for word in theirs[1].split(",")
    ][3:10]
    assert len(ours[1].split(",")) == len(theirs[1].split(","))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regions": 0}, "regions 0 is less than 1"),
        ({"observations": 7}, "observations 7 is more than 6"),
        ({"kernel_fraction": 1.5}, "kernel_fraction 1.5 is outside 0 to 1"),
        ({"quiet_fraction": 0.7, "kernel_fraction": 0.6}, "are together above 1"),
        ({"box": "x"}, "box 'x' is not one of none, k, h, middle"),
        ({"sampling": 0.0}, "sampling 0.0 is not above 0"),
        ({"longest": 2800.0}, "does not hold k and h"),
        ({"regoins": 4}, "the options are not those of write_iris"),
        ({"index": 32}, "observation 32 is outside 0 to 31"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_a_file_is_made(tmp_path, options, message):
    with pytest.raises(SynthesisError, match=message):
        write_observation(tmp_path / "out", **{"index": 0} | options)
    assert not (tmp_path / "out").exists()


def test_an_observation_that_is_not_written_cannot_be_catalogued(tmp_path):
    write_observation(tmp_path, index=0, **SMALL)
    with pytest.raises(SynthesisError, match="has not been written, so the catalog cannot"):
        write_iris_catalog(tmp_path, **SMALL)
