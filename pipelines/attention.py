"""What the maps of spectra say together, written as a page: one task, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import astropy.units as u
import xarray as xr
from pydantic import Field

from pipelines.ingest import CatalogFile
from solarxai.attention import AttentionReport, describe_attention
from solarxai.attention.slit import Quantity
from solarxai.catalog import Catalog
from solarxai.errors import QueryError
from solarxai.ingest import open_observation
from solarxai.page import write_attention_page
from solarxai.provenance import write_atomically
from solarxai.query import SaliencyStore, open_store
from solarxai.schema import SPECTROGRAM, kind_of
from solarxai.workflow import Cluster, Folder, Outcome
from solarxai.workflow.progress import Progress

__all__ = ["OUTPUTS", "run"]

OUTPUTS = ("attention/index.html", "attention/attention.json")

_READER = "iris_sji"


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    methods: Sequence[str] | None = None,
    run: str | None = None,
    store: Folder | None = None,
    slitjaws: CatalogFile | None = None,
    channel: str = "1400",
    quantity: Quantity = "absolute",
    within_arcsec: Annotated[float, Field(gt=0)] = 10.0,
    lasting_minutes: Annotated[float, Field(gt=0)] = 30.0,
    n_bootstrap: Annotated[int, Field(ge=1)] = 1000,
    seed: int = 0,
) -> Outcome:
    """Write `out/attention/index.html` and `attention.json`, and tell where the network looks.

    Parameters
    ----------
    out
        Folder of the run; it holds `store/`.
    cluster, threads
        Not used: this is one task.
    progress
        Follows the methods.
    methods
        Names of the maps; all of the run if None.
    run
        Run key, or its first characters; that of this folder if None.
    store
        The store; `out/store` if None.
    slitjaws
        Catalog with slit-jaw images of the same observations; that of `synth_iris` if None.
    channel
        Of the slit-jaw images in whose light the flare is looked for.
    quantity
        What attention along the slit is: "absolute", "positive" or "score".
    within_arcsec
        Largest distance of attention and brightening along the slit that counts as a meeting.
    lasting_minutes
        The flare's emission is looked for from its onset for so long; images must cover half.
    n_bootstrap
        Resamples of regions behind each interval.
    seed
        Of resamples and shuffles.

    Raises
    ------
    QueryError
        when the store holds no spectra.
    """
    del cluster, threads
    folder = out / "attention"
    folder.mkdir(exist_ok=True)
    samples = _samples(open_store(store or out / "store"), methods, run or _own_run(out))
    names = list(samples.attrs["methods"])
    progress = progress or Progress()
    movies = _movies(slitjaws or out / "data" / "catalog.yaml", channel, samples)
    with progress.stage("attention", total=len(names), unit="methods") as stage:
        report = describe_attention(
            samples,
            names,
            movies,
            quantity=quantity,
            within=within_arcsec * u.arcsec,
            lasting=lasting_minutes * u.min,
            n_bootstrap=n_bootstrap,
            seed=seed,
            progress=stage.reach,
        )
    write_attention_page(report, samples, movies, folder / "index.html")
    told = json.dumps(report.record(), indent=1, sort_keys=True)
    write_atomically(folder / "attention.json", told.encode())
    return Outcome(
        outputs=(folder / "attention.json", folder / "index.html"),
        done=len(names),
        figures={**_figures(report), "page": f"{folder.name}/index.html"},
    )


def _own_run(out: Path) -> str | None:
    """Return the run that was attributed in this folder: the store may hold others."""
    path = out / "attribute.json"
    return str(json.loads(path.read_text())["run"]) if path.is_file() else None


def _samples(store: SaliencyStore, methods: Sequence[str] | None, run: str | None) -> xr.Dataset:
    found = store.query(methods=methods, run=run)
    if kind_of(found) is not SPECTROGRAM:
        raise QueryError(
            f"{store.path}: its rows are {kind_of(found).name}es, not spectrograms",
            remedy="Use the step `validate` for images of spots.",
        )
    return found.load()


def _movies(catalog: Path, channel: str, samples: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return the slit-jaw images of the observations at hand, as far as the catalog has some."""
    if not catalog.is_file():
        return {}
    wanted = set(samples["observation"].values.astype(str).tolist())
    listed = [
        one
        for one in Catalog.load(catalog).references
        if one.instrument == _READER and f"SJI_{channel}" in one.name
    ]
    opened = [open_observation(one) for one in listed if any(name in one.name for name in wanted)]
    return {str(movie.attrs["observation"]): movie for movie in opened}


def _figures(report: AttentionReport) -> Mapping[str, Any]:
    figures: dict[str, Any] = {}
    for name, found in report.methods.items():
        shares = zip(found.by_line["line"].values, found.by_line["share"].values, strict=True)
        figures[f"{name} on"] = ", ".join(f"{line} {share:.2f}" for line, share in shares)
        figures[f"{name} along the slit"] = str(found.slit)
    if report.features is not None:
        figures["strongest feature"] = (
            f"{report.features['feature'].values[0]} "
            f"({float(report.features['correlation'].values[0]):+.2f})"
        )
    return figures
