"""Maps and files carry the coordinates, the header and the pixels of their patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import sunpy.map
import xarray as xr
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS
from stored_runs import add, instant, rows

from solarxai import blocks
from solarxai.catalog import Catalog
from solarxai.errors import QueryError
from solarxai.ingest import ingest
from solarxai.query import SaliencyStore, open_store
from solarxai.schema import sample_wcs_header

HMI_HEADER = "\n".join(
    [
        "SIMPLE  =                    T",
        "BITPIX  =                   32",
        "NAXIS   =                    2",
        "NAXIS1  =                 4096",
        "NAXIS2  =                 4096",
        "BSCALE  =                  0.1",
        "BZERO   =               3000.0",
        "TELESCOP= 'SDO/HMI '",
        "INSTRUME= 'HMI_SIDE1'",
        "CONTENT = 'CONTINUUM INTENSITY'",
        "DATE-OBS= '2014-03-29T13:59:00'",
        "T_OBS   = '2014.03.29_14:00:35_TAI'",
        "TIMESYS = 'TAI     '",
        "CTYPE1  = 'HPLN-TAN'",
        "CTYPE2  = 'HPLT-TAN'",
        "CRPIX1  =              2048.25",
        "CRPIX2  =              2047.75",
        "CDELT1  =                  0.5",
        "CROTA2  =                180.0",
        "CRLN_OBS=            120.12345",
        "CRLT_OBS=               -6.789",
        "BUNIT   = 'DN/s    '",
        "WAVELNTH=               6173.0",
        "WAVEUNIT= 'Angstrom'",
        f"{'CADENCE =                 45.0 / ' + 'a comment that fills its card':80}",
        f"{'EXACTLY =   1.0E+00 / ' + 'a comment that fills its card' * 2:80}",
        "BROKEN  = 1.0.0",
        "ODD     = 'caf\u00e9    '",
        "!!!",
        "HISTORY calibrated",
        "HISTORY twice",
        "COMMENT a comment that stays",
    ]
)


def solar(coordinates: str) -> xr.Dataset:
    """Return three rows of an image with a rotated helioprojective or a Carrington system."""
    samples = rows([0, 30, 60])
    samples["header"] = ("sample", np.array([HMI_HEADER] * 3, dtype=object))
    samples["region"] = ("sample", np.array(["r\u00e9gion"] * 3, dtype=object))
    turn = np.deg2rad(179.93)
    made: dict[str, Any] = {
        "pc1_1": np.cos(turn), "pc1_2": -np.sin(turn), "pc2_1": np.sin(turn),
        "pc2_2": np.cos(turn), "cdelt1": 0.6893201, "cdelt2": 0.6893201,
        "crpix1": -733.123456789012, "crpix2": 812.98765432101,
        "crval1": 12.3456789012345, "crval2": -3.21098765432109,
        "dsun_obs": 149_417_123_456.7, "hglt_obs": -6.789012345678, "hgln_obs": 0.0123456789,
    }  # fmt: skip
    if coordinates == "carrington":
        made |= {
            "pc1_1": 1.0, "pc1_2": 0.0, "pc2_1": 0.0, "pc2_2": 1.0,
            "cdelt1": 0.041154321, "cdelt2": 0.041154321, "crval1": 283.123456789, "crval2": 0.0,
            "crpix1": 55.54321, "crpix2": 432.1, "lonpole": np.nan, "latpole": np.nan,
        }  # fmt: skip
        words = {"ctype1": "CRLN-CEA", "ctype2": "CRLT-CEA", "cunit1": "deg", "cunit2": "deg"}
        made |= {key: np.array([word] * 3, dtype=object) for key, word in words.items()}
    for key, value in made.items():
        filled = value if isinstance(value, np.ndarray) else np.full(3, value)
        samples[f"wcs_{key}"] = ("sample", filled)
    return samples


@pytest.fixture(scope="module", params=["helioprojective", "carrington"])
def sunlit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("sunlit") / "store"
    samples = solar(request.param)
    add(path, "0123456789abcdef" * 4, samples, ["expected_gradients", "gradient"])
    return open_store(path), samples


def assert_same_sky(made: WCS, samples: xr.Dataset, row: int) -> None:
    """Assert that every pixel stands where the sample's own header puts it, to 1e-9 arcsec."""
    y, x = np.mgrid[:16, :16]
    expected = WCS(sample_wcs_header(samples, row))
    assert list(made.wcs.ctype) == list(expected.wcs.ctype)
    for axis in (0, 1):
        gap = np.asarray(made.wcs_pix2world(x, y, 0)[axis]) - np.asarray(
            expected.wcs_pix2world(x, y, 0)[axis]
        )
        assert np.abs(gap * u.deg).max().to_value(u.arcsec) <= 1e-9


