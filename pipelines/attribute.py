"""Samples and a classifier made into a segment of saliency maps, one shard a unit."""

from __future__ import annotations

import io
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from pydantic import Field

from pipelines.cluster import PlainLoop
from solarxai import attribution, blocks
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError, SolarxaiError
from solarxai.explainers import Explainer
from solarxai.provenance import code_hash, file_hash, versions, write_atomically
from solarxai.schema import kind_of
from solarxai.store import Store, create_store
from solarxai.store.segment import Segment
from solarxai.workflow import Cluster, Folder, Outcome, sound, tasks
from solarxai.workflow.devices import Device, chosen
from solarxai.workflow.progress import Progress, Stage
from solarxai.workflow.record import keep_record

__all__ = ["OUTPUTS", "Explainers", "begin", "labelled", "run"]

OUTPUTS = ("attribute.json", "baselines.npy")
"""No finished segment is ever removed: another configuration is another segment of the store."""

Explainers = Annotated[
    list[dict[str, Any]], Field(min_length=1), sound(attribution.parse_explainers)
]
Split = Literal["train", "validation", "test", "all"]
Positive = Annotated[int, Field(ge=1)]

_A_DAY = 86400

_ROWS, _A_MAP = 256, 1 << 26
"""Rows of a shard, and bytes of one map of them, at most, unless told otherwise."""

_SAME_WAVELENGTH = 1e-3
"""Angstrom, 0.1 km/s: grids whose ends differ by less are one."""

FOUR = ({"method": "gradient"}, {"method": "grad_cam"}, {"method": "hires_cam"},
        {"method": "expected_gradients"})  # fmt: skip


def run(
    *,
    out: Path,
    cluster: Cluster | None = None,
    progress: Progress | None = None,
    threads: int = 1,
    explainers: Explainers = list(FOUR),  # noqa: B006
    split: Split | None = None,
    batch_size: Positive = 32,
    shard_size: Positive | None = None,
    store: Folder | None = None,
    seed: int = 0,
    device: Device = "cpu",
) -> Outcome:
    """Write a sealed segment of `out/store`, and tell its root hash.

    Parameters
    ----------
    out
        Folder of the run; it holds `samples/`, `ingest.json` and `classifier.safetensors`.
    cluster, progress
        Where shards are attributed, and who follows.
    threads
        Not used: a shard is attributed on one thread, wherever it runs, so that its bytes agree.
    explainers
        One mapping a method: {method: name, **fields of its dataclass}. Where one has the field
        `n_baselines`, as many are drawn from the samples the classifier was trained on, or, where
        those are not at hand, from the samples of this run.
    split
        The samples to attribute; those of "test" if a classifier was trained on this run's own
        samples, otherwise "all".
    batch_size
        Images in one pass; part of the run key, since sums depend on it at 1e-7.
    shard_size
        Rows of a shard; if None 256, or fewer where one map of so many rows has over 64 MB.
    store
        A store elsewhere, to gather several runs; `out/store` if None.
    seed
        Of the draw of baselines.
    device
        Where maps are computed: cpu, cuda (the first GPU that a worker sees), or auto, which is
        cuda where workers have a GPU. Part of the run key, since sums depend on it.

    Raises
    ------
    ContractError
        when samples and classifier do not fit, or there is no sample to attribute.
    """
    del threads
    progress = progress or Progress()
    opened = _opened(out, store)
    segment, file = begin(
        out=out,
        store=opened,
        explainers=explainers,
        split=split,
        batch_size=batch_size,
        shard_size=shard_size,
        seed=seed,
        baselines=out / "baselines.npy",
        device=device,
        gpus=getattr(cluster, "gpus", None),
    )
    if store is None:
        _drop_unfinished(opened, segment.run)
    shared = (segment.path, explainers, file, batch_size)
    with progress.stage("attribute", total=segment.n_rows, unit="samples") as stage:
        _write_missing(segment, cluster or PlainLoop(), stage, shared)
    return _sealed(opened, segment, stage, out)


