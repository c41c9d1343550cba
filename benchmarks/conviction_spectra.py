"""Train honest networks and cheats on synthetic IRIS spectra, and count whom the tests convict.

    python benchmarks/conviction_spectra.py --out runs/conviction_spectra [--seeds 5] [--write]

Each seed draws one survey without a cheat and one with each, by the same random numbers, so that a
spectrum has its pair without the trace. Networks learn on half of the regions and are validated on
a third that they never saw. A network that is trained and judged is a JSON file in --out: a run
that was stopped goes on where it was. --write puts the tables of whatever is there into
docs/validation/spectra.md, between its two marks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import scipy.stats
import torch
import xarray as xr

from solarxai.provenance import write_atomically
from solarxai.schema import mock_spectrograms
from solarxai.spectra import Cleaning, by_maximum, regrid, study_grid
from solarxai.spectrograms import flatten
from solarxai.splits import split
from solarxai.synthetic.iris_detector import FILL, expose_raster
from solarxai.synthetic.iris_surface import draw_surface
from solarxai.synthetic.iris_survey import Observation, Survey, draw_observation
from solarxai.training import train
from solarxai.validation.report import Limits, Report, Resampling
from solarxai.validation.spectral.checks import BAND, BOX, SLIT
from solarxai.validation.spectral.counterfactual import SWAPS
from solarxai.validation.spectral.pairs import paired_checks
from solarxai.validation.spectral.verdict import validate_spectra

PAGE = Path(__file__).parents[1] / "docs" / "validation" / "spectra.md"
START, END = "<!-- conviction: start -->", "<!-- conviction: end -->"

SURVEY: dict[str, Any] = {
    "regions": 40, "observations": 1, "rasters": 1, "steps": 4, "slit": 40,
}  # fmt: skip
CHEATS: dict[str, dict[str, Any]] = {
    "none": {},
    "zero-point 10 km/s": {"wavelength_zero_point": 10.0},
    "slope 4 % per Å": {"continuum_slope": 0.04},
    "box at k": {"box": "k"},
    "box at h": {"box": "h"},
    "box in the middle": {"box": "middle"},
    "fiducial row": {"fiducial_row": True},
}
GUILT: dict[str, set[str]] = {
    "zero-point 10 km/s": {"wavelength zero-point"},
    "slope 4 % per Å": {"continuum slope"},
    "box at k": {"light at k that h lacks"},
    "box at h": {"light at h that k lacks"},
    "box in the middle": {BOX},
    "fiducial row": {SLIT, BAND},
}
"""What each cheat should be convicted of."""

SINGLE: dict[str, dict[str, Any]] = {
    "published_cnn": {
        "model": "published_cnn", "epochs": 12, "batch_size": 64, "learning_rate": 3e-3,
        "samples_an_epoch": 3072,
    },
    "residual_cnn": {
        "model": "residual_cnn", "model_options": {"width": 4}, "epochs": 8, "batch_size": 64,
        "samples_an_epoch": 2048,
    },
}  # fmt: skip
WHOLE: dict[str, dict[str, Any]] = {
    "vision_transformer, 2-D": {
        "model": "vision_transformer", "epochs": 20, "batch_size": 8,
        "model_options": {"width": 16, "depth": 1, "heads": 2, "patch": 8},
    },
}  # fmt: skip
LEARNT = 0.2
"""A network has taken the bait when its margins move by this much of their spread without it: half
of what convicts, since taking a trace away changes one class, and swapping it both."""


def survey(cheat: str, seed: int) -> xr.Dataset:
    """Return the spectrograms of one survey, cleaned, their fiducial rows dropped, split."""
    options = Survey(**SURVEY, **CHEATS[cheat], seed=seed)
    shown = [exposures(options, index) for index in range(options.total)]
    image, peak, quality = (np.concatenate(each) for each in zip(*shown, strict=True))
    observed = [draw_observation(options, index) for index in range(options.total)]
    drawn = mock_spectrograms(len(image), slits=options.slit)
    drawn = drawn.assign(
        image=drawn["image"].copy(data=image),
        quality=drawn["quality"].copy(data=quality),
        peak=drawn["peak"].copy(data=peak),
    ).assign_coords(columns(observed, options))
    kept = np.flatnonzero((quality == 0).any(axis=1))
    return split(drawn.isel(sample=kept), fractions=(0.5, 0.15, 0.35), seed=seed)


def exposures(options: Survey, index: int) -> tuple[Any, Any, Any]:
    """Return image, peak and quality of the exposures of one observation."""
    observation = draw_observation(options, index)
    counts = expose_raster(options, observation, draw_surface(options, observation), 0)
    wavelength = options.wavelength * u.AA
    flat = np.where(counts > FILL, counts, np.nan).reshape(-1, counts.shape[2])
    saa = np.full(len(flat), observation.saa)
    quality = Cleaning().apply(flat, wavelength, saa=saa).reshape(counts.shape[:2])
    quality[:, observation.fiducial] = 1
    on_grid = regrid(flat, wavelength, study_grid()).reshape(*counts.shape[:2], -1)
    quality[(quality == 0) & ~np.isfinite(on_grid).all(axis=2)] = 1
    on_grid[quality != 0] = np.nan
    image, peak = by_maximum(on_grid)
    return image, peak / np.float32(options.exposure), quality


def columns(observed: list[Observation], options: Survey) -> dict[str, Any]:
    """Return the columns that make rows those of the observations."""
    many = options.steps
    words = {
        "label": [one.label for one in observed for _ in range(many)],
        "region": [f"NOAA {one.region.number}" for one in observed for _ in range(many)],
        "observation": [one.name for one in observed for _ in range(many)],
        "sample_id": [f"{one.name}-s{step}" for one in observed for step in range(many)],
    }
    texts = {name: ("sample", np.array(values, dtype=object)) for name, values in words.items()}
    start = np.array([one.start for one in observed for _ in range(many)], "datetime64[ns]")
    time = np.full(len(start), options.exposure)
    return {**texts, "time": ("sample", start), "exposure_time": ("sample", time)}


def units(seeds: int) -> Iterator[tuple[int, str, str, dict[str, Any]]]:
    """Yield seed, cheat, name and options of every network, the quickest networks first."""
    for names in (("published_cnn", "vision_transformer, 2-D"), ("residual_cnn",)):
        for seed in range(seeds):
            for cheat in CHEATS:
                for name, options in _networks(cheat).items():
                    if name in names:
                        yield seed, cheat, name, options


def _networks(cheat: str) -> dict[str, dict[str, Any]]:
    """Return the networks that can learn a cheat: only those of spectrograms see the slit."""
    if cheat == "none":
        return SINGLE | WHOLE
    return WHOLE if cheat == "fiducial row" else SINGLE


def judged(
    drawn: xr.Dataset, honest: xr.Dataset, cheat: str, seed: int, name: str, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the record of one network: trained, validated, compared with its pairs."""
    seen = drawn if name in WHOLE else flatten(drawn)
    start = time.process_time()
    made = train(seen, seed=seed, n_bootstrap=10, patience=100, **options)
    trained = time.process_time() - start
    report = validate_spectra(seen, made.classifier, n_bootstrap=200, seed=seed)
    taken = time.process_time() - start - trained
    held = [each.isel(sample=each["split"].values == "test") for each in (drawn, honest)]
    pair = paired_checks(
        held[0], held[1], made.classifier, name=cheat,
        limits=Limits(), resampling=Resampling(n=50, seed=seed),
    )  # fmt: skip
    return {
        "cheat": cheat, "seed": seed, "network": name,
        "train_cpu_s": round(trained, 1), "validate_cpu_s": round(taken, 1),
        "pair_flips": pair[0].value, "pair_share": pair[1].value, **found(report),
    }  # fmt: skip


