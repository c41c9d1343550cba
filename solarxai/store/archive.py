"""A folder of immutable, time-sorted segments, one a run: begin, write, seal, verify."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from solarxai.errors import StoreError
from solarxai.provenance import array_hash, canonical_json, content_hash, write_atomically
from solarxai.schema import check_samples
from solarxai.store.drafts import drafted, last_change, rename, sync, temporary
from solarxai.store.layout import (
    HEADERS,
    MapVariable,
    consolidate,
    create_axis,
    create_column,
    create_map,
    create_wcs,
    distinct_headers,
    encode_map,
    map_variables,
    plain_attrs,
    shard_file,
    write_headers,
)
from solarxai.store.ledger import BEGIN, Finding, file_record
from solarxai.store.segment import CHECKPOINT, RUN, Segment

__all__ = ["FORMAT_VERSION", "Store", "create_store"]

FORMAT_VERSION = 1
"""Version of the layout on disk; a store of a newer one is refused."""

_MARK = "store.json"
_KIND = "solarxai-store"
_SEGMENTS = "segments"


def create_store(path: Path | str) -> Store:
    """Return the store at `path`, made if there is none.

    Raises
    ------
    StoreError
        when a file or a folder of other things is in the way.
    """
    path = Path(path)
    if (path / _MARK).exists():
        return Store(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(
            f"{path}: cannot become a store: it exists and is not an empty folder",
            remedy="Give a new path, or remove what is there.",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    (draft / _SEGMENTS).mkdir()
    mark = {"format": _KIND, "version": FORMAT_VERSION}
    write_atomically(draft / _MARK, canonical_json(mark).encode())
    draft.chmod(0o755)
    rename(draft, path)
    return Store(path)


@dataclass(frozen=True)
class Store:
    """An existing store.

    Parameters
    ----------
    path
        Its folder.

    Raises
    ------
    StoreError
        when the folder is not a store, or one of a newer version.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        version = _read_mark(self.path)
        if version > FORMAT_VERSION:
            raise StoreError(
                f"{self.path}: a store of format version {version}; this solarxai reads up to "
                f"version {FORMAT_VERSION}",
                remedy="Update solarxai.",
            )

    @property
    def runs(self) -> tuple[str, ...]:
        """Return the keys of all runs, sorted."""
        folder = self.path / _SEGMENTS
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return tuple(sorted(name for name in names if not name.startswith(".")))

    def segments(self) -> list[Segment]:
        """Return the segments, by run key; an unfinished one is among them."""
        return [Segment(self.path / _SEGMENTS / run) for run in self.runs]

    def segment(self, run_key: str) -> Segment:
        """Return the segment of a run: what another process needs to write a shard.

        Raises
        ------
        StoreError
            when the run has not begun.
        """
        if run_key not in self.runs:
            raise StoreError(
                f"{self.path}: no run {run_key!r}",
                remedy=f"Its runs are {', '.join(self.runs) or 'none yet'}.",
            )
        return Segment(self.path / _SEGMENTS / run_key)

    def begin(
        self,
        samples: xr.Dataset,
        methods: Sequence[str],
        *,
        run_key: str,
        provenance: Mapping[str, Any],
        shard_size: int = 256,
        checkpoint: bytes | None = None,
        variables: xr.Dataset | None = None,
    ) -> Segment:
        """Return the segment of a run, begun now or before: everything but its maps is in it.

        It appears whole or not at all. A segment that already has this key is returned as it is,
        so that `Segment.missing` tells what is left to do.

        Parameters
        ----------
        samples
            Samples sorted by time. Extra columns on (sample,), such as `split`, and extra blocks
            on (sample, ...) are stored too.
        methods
            Names of the explainers.
        run_key
            What the run is: letters, digits, `-` and `_` (see `provenance.content_hash`).
        provenance
            Anything JSON can hold; it is part of the root hash, hence no clock, host or path.
        shard_size
            Rows written and committed together.
        checkpoint
            Bytes of the classifier's file, so that the store explains itself.
        variables
            Attributions of one row, as `attribution.attribute` returns them: the names, types and
            attributes of what `Segment.write` will be given (`<method>`, `<method>_stderr`,
            `<method>_completeness_error`, `score`, `predicted`, ...). None stands for one map a
            method, `score` and `predicted`.

        Raises
        ------
        StoreError
            when the rows are not sorted by time, the key names another segment, something cannot
            be stored, or the disk refuses.
        """
        _check_begin(check_samples(samples), methods, run_key=run_key, shard_size=shard_size)
        maps = map_variables(samples, methods, template=variables)
        inputs = _inputs(samples, maps, shard_size)
        folder = self.path / _SEGMENTS
        if run_key not in self.runs:
            words = {
                "format_version": FORMAT_VERSION, "run": run_key, "methods": list(methods),
                "shard_size": shard_size, "inputs": inputs,
            }  # fmt: skip
            with drafted(folder, run_key) as draft:
                _write_samples(draft, samples, maps, words)
                _write_beside(draft, run_key, provenance, checkpoint)
                _commit(draft, folder / run_key)
        return self._begun(run_key, inputs)

    def _begun(self, run_key: str, inputs: str) -> Segment:
        segment = self.segment(run_key)
        if segment.attributes.get("inputs") != inputs:
            raise StoreError(
                f"{segment.path}: this run key already names a segment of other rows, methods or "
                "shards",
                remedy="Make the run key depend on everything that shapes the maps.",
            )
        return segment

    def root_hash(self) -> str:
        """Return one hash for the whole store: the root hashes of its runs, all sealed.

        Raises
        ------
        StoreError
            when a run is unfinished.
        """
        return content_hash({segment.run: segment.root_hash for segment in self.segments()})

    def verify(self) -> list[Finding]:
        """Return what is damaged, absent or unfinished, having read every byte of every segment."""
        return [finding for segment in self.segments() for finding in segment.verify()]

    def remove_stale(self, *, before: float) -> list[Path]:
        """Delete what interrupted writers left, last changed before a time; return what went.

        Parameters
        ----------
        before
            Seconds since 1970. Give a time well past: a younger temporary file may be in use. A
            draft is as young as the youngest file in it.
        """
        stale = [path for path in temporary(self.path) if last_change(path) < before]
        for path in stale:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return stale


