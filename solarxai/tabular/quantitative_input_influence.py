"""Quantitative input influence: how far predictions move when features are those of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.engine.permutations import draw_walks, gains, present_along
from solarxai.errors import ContractError

__all__ = ["DRAWS", "Influence", "set_influence", "shapley_influence", "unary_influence"]

Floats = npt.NDArray[np.float64]
Predict = Callable[[Floats], Floats]

DRAWS = ("marginal", "joint")
"""Where several features are replaced: each by a draw of its own, or all by those of one row."""

_PART = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class Influence:
    """By how much predictions exceed those with features replaced.

    Parameters
    ----------
    values
        (row, feature), or (row,) for one set of features, in units of the prediction.
    stderr
        Its standard error, same shape: that of the draws from the given background.
    """

    values: Floats
    stderr: Floats


def unary_influence(
    predict: Predict, rows: Floats, background: Floats, *, draws: int = 200, seed: int = 0
) -> Influence:
    r"""Return the influence of each feature alone: f(x) − ⟨f(x with feature i of another row)⟩.

    Parameters
    ----------
    predict
        From a table (row, feature) to numbers (row,): any model's `predict`, or one column of its
        probabilities.
    rows
        (row, feature): what to explain.
    background
        (row, feature): where replacements are drawn from, with repetition.
    draws
        Replacements of each feature. All rows are compared with the same ones, so what is said of
        a row does not depend on its neighbours.
    seed
        Of the draws.

    Raises
    ------
    ContractError
        when tables do not fit, predictions are not finite numbers, or there are fewer than 2 draws.

    References
    ----------
    Datta, Sen & Zick 2016, Algorithmic Transparency via Quantitative Input Influence,
    doi:10.1109/SP.2016.42.
    """
    features = _checked(rows, background, draws)
    others = _draw(np.random.default_rng(seed), background, draws, "marginal")
    return _mean(_falls(predict, rows, others, np.eye(features, dtype=bool)))


def set_influence(
    predict: Predict,
    rows: Floats,
    background: Floats,
    *,
    features: Sequence[int],
    draws: int = 200,
    replaced_by: str = "marginal",
    seed: int = 0,
) -> Influence:
    """Return the influence (row,) of a set of features that are replaced together.

    Parameters
    ----------
    predict, rows, background, draws, seed
        As for `unary_influence`.
    features
        Numbers of the columns replaced.
    replaced_by
        One of `DRAWS`.

    Raises
    ------
    ContractError
        as for `unary_influence`, and when there is no such column or way to draw.

    References
    ----------
    Datta, Sen & Zick 2016, doi:10.1109/SP.2016.42.
    """
    count = _checked(rows, background, draws)
    chosen = sorted(set(features))
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise ContractError(
            f"features {list(features)} are not among the columns 0 to {count - 1}",
            remedy="Give one column or more by number.",
        )
    others = _draw(np.random.default_rng(seed), background, draws, replaced_by)
    replaced = np.isin(np.arange(count), chosen)[None]
    return _mean(_falls(predict, rows, others, replaced)[:, 0])


def shapley_influence(
    predict: Predict,
    rows: Floats,
    background: Floats,
    *,
    draws: int = 200,
    replaced_by: str = "marginal",
    seed: int = 0,
) -> Influence:
    """Return the Shapley value of each feature in the game of set influences.

    Parameters
    ----------
    predict, rows, background, seed
        As for `unary_influence`.
    draws
        Replacements, each with a random order of the features and its reverse: 2·feature − 1
        predictions a row. The values of a row sum to f(x) less the mean of f over the draws.
    replaced_by
        One of `DRAWS`.

    Raises
    ------
    ContractError
        as for `unary_influence`, and when there is no such way to draw.

    References
    ----------
    Datta, Sen & Zick 2016, doi:10.1109/SP.2016.42.
    """
    count = _checked(rows, background, draws)
    generator = np.random.default_rng(seed)
    others = _draw(generator, background, draws, replaced_by)
    walks = draw_walks(generator, players=count, pairs=draws)
    steps = np.arange(len(walks) * (count - 1))
    present = present_along(walks, steps) if count > 1 else np.zeros((0, count), dtype=bool)
    taken = others.repeat(2 * (count - 1), axis=0)
    empty = _predicted(predict, others).repeat(2)
    found = []
    for row, full in zip(rows, _predicted(predict, rows), strict=True):
        inner = _predicted(predict, np.where(present, row, taken))
        gained = gains(walks, inner, empty=empty, full=float(full))
        found.append(gained.reshape(draws, 2, count).mean(axis=1).T)
    return _mean(np.array(found))


def _falls(
    predict: Predict, rows: Floats, others: Floats, replaced: npt.NDArray[np.bool_]
) -> Floats:
    """Return by how much predictions fall, (row, set, draw), when sets of features are replaced.

    Parameters
    ----------
    others
        (draw, feature).
    replaced
        (set, feature).
    """
    sets, draws = len(replaced), len(others)
    chosen, taken = replaced.repeat(draws, axis=0), np.tile(others, (sets, 1))
    found = [
        (full - _predicted(predict, np.where(chosen, taken, row))).reshape(sets, draws)
        for row, full in zip(rows, _predicted(predict, rows), strict=True)
    ]
    return np.array(found)


def _mean(found: Floats) -> Influence:
    """Return mean and standard error over the last axis, the draws."""
    spread = found.std(axis=-1, ddof=1) / np.sqrt(found.shape[-1])
    return Influence(values=found.mean(axis=-1), stderr=spread)


def _draw(
    generator: np.random.Generator, background: Floats, draws: int, replaced_by: str
) -> Floats:
    if replaced_by not in DRAWS:
        raise ContractError(
            f"there is no way to draw {replaced_by!r}", remedy=f"Choose one of {', '.join(DRAWS)}."
        )
    columns = background.shape[1] if replaced_by == "marginal" else 1
    chosen = generator.integers(len(background), size=(draws, columns))
    return np.take_along_axis(background, chosen.repeat(background.shape[1] // columns, 1), axis=0)


def _predicted(predict: Predict, table: Floats) -> Floats:
    """Return the predictions (row,), asked for in parts of bounded size."""
    starts = range(0, len(table), _PART)
    found = [np.asarray(predict(table[at : at + _PART]), dtype=np.float64) for at in starts]
    joined = np.concatenate([np.zeros(0), *found]) if all(f.ndim == 1 for f in found) else None
    if joined is None or len(joined) != len(table) or not np.isfinite(joined).all():
        raise ContractError(
            "the predictor does not return one finite number a row",
            remedy="Give `predict` of a regression, or one column of the probabilities.",
        )
    return joined


def _checked(rows: Floats, background: Floats, draws: int) -> int:
    tables = rows.ndim == background.ndim == 2 and len(rows) and len(background)
    if not tables or rows.shape[1] != background.shape[1] or not rows.shape[1]:
        raise ContractError(
            f"rows {rows.shape} and background {background.shape} do not fit",
            remedy="Give two tables (row, feature) with the same features.",
        )
    if draws < 2:
        raise ContractError(f"{draws} draws have no standard error", remedy="Take 2 draws or more.")
    return int(rows.shape[1])
