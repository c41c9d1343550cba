"""Every causal test of a network on patches, gathered once and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.errors import ExplainerRefusal
from solarxai.explainers.gradient import Gradient
from solarxai.validation.causal._sights import Amplitudes
from solarxai.validation.causal.counterfactual import (
    REMOVED,
    Counterfactuals,
    counterfactual_checks,
    intervene,
)
from solarxai.validation.causal.nuisances import (
    Disturbed,
    Drawn,
    draw_disturbances,
    nuisance_checks,
    score_disturbances,
)
from solarxai.validation.causal.positional import (
    Following,
    Moves,
    follow,
    move_structures,
    positional_checks,
)
from solarxai.validation.report import Check, Limits, Resampling
from solarxai.validation.selection import evenly

__all__ = ["Evidence", "Scenes", "causal_checks", "draw_scenes", "gather"]

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scenes:
    """What does not depend on the network: changed images of some samples.

    Parameters
    ----------
    samples
        The samples under nuisances.
    disturbed
        Their images under each nuisance; a list serves several networks.
    moves
        Their images with the structure moved.
    """

    samples: xr.Dataset
    disturbed: Iterable[Drawn]
    moves: Moves


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What the network answered.

    Parameters
    ----------
    found
        Scores of all samples under the interventions.
    samples
        Those of them that were put under nuisances.
    disturbed, following
        Their scores under nuisances, and how gradient maps follow moved structures.
    left_out
        Rows (intervention, label, reason, count) for what was not applicable.
    """

    found: Counterfactuals
    samples: xr.Dataset
    disturbed: Disturbed
    following: Following
    left_out: tuple[dict[str, Any], ...]


def draw_scenes(
    samples: xr.Dataset,
    *,
    scale_mm: float,
    seed: int = 0,
    amplitudes: Amplitudes | None = None,
    limits: Limits | None = None,
    most: int | None = 64,
    progress: Progress | None = None,
) -> Scenes:
    """Return the images of nuisances and of moved structures.

    Parameters
    ----------
    samples
        Patches of sunspots and pores.
    scale_mm
        Mm per pixel.
    seed, amplitudes, limits
        As of `nuisances.disturb`.
    most
        Samples of each origin and label, evenly spread; None for all.
    progress
        Called with (done, total, what) as images of nuisances are taken.
    """
    amplitudes = amplitudes or Amplitudes()
    chosen = evenly(samples, most)
    return Scenes(
        samples=chosen,
        disturbed=draw_disturbances(
            chosen, scale_mm=scale_mm, seed=seed, amplitudes=amplitudes, limits=limits,
            progress=progress,
        ),
        moves=move_structures(
            chosen, scale_mm=scale_mm, shift_px=amplitudes.move_px, moves=amplitudes.moves,
            seed=seed, limits=limits,
        ),
    )  # fmt: skip


def gather(
    samples: xr.Dataset,
    classifier: Classifier,
    scenes: Scenes,
    *,
    seed: int = 0,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """Return what the network answers to every change of `samples` and of `scenes`."""
    found = intervene(samples, classifier, seed=seed, limits=limits, progress=progress)
    disturbed = score_disturbances(scenes.disturbed, scenes.samples, classifier)
    following, refused = _following(scenes, classifier)
    left_out = (*found.left_out, *disturbed.left_out, *scenes.moves.left_out, *refused)
    return Evidence(
        found=found,
        samples=scenes.samples,
        disturbed=disturbed,
        following=following,
        left_out=tuple(map(dict, left_out)),
    )


def causal_checks(
    evidence: Evidence, samples: xr.Dataset, *, limits: Limits, resampling: Resampling
) -> tuple[Check, ...]:
    """Return what the answers show, each origin of data by itself.

    Parameters
    ----------
    evidence
        Of `gather`.
    samples
        The same samples as given there.
    limits, resampling
        Of the validation.
    """
    words: dict[str, Any] = {"limits": limits, "resampling": resampling}
    place = {str(name): row for row, name in enumerate(samples["sample_id"].values)}
    rows = [place[str(name)] for name in evidence.samples["sample_id"].values]
    loss = evidence.found.loss(REMOVED)[rows]
    return (
        *counterfactual_checks(evidence.found, samples, **words),
        *nuisance_checks(evidence.disturbed, evidence.samples, loss=loss, **words),
        *positional_checks(evidence.following, evidence.samples, method="", **words),
    )


def _following(
    scenes: Scenes, classifier: Classifier
) -> tuple[Following, tuple[dict[str, Any], ...]]:
    """Return how gradient maps follow, or why a network has none."""
    try:
        return follow(scenes.samples, scenes.moves, _gradient_maps(classifier)), ()
    except ExplainerRefusal as refusal:
        nowhere = np.full(scenes.samples.sizes["sample"], np.nan)
        words = {"intervention": "structure moved", "label": "all", "reason": refusal.what}
        row = {**words, "count": len(np.unique(scenes.moves.rows))}
        return Following(along=nowhere, staying=nowhere, stays=nowhere), (row,)


def _gradient_maps(classifier: Classifier) -> Callable[[npt.NDArray[np.float32]], Any]:
    def explain(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        found = Gradient()(classifier.network, classifier.tensor(images))
        return np.asarray(found.values[:, 0])

    return explain