def begin(
    *,
    out: Path,
    store: Store,
    explainers: Explainers,
    split: Split | None,
    batch_size: Positive,
    shard_size: Positive | None,
    seed: int,
    baselines: Path,
    device: Device = "cpu",
    gpus: int | None = None,
) -> tuple[Segment, Path | None]:
    """Return the segment of these options, begun now or before, and the file of its baselines.

    Parameters are those of `run`, the file to which baselines, if any, are written, and the GPUs
    of each worker, None where workers see what this process sees.

    Raises
    ------
    ContractError
        when samples and classifier do not fit, or there is no sample to attribute.
    """
    checkpoint = out / "classifier.safetensors"
    classifier = Classifier.load(checkpoint)
    samples = _chosen(out, split, classifier)
    shard_size = shard_size or _rows_of_a_shard(samples)
    parsed, kind = attribution.parse_explainers(explainers), chosen(device, gpus=gpus)
    drawn, place = _drawn(out, classifier, parsed, seed)
    tensor = None if drawn is None else torch.from_numpy(drawn)
    shaping: dict[str, Any] = {"baselines": tensor, "batch_size": batch_size}
    key = attribution.run_key(
        samples, classifier, parsed, shard_size=shard_size, device=kind, **shaping
    )
    file = None if drawn is None else _saved(drawn, baselines)
    draw = {"seed": seed, "drawn from": place, "sha256": None if file is None else file_hash(file)}
    segment = store.begin(
        samples,
        list(parsed),
        run_key=key,
        provenance={
            **_provenance(classifier, parsed, batch_size, kind),
            "baselines": {"number": 0 if drawn is None else len(drawn), **draw},
        },
        shard_size=shard_size,
        checkpoint=checkpoint.read_bytes(),
        variables=attribution.layout(samples, classifier, parsed, **shaping),
    )
    return segment, file


def _chosen(out: Path, split: Split | None, classifier: Classifier) -> xr.Dataset:
    """Return the samples to attribute, with the column `split`."""
    samples = labelled(out)
    _check_fit(samples, classifier)
    wanted = split or ("test" if (out / "split.json").is_file() else "all")
    if wanted == "all":
        return samples
    chosen = samples.isel(sample=samples["split"].values == wanted)
    if not chosen.sizes["sample"]:
        raise ContractError(
            f"none of the {samples.sizes['sample']} samples is in the split {wanted!r}",
            remedy="Attribute `split: all`, or train on these samples.",
        )
    return chosen


