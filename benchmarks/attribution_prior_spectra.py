"""Does an attribution prior help on spectra? Skill and maps of networks trained with and without.

    python benchmarks/attribution_prior_spectra.py --out FOLDER [--write]

A synthetic IRIS, written once to FOLDER, is dealt into folds by active region; on each, networks of
every weight and seed learn from the same rows. Weights are compared on the same test regions, fold
by fold and seed by seed: each change from weight 0 has an interval over regions and one over seeds,
and counts only where both leave out 0. --write puts the page into docs/benchmarks.

Erion et al. 2021, doi:10.1038/s42256-021-00343-w.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import astropy.units as u
import numpy as np
import torch
import xarray as xr
from attribution_prior import roughness
from attribution_prior_arms import (
    LEVELS,
    MAPS,
    SKILL,
    Arm,
    Change,
    by_region,
    changes,
    counted,
    figure,
    in_short,
    verdict,
)

from solarxai.attribution import draw_baselines
from solarxai.catalog import Catalog
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.ingest import ingest_raster
from solarxai.spectra import line_windows
from solarxai.spectra.lines import WINDOWS
from solarxai.spectrograms import flatten
from solarxai.splits import folds
from solarxai.synthetic.iris_archive import FLARES, write_iris
from solarxai.training import Training, train
from solarxai.training.levels import aggregate
from solarxai.training.parts import Part, margins

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "attribution_prior_spectra.md"
SURVEY: Mapping[str, Any] = {"regions": 48, "observations": 2, "rasters": 1, "slitjaw": False}
RECIPE: Mapping[str, Any] = {
    "batch_size": 64, "learning_rate": 3e-3, "samples_an_epoch": 2048,
    "validation_samples": 1000, "n_bootstrap": 1,
}  # fmt: skip
COLUMNS = ("label", "region", "observation", "raster", "slit", "sample_id", "time", "wavelength")
LINES = [WINDOWS[name] for name in ("k", "h", "triplet")]
SHOWN, BASELINES, PATHS = 4, 50, 200
SAME = 1e-3


class Subject(NamedTuple):
    """A network, how long it learns, and what is tried on it; the first weight is 0."""

    model: str
    options: Mapping[str, Any]
    epochs: int
    weights: tuple[float, ...]
    seeds: int


SUBJECTS = (
    Subject("published_cnn", {}, 10, (0.0, 0.001, 0.01, 0.1, 1.0), 4),
    Subject("residual_cnn", {"width": 4}, 6, (0.0, 0.01, 0.1), 3),
)


def spectra(out: Path) -> xr.Dataset:
    """Return the spectra of the synthetic IRIS below a folder, written if it is not there."""
    told = "-".join(f"{name}={value}" for name, value in SURVEY.items())
    catalog = out / told / "catalog.yaml"
    if not catalog.is_file():
        write_iris(catalog.parent, **SURVEY)
    flares = catalog.parent / FLARES
    found = [flatten(ingest_raster(one, flares=flares)) for one in Catalog.load(catalog).references]
    joined = xr.concat([one.reset_coords()[["image", *COLUMNS]] for one in found], "sample")
    return joined.set_coords(COLUMNS).assign_attrs(found[0].attrs)


def trained(
    samples: xr.Dataset, subject: Subject, weight: float, seed: int
) -> tuple[Training, float]:
    """Return a network with the CPU seconds of its median epoch."""
    marks: list[float] = []
    made = train(
        samples,
        model=subject.model,
        model_options=subject.options,
        epochs=subject.epochs,
        attribution_prior=weight,
        seed=seed,
        progress=lambda *_: marks.append(time.process_time()),
        **RECIPE,
    )
    return made, float(np.median(np.diff(marks)))


def shown(samples: xr.Dataset) -> xr.Dataset:
    """Return a few test spectra of every test region."""
    test = np.flatnonzero(samples["split"].values == "test")
    rng, regions = np.random.default_rng(0), samples["region"].values[test]
    chosen = [rng.choice(test[regions == one], SHOWN, replace=False) for one in np.unique(regions)]
    return samples.isel(sample=np.concatenate(chosen))


def maps_of(made: Training, samples: xr.Dataset, few: xr.Dataset) -> np.ndarray:
    """Return the Expected Gradients (sample, wavelength) of the margin of a few spectra."""
    classifier = made.classifier
    baselines = draw_baselines(samples, classifier, n=BASELINES)
    x = classifier.tensor(few["image"].values)
    method = ExpectedGradients(samples=PATHS)
    found = method(classifier.network, x, target="difference", baselines=baselines)
    return np.asarray(found.values[:, 0], dtype=np.float64)


def measured(maps: np.ndarray, few: xr.Dataset) -> dict[str, np.ndarray]:
    """Return roughness, and share of |values| in the windows of k, h and triplet, a spectrum."""
    number = line_windows(few["wavelength"].values * u.AA)
    lines = np.isin(number, LINES)
    size = np.abs(maps)
    share = size[:, lines].sum(axis=1) / size.sum(axis=1)
    return {"roughness": roughness(maps), "share in lines": share}


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the correlation along wavelength of two maps of each spectrum."""
    a, b = (maps - maps.mean(axis=1, keepdims=True) for maps in (one, other))
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / size)


