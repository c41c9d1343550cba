"""The bridge for spectrograms: each spectrum alone, whole spectrograms, ensembles."""

import numpy as np
import pytest
import torch
from torch import nn

from solarxai import attribution
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError
from solarxai.models.ensemble import Ensemble
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten


class Linear(nn.Module):
    """Scores that are linear in the values: the margin is known in closed form."""

    def __init__(self, values: int = 240) -> None:
        super().__init__()
        self.weights = nn.Linear(values, 2)

    def forward(self, x):
        return self.weights(x.flatten(1))


def classifier_of(network, shape, **options):
    return Classifier(
        network=network.eval(),
        contract=InputContract(
            shape=shape, scale_mm=None, wavelength=(2794.14, 2805.72), offset=0.0, scale=1.0,
            classes=("active", "preflare"),
        ),
        architecture="tests:Linear",
        options=options,
    )  # fmt: skip


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return classifier_of(Linear(), (240,))


@pytest.fixture
def samples():
    return mock_spectrograms(6)


METHODS = attribution.parse_explainers(
    [{"method": "input_x_gradient"}, {"method": "expected_gradients", "samples": 16}]
)


def weights(classifier):
    plane = classifier.network.weights.weight.detach().numpy()
    return plane[1] - plane[0]


def test_each_kept_spectrum_gets_its_own_map_and_dropped_ones_none(samples, linear):
    baselines = attribution.draw_baselines(samples, linear, n=8, split=None)
    found = attribution.attribute(samples, linear, METHODS, baselines=baselines)
    maps = found["input_x_gradient"]
    assert maps.dims == ("sample", "slit", "wavelength")
    assert np.isnan(maps[:, -1]).all()
    wanted = samples["image"].values * weights(linear)
    np.testing.assert_allclose(maps[:, :-1], wanted[:, :-1], rtol=1e-5, atol=1e-6)
    assert found["expected_gradients_stderr"].dims == maps.dims
    assert found["expected_gradients_completeness_error"].dims == ("sample", "slit")


def test_the_score_of_an_exposure_is_the_mean_margin_of_its_spectra(samples, linear):
    found = attribution.attribute(samples, linear, {})
    margins = linear.margins(samples["image"].values[:, :-1].reshape(-1, 240)).reshape(6, 11)
    np.testing.assert_allclose(found["spectrum_score"][:, :-1], margins, rtol=1e-5)
    np.testing.assert_allclose(found["score"], margins.mean(axis=1), rtol=1e-4)
    assert set(found["predicted"].values) <= {"active", "preflare"}


def test_maps_do_not_depend_on_the_exposures_beside_them(samples, linear):
    baselines = attribution.draw_baselines(samples, linear, n=8, split=None)
    whole = attribution.attribute(samples, linear, METHODS, baselines=baselines)
    part = attribution.attribute(samples.isel(sample=[3]), linear, METHODS, baselines=baselines)
    for name in whole.data_vars:
        np.testing.assert_array_equal(whole[name].isel(sample=[3]), part[name])


def test_a_network_of_spectrograms_explains_the_whole_exposure(samples):
    torch.manual_seed(1)
    whole = classifier_of(Linear(12 * 240), (12, 240))
    found = attribution.attribute(
        samples, whole, attribution.parse_explainers([{"method": "input_x_gradient"}])
    )
    maps = found["input_x_gradient"]
    assert maps.dims == ("sample", "slit", "wavelength")
    assert np.isnan(maps[:, -1]).all()
    assert np.isfinite(maps[:, :-1]).all()
    assert "spectrum_score" not in found
    gap = whole.network.weights.bias.detach().numpy()
    sums = np.nansum(maps, axis=(1, 2)) + gap[1] - gap[0]
    np.testing.assert_allclose(found["score"], sums, rtol=1e-4, atol=1e-5)


def test_an_ensemble_gives_the_mean_map_and_its_spread(samples):
    path = f"{Linear.__module__}:Linear"
    torch.manual_seed(2)
    network = Ensemble(path, 3)
    together = classifier_of(network, (240,))
    methods = attribution.parse_explainers([{"method": "input_x_gradient"}])
    found = attribution.attribute(samples, together, methods)
    apart = np.stack(
        [
            attribution.attribute(samples, classifier_of(member, (240,)), methods)[
                "input_x_gradient"
            ]
            for member in network.members
        ]
    )
    np.testing.assert_allclose(found["input_x_gradient"], apart.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        found["input_x_gradient_spread"], apart.std(axis=0, ddof=1), rtol=1e-4, atol=1e-7
    )


def test_players_of_shapley_methods_are_the_lines(samples, linear):
    methods = attribution.parse_explainers([{"method": "shapley_exact"}])
    baselines = attribution.draw_baselines(samples, linear, n=4, split=None)
    found = attribution.attribute(samples.isel(sample=[0]), linear, methods, baselines=baselines)
    values = found["shapley_exact"].values[0, 0]
    assert 1 < len(np.unique(values)) <= 6


def test_baselines_are_spectra_of_the_training_side_in_equal_numbers(linear):
    samples = mock_spectrograms(32)
    side = np.where(np.arange(32) < 16, "train", "test").astype(object)
    drawn = attribution.draw_baselines(samples.assign_coords(split=("sample", side)), linear, n=10)
    assert drawn.shape == (10, 1, 240)
    spectra = flatten(samples.isel(sample=slice(16)))
    pool = {
        row.tobytes(): label
        for row, label in zip(spectra["image"].values, spectra["label"].values, strict=True)
    }
    labels = [pool[row.numpy().tobytes()] for row in drawn[:, 0]]
    assert labels.count("preflare") == 5


def test_a_classifier_of_another_kind_of_samples_is_refused(linear):
    with pytest.raises(ContractError, match="takes 1 dimensions"):
        attribution.attribute(mock_samples(2), linear, METHODS)
