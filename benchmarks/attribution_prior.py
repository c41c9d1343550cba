"""Does an attribution prior help? Accuracy and maps of networks trained with and without it.

    python benchmarks/attribution_prior.py RUN [--weights 0 0.001 0.01] [--seeds 0 1] [--write]

RUN is the folder of a finished `solarxai run`. Its samples, with the split of its training, train
one network a weight and seed. The table tells accuracy and TSS on the test split, how rough the
Expected Gradients of the margin are there (total variation ÷ sum of |values|, so that their size
does not count), and the share of |values| in the penumbra of the sunspots. --write puts the table
into docs/benchmarks/attribution_prior.md.

Erion et al. 2021, doi:10.1038/s42256-021-00343-w.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import xarray as xr

from solarxai.attribution import draw_baselines
from solarxai.blocks import open_samples
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.schema import PENUMBRA
from solarxai.training import Training, train

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "attribution_prior.md"
HEAD = "| weight | seed | accuracy | TSS | roughness | share in penumbra | seconds |"


def samples_of(run: Path) -> xr.Dataset:
    """Return the samples of a run with the split that its training made."""
    samples = open_samples(run / "samples")
    sides = json.loads((run / "split.json").read_text())
    column = [sides[name] for name in samples["sample_id"].values]
    return samples.assign_coords(split=("sample", np.array(column, dtype=object)))


def maps_of(trained: Training, samples: xr.Dataset, spots: xr.Dataset) -> np.ndarray:
    """Return the Expected Gradients (sample, y, x) of the margin of some samples."""
    classifier = trained.classifier
    baselines = draw_baselines(samples, classifier, n=50)
    x = classifier.tensor(spots["image"].values)
    found = ExpectedGradients(samples=200)(classifier.network, x, baselines=baselines)
    return np.asarray(found.values[:, 0])


def roughness(maps: np.ndarray) -> np.ndarray:
    """Return total variation ÷ sum of |values| of each map (sample, *space), summed over axes."""
    space = tuple(range(1, maps.ndim))
    steps = [np.abs(np.diff(maps, axis=axis)).sum(axis=space) for axis in space]
    return np.asarray(sum(steps) / np.abs(maps).sum(axis=space))


def row(samples: xr.Dataset, *, weight: float, seed: int, epochs: int) -> str:
    """Train one network and return its line of the table."""
    start = time.perf_counter()
    trained = train(samples, attribution_prior=weight, seed=seed, epochs=epochs)
    spent = time.perf_counter() - start
    test = (samples["split"] == "test").values & (samples["label"] == "sunspot").values
    spots = samples.isel(sample=np.flatnonzero(test)[:32])
    maps = maps_of(trained, samples, spots)
    penumbra = spots["segmentation"].values == PENUMBRA
    share = float((np.abs(maps) * penumbra).sum() / np.abs(maps).sum())
    scores = trained.metrics["test"].scores
    figures = f"{scores['accuracy']} | {scores['tss']} | {roughness(maps).mean():.2f} | {share:.2f}"
    return f"| {weight:g} | {seed} | {figures} | {spent:.0f} |"


def main() -> None:
    """Print the table, line by line as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.001, 0.01])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="write the page in docs/benchmarks")
    given = parser.parse_args()
    samples = samples_of(given.run)
    lines = [HEAD, "|---" * 7 + "|"]
    print("\n".join(lines))
    for weight in given.weights:
        for seed in given.seeds:
            lines.append(row(samples, weight=weight, seed=seed, epochs=given.epochs))
            print(lines[-1], flush=True)
    if given.write:
        counts = dict(
            zip(*np.unique(samples["split"].values.astype(str), return_counts=True), strict=True)
        )
        told = ", ".join(f"{split} {n}" for split, n in sorted(counts.items()))
        title = "# Attribution priors, as an experiment\n\n"
        words = f"Written by `benchmarks/attribution_prior.py`; samples: {told}.\n\n"
        PAGE.write_text(title + words + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
