"""The files of a catalog made into blocks of samples, some files a unit."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import xarray as xr
from pydantic import Field

from pipelines.cluster import PlainLoop
from solarxai.catalog import Catalog, Reference
from solarxai.errors import IngestError, SolarxaiError
from solarxai.ingest import ingest
from solarxai.provenance import content_hash, write_atomically
from solarxai.workflow import Cluster, InputFile, Outcome, sound, tasks
from solarxai.workflow.progress import Progress, Stage

__all__ = ["OUTPUTS", "CatalogFile", "OnError", "carry_out", "run"]

OUTPUTS = ("samples/*.nc", "samples/*.json", "ingest.json")

FILES_A_BLOCK = 16
"""Files ingested by one unit of work into one block: opening a block costs as much as cutting one
file, so one file a block would make every reader slow."""

CatalogFile = Annotated[InputFile, sound(Catalog.load)]
OnError = Literal["raise", "skip"]
Positive = Annotated[int, Field(ge=1)]


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    catalog: CatalogFile | None = None,
    patch_size: Positive = 64,
    scale_mm: Annotated[float, Field(gt=0)] = 0.5,
    on_error: OnError = "raise",
    first: Positive | None = None,
) -> Outcome:
    """Write `out/samples/<block>.nc` and `out/ingest.json`, and count the samples.

    Parameters
    ----------
    out
        Folder of the run.
    cluster, progress
        Where files are ingested, and who follows.
    threads
        Not used: a file is ingested on one thread.
    catalog
        The catalog; that of the step `synth` if None.
    patch_size
        Pixels along each side of a sample.
    scale_mm
        Mm per pixel of a sample.
    on_error
        What a file that cannot be ingested does: "raise" stops the run, "skip" leaves the file out
        and records it.
    first
        Ingest only so many files, from the top of the catalog.

    Raises
    ------
    SolarxaiError
        when a file cannot be ingested and is not to be skipped, or none could be.
    """
    del threads
    listed = Catalog.load(catalog or out / "data" / "catalog.yaml")
    return carry_out(
        listed if first is None else listed.prune(first),
        functools.partial(ingest, shape=(patch_size, patch_size), scale_mm=scale_mm),
        out=out,
        cluster=cluster or PlainLoop(),
        progress=progress or Progress(),
        skip=on_error == "skip",
        told={"shape": [patch_size, patch_size], "scale_mm": scale_mm},
        files_a_block=FILES_A_BLOCK,
    )


def carry_out(
    catalog: Catalog,
    ingest: Callable[[Reference], xr.Dataset],
    *,
    out: Path,
    cluster: Cluster,
    progress: Progress,
    skip: bool,
    told: Mapping[str, Any],
    files_a_block: int,
) -> Outcome:
    """Write the blocks that are missing and `out/ingest.json`, and count the samples.

    Parameters
    ----------
    catalog
        The files, or parts of them (`steps`), each of which is a unit of its own.
    ingest
        Makes the Samples of one; it is sent to workers.
    out, cluster, progress
        As of a pipeline.
    skip
        Leave files out that cannot be ingested, and record them.
    told
        What else `ingest.json` says.
    files_a_block
        Files of a unit of work.
    """
    references = catalog.references
    (out / "samples").mkdir(parents=True, exist_ok=True)
    blocks = _blocks(references, out / "samples", files_a_block)
    unit = "files" if all(one.steps is None for one in references) else "parts"
    with progress.stage("ingest", total=len(references), unit=unit) as stage:
        _ingest_missing(blocks, cluster, stage, ingest, skip=skip)
    records = [json.loads(path.read_text()) for path in blocks]
    told_of_all = [failure for record in records for failure in record["failures"]]
    _check_any(told_of_all, references)
    failures = _told_once(told_of_all, {one.name for one in references if one.steps is not None})
    counts = Counter[str]()
    for record in records:
        counts.update(record.get("counts", {}))
    whole: dict[str, Any] = {
        **told,
        "counts": dict(sorted(counts.items())),
        "blocks": [path.stem for path in blocks],
        "failures": failures,
    }
    write_atomically(out / "ingest.json", json.dumps(whole, indent=1, sort_keys=True).encode())
    made = [path.with_suffix(".nc") for path in blocks]
    return Outcome(
        outputs=(out / "ingest.json",),
        units=(*blocks, *(path for path in made if path.is_file())),
        done=stage.done,
        skipped=stage.skipped,
        failed=len(failures),
        failures=failures,
        figures={name: n for name, n in whole["counts"].items() if n},
        next_command="solarxai train {out}",
    )


def _blocks(
    references: Sequence[Reference], folder: Path, size: int
) -> dict[Path, Sequence[Reference]]:
    """Return the references of each block by the path of its record; a part is one of its own."""
    whole = [one for one in references if one.steps is None]
    groups = [whole[i : i + size] for i in range(0, len(whole), size)]
    groups += [[one] for one in references if one.steps is not None]
    return {folder / f"{content_hash([r.key for r in group])}.json": group for group in groups}


def _told_once(
    failures: Iterable[Mapping[str, str]], parted: Collection[str]
) -> tuple[Mapping[str, str], ...]:
    """Return the failures, of a file that was ingested in parts only the first."""
    told: set[str] = set()
    kept = []
    for failure in failures:
        if failure["file"] not in told:
            kept.append(failure)
        if failure["file"] in parted:
            told.add(failure["file"])
    return tuple(kept)


def _ingest_missing(
    blocks: Mapping[Path, Sequence[Reference]],
    cluster: Cluster,
    stage: Stage,
    ingest: Callable[[Reference], xr.Dataset],
    *,
    skip: bool,
) -> None:
    missing = {path: group for path, group in blocks.items() if not path.is_file()}
    stage.skip(sum(len(group) for path, group in blocks.items() if path not in missing))
    calls = ((tuple(group), path, ingest, skip) for path, group in missing.items())
    for _, result in cluster.run(tasks.ingest_block, calls):
        if isinstance(result, SolarxaiError):
            raise result
        stage.fail(len(result["failures"]))
        stage.advance(len(result["files"]) - len(result["failures"]))


def _check_any(failures: Sequence[Mapping[str, str]], references: Sequence[Reference]) -> None:
    if len(failures) == len(references):
        files = len({(one.name, str(one.options)) for one in references})
        raise IngestError(
            f"none of the {files} files could be ingested; the first is {failures[0]['file']}: "
            f"{failures[0]['error']}",
            remedy=failures[0]["remedy"],
        )
