"""Occlusion, against captum, arithmetic and a plain loop."""

import networks
import pytest
import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.occlusion import Occlusion


def linear(channels: int = 1, size: int = 8) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, 2))
    return networks.trained_looking(model)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 3), (4, 4), (3, 1), (16, 16)])
def test_it_equals_captum_with_the_same_windows_also_where_the_last_is_cut(
    axes, window, stride, agrees
):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    occlusion = Occlusion(window=window, stride=stride, fill="value", fill_value=0.2)
    found = occlusion(model, x, target=1)
    with torch.no_grad():
        wanted = CaptumOcclusion(model).attribute(
            x,
            (1, *(window,) * axes),
            strides=(1, *(stride,) * axes),
            baselines=0.2,
            target=1,
            perturbations_per_eval=8,
        )
    agrees("occlusion", "captum Occlusion", found.values, wanted)


def test_one_pixel_of_a_linear_network_drops_the_score_by_its_weight_times_its_value(agrees):
    model, x = linear(), networks.images(2, size=8)
    found = Occlusion(window=1, stride=1, fill="value")(model, x).values
    weights = (model[1].weight[1] - model[1].weight[0]).detach().reshape(1, 8, 8)
    agrees("occlusion", "linear model: w·x", found, weights * x, tolerance=2e-6)


def test_all_channels_are_hidden_at_once_and_hold_the_same_value(agrees):
    model, x = linear(channels=3), networks.images(6, size=8).reshape(2, 3, 8, 8)
    found = Occlusion(window=1, stride=1, fill="value")(model, x).values
    weights = (model[1].weight[1] - model[1].weight[0]).detach().reshape(3, 8, 8)
    wanted = (weights * x).sum(dim=1, keepdim=True).expand_as(x)
    agrees("occlusion", "linear model: w·x", found, wanted, tolerance=2e-6)


def test_squares_that_do_not_overlap_share_out_the_whole_change_of_a_linear_score():
    model, x = linear(), networks.images(1, size=8)
    found = Occlusion(window=4, stride=4, fill="mean")(model, x, target=0).values
    filled = x.mean() * torch.ones_like(x)
    change = (model(x) - model(filled))[0, 0].item()
    assert found[0, 0, ::4, ::4].sum().item() == pytest.approx(change, rel=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(7, 3), (6, 4)])
def test_circles_equal_a_plain_loop_over_discs(window, stride, agrees):
    model, x = networks.residual(), networks.images(1)
    found = Occlusion(window=window, stride=stride, shape="circle", fill="blur")
    values = found(model, x, target=0).values[0, 0]
    fill = plain_fill(x)
    total, overlap = torch.zeros(16, 16), torch.zeros(16, 16)
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    starts = range(-(window // 2), 16 - window + window // 2 + stride, stride)
    centre = (window - 1) / 2
    for top in starts:
        for left in starts:
            away = (rows - top - centre) ** 2 + (columns - left - centre) ** 2
            disc = away <= (window / 2) ** 2
            with torch.no_grad():
                drop = (model(x) - model(torch.where(disc, fill, x)))[0, 0]
            total, overlap = total + drop * disc, overlap + disc
    wanted = total / overlap
    agrees("occlusion", "plain loop over discs", values, wanted)


def plain_fill(x: torch.Tensor) -> torch.Tensor:
    """Smooth by a Gaussian of an eighth of the image, reflected, as the definition has it."""
    places = torch.arange(-6, 7)
    kernel = torch.exp(-0.5 * (places / 2.0) ** 2)
    kernel = kernel / kernel.sum()
    padded = nn.functional.pad(x, (6,) * 4, mode="reflect")
    return nn.functional.conv2d(padded, (kernel[:, None] * kernel)[None, None])


def test_a_circle_in_a_spectrum_is_an_interval():
    model, x = networks.residual(axes=1), networks.images(1, axes=1)
    round_, square = (Occlusion(shape=shape)(model, x).values for shape in ("circle", "square"))
    assert torch.equal(round_, square)


def test_where_the_image_is_its_own_fill_nothing_drops_at_all():
    x = networks.images(1)
    x[..., :8, :] = 0.0
    found = Occlusion(window=4, stride=4, fill="value")(networks.residual(), x, target=0).values
    assert float(found[..., :8, :].abs().max()) < 1e-6
    assert float(found[..., 8:, :].abs().max()) > 1e-3


def test_the_fill_may_be_the_mean_of_baselines():
    model, x, b = networks.residual(), networks.images(1), networks.images(5, seed=3)
    found = Occlusion(fill="baselines", window=16, stride=16)(model, x, baselines=b, target=1)
    drop = (model(x) - model(b.mean(dim=0, keepdim=True)))[0, 1].item()
    assert found.values[0, 0, 0, 0].item() == pytest.approx(drop, rel=1e-4)
    with pytest.raises(ContractError, match=r"needs baselines and got none"):
        Occlusion(fill="baselines")(model, x)


class Darkness(nn.Module):
    """How much darker than 1 an image is."""

    def forward(self, x):
        dark = (1 - x).flatten(1).mean(dim=1)
        return torch.stack([0 * dark, dark], dim=1)


def test_granulation_takes_away_a_spot_and_leaves_its_surroundings_nothing_to_lose():
    x = 1 + 0.03 * networks.images(1, size=32)
    x[..., 8:16, 16:24] = 0.3
    found = Occlusion(fill="granulation", window=8, stride=8)(Darkness().eval(), x).values
    spot = found[..., 8:16, 16:24]
    assert float(spot.mean()) == pytest.approx(0.7 * 64 / 1024, rel=0.03)
    assert float(found.abs().sum() - spot.abs().sum()) < 0.4 * float(spot.abs().sum())
    with pytest.raises(ContractError, match=r"texture in two dimensions"):
        Occlusion(fill="granulation")(networks.residual(axes=1), networks.images(1, axes=1))


def test_windows_that_leave_pixels_out_or_do_not_fit_are_refused():
    model, x = networks.residual(), networks.images(1)
    with pytest.raises(ContractError, match=r"stride of 5 some pixels are in no window"):
        Occlusion(window=4, stride=5)(model, x)
    with pytest.raises(ContractError, match=r"stride of 8 some pixels are in no window"):
        Occlusion(window=8, stride=8, shape="circle")(model, x)
    with pytest.raises(ContractError, match=r"17 pixels does not fit.*at most 16 pixels"):
        Occlusion(window=17)(model, x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": "star"}, r"shape is 'star'.*square, circle"),
        ({"fill": "ink"}, r"fill is 'ink'.*mean, value, blur"),
        ({"fill_value": float("nan")}, r"fill_value is nan.*finite"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ContractError, match=words):
        Occlusion(**options)
