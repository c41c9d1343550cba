"""Count how often 95 % intervals hold the truth, and test that p-values of nothing are uniform.

    python benchmarks/calibration.py [--write]

Structures come in active regions that share traits, 2 to 8 a region, as in a survey. Every interval
that the validation uses is made many times, of new regions each time, and counted when it holds the
value of a survey of many thousand regions. Random maps, which know no mask, go through the tests of
significance. --write puts the page into docs/benchmarks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from scipy import ndimage

from solarxai.metrics import (
    Interval,
    block_bootstrap,
    brier,
    proportion_interval,
    roc_auc,
    tss,
)
from solarxai.schema import PENUMBRA, QUIET, UMBRA
from solarxai.validation.localisation._masks import Masks
from solarxai.validation.localisation.nulls import MASK_NULLS, TESTED, null_samples
from solarxai.validation.localisation.significance import permutation_test
from solarxai.validation.report import Resampling

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "calibration.md"
REGIONS = (8, 16, 32, 64)
PROMISED = (0.93, 0.97)
TRIALS = 1000
RESAMPLES = 300
SURVEYS = 200
SIZE = 24

Rng = np.random.Generator
Rows = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One statistic of the validation.

    Parameters
    ----------
    name, used
        The statistic, and where the validation uses it.
    draw
        Returns the arrays (row,) of structures whose regions (row,) are given.
    statistic
        Of those arrays.
    options
        Of `block_bootstrap`; {"exact": True} for `proportion_interval`.
    """

    name: str
    used: str
    draw: Callable[[Any, Rng], Rows]
    statistic: Callable[..., float]
    options: Mapping[str, Any] = field(default_factory=dict)

    def interval(self, arrays: Rows, regions: Any, *, n: int, seed: int) -> Interval:
        """Return the interval as the validation makes it."""
        if self.options.get("exact"):
            return proportion_interval(*arrays, groups=regions, n=n, seed=seed)
        return block_bootstrap(
            self.statistic, *arrays, groups=regions, n=n, seed=seed, **self.options
        )


def regions_of(count: int, rng: Rng) -> Any:
    """Return the regions (row,) of structures, 2 to 8 a region."""
    return np.repeat(np.arange(count), rng.integers(2, 9, count))


def traits(regions: Any, rng: Rng) -> Any:
    """Return standard normal numbers (row,) of which half of the variance is their region's."""
    of_region = rng.normal(size=int(regions.max()) + 1)[regions]
    return (of_region + rng.normal(size=len(regions))) / np.sqrt(2)


def skewed(regions: Any, rng: Rng) -> Rows:
    """Return numbers like enrichments: positive, with a long tail (log-normal, σ = 0.6)."""
    return (np.exp(0.6 * traits(regions, rng)),)


def pairs(regions: Any, rng: Rng) -> Rows:
    """Return losses of score without the penumbra, and changes by the control."""
    return np.exp(1.5 + 0.5 * traits(regions, rng)), np.exp(0.5 * traits(regions, rng))


def margins(separation: float) -> Callable[[Any, Rng], Rows]:
    """Return a draw of truth and margins, the classes 2·`separation` standard deviations apart."""

    def draw(regions: Any, rng: Rng) -> Rows:
        truth = rng.random(len(regions)) < 0.5
        return truth, np.where(truth, 1, -1) * separation + traits(regions, rng)

    return draw


def hits(share: float) -> Callable[[Any, Rng], Rows]:
    """Return a draw of yes and no."""
    least = scipy.stats.norm.ppf(1 - share)
    return lambda regions, rng: (traits(regions, rng) > least,)


def differences(regions: Any, rng: Rng) -> Rows:
    """Return effects of regions between −1 and 1."""
    return (np.tanh(0.5 + traits(regions, rng)),)


def median_ratio(above: Any, below: Any) -> float:
    """Return median ÷ median."""
    return float(np.median(above) / np.median(below))


def median(values: Any) -> float:
    """Return the median."""
    return float(np.median(values))


def skill(truth: Any, margin: Any) -> float:
    """Return TSS of the calls."""
    return tss(truth, margin > 0)


