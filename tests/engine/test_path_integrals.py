"""Integrals of the gradient along paths, against those done by hand."""

import math

import pytest
import torch
from torch import nn

from solarxai.engine.completeness import ScoreDifference
from solarxai.engine.gradients import Stream
from solarxai.engine.path_integrals import integrate_lines, integrate_path, integrate_points
from solarxai.engine.preparation import prepare
from solarxai.engine.quadrature import quadrature
from solarxai.errors import ContractError, ExplainerRefusal

WEIGHT = torch.tensor([0.0, 1.0])


class Product(nn.Module):
    """Scores (0, x₁x₂) of an image (1, 2)."""

    def forward(self, x):
        product = (x[:, 0, 0] * x[:, 0, 1])[:, None]
        return torch.cat([0 * product, product], dim=1)


def stream(*, batch_size=5):
    made = Stream(prepare(Product().eval(), torch.ones(1, 1, 2)), batch_size=batch_size)
    made.forward = made.backward = 0
    return made


def point(*values):
    return torch.tensor([values])


def test_a_quarter_circle_encloses_a_quarter_of_pi():
    def circle(alpha):
        angle = alpha.float() * math.pi / 2
        return torch.stack([angle.cos(), angle.sin()], dim=1)[:, None]

    found = integrate_path(stream(), WEIGHT, circle, steps=400)
    torch.testing.assert_close(
        found.float(), point(-math.pi / 4, math.pi / 4), rtol=1e-4, atol=1e-5
    )


def test_which_value_goes_first_gets_nothing_from_a_product():
    corner = torch.stack([point(0.0, 0.0), point(1.0, 0.0), point(1.0, 1.0)])
    torch.testing.assert_close(integrate_points(stream(), WEIGHT, corner).float(), point(0.0, 1.0))
    straight = integrate_points(stream(), WEIGHT, corner[[0, 2]])
    torch.testing.assert_close(straight.float(), point(0.5, 0.5))


def test_lines_are_summed_and_fill_passes_together():
    starts = torch.stack([point(0.0, 0.0), point(1.0, 0.0)])
    ends = torch.stack([point(1.0, 0.0), point(1.0, 1.0)])
    counted = stream(batch_size=6)
    found = integrate_lines(counted, WEIGHT, starts, ends, quadrature("gauss_legendre", 3))
    torch.testing.assert_close(found.float(), point(0.0, 1.0))
    assert (counted.forward, counted.backward) == (6, 6)


def test_a_path_is_asked_for_one_pass_at_a_time():
    asked = []

    def path(alpha):
        asked.append(alpha.tolist())
        return alpha.float().view(-1, 1, 1) * point(1.0, 1.0)

    integrate_path(stream(batch_size=2), WEIGHT, path, steps=4)
    assert asked == [[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]]


def test_a_path_that_leads_nowhere_is_refused():
    with pytest.raises(ContractError, match=r"path of 1 points leads nowhere.*two points"):
        integrate_points(stream(), WEIGHT, point(1.0, 1.0)[None])


@pytest.mark.parametrize("points", [torch.ones(2, 1, 2), torch.full((4, 1, 2), torch.nan)])
def test_a_path_that_gives_other_than_its_points_is_refused(points):
    with pytest.raises(ContractError, match=r"for 4 positions.*one finite image"):
        integrate_path(stream(), WEIGHT, lambda alpha: points, steps=3)


def test_completeness_compares_with_the_mean_baseline_score():
    difference = ScoreDifference(stream(), torch.stack([point(0.0, 0.0), point(2.0, 1.0)]))
    error = difference.error(point(3.0, 2.5), point(3.0, 2.0)[None], WEIGHT)
    assert float(error) == pytest.approx(5.5 - (6 - 1))


def test_baselines_without_a_finite_score_are_refused():
    with pytest.raises(ExplainerRefusal, match=r"score .* not finite for baselines \[0\]"):
        ScoreDifference(stream(), point(1e30, 1e30)[None])
