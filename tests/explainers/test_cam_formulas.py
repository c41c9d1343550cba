"""Every class activation map against its formula, written out with plain autograd."""

import networks
import pytest
import torch
from torch import nn

from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers.cam import CAM
from solarxai.explainers.counterfactual_grad_cam import CounterfactualGradCAM
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.grad_cam_plus_plus import GradCAMPlusPlus
from solarxai.explainers.hires_cam import HiResCAM
from solarxai.explainers.layer_cam import LayerCAM
from solarxai.explainers.published_grad_cam import PublishedGradCAM
from solarxai.explainers.score_cam import ScoreCAM
from solarxai.explainers.xgrad_cam import XGradCAM

IGNORE_DENSE = pytest.mark.filterwarnings("ignore:no global average pooling follows")


def read(model: nn.Module, layer: str, x: torch.Tensor, *, target: int = 1):
    """Return activations and gradients (image, channel, *cells) of a layer, and the score."""
    kept = []
    hook = model.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out))
    score = model(x)[:, target]
    hook.remove()
    (gradient,) = torch.autograd.grad(score.sum(), kept[0])
    return kept[0].detach().double(), gradient.double(), score.detach().double()


def over_cells(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over cells, kept as axes of one."""
    return values.sum(dim=tuple(range(2, values.ndim)), keepdim=True)


def exponential_weights(a, g):
    first, second, third = g, g**2, g**3
    alpha = second / (2 * second + third * over_cells(a)).where(second > 0, torch.ones_like(second))
    return over_cells(alpha * first.clamp_min(0))


FORMULAS = {
    GradCAM: lambda a, g: over_cells(g) / a[0, 0].numel() * a,
    CounterfactualGradCAM: lambda a, g: -over_cells(g) / a[0, 0].numel() * a,
    GradCAMPlusPlus: lambda a, g: exponential_weights(a, g) * a,
    HiResCAM: lambda a, g: a * g,
    LayerCAM: lambda a, g: a * g.clamp_min(0),
    XGradCAM: lambda a, g: over_cells(a * g) / over_cells(a).clamp_min(1e-30) * a,
}


HAND = "formula of the paper, by hand"


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())


@IGNORE_DENSE
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("layer", ["first", "stem"])
@pytest.mark.parametrize("make", [networks.residual, networks.dense])
@pytest.mark.parametrize("kind", FORMULAS)
def test_a_map_is_its_formula(kind, make, layer, axes, agrees):
    model, x = make(axes=axes), networks.images(3, axes=axes)
    wanted = FORMULAS[kind](*read(model, layer, x)[:2]).sum(dim=1, keepdim=True)
    found = kind(layer=layer)(model, x, target=1).features.values
    agrees(kind.__module__.rpartition(".")[2], HAND, found, wanted)


@pytest.mark.parametrize("axes", [1, 2])
def test_the_class_activation_map_is_the_weights_of_the_class_times_the_activations(axes, agrees):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    pooled = []
    hook = model.head[0].register_forward_pre_hook(lambda module, args: pooled.append(args[0]))
    model(x)
    hook.remove()
    wanted = torch.einsum("k,nk...->n...", model.head[2].weight[1], pooled[0])[:, None].detach()
    agrees("cam", HAND, CAM()(model, x, target=1).features.values, wanted)


def test_behind_a_pooling_the_maps_of_one_weight_a_channel_are_one_map():
    model, x = networks.residual(), networks.images(3)
    exact = CAM()(model, x).features.values / 16
    for kind in (GradCAM, HiResCAM, XGradCAM):
        assert relative(kind()(model, x).features.values, exact) < 1e-5
    assert relative(-CounterfactualGradCAM()(model, x).features.values, exact) < 1e-5


@pytest.mark.parametrize("target", [0, 1, "difference"])
@pytest.mark.parametrize("axes", [1, 2])
def test_the_mean_of_the_class_activation_map_and_the_bias_is_the_score(axes, target):
    model, x = networks.residual(axes=axes), networks.images(4, axes=axes)
    found = CAM()(model, x, target=target)
    both = torch.eye(2)
    weights = both[1] - both[0] if target == "difference" else both[target]
    bias = float(model.head[2].bias.detach() @ weights)
    scores = (model(x) @ weights).detach()
    torch.testing.assert_close(
        found.features.values.mean(dim=(1, *range(2, x.ndim))) + bias, scores
    )
    assert float((found.completeness_error / scores).abs().max()) < 1e-5


@pytest.mark.parametrize("kind", [GradCAM, HiResCAM, XGradCAM, GradCAMPlusPlus])
@pytest.mark.parametrize("axes", [1, 2])
def test_behind_a_mean_of_all_cells_no_gradient_is_asked_for(kind, axes):
    """The same pooling as a window, of which that is not known, takes a pass back an image."""
    model, x = networks.residual(axes=axes), networks.images(4, axes=axes)
    known = kind()(model, x)
    cells = known.features.values.shape[-1]
    model.head[0] = (nn.AvgPool1d, nn.AvgPool2d)[axes - 1](cells).eval()
    asked = kind()(model, x)
    assert known.passes.backward == asked.passes.backward - len(x)
    assert relative(known.values, asked.values) < 1e-5


def pooled(head: nn.Module) -> nn.Module:
    return networks.trained_looking(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), head))


class Words(nn.Module):
    """A head written as a function."""

    def __init__(self, function):
        super().__init__()
        self.function, self.linear = function, nn.Linear(3, 2)

    def forward(self, x):
        return self.function(self.linear, x)


@pytest.mark.parametrize(
    "head",
    [
        lambda f, x: f(x.mean(dim=(2, 3))),
        lambda f, x: f(x.flatten(2).mean(-1)),
        lambda f, x: f(nn.functional.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)),
        lambda f, x: f(nn.functional.dropout(x.mean((-2, -1)), training=False)),
        lambda f, x: f(nn.functional.avg_pool2d(x, x.shape[-1]).squeeze(-1).squeeze(-1)),
        lambda f, x: x.mean(dim=(2, 3)),
    ],
)
def test_a_pooled_head_in_any_words_has_a_class_activation_map(head):
    model, x = pooled(Words(head)), networks.images(2)
    found = CAM()(model, x, target=1)
    assert float(found.completeness_error.abs().max()) < 1e-5
    assert relative(GradCAM()(model, x, target=1).values * 256, found.values) < 1e-4


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), r"Flatten \(at .*\) follows"),
        (Words(lambda f, x: f(x.amax(dim=(2, 3)))), r"amax \(at .*\) follows"),
        (Words(lambda f, x: f(x.mean(dim=(2, 3))).softmax(1)), r"softmax \(at .*\) follows"),
        (Words(lambda f, x: f(torch.relu(x.mean(dim=(2, 3))))), r"relu \(at .*\) follows"),
        (
            Words(lambda f, x: f(x.mean((2, 3))) + f(x.amax((2, 3)))),
            r"feeds 2 operations",
        ),
        (
            nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 2)),
            r"Linear \(at .*\) follows",
        ),
    ],
)
def test_a_head_that_is_not_pooled_is_refused_with_the_reason(head, reason):
    with pytest.raises(ExplainerRefusal, match=reason) as refused:
        CAM()(pooled(head), networks.images(1))
    assert "hires_cam" in refused.value.remedy


def test_a_pooling_that_leaves_out_cells_is_refused():
    head = nn.Sequential(nn.AvgPool2d(15), nn.Flatten(), nn.Linear(3, 2))
    with pytest.raises(ExplainerRefusal, match=r"misses the score by up to .*no mean over all"):
        CAM()(pooled(head), networks.images(1))


def test_a_layer_that_is_not_the_pooled_one_has_no_class_activation_map():
    with pytest.raises(ExplainerRefusal, match=r"stem_2 feeds 2 operations"):
        CAM(layer="stem")(networks.residual(), networks.images(1))


class Transformer(nn.Module):
    """Patches, one head of attention, and the mean of the tokens."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.patch = nn.Conv2d(1, width, 4, 4)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        weights = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(-1)
        return self.head((weights @ tokens).mean(dim=1))


def test_a_transformer_is_refused_by_cam_and_warned_of_by_grad_cam():
    model, x = networks.trained_looking(Transformer()), networks.images(1)
    with pytest.raises(
        ExplainerRefusal, match=r"patch and one linear layer: transpose feeds 3 operations"
    ):
        CAM()(model, x)
    with pytest.warns(UserWarning, match=r"no global average pooling follows patch: Grad-CAM"):
        GradCAM()(model, x)
    HiResCAM()(model, x)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (GradCAM, "Grad-CAM"),
        (CounterfactualGradCAM, "counterfactual Grad-CAM"),
        (GradCAMPlusPlus, r"Grad-CAM\+\+"),
        (XGradCAM, "XGrad-CAM"),
    ],
)
def test_a_method_of_one_weight_a_channel_warns_of_a_dense_head(kind, words):
    with pytest.warns(UserWarning, match=rf"{words} gives each channel one weight.*hires_cam"):
        kind()(networks.dense(), networks.images(1))


