"""Which maps may be believed: each test on its own, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.explainers.expected_gradients import ExpectedGradients
from solarxai.explainers.grad_cam import GradCAM
from solarxai.explainers.gradient import Gradient
from solarxai.explainers.integrated_gradients import IntegratedGradients
from solarxai.explainers.smoothgrad import SmoothGrad
from solarxai.schema import mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation.localisation.measures import EDGE
from solarxai.validation.maps import economical, flat, judge_maps
from solarxai.validation.report import Limits, Resampling

GRADIENT = {"gradient": Gradient()}
TABLES = {
    "localisation": {"localisation", "significance"},
    "randomisation": {"randomisation", "sensitivity"},
    "faithfulness": {"faithfulness"},
}


@pytest.fixture(scope="module")
def few(spots):
    return spots.isel(sample=slice(0, 16))


@pytest.fixture(scope="module")
def gradients(few, classifier):
    found = Gradient()(
        classifier("convolutional").network,
        classifier("convolutional").tensor(few["image"].values),
    )
    return {"gradient": found.values[:, 0].numpy()}


def judged(samples, classifier, maps, explainers, *tests, **limits):
    return judge_maps(
        samples, classifier, maps, explainers, tests=tests, limits=Limits(**limits),
        resampling=Resampling(n=20),
    )  # fmt: skip


def test_a_method_is_capped_at_fifty_samples_and_sixty_four_steps():
    assert economical(ExpectedGradients(samples=200)).samples == 50
    assert economical(IntegratedGradients(steps=300)).steps == 64


def test_a_cheaper_method_stays_as_it_is():
    assert economical(SmoothGrad(samples=7)).samples == 7
    assert economical(GradCAM(layer="body")) == GradCAM(layer="body")


@pytest.mark.parametrize("test", list(TABLES))
def test_each_test_gives_its_own_tables_alone(few, classifier, gradients, test):
    found = judged(few, classifier("convolutional"), gradients, GRADIENT, test)
    assert set(found.tables) == TABLES[test]
    assert all(found.tables.values())
    assert "gradient" in {check.method for check in found.checks}
    assert "" not in {check.method for check in found.checks}


def test_no_test_finds_nothing(few, classifier, gradients):
    found = judged(few, classifier("convolutional"), gradients, GRADIENT)
    assert (found.checks, found.tables, found.left_out) == ((), {}, ())


def test_rows_of_tables_are_plain_values_with_their_interval(few, classifier, gradients):
    found = judged(few, classifier("convolutional"), gradients, GRADIENT, *TABLES)
    for rows in found.tables.values():
        assert "interval" not in {name for row in rows for name in row}
    (row,) = (
        r for r in found.tables["localisation"]
        if (r["quantity"], r["method"], r["label"]) == ("AUC", "gradient", "sunspot")
    )  # fmt: skip
    assert row["low"] <= row["value"] <= row["high"]
    assert 0 < row["random weights"] < 1
    tested = found.tables["significance"][0]
    assert tested["p"] <= tested["p corrected"] <= 1


def test_a_value_of_a_row_is_not_lost_to_that_of_its_interval():
    from solarxai.metrics import Interval

    effect = Interval(value=0.3, low=0.1, high=0.5, n_groups=4)
    (row,) = flat([{"value": 0.7, "interval": effect, "null": "mask turned"}])
    assert row == {"value": 0.7, "null": "mask turned", "low": 0.1, "high": 0.5, "regions": 4}


def test_a_foreign_map_is_localised_and_probed_but_not_randomised(few, classifier, gradients):
    maps = {"mine": gradients["gradient"]}
    found = judged(few, classifier("convolutional"), maps, {}, *TABLES)
    assert set(found.tables) == TABLES["localisation"] | TABLES["faithfulness"]
    (row,) = (
        r for r in found.tables["localisation"]
        if (r["quantity"], r["method"], r["label"]) == ("AUC", "mine", "sunspot")
    )  # fmt: skip
    assert np.isnan(row["random weights"])
    assert [(one["intervention"], one["reason"]) for one in found.left_out] == [
        ("random weights, mine", "not a method of this library"),
        ("forgotten weights, mine", "not a method of this library"),
    ]


def test_without_maps_only_the_edge_detector_is_localised(few, classifier):
    found = judged(few, classifier("convolutional"), {}, {}, *TABLES)
    assert {check.method for check in found.checks} == {EDGE}
    assert "faithfulness" not in found.tables


def test_a_network_without_weights_is_no_reason_to_stop(few, classifier):
    maps = {"gradient": few["penumbra"].values}
    found = judged(few, classifier("rim"), maps, GRADIENT, *TABLES)
    said = {(one["intervention"], one["reason"]) for one in found.left_out}
    assert ("random weights, gradient", "the network has no weights") in said
    assert any(
        what == "forgotten weights, gradient" and "draws no tensor at random" in why
        for what, why in said
    )
    assert "sensitivity" not in found.tables
    assert "faithfulness" in found.tables


@pytest.mark.parametrize(
    ("test", "limits", "name"),
    [
        ("faithfulness", {"deletion_gain": 50.0}, "deletion, granulation"),
        (
            "randomisation",
            {"randomised_excess": 1.0, "randomised_similarity": 0.0},
            "random weights, all: rank likeness to the trained network's map",
        ),
    ],
)
def test_a_limit_of_the_validation_reaches_the_tests_of_maps(
    few, classifier, gradients, test, limits, name
):
    found = judged(few, classifier("convolutional"), gradients, GRADIENT, test, **limits)
    checks = [c for c in found.checks if c.name == name and c.method == "gradient"]
    assert checks
    assert {check.limit for check in checks} == {next(reversed(limits.values()))}


class Spectral(nn.Module):
    """An untrained network of single spectra."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(1, 3, 5, padding=2), nn.BatchNorm1d(3), nn.ReLU())
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).mean(dim=2))


def test_maps_of_spectra_are_randomised_and_probed_but_not_localised():
    spectra = flatten(mock_spectrograms(8, slits=2))
    length = spectra.sizes["wavelength"]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Spectral().eval()
    contract = InputContract(
        shape=(length,), scale_mm=None, offset=0.0, scale=1.0, classes=("active", "preflare"),
        wavelength=(float(spectra["wavelength"][0]), float(spectra["wavelength"][-1])),
    )  # fmt: skip
    classifier = Classifier(network=network, contract=contract, architecture="tests:spectral")
    explained = Gradient()(network, classifier.tensor(spectra["image"].values))
    maps = {"gradient": explained.values[:, 0].numpy()}
    found = judged(spectra, classifier, maps, GRADIENT, *TABLES)
    assert set(found.tables) == TABLES["randomisation"] | TABLES["faithfulness"]
    assert {row["fill"] for row in found.tables["faithfulness"]} >= {"profile", "blur"}
    assert {row["method"] for row in found.tables["sensitivity"]} == {"gradient"}


def test_progress_tells_of_each_test(few, classifier, gradients):
    told = []
    judge_maps(
        few, classifier("convolutional"), gradients, GRADIENT, tests=tuple(TABLES),
        limits=Limits(), resampling=Resampling(n=10), progress=lambda *args: told.append(args),
    )  # fmt: skip
    assert (1, 2, "localisation, nulls") in told
    assert told[-1] == (16, 16, "faithfulness")
    for done, total, _ in told:
        assert 0 <= done <= total
