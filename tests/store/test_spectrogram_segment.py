"""A segment of spectrograms: shared wavelengths, dropped spectra, and back again."""

import numpy as np
import pytest
import xarray as xr

from solarxai.errors import QueryError, StoreError
from solarxai.query import open_store
from solarxai.schema import check_samples, mock_spectrograms
from solarxai.store import create_store


def maps_of(samples):
    values = samples["image"] * 2
    values.attrs = {"units": "logit"}
    return xr.Dataset(
        {
            "gradient": values,
            "score": ("sample", np.arange(samples.sizes["sample"], dtype=np.float32)),
            "predicted": ("sample", np.full(samples.sizes["sample"], "active", dtype=object)),
        }
    )


def written(store, samples, *, run_key):
    segment = store.begin(
        samples, ["gradient"], run_key=run_key, provenance={}, shard_size=4,
        variables=maps_of(samples.isel(sample=slice(1))),
    )  # fmt: skip
    for shard in segment.missing():
        segment.write(shard, maps_of(segment.samples(shard)))
    segment.seal()
    return segment


@pytest.fixture
def samples():
    return mock_spectrograms(10).sortby("time")


def test_samples_of_a_shard_come_back_with_their_wavelengths(samples, tmp_path):
    segment = written(create_store(tmp_path / "store"), samples, run_key="a")
    back = check_samples(segment.samples(1))
    xr.testing.assert_identical(back["wavelength"], samples["wavelength"])
    np.testing.assert_array_equal(back["image"], samples["image"][4:8])


def test_a_query_returns_maps_with_wavelength_and_nan_where_spectra_were_dropped(samples, tmp_path):
    written(create_store(tmp_path / "store"), samples, run_key="a")
    found = open_store(tmp_path / "store").query(label="preflare")
    xr.testing.assert_identical(found["wavelength"], samples["wavelength"])
    maps = found["gradient"].values
    assert np.isnan(maps[:, -1]).all()
    wanted = 2 * samples["image"].values[samples["label"].values == "preflare"]
    np.testing.assert_allclose(maps, wanted, rtol=2**-10)


def test_runs_on_other_wavelengths_are_not_mixed(samples, tmp_path):
    store = create_store(tmp_path / "store")
    written(store, samples, run_key="a")
    shifted = samples.assign_coords(wavelength=samples["wavelength"] + 0.01)
    written(store, shifted, run_key="b")
    with pytest.raises(QueryError, match="differ in wavelength"):
        open_store(tmp_path / "store").query()
    assert open_store(tmp_path / "store").query(run="b").sizes["sample"] == 10


def test_a_variable_on_a_dimension_that_is_no_axis_of_the_image_is_refused(samples, tmp_path):
    samples["stray"] = ("other", np.zeros(3))
    with pytest.raises(StoreError, match=r"\['stray'\] are neither on \(sample"):
        written(create_store(tmp_path / "store"), samples, run_key="a")


def test_a_flipped_bit_in_the_wavelengths_is_found(samples, tmp_path):
    store = create_store(tmp_path / "store")
    segment = written(store, samples, run_key="a")
    (file,) = (segment.path / "wavelength").glob("c*")
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert [finding.problem for finding in store.verify()] == ["damaged"]
    with pytest.raises(StoreError, match="wavelength"):
        _ = store.segment("a").axes
