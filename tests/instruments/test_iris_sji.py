"""IRIS slit-jaw images become a movie whose frames have the right times and places."""

import json

import numpy as np
import pytest
from iris_files import FILL, PITCH, write_sji
from scipy.ndimage import zoom
from solar_files import refer

from solarxai.catalog import Catalog
from solarxai.errors import IngestError
from solarxai.instruments import open_instrument
from solarxai.schema import observation_wcs

START = np.datetime64("2014-03-29T14:09:38.830", "ns")


def read(path, **options):
    return open_instrument("iris_sji").read(refer(path, "iris_sji", **options))


def seconds(movie):
    return (movie["time"].values - START) / np.timedelta64(1, "s")


def test_a_movie_has_counts_and_a_time_for_each_frame(tmp_path):
    movie = read(write_sji(tmp_path / "a.fits", columns={"EXPTIMES": [4.0, 2.0, 8.0]}))
    assert dict(movie.sizes) == {"frame": 3, "y": 8, "x": 10}
    assert movie["intensity"].dtype == np.float32
    assert movie["intensity"].attrs["units"] == "DN"
    assert movie["valid"].all()
    np.testing.assert_array_equal(movie["intensity"][1, 0], 100 + np.arange(10))
    assert movie["time"].dtype == np.dtype("datetime64[ns]")
    assert seconds(movie) == pytest.approx([2.1, 21.1, 44.1])
    assert movie["exposure_time"].values.tolist() == [4, 2, 8]


def test_a_movie_says_what_it_is(tmp_path):
    said = read(write_sji(tmp_path / "a.fits")).attrs
    assert (said["channel"], said["quantity"]) == ("SJI_1400", "slit-jaw intensity")
    assert said["observation"] == "20140329_140938_3860258481"
    assert (said["instrument"], said["saturation"]) == ("iris_sji", 0)
    assert said["scale_mm"] == pytest.approx(PITCH / 206264.806 * (1.49372e11 - 6.957e8) / 1e6)
    assert not any(str(tmp_path) in str(value) for value in said.values())
    json.dumps(said)


def test_fill_nan_and_saturation_are_not_valid(tmp_path):
    values = np.full((2, 4, 6), 50, np.float32)
    values[0, 0, :4] = [FILL, np.nan, 16182.0, np.inf]
    movie = read(write_sji(tmp_path / "a.fits", values))
    assert np.argwhere(~movie["valid"].values).tolist() == [[0, 0, x] for x in range(4)]
    np.testing.assert_array_equal(np.isfinite(movie["intensity"]), movie["valid"])
    assert movie.attrs["saturation"] == 2


def test_dust_stays_and_is_noted(tmp_path):
    values = np.full((2, 9, 9), 50, np.float32)
    values[0, 4, 4] = 0.0
    movie = read(write_sji(tmp_path / "a.fits", values))
    assert movie["valid"].all()
    assert float(movie["intensity"][0, 4, 4]) == 0.0
    assert f"dust is not removed: {100 * 9 / 162:.2f} %" in movie.attrs["notes"]
    clean = read(write_sji(tmp_path / "b.fits", np.full((2, 9, 9), 50, np.float32)))
    assert "dust" not in clean.attrs["notes"]


def test_coordinates_place_the_middle_frame_and_each_frame_has_its_own_centre(tmp_path):
    movie = read(write_sji(tmp_path / "a.fits"))
    x, y = observation_wcs(movie).wcs_pix2world(4.5, 3.5, 0)
    assert (x * 3600, y * 3600) == (pytest.approx(491.0), pytest.approx(280.0))
    assert movie["solar_x"].values.tolist() == [490, 491, 492]
    up = np.array(observation_wcs(movie).wcs_pix2world(4.5, 7.5, 0)) * 3600 - [491.0, 280.0]
    lean = [np.sin(0.01127), np.cos(0.01127)]
    np.testing.assert_allclose(up, 4 * PITCH * np.array(lean), atol=1e-5)


