"""Units of work: paths and indices in, one file out. What a worker is sent is a name from here.

Each is a library function with its arguments read from files, so that a plain loop and any
scheduler do the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from solarxai import attribution, blocks
from solarxai.catalog import Reference
from solarxai.classifier import Classifier
from solarxai.errors import SolarxaiError
from solarxai.provenance import canonical_json, write_atomically
from solarxai.store.segment import Segment
from solarxai.workflow.devices import name_of, usable

__all__ = ["attribute_shard", "ingest_block", "write_observation", "write_scene"]


def write_scene(folder: Path, options: Mapping[str, Any], index: int) -> None:
    """Write scene `index` of a synthetic Sun and its truth to a folder."""
    from solarxai.synthetic import archive  # not needed by most workers

    archive.write_scene(folder, index=index, **options)


def write_observation(folder: Path, options: Mapping[str, Any], index: int) -> None:
    """Write observation `index` of a synthetic IRIS and its truth to a folder."""
    from solarxai.synthetic import iris_archive  # not needed by most workers

    iris_archive.write_observation(folder, index=index, **options)


def ingest_block(
    references: Sequence[Reference],
    path: Path,
    ingest: Callable[[Reference], xr.Dataset],
    skip: bool,
) -> dict[str, Any]:
    """Write the samples of some files as one block, and its record beside it; return the record.

    Parameters
    ----------
    references
        The files.
    path
        The record, `<block>.json`, which says that the block is whole; samples go to
        `<block>.nc`, which is absent when no file gave any.
    ingest
        Makes the Samples of a file: a function of `solarxai.ingest` with its options bound.
    skip
        Whether a file that cannot be ingested is left out and recorded.

    Raises
    ------
    SolarxaiError
        of the first file that cannot be ingested and is not to be skipped.
    """
    made, failures = [], []
    for reference in references:
        try:
            made.append(ingest(reference))
        except SolarxaiError as error:
            if not skip:
                raise
            told = {"error": error.what, "remedy": error.remedy}
            failures.append({"file": reference.name, **told})
    record: dict[str, Any] = {"files": [r.name for r in references], "failures": failures}
    if made:
        joined = blocks.concatenate(made)
        blocks.save_block(joined, path.with_suffix(".nc"))
        record["counts"] = blocks.counts(joined)
    write_atomically(path, canonical_json(record).encode())
    return record


def attribute_shard(
    segment: Path,
    explainers: Sequence[Mapping[str, Any]],
    baselines: Path | None,
    batch_size: int,
    shard: int,
) -> str:
    """Write the maps of one shard of a segment; return the name of the device that made them.

    The device is the one that the segment's provenance names.

    Parameters
    ----------
    segment
        Folder of the segment; it holds the samples and the classifier.
    explainers
        One mapping a method: {method: name, **fields}.
    baselines
        File of the baselines, (baseline, 1, *space) float32, if a method needs some.
    batch_size
        Images in one pass.
    shard
        Number of the shard.
    """
    held = Segment(segment)
    device = usable(str(held.provenance.get("device", "cpu")))
    samples = held.samples(shard)
    maps = attribution.attribute(
        samples,
        _loaded(held.checkpoint),
        attribution.parse_explainers(explainers),
        baselines=None if baselines is None else torch.from_numpy(np.load(baselines)),
        batch_size=batch_size,
        device=device,
    )
    held.write(shard, maps)
    return name_of(device)


@lru_cache(maxsize=2)
def _loaded(checkpoint: Path) -> Classifier:
    """Return a classifier, read once a process: a segment's checkpoint never changes."""
    return Classifier.load(checkpoint)
