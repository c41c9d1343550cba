"""Ten rows with columns of every type, and the segment that holds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from solarxai.schema import mock_samples
from solarxai.store import Store
from solarxai.store.segment import Segment

N_ROWS, SHARD_SIZE = 10, 4

METHODS = ("gradient", "expected_gradients")


def attributed(samples: xr.Dataset) -> xr.Dataset:
    """Return the samples with maps that depend on each row alone."""
    image = samples["image"]
    return samples.assign(
        gradient=image * np.float32(0.3),
        expected_gradients=image - image.mean(("y", "x")),
        expected_gradients_stderr=np.abs(image) * np.float32(0.01),
        expected_gradients_completeness_error=image.mean(("y", "x")).astype(np.float32),
        score=image.sum(("y", "x")).astype(np.float64),
        predicted=("sample", samples["label"].values),
    )


def rows(n: int = N_ROWS) -> xr.Dataset:
    """Return samples with extra columns of every type."""
    samples = mock_samples(n, size=16)
    samples["header"] = ("sample", np.array([f"N = {r // 3}" for r in range(n)], dtype=object))
    samples.attrs = {"scale_mm": 0.5}
    return samples.assign(
        split=("sample", np.array(["test", "train"] * (n // 2), dtype=object)),
        rule_label=("sample", np.array(["pore", "Fleck ß"] * (n // 2), dtype=object)),
        is_isolated=("sample", np.arange(n) % 3 == 0),
        count=("sample", np.arange(n, dtype=np.int16)),
        truth_umbra=(("sample", "y", "x"), samples["image"].values / 3),
    )


def begin(store: Store, samples: xr.Dataset, **changes: object) -> Segment:
    options: dict[str, object] = {
        "run_key": "run1",
        "provenance": {"code": "abc", "seeds": [0]},
        "shard_size": SHARD_SIZE,
        "checkpoint": b"weights",
        "variables": attributed(samples.isel(sample=slice(1))),
    }
    return store.begin(samples, METHODS, **(options | changes))  # type: ignore[arg-type]


def fill(segment: Segment) -> Segment:
    for shard in segment.missing():
        segment.write(shard, attributed(segment.samples(shard)))
    return segment


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