def brier_of(truth: Any, margin: Any) -> float:
    """Return the Brier score of the margins as logits."""
    return brier(truth, scipy.special.expit(margin))


def bounds(least: float) -> dict[str, tuple[float, float]]:
    """Return the options of a statistic between `least` and 1."""
    return {"bounds": (least, 1.0)}


CASES = (
    Case(name="median", used="localisation", draw=skewed, statistic=median),
    Case(name="ratio of medians", used="interventions", draw=pairs, statistic=median_ratio),
    Case(name="TSS", used="skill", draw=margins(1.2), statistic=skill, options=bounds(-1)),
    Case(name="AUC of 0.80", used="skill", draw=margins(0.6), statistic=roc_auc,
         options=bounds(0)),
    Case(name="AUC of 0.955", used="skill", draw=margins(1.2), statistic=roc_auc,
         options=bounds(0)),
    Case(name="Brier score", used="skill", draw=margins(1.2), statistic=brier_of,
         options=bounds(0)),
    Case(name="mean of yes and no (0.7)", used="pointing game", draw=hits(0.7),
         statistic=np.mean, options=bounds(0)),
    Case(name="mean effect", used="Cliff's delta", draw=differences, statistic=np.mean,
         options=bounds(-1)),
    Case(name="fraction of 0.95", used="calls lost", draw=hits(0.95), statistic=np.mean,
         options={"exact": True}),
    Case(name="TSS, percentiles", used="nowhere", draw=margins(1.2), statistic=skill),
    Case(name="AUC of 0.955, percentiles", used="nowhere", draw=margins(1.2), statistic=roc_auc),
    Case(name="mean, long tail", used="nowhere", draw=skewed, statistic=np.mean),
)  # fmt: skip


def truth_of(case: Case) -> float:
    """Return the statistic of 40,000 regions."""
    rng = np.random.default_rng(0)
    return float(case.statistic(*case.draw(regions_of(40_000, rng), rng)))


def coverage(case: Case, count: int, *, truth: float, trials: int, n: int = RESAMPLES) -> float:
    """Return how often the interval of `count` regions holds the truth."""
    held = 0
    rng = np.random.default_rng([count, *case.name.encode()])
    for trial in range(trials):
        regions = regions_of(count, rng)
        found = case.interval(case.draw(regions, rng), regions, n=n, seed=trial)
        held += found.low <= truth <= found.high
    return held / trials


def spots(count: int, rng: Rng) -> tuple[Masks, Any, Any]:
    """Return masks of sunspots, oblong and off centre, with their regions and areas."""
    regions = np.repeat(np.arange(count), rng.integers(1, 3, count))
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    planes = []
    for radius in rng.uniform(4, 7, count)[regions] * rng.uniform(0.9, 1.1, len(regions)):
        (cy, cx), turn = rng.normal(0, 1.5, 2), rng.uniform(0, np.pi)
        along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
        across = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        far = np.hypot(along / 1.2, across * 1.2) / radius
        planes.append(np.where(far < 0.5, UMBRA, np.where(far < 1, PENUMBRA, QUIET)))
    segmentation = np.stack(planes).astype(np.uint8)
    sizes = (segmentation != QUIET).sum(axis=(1, 2))
    return Masks.of(segmentation, segmentation != QUIET), regions.astype(str), sizes


def random_maps(count: int, rng: Rng) -> Any:
    """Return smooth random maps (map, y, x) without a place of their own: both ends are joined."""
    noise = rng.normal(size=(count, SIZE, SIZE))
    return ndimage.gaussian_filter(noise, (0, 1.5, 1.5), mode="wrap").astype(np.float32)


def null_p_values(surveys: int, *, regions: int = 12) -> dict[tuple[str, str], Any]:
    """Return the p-values (survey,) of random maps, by null and quantity.

    Every structure has a map of its own; those of one region are half alike.
    """
    rng = np.random.default_rng(1)
    found: dict[tuple[str, str], list[float]] = {}
    for survey in range(surveys):
        masks, member, sizes = spots(regions, rng)
        shared = random_maps(regions, rng)[np.unique(member, return_inverse=True)[1]]
        maps = {"random": shared + random_maps(len(member), rng)}
        samples = null_samples(maps, masks, regions=member, sizes=sizes, n=12, seed=survey)
        for (_, null, quantity), one in samples.items():
            test = permutation_test(one, n=999, seed=survey, resampling=Resampling(n=2))
            found.setdefault((null, quantity), []).append(test.p)
    return {key: np.array(values) for key, values in found.items()}