def found(report: Report) -> dict[str, Any]:
    """Return what a report says, as JSON."""
    verdict = report.verdicts[0]
    values = {check.name: [check.value, check.low, check.high] for check in report.checks}
    return {
        "outcome": verdict.outcome,
        "convicted_of": list(verdict.convicted_of),
        "needs": list(verdict.needs),
        "swayed_by": list(verdict.swayed_by),
        "sentence": verdict.sentence,
        "regions": report.checks[0].regions,
        "samples": report.checks[0].structures,
        "checks": values,
    }


def path(out: Path, seed: int, cheat: str, name: str) -> Path:
    """Return where the record of a network stands."""
    words = "-".join(("".join(c if c.isalnum() else "_" for c in w)) for w in (cheat, name))
    return out / f"{seed:02d}-{words}.json"


def measure(out: Path, seeds: int) -> None:
    """Train and judge every network that has no record yet."""
    out.mkdir(parents=True, exist_ok=True)
    drawn: dict[tuple[int, str], xr.Dataset] = {}
    for seed, cheat, name, options in units(seeds):
        place = path(out, seed, cheat, name)
        if place.is_file():
            continue
        drawn = {key: value for key, value in drawn.items() if key[0] == seed}
        for one in ("none", cheat):
            if (seed, one) not in drawn:
                drawn[seed, one] = survey(one, seed)
        record = judged(drawn[seed, cheat], drawn[seed, "none"], cheat, seed, name, options)
        write_atomically(place, json.dumps(record, indent=1).encode())
        print(f"{seed} {cheat}, {name}: {record['sentence']}", flush=True)


def records(out: Path) -> list[dict[str, Any]]:
    """Return the records that are there."""
    return [json.loads(place.read_text()) for place in sorted(out.glob("*.json"))]


