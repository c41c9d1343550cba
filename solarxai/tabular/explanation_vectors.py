"""Explanation vectors: which way a row must move to leave its class, for classifiers of any kind.

A classifier without a gradient, such as nearest neighbours or trees, is followed by a smooth
surrogate that was fitted to its answers, and the surrogate has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from scipy.special import ndtr, ndtri, softmax

from solarxai.errors import ContractError, ExplainerRefusal

__all__ = ["SURROGATES", "ExplanationVectors", "explanation_vectors"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

SURROGATES = ("parzen", "gaussian_process")
"""What may stand for the classifier: a local average of its answers, or a process through them."""

_MOST = 4000
_PART = 256
_WIDTHS = 12
_CERTAIN = 0.975
"""Probability that a label stands for in the Gaussian process: a probit of one is infinite."""

_NOISE = 0.1
"""Standard deviation of what the Gaussian process leaves unfitted, relative to its amplitude."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplanationVectors:
    """How the probability of a class changes with each feature, by a surrogate of the classifier.

    Parameters
    ----------
    values
        (row, feature): gradient of the probability of `target`, per unit of the feature. The
        vectors of the paper, towards other classes, are its negative.
    target
        (row,): the class explained, as the classifier names it.
    probability
        (row,): what the surrogate gives that class.
    width
        Width of the kernel, in standard deviations of the features.
    agreement
        Share of the background rows that the surrogate, made without the row, gives the class that
        the classifier gives it.
    """

    values: Floats
    target: npt.NDArray[Any]
    probability: Floats
    width: float
    agreement: float


class _Surrogate(Protocol):
    """A smooth stand-in for a classifier, in features of unit variance."""

    def left_out(self) -> Floats:
        """Return the probabilities (row, class) of the background, each row left out in turn."""

    def slopes(self, x: Floats, target: Indices) -> tuple[Floats, Floats]:
        """Return the probability (row,) of a class for each row, and its gradient."""


def explanation_vectors(
    classifier: Any,
    rows: Floats,
    background: Floats,
    *,
    surrogate: str = "parzen",
    target: Any = None,
    width: float | None = None,
    least_agreement: float = 0.8,
) -> ExplanationVectors:
    r"""Return the gradient of a surrogate's class probability at each row.

    Parameters
    ----------
    classifier
        Anything with `predict_proba`, from a table (row, feature) to probabilities (row, class),
        or else with `predict`, to labels (row,); with `classes_`, these are the names of classes.
    rows
        (row, feature): where to explain.
    background
        (row, feature), 4000 or fewer: the surrogate is fitted to the classifier's answers there.
        Their truth is not needed. They should lie where the rows lie.
    surrogate
        One of `SURROGATES`.
    target
        The class to explain; None for the one that the classifier gives each row.
    width
        Of the kernel, in standard deviations of the features; None for the widest of 12 whose
        squared error on the background, each row left out in turn, is within one standard error
        of the least.
    least_agreement
        Of `ExplanationVectors.agreement`, below which there is no answer.

    Raises
    ------
    ContractError
        when tables do not fit or are not finite, the classifier gives no labels or probabilities,
        it gives one class only, or an option is out of range.
    ExplainerRefusal
        when the surrogate does not follow the classifier.

    Notes
    -----
    Features are divided by their standard deviation over the background, and
    :math:`k_i = \exp(-\lVert x - x_i \rVert^2 / 2 \sigma^2)`. With the classifier's probabilities
    or labels (0 or 1) :math:`y_i`, the Parzen surrogate is
    :math:`p(x) = \sum_i k_i y_i / \sum_i k_i`. The Gaussian process is one of amplitude a and
    covariance :math:`a^2 k` through the probits of :math:`y_i`, held to 2.5 … 97.5 %, with noise
    0.1 a; with its mean μ and variance v, :math:`p = \Phi(\mu / \sqrt{1 + v})`, for each class
    against all others. Far from all rows of the background it gives 1/2 and no gradient, where
    Parzen's gives the class of the nearest. Gradients are analytic.

    A surrogate is smooth where the classifier jumps: a vector tells of its surroundings of one
    width, and within a uniform region it is short, not wrong. The paper takes the width of fewest
    disagreements; among widths that are as good as equal, the widest gives the steadiest vectors.

    References
    ----------
    Baehrens et al. 2010, How to Explain Individual Classification Decisions, JMLR 11, 1803,
    sections 2 and 3. Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, sections
    3.9 and 5.4.2. Breiman et al. 1984, Classification and Regression Trees, section 3.4.3 (the rule
    of one standard error).
    """
    _check_tables(rows, background)
    if surrogate not in SURROGATES or (width is not None and not 0 < width < np.inf):
        raise ContractError(
            f"surrogate {surrogate!r} of width {width} cannot be made",
            remedy=f"Choose one of {', '.join(SURROGATES)} and a positive width, or None.",
        )
    names, answers = _answers(classifier, background)
    scale = background.std(axis=0)
    scale[scale == 0] = 1.0
    known = background / scale
    kind = _Parzen if surrogate == "parzen" else _Process
    chosen, made = _narrowed(kind, known, answers, width)
    agreement = _agreement(made, answers)
    if agreement < least_agreement:
        raise ExplainerRefusal(
            f"the {surrogate} surrogate agrees with the classifier on {agreement:.0%} of the "
            f"background, less than {least_agreement:.0%}",
            remedy="Give more background rows, fewer features, or the other surrogate.",
        )
    wanted = _wanted(classifier, rows, names, target)
    probability, values = _in_parts(made, rows / scale, wanted)
    return ExplanationVectors(
        values=values / scale,
        target=names[wanted],
        probability=probability,
        width=chosen,
        agreement=agreement,
    )


