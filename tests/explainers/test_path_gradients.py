"""Path gradients through given images, and from a blurred image into focus."""

import networks
import pytest
import torch
from captum.attr import IntegratedGradients as CaptumIntegrated
from scipy.ndimage import gaussian_filter
from torch import nn

from solarxai.errors import ContractError
from solarxai.explainers.blur_integrated_gradients import BlurIntegratedGradients
from solarxai.explainers.integrated_gradients import IntegratedGradients
from solarxai.explainers.path_gradients import PathGradients


class Product(nn.Module):
    """Scores (0, x₁x₂) of images (1, 1, 2)."""

    def forward(self, x):
        product = (x[:, 0, 0, 0] * x[:, 0, 0, 1])[:, None]
        return torch.cat([0 * product, product], dim=1)


class Quadratic(nn.Module):
    """Scores (−s, s) with s = Σ x²."""

    def forward(self, x):
        score = (x**2).flatten(1).sum(dim=1, keepdim=True)
        return torch.cat([-score, score], dim=1)


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def margin(model, z):
    with torch.no_grad():
        scores = model(z).double()
    return scores[:, 1] - scores[:, 0]


def test_the_path_decides_which_factor_of_a_product_gets_its_score(agrees):
    x = torch.ones(1, 1, 1, 2)
    first, second = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    start = torch.zeros(1, 2)
    for corner, wanted in ((first, second), (second, first)):
        way = torch.stack([start, corner])[:, None]
        found = PathGradients(steps=3)(Product().eval(), x, target=1, baselines=way)
        told = ("path_gradients", "product of two, by hand")
        agrees(*told, found.values[0, 0], wanted, tolerance=1e-6)
        assert float(found.completeness_error.abs()) < 1e-6


@pytest.mark.parametrize("axes", [1, 2])
def test_its_legs_are_those_of_captum(axes, agrees):
    model, x = networks.residual(axes=axes), networks.images(1, axes=axes)
    way = networks.images(3, axes=axes, seed=2)
    found = PathGradients(steps=12)(model, x, target=1, baselines=way).values
    ends = torch.cat([way[1:], x])
    wanted = CaptumIntegrated(model).attribute(ends, way, target=1, n_steps=12)
    legs = wanted.float().sum(dim=0, keepdim=True)
    agrees("path_gradients", "captum IntegratedGradients, leg by leg", found, legs)


@pytest.mark.parametrize("axes", [1, 2])
def test_with_one_baseline_it_is_integrated_gradients(axes):
    model, x = networks.residual(axes=axes), networks.images(2, axes=axes)
    b = networks.images(1, axes=axes, seed=2)
    found = PathGradients(steps=12)(model, x, baselines=b)
    wanted = IntegratedGradients(steps=12)(model, x, baselines=b)
    torch.testing.assert_close(found.values, wanted.values)
    torch.testing.assert_close(found.completeness_error, wanted.completeness_error)


def test_a_stop_on_the_straight_path_changes_nothing():
    model, x = networks.residual(), networks.images(1)
    start = networks.images(1, seed=2)
    found = PathGradients(steps=300)(model, x, baselines=torch.cat([start, (start + x) / 2]))
    wanted = IntegratedGradients(steps=600)(model, x, baselines=start)
    assert relative(found.values, wanted.values) < 0.01


def test_it_sums_to_the_score_less_that_of_the_first_baseline():
    model, x, b = networks.residual(), networks.images(2), networks.images(3, seed=2)
    found = PathGradients(steps=200)(model, x, baselines=b)
    wanted = margin(model, x) - margin(model, b[:1])
    rest = found.values.double().sum(dim=(1, 2, 3)) - wanted
    torch.testing.assert_close(found.completeness_error.double(), rest, rtol=1e-3, atol=1e-4)
    assert float(rest.abs().max()) < 0.02 * float(wanted.abs().max())


def test_a_path_without_baselines_is_refused():
    with pytest.raises(ContractError, match=r"needs baselines and got none"):
        PathGradients()(networks.residual(), networks.images(1))
    with pytest.raises(ContractError, match=r"no rule 'simpson'"):
        PathGradients(rule="simpson")


def blurred(x, sigma):
    filtered = [gaussian_filter(i[0].numpy(), sigma, mode="reflect", truncate=8) for i in x]
    return torch.stack([torch.from_numpy(each)[None] for each in filtered])


@pytest.mark.parametrize("axes", [1, 2])
def test_blur_of_a_linear_network_is_weight_times_what_smoothing_removes(axes, agrees):
    pixels = 16**axes
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2)).eval()
    x = networks.images(2, axes=axes)
    found = BlurIntegratedGradients(steps=4, max_sigma=5.0)(model, x, target=1)
    weight = model[1].weight[1].detach().reshape(x.shape[1:])
    wanted = weight * (x - blurred(x, 5.0))
    told = ("blur_integrated_gradients", "linear model: w·(x − scipy gaussian_filter)")
    agrees(*told, found.values, wanted)
    assert float(found.completeness_error.abs().max()) < 1e-5


def test_blur_of_a_quadratic_is_the_difference_of_squares_in_any_number_of_steps(agrees):
    x = networks.images(2)
    found = BlurIntegratedGradients(steps=3, max_sigma=4.0)(Quadratic().eval(), x, target=1)
    wanted = x**2 - blurred(x, 4.0) ** 2
    told = ("blur_integrated_gradients", "quadratic score: x² − scipy gaussian_filter²")
    agrees(*told, found.values, wanted, tolerance=5e-6)


@pytest.mark.parametrize("axes", [1, 2])
def test_blur_sums_to_the_score_less_that_of_the_blurred_image(axes):
    model, x = networks.residual(axes=axes), networks.images(3, axes=axes)
    few, many = (BlurIntegratedGradients(steps=n, max_sigma=6.0)(model, x) for n in (8, 1000))
    wanted = margin(model, x) - margin(model, blurred(x, 6.0))
    rest = few.values.double().flatten(1).sum(dim=1) - wanted
    torch.testing.assert_close(few.completeness_error.double(), rest, rtol=1e-2, atol=1e-3)
    assert float(many.completeness_error.abs().max()) < 0.02 * float(wanted.abs().max())


def test_blur_starts_by_default_where_nothing_but_the_mean_is_left():
    model, x = networks.residual(), networks.images(2)
    found = BlurIntegratedGradients(steps=500)(model, x)
    even = x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)
    wanted = margin(model, x) - margin(model, even)
    torch.testing.assert_close(
        found.values.double().sum(dim=(1, 2, 3)), wanted, rtol=0.03, atol=0.03
    )


def test_blur_gives_an_even_image_nothing():
    found = BlurIntegratedGradients(steps=4)(networks.residual(), torch.full((1, 1, 16, 16), 0.7))
    assert float(found.values.abs().max()) < 1e-6


def test_passes_of_a_path_are_its_steps_and_its_two_ends():
    found = BlurIntegratedGradients(steps=10)(networks.residual(), networks.images(3))
    assert found.passes == (2 + 3 * 12, 2 + 3 * 10)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_a_smoothing_that_is_no_positive_number_is_refused(value):
    with pytest.raises(ContractError, match=r"max_sigma is .*number of pixels above 0"):
        BlurIntegratedGradients(max_sigma=value)