def rate(hits: int, n: int) -> str:
    """Return a count and its share with the exact 95 % interval of independent networks."""
    if not n:
        return "–"
    low, high = scipy.stats.binomtest(hits, n).proportion_ci(0.95, "exact")
    return f"{hits} of {n} ({100 * hits / n:.0f} % [{100 * low:.0f}, {100 * high:.0f}])"


def took_bait(record: Mapping[str, Any]) -> bool:
    """Return whether a network rests on the trace that was planted."""
    return record["cheat"] != "none" and bool(record["pair_share"] >= LEARNT)


def confusion(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line a cheat and network: how many took the bait, were convicted, acquitted."""
    lines = [
        "| cheat | network | networks | took the bait | convicted | of what was planted, first | "
        "honest so far | undecided | AUC |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cheat, name in sorted({(r["cheat"], r["network"]) for r in rows}, key=_order):
        mine = [r for r in rows if (r["cheat"], r["network"]) == (cheat, name)]
        guilty = [r for r in mine if r["outcome"] == "convicted"]
        exact = sum(bool({*r["convicted_of"][:1]} & GUILT.get(cheat, set())) for r in guilty)
        auc = statistics.median(r["checks"]["ROC-AUC"][0] for r in mine)
        words = ("honest so far", "undecided")
        counts = [sum(r["outcome"] == word for r in mine) for word in words]
        bait = "–" if cheat == "none" else str(sum(map(took_bait, mine)))
        cells = [cheat, name, len(mine), bait, len(guilty), "–" if cheat == "none" else exact]
        lines.append("| " + " | ".join(map(str, [*cells, *counts, f"{auc:.2f}"])) + " |")
    return lines


def _order(pair: tuple[str, str]) -> tuple[int, str]:
    return list(CHEATS).index(pair[0]), pair[1]


def figures(rows: list[dict[str, Any]]) -> list[str]:
    """Return a line a test: the share of the margins' spread that each kind of network moves by."""
    tests = [*SWAPS, BOX, SLIT, BAND]
    kinds = [kind for kind in CHEATS if any(r["cheat"] == kind for r in rows)]
    lines = ["| test | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for test in tests:
        cells = [
            _spread(
                [
                    r["checks"][key][0]
                    for r in rows
                    if r["cheat"] == kind
                    and (key := f"swap {test}: change of margin ÷ spread") in r["checks"]
                    and (kind == "none" or took_bait(r))
                ]
            )
            for kind in kinds
        ]
        lines.append(f"| {test} | " + " | ".join(cells) + " |")
    return lines


def _spread(values: list[float]) -> str:
    """Return the median, least and greatest of values."""
    if not values:
        return "–"
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


def text(rows: list[dict[str, Any]]) -> str:
    """Return the tables and what they add up to."""
    honest = [r for r in rows if r["cheat"] == "none"]
    bait = [r for r in rows if took_bait(r)]
    blind = [r for r in rows if r["cheat"] != "none" and not took_bait(r)]
    convicted = sum(r["outcome"] == "convicted" for r in bait)
    acquitted = sum(r["outcome"] == "honest so far" for r in honest)
    wrongly = sum(r["outcome"] == "convicted" for r in honest)
    missed = sorted({r["cheat"] for r in bait if r["outcome"] != "convicted"})
    unlearnt = sorted({r["cheat"] for r in blind})
    skill = statistics.median(r["checks"]["TSS"][0] for r in honest) if honest else float("nan")
    lines = [
        f"* Networks that took the bait and were convicted: {rate(convicted, len(bait))}.",
        f"* Honest networks acquitted: {rate(acquitted, len(honest))}; convicted: "
        f"{rate(wrongly, len(honest))}; the rest undecided. Their median TSS on unseen regions is "
        f"{skill:.2f}.",
        "* Networks of one seed share a survey, so these intervals, which take them as "
        "independent, "
        f"are too narrow: {len(rows)} networks, {len({r['seed'] for r in rows})} surveys.",
        f"* Cheats of which some network escaped: {', '.join(missed) or 'none'}.",
        f"* Cheats offered that some network did not take: {', '.join(unlearnt) or 'none'} "
        f"({len(blind)} networks, of which "
        f"{sum(r['outcome'] == 'convicted' for r in blind)} convicted).",
    ]
    return "\n".join(
        [
            *confusion(rows), "",
            "Change of margin ÷ spread by each test, of honest networks and of those that took the "
            "bait: median (least, greatest).", "",
            *figures(rows), "", *lines,
        ]
    )  # fmt: skip


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the records")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    parser.add_argument("--collect", action="store_true", help="only what is there; train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    if not arguments.collect:
        measure(arguments.out, arguments.seeds)
    said = text(records(arguments.out))
    print(said)
    if arguments.write:
        page = PAGE.read_text()
        head, tail = page.split(START)[0], page.split(END)[1]
        PAGE.write_text(f"{head}{START}\n{said}\n{END}{tail}")


if __name__ == "__main__":
    main()