class _Parzen:
    """The answers of the background, averaged with the kernel's weights."""

    def __init__(self, known: Floats, answers: Floats, width: float) -> None:
        self._known = known
        self._answers = answers
        self._width = width

    def left_out(self) -> Floats:
        exponents = self._exponents(self._known)
        np.fill_diagonal(exponents, -np.inf)
        found: Floats = softmax(exponents, axis=1) @ self._answers
        return found

    def slopes(self, x: Floats, target: Indices) -> tuple[Floats, Floats]:
        weights = softmax(self._exponents(x), axis=1)
        answers = self._answers[:, target].T
        probability: Floats = (weights * answers).sum(axis=1)
        pulls = weights * (answers - probability[:, None])
        return probability, _pulled(pulls, self._known, x, self._width)

    def _exponents(self, x: Floats) -> Floats:
        exponents: Floats = -cdist(x, self._known, "sqeuclidean") / (2 * self._width**2)
        return exponents


class _Process:
    """A Gaussian process through the probits of the answers of the background."""

    def __init__(self, known: Floats, answers: Floats, width: float) -> None:
        self._known = known
        self._width = width
        self._probits = ndtri(np.clip(answers, 1 - _CERTAIN, _CERTAIN))
        self._variance = float((self._probits**2).mean()) or 1.0
        covariance = self._kernel(known)
        covariance[np.diag_indices_from(covariance)] += self._variance * _NOISE**2
        self._factor = cho_factor(covariance, lower=True)
        self._loads = cho_solve(self._factor, self._probits)

    def left_out(self) -> Floats:
        precision = np.diag(cho_solve(self._factor, np.eye(len(self._known))))[:, None]
        mean = self._probits - self._loads / precision
        spread = 1 / precision - self._variance * _NOISE**2
        found: Floats = ndtr(mean / np.sqrt(1 + np.maximum(spread, 0)))
        return found

    def slopes(self, x: Floats, target: Indices) -> tuple[Floats, Floats]:
        kernel = self._kernel(x)
        loads = self._loads[:, target].T
        solved = cho_solve(self._factor, kernel.T).T
        mean = (kernel * loads).sum(axis=1)
        total = 1 + np.maximum(self._variance - (kernel * solved).sum(axis=1), 0)
        up = _pulled(kernel * loads, self._known, x, self._width)
        surer = _pulled(2 * kernel * solved, self._known, x, self._width)
        height = mean / np.sqrt(total)
        slope = up / np.sqrt(total)[:, None] + surer * (height / (2 * total))[:, None]
        density = np.exp(-(height**2) / 2) / np.sqrt(2 * np.pi)
        return ndtr(height), density[:, None] * slope

    def _kernel(self, x: Floats) -> Floats:
        squares = cdist(x, self._known, "sqeuclidean")
        kernel: Floats = self._variance * np.exp(-squares / (2 * self._width**2))
        return kernel


def _pulled(pulls: Floats, known: Floats, x: Floats, width: float) -> Floats:
    """Return Σ_i pull_i (x_i − x) / width², (row, feature), of pulls (row, background)."""
    pulled: Floats = (pulls @ known - pulls.sum(axis=1, keepdims=True) * x) / width**2
    return pulled


