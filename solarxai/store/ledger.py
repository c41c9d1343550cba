"""What of a segment is whole: the sha256 of each file, shard by shard, and the seal over all.

A shard counts from the moment its entry is in the ledger. `SEALED.json` closes the complete
segment with one root hash; where a shard is discarded later, the seal is kept as `FORMER.json`
until the segment is sealed again, so that other bytes under the same key cannot pass unseen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from solarxai.errors import StoreError
from solarxai.provenance import canonical_json, content_hash, file_hash, write_atomically

__all__ = ["BEGIN", "FORMER", "SEALED", "FileRecord", "Finding", "Ledger", "file_record"]

BEGIN = "ledger/begin.json"
SEALED = "SEALED.json"
FORMER = "FORMER.json"

FileRecord = dict[str, str | int]
"""{"sha256": hex, "size": bytes} of one file."""

Problem = Literal["damaged", "absent", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that `verify` has to say of one file or shard.

    Parameters
    ----------
    run
        Run key of the segment.
    problem
        *damaged* (its bytes are not the recorded ones), *absent*, or *unfinished* (shards that
        were never written; not damage).
    file
        Path inside the segment.
    shard
        The shard that holds it, or None for what all shards share.
    """

    run: str
    problem: Problem
    file: str
    shard: int | None = None

    def __str__(self) -> str:
        where = "" if self.shard is None else f" (shard {self.shard})"
        return f"{self.problem}: {self.run}/{self.file}{where}"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one segment.

    Parameters
    ----------
    path
        Folder of the segment.
    """

    path: Path

    @staticmethod
    def name(shard: int) -> str:
        """Return the path of a shard's entry inside the segment."""
        return f"ledger/{shard:06d}.json"

    def holds(self, shard: int) -> bool:
        """Return whether a shard is ledgered and its files are there in their recorded size."""
        entry = _record(self.path / self.name(shard))
        return entry is not None and all(
            _size(self.path / name) == file["size"] for name, file in entry["files"].items()
        )

    def enter(self, shard: int, *, rows: slice, files: Sequence[str]) -> None:
        """Write the entry of a shard whose files are on the disk."""
        records = {name: file_record(self.path / name) for name in files}
        entry = {"shard": shard, "rows": [rows.start, rows.stop], "files": records}
        write_atomically(self.path / self.name(shard), canonical_json(entry).encode())

    def discard(self, shard: int) -> None:
        """Take a shard out of the ledger; a seal becomes the former one."""
        self.unseal()
        (self.path / self.name(shard)).unlink(missing_ok=True)

    def unseal(self) -> None:
        """Make the seal, if there is one, the former one."""
        if self.sealed:
            (self.path / SEALED).replace(self.path / FORMER)

    def files(self, entry: str) -> dict[str, FileRecord]:
        """Return the files of an entry, by path inside the segment; none where it is damaged."""
        return (_record(self.path / entry) or {"files": {}})["files"]  # type: ignore[no-any-return]

    def trusted(self, name: str) -> Path:
        """Return the path of a file that all shards share, its bytes hashed once a process.

        For files without checksums of their own: headers, classifier, provenance.

        Raises
        ------
        StoreError
            when it is missing, or its sha256 is not the ledger's.
        """
        path = self.path / name
        recorded = self.files(BEGIN).get(name)
        try:
            status = path.stat()
            found = _hashed(path, status.st_mtime_ns, status.st_size)
        except OSError:
            found = ""
        if recorded is None or found != recorded["sha256"]:
            raise StoreError(
                f"{self.path}: {name} is missing or damaged",
                remedy="Run `solarxai verify --repair`, which redoes what is damaged.",
            )
        return path

    @property
    def sealed(self) -> bool:
        """Return whether the segment is closed."""
        return (self.path / SEALED).is_file()

    def seal(self, shards: Collection[int]) -> str:
        """Close the segment, all of whose shards are ledgered; return its root hash.

        Raises
        ------
        StoreError
            when shards done again have other bytes than the former seal says, or the disk refuses.
        """
        names = [BEGIN, *map(self.name, shards)]
        files = {name: file_hash(self.path / name) for name in names}
        for name in names:
            files |= {f: str(r["sha256"]) for f, r in self.files(name).items()}
        self._compare(files)
        seal = {"files": files, "root": content_hash(files), "shards": len(shards)}
        try:
            write_atomically(self.path / SEALED, canonical_json(seal).encode())
            (self.path / FORMER).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.path}: this segment could not be sealed ({error.strerror})",
                remedy="Mend the disk and resume the run; every shard is kept.",
            ) from error
        return str(seal["root"])

    def _compare(self, files: dict[str, str]) -> None:
        former = _record(self.path / FORMER)
        if former is None or not _whole(former) or former["files"] == files:
            return
        then = former["files"]
        other = sorted(name for name in {*then, *files} if then.get(name) != files.get(name))
        raise StoreError(
            f"{self.path}: done again, {len(other)} files are not what {FORMER} says they were "
            f"(root hash {former['root'][:12]}): {', '.join(other[:4])}",
            remedy="Redo them with the versions and on the machine type that wrote the store; or "
            f"delete {FORMER} to accept another root hash.",
        )

    @property
    def root_hash(self) -> str:
        """Return the root hash of the seal.

        Raises
        ------
        StoreError
            when there is no seal, or it is damaged.
        """
        if not self.sealed:
            raise StoreError(
                f"{self.path}: this segment is unfinished and has no root hash",
                remedy="Resume the run that began it.",
            )
        seal = _record(self.path / SEALED)
        if seal is None or not _whole(seal):
            raise StoreError(
                f"{self.path}: {SEALED} is damaged",
                remedy="Run `solarxai verify --repair`, which seals the segment again.",
            )
        return str(seal["root"])

    def sealed_files(self) -> dict[str, str]:
        """Return the sha256 of each file, as the seal or else the former one has it; or nothing."""
        for name in (SEALED, FORMER):
            seal = _record(self.path / name)
            if seal is not None and _whole(seal):
                return dict(seal["files"])
        return {}

    def check_shared(self) -> list[Finding]:
        """Return what is wrong with the seal and with what all shards share, every byte read."""
        return [*self._check_seal(), *self._check_files(BEGIN, shard=None)]

    def check_shard(self, shard: int) -> Iterator[Finding]:
        """Yield what is wrong with the files of one shard, every byte read."""
        name = self.name(shard)
        if _record(self.path / name) is not None:
            yield from self._check_files(name, shard=shard)
        else:
            broken = (self.path / name).exists() or self.sealed
            yield self._finding("damaged" if broken else "unfinished", name, shard)

    def _check_seal(self) -> Iterator[Finding]:
        if not self.sealed:
            return
        seal = _record(self.path / SEALED)
        if seal is None or not _whole(seal):
            yield self._finding("damaged", SEALED, None)
            return
        for name, sha256 in seal["files"].items():
            path = self.path / name
            if name.startswith("ledger/") and path.is_file() and file_hash(path) != sha256:
                yield self._finding("damaged", name, _shard(name))

    def _check_files(self, entry: str, *, shard: int | None) -> Iterator[Finding]:
        if _record(self.path / entry) is None:
            yield self._finding("damaged", entry, shard)
        for name, file in self.files(entry).items():
            path = self.path / name
            if not path.is_file():
                yield self._finding("absent", name, shard)
            elif file_record(path) != file:
                yield self._finding("damaged", name, shard)

    def _finding(self, problem: Problem, file: str, shard: int | None) -> Finding:
        return Finding(run=self.path.name, problem=problem, file=file, shard=shard)


def file_record(path: Path) -> FileRecord:
    """Return the sha256 and the size of a file, as the ledger keeps them."""
    return {"sha256": file_hash(path), "size": path.stat().st_size}


@lru_cache(maxsize=4096)
def _hashed(path: Path, changed: int, size: int) -> str:
    """Return the sha256 of a file, computed once for each state of it."""
    del changed, size
    return file_hash(path)


def _shard(name: str) -> int | None:
    number = Path(name).stem
    return int(number) if number.isdecimal() else None


def _whole(seal: dict[str, Any]) -> bool:
    return content_hash(seal["files"]) == seal.get("root")


def _record(path: Path) -> dict[str, Any] | None:
    """Return a JSON record that names files, or None when it is absent or not whole."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("files"), dict) else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
