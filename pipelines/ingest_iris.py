"""The rasters of a catalog made into blocks of labelled spectrograms, some files a unit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipelines.cluster import PlainLoop
from pipelines.ingest import CatalogFile, OnError, carry_out
from solarxai import registry
from solarxai.catalog import Catalog
from solarxai.errors import SolarxaiError
from solarxai.events import LabelRule
from solarxai.ingest import ingest_raster, split
from solarxai.spectra import Cleaning
from solarxai.workflow import Cluster, InputFile, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "complaints", "run"]

OUTPUTS = ("samples/*.nc", "samples/*.json", "ingest.json")

FILES_A_BLOCK = 4
"""Rasters ingested by one unit of work into one block."""

_READER = "iris_raster"


def complaints(options: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the fields of `cleaning` and `labels`."""
    found = []
    for name, kind in (("cleaning", Cleaning), ("labels", LabelRule)):
        try:
            registry.make(kind, options[name] or {}, name=name)
        except SolarxaiError as error:
            found.append(str(error))
    return found


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    catalog: CatalogFile | None = None,
    flares: InputFile | None = None,
    regions: InputFile | None = None,
    labels: Mapping[str, Any] | None = None,
    grid: Literal["study", "native"] = "study",
    cleaning: Mapping[str, Any] | None = None,
    on_error: OnError = "raise",
    first: Annotated[int, Field(ge=1)] | None = None,
) -> Outcome:
    """Write `out/samples/<block>.nc` and `out/ingest.json`, and account for every spectrum.

    A large raster is ingested in parts of some exposures, a block each (`solarxai.ingest.split`).

    Parameters
    ----------
    out
        Folder of the run.
    cluster, progress
        Where files are ingested, and who follows.
    threads
        Not used: a file is ingested on one thread.
    catalog
        The catalog; that of the step `synth_iris` if None. Of its entries the rasters are taken.
    flares
        The SWPC flare list that labels come from; with the catalog of `synth_iris` its list if
        None. Without one every exposure is *ambiguous*.
    regions
        NOAA table of active regions, to find flares of neighbours.
    labels
        Fields of `solarxai.events.LabelRule`: the window before a flare, its least class, ...
    grid
        "study", the 240 wavelengths of Panos et al. 2023, or "native", the instrument's own.
    cleaning
        Fields of `solarxai.spectra.Cleaning`: thresholds of each step, and which are off.
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
    listed = Catalog.load(catalog or out / "data" / "catalog.yaml").only(_READER)
    own = out / "data" / "flares.csv" if catalog is None else None
    bound = functools.partial(
        ingest_raster,
        grid=grid,
        cleaning=registry.make(Cleaning, cleaning or {}, name="cleaning"),
        flares=flares or (own if own and own.is_file() else None),
        rule=registry.make(LabelRule, labels or {}, name="labels"),
        regions=regions,
    )
    chosen = listed if first is None else listed.prune(first)
    parts = tuple(part for one in chosen.references for part in split(one))
    return carry_out(
        dataclasses.replace(chosen, references=parts),
        bound,
        out=out,
        cluster=cluster or PlainLoop(),
        progress=progress or Progress(),
        skip=on_error == "skip",
        told={"grid": grid},
        files_a_block=FILES_A_BLOCK,
    )