def row(cells: list[str]) -> str:
    """Return a row of a table."""
    return "| " + " | ".join(cells) + " |"


def coverage_rows(table: Mapping[str, list[float]]) -> list[str]:
    """Return the coverage of each case, in bold where it is not as promised."""
    made = []
    for case in CASES:
        cells = [
            f"{100 * c:.1f}" if PROMISED[0] <= c <= PROMISED[1] else f"**{100 * c:.1f}**"
            for c in table[case.name]
        ]
        made.append(row([case.name, case.used, *cells]))
    return made


def null_rows(found: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return the test of uniformity of each null and quantity."""
    made = []
    for null in MASK_NULLS:
        for quantity in TESTED:
            p = found[null, quantity]
            test = scipy.stats.kstest(p, "uniform")
            made.append(
                row([null, quantity, f"{test.statistic:.3f}", f"{test.pvalue:.3f}",
                     f"{100 * np.mean(p <= 0.05):.1f}"])
            )  # fmt: skip
    return made


def page(trials: int, surveys: int) -> str:
    """Return the page."""
    table = {
        c.name: [coverage(c, g, truth=truth, trials=trials) for g in REGIONS]
        for c, truth in ((case, truth_of(case)) for case in CASES)
    }
    found = null_p_values(surveys)
    used = {case.name for case in CASES if case.used != "nowhere"}
    missed = [
        f"* {name}, {g} regions: {100 * c:.1f} %"
        for name, all_found in table.items()
        if name in used
        for g, c in zip(REGIONS, all_found, strict=True)
        if not PROMISED[0] <= c <= PROMISED[1]
    ]
    least = min(scipy.stats.kstest(p, "uniform").pvalue for p in found.values())
    error = 100 * np.sqrt(0.95 * 0.05 / trials)
    chance = 1 - float(np.diff(scipy.stats.norm.cdf(np.array([-2, 2]) / error))[0])
    header = row(["statistic", "used for", *(f"{g} regions" for g in REGIONS)])
    return f"""# Calibration

Written by `benchmarks/calibration.py`.

## How often a 95 % interval holds the truth

Per cent of {trials} surveys of each number of regions ({RESAMPLES} resamples an interval; error of
the simulation {error:.1f} points). Structures of one region are correlated by one half, 2 to 8 a
region. Bold: outside {100 * PROMISED[0]:.0f}–{100 * PROMISED[1]:.0f} %, which an exact 95 % is
{100 * chance:.0f} times in 100 by the error of the simulation alone.

{header}
{"|" + "---|" * (2 + len(REGIONS))}
{chr(10).join(coverage_rows(table))}

Scores and means between bounds have Student's t on the logit scale (`block_bootstrap(...,
bounds=...)`); the fraction is `proportion_interval`, which is wider on purpose; the others are
expanded percentiles. The last rows are intervals that nothing here uses, and show why.

Outside the promise, of those in use:

{chr(10).join(missed) or "nothing"}

## P-values of maps that know nothing

{surveys} surveys of 12 regions with smooth random maps, alike by half within a region; two-sided
p-values of 999 permutations. *KS* is the largest distance of their distribution from the uniform
one, with its p-value; the last column should be 5. The least of the {len(found)} p-values is
{least:.3f}; among as many uniform ones it falls below {1 - 0.95 ** (1 / len(found)):.4f} once in
twenty times.

| null | quantity | KS | p of KS | p ≤ 0.05, % |
|---|---|---|---|---|
{chr(10).join(null_rows(found))}
"""


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks/")
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--surveys", type=int, default=SURVEYS)
    arguments = parser.parse_args()
    began = time.process_time()
    text = page(arguments.trials, arguments.surveys)
    print(text)
    print(f"{time.process_time() - began:.0f} s of one core")
    if arguments.write:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
