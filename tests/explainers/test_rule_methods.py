"""Methods that change how a ReLU passes a gradient, and what all rule methods promise."""

import warnings

import networks
import pytest
import rule_networks
import torch
from captum.attr import Deconvolution, GuidedBackprop, LayerGradCam
from torch import nn

from solarxai.engine.resampling import resample
from solarxai.errors import ExplainerRefusal
from solarxai.explainers._catalogue import make_explainer
from solarxai.explainers.deconvnet import DeconvNet
from solarxai.explainers.gradient import Gradient
from solarxai.explainers.guided_backprop import GuidedBackprop as Guided
from solarxai.explainers.guided_grad_cam import GuidedGradCAM

METHODS = (
    "deconvnet",
    "deep_taylor",
    "deeplift",
    "deeplift_shap",
    "excitation_backprop",
    "guided_backprop",
    "guided_grad_cam",
    "lrp",
)
TARGETS = torch.tensor([0, 1, 2, 1])


def relative(found, wanted) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@pytest.fixture
def quiet():
    """Let captum warn of the hooks it sets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("ours", "theirs"), [(Guided, GuidedBackprop), (DeconvNet, Deconvolution)])
def test_the_map_is_that_of_captum_where_captum_can(agrees, ours, theirs, axes, quiet):
    model, x = rule_networks.sequential(axes=axes), rule_networks.coloured(4, axes=axes)
    wanted = theirs(model).attribute(x, target=TARGETS)
    method = "guided_backprop" if ours is Guided else "deconvnet"
    found = ours()(model, x, target=TARGETS).values
    agrees(method, f"captum {theirs.__name__}", found, wanted)


@pytest.mark.parametrize(("ours", "theirs"), [(Guided, GuidedBackprop), (DeconvNet, Deconvolution)])
def test_a_function_has_the_rule_that_captum_leaves_out_silently(ours, theirs, quiet):
    x = networks.images(3)
    written = rule_networks.spelled(rule_networks.WithFunctions)
    modular = rule_networks.spelled(rule_networks.WithModules)
    plain = Gradient()(written, x, target=1).values
    assert relative(theirs(written).attribute(x, target=1), plain) < 1e-6
    found = ours()(written, x, target=1).values
    assert relative(found, theirs(modular).attribute(x, target=1)) < 1e-5
    assert relative(found, plain) > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spelling", rule_networks.SPELLINGS[1:])
def test_a_network_has_one_map_however_its_relus_are_written(method, spelling):
    x, baselines = networks.images(3), networks.images(4, seed=5)
    found, wanted = (
        make_explainer(method)(rule_networks.spelled(kind), x, target=1, baselines=baselines).values
        for kind in (spelling, rule_networks.SPELLINGS[0])
    )
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


class Bent(nn.Module):
    """A dense layer on pooled features that are bent by a function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, 2)
        self.function = function

    def forward(self, x):
        return self.head(self.function(self.conv(x)).mean((2, 3)))


def bent(function) -> nn.Module:
    return networks.trained_looking(Bent(function))


@pytest.mark.parametrize("method", METHODS)
def test_an_operation_without_a_rule_is_refused_by_its_name(method):
    model, x = bent(lambda x: torch.cumsum(x.relu(), 3)), networks.images(2)
    with pytest.raises(ExplainerRefusal, match=rf"{method} has no rule for cumsum \(at cumsum"):
        make_explainer(method)(model, x, baselines=networks.images(2, seed=3))


@pytest.mark.parametrize("method", ["lrp", "deep_taylor", "excitation_backprop", "deeplift"])
def test_a_product_of_activations_is_refused(method):
    model, x = bent(lambda x: x.relu() * x), networks.images(2)
    with pytest.raises(ExplainerRefusal, match=rf"{method} has no rule for mul \(at mul"):
        make_explainer(method)(model, x)


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "deep_taylor"])
def test_an_activation_that_is_no_relu_is_refused(method):
    model, x = bent(nn.functional.gelu), networks.images(2)
    with pytest.raises(ExplainerRefusal, match=rf"{method} has no rule for gelu"):
        make_explainer(method)(model, x)


@pytest.mark.parametrize("method", ["guided_backprop", "deconvnet", "guided_grad_cam"])
def test_a_network_without_relu_is_refused(method):
    with pytest.raises(ExplainerRefusal, match=r"the network has none\. Use gradient"):
        make_explainer(method)(bent(torch.clone), networks.images(2))


def test_one_relu_passes_what_the_equations_say():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.tensor([[2.0, 3.0], [-4.0, 5.0]])
    model = nn.Sequential(nn.Flatten(), layer, nn.ReLU(), head).eval()
    x = torch.tensor([[[1.0, -1.0]]])
    for target, guided, deconvolved in ((0, [2.0, 0.0], [2.0, 3.0]), (1, [0.0, 0.0], [0.0, 5.0])):
        assert Guided()(model, x, target=target).values.flatten().tolist() == guided
        assert DeconvNet()(model, x, target=target).values.flatten().tolist() == deconvolved


def test_guided_grad_cam_is_guided_backprop_where_grad_cam_is_positive(agrees, quiet):
    model, x = rule_networks.sequential(), rule_networks.coloured(4)
    found = GuidedGradCAM(layer="4")(model, x, target=TARGETS)
    cells = LayerGradCam(model, model[4]).attribute(x, target=TARGETS, relu_attributions=True)
    assert relative(found.features.values, cells.detach()) < 1e-5
    places = resample(cells.detach(), found.features.centres, x.shape[2:])
    guided = GuidedBackprop(model).attribute(x, target=TARGETS)
    agrees("guided_grad_cam", "captum, registered", found.values, guided * places)


def test_guided_grad_cam_is_nothing_where_grad_cam_speaks_against_the_score():
    model, x = networks.residual(classes=3), networks.images(3)
    found = GuidedGradCAM()(model, x, target=1)
    against = resample(found.features.values, found.features.centres, x.shape[2:]) == 0
    assert against.any()
    assert (found.values[against] == 0).all()