def run_fold(
    arm: Arm, samples: xr.Dataset, names: np.ndarray, subject: Subject, weight: float
) -> None:
    """Train the seeds of one fold and add what they came to."""
    test = samples.isel(sample=np.flatnonzero(samples["split"].values == "test"))
    few, found = shown(samples), dict[int, np.ndarray]()
    for seed in range(subject.seeds):
        made, seconds = trained(samples, subject, weight, seed)
        arm.epochs.append(seconds)
        margin = margins(made.classifier, Part.of(samples, "test"))
        for level in LEVELS:
            arm.add_table(level, seed, counted(aggregate(test, margin, level), names))
        if np.ptp(margin) < SAME:
            arm.constant += 1
        else:
            found[seed] = maps_of(made, samples, few)
    for seed, maps in found.items():
        for name, values in measured(maps, few).items():
            arm.add_maps(name, seed, by_region(values, few, names))
    for one, other in itertools.combinations(found, 2):
        alike = correlation(found[one], found[other])
        arm.add_maps("agreement of seeds", (one, other), by_region(alike, few, names))


def run(samples: xr.Dataset, subject: Subject, k: int) -> dict[float, Arm]:
    """Return the arms of a subject, a weight."""
    names = region_names(samples)
    arms = {weight: Arm() for weight in subject.weights}
    for number, one in enumerate(folds(samples, k)):
        for weight, arm in arms.items():
            run_fold(arm, one, names, subject, weight)
            spent = f"{time.process_time():.0f} s CPU"
            print(f"{spent}: {subject.model}, fold {number}, weight {weight:g}", file=sys.stderr)
    return arms


def region_names(samples: xr.Dataset) -> np.ndarray:
    """Return the regions, sorted."""
    return np.unique(samples["region"].values.astype(str))


def row(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


def section(
    subject: Subject, arms: Mapping[float, Arm], found: Mapping[float, list[Change]], n: np.ndarray
) -> str:
    """Return the section of a network: what the changes say, the figures, the changes."""
    plain = next(iter(arms))
    changed = [row([f"{weight:g}", *map(str, one)]) for weight, one in found.items()]
    heads = ["weight", *SKILL, *MAPS]
    parts = [
        f"## `{subject.model}`",
        f"{len(arms[plain].epochs)} networks a weight ({subject.seeds} seeds in each fold), "
        f"{subject.epochs} epochs.",
        "\n".join(verdict(weight, one) for weight, one in found.items()),
        "\n".join(figures(arms, n)),
        f"Change from weight {plain:g}:",
        "\n".join([row(heads), "|---" * len(heads) + "|", *changed]),
    ]
    return "\n\n".join(parts) + "\n"


def compared(arms: Mapping[float, Arm], names: np.ndarray) -> dict[float, list[Change]]:
    """Return the changes from the first weight, a weight."""
    first, *others = arms
    return {weight: changes(arms[weight], arms[first], names) for weight in others}


def figures(arms: Mapping[float, Arm], names: np.ndarray) -> list[str]:
    """Return the table of figures, a weight a row."""
    plain = float(np.median(next(iter(arms.values())).epochs))
    heads = ["weight", *SKILL, *MAPS, "constant networks", "time of an epoch"]
    made = [row(heads), "|---" * len(heads) + "|"]
    for weight, arm in arms.items():
        cells = [figure(arm, name, names) for name in (*SKILL, *MAPS)]
        cells += [f"{arm.constant} of {len(arm.epochs)}"]
        made.append(row([f"{weight:g}", *cells, f"× {np.median(arm.epochs) / plain:.1f}"]))
    return made


def page(samples: xr.Dataset, k: int) -> str:
    """Return the page."""
    names = region_names(samples)
    arms = {one.model: run(samples, one, k) for one in SUBJECTS}
    found = {model: compared(each, names) for model, each in arms.items()}
    sections = [section(one, arms[one.model], found[one.model], names) for one in SUBJECTS]
    number = line_windows(samples["wavelength"].values * u.AA)
    share = np.isin(number, LINES).mean()
    tried = len(SKILL) * sum(map(len, found.values()))
    return f"""# Attribution priors on spectra, as an experiment

{in_short(found)}.

Written by `benchmarks/attribution_prior_spectra.py`: {samples.sizes["sample"]} synthetic spectra
of {len(names)} active regions ({SURVEY["observations"]} observations each) in {k} folds by region,
so that every region is tested once. An epoch has {RECIPE["samples_an_epoch"]} spectra; the one
with the lowest validation loss, which leaves the prior out, is kept. The prior: one gradient of
Expected Gradients a spectrum, total variation along wavelength (Erion et al. 2021,
doi:10.1038/s42256-021-00343-w).

* TSS: yes means a margin above 0. AUC: pairs within a fold, since networks of two folds share no
  scale of margins. The margin of an observation is the mean of its spectra's.
* Maps: Expected Gradients of the margin of {SHOWN} test spectra a region. *Roughness*: total
  variation ÷ sum of |values|, so that their size does not count. *Agreement of seeds*: correlation
  of the maps of one spectrum by two networks of one fold; smooth maps agree more easily than rough
  ones. *Share in lines*: of |values| in the windows of k, h and triplet, which hold {share:.2f} of
  the points.
* Constant networks, whose margins on test spread less than {SAME:g}, count in the scores; they
  have no maps.
* Figures: mean over seeds [95 % over resampled regions] ± standard deviation of seeds (of their
  pairs, which are not independent, for the agreement).
* Changes: with the prior − without, for the same regions, folds and seeds [95 % over regions]
  [95 % over seeds, Student's]; bold where both leave out 0. Only those are called help or harm. Of
  {tried} changes of scores a lone bold one may be chance.
* Time of an epoch: CPU, as a multiple of that without the prior.

{chr(10).join(sections)}"""


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps the spectra")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = page(spectra(given.out), given.folds)
    print(text)
    if given.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
