"""Exposures go back to their raster and step; what is missing is said to be missing."""

import numpy as np
import pytest

from solarxai.errors import SchemaError
from solarxai.rasters import NO_EXPOSURE, rasters_by_observation, to_rasters
from solarxai.schema import mock_spectrograms


@pytest.fixture
def exposures():
    """Return two rasters of four steps, each value saying its raster, step, slit and wavelength."""
    made = mock_spectrograms(8, slits=5, length=60)
    raster, step = np.divmod(np.arange(8), 4)
    made = made.assign_coords(raster=("sample", raster + 3), step=("sample", step))
    place = np.add.outer(100 * (raster + 3) + 10 * step, np.arange(5) / 10)
    maps = place[:, :, None] + np.zeros(60)
    return made.assign(gradient=(("sample", "slit", "wavelength"), maps.astype(np.float32)))


def test_every_exposure_finds_its_raster_and_step_whatever_its_row(exposures):
    shuffled = exposures.isel(sample=np.random.default_rng(0).permutation(8))
    made = to_rasters(shuffled)
    assert made["gradient"].dims == ("raster", "step", "slit", "wavelength")
    assert made["gradient"].dtype == np.float32
    assert made["raster"].values.tolist() == [3, 4]
    for raster in (3, 4):
        for step in range(4):
            found = made["gradient"].sel(raster=raster, step=step).values[:, 0]
            np.testing.assert_allclose(found, 100 * raster + 10 * step + np.arange(5) / 10)


def test_columns_become_coordinates_of_raster_and_step(exposures):
    made = to_rasters(exposures)
    for name in ("time", "solar_x", "solar_y", "exposure_time", "sample_id"):
        assert made[name].dims == ("raster", "step")
    assert made["time"].values[0, 1] == exposures["time"].values[1]
    assert made["time"].dtype == np.dtype("datetime64[ns]")
    assert made["solar_x"].values[1].tolist() == exposures["solar_x"].values[4:].tolist()


def test_missing_exposures_are_nan_and_a_missing_step_is_kept_open(exposures):
    made = to_rasters(exposures.isel(sample=[0, 2, 4, 5, 7]))
    assert made["gradient"].shape == (2, 4, 5, 60)
    missing = np.isnan(made["gradient"].values).all(axis=(2, 3))
    assert missing.tolist() == [[False, True, False, True], [False, False, True, False]]
    assert np.isnat(made["time"].values).tolist() == missing.tolist()
    assert (made["quality"].values == NO_EXPOSURE).all(axis=2).tolist() == missing.tolist()
    assert made["quality"].dtype == np.uint8
    assert made["sample_id"].values[0, 1] == ""
    nowhere = to_rasters(exposures.isel(sample=[0, 3, 4, 7]))
    assert nowhere["step"].values.tolist() == [0, 1, 2, 3]
    assert np.isnan(nowhere["gradient"].values[:, 1:3]).all()


def test_observations_of_other_shapes_come_one_at_a_time(exposures):
    other = mock_spectrograms(24, slits=5, length=60).isel(sample=slice(16, 23))
    found = dict(rasters_by_observation(other))
    assert [made["image"].shape for made in found.values()] == [(1, 7, 5, 60)]
    both = dict(rasters_by_observation(mock_spectrograms(13, slits=5, length=60)))
    assert [(name, made.sizes["step"]) for name, made in both.items()] == [
        ("mock-00000", 8), ("mock-00001", 5),
    ]  # fmt: skip


def test_what_cannot_be_placed_is_refused(exposures):
    with pytest.raises(SchemaError, match="of 2 observations"):
        to_rasters(mock_spectrograms(16, slits=3, length=60))
    with pytest.raises(SchemaError, match="raster 3, step 1 is there 2 times"):
        to_rasters(exposures.isel(sample=[0, 1, 1]))
    with pytest.raises(SchemaError, match="no column raster"):
        to_rasters(exposures.drop_vars("raster"))
