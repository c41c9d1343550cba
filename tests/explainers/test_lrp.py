"""Relevance sums to the score, and is that of zennit and captum where they can."""

import networks
import pytest
import rule_networks
import torch
from captum.attr import LRP as CaptumLRP
from torch import nn
from zennit_oracle import first_is, relevance, zennit

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers.deep_taylor import DeepTaylor
from solarxai.explainers.excitation_backprop import ExcitationBackprop
from solarxai.explainers.lrp import LRP

COMPOSITES, RULES = zennit.composites, zennit.rules
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
LAYERS = (*CONVOLUTIONS, nn.Linear)
TARGETS = torch.tensor([0, 1, 2, 1])
BIAS = ["bias"]


def everywhere(rule):
    return COMPOSITES.LayerMapComposite([*COMPOSITES.layer_map_base(), (LAYERS, rule)])


def squared_first():
    above = [(CONVOLUTIONS, RULES.ZPlus()), (nn.Linear, RULES.Epsilon())]
    return first_is(RULES.WSquare(zero_params=BIAS), above)


ORACLES = {
    "epsilon": lambda: everywhere(RULES.Epsilon()),
    "epsilon_plus": COMPOSITES.EpsilonPlus,
    "epsilon_gamma_box": lambda: COMPOSITES.EpsilonGammaBox(low=-5.0, high=5.0),
    "epsilon_alpha2_beta1": COMPOSITES.EpsilonAlpha2Beta1,
    "gamma": lambda: everywhere(RULES.Gamma()),
    "z_plus": lambda: everywhere(RULES.ZPlus()),
    "w_square": squared_first,
}


def box(composite) -> dict[str, float]:
    return {"low": -5.0, "high": 5.0} if composite == "epsilon_gamma_box" else {}


def chosen(scores):
    return torch.nn.functional.one_hot(TARGETS, 3) * scores


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("composite", ORACLES)
def test_relevance_is_that_of_zennit(agrees, composite, axes):
    model, x = rule_networks.sequential(axes=axes), rule_networks.coloured(4, axes=axes)
    wanted = relevance(model, x, ORACLES[composite](), chosen)
    found = LRP(composite=composite, **box(composite))(model, x, target=TARGETS).values
    agrees("lrp", "zennit", found, wanted)


@pytest.mark.parametrize("axes", [1, 2])
def test_excitation_backprop_is_that_of_zennit(agrees, axes):
    model, x = rule_networks.sequential(axes=axes), rule_networks.coloured(4, axes=axes)
    composite = COMPOSITES.ExcitationBackprop(zero_params=BIAS)
    wanted = relevance(model, x, composite, lambda scores: chosen(torch.ones_like(scores)))
    found = ExcitationBackprop()(model, x, target=TARGETS)
    agrees("excitation_backprop", "zennit", found.values, wanted)


def positive(axes):
    """Return a network with positive scores, and images."""
    model, x = rule_networks.sequential(axes=axes), rule_networks.coloured(4, axes=axes)
    model[-1].weight.data.abs_()
    model[-1].bias.data.fill_(0.1)
    return model, x


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("ends", [{}, {"low": -5.0, "high": 5.0}])
def test_deep_taylor_of_positive_scores_is_that_of_zennit(agrees, axes, ends):
    model, x = positive(axes)
    options = {"stabilizer": 1e-9, "zero_params": BIAS}
    first = RULES.ZBox(**ends, **options) if ends else RULES.WSquare(**options)
    composite = first_is(first, [(LAYERS, RULES.ZPlus(**options))])
    wanted = relevance(model, x, composite, chosen)
    found = DeepTaylor(**ends)(model, x, target=TARGETS)
    agrees("deep_taylor", "zennit", found.values, wanted)


class Flattening(nn.Module):
    """The sequential network without its maximum and its flattening module, which captum needs."""

    def __init__(self) -> None:
        super().__init__()
        layers = rule_networks.sequential(seed=3)
        self.low = nn.Sequential(layers[0], layers[1], layers[3], layers[4], layers[5])
        self.high = nn.Sequential(*layers[7:])

    def forward(self, x):
        return self.high(torch.flatten(self.low(x), 1))


@pytest.mark.filterwarnings("ignore")
def test_the_epsilon_rule_is_that_of_captum(agrees):
    model, x = Flattening().eval(), rule_networks.coloured(4)
    wanted = CaptumLRP(model).attribute(x, target=TARGETS).detach()
    found = LRP(composite="epsilon", epsilon=1e-9)(model, x, target=TARGETS).values
    agrees("lrp", "captum LRP", found, wanted)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(
    ("composite", "sums"),
    [
        ("epsilon", "epsilon"),
        ("gamma", "epsilon"),
        ("epsilon_gamma_box", "epsilon"),
        ("epsilon_plus", "z_plus"),
        ("z_plus", "z_plus"),
        ("w_square", "z_plus"),
    ],
)
def test_relevance_sums_to_the_score_of_a_residual_network_without_biases(composite, sums, axes):
    model = rule_networks.without_bias(networks.residual(axes=axes))
    x = networks.images(4, axes=axes).double()
    if composite == "z_plus":
        model.head[2].weight.data.abs_()
    explainer = LRP(composite=composite, sums=sums, epsilon=1e-12, **box(composite))
    found = explainer(model, x, target=1)
    score = model(x)[:, 1].detach()
    ratio = found.values.flatten(1).sum(dim=1) / score
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-6)


