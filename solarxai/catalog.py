"""Catalogs: which files, with which checksum, licence, instrument and region. They hold no data.

A catalog is a YAML file::

    name: ar11158
    description: one active region
    licence: MIT
    source: https://example.org
    origin: real
    root: ${SOLARXAI_REAL_DATA}
    entries:
      - path: hmi/continuum.fits
        sha256: 9aea5fb8...
        instrument: hmi_sharp
        region: NOAA 11158
        options: {hdu: 1}

Paths are relative to `root`, and a relative `root` is relative to the catalog's own folder.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from solarxai import registry
from solarxai.errors import CatalogError
from solarxai.provenance import content_hash, file_hash, write_atomically

__all__ = ["Catalog", "Origin", "Reference"]

Origin = Literal["real", "synthetic"]
Option = str | bool | int | float | None
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Word = Annotated[str, Field(min_length=1)]
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Where one image is, what its bytes must be and how to read them.

    Parameters
    ----------
    path
        The file on this machine.
    name
        The file's path below the catalog's root, with forward slashes: what messages call it.
    sha256
        Checksum of its bytes, hexadecimal; empty while the file has not been fetched.
    instrument
        Name of the reader, a module of `solarxai.instruments`.
    region
        The active region: what a split keeps together.
    origin
        "real" or "synthetic".
    licence
        Terms under which the file may be used.
    options
        Options of the reader: `frame`, `hdu`, `plate_scale`, `time`, `unit` of imagers,
        `calibrate` of `iris_raster`.
    truth, truth_sha256
        File of area fractions and structures behind a synthetic image.
    url
        Where the file can be fetched.
    steps
        Exposures of a raster that are meant, first and one after the last; all if None. Catalogs
        do not say so: large rasters are split while they are ingested.
    """

    path: Path
    name: str
    sha256: str
    instrument: str
    region: str
    origin: Origin
    licence: str = ""
    options: Mapping[str, Option] = field(default_factory=dict, hash=False)
    truth: Path | None = None
    truth_sha256: str | None = None
    url: str = ""
    steps: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        """Content hash: same bytes read the same way, same key, in whatever folder."""
        part = {} if self.steps is None else {"steps": self.steps}
        return content_hash(
            part
            | {
                "sha256": self.sha256,
                "instrument": self.instrument,
                "region": self.region,
                "origin": self.origin,
                "options": dict(self.options),
                "truth": self.truth_sha256,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """Named references with one origin.

    Parameters
    ----------
    name, description, licence, source
        What it is called, what it shows, its terms, where it comes from.
    origin
        "real" or "synthetic".
    root
        Folder of the files as the catalog spells it: a `${VARIABLE}` stays one.
    folder
        `root` on this machine.
    references
        One an image, in the order of the file.
    """

    name: str
    description: str
    licence: str
    source: str
    origin: Origin
    root: str
    folder: Path
    references: tuple[Reference, ...]

    @classmethod
    def load(cls, path: Path, *, variables: Mapping[str, str] | None = None) -> Catalog:
        """Return the catalog a YAML file describes.

        Parameters
        ----------
        path
            The YAML file.
        variables
            Values of the `${NAME}` in its root; by default the environment.

        Raises
        ------
        CatalogError
            with every complaint at once: unknown keys (a near name suggested), wrong types,
            missing words, unknown instruments, entries given twice, an unset variable.
        """
        text = _read(path)
        try:
            document = _File.model_validate(text)
        except ValidationError as error:
            raise _complaints(path, list(_described(error))) from None
        if faults := list(_faults(document)):
            raise _complaints(path, faults)
        folder = _folder(document.root, path, os.environ if variables is None else variables)
        return cls(
            name=document.name,
            description=document.description,
            licence=document.licence,
            source=document.source,
            origin=document.origin,
            root=document.root,
            folder=folder,
            references=tuple(_reference(entry, document, folder) for entry in document.entries),
        )

    def prune(self, n: int) -> Catalog:
        """Return the catalog with its first `n` references: a small version for a trial.

        Raises
        ------
        CatalogError
            if `n` is below 1.
        """
        if n < 1:
            raise CatalogError(
                f"{self.name}: cannot prune to {n} entries", remedy="Ask for 1 or more."
            )
        return dataclasses.replace(self, references=self.references[:n])

    def only(self, instrument: str) -> Catalog:
        """Return the catalog with its references of one instrument.

        Raises
        ------
        CatalogError
            if there is none.
        """
        kept = tuple(r for r in self.references if r.instrument == instrument)
        if not kept:
            known = sorted({r.instrument for r in self.references})
            raise CatalogError(
                f"{self.name}: no entry of instrument {instrument!r}; there are {', '.join(known)}",
                remedy="Give a catalog of such files, or correct `instrument` in its entries.",
            )
        return dataclasses.replace(self, references=kept)

    def save(self, path: Path) -> None:
        """Write the catalog as YAML that `load` reads back: no absolute path enters the file."""
        root = self.root
        if not _VARIABLE.search(root):
            root = Path(os.path.relpath(self.folder, path.parent)).as_posix()
        document = {
            "name": self.name,
            "description": self.description,
            "licence": self.licence,
            "source": self.source,
            "origin": self.origin,
            "root": root,
            "entries": [_entry(reference, self) for reference in self.references],
        }
        stream = io.StringIO()
        yaml = YAML()
        yaml.width = 1000
        yaml.indent(mapping=2, sequence=4, offset=2)
        yaml.dump(document, stream)
        write_atomically(path, stream.getvalue().encode())

    def problems(self) -> tuple[str, ...]:
        """Return a sentence for each file that is missing or differs from its checksum."""
        return tuple(
            sentence for reference in self.references for sentence in _file_problems(reference)
        )

    def with_checksums(self) -> Catalog:
        """Return the catalog with the checksums of the files now in its folder where it has none.

        Raises
        ------
        CatalogError
            naming the files that are not there yet.
        """
        missing = [r.name for r in self.references if not r.sha256 and not r.path.is_file()]
        if missing:
            raise CatalogError(
                f"{self.name}: not fetched yet: {', '.join(missing)}",
                remedy="Fetch these files into the catalog's root first.",
            )
        return dataclasses.replace(
            self,
            references=tuple(
                r if r.sha256 else dataclasses.replace(r, sha256=file_hash(r.path))
                for r in self.references
            ),
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Located(_Strict):
    path: _Word
    sha256: _Sha256 | None = None

    @field_validator("path")
    @classmethod
    def _below_root(cls, path: str) -> str:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError("must be a path below root, without '..'")
        return pure.as_posix()


class _Entry(_Located):
    instrument: _Word
    region: _Word
    truth: _Located | None = None
    licence: str | None = None
    url: str = ""
    options: dict[str, Option] = {}


class _File(_Strict):
    name: _Word
    description: str = ""
    licence: str = ""
    source: str = ""
    origin: Origin
    root: str = "."
    entries: Annotated[list[_Entry], Field(min_length=1)]


def _read(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CatalogError(
            f"{path}: no such catalog", remedy="Give the path of a catalog file (*.yaml)."
        ) from None
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        said = " ".join(str(error).split())
        raise CatalogError(
            f"{path}: is not YAML: {said}", remedy="See docs/catalogs.md for the format."
        ) from None


def _described(error: ValidationError) -> Iterator[str]:
    """Yield one sentence a complaint of pydantic, in the words of the file."""
    for fault in error.errors(include_url=False):
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in fault["loc"])
        where = where.lstrip(".") or "the file"
        if fault["type"] == "extra_forbidden":
            model = _model_at(fault["loc"])
            hint = registry.near_name(str(fault["loc"][-1]), sorted(model.model_fields))
            yield f"{where} is not a key of catalogs. {hint}".rstrip(" .")
        elif fault["type"] == "missing":
            yield f"{where} is missing"
        elif fault["type"] == "model_type":
            yield f"{where} is not a mapping of keys"
        else:
            yield f"{where}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    if "truth" in location[:-1]:
        return _Located
    return _Entry if location[0] == "entries" else _File


def _faults(document: _File) -> Iterator[str]:
    """Yield what is wrong between well-formed entries."""
    known = registry.names("solarxai.instruments")
    seen: dict[str, int] = {}
    for number, entry in enumerate(document.entries):
        if entry.instrument not in known:
            hint = registry.near_name(entry.instrument, known)
            hint = hint or f"Known: {', '.join(known)}"
            yield f"entries[{number}].instrument {entry.instrument!r} is unknown. {hint}".rstrip(
                "."
            )
        address = content_hash([entry.path, entry.options])
        if address in seen:
            yield f"entries[{number}] repeats entries[{seen[address]}] ({entry.path})"
        seen.setdefault(address, number)
        if entry.truth and document.origin == "real":
            yield f"entries[{number}].truth is given, but real images have none"


def _complaints(path: Path, sentences: list[str]) -> CatalogError:
    what = "; ".join(sentences)
    return CatalogError(
        f"{path}: {what}", remedy="Correct the catalog; docs/catalogs.md lists its keys."
    )


def _folder(root: str, path: Path, variables: Mapping[str, str]) -> Path:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not variables.get(name):
            raise CatalogError(
                f"{path}: its root needs the environment variable {name}, which is unset",
                remedy=f"Set {name} to the folder that holds the catalog's files.",
            )
        return variables[name]

    return path.parent / _VARIABLE.sub(value, root)


def _reference(entry: _Entry, document: _File, folder: Path) -> Reference:
    return Reference(
        path=folder / entry.path,
        name=entry.path,
        sha256=entry.sha256 or "",
        instrument=entry.instrument,
        region=entry.region,
        origin=document.origin,
        licence=document.licence if entry.licence is None else entry.licence,
        options=dict(entry.options),
        truth=folder / entry.truth.path if entry.truth else None,
        truth_sha256=entry.truth.sha256 if entry.truth else None,
        url=entry.url,
    )


def _entry(reference: Reference, catalog: Catalog) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": reference.name}
    if reference.sha256:
        entry["sha256"] = reference.sha256
    entry |= {"instrument": reference.instrument, "region": reference.region}
    if reference.url:
        entry["url"] = reference.url
    if reference.truth:
        below = Path(os.path.relpath(reference.truth, catalog.folder)).as_posix()
        entry["truth"] = {"path": below, "sha256": reference.truth_sha256}
    if reference.licence != catalog.licence:
        entry["licence"] = reference.licence
    if reference.options:
        entry["options"] = dict(reference.options)
    return entry


def _file_problems(reference: Reference) -> Iterator[str]:
    named = [(reference.name, reference.path, reference.sha256)]
    if reference.truth:
        named.append((f"truth of {reference.name}", reference.truth, reference.truth_sha256 or ""))
    for name, path, sha256 in named:
        if not path.is_file():
            yield f"{name} is missing"
        elif not sha256:
            yield f"{name} has no checksum in the catalog"
        elif file_hash(path) != sha256:
            yield f"{name} differs from its checksum"
