"""Rows at given seconds of one afternoon, and runs that attribute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from solarxai.query import SaliencyStore
from solarxai.schema import mock_samples
from solarxai.store import create_store
from solarxai.store.segment import Segment

START = np.datetime64("2014-03-29T14:00:00", "ns")

FIRST_SECONDS = [0, 0, 0, 10, 20, 20, 45, 60, 61, 90]

EARLIER_SECONDS = [-400, -200, -200, 5, 20, 60]


def rows(seconds: list[int], *, seed: int = 0, size: int = 16) -> xr.Dataset:
    """Return samples at the given seconds after 14:00, with regions, splits and origins."""
    n = len(seconds)
    samples = mock_samples(n, size=size, seed=seed)
    samples["time"] = ("sample", START + np.array(seconds) * np.timedelta64(1, "s"))
    samples["region"] = ("sample", np.array([f"NOAA {r % 3}" for r in range(n)], dtype=object))
    samples["origin"] = ("sample", np.array(["real", "synthetic"] * n, dtype=object)[:n])
    split = np.array(["test", "train", "test"] * n, dtype=object)[:n]
    return samples.assign_coords(split=("sample", split))


def attributed(samples: xr.Dataset, methods: list[str]) -> xr.Dataset:
    image = samples["image"]
    maps = {name: image * np.float32(k + 1) for k, name in enumerate(methods)}
    errors = {f"{name}_stderr": np.abs(image) for name in methods if name != "gradient"}
    score = ("sample", np.round(samples["wcs_crval1"].values, 1))
    predicted = ("sample", samples["label"].values)
    made = samples.assign(**maps, **errors, score=score, predicted=predicted)
    for name in maps | errors:
        made[name].attrs = {"units": "logit"}
    return made


def add(
    path: Path,
    run: str,
    samples: xr.Dataset,
    methods: list[str],
    *,
    shards: list[int] | None = None,
) -> Segment:
    template = attributed(samples.isel(sample=slice(1)), methods)
    segment = create_store(path).begin(
        samples, methods, run_key=run, provenance={}, shard_size=4, variables=template
    )
    for shard in segment.missing() if shards is None else shards:
        segment.write(shard, attributed(segment.samples(shard), methods))
    if shards is None:
        segment.seal()
    return segment


def instant(seconds: float) -> np.datetime64:
    return START + np.timedelta64(round(seconds * 1e9), "ns")


def seconds_of(ds: xr.Dataset) -> list[float]:
    return ((ds["time"].values - START) / np.timedelta64(1, "s")).tolist()


def brute_force(store: SaliencyStore) -> list[tuple[float, str, str]]:
    """Return (seconds, run, sample_id) of every row, read with xarray alone."""
    found = []
    for segment in store.segments():
        with xr.open_zarr(segment.path, chunks=None) as ds:
            names = [segment.run] * ds.sizes["sample"]
            found += zip(seconds_of(ds), names, ds["sample_id"].values, strict=True)
    return sorted(found)


def identities(ds: xr.Dataset) -> list[tuple[float, str, str]]:
    return list(zip(seconds_of(ds), ds["run"].values, ds["sample_id"].values, strict=True))
