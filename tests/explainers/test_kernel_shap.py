"""KernelSHAP: paired, constrained, with sizes taken whole."""

import warnings

import games
import networks
import numpy as np
import pytest
import torch
from captum.attr import KernelShap as CaptumKernelShap

from solarxai.errors import ContractError
from solarxai.explainers.kernel_shap import KernelShap
from solarxai.explainers.shapley_exact import ShapleyExact

PIXELS = {"players": "pixels", "fill": "value"}


@pytest.fixture(scope="module")
def shap():
    """Import shap, whose colour maps warn of matplotlib's plans."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        return shap


def ten():
    """Return a network of ten pixels, an image, and its exact Shapley values."""
    model, x = games.mingling(10), networks.images(1, axes=1, size=10)
    return model, x, ShapleyExact(**PIXELS)(model, x, target=1).values


@pytest.mark.parametrize("players", [1, 2, 3, 4, 7, 8])
def test_with_all_coalitions_it_is_exact_and_says_so(players):
    model, x = games.mingling(players), networks.images(1, axes=1, size=players)
    found = KernelShap(**PIXELS, samples=256)(model, x)
    exact = ShapleyExact(**PIXELS)(model, x)
    torch.testing.assert_close(found.values, exact.values, rtol=1e-5, atol=1e-6)
    assert float(found.stderr.abs().max()) == 0
    assert found.passes.forward <= 2 + 2**players


@pytest.mark.parametrize("samples", [30, 64, 301])
def test_the_sum_is_exact_with_any_number_of_samples(samples):
    model, x, _ = ten()
    found = KernelShap(**PIXELS, samples=samples)(model, x, target=1)
    wanted = float(model(x)[0, 1] - model(torch.zeros_like(x))[0, 1])
    assert float(found.values.sum()) == pytest.approx(wanted, rel=1e-5)
    assert found.completeness_error.abs().max() < 1e-5
    assert found.passes.forward <= 2 + samples


def test_it_agrees_with_the_kernel_explainer_of_shap_where_both_take_all_coalitions(shap, agrees):
    model, x = games.mingling(8), networks.images(1, axes=1, size=8)
    score = lambda rows: model(torch.from_numpy(rows).float())[:, 1].double().numpy()  # noqa: E731
    oracle = shap.KernelExplainer(score, np.zeros((1, 8)))
    wanted = oracle.shap_values(x[0].double().numpy(), nsamples=2**8, silent=True)
    found = KernelShap(**PIXELS, samples=2**8)(model, x, target=1).values[0]
    agrees("kernel_shap", "shap KernelExplainer", found, torch.from_numpy(wanted))


def test_a_background_of_several_images_is_that_of_shap(shap, agrees):
    model, x, b = (
        games.mingling(6),
        networks.images(1, axes=1, size=6),
        networks.images(4, axes=1, size=6, seed=2),
    )
    score = lambda rows: model(torch.from_numpy(rows).float())[:, 1].double().numpy()  # noqa: E731
    oracle = shap.KernelExplainer(score, b[:, 0].double().numpy())
    wanted = oracle.shap_values(x[0].double().numpy(), nsamples=2**6, silent=True)
    method = KernelShap(players="pixels", fill="each_baseline")
    found = method(model, x, target=1, baselines=b).values[0]
    agrees("kernel_shap", "shap KernelExplainer", found, torch.from_numpy(wanted))


def test_sampled_values_are_within_three_standard_errors_of_captum(agrees):
    model, x, _ = ten()
    torch.manual_seed(0)
    oracle = CaptumKernelShap(lambda z: model(z)[:, 1])
    runs = torch.stack([oracle.attribute(x, n_samples=500) for _ in range(12)])
    found = KernelShap(**PIXELS, samples=200)(model, x, target=1)
    spread = (found.stderr**2 + runs.var(dim=0) / len(runs)).sqrt()
    agrees("kernel_shap", "captum KernelShap", found.values, runs.mean(dim=0), stderr=spread)


def ratio_to_captum(model, x, mask, samples, *, seeds=30):
    """Return the error variance of captum divided by ours, for a player's whole contribution."""
    sizes = torch.bincount(mask.flatten())[mask]
    options = {"fill": "value", "samples": samples}
    given = {"target": 1, "segments": mask[None]}
    truth = ShapleyExact(fill="value")(model, x, **given).values * sizes
    ours = [KernelShap(**options, seed=s)(model, x, **given).values * sizes for s in range(seeds)]
    torch.manual_seed(0)
    oracle = CaptumKernelShap(lambda z: model(z)[:, 1])
    theirs = [oracle.attribute(x, n_samples=samples, feature_mask=mask) for _ in range(seeds)]
    errors = [float(((torch.stack(maps) - truth) ** 2).mean()) for maps in (ours, theirs)]
    return errors[1] / errors[0]


@pytest.mark.parametrize("samples", [200, 400])
def test_its_error_variance_is_a_third_of_captums_or_less(samples):
    model, x, _ = ten()
    assert ratio_to_captum(model, x, torch.arange(10), samples) >= 3


def test_for_a_convolutional_network_its_error_variance_is_a_quarter_or_less():
    model, x = networks.residual(seed=3).requires_grad_(False), networks.images(1, size=8)
    mask = (torch.arange(8)[:, None] // 3 * 4 + torch.arange(8) // 2).long()
    assert ratio_to_captum(model, x, mask, 100, seeds=20) >= 4


@pytest.mark.parametrize("samples", [60, 200, 500])
def test_standard_errors_are_calibrated(samples):
    model, x, truth = ten()
    errors = games.errors_in_stderr(
        lambda seed: KernelShap(**PIXELS, samples=samples, seed=seed),
        truth, seeds=60, model=model, x=x, target=1,
    )  # fmt: skip
    assert 0.8 <= float(errors.square().mean().sqrt()) <= 1.2
    assert 0.92 <= float((errors.abs() < 2).float().mean()) <= 0.99


def test_an_additive_score_has_no_error_with_any_sample():
    """An estimate that knows the kernel but not the fit would scatter here."""
    model, x = games.linear(12), networks.images(1, axes=1, size=12)
    found = KernelShap(**PIXELS, samples=40)(model, x, target=1)
    torch.testing.assert_close(found.values[0], model[1].weight[1:2] * x[0], rtol=1e-4, atol=1e-5)
    assert float(found.stderr.max()) < 1e-5


def test_rounds_go_on_until_the_error_is_small_enough():
    model, x, truth = ten()
    once = KernelShap(**PIXELS, samples=40)(model, x, target=1)
    found = KernelShap(**PIXELS, samples=40, stop_at_stderr=0.02)(model, x, target=1)
    assert float(found.stderr.norm()) <= 0.02 * float(found.values.norm())
    assert found.passes.forward > 3 * once.passes.forward
    assert float((found.values - truth).norm()) < float((once.values - truth).norm())


@pytest.mark.parametrize(("samples", "needed"), [(8, 26), (25, 26)])
def test_fewer_samples_than_twice_the_players_are_refused(samples, needed):
    model, x, _ = ten()
    with pytest.raises(ContractError, match=rf"{samples} samples .* 10 players. Take {needed}"):
        KernelShap(**PIXELS, samples=samples)(model, x)
    KernelShap(**PIXELS, samples=needed)(model, x)


def test_many_players_need_no_enumeration_of_their_coalitions():
    model, x = games.mingling(60), networks.images(1, axes=1, size=60)
    found = KernelShap(**PIXELS, samples=600)(model, x, target=1)
    assert found.passes.forward <= 2 + 600
    assert float(found.stderr.min()) > 0