def _rows_of_a_shard(samples: xr.Dataset) -> int:
    """Return as many rows as a worker can well hold several maps of."""
    a_row = samples["image"].nbytes // samples.sizes["sample"]
    return max(1, min(_ROWS, _A_MAP // a_row))


def labelled(folder: Path) -> xr.Dataset:
    """Return the samples of a run with the split that its training made, "none" without one."""
    samples = blocks.open_samples(folder / "samples")
    made = folder / "split.json"
    sides = json.loads(made.read_text()) if made.is_file() else {}
    column = [sides.get(name, "none") for name in samples["sample_id"].values]
    return samples.assign_coords(split=("sample", np.array(column, dtype=object)))


def _drawn(
    out: Path, classifier: Classifier, explainers: Mapping[str, Explainer], seed: int
) -> tuple[npt.NDArray[np.float32] | None, str]:
    """Return as many baselines as the neediest method asks for, and where they come from."""
    number = max((getattr(e, "n_baselines", 0) for e in explainers.values()), default=0)
    if not number:
        return None, "none needed"
    training, place = _training_samples(out)
    return attribution.draw_baselines(training, classifier, n=number, seed=seed).numpy(), place


def _saved(baselines: npt.NDArray[np.float32], path: Path) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, baselines)
    write_atomically(path, buffer.getvalue())
    return path


def _training_samples(out: Path) -> tuple[xr.Dataset, str]:
    """Return what the classifier was trained on and its place, or this run's samples."""
    if (out / "split.json").is_file():
        return labelled(out), "training split"
    if (out / "classifier" / "split.json").is_file():
        return labelled(out / "classifier"), "training split of the classifier's workflow"
    samples = labelled(out)
    everywhere = np.full(samples.sizes["sample"], "train", dtype=object)
    return samples.assign_coords(split=("sample", everywhere)), "the samples of the run itself"


def _check_fit(samples: xr.Dataset, classifier: Classifier) -> None:
    wanted = classifier.contract
    shown = kind_of(samples).space[-len(wanted.shape) :]
    shape = tuple(samples.sizes[name] for name in shown)
    if wanted.wavelength is not None:
        _check_spectra(samples, shape, wanted)
    elif shape != tuple(wanted.shape) or not _same_scale(samples, wanted.scale_mm):
        raise ContractError(
            f"the samples are {shape} pixels of {samples.attrs.get('scale_mm')} Mm, the classifier "
            f"takes {tuple(wanted.shape)} of {wanted.scale_mm} Mm",
            remedy=f"Set ingest.patch_size to {wanted.shape[0]} and ingest.scale_mm to "
            f"{wanted.scale_mm}.",
        )


def _same_scale(samples: xr.Dataset, scale_mm: float | None) -> bool:
    found = samples.attrs.get("scale_mm")
    return found is not None and scale_mm is not None and bool(np.isclose(found, scale_mm))


def _check_spectra(samples: xr.Dataset, shape: tuple[int, ...], wanted: InputContract) -> None:
    ends = samples["wavelength"].values[[0, -1]].tolist() if "wavelength" in samples else []
    same = np.allclose(ends or np.nan, wanted.wavelength or np.nan, rtol=0, atol=_SAME_WAVELENGTH)
    if shape != tuple(wanted.shape) or not same:
        raise ContractError(
            f"the samples are {shape} values over {ends or 'no'} Angstrom, the classifier takes "
            f"{tuple(wanted.shape)} over {list(wanted.wavelength or ())}",
            remedy="Ingest spectra on the grid, and with as long a slit, as it was trained on.",
        )


def _provenance(
    classifier: Classifier, explainers: Mapping[str, Explainer], batch_size: int, device: str
) -> dict[str, Any]:
    """Return what made the maps, without a path or a time."""
    return {
        "classifier": classifier.hash,
        "architecture": classifier.architecture,
        "explainers": {
            name: {"method": type(explainer).__module__.rsplit(".", 1)[1], **asdict(explainer)}
            for name, explainer in explainers.items()
        },
        "batch_size": batch_size,
        "device": device,
        "code": code_hash(),
        "versions": versions(),
    }


def _opened(out: Path, elsewhere: Path | None) -> Store:
    """Return the store, free of what a killed run left in it."""
    store = create_store(elsewhere or out / "store")
    store.remove_stale(before=time.time() - (_A_DAY if elsewhere else 0))
    return store


def _drop_unfinished(store: Store, run_key: str) -> None:
    """Remove what runs of other options or other code began here and nobody will finish."""
    for segment in store.segments():
        if segment.run != run_key and not segment.sealed:
            dropped = segment.path.with_name(f".dropped-{segment.run[:16]}")
            shutil.rmtree(segment.path.rename(dropped))


def _write_missing(
    segment: Segment, cluster: Cluster, stage: Stage, shared: tuple[Any, ...]
) -> None:
    missing = segment.missing()
    sizes = [_size(segment, shard) for shard in missing]
    stage.skip(segment.n_rows - sum(sizes))
    calls = ((*shared, shard) for shard in missing)
    for index, result in cluster.run(tasks.attribute_shard, calls):
        if isinstance(result, SolarxaiError):
            raise result
        stage.advance(sizes[index])


def _size(segment: Segment, shard: int) -> int:
    rows = segment.rows(shard)
    return len(range(rows.start, rows.stop))


def _sealed(store: Store, segment: Segment, stage: Stage, out: Path) -> Outcome:
    told = {"run": segment.run, "root hash": segment.seal()}
    write_atomically(out / "attribute.json", json.dumps(told, indent=1).encode())
    keep_record(store.path, segment.run, out=out, root=told["root hash"])
    whole = all(other.sealed for other in store.segments())
    times = segment.read("time", np.array([0, segment.n_rows - 1])).astype("datetime64[s]")
    return Outcome(
        outputs=(segment.path / "SEALED.json", out / "attribute.json"),
        done=stage.done,
        skipped=stage.skipped,
        figures={
            "maps": segment.n_rows * len(segment.methods),
            "methods": ", ".join(segment.methods),
            "run": segment.run[:16],
            "root hash": store.root_hash() if whole else "none, another run is unfinished",
        },
        next_command=f"solarxai query {{out}}/store --time {times[0]}/"
        f"{times[1] + np.timedelta64(1, 's')}",
    )
