"""Class activation maps: which layer they read, and the pixels its cells come back to."""

import networks
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from solarxai import registry
from solarxai.engine.preparation import Snapshot
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import ExplainerWarning
from solarxai.explainers._class_activation import ClassActivation
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.hires_cam import HiResCAM
from solarxai.explainers.layer_cam import LayerCAM
from solarxai.explainers.published_grad_cam import PublishedGradCAM
from solarxai.explainers.score_cam import ScoreCAM

CAMS = (GradCAM(), HiResCAM())
KINDS = [
    kind
    for name in registry.names("solarxai.explainers")
    if issubclass(kind := registry.load("solarxai.explainers", name), ClassActivation)
]


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True")
@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("layer", ["second", "first", "stem.0"])
def test_grad_cam_of_a_named_layer_equals_captum(axes, layer, agrees):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    found = GradCAM(layer=layer)(model, x, target=1).features.values
    oracle = LayerGradCam(model, model.get_submodule(layer))
    wanted = oracle.attribute(x, target=1, relu_attributions=False)
    agrees("grad_cam", "captum LayerGradCam", found, wanted)


@pytest.mark.parametrize("cam", CAMS)
def test_the_default_layer_is_what_the_pooling_averages(cam, agrees):
    model, x = networks.residual(), networks.images(2)
    found = cam(model, x).features
    pooled = []
    hook = model.head[0].register_forward_pre_hook(lambda module, args: pooled.append(args[0]))
    model(x)
    hook.remove()
    weights = model.head[2].weight[1] - model.head[2].weight[0]
    wanted = torch.einsum("k,nkyx->nyx", weights, pooled[0])[:, None] / 16
    told = (type(cam).__module__.rpartition(".")[2], "weights of the class times activations")
    agrees(*told, found.values, wanted.detach(), tolerance=1e-5)


def test_behind_a_pooling_the_cells_of_hires_cam_sum_to_the_margin_without_its_bias():
    model, x = networks.residual(), networks.images(3)
    scores = (model(x) - model.head[2].bias).detach()
    sums = HiResCAM()(model, x).features.values.sum(dim=(1, 2, 3))
    torch.testing.assert_close(sums, scores[:, 1] - scores[:, 0], rtol=1e-4, atol=1e-5)


def dense_head() -> nn.Module:
    return networks.trained_looking(
        nn.Sequential(
            nn.Conv1d(1, 2, 20, 3), nn.ReLU(), nn.Conv1d(2, 4, 10, 3), nn.ReLU(),
            nn.MaxPool1d(2), nn.Flatten(), nn.Linear(44, 5), nn.ReLU(), nn.Linear(5, 2),
        )
    )  # fmt: skip


def test_grad_cam_warns_of_a_dense_head_and_names_hires_cam():
    x = networks.images(2, axes=1, size=240)
    with pytest.warns(ExplainerWarning, match=r"no global average pooling follows.*hires_cam"):
        GradCAM()(dense_head(), x)
    HiResCAM()(dense_head(), x)


def test_the_cells_of_the_iris_network_are_at_23_plus_9_i():
    centres = HiResCAM()(dense_head(), networks.images(1, axes=1, size=240)).features.centres
    assert centres[0].tolist() == [23.0 + 9 * i for i in range(22)]


@pytest.mark.parametrize(
    "head",
    [
        lambda x: x.mean(dim=(2, 3)),
        lambda x: torch.mean(x, (-2, -1)),
        lambda x: nn.functional.adaptive_avg_pool2d(x, 1).flatten(1),
        lambda x: nn.functional.avg_pool2d(x, x.shape[-1]).flatten(1),
        lambda x: x.flatten(2).mean(-1),
    ],
)
def test_a_global_average_in_any_words_is_seen(head):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, x):
            return head(self.conv(x))

    GradCAM()(Pooled().eval(), networks.images(1))


