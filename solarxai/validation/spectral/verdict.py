"""The whole validation of a network on spectra: samples and classifier in, a Report out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attribution.inputs import as_rows
from solarxai.classifier import Classifier
from solarxai.schema import check_samples
from solarxai.validation.report import Check, Limits, Outcome, Report, Resampling, Verdict
from solarxai.validation.selection import CLASSES, decided, held_out
from solarxai.validation.spectral.checks import spectral_checks, window_rows
from solarxai.validation.spectral.counterfactual import LINES, intervene_spectra
from solarxai.validation.spectral.nuisances import measure_means

__all__ = ["reach_spectral_verdict", "validate_spectra"]

Progress = Callable[[int, int, str], None]
Rows = list[dict[str, Any]]


def validate_spectra(
    samples: xr.Dataset,
    classifier: Classifier,
    *,
    limits: Limits | Mapping[str, Any] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
    max_samples: int | None = 6000,
) -> Report:
    """Return which lines a network on spectra needs, and whether it rests on something else.

    Parameters
    ----------
    samples
        Spectrum or spectrogram Samples of both classes; spectrograms are taken apart for networks
        of single spectra. Samples seen in training (column `split`) and ambiguous ones take no
        part.
    classifier
        The network; its first class is "active".
    limits
        Where checks hold and fail: `Limits`, or some of its fields.
    n_bootstrap, seed
        Resamples of the active regions for each interval, and the seed of every random number.
    progress
        Called with (done, total, what).
    max_samples
        Take at most so many samples of each origin and class, evenly spread; None for all. The
        means of the classes come from all.

    Returns
    -------
    Report
        Checks, a `Verdict` an origin, and the tables "observations" (zero point and slope),
        "windows" (sliding), "confusion" and "left_out".

    Raises
    ------
    ValidationError
        when a limit is unknown, or no sample was held out of training.
    ContractError
        when the classifier does not take such samples.
    """
    known = limits if isinstance(limits, Limits) else Limits.parse(limits or {})
    resampling = Resampling(n=n_bootstrap, seed=seed)
    chosen, left_out = held_out(check_samples(samples))
    chosen, ambiguous = decided(chosen)
    rows = as_rows(chosen, classifier)
    found = [
        _Part.of(rows, classifier, origin, known, resampling, max_samples, progress)
        for origin in sorted(set(rows["origin"].values.tolist()))
    ]
    return Report(
        checks=tuple(check for part in found for check in part.checks),
        verdicts=tuple(part.verdict for part in found),
        tables={
            **{
                name: [row for part in found for row in part.tables.get(name, ())]
                for name in ("observations", "windows", "confusion")
            },
            "left_out": [
                *left_out,
                *ambiguous,
                *(r for p in found for r in p.tables.get("left_out", ())),
            ],
        },
        settings={
            "classifier": classifier.hash,
            "limits": asdict(known),
            "n_bootstrap": n_bootstrap,
            "seed": seed,
            "structures": int(rows.sizes["sample"]),
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What was found on the samples of one origin."""

    checks: tuple[Check, ...]
    verdict: Verdict
    tables: Mapping[str, Rows]

    @classmethod
    def of(
        cls,
        rows: xr.Dataset,
        classifier: Classifier,
        origin: str,
        limits: Limits,
        resampling: Resampling,
        most: int | None,
        progress: Progress | None,
    ) -> _Part:
        mine = rows.isel(sample=np.flatnonzero(rows["origin"].values == origin))
        absent = sorted(set(CLASSES) - set(mine["label"].values.tolist()))
        if absent:
            return cls(checks=(), verdict=_one_class(origin, absent), tables={})
        means, observations = measure_means(mine)
        asked, thinned = _thinned(mine, most)
        found = intervene_spectra(asked, classifier, means, seed=resampling.seed, progress=progress)
        checks = spectral_checks(found, means, origin=origin, limits=limits, resampling=resampling)
        return cls(
            checks=checks,
            verdict=reach_spectral_verdict(checks, origin, limits=limits),
            tables={
                "observations": [{"origin": origin, **row} for row in observations],
                "windows": [{"origin": origin, **row} for row in window_rows(found, means)],
                "confusion": _confusion(origin, found.original, found.preflare),
                "left_out": [*thinned, *map(dict, found.left_out), *_not_asked(bool(found.slit))],
            },
        )


def reach_spectral_verdict(checks: Sequence[Check], origin: str, *, limits: Limits) -> Verdict:
    """Return what the checks of one origin say.

    *Convicted* of every swap that moves the margins too far towards the other class.
    *Honest so far* when every swap was judged and held, some line is needed, and the network tells
    the classes apart at all. Otherwise *undecided*: lack of skill convicts nobody.
    """
    here = [check for check in checks if check.group.split(" · ")[0] == origin]
    swaps = [check for check in here if check.name.startswith("swap ")]
    convicted = tuple(_subject(flips) for flips, _ in _guilty(swaps))
    swayed = tuple(
        _subject(c) for c in here if c.name.startswith("nuisance ") and c.verdict == "fails"
    )
    needs = _needed(here, limits)
    auc = next(check for check in here if check.name == "ROC-AUC")
    unproven = any(check.verdict == "informs" for check in swaps if check.name.endswith("÷ spread"))
    outcome: Outcome = "undecided"
    if convicted:
        outcome = "convicted"
    elif needs and not unproven and auc.value >= limits.least_auc:
        outcome = "honest so far"
    return Verdict(
        origin=origin,
        outcome=outcome,
        convicted_of=convicted,
        needs=tuple(_subject(check) for check in needs),
        swayed_by=swayed,
        sentence=_sentence(origin, outcome, swaps, needs, swayed, auc, limits),
    )


