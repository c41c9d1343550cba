"""What `verify` found damaged, done again: the shards named and no other, to the same root hash.

Damaged files are set aside in `STORE/damaged/<run_key>/`. Shards are attributed again from the
segment's own samples and classifier, with the baselines in the folder of the run; what all shards
share is taken from the segment that the attribute step begins anew from that folder.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solarxai.errors import SolarxaiError, StoreError
from solarxai.provenance import code_hash, file_hash, versions
from solarxai.store import Store, create_store
from solarxai.store.ledger import BEGIN, SEALED, Finding
from solarxai.store.segment import RUN, Segment
from solarxai.workflow import tasks
from solarxai.workflow.clusters import Cluster
from solarxai.workflow.plan import single_step
from solarxai.workflow.progress import Progress
from solarxai.workflow.record import read_record, step_records

__all__ = ["Repaired", "repair"]

ASIDE = "damaged"


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What was redone in one segment.

    Parameters
    ----------
    run
        Its run key.
    shared
        Files that all shards share, by path inside the segment.
    shards
        Shards attributed again.
    root_hash
        Its root hash now, or None where the run has to go on.
    """

    run: str
    shared: tuple[str, ...]
    shards: tuple[int, ...]
    root_hash: str | None


def repair(
    store: Store, *, run_folder: Path | None, cluster: Cluster, progress: Progress
) -> list[Repaired]:
    """Return what was redone in each damaged segment of a store; sound ones are not touched.

    Parameters
    ----------
    store
        The store.
    run_folder
        Folder of the run that made it; that around the store if None.
    cluster
        Where shards are attributed.
    progress
        Follows the repair.

    Raises
    ------
    StoreError
        when what is needed to do it again is not there or has changed, before anything is set
        aside; or when what was done again differs from what the seal says.
    """
    folder = run_folder or store.path.parent
    done = [_repaired(store, one, folder, cluster, progress) for one in store.segments()]
    return [one for one in done if one is not None]


def _repaired(
    store: Store, segment: Segment, folder: Path, cluster: Cluster, progress: Progress
) -> Repaired | None:
    found, shared = _damage(segment), list[str]()
    while broken := sorted(_shared(found) - set(shared)):
        _restore(store, segment, folder, broken)
        shared += broken
        segment = store.segment(segment.run)
        found = _damage(segment)
    shards = sorted({f.shard for f in found if f.shard is not None} | _interrupted(segment))
    if shards:
        call = _call(segment, folder)
        _set_aside(store, segment, found, shards)
        _attribute(shards, call, cluster, progress)
    elif any(f.file == SEALED for f in found):
        _move(store, segment, SEALED)
    if not (shared or shards or found):
        return None
    root = None if segment.missing() else _sealed(store, segment)
    return Repaired(run=segment.run, shared=tuple(shared), shards=tuple(shards), root_hash=root)


def _damage(segment: Segment) -> list[Finding]:
    return [finding for finding in segment.verify() if finding.problem != "unfinished"]


def _shared(found: Sequence[Finding]) -> set[str]:
    return {f.file for f in found if f.shard is None and f.file != SEALED}


def _interrupted(segment: Segment) -> set[int]:
    """Return the shards that a repair killed on its way had taken out of the ledger."""
    opened = not segment.sealed and bool(segment.ledger.sealed_files())
    return set(segment.missing()) if opened else set()


def _call(segment: Segment, folder: Path) -> tuple[Any, ...]:
    """Return the arguments of `tasks.attribute_shard` but the shard, all of them checked."""
    made = segment.provenance
    if "explainers" not in made or "batch_size" not in made:
        raise StoreError(
            f"{segment.path}: {RUN} does not say which explainers made these maps",
            remedy="Discard the damaged shards and write them again with what wrote them.",
        )
    _check_code(segment.path, made.get("code"), made.get("versions", {}).get("solarxai"))
    _ = segment.checkpoint
    explainers = [{"method": name, **o, "name": name} for name, o in made["explainers"].items()]
    return segment.path, explainers, _baselines(made, folder), made["batch_size"]


def _check_code(place: Path, code: Any, version: Any) -> None:
    if code != code_hash():
        raise StoreError(
            f"{place}: this run was made by other code (solarxai {version}, hash "
            f"{str(code)[:12]}; this is {versions()['solarxai']}, {code_hash()[:12]})",
            remedy="Install the code that made it; nothing was changed.",
        )