def test_a_pooling_inside_a_gate_is_no_pooled_head():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(2 * 14 * 14, 2)

        def forward(self, x):
            x = self.conv(x)
            x = x * torch.sigmoid(x.mean(dim=(2, 3), keepdim=True))
            return self.head(x.flatten(1))

    with pytest.warns(ExplainerWarning, match=r"no global average pooling"):
        GradCAM()(Gated().eval(), networks.images(1))


def test_a_map_is_the_same_for_every_channel_of_the_input():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = GradCAM()(model, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert found.values.shape == (2, 3, 8, 8)
    assert torch.equal(found.values[:, 0], found.values[:, 2])
    assert found.features.values.shape == (2, 1, 6, 6)


def test_an_unknown_layer_is_refused_with_the_nearest_name():
    with pytest.raises(ExplainerRefusal, match=r"no layer 'secnd'.*Did you mean 'second'"):
        GradCAM(layer="secnd")(networks.residual(), networks.images(1))


def test_a_layer_that_no_score_is_made_from_is_refused():
    class Aside(networks.Residual):
        def forward(self, x):
            self.shortcut(self.stem(x))
            x = self.stem(x)
            return self.head(self.first(x))

    with pytest.raises(ExplainerRefusal, match=r"do not depend on the layer shortcut"):
        HiResCAM(layer="shortcut")(networks.trained_looking(Aside()), networks.images(1))


def test_a_network_without_convolutions_is_refused():
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 2)).eval()
    with pytest.raises(ExplainerRefusal, match=r"no convolution.*gradient method"):
        GradCAM()(model, networks.images(1))


def test_a_network_that_cannot_be_traced_is_refused():
    class Branching(networks.Residual):
        def forward(self, x):
            return super().forward(x if x.sum() > 0 else 2 * x)

    with pytest.raises(ExplainerRefusal, match=r"data flow.*cannot be followed.*gradient method"):
        HiResCAM()(networks.trained_looking(Branching()), networks.images(1))


def test_an_activation_that_works_in_place_changes_no_map():
    def network(inplace):
        layers = [nn.Conv2d(1, 2, 3), nn.ReLU(inplace=inplace), nn.AdaptiveAvgPool2d(1)]
        return networks.trained_looking(nn.Sequential(*layers, nn.Flatten(), nn.Linear(2, 2)))

    x = networks.images(2)
    maps = [GradCAM(layer="0")(network(inplace), x).values for inplace in (True, False)]
    assert torch.equal(*maps)


def seeing_everything(stride: int, *, padded: bool, dilation: int, pool: str, axes: int):
    """Return a network of positive weights whose last map has that stride, and a pooled head."""
    conv = nn.Conv2d if axes == 2 else nn.Conv1d
    pools = {"max": nn.MaxPool2d if axes == 2 else nn.MaxPool1d}
    pools["avg"] = nn.AvgPool2d if axes == 2 else nn.AvgPool1d
    layers: list[nn.Module] = [conv(1, 1, 3, 1, 1 if padded else 0)]
    while stride > 1:
        if pool != "none" and stride == 2:
            layers.append(pools[pool](2))
        else:
            width = 4 * dilation // 2 if padded else 0
            layers += [conv(1, 1, 5, 2, width, dilation=dilation), nn.ReLU()]
        stride //= 2
    smooth = conv(1, 1, 3, 1, 1 if padded else 0)
    head = nn.AdaptiveAvgPool2d(1) if axes == 2 else nn.AdaptiveAvgPool1d(1)
    network = nn.Sequential(*layers, smooth, nn.ReLU(), head, nn.Flatten(), nn.Linear(1, 2))
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.constant_(network[-1].weight[0], -1.0)
    nn.init.constant_(network[-1].weight[1], 1.0)
    return network.eval()


def centroid(values: torch.Tensor) -> torch.Tensor:
    """Return the centroid of |values| (image, channel, *space) along the last axis, (image,)."""
    along = values.abs().double().flatten(1, -2).sum(dim=1)
    return (along * torch.arange(along.shape[1])).sum(dim=1) / along.sum(dim=1)