def _thinned(samples: xr.Dataset, most: int | None) -> tuple[xr.Dataset, Rows]:
    """Return at most `most` samples of each class, evenly spread, and rows that count the rest."""
    if most is None:
        return samples, []
    label, chosen, rows = samples["label"].values, [], []
    for name in CLASSES:
        there = np.flatnonzero(label == name)
        spread = np.unique(np.linspace(0, len(there) - 1, min(most, len(there))).round())
        chosen.append(there[spread.astype(int)])
        if len(there) > len(spread):
            rows.append(
                _left("all", name, "not asked, to bound the time", len(there) - len(spread))
            )
    return samples.isel(sample=np.sort(np.concatenate(chosen))), rows


def _not_asked(slit: bool) -> Rows:
    if slit:
        return []
    return [_left("position along the slit", "all", "a network of single spectra knows none", 0)]


def _left(intervention: str, label: str, reason: str, count: int) -> dict[str, Any]:
    return {"intervention": intervention, "label": label, "reason": reason, "count": count}


def _confusion(origin: str, margins: npt.NDArray[Any], preflare: npt.NDArray[np.bool_]) -> Rows:
    return [
        {
            "origin": origin,
            "label": name,
            "called active": int((margins[here] <= 0).sum()),
            "called preflare": int((margins[here] > 0).sum()),
        }
        for name, here in zip(CLASSES, (~preflare, preflare), strict=True)
    ]


def _one_class(origin: str, absent: list[str]) -> Verdict:
    said = f"{origin}: undecided; there is no {' and no '.join(absent)} spectrum to swap with."
    return Verdict(origin=origin, outcome="undecided", sentence=said)


def _needed(checks: Sequence[Check], limits: Limits) -> list[Check]:
    """Return the checks of windows whose replacement moves the margin, the most needed first."""
    names = {f"{line} of the other class: change of margin ÷ spread" for line in LINES}
    found = [c for c in checks if c.name in names and c.low > limits.line_share]
    return sorted(found, key=lambda check: -check.value)


def _subject(check: Check) -> str:
    """Return what a check is about: its name without the kind of test and the quantity."""
    name = check.name.split(":")[0]
    return name.removeprefix("swap ").removeprefix("nuisance ").removesuffix(" of the other class")


def _sentence(
    origin: str,
    outcome: Outcome,
    swaps: Sequence[Check],
    needs: Sequence[Check],
    swayed: Sequence[str],
    auc: Check,
    limits: Limits,
) -> str:
    said = f"{origin}: {outcome}" + _accusation(swaps)
    facts = [_need(needs)]
    flips = [c for c in _of_calls(swaps) if c.structures]
    if outcome != "convicted" and flips:
        worst = max(flips, key=lambda check: check.value)
        facts.append(f"no swap changes more than {_percent(worst)} of right calls")
    untested = [_subject(check) for check in _of_calls(swaps) if not check.structures]
    if untested:
        facts.append(f"not tested: {', '.join(untested)}")
    if auc.value < limits.least_auc:
        facts.append(f"its area under the ROC curve is {auc.value:.2f}, so there is little to say")
    if auc.regions < limits.trusted_regions:
        facts.append("so few regions that the intervals are not to be trusted")
    sentence = f"{said} ({'; '.join(facts)})"
    return sentence + (f"; its answer is swayed by {', '.join(swayed)}." if swayed else ".")


def _guilty(swaps: Sequence[Check]) -> list[tuple[Check, Check]]:
    """Return the checks of calls and of margins of what convicts, what moves margins most first."""
    names = dict.fromkeys(_subject(check) for check in swaps if check.verdict == "fails")
    found = []
    for name in names:
        flips, share = (check for check in swaps if _subject(check) == name)
        found.append((flips, share))
    return sorted(found, key=lambda pair: -pair[1].value)


def _accusation(swaps: Sequence[Check]) -> str:
    """Return what the network is convicted of, with the figures of what convicts most."""
    guilty = _guilty(swaps)
    if not guilty:
        return ""
    flips, share = guilty[0]
    place = flips.reason.split(", ")[0]
    said = (
        f": {_subject(flips)}{f' ({place})' if place else ''}; given that of the other class, "
        f"{_percent(flips)} of {flips.structures} right calls change in {flips.regions} regions, "
        f"and margins by {share.value:.2f} of their spread"
    )
    others = [f"{_subject(f)} ({s.value:.2f})" for f, s in guilty[1:]]
    return said + (f"; less so: {', '.join(others)}" if others else "")


def _of_calls(swaps: Sequence[Check]) -> list[Check]:
    return [check for check in swaps if check.name.endswith("right calls changed")]


def _need(needs: Sequence[Check]) -> str:
    if not needs:
        return "no line is shown to be needed"
    told = [f"{_subject(c)} ({c.value:.2f} [{c.low:.2f}, {c.high:.2f}])" for c in needs]
    return f"this network needs {', '.join(told)}"


def _percent(check: Check) -> str:
    interval = "" if math.isnan(check.low) else f" [{100 * check.low:.0f}, {100 * check.high:.0f}]"
    return f"{100 * check.value:.0f} %{interval}"
