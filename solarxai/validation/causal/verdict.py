"""What the causal checks say of a network: honest so far, convicted, or undecided."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from solarxai.validation.causal.counterfactual import QUIET_REPLACED, REMOVED
from solarxai.validation.report import BEYOND, Check, Limits, Outcome, Verdict

__all__ = ["INDIFFERENT", "reach_verdict"]

INDIFFERENT = "no need of the penumbra"

_PENUMBRA = (f"{REMOVED}:", f"{QUIET_REPLACED}:")
_MUST_NOT = ("nuisance ", "structure moved")


def reach_verdict(checks: Sequence[Check], origin: str, *, limits: Limits) -> Verdict:
    """Return what the interventions and nuisances say of one origin.

    The model *needs the penumbra* when removing it takes the call away, the loss is several times
    that of the quiet control, and the control takes hardly any call away. It is *convicted* when
    one of these fails, or when something that must not matter changes its answer, beyond the
    interval. It is *honest so far* when it needs the penumbra and nothing else convicts it. Too few
    structures or regions leave it *undecided*.
    """
    here = [check for check in checks if check.group.split(" · ")[0] == origin]
    causal = [c for c in here if c.group.endswith("sunspot") and c.name.startswith(_PENUMBRA)]
    causal = [c for c in causal if c.sense]
    removed = next(c for c in causal if c.name.startswith(REMOVED))
    control = next(c for c in causal if c.name.startswith(QUIET_REPLACED))
    enough = removed.structures >= limits.min_structures and removed.regions >= limits.min_regions
    said = {c.verdict for c in causal} if enough else {"informs"}
    guilty = _guilty(here)
    swayed = _names(c for c in here if c.name.startswith(_MUST_NOT) and BEYOND in c.reason)
    convicted_of = (INDIFFERENT,) * ("fails" in said) + _names(guilty)
    swayed_by = tuple(name for name in swayed if name not in convicted_of)
    outcome: Outcome = "undecided"
    if convicted_of:
        outcome = "convicted"
    elif said == {"holds"}:
        outcome = "honest so far"
    needs = ("penumbra",) if said == {"holds"} else ()
    return Verdict(
        origin=origin,
        outcome=outcome,
        convicted_of=convicted_of,
        needs=needs,
        swayed_by=swayed_by,
        sentence=_sentence(origin, outcome, removed, control, guilty, limits, bool(needs))
        + _sways(outcome, here, swayed_by),
    )


def _guilty(checks: Sequence[Check]) -> list[Check]:
    """Return the checks of what must not matter that fail, what names its cause best first.

    Swaps name a quantity; moved structures a place; the others merely that something is wrong.
    """
    found = [c for c in checks if c.name.startswith(_MUST_NOT) and c.verdict == "fails"]
    return sorted(found, key=lambda check: (_rank(check), -abs(check.value)))


def _rank(check: Check) -> int:
    if check.name.startswith("nuisance swap"):
        return 0
    return 1 if check.name.startswith("structure moved") else 2


def _names(checks: Iterable[Check]) -> tuple[str, ...]:
    names = [c.name.split(":")[0].removeprefix("nuisance ") for c in checks]
    return tuple(dict.fromkeys(names))


def _sentence(
    origin: str,
    outcome: Outcome,
    removed: Check,
    control: Check,
    guilty: Sequence[Check],
    limits: Limits,
    needed: bool,
) -> str:
    facts = _facts(removed, control, limits)
    sentence = f"{origin}: {outcome}"
    if not removed.structures:
        sentence += "; no sunspot is called so, so there is no call to lose"
    elif outcome == "undecided":
        sentence += f" ({facts})"
    else:
        looks = "looks at the penumbra" if needed else "does not look at the penumbra"
        sentence += f"; this model {looks} ({facts})"
    if guilty:
        sentence += f"; its answer rests on {_accusation(guilty)}"
    return sentence


def _sways(outcome: Outcome, checks: Sequence[Check], swayed_by: Sequence[str]) -> str:
    """Return the end of the sentence: how many nuisances hold, and which may sway the answer."""
    said = ""
    if outcome == "honest so far":
        held = _names(c for c in checks if c.name.startswith(_MUST_NOT) and c.verdict == "holds")
        said = f"; {len(set(held) - set(swayed_by))} nuisances do not sway it"
    if swayed_by:
        said += f"; not proven: swayed by {', '.join(swayed_by)}"
    return said + "."


def _facts(removed: Check, control: Check, limits: Limits) -> str:
    facts = f"without it {_percent(removed)} of {removed.structures} sunspots"
    facts += f" in {removed.regions} region{'s' * (removed.regions != 1)} are no longer called so"
    if not math.isnan(control.value):
        facts += f", without as much quiet Sun {_percent(control)}"
    hedges = []
    if removed.structures < limits.min_structures:
        hedges.append(f"fewer than {limits.min_structures} sunspots")
    if removed.regions < limits.trusted_regions:
        hedges.append("so few regions that the interval is not to be trusted")
    return "; ".join([facts, *hedges])


def _accusation(guilty: Sequence[Check]) -> str:
    first, others = guilty[0], _names(guilty)[1:]
    told = f"{_names([first])[0]} ({_what(first)} {_number(first)})"
    return told + (f", and on {', '.join(others)}" if others else "")


def _what(check: Check) -> str:
    return check.name.split(": ", 1)[1]


def _number(check: Check) -> str:
    interval = "" if math.isnan(check.low) else f" [{check.low:.2f}, {check.high:.2f}]"
    return f"{check.value:.2f}{interval}"


def _percent(check: Check) -> str:
    interval = "" if math.isnan(check.low) else f" [{100 * check.low:.0f}, {100 * check.high:.0f}]"
    return f"{100 * check.value:.0f} %{interval}"