@pytest.mark.parametrize("kind", [LayerCAM, HiResCAM, ScoreCAM, PublishedGradCAM])
def test_a_method_that_weights_each_cell_does_not_warn_of_a_dense_head(kind):
    kind()(networks.dense(), networks.images(1))


def test_relu_sets_the_negative_cells_to_zero_before_they_are_placed():
    model, x = networks.residual(), networks.images(2)
    raw, cut = GradCAM()(model, x), GradCAM(relu=True)(model, x)
    assert torch.equal(cut.features.values, raw.features.values.clamp_min(0))
    assert float(cut.values.min()) == 0
    against = CounterfactualGradCAM(relu=True)(model, x).features.values
    assert torch.equal(cut.features.values - against, raw.features.values)


def test_the_weights_of_grad_cam_plus_plus_do_not_overflow_with_the_score():
    model, x = networks.residual(), networks.images(1)
    wanted = GradCAMPlusPlus()(model, x, target=1).values
    with torch.no_grad():
        model.head[2].bias += 1000
    assert relative(GradCAMPlusPlus()(model, x, target=1).values, wanted) < 1e-5


def negative(activation: float) -> nn.Module:
    """Return a network whose only channel has activations of that sum, over 256 cells."""
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2, bias=False))
    model = nn.Sequential(nn.Conv2d(1, 1, 1), head).eval()
    with torch.no_grad():
        model[0].weight.fill_(0.0 if activation else 1.0)
        model[0].bias.fill_(activation)
        head[2].weight[:] = torch.tensor([[-1.0], [1.0]])
    return model


