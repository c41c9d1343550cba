"""Rasters of a store as NDCubes and FITS files: coordinates, masks, times."""

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from solarxai.errors import QueryError
from solarxai.query import open_store
from solarxai.schema import mock_spectrograms, sample_wcs_header
from solarxai.store import create_store


def maps_of(samples):
    values = samples["image"] * 2
    values.attrs = {"units": "logit", "method": "gradient"}
    return xr.Dataset(
        {
            "gradient": values,
            "gradient_stderr": values * 0.1,
            "score": ("sample", np.arange(samples.sizes["sample"], dtype=np.float32)),
            "predicted": ("sample", np.full(samples.sizes["sample"], "active", dtype=object)),
        }
    )


@pytest.fixture
def store(tmp_path):
    samples = mock_spectrograms(16).sortby("time")
    made = create_store(tmp_path / "store")
    segment = made.begin(
        samples, ["gradient"], run_key="a", provenance={}, shard_size=8,
        variables=maps_of(samples.isel(sample=slice(1))),
    )  # fmt: skip
    for shard in segment.missing():
        segment.write(shard, maps_of(segment.samples(shard)))
    segment.seal()
    return open_store(tmp_path / "store")


def test_each_raster_is_a_cube_of_steps_slit_and_wavelength(store):
    rows = store.query()
    cubes = store.to_cubes(rows, "gradient")
    assert [cube.data.shape for cube in cubes] == [(8, 12, 240)] * 2
    assert cubes[0].meta["region"] == "MOCK 0"
    assert cubes[0].mask[:, -1].all()
    assert not cubes[0].mask[:, :-1].any()
    np.testing.assert_allclose(
        cubes[0].uncertainty.array[:, 0], rows["gradient_stderr"].values[:8, 0]
    )


def test_pixels_lie_where_the_columns_of_the_exposures_say(store):
    rows = store.query(region="MOCK 1")
    (cube,) = store.to_cubes(rows)
    for step, slit, point in ((0, 0, 0), (5, 7, 100), (7, 11, 239)):
        wavelength, place = cube.wcs.pixel_to_world(point, slit, step)
        np.testing.assert_allclose(
            wavelength.to_value(u.AA), rows["wavelength"].values[point], rtol=1e-9
        )
        own = WCS(sample_wcs_header(rows, step)).pixel_to_world(0, slit)
        got, wanted = ([one.Tx.to_value(u.arcsec), one.Ty.to_value(u.arcsec)]
                       for one in (place, own))  # fmt: skip
        np.testing.assert_allclose(got[1], wanted[1], atol=0.01)


def test_steps_carry_their_times(store):
    rows = store.query(region="MOCK 0")
    (cube,) = store.to_cubes(rows)
    times = cube.axis_world_coords("time", wcs=cube.extra_coords)[0]
    assert abs((times[3] - Time(rows["time"].values[3])).to_value(u.s)) < 1e-3


def test_a_missing_exposure_is_masked(store):
    rows = store.query(region="MOCK 0").isel(sample=[0, 1, 3])
    (cube,) = store.to_cubes(rows)
    assert cube.data.shape == (4, 12, 240)
    assert cube.mask[2].all()


def test_a_fits_file_of_a_raster_reads_back(store, tmp_path):
    rows = store.query(region="MOCK 1")
    (path,) = store.to_fits(rows, tmp_path / "fits")
    with fits.open(path) as units:
        assert [unit.name for unit in units[1:4]] == ["IMAGE", "GRADIENT", "GRADIENT_STDERR"]
        np.testing.assert_array_equal(units["GRADIENT"].data, rows["gradient"].values)
        assert units["GRADIENT"].header["CTYPE1"] == "WAVE"
        assert units["GRADIENT"].header["SOLARNET"] == 0.5
        assert len(units["EXPOSURES"].data) == 8
        world = WCS(units["IMAGE"].header).pixel_to_world(10, 3, 2)
    np.testing.assert_allclose(world[0].to_value(u.AA), rows["wavelength"].values[10], rtol=1e-9)


def test_another_map_than_there_are_is_refused_with_the_nearest_name(store):
    with pytest.raises(QueryError, match="no spectral map 'gradent'"):
        store.to_cubes(store.query(), "gradent")


def test_wavelengths_out_of_step_are_refused(store):
    rows = store.query().load()
    bent = rows.assign_coords(wavelength=rows["wavelength"] ** 2)
    with pytest.raises(QueryError, match="not equally spaced"):
        store.to_cubes(bent)
