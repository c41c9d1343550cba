"""Maps of networks that forget: which methods notice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from forgetful_networks import (
    SIZE,
    Plain,
    fit,
    residual,
    seeded,
    values,
)
from torch import nn

from solarxai.attribution import parse_explainers
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation.localisation.measures import edge_maps
from solarxai.validation.randomisation.weights import (
    edge_controls,
    randomisation_checks,
    randomisation_test,
    sensitivities,
)
from solarxai.validation.report import Limits, Resampling

FEW = Resampling(n=20)
METHODS = parse_explainers([{"method": "gradient"}, {"method": "guided_backprop"}])


@pytest.fixture(scope="module")
def trained() -> tuple[Classifier, xr.Dataset]:
    """Return a small network that tells rims from none, and samples that it never saw."""
    samples = mock_samples(48, size=SIZE)
    classifier = seeded(Plain)
    fit(classifier, samples.isel(sample=slice(32)), rate=0.03, steps=40)
    return classifier, samples.isel(sample=slice(32, 48))


@pytest.fixture(scope="module")
def learnt() -> tuple[Classifier, xr.Dataset]:
    """Return a small residual network that tells rims from none, and samples it never saw."""
    samples = mock_samples(48, size=SIZE)
    classifier = residual()
    fit(classifier, samples.isel(sample=slice(32)), rate=0.01, steps=20)
    rest = samples.isel(sample=slice(32, 48))
    margins = classifier.margins(rest["image"].values)
    assert ((margins > 0) == (rest["label"].values == "sunspot")).all()
    return classifier, rest


def test_the_gradient_of_a_linear_model_decorrelates_completely():
    class Linear(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(SIZE * SIZE, 2))

    samples = mock_samples(16, size=SIZE)
    methods = parse_explainers([{"method": "gradient"}])
    classifier = seeded(Linear, architecture="tests:gone")
    found = randomisation_test(samples, classifier, methods, resampling=FEW)
    for measure in ("Spearman", "absolute Spearman", "SSIM", "HOG"):
        assert abs(values(found.rows, mode="full", measure=measure)[0]) < 0.1, measure
    checks = randomisation_checks(found.rows, limits=Limits())
    assert {check.verdict for check in checks} == {"holds"}
    assert checks[0].reason.startswith("sensitive to the model")
    assert sensitivities(checks)[0]["verdict"] == "sensitive"


def test_guided_backprop_hardly_notices_that_the_network_forgot(learnt):
    classifier, samples = learnt
    found = randomisation_test(
        samples, classifier, METHODS, n_seeds=3, modes=(), most=10, resampling=FEW
    )
    checks = randomisation_checks(found.rows, limits=Limits())
    by = {(c.method, c.name.partition(":")[0]): c for c in checks}
    guided = by["guided_backprop", "random weights, upper half"]
    assert guided.verdict == "fails"
    assert guided.reason.startswith("insensitive to the model")
    assert guided.low > 0.45
    gradient = by["gradient", "random weights, upper half"]
    assert gradient.high < 0.3
    assert by["gradient", "random weights, all"].value < 0.2
    said = {row["method"]: row["verdict"] for row in sensitivities(checks)}
    assert said["guided_backprop"] == "insensitive"
    assert said["gradient"] != "insensitive"


def test_an_edge_detector_fails_as_a_method():
    from dataclasses import dataclass

    from solarxai.explainers import Attribution, Explainer

    @dataclass(frozen=True, kw_only=True)
    class Edges(Explainer):
        def attribute(self, problem):
            edges = edge_maps(problem.x[:, 0].numpy())
            return Attribution(values=torch.from_numpy(edges)[:, None])

    samples = mock_samples(16, size=SIZE)
    found = randomisation_test(
        samples, residual(), {"edges": Edges()}, n_seeds=2, modes=(), resampling=FEW
    )
    for check in randomisation_checks(found.rows, limits=Limits()):
        assert check.verdict == "fails"
        assert check.value == pytest.approx(1)
    floor = values(found.rows, layer="two random networks", measure="rank likeness")
    assert floor == pytest.approx([1])
    assert values(found.rows, layer="Sobel", measure="SSIM") == pytest.approx([1])


def test_stages_and_references_are_rows(trained):
    classifier, samples = trained
    told = []
    found = randomisation_test(
        samples,
        classifier,
        METHODS,
        modes=("cascade", "independent"),
        n_seeds=2,
        resampling=FEW,
        progress=lambda *words: told.append(words),
    )
    stages = [
        (r["mode"], r["layer"], r["depth"], r["networks"])
        for r in found.rows
        if r["method"] == "gradient" and r["measure"] == "HOG"
    ]
    assert stages[:2] == [("reference", "Sobel", 0, 1), ("reference", "Canny", 0, 1)]
    assert [s for s in stages if s[0] == "cascade"] == [
        ("cascade", "head", 1, 1), ("cascade", "body.2", 2, 1), ("cascade", "body.0", 3, 1)
    ]  # fmt: skip
    assert [s[1:3] for s in stages if s[0] == "independent"] == [
        ("head", 1), ("body.2", 1), ("body.0", 1)
    ]  # fmt: skip
    assert ("full", "all", 3, 2) in stages
    assert ("half", "upper half", 2, 2) in stages
    assert ("reference", "two random networks", 0, 1) in stages
    cascaded = values(found.rows, method="gradient", mode="cascade", measure="absolute Spearman")
    full = values(found.rows, method="gradient", mode="full", measure="absolute Spearman")
    assert len(cascaded) == 3
    assert full != cascaded[-1:]
    assert {r["structures"] for r in found.rows} == {16}
    assert [layer.name for layer in found.layers] == ["body.0", "body.2", "head"]
    assert told[-1][1] == 2


def test_the_test_is_repeated_to_the_bit(trained):
    classifier, samples = trained
    one, two = (
        randomisation_test(
            samples, classifier, METHODS, n_seeds=2, modes=(), most=6, resampling=FEW
        )
        for _ in range(2)
    )
    assert one.rows == two.rows


def test_a_sampling_method_has_a_ceiling_and_too_noisy_a_one_is_not_acquitted(trained):
    classifier, samples = trained
    methods = parse_explainers(
        [
            {"method": "smoothgrad", "samples": 20},
            {"method": "expected_gradients", "samples": 4},
        ]
    )
    found = randomisation_test(
        samples, classifier, methods, n_seeds=2, modes=(), most=8, resampling=FEW
    )
    ceiling = values(found.rows, layer="another sampling seed", measure="rank likeness")
    assert all(0 < value < 1 for value in ceiling)
    checks = randomisation_checks(found.rows, limits=Limits(method_ceiling=0.999))
    assert {check.verdict for check in checks} == {"informs"}
    assert "the method's own noise" in checks[0].reason
    row = next(r for r in found.rows if r["mode"] == "full" and r["measure"] == "rank likeness")
    check = next(c for c in randomisation_checks(found.rows, limits=Limits()) if "all" in c.name)
    assert check.value == pytest.approx(row["interval"].value / ceiling[0])


def test_the_bounds_decide_and_few_regions_leave_it_open():
    def verdict(value, low, high, *, groups=5, chance=0.0):
        words = {"method": "m", "group": "g", "measure": "rank likeness", "structures": 9}
        found = Interval(value=value, low=low, high=high, n_groups=groups)
        moved = Interval(value=chance, low=chance, high=chance, n_groups=5)
        rows = [
            {**words, "mode": "full", "layer": "all", "interval": found},
            {**words, "mode": "reference", "layer": "moved map of the random network",
             "interval": moved},
        ]  # fmt: skip
        (check,) = randomisation_checks(rows, limits=Limits())
        return check.verdict

    assert verdict(0.20, 0.15, 0.24) == "holds"
    assert verdict(0.20, 0.15, 0.26) == "informs"
    assert verdict(0.30, 0.26, 0.34) == "fails"
    assert verdict(0.30, 0.26, 0.34, chance=0.1) == "holds"
    assert verdict(0.60, 0.55, 0.64, chance=0.6) == "fails"
    assert verdict(0.10, 0.05, 0.14, groups=1) == "informs"
    assert verdict(math.nan, math.nan, math.nan) == "informs"


def test_spectra_of_exposures_are_compared_one_by_one():
    samples = mock_spectrograms(16, slits=3, length=60)
    ends = tuple(samples["wavelength"].values[[0, -1]].tolist())
    options = {"width": 4, "axes": 1}
    classifier = seeded(
        ResidualCNN, options=options, shape=(60,), wavelength=ends, scale_mm=None, offset=0.0
    )
    methods = parse_explainers([{"method": "gradient"}])
    found = randomisation_test(samples, classifier, methods, n_seeds=2, modes=(), resampling=FEW)
    measures = {r["measure"] for r in found.rows if r["mode"] == "full"}
    assert measures == {"Spearman", "absolute Spearman", "SSIM", "rank likeness"}
    assert all(math.isfinite(r["interval"].value) for r in found.rows)
    assert {r["layer"] for r in found.rows if r["mode"] == "reference"} >= {"Sobel"}
    assert {r["structures"] for r in found.rows} == {16}
    flat = flatten(samples)
    alone = randomisation_test(
        flat, classifier, methods, n_seeds=2, modes=(), most=12, resampling=FEW
    )
    assert alone.rows[0]["structures"] == 12


def test_spectrograms_with_dropped_rows_are_compared_where_they_have_spectra():
    samples = mock_spectrograms(16, slits=20, length=60)
    ends = tuple(samples["wavelength"].values[[0, -1]].tolist())
    classifier = seeded(
        ResidualCNN,
        options={"width": 4},
        shape=(20, 60),
        wavelength=ends,
        scale_mm=None,
        offset=0.0,
    )
    methods = parse_explainers([{"method": "gradient"}])
    found = randomisation_test(samples, classifier, methods, n_seeds=2, modes=(), resampling=FEW)
    full = {r["measure"]: r["interval"].value for r in found.rows if r["mode"] == "full"}
    assert all(math.isfinite(value) for value in full.values())
    assert set(full) == {"Spearman", "absolute Spearman", "SSIM", "HOG", "rank likeness"}


def test_edges_know_where_there_is_no_spectrum():
    samples = mock_spectrograms(2, slits=8, length=60)
    whole = seeded(ResidualCNN, shape=(8, 60), wavelength=(2794.0, 2805.0), scale_mm=None)
    single = seeded(
        ResidualCNN, options={"axes": 1}, shape=(60,), wavelength=(2794.0, 2805.0), scale_mm=None
    )
    both = edge_controls(samples, whole)
    assert set(both) == {"Sobel", "Canny"}
    assert np.isnan(both["Canny"][:, -1]).all()
    assert set(np.unique(both["Canny"][:, :-1])) == {0.0, 1.0}
    assert set(edge_controls(samples, single)) == {"Sobel"}
    slope = edge_controls(samples, single)["Sobel"][0, 0]
    image = samples["image"].values[0, 0]
    np.testing.assert_allclose(slope[1:-1], 4 * np.abs(image[2:] - image[:-2]), rtol=1e-4)


def test_a_method_that_refuses_is_left_out_and_said(trained):
    classifier, samples = trained
    methods = parse_explainers([{"method": "attention_rollout"}, {"method": "gradient"}])
    found = randomisation_test(samples, classifier, methods, n_seeds=2, modes=(), resampling=FEW)
    assert [one["method"] for one in found.left_out] == ["attention_rollout"]
    assert {r["method"] for r in found.rows} == {"gradient"}


def test_baselines_are_drawn_from_the_samples_where_none_are_given(trained):
    classifier, samples = trained
    methods = parse_explainers([{"method": "expected_gradients", "samples": 4}])
    found = randomisation_test(
        samples, classifier, methods, n_seeds=2, modes=(), most=4, resampling=FEW
    )
    assert {r["structures"] for r in found.rows} == {4}


def test_too_few_networks_or_samples_are_refused(trained):
    classifier, samples = trained
    with pytest.raises(ValidationError, match="1 random networks and 16 samples are too few"):
        randomisation_test(samples, classifier, METHODS, n_seeds=1)
    with pytest.raises(ValidationError, match="5 random networks and 0 samples"):
        randomisation_test(samples.isel(sample=[]), classifier, METHODS)
