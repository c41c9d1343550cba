"""DeepLIFT sums to the score difference, and is that of captum and shap where they can."""

import warnings

import networks
import pytest
import rule_networks
import torch
from captum.attr import DeepLift, DeepLiftShap
from torch import nn

from solarxai.engine import deep_lift
from solarxai.errors import ExplainerRefusal
from solarxai.explainers.deeplift import DeepLIFT
from solarxai.explainers.deeplift_shap import DeepLIFTShap
from solarxai.explainers.integrated_gradients import IntegratedGradients

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TARGETS = torch.tensor([0, 1, 2, 1])


def deep_explainer():
    """Return shap's explainer; importing shap warns of matplotlib's future."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from shap import DeepExplainer

        return DeepExplainer


def relative(found, wanted) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


def without_maximum(axes: int = 2) -> nn.Module:
    layers = [m for m in rule_networks.sequential(axes=axes) if "MaxPool" not in type(m).__name__]
    return nn.Sequential(*layers).eval()


def bent(function: type[nn.Module]) -> nn.Module:
    model = without_maximum()
    for place, layer in enumerate(model):
        if isinstance(layer, nn.ReLU):
            model[place] = function()
    return model.eval()


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_contributions_are_those_of_captum(agrees, axes, value):
    model, x = without_maximum(axes), rule_networks.coloured(4, axes=axes)
    reference = torch.full_like(x, value)
    wanted = DeepLift(model).attribute(x, reference, target=TARGETS).detach()
    found = DeepLIFT(baseline_value=value)(model, x, target=TARGETS)
    agrees("deeplift", "captum DeepLift", found.values, wanted)


@pytest.mark.parametrize("function", [nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.Softplus])
def test_other_activations_are_rescaled_too(agrees, function):
    model, x = bent(function).double(), rule_networks.coloured(3).double()
    reference = rule_networks.coloured(1, seed=8).double()
    baselines = reference.expand_as(x).contiguous()
    wanted = DeepLift(model).attribute(x, baselines, target=1).detach()
    found = DeepLIFT()(model, x, target=1, baselines=reference)
    agrees("deeplift", "captum DeepLift", found.values, wanted)


@pytest.mark.parametrize("axes", [1, 2])
def test_with_a_maximum_contributions_are_those_of_shap(agrees, axes):
    model, x = rule_networks.sequential(axes=axes), rule_networks.coloured(3, axes=axes)
    reference = rule_networks.coloured(1, axes=axes, seed=8)
    wanted = deep_explainer()(model, reference).shap_values(x, check_additivity=False)[..., 1]
    found = DeepLIFT()(model, x, target=1, baselines=reference)
    agrees("deeplift", "shap DeepExplainer", found.values, torch.as_tensor(wanted))


@pytest.mark.parametrize("axes", [1, 2])
def test_over_references_contributions_are_those_of_captum(agrees, axes):
    model, x = without_maximum(axes), rule_networks.coloured(2, axes=axes)
    references = rule_networks.coloured(5, axes=axes, seed=8)
    wanted = DeepLiftShap(model).attribute(x, references, target=1).detach()
    found = DeepLIFTShap(batch_size=3)(model, x, target=1, baselines=references)
    agrees("deeplift_shap", "captum DeepLiftShap", found.values, wanted)


def test_over_references_it_is_the_mean_with_its_standard_error():
    model, x = networks.residual(), networks.images(2)
    references = networks.images(5, seed=8)
    found = DeepLIFTShap(batch_size=2)(model, x, baselines=references)
    maps = torch.stack(
        [DeepLIFT()(model, x, baselines=reference[None]).values for reference in references]
    )
    torch.testing.assert_close(found.values, maps.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.stderr, maps.std(dim=0) / 5**0.5, rtol=1e-4, atol=1e-5)


def test_one_reference_says_nothing_of_its_standard_error():
    found = DeepLIFTShap()(networks.residual(), networks.images(2), baselines=networks.images(1))
    assert found.stderr is None


def test_the_standard_error_of_half_the_references_is_calibrated():
    model, x = networks.residual(), networks.images(1)
    references = networks.images(400, size=16, seed=8)
    truth = DeepLIFTShap()(model, x, baselines=references).values
    ratios = []
    for part in references.split(20):
        found = DeepLIFTShap()(model, x, baselines=part)
        ratios.append((found.values - truth) / found.stderr)
    spread = float(torch.cat(ratios).square().mean().sqrt())
    assert spread == pytest.approx((1 - 20 / 400) ** 0.5, abs=0.12)


@pytest.mark.parametrize("axes", [1, 2])
def test_contributions_sum_to_the_score_difference(axes):
    model, x = networks.residual(axes=axes), networks.images(4, axes=axes)
    found = DeepLIFT()(model, x)
    scores = (model(x) - model(torch.zeros_like(x))).detach()
    wanted = scores[:, 1] - scores[:, 0]
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), wanted, rtol=1e-4, atol=1e-5)
    assert float(found.completeness_error.abs().max()) < 1e-4 * float(wanted.abs().max())


def test_several_baselines_are_one_reference_their_mean():
    model, x, baselines = networks.residual(), networks.images(2), networks.images(5, seed=3)
    found = DeepLIFT()(model, x, baselines=baselines).values
    wanted = DeepLIFT()(model, x, baselines=baselines.mean(dim=0, keepdim=True)).values
    torch.testing.assert_close(found, wanted)


def test_a_linear_network_contributes_by_weight_times_difference(agrees):
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    x, reference = networks.images(2, size=4), networks.images(1, size=4, seed=5)
    found = DeepLIFT()(model, x, target=1, baselines=reference).values
    wanted = (x - reference) * model[1].weight[1].detach().reshape(1, 1, 4, 4)
    agrees("deeplift", "linear model: w·(x − x′)", found, wanted, tolerance=1e-6)


def test_a_saturated_activation_gets_its_difference():
    layer = nn.Linear(1, 2)
    layer.weight.data, layer.bias.data = torch.tensor([[0.0], [-1.0]]), torch.tensor([0.0, 1.0])
    head = nn.Linear(2, 2)
    head.weight.data, head.bias.data = torch.tensor([[0.0, 0.0], [0.0, -1.0]]), torch.ones(2)
    model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), head).eval()
    x = torch.full((1, 1, 1), 2.0)
    assert float(DeepLIFT()(model, x, target=1).values) == pytest.approx(1.0)


def test_where_nothing_bends_between_them_it_is_integrated_gradients():
    model, x = networks.residual(), networks.images(2)
    near = x[:1] + 1e-3 * networks.images(1, seed=4)
    found = DeepLIFT()(model, x[:1], baselines=near).values
    wanted = IntegratedGradients(steps=16)(model, x[:1], baselines=near).values
    assert relative(found, wanted) < 0.05


def test_equal_to_the_reference_all_contributions_are_zero():
    model, x = networks.residual(), networks.images(1)
    found = DeepLIFT()(model, x, baselines=x)
    assert (found.values == 0).all()
    assert float(found.completeness_error) == 0


@pytest.mark.parametrize("kind", [DeepLIFT, DeepLIFTShap])
def test_a_sum_that_is_not_the_score_difference_is_refused(kind, monkeypatch):
    def plain(self, x, reference):
        return x.relu()

    monkeypatch.setattr(deep_lift._Rectifier, "forward", plain)
    with pytest.raises(ExplainerRefusal, match=r"images \[.*do not sum to the score difference"):
        kind()(networks.residual(), networks.images(2), baselines=networks.images(3, seed=4))


class Squashed(nn.Module):
    """Maxima and activations as functions, some of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(16, 2)
        self.bend = nn.PReLU(4)

    def forward(self, x):
        x = nn.functional.leaky_relu_(self.conv(x), 0.3)
        x = nn.functional.max_pool2d(self.bend(x - 0.2), 3, 2, 1).clamp(-1, 1.5)
        x = nn.functional.adaptive_max_pool2d(x, 2)
        return torch.tanh(self.head(x.flatten(1))).sigmoid()


def test_functions_have_the_rule_whatever_they_are():
    model, x = networks.trained_looking(Squashed()), networks.images(4)
    found = DeepLIFT(baseline_value=0.3)(model, x, target=0)
    reference = model(torch.full_like(x[:1], 0.3))
    wanted = (model(x) - reference)[:, 0].detach()
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), wanted, rtol=1e-4, atol=1e-6)