def shifts(cam, model, dots: list[int], *, size: int, axes: int) -> torch.Tensor:
    """Return recovered − planted for a dot at each of those pixels of every axis."""
    x = torch.zeros(len(dots), 1, *(size,) * axes)
    for image, dot in zip(x, dots, strict=True):
        image[(0, *(dot,) * axes)] = 1.0
    return centroid(cam(model, x).values) - torch.tensor(dots)


def dots_of_a_stride(model, stride: int, *, size: int, axes: int) -> list[int]:
    """Return every pixel of one stride, the first of them nearest to a cell's centre."""
    centres = GradCAM()(model, torch.zeros(1, 1, *(size,) * axes)).features.centres[-1]
    first = round(float(centres[len(centres) // 2]))
    return list(range(first, first + stride))


@pytest.mark.parametrize("pool", ["none", "max", "avg"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_every_map_brings_a_dot_back_to_its_place(stride, padded, dilation, pool):
    size = 1024
    made = seeing_everything(stride, padded=padded, dilation=dilation, pool=pool, axes=1)
    model = Snapshot(made)
    dots = dots_of_a_stride(model, stride, size=size, axes=1)
    for kind in KINDS:
        found = shifts(kind(), model, dots, size=size, axes=1)
        assert abs(found[0]) <= 0.5 + 1e-3, kind
        assert found.abs().max() <= stride / 4 + 1e-3, kind
        assert found.mean().abs() <= 0.01 * stride, kind


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_every_map_brings_a_dot_back_to_its_place_in_an_image(stride, padded, dilation):
    size = 192
    made = seeing_everything(stride, padded=padded, dilation=dilation, pool="none", axes=2)
    model = Snapshot(made)
    dots = dots_of_a_stride(model, stride, size=size, axes=2)
    for kind in KINDS:
        found = shifts(kind(), model, dots, size=size, axes=2)
        assert abs(found[0]) <= 0.5, kind
        assert found.abs().max() <= stride / 4 + 1e-3, kind
        assert found.mean().abs() <= 0.01 * stride, kind


@pytest.mark.parametrize(("layer", "stride"), [("0", 1), ("2", 2), ("4", 4)])
@pytest.mark.parametrize("kind", [LayerCAM, HiResCAM, ScoreCAM, PublishedGradCAM])
def test_a_dot_comes_back_from_an_early_layer(kind, layer, stride):
    model = seeing_everything(16, padded=False, dilation=1, pool="none", axes=1)
    centres = kind(layer=layer)(model, torch.zeros(1, 1, 512)).features.centres[0]
    assert float(centres[1] - centres[0]) == stride
    first = round(float(centres[len(centres) // 2]))
    dots = list(range(first, first + stride))
    found = shifts(kind(layer=layer), model, dots, size=512, axes=1)
    assert found.abs().max() <= stride / 4 + 1e-3
    assert abs(found[0]) <= 0.5


def test_a_plain_resize_of_a_stride_8_map_is_off_by_3_and_a_half_pixels():
    model = seeing_everything(8, padded=True, dilation=1, pool="none", axes=1)
    x = torch.zeros(1, 1, 512)
    dot = 256
    x[0, 0, dot] = 1.0
    found = GradCAM()(model, x)
    resized = nn.functional.interpolate(found.features.values, 512, mode="linear")[0, 0]
    pixels = torch.arange(512)
    shift = float((resized * pixels).sum() / resized.sum()) - dot
    assert shift == pytest.approx(3.5, abs=0.05)
    assert float(shifts(GradCAM(), model, [dot], size=512, axes=1)) == pytest.approx(0, abs=0.05)


def test_a_dot_comes_back_through_a_residual_branch():
    model = networks.residual(axes=1)
    for module in model.modules():
        if isinstance(module, nn.Conv1d):
            nn.init.ones_(module.weight)
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.zero_()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    dots = [128 + step for step in range(4)]
    with torch.no_grad():
        model.head[2].weight[:] = torch.tensor([[-1.0], [1.0]])
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    found = shifts(GradCAM(), model, dots, size=256, axes=1)
    assert abs(found[0]) <= 0.5
    assert found.abs().max() <= 1