def test_maps_stand_where_the_samples_stood(sunlit: Any) -> None:
    store, samples = sunlit
    found = store.query()
    for method in ("image", "gradient", "expected_gradients_stderr"):
        for row, made in enumerate(store.to_maps(found, method)):
            assert_same_sky(made.wcs, samples, row)
            assert_same_sky(WCS(made.fits_header), samples, row)
            assert made.data.dtype == np.float32
            assert made.unit == u.dimensionless_unscaled
            np.testing.assert_array_equal(made.data, found[method][row])
            assert made.date.isot == str(samples["time"].values[row].astype("datetime64[ms]"))
            np.testing.assert_allclose(
                made.observer_coordinate.radius.to_value(u.m), 149_417_123_456.7
            )


def test_maps_keep_the_original_header(sunlit: Any) -> None:
    store, _ = sunlit
    (made, *_) = store.to_maps(store.query(), "gradient")
    assert made.meta["cadence"] == 45.0
    assert made.meta["crln_obs"] == 120.12345
    assert made.meta["history"] == "calibrated\ntwice"
    assert made.meta["comment"] == "a comment that stays"
    assert made.meta["btype"] == "Attribution, gradient, logit"
    assert made.meta["broken"] == "1.0.0"
    assert made.meta["xailabel"] == "sunspot"
    assert not {"crota2", "bscale", "bzero", "naxis1", "simple", "timesys", "odd", "!!!"} & set(
        made.meta
    )


def test_fits_files_read_back_to_the_same_place_and_pixels(sunlit: Any, tmp_path: Path) -> None:
    store, samples = sunlit
    found = store.query()
    paths = store.to_fits(found, tmp_path / "maps")
    names = ["IMAGE", "EXPECTED_GRADIENTS", "EXPECTED_GRADIENTS_STDERR", "GRADIENT"]
    for row, path in enumerate(paths):
        for name, made in zip(names, sunpy.map.Map(path), strict=True):
            assert_same_sky(made.wcs, samples, row)
            assert made.meta["extname"] == name
            np.testing.assert_array_equal(made.data, found[name.lower()][row])
            time = Time(samples["time"].values[row])
            assert abs((made.reference_date.utc - time).to_value("s")) < 61


def test_fits_files_keep_solarnet_keywords_and_every_original_card(
    sunlit: Any, tmp_path: Path
) -> None:
    store, samples = sunlit
    (path, *_) = store.to_fits(store.query(), tmp_path, ["gradient"])
    assert path.name == "20140329T140000_mock-00000_0123456789ab.fits"
    with fits.open(path) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "GRADIENT", "ORIGINAL_HEADER"]
        header = file["GRADIENT"].header
        assert (header["SOLARNET"], header["OBS_HDU"], header["BUNIT"]) == (0.5, 1, "")
        assert header["DATE-BEG"] == header["DATEREF"] == "2014-03-29T14:00:00.000000"
        assert header["FILENAME"] == path.name
        assert (header["XAIRUN"], header["XAIREG"]) == ("0123456789abcdef" * 4, "r?gion")
        assert header["XAISCORE"] == np.round(samples["wcs_crval1"].values[0], 1)
        cards = [card.rstrip() for card in file["ORIGINAL_HEADER"].data["CARD"]]
    assert cards == [line.rstrip().replace("\u00e9", "?") for line in HMI_HEADER.split("\n")]


