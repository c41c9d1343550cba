"""Scaling curves, against functions whose saturation is known."""

import networks
import pytest
import torch
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.inspection.scaling_curve import scaling_curve


class Curve(nn.Module):
    """A function of the mean of the image."""

    def __init__(self, curve) -> None:
        super().__init__()
        self.curve = curve

    def forward(self, x):
        score = self.curve(x.flatten(1).mean(dim=1))
        return torch.stack([0 * score, score], dim=1)


ONE, ZERO = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)


def curve_of(function, **options):
    return scaling_curve(Curve(function).eval(), ONE, baselines=ZERO, **options)


def test_a_linear_score_reaches_90_percent_at_nine_tenths_and_has_even_gradients():
    found = curve_of(lambda m: 3 * m + 1)
    torch.testing.assert_close(found.scores[0, 0].float(), 3 * found.alphas.float() + 1)
    assert found.saturation.item() == pytest.approx(0.9, abs=1e-6)
    assert found.first_tenth.item() == pytest.approx(0.1, abs=1e-6)
    assert not found.saturated().any()


def test_a_saturated_score_is_found_out_although_its_gradient_at_the_image_is_nearly_nothing():
    found = curve_of(lambda m: torch.tanh(10 * m), alphas=[i / 200 for i in range(301)])
    half = 0.5 * torch.log(torch.tensor(1.9 / 0.1)).item() / 10
    assert found.saturation.item() == pytest.approx(half, abs=1e-3)
    assert found.first_tenth.item() == pytest.approx(0.76, abs=0.03)
    assert found.saturated().all()
    assert found.scores[0, 0, -1].item() == pytest.approx(1, abs=1e-6)


def test_a_step_has_its_place_between_the_alphas():
    found = curve_of(lambda m: m.clamp(0.2, 0.4), alphas=(0.0, 0.2, 0.4, 1.0, 2.0))
    assert found.saturation.item() == pytest.approx(0.38, abs=1e-6)


def test_a_falling_score_saturates_too():
    found = curve_of(lambda m: -torch.tanh(10 * m))
    assert found.saturation.item() < 0.2


def test_each_pair_of_image_and_baseline_has_its_curve():
    model, x, b = networks.residual(), networks.images(2), networks.images(3, seed=5)
    found = scaling_curve(model, x, baselines=b, target=1, alphas=(0, 0.5, 1, 1.5), batch_size=3)
    assert found.scores.shape == (2, 3, 4)
    assert found.saturation.shape == found.first_tenth.shape == (2, 3)
    with torch.no_grad():
        wanted = model(b[2:] + 1.5 * (x[1:] - b[2:]))[0, 1]
        torch.testing.assert_close(found.scores[1, 2, 3].float(), wanted, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            found.scores[1, 2, 0].float(), model(b)[2, 1], rtol=1e-4, atol=1e-5
        )
    assert found.passes == (found.passes.backward + 6 * 4, found.passes.backward)
    assert found.passes.backward >= 6 * 20


def test_the_batch_size_plays_no_role():
    model, x = networks.residual(axes=1), networks.images(1, axes=1)
    b = networks.images(2, axes=1, seed=4)
    small, large = (scaling_curve(model, x, baselines=b, batch_size=n) for n in (1, 32))
    torch.testing.assert_close(small.scores, large.scores, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(small.first_tenth, large.first_tenth, rtol=1e-4, atol=1e-6)


def test_an_image_that_is_its_baseline_has_no_saturation():
    found = scaling_curve(networks.residual(), ONE, baselines=ONE)
    assert found.saturation.isnan().all()
    assert found.first_tenth.isnan().all()
    assert not found.saturated().any()


@pytest.mark.parametrize("alphas", [(0.0, 0.5), (0.5, 1.0), (1.0, 0.0), (0.0, 1.0, float("inf"))])
def test_alphas_out_of_order_or_without_their_ends_are_refused(alphas):
    with pytest.raises(ContractError, match=r"alphas are .*increasing order, with 0 and 1"):
        scaling_curve(networks.residual(), ONE, baselines=ZERO, alphas=alphas)


def test_scores_that_are_not_finite_and_missing_baselines_are_refused():
    with pytest.raises(ExplainerRefusal, match=r"score of the network is not finite"):
        curve_of(lambda m: 1 / (m - 0.5))
    with pytest.raises(ContractError, match=r"needs baselines"):
        scaling_curve(networks.residual(), ONE, baselines=None)