def test_the_slit_is_where_the_table_says_counted_from_zero(tmp_path):
    movie = read(write_sji(tmp_path / "a.fits", columns={"SLTPX1IX": [5.0, 7.0, 3000.0]}))
    np.testing.assert_array_equal(movie["slit_x"], [4.0, 6.0, np.nan])
    np.testing.assert_array_equal(movie["slit_y"], [3.0] * 3)


def test_a_lost_frame_is_not_valid(tmp_path):
    lost = {word: [1.0, 0.0, 1.0] for word in ("PC1_1IX", "SLTPX1IX", "XCENIX")} | {"PC1_2IX": 0.0}
    movie = read(write_sji(tmp_path / "a.fits", columns=lost))
    assert movie["valid"].all(("y", "x")).values.tolist() == [True, False, True]
    assert np.isnan(movie["intensity"][1]).all()
    assert np.isnan(movie["slit_x"][1])
    assert "1 frames at or beside lost exposures are not valid" in movie.attrs["notes"]


def zoomed(path, *, frames=60, lost=(), **changes):
    """Write frames zoomed tenfold in time, y and x as the real set is; the table is left whole."""
    values = np.empty((frames, 40, 50), np.float32)
    values[:] = 100 + np.arange(frames)[:, None, None]
    values[list(lost)] = FILL
    field = {"FOVX": 50 * PITCH, "FOVY": 40 * PITCH}
    sound = np.isin(np.arange(frames), lost, invert=True)
    columns = {"PC1_1IX": np.cos(0.01127) * sound, "PC1_2IX": np.sin(0.01127) * sound}
    return write_sji(path, zoom(values, 0.1), cards=field, columns=columns | changes, rows=frames)


def test_times_of_frames_resampled_in_time_are_recovered(tmp_path):
    movie = read(zoomed(tmp_path / "a.fits"))
    assert movie.sizes["frame"] == 6
    assert seconds(movie) == pytest.approx(2.1 + 20 * np.linspace(0, 59, 6))
    np.testing.assert_allclose(movie["intensity"][:, 1, 1], 100 + np.linspace(0, 59, 6), atol=0.01)
    assert np.isnan(movie["slit_x"]).all()
    notes = movie.attrs["notes"]
    assert "6 frames, but the auxiliary table has 60 rows: resampled in time" in notes
    assert "resampled from 50 pixels, 2.0378 arcsec a pixel used" in notes
    assert "resampled from 40 pixels, 2.1625 arcsec a pixel used" in notes


def test_frames_blended_with_lost_exposures_are_not_valid(tmp_path):
    lost = (22, 23, 24)
    movie = read(zoomed(tmp_path / "a.fits", lost=lost))
    assert movie["valid"].any(("y", "x")).values.tolist() == [True, True, False, True, True, True]
    kept = [0, 1, 3, 4, 5]
    expected = 100 + np.linspace(0, 59, 6)[kept]
    np.testing.assert_allclose(movie["intensity"].values[kept, 1, 1], expected, atol=0.6)


def test_fewer_rows_than_frames_are_refused(tmp_path):
    with pytest.raises(IngestError, match=r"a.fits: 3 frames, but its auxiliary table has 2 rows"):
        read(write_sji(tmp_path / "a.fits", rows=2))


def test_a_movie_takes_no_options(tmp_path):
    with pytest.raises(IngestError, match="'frame' is not an option of this reader: it has none"):
        read(write_sji(tmp_path / "a.fits"), frame=1)


@pytest.mark.parametrize(("word", "said"), [("IN", True), ("           0", False)])
def test_the_anomaly_is_noted(tmp_path, word, said):
    notes = read(write_sji(tmp_path / "a.fits", cards={"SAA": word})).attrs["notes"]
    assert ("South Atlantic Anomaly" in notes) == said