def test_grad_cam_plus_plus_refuses_activations_that_turn_its_weights():
    GradCAMPlusPlus()(gradient_seen(-0.5), networks.images(1))
    with pytest.raises(ExplainerRefusal, match=r"so negative that its weights.*change their sign"):
        GradCAMPlusPlus()(gradient_seen(-1.5), networks.images(1))


def gradient_seen(activation: float) -> nn.Module:
    """Return a network of one constant channel, which depends on the image by a hair."""
    model = negative(activation)
    with torch.no_grad():
        model[0].weight.fill_(1e-3)
    return model


def test_the_cells_of_a_channel_of_xgrad_cam_sum_to_those_of_hires_cam():
    model, x = networks.dense(), networks.images(3)
    with pytest.warns(UserWarning, match="no global average pooling"):
        found = XGradCAM()(model, x).features.values.sum(dim=(1, 2, 3))
    bias = (model.head[2].bias[1] - model.head[2].bias[0]).detach()
    scores = model(x).detach()
    torch.testing.assert_close(found, scores[:, 1] - scores[:, 0] - bias, rtol=1e-4, atol=1e-5)


def test_xgrad_cam_refuses_a_channel_whose_activations_cancel():
    x = torch.ones(1, 1, 16, 16)
    x[..., 8:] = -1.0
    with pytest.raises(ExplainerRefusal, match=r"activations of a channel sum to zero"):
        XGradCAM()(negative(0.0), x)


def masked_scores(model, layer, x, fill, target=1):
    """Return activations, and what each channel of one image lets through more than nothing."""
    a, _, _ = read(model, layer, x, target=target)
    step = x.shape[-1] // a.shape[-1]
    cells = (torch.arange(x.shape[-1]) / step).clamp_max(a.shape[-1] - 1)
    weights = (1 - (cells[:, None] - torch.arange(a.shape[-1])).abs()).clamp_min(0).double()
    path = "ncx,Xx->ncX" if x.ndim == 3 else "ncyx,Yy,Xx->ncYX"
    masks = torch.einsum(path, a, *(weights,) * (x.ndim - 2))[0]
    low, high = masks.flatten(1).amin(1), masks.flatten(1).amax(1)
    ones = (-1,) + (1,) * (x.ndim - 2)
    masks = (masks - low.reshape(ones)) / (high - low).clamp_min(1e-30).reshape(ones)
    mixed = (fill + masks[:, None] * (x - fill)).float()
    hidden = model(torch.full_like(x, fill))[:, target]
    return a, (model(mixed)[:, target] - hidden).detach().double(), high > low


