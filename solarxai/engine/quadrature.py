"""Where to evaluate a function on the unit interval, and with what weights, to integrate it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from solarxai.errors import ContractError

__all__ = ["RULES", "Rule", "quadrature"]

RULES = (
    "gauss_legendre",
    "riemann_left",
    "riemann_midpoint",
    "riemann_right",
    "trapezoid",
)
"""Exact for polynomials of degree 2n−1; and, on even steps, for constants (left, right) and for
straight lines (midpoint, trapezoid)."""

_SHIFTS = {"riemann_left": 0.0, "riemann_midpoint": 0.5, "riemann_right": 1.0}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A quadrature rule on [0, 1].

    Parameters
    ----------
    positions
        (step,), increasing.
    weights
        (step,), of sum 1.
    """

    positions: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]


def quadrature(name: str, steps: int) -> Rule:
    """Return the rule of that name with that many positions.

    Parameters
    ----------
    name
        One of `RULES`.
    steps
        Positions; the trapezoid counts both ends among them.

    Raises
    ------
    ContractError
        when there is no such rule, or it needs more steps.
    """
    if name not in RULES:
        raise ContractError(
            f"there is no rule {name!r}", remedy=f"Choose one of {', '.join(RULES)}."
        )
    fewest = 2 if name == "trapezoid" else 1
    if steps < fewest:
        raise ContractError(
            f"the rule {name!r} has {steps} steps", remedy=f"Give {fewest} steps or more."
        )
    if name == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return Rule(positions=(nodes + 1) / 2, weights=weights / 2)
    if name == "trapezoid":
        return _trapezoid(steps)
    positions = (np.arange(steps) + _SHIFTS[name]) / steps
    return Rule(positions=positions, weights=np.full(steps, 1 / steps))


def _trapezoid(steps: int) -> Rule:
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return Rule(positions=np.linspace(0, 1, steps), weights=weights)