def test_fits_files_are_the_same_bytes_each_time(sunlit: Any, tmp_path: Path) -> None:
    store, _ = sunlit
    first, second = (
        [path.read_bytes() for path in store.to_fits(store.query(), tmp_path / name)]
        for name in ("a", "b")
    )
    assert first == second
    assert len(first) == 3


def test_a_mask_becomes_a_map_too(one: SaliencyStore) -> None:
    found = one.query(nearest=instant(10))
    for name in ("segmentation", "central"):
        (made,) = one.to_maps(found, name)
        assert made.data.dtype == np.uint8
        np.testing.assert_array_equal(made.data, found[name][0])


def test_a_map_that_is_not_there_is_told(one: SaliencyStore, tmp_path: Path) -> None:
    found = one.query()
    with pytest.raises(QueryError, match=r"no map 'gradeint'.*Did you mean 'gradient'"):
        one.to_maps(found, "gradeint")
    with pytest.raises(QueryError, match="no map 'score'"):
        one.to_fits(found, tmp_path, ["score"])


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_an_exported_file_holds_the_same_rows(
    two: SaliencyStore, tmp_path: Path, name: str
) -> None:
    found = two.query(time=(instant(-300), instant(30)))
    path = two.export(found, tmp_path / "new" / name)
    options: dict[str, Any] = {"engine": "zarr"} if path.suffix == ".zarr" else {}
    with xr.open_dataset(path, **options) as again:
        assert again.sizes == found.sizes
        for column in found.variables:
            np.testing.assert_array_equal(again[column].values, found[column].values, str(column))
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_export_to_a_folder_writes_fits(one: SaliencyStore, tmp_path: Path) -> None:
    found = one.query(nearest=instant(20))
    assert one.export(found, tmp_path / "maps") == tmp_path / "maps"
    assert len(list((tmp_path / "maps").glob("*.fits"))) == 2


def test_export_refuses_other_suffixes_and_to_overwrite_a_folder(
    one: SaliencyStore, tmp_path: Path
) -> None:
    found = one.query(nearest=instant(20))
    with pytest.raises(QueryError, match=r"cannot be written as '\.csv'"):
        one.export(found, tmp_path / "out.csv")
    (tmp_path / "out.zarr").mkdir()
    with pytest.raises(QueryError, match="already exists"):
        one.export(found, tmp_path / "out.zarr")


@pytest.mark.real_data
def test_a_real_region_comes_back_as_maps_where_it_was(real_data: Path, tmp_path: Path) -> None:
    catalog = Path(__file__).parents[2] / "data_catalogs" / "ar11158.yaml"
    sharp, _ = Catalog.load(catalog).references
    samples = blocks.concatenate([ingest(sharp)])
    add(tmp_path / "store", "run1", samples, ["gradient"])
    store = open_store(tmp_path / "store")
    found = store.query(label="sunspot")
    assert found.sizes["sample"] >= 3
    for row, path in enumerate(store.to_fits(found, tmp_path / "maps", ["gradient"])):
        made = sunpy.map.Map(path)
        y, x = np.mgrid[:64, :64]
        expected = WCS(sample_wcs_header(found, row)).wcs_pix2world(x, y, 0)
        exact = WCS(fits.getheader(path, 1)).wcs_pix2world(x, y, 0)
        np.testing.assert_array_equal(exact, expected)
        gap = np.subtract(made.wcs.wcs_pix2world(x, y, 0), expected)
        assert np.abs(gap * u.deg).max().to_value(u.arcsec) <= 1e-9
        assert made.meta["harpnum"] == 377
        np.testing.assert_array_equal(made.data, found["gradient"][row])