class SumModule(nn.Module):
    """A sum that zennit and captum cannot see."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(4))
        self.stem = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.head = nn.Linear(3, 2, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = self.relu(self.stem(x))
        for block in self.blocks:
            x = self.relu(x + block(x))
        return self.head(x.mean((2, 3)))


def test_a_residual_sum_keeps_the_relevance_that_zennit_multiplies():
    model = networks.trained_looking(SumModule()).double()
    x = networks.images(3).double()
    score = model(x)[:, 1].detach()
    zeroth = everywhere(RULES.Epsilon(epsilon=1e-12))
    pick = torch.tensor([0.0, 1.0])
    theirs = relevance(model, x, zeroth, lambda scores: scores * pick)
    ours = LRP(composite="epsilon", epsilon=1e-12)(model, x, target=1)
    ratio = ours.values.flatten(1).sum(dim=1) / score
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0, atol=1e-6)
    assert float((theirs.flatten(1).sum(dim=1) / score - 1).abs().min()) > 1
    assert float((ours.completeness_error / score).abs().max()) < 1e-6


def test_without_biases_the_zero_rule_is_input_times_gradient():
    model = networks.trained_looking(SumModule()).double()
    leaf = networks.images(3).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    found = LRP(composite="epsilon", epsilon=1e-12)(model, leaf, target=1).values
    torch.testing.assert_close(found, (leaf * gradient).detach(), rtol=1e-5, atol=1e-8)


def test_the_completeness_error_is_what_biases_took():
    model, x = networks.residual(), networks.images(3)
    found = LRP(composite="epsilon")(model, x, target=1)
    missing = found.values.flatten(1).sum(dim=1) - model(x)[:, 1].detach()
    torch.testing.assert_close(found.completeness_error, missing, rtol=1e-4, atol=1e-5)
    assert float(found.completeness_error.abs().min()) > 1e-3


@pytest.mark.parametrize("axes", [1, 2])
def test_a_walk_ends_somewhere(axes):
    model = rule_networks.without_bias(networks.residual(axes=axes))
    model.head[2].weight.data.abs_()
    x = networks.images(3, axes=axes).double()
    found = ExcitationBackprop()(model, x, target=1).values
    assert (found >= 0).all()
    torch.testing.assert_close(
        found.flatten(1).sum(dim=1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6
    )
    contrast = ExcitationBackprop()(model, x).values.flatten(1).sum(dim=1)
    torch.testing.assert_close(contrast, torch.zeros_like(contrast), rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", [0, 1])
def test_deep_taylor_has_the_sign_and_the_sum_of_the_score(target):
    model = rule_networks.without_bias(networks.residual())
    x = networks.images(6).double()
    score = model(x)[:, target].detach()
    found = DeepTaylor()(model, x, target=target)
    signs = score.sign().reshape(-1, 1, 1, 1)
    assert (found.values * signs >= 0).all()
    torch.testing.assert_close(found.values.flatten(1).sum(dim=1), score, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [LRP, DeepTaylor])
@pytest.mark.parametrize("ends", [{"low": 0.0}, {"high": 1.0}, {"low": 1.0, "high": 1.0}])
def test_a_box_without_two_ends_in_order_is_refused(kind, ends):
    with pytest.raises(ContractError, match=r"low is .* and high is .*low below high"):
        kind(**ends)


def test_images_outside_the_box_are_refused():
    with pytest.raises(ExplainerRefusal, match=r"outside the box 0\.0 to 1\.0"):
        DeepTaylor(low=0.0, high=1.0)(networks.residual(), networks.images(2))


def test_a_box_rule_needs_a_box():
    with pytest.raises(ContractError, match=r"epsilon_gamma_box needs low and high"):
        LRP(composite="epsilon_gamma_box")


@pytest.mark.parametrize(("name", "known"), [("composite", "epsilon_plus"), ("sums", "z_plus")])
def test_a_rule_that_does_not_exist_is_refused(name, known):
    with pytest.raises(ContractError, match=rf"{name} is 'delta'.*{known}"):
        LRP(**{name: "delta"})


@pytest.mark.parametrize("name", ["epsilon", "gamma"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_number_that_stabilises_nothing_is_refused(name, value):
    with pytest.raises(ContractError, match=rf"{name} is .*finite number above 0"):
        LRP(**{name: value})


class Computed(nn.Module):
    """A dense layer whose weights are made of a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, 256))

    def forward(self, x):
        return nn.functional.linear(x.flatten(1), self.weight.abs())


def test_a_layer_whose_weights_are_computed_is_refused():
    model = networks.trained_looking(Computed())
    with pytest.raises(ExplainerRefusal, match=r"lrp has no rule for linear"):
        LRP()(model, networks.images(2))