@pytest.fixture
def movies(real_data, pytestconfig):
    def opened(catalog):
        found = Catalog.load(
            pytestconfig.rootpath / "data_catalogs" / catalog,
            variables={"SOLARXAI_REAL_DATA": str(real_data)},
        )
        each = [r for r in found.references if r.instrument == "iris_sji"]
        return [open_instrument("iris_sji").read(reference) for reference in each]

    return opened


@pytest.mark.real_data
def test_the_real_movies_of_2014_have_the_times_of_their_runs(movies):
    found = {movie.attrs["channel"]: movie for movie in movies("iris_ar12017.yaml")}
    # DATE_OBS and DATE_END are the starts of the first and the last exposure.
    runs = {
        "SJI_1400": (54, "14:09:38.930", "17:54:08.106", (8.0, 1.80789)),
        "SJI_2796": (72, "14:09:48.490", "17:54:11.310", (8.0, 8.0)),
        "SJI_2832": (18, "14:09:57.930", "17:53:24.770", (8.0, 8.0)),
    }
    for channel, (frames, first, last, exposure) in runs.items():
        time = found[channel]["time"].values
        assert dict(found[channel].sizes) == {"frame": frames, "y": 109, "x": 110}
        assert (np.diff(time) > np.timedelta64(60, "s")).all()
        for seen, start, length in zip(time[[0, -1]], (first, last), exposure, strict=True):
            middle = np.datetime64(f"2014-03-29T{start}") + np.timedelta64(
                round(length * 500), "ms"
            )
            assert abs(seen - middle) < np.timedelta64(20, "ms")


@pytest.mark.real_data
def test_frames_of_2014_blended_with_lost_exposures_are_found(movies):
    lost = {}
    for movie in movies("iris_ar12017.yaml"):
        kept = movie["valid"].any(("y", "x")).values
        lost[movie.attrs["channel"]] = np.flatnonzero(~kept).tolist()
        middle = movie["intensity"].values[kept][:, 20:90, 20:90]
        assert np.nanpercentile(middle, 2, axis=(1, 2)).min() > 0
    assert lost == {"SJI_1400": [20, 21, 22], "SJI_2796": [26, 27, 28, 29], "SJI_2832": [6, 7]}


@pytest.mark.real_data
def test_the_slit_is_dark_where_the_real_tables_put_it(movies):
    depths, distances = [], []
    for movie in movies("iris_sji_20170502.yaml"):
        assert dict(movie.sizes) == {"frame": 16, "y": 77, "x": 148}
        if movie.attrs["channel"] not in ("SJI_2796", "SJI_2832"):
            continue
        for frame, slit in zip(movie["intensity"].values, movie["slit_x"].values, strict=True):
            near = frame[10:70, round(slit) - 3 : round(slit) + 4]
            level = np.nanmedian(near, axis=0)
            depths.append(level[3] / np.median(np.delete(level, 3)))
            distances.append(abs(slit - round(slit)))
    depths, distances = np.array(depths), np.array(distances)
    assert len(depths) == 32
    assert (depths[distances < 0.1] < 0.65).all()
    assert np.corrcoef(depths, distances)[0, 1] > 0.7


@pytest.mark.real_data
def test_the_real_movies_of_2017_lie_near_the_limb(movies):
    for movie in movies("iris_sji_20170502.yaml"):
        wcs = observation_wcs(movie)
        x, y = wcs.wcs_pix2world([0, 147], [38, 38], 0)
        assert (np.ptp(x * 3600), np.mean(x * 3600)) == (
            pytest.approx(246.4, abs=0.2),
            pytest.approx(818.7, abs=0.5),
        )
        assert np.mean(y * 3600) == pytest.approx(-107.5, abs=0.5)
        assert movie.attrs["observation"] == "20170502_052551_3893010094"
        assert movie.attrs["saturation"] == (4 if movie.attrs["channel"] == "SJI_2796" else 0)