def _read_mark(path: Path) -> int:
    if not path.exists():
        raise StoreError(f"{path}: no such folder", remedy="Give the path of a store.")
    try:
        mark = json.loads((path / _MARK).read_bytes())
        if mark["format"] == _KIND:
            return int(mark["version"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StoreError(
        f"{path}: not a store (it has no readable {_MARK})",
        remedy="Give the folder that `solarxai run` or `solarxai attribute` wrote.",
    )


def _check_begin(
    samples: xr.Dataset, methods: Sequence[str], *, run_key: str, shard_size: int
) -> None:
    times = samples["time"].values
    breaches = []
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", run_key):
        breaches.append(f"the run key {run_key!r} is not letters, digits, - and _")
    if not samples.sizes["sample"]:
        breaches.append("there are no samples")
    elif np.isnat(times).any():
        breaches.append("a sample has no time")
    elif (times[1:] < times[:-1]).any():
        breaches.append("the samples are not sorted by time")
    if not methods or len(set(methods)) != len(methods):
        breaches.append(f"the methods {list(methods)} are not one or more distinct names")
    if shard_size < 1:
        breaches.append(f"the shard size {shard_size} is not positive")
    space = {axis for axis in samples["image"].dims[1:] if axis in samples.coords}
    strange = [
        str(name)
        for name, values in samples.variables.items()
        if values.dims[:1] != ("sample",) and name not in space
    ]
    if strange:
        breaches.append(f"variables {strange} are neither on (sample, ...) nor axes of the image")
    if breaches:
        raise StoreError(
            f"a segment cannot begin: {'; '.join(breaches)}",
            remedy="Sort with `blocks.concatenate`, and give names, rows and sizes as documented.",
        )


def _inputs(samples: xr.Dataset, maps: Sequence[MapVariable], shard_size: int) -> str:
    """Return a hash of which rows and variables a segment holds: what a resumed run must share."""
    rows = array_hash(samples["sample_id"].values.astype(object), samples["time"].values)
    described = [[m.name, list(m.dims), list(m.shape), m.dtype] for m in maps]
    return content_hash([rows, described, sorted(map(str, samples.variables)), shard_size])


def _write_samples(
    draft: Path, samples: xr.Dataset, maps: Sequence[MapVariable], words: Mapping[str, Any]
) -> None:
    """Write the Zarr group: columns and blocks with their values, maps still empty."""
    names = sorted(map(str, samples.variables))
    axes = [name for name in names if samples[name].dims == (name,)]
    columns = [name for name in names if samples[name].ndim == 1 and name not in axes]
    blocks = [name for name in names if samples[name].ndim > 1]
    attrs = {
        **words,
        "rows": samples.sizes["sample"],
        "columns": columns,
        "blocks": blocks,
        "written": [variable.name for variable in maps],
        "samples": plain_attrs(samples.attrs, of="the samples"),
        "coordinates": " ".join(sorted(set(map(str, samples.coords)) - {"header", *axes})),
        "Conventions": "CF-1.11",
        **({"axes": axes} if axes else {}),
    }
    group = zarr.create_group(str(draft), zarr_format=3, attributes=attrs)
    for name in columns:
        if name != "header":
            create_column(group, name, samples[name].values, attrs=samples[name].attrs)
    for name in axes:
        create_axis(group, name, samples[name].values, attrs=samples[name].attrs)
    headers, places = distinct_headers(samples["header"].values)
    note = {"long_name": f"row of {HEADERS} that holds the original header"}
    create_column(group, "header_place", places, attrs=note)
    create_wcs(group, samples)
    for name in blocks:
        _write_block(draft, group, name, samples[name], shard_size=int(words["shard_size"]))
    for variable in maps:
        create_map(group, variable, shard_size=int(words["shard_size"]))
    consolidate(draft)
    write_headers(draft / HEADERS, headers)


def _write_block(
    draft: Path, group: zarr.Group, name: str, values: xr.DataArray, *, shard_size: int
) -> None:
    """Write an image or a mask, losslessly, one shard in memory at a time."""
    variable = MapVariable(
        name=name,
        dims=tuple(map(str, values.dims)),
        shape=values.shape,
        dtype=values.dtype.name,
        attrs=plain_attrs(values.attrs, of=name) | {"grid_mapping": "wcs"},
    )
    create_map(group, variable, shard_size=shard_size)
    for shard, start in enumerate(range(0, len(values), shard_size)):
        part = values[start : start + shard_size].values
        file = draft / name / shard_file(shard, ndim=values.ndim)
        file.write_bytes(encode_map(part, shard_size=shard_size, rounded=False))


def _write_beside(
    draft: Path, run_key: str, provenance: Mapping[str, Any], checkpoint: bytes | None
) -> None:
    if checkpoint is not None:
        (draft / CHECKPOINT).write_bytes(checkpoint)
    record = {
        "format_version": FORMAT_VERSION,
        "run": run_key,
        "provenance": plain_attrs(provenance, of="the run"),
    }
    (draft / RUN).write_text(json.dumps(record, sort_keys=True, indent=1) + "\n")


def _commit(draft: Path, target: Path) -> None:
    """Give a finished draft its ledger and its name, every byte of it on the disk before."""
    paths = sorted(path for path in draft.rglob("*") if path.is_file())
    files = {path.relative_to(draft).as_posix(): file_record(path) for path in paths}
    (draft / BEGIN).parent.mkdir()
    (draft / BEGIN).write_text(canonical_json({"files": files}))
    draft.chmod(0o755)
    for path in (*draft.rglob("*"), draft):
        sync(path)
    rename(draft, target)
