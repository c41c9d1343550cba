"""Quadrature rules integrate what they promise to."""

import numpy as np
import pytest

from solarxai.engine.quadrature import RULES, quadrature
from solarxai.errors import ContractError


def integral(rule, power):
    return float((rule.weights * rule.positions**power).sum())


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("steps", [2, 5, 64])
def test_weights_sum_to_one_on_the_interval(name, steps):
    rule = quadrature(name, steps)
    assert rule.weights.shape == rule.positions.shape == (steps,)
    assert rule.weights.sum() == pytest.approx(1, abs=1e-14)
    assert (np.diff(rule.positions) > 0).all()
    assert rule.positions[0] >= 0
    assert rule.positions[-1] <= 1


@pytest.mark.parametrize("name", ["gauss_legendre", "riemann_midpoint", "trapezoid"])
def test_a_straight_line_is_integrated_exactly(name):
    assert integral(quadrature(name, 4), 1) == pytest.approx(1 / 2, abs=1e-14)


@pytest.mark.parametrize(("name", "error"), [("riemann_left", -1 / 8), ("riemann_right", 1 / 8)])
def test_one_sided_sums_are_half_a_step_off(name, error):
    assert integral(quadrature(name, 4), 1) - 1 / 2 == pytest.approx(error)


@pytest.mark.parametrize("power", range(8))
def test_four_gauss_legendre_positions_are_exact_to_the_seventh_power(power):
    assert integral(quadrature("gauss_legendre", 4), power) == pytest.approx(1 / (power + 1))


def test_an_unknown_rule_is_refused_with_the_names():
    with pytest.raises(ContractError, match=r"no rule 'simpson'.*gauss_legendre, riemann_left"):
        quadrature("simpson", 4)


@pytest.mark.parametrize(("name", "steps", "least"), [("riemann_left", 0, 1), ("trapezoid", 1, 2)])
def test_too_few_steps_are_refused(name, steps, least):
    with pytest.raises(ContractError, match=rf"has {steps} steps.*{least} steps or more"):
        quadrature(name, steps)
