"""Methods whose axioms are known by proof are measured to have them, and others not."""

from dataclasses import dataclass
from typing import ClassVar

import networks
import pytest
import torch

from solarxai.explainers import Attribution, Explainer
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.gradient import Gradient
from solarxai.explainers.kernel_shap import KernelShap
from solarxai.explainers.occlusion import Occlusion
from solarxai.explainers.score_cam import ScoreCAM
from solarxai.explainers.shapley_exact import ShapleyExact
from solarxai.validation.axioms import AXIOMS, measure_axiom, measure_axioms


@dataclass(frozen=True, kw_only=True)
class Brightness(Explainer):
    """Says of each pixel how bright it is, whatever the network."""

    def attribute(self, problem):
        return Attribution(values=problem.x.clone())


@dataclass(frozen=True, kw_only=True)
class Ramp(Explainer):
    """Says of each pixel where it is: what a detector artefact looks like."""

    linear: ClassVar[bool] = False

    def attribute(self, problem):
        return Attribution(values=torch.ones_like(problem.x).cumsum(dim=-1))


def test_expected_gradients_keeps_all_axioms():
    found = measure_axioms(ExpectedGradients(samples=400))
    assert list(found) == list(AXIOMS)
    assert all(each.holds(tolerance=5e-3) for each in found.values())


def test_a_gradient_breaks_sensitivity_completeness_missingness_and_consistency():
    found = measure_axioms(Gradient())
    broken = {name for name, each in found.items() if not each.holds()}
    assert broken == {"sensitivity", "completeness", "missingness", "consistency"}
    assert found["sensitivity"].violation == pytest.approx(1.0)
    assert found["consistency"].violation == pytest.approx(0.5)


def test_a_map_that_ignores_the_network_is_invariant_and_not_linear():
    found = measure_axioms(Brightness())
    assert found["implementation invariance"].violation == 0
    assert found["symmetry"].violation == 0
    assert found["missingness"].violation == 0
    assert found["linearity"].violation == pytest.approx(2 / 3)


def test_a_map_of_places_breaks_symmetry():
    assert measure_axiom("symmetry", Ramp()).violation == pytest.approx(0.5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_verdicts_do_not_hang_on_the_seed(seed):
    assert measure_axiom("completeness", ExpectedGradients(), seed=seed).holds(tolerance=0.02)
    assert not measure_axiom("completeness", Gradient(), seed=seed).holds(tolerance=0.02)


def test_what_hides_pixels_is_asked_with_zeros_in_their_place():
    hiding = Occlusion(window=1, stride=1, fill="mean", fill_value=3.0)
    assert measure_axiom("missingness", hiding).violation == 0
    assert measure_axiom("sensitivity", hiding).holds()
    both = [measure_axiom("linearity", ScoreCAM(fill=f)) for f in (0.0, 0.7)]
    assert both[0] == both[1]
    assert both[0].holds()


def test_players_are_pixels_or_blocks_where_so_many_are_refused():
    assert all(each.holds() for each in measure_axioms(KernelShap()).values())
    found = measure_axiom("sensitivity", ShapleyExact())
    assert found.violation == pytest.approx(3 / 4, rel=1e-4)


def test_what_a_method_refuses_is_not_measured():
    found = measure_axiom("completeness", GradCAM(layer="no such layer"))
    assert found.violation is None
    assert "no such layer" in found.reason
    assert not found.holds()


def test_a_network_of_the_callers_is_asked_what_it_can_answer():
    found = measure_axioms(Gradient(), network=lambda seed: networks.residual(seed=seed))
    assert found["linearity"].holds()
    assert found["symmetry"].violation is None
    assert "pointwise" in found["symmetry"].reason