def _baselines(made: Mapping[str, Any], folder: Path) -> Path | None:
    wanted = made.get("baselines", {}).get("sha256")
    path = folder / "baselines.npy"
    if wanted is None:
        return None
    if not path.is_file() or file_hash(path) != wanted:
        raise StoreError(
            f"{path}: the baselines of this run are not there, or are others",
            remedy="Name the folder of the run that made the store with --run-folder; "
            "nothing was changed.",
        )
    return path


def _set_aside(
    store: Store, segment: Segment, found: Sequence[Finding], shards: Sequence[int]
) -> None:
    """Take shards out of the ledger, then their damaged files out of the segment."""
    damaged = {f.file for f in found if f.problem == "damaged"}
    for file in sorted(damaged):
        if file == SEALED or file.startswith("ledger/"):
            _move(store, segment, file)
    for shard in shards:
        segment.discard(shard)
    for file in sorted(damaged):
        _move(store, segment, file)


def _move(store: Store, segment: Segment, file: str) -> None:
    target = store.path / ASIDE / segment.run / file
    if (segment.path / file).is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        (segment.path / file).replace(target)


def _attribute(
    shards: Sequence[int], call: tuple[Any, ...], cluster: Cluster, progress: Progress
) -> None:
    calls = ((*call, shard) for shard in shards)
    with progress.stage("repair", total=len(shards), unit="shards") as stage:
        for _, result in cluster.run(tasks.attribute_shard, calls):
            if isinstance(result, SolarxaiError):
                raise result
            stage.advance()


def _sealed(store: Store, segment: Segment) -> str:
    """Return the root hash of the segment, sealed again, compared with what was noted of it."""
    root = segment.seal()
    try:
        noted = read_record(store.path, segment.run)["root hash"]
    except SolarxaiError:
        return root
    if noted != root:
        raise StoreError(
            f"{segment.path}: the root hash is {root[:12]}, and was {str(noted)[:12]} when the "
            "run ended",
            remedy="Redo it with the versions and on the machine type that wrote the store.",
        )
    return root


def _restore(store: Store, segment: Segment, folder: Path, shared: Sequence[str]) -> None:
    """Put back files that all shards share, as the attribute step writes them anew."""
    scratch = store.path / f".repair-{segment.run[:16]}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        again = _begun_again(segment.run, folder, create_store(scratch))
        known = _recorded(segment)
        other = [f for f in shared if f in known and file_hash(again.path / f) != known[f]]
        if other:
            raise StoreError(
                f"{segment.path}: done again from {folder}, {', '.join(other)} is not what it was",
                remedy="Use the versions that wrote the store; nothing was changed.",
            )
        for file in shared:
            _move(store, segment, file)
            (segment.path / file).parent.mkdir(parents=True, exist_ok=True)
            (again.path / file).replace(segment.path / file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _recorded(segment: Segment) -> dict[str, str]:
    """Return the sha256 of shared files as the seal, or else the ledger, has them."""
    begun = {name: str(file["sha256"]) for name, file in segment.ledger.files(BEGIN).items()}
    return segment.ledger.sealed_files() or begun


def _begun_again(run: str, folder: Path, scratch: Store) -> Segment:
    """Return the segment that the attribute step of a run's folder begins in an empty store."""
    made = step_records(folder).get("attribute", {}).get("made")
    needed = [folder / "classifier.safetensors", folder / "samples"]
    absent = [path.name for path in needed if not path.exists()]
    if made is None or absent:
        lacking = ", ".join(absent) or "the record of its attribute step"
        raise StoreError(
            f"{folder}: not the folder of the run that made this store: it lacks {lacking}",
            remedy="Name that folder with --run-folder; nothing was changed.",
        )
    code = made["in"][-1]["code"]
    _check_code(folder, code["hash"], code["version"])
    options = {k: v for k, v in made["options"].items() if k not in made["places"]}
    (step,) = single_step(
        "attribute", options, seed=made["seed"], threads=made["threads"]
    ).steps  # fmt: skip
    begin = sys.modules[step.run.__module__].begin
    kept = {k: v for k, v in step.options.items() if k not in made["places"]}
    again, _ = begin(out=folder, store=scratch, baselines=scratch.path / "drawn.npy", **kept)
    if again.run != run:
        raise StoreError(
            f"{folder}: its attribute step makes the run {again.run[:12]} now, not {run[:12]}: "
            "samples, classifier, options or code are others",
            remedy="Name the folder of the run with --run-folder; nothing was changed.",
        )
    assert isinstance(again, Segment)
    return again