def _narrowed(
    kind: type[_Parzen] | type[_Process], known: Floats, answers: Floats, width: float | None
) -> tuple[float, _Surrogate]:
    """Return the width, the best of several where none is given, and the surrogate of it."""
    if width is not None:
        return width, kind(known, answers, width)
    distances = cdist(known, known)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.min(axis=1)
    least = float(np.median(nearest[nearest > 0])) / 2 if (nearest > 0).any() else 0.01
    most = max(float(np.median(distances)), 2 * least)
    widths = np.geomspace(most, least, _WIDTHS).tolist()
    errors = [((kind(known, answers, w).left_out() - answers) ** 2).sum(axis=1) for w in widths]
    best = min(errors, key=np.mean)
    bearable = best.mean() + best.std() / np.sqrt(len(best))
    chosen = next(w for w, found in zip(widths, errors, strict=True) if found.mean() <= bearable)
    return chosen, kind(known, answers, chosen)


def _agreement(made: _Surrogate, answers: Floats) -> float:
    return float((made.left_out().argmax(axis=1) == answers.argmax(axis=1)).mean())


def _in_parts(made: _Surrogate, x: Floats, target: Indices) -> tuple[Floats, Floats]:
    starts = range(0, len(x), _PART)
    found = [made.slopes(x[at : at + _PART], target[at : at + _PART]) for at in starts]
    probability, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return probability, values


def _answers(classifier: Any, background: Floats) -> tuple[npt.NDArray[Any], Floats]:
    """Return the names of the classes, and what the classifier gives each: 0, 1 or between."""
    if hasattr(classifier, "predict_proba"):
        given = np.asarray(classifier.predict_proba(background), dtype=np.float64)
        names = np.asarray(getattr(classifier, "classes_", np.arange(given.shape[-1])))
    else:
        labels = _labels(classifier, background)
        names = np.unique(np.asarray(getattr(classifier, "classes_", labels)))
        given = (labels[:, None] == names).astype(np.float64)
    sound = given.shape == (len(background), len(names)) and np.isfinite(given).all()
    if not sound or len(np.unique(given.argmax(axis=1))) < 2:
        raise ContractError(
            f"the classifier answers {given.shape} for {len(background)} rows, with one class "
            "only, or with numbers that are not finite",
            remedy="Give a background on both sides of the decision, and a classifier of "
            "(row, feature).",
        )
    return names, given


def _labels(classifier: Any, table: Floats) -> npt.NDArray[Any]:
    if not hasattr(classifier, "predict"):
        raise ContractError(
            f"a {type(classifier).__name__} has neither predict_proba nor predict",
            remedy="Give a trained classifier.",
        )
    labels = np.asarray(classifier.predict(table))
    if labels.shape != (len(table),):
        raise ContractError(
            f"the classifier predicts {labels.shape} for {len(table)} rows",
            remedy="Give one whose `predict` returns one label a row.",
        )
    return labels


def _wanted(classifier: Any, rows: Floats, names: npt.NDArray[Any], target: Any) -> Indices:
    """Return the number of the class to explain for each row."""
    if target is None and hasattr(classifier, "predict_proba"):
        chosen: Indices = np.asarray(classifier.predict_proba(rows)).argmax(axis=1)
        return chosen
    labels = _labels(classifier, rows) if target is None else np.full(len(rows), target)
    matches = labels[:, None] == names
    if not matches.any(axis=1).all():
        raise ContractError(
            f"the classes {np.unique(labels).tolist()} are not all among those of the background, "
            f"{names.tolist()}",
            remedy="Give one of these as target, or a background that has them all.",
        )
    found: Indices = matches.argmax(axis=1)
    return found


def _check_tables(rows: Floats, background: Floats) -> None:
    tables = rows.ndim == background.ndim == 2 and len(rows) and len(background) > 2
    if not tables or rows.shape[1] != background.shape[1] or len(background) > _MOST:
        raise ContractError(
            f"rows {rows.shape} and background {background.shape} do not fit",
            remedy=f"Give two tables (row, feature) with the same features, and a background of 3 "
            f"to {_MOST} rows.",
        )
    if not (np.isfinite(rows).all() and np.isfinite(background).all()):
        raise ContractError(
            "rows or background contain values that are not finite",
            remedy="Leave such rows out.",
        )