@pytest.mark.parametrize("fill", [0.0, 0.7])
@pytest.mark.parametrize("weighting", ["increase", "softmax"])
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("make", [networks.residual, networks.dense])
def test_score_cam_is_its_formula(make, axes, weighting, fill, agrees):
    model, x = make(axes=axes), networks.images(1, axes=axes)
    a, increase, varies = masked_scores(model, "first", x, fill)
    if weighting == "softmax":
        increase = increase.where(varies, torch.tensor(-torch.inf)).softmax(0)
    increase = increase.where(varies, torch.zeros(()).double())
    wanted = torch.tensordot(increase, a[0], dims=1)[None, None]
    cam = ScoreCAM(layer="first", weighting=weighting, fill=fill)
    agrees("score_cam", HAND, cam(model, x, target=1).features.values, wanted)


def test_score_cam_counts_the_image_the_fill_and_each_channel_that_varies():
    model, x = networks.residual(), networks.images(2)
    varying = sum(int(masked_scores(model, "first", one, 0.0)[2].sum()) for one in x.split(1))
    found = ScoreCAM(layer="first", batch_size=3)(model, x)
    checks = GradCAM(layer="first")(model, x).passes.forward - len(x)
    assert found.passes.forward == checks + 1 + len(x) + varying
    assert found.passes.backward == checks


def test_score_cam_of_a_layer_that_is_the_same_everywhere_is_zero():
    model = networks.trained_looking(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), pool_of(2)))
    for weighting in ("increase", "softmax"):
        found = ScoreCAM(weighting=weighting)(model, torch.zeros(1, 1, 8, 8))
        assert not found.values.any()


def pool_of(channels: int) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 2))


def test_options_of_score_cam_out_of_range_are_refused():
    with pytest.raises(ContractError, match=r"weighting is 'sum'.*increase, softmax"):
        ScoreCAM(weighting="sum")
    with pytest.raises(ContractError, match=r"fill is inf.*finite"):
        ScoreCAM(fill=float("inf"))


def iris_network(seed: int = 0) -> nn.Module:
    """Return the network of the 2023 study, with random weights."""
    return networks.trained_looking(
        nn.Sequential(
            nn.Conv1d(1, 2, 20, 3), nn.ReLU(), nn.Conv1d(2, 4, 10, 3), nn.ReLU(),
            nn.MaxPool1d(2), nn.Flatten(), nn.Linear(44, 5), nn.ReLU(), nn.Linear(5, 2),
        ),
        seed,
    )  # fmt: skip


def test_the_published_map_is_that_of_the_study_before_it_is_normalised(agrees):
    model, x = iris_network(), networks.images(3, axes=1, size=240)
    target = model(x).argmax(dim=1)
    found = PublishedGradCAM(relu=True, placement="stretched")(model, x, target=target)
    for image, one in enumerate(x.split(1)):
        a, g, _ = read(model, "3", one, target=int(target[image]))
        heat = torch.stack([a[0, k] * g.mean(dim=(0, 1)) for k in range(4)]).mean(dim=0)
        heat = heat.clamp_min(0)
        torch.testing.assert_close(found.features.values[image, 0].double(), heat)
        place = torch.arange(240) / (240 / 21)
        left = place.floor().long()
        wanted = heat[left] + (place - left) * (heat[(left + 1).clamp_max(21)] - heat[left])
        given = ("published_grad_cam", "formula of the study, by hand")
        agrees(*given, found.values[image, 0], wanted, tolerance=2e-5)


def test_the_published_placement_moves_the_lines_as_measured():
    model, x = iris_network(), networks.images(1, axes=1, size=240)
    true, drawn = (
        PublishedGradCAM(placement=word)(model, x).features.centres[0].double()
        for word in ("registered", "stretched")
    )
    step, first = 0.04845, 2794.14
    shifts = []
    for line in (2796.352, 2803.53, 2798.77):
        cell = ((line - first) / step - true[0]) / (true[1] - true[0])
        pixel = drawn[0] + cell * (drawn[1] - drawn[0])
        shifts.append(float(first + step * pixel - line))
    assert shifts == pytest.approx([-0.82, 1.12, -0.17], abs=0.01)


@IGNORE_DENSE
def test_the_published_map_is_not_grad_cam_where_channels_disagree():
    model, x = iris_network(), networks.images(1, axes=1, size=240)
    mine, published = (
        kind()(model, x).features.values.flatten() for kind in (GradCAM, PublishedGradCAM)
    )
    aligned = torch.nn.functional.cosine_similarity(mine, published, dim=0)
    assert abs(float(aligned)) < 0.9


def test_a_placement_that_does_not_exist_is_refused():
    with pytest.raises(ContractError, match=r"placement is 'resized'.*registered, stretched"):
        PublishedGradCAM(placement="resized")
