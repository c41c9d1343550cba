"""The bridge between rows with an address and methods that know tensors only."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import safetensors.torch
import torch
import xarray as xr
from torch import nn

import solarxai.explainers
from solarxai import attribution, registry
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError, WorkflowError
from solarxai.explainers import Attribution, Explainer, Passes
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.schema import mock_samples


class Disc(nn.Module):
    """Scores that are linear in the pixels: a plane of weights a class."""

    def __init__(self, pixels: int = 16) -> None:
        super().__init__()
        self.planes = nn.Linear(pixels * pixels, 2)

    def forward(self, x):
        return self.planes(x.flatten(1))


class Bare(Explainer):
    """Answers a call as it comes, without the preparation that methods share."""

    def attribute(self, problem):
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class InputTimesGradient(Bare):
    """z times the gradient of the margin: sums to the margin for a linear model without bias."""

    def __call__(self, model, x, *, target="difference", baselines=None, segments=None):
        parts = [self._part(model, part) for part in torch.split(x, self.batch_size)]
        values, gap = (torch.cat(both) for both in zip(*parts, strict=True))
        return Attribution(
            values=values,
            stderr=torch.full_like(values, self.batch_size),
            completeness_error=gap,
            passes=Passes(len(x), len(x)),
        )

    def _part(self, model, x):
        leaf = x.clone().requires_grad_(True)
        scores = model(leaf)
        margin = scores[:, 1] - scores[:, 0]
        (gradient,) = torch.autograd.grad(margin.sum(), leaf)
        values = (leaf * gradient).detach()
        return values, values.sum(dim=(1, 2, 3)) - margin.detach()


@dataclass(frozen=True, kw_only=True)
class Reporter(Bare):
    """Records how it was called."""

    calls: ClassVar[list] = []
    n_baselines: int = 3

    def __call__(self, model, x, *, target="difference", baselines=None, segments=None):
        self.calls.append((x.shape, self.batch_size, target, baselines, torch.get_num_threads()))
        return Attribution(values=torch.zeros_like(x), passes=Passes(0, 0))


@dataclass(frozen=True, kw_only=True)
class SelfContained(Reporter):
    """Takes many passes for each image, as methods with baselines do."""

    def alone(self):
        return self


@dataclass(frozen=True, kw_only=True)
class Broken(Bare):
    """Returns what no map may be."""

    fill: float = float("nan")
    grow: int = 0

    def __call__(self, model, x, *, target="difference", baselines=None, segments=None):
        shape = (len(x), 1, x.shape[2] + self.grow, x.shape[3])
        return Attribution(values=torch.full(shape, self.fill), passes=Passes(0, 0))


@pytest.fixture
def samples() -> xr.Dataset:
    made = mock_samples(12, size=16)
    split = np.array(["train"] * 8 + ["test"] * 4, dtype=object)
    return made.assign_coords(split=("sample", split))


def classifier_of(network: nn.Module, *, size: int = 16) -> Classifier:
    kind = type(network)
    return Classifier(
        network=network.eval(),
        contract=InputContract(shape=(size, size), offset=0.9, scale=0.2),
        architecture=f"{kind.__module__}:{kind.__name__}",
    )


@pytest.fixture
def linear() -> Classifier:
    torch.manual_seed(0)
    network = Disc()
    nn.init.zeros_(network.planes.bias)
    return classifier_of(network)


@pytest.fixture
def convolutional() -> Classifier:
    torch.manual_seed(0)
    return classifier_of(ResidualCNN(width=4))


def test_rows_keep_their_coordinates_and_order(samples, linear):
    found = attribution.attribute(samples, linear, {"ixg": InputTimesGradient()})
    assert set(found.coords) == set(samples.coords)
    np.testing.assert_array_equal(found["sample_id"], samples["sample_id"])
    np.testing.assert_array_equal(found["time"], samples["time"])


def test_maps_of_a_linear_model_are_weights_times_normalised_pixels(samples, linear):
    found = attribution.attribute(samples, linear, {"ixg": InputTimesGradient()})
    weights = linear.network.planes.weight.detach().numpy()
    plane = (weights[1] - weights[0]).reshape(16, 16)
    normalised = (samples["image"].values - 0.9) / 0.2
    np.testing.assert_allclose(found["ixg"], plane * normalised, atol=1e-5)
    np.testing.assert_allclose(found["ixg"].sum(("y", "x")), found["score"], atol=1e-4)
    np.testing.assert_allclose(found["ixg_completeness_error"], 0, atol=1e-4)


def test_score_is_the_margin_and_its_sign_the_prediction(samples, linear):
    found = attribution.attribute(samples, linear, {"ixg": InputTimesGradient()})
    np.testing.assert_allclose(
        found["score"], linear.margins(samples["image"].values), rtol=1e-4, atol=1e-5
    )
    expected = np.where(found["score"].values > 0, "sunspot", "pore")
    np.testing.assert_array_equal(found["predicted"], expected)
    assert found["score"].attrs["units"] == "logit"


def test_variables_have_the_dimensions_and_types_of_the_vocabulary(samples, linear):
    found = attribution.attribute(samples, linear, {"ixg": InputTimesGradient()})
    for name in ("ixg", "ixg_stderr"):
        assert found[name].dims == ("sample", "y", "x")
        assert found[name].dtype == np.float32
    assert found["ixg_completeness_error"].dims == ("sample",)
    assert set(found.data_vars) == {
        "ixg", "ixg_stderr", "ixg_completeness_error", "score", "predicted"
    }  # fmt: skip


def test_a_method_without_errors_adds_none(samples, linear):
    found = attribution.attribute(samples, linear, {"quiet": Reporter()})
    assert set(found.data_vars) == {"quiet", "score", "predicted"}


def test_attributes_say_units_options_and_normalisation(samples, linear):
    attrs = attribution.attribute(samples, linear, {"ixg": InputTimesGradient()})["ixg"].attrs
    assert attrs["units"] == "logit"
    assert attrs["options"] == '{"batch_size":32,"compiled":false,"precision":"float32"}'
    assert attrs["target"] == "difference"
    assert attrs["classes"] == "pore sunspot"
    assert (attrs["normalisation_offset"], attrs["normalisation_scale"]) == (0.9, 0.2)


def test_methods_are_told_to_keep_images_apart_and_get_target_and_baselines(samples, linear):
    baselines = torch.zeros(3, 1, 16, 16)
    Reporter.calls.clear()
    attribution.attribute(samples, linear, {"r": Reporter()}, baselines=baselines, target=1)
    ((shape, batch_size, target, given, threads),) = Reporter.calls
    assert (shape, batch_size, target, threads) == ((12, 1, 16, 16), 1, 1, 1)
    assert torch.equal(given, baselines)


@pytest.mark.parametrize(("own", "run", "used"), [(32, 8, 8), (4, 8, 4)])
def test_the_batch_size_of_the_run_is_a_ceiling(samples, linear, own, run, used):
    Reporter.calls.clear()
    method = SelfContained(batch_size=own)
    attribution.attribute(samples, linear, {"r": method}, batch_size=run)
    assert [call[1] for call in Reporter.calls] == [used]


def test_units_are_those_the_method_states(samples, linear):
    methods = attribution.parse_explainers([{"method": "gradient"}, {"method": "grad_cam"}])
    assert methods["gradient"].units == "logit per unit of the input"
    assert methods["grad_cam"].units == "logit"
    found = attribution.attribute(samples, linear, {"gradient": methods["gradient"]})
    assert found["gradient"].attrs["units"] == "logit per unit of the input"
    weights = linear.network.planes.weight.detach().numpy()
    plane = (weights[1] - weights[0]).reshape(16, 16)
    np.testing.assert_allclose(found["gradient"], np.broadcast_to(plane, (12, 16, 16)), atol=1e-6)


def test_any_division_into_blocks_gives_the_same_bytes(samples, convolutional):
    methods = {"ixg": InputTimesGradient()}
    whole = attribution.attribute(samples, convolutional, methods)
    for cuts in ([5], [1, 2, 9], list(range(1, 12))):
        rows = np.split(np.arange(12), cuts)
        parts = [
            attribution.attribute(samples.isel(sample=r), convolutional, methods) for r in rows
        ]
        for name in whole.data_vars:
            joined = np.concatenate([part[name].values for part in parts])
            assert joined.tolist() == whole[name].values.tolist()


def test_threads_and_training_mode_are_restored_even_after_a_failure(samples, convolutional):
    convolutional.network.train()
    convolutional.network.stem.eval()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ContractError, match="not finite"):
            attribution.attribute(samples, convolutional, {"broken": Broken()})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert convolutional.network.training
    assert not convolutional.network.stem.training
    assert not convolutional.network.stem[1].training
    assert convolutional.network.head.training


def test_attribution_changes_neither_network_nor_samples(samples, convolutional):
    before, weights = samples.copy(deep=True), convolutional.hash
    attribution.attribute(samples, convolutional, {"ixg": InputTimesGradient()})
    xr.testing.assert_identical(samples, before)
    assert convolutional.hash == weights
    assert all(p.grad is None and p.requires_grad for p in convolutional.network.parameters())


def test_maps_of_another_shape_are_refused(samples, linear):
    with pytest.raises(ContractError, match=r"broken returned values of shape \(12, 1, 17, 16\)"):
        attribution.attribute(samples, linear, {"broken": Broken(fill=0.0, grow=1)})


@pytest.mark.parametrize(("wanted", "got"), [(2, 2), (5, 3), (0, None)])
def test_a_method_gets_the_baselines_it_asks_for_whatever_its_neighbours_need(
    samples, linear, wanted, got
):
    baselines = torch.zeros(3, 1, 16, 16)
    Reporter.calls.clear()
    methods = {"r": Reporter(n_baselines=wanted), "other": Reporter(n_baselines=3)}
    attribution.attribute(samples, linear, methods, baselines=baselines)
    given = Reporter.calls[0][3]
    assert (None if given is None else len(given)) == got


def test_an_empty_block_is_refused(samples, linear):
    with pytest.raises(ContractError, match="a block without samples"):
        attribution.attribute(samples.isel(sample=slice(0)), linear, {"ixg": InputTimesGradient()})


def test_images_of_another_size_are_refused(linear):
    with pytest.raises(ContractError, match=r"samples of \(32, 32\) pixels"):
        attribution.attribute(mock_samples(2), linear, {"ixg": InputTimesGradient()})


def test_the_layout_is_the_first_row(samples, linear):
    methods = {"ixg": InputTimesGradient()}
    whole = attribution.attribute(samples, linear, methods)
    first = attribution.layout(samples, linear, methods)
    xr.testing.assert_identical(first, whole.isel(sample=slice(1)))


def test_a_users_own_module_passes_the_bridge(samples, tmp_path):
    network = Disc()
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    own = Classifier.from_import(
        network=f"{Disc.__module__}:Disc",
        weights=path,
        contract={"shape": [16, 16], "classes": ["pore", "sunspot"]},
    )
    found = attribution.attribute(samples, own, {"ixg": InputTimesGradient()})
    weights = network.planes.weight.detach().numpy()
    plane = (weights[1] - weights[0]).reshape(16, 16)
    np.testing.assert_allclose(found["ixg"], plane * (samples["image"].values - 1), atol=1e-5)


@pytest.mark.parametrize("method", registry.names("solarxai.explainers"))
def test_every_method_gives_the_same_bytes_for_a_row_alone(method, samples, convolutional):
    if "attention" in method or "transformer" in method:
        pytest.skip("the method explains networks with attention, and refuses this one")
    methods = attribution.parse_explainers([{"method": method}])
    baselines = attribution.draw_baselines(samples, convolutional, n=6)
    rows = samples.isel(sample=slice(2, 5))
    whole = attribution.attribute(rows, convolutional, methods, baselines=baselines)
    alone = attribution.attribute(
        rows.isel(sample=[1]), convolutional, methods, baselines=baselines
    )
    for name in whole.data_vars:
        assert whole[name].values[1:2].tolist() == alone[name].values.tolist()
    assert whole[method].attrs["method"] == method


def test_methods_get_the_segmentation_as_segments_and_none_without_one(samples, linear):
    given = []

    class Noting(Reporter):
        def __call__(self, model, x, *, segments=None, **options):
            given.append(segments)
            return super().__call__(model, x, **options)

    attribution.attribute(samples, linear, {"r": Noting()})
    attribution.attribute(samples.drop_vars("segmentation"), linear, {"r": Noting()})
    assert given[0].dtype == torch.int64
    np.testing.assert_array_equal(given[0], samples["segmentation"])
    assert given[1] is None


def test_umbra_penumbra_and_quiet_share_a_linear_score_by_their_pixels(samples, linear):
    methods = attribution.parse_explainers(
        [{"method": "shapley_exact", "fill": "value", "fill_value": 0.5}]
    )
    found = attribution.attribute(samples, linear, methods)["shapley_exact"].values
    weights = linear.network.planes.weight.detach().numpy()
    plane = (weights[1] - weights[0]).reshape(16, 16)
    way = plane * (linear.tensor(samples["image"].values)[:, 0].numpy() - 0.5)
    for row, classes in enumerate(samples["segmentation"].values):
        for kind in np.unique(classes):
            here = classes == kind
            np.testing.assert_allclose(found[row][here], way[row][here].mean(), atol=1e-4)


# Baselines


def test_baselines_are_normalised_training_images_of_both_classes(samples, linear):
    drawn = attribution.draw_baselines(samples, linear, n=4)
    train = linear.tensor(samples["image"].values[:8])
    rows = [int((train == image).all(dim=(1, 2, 3)).nonzero()) for image in drawn]
    assert len(set(rows)) == 4
    labels = samples["label"].values[rows].tolist()
    assert sorted(labels) == ["pore", "pore", "sunspot", "sunspot"]


def test_baselines_do_not_depend_on_the_order_of_rows(samples, linear):
    shuffled = samples.isel(sample=np.random.default_rng(0).permutation(12))
    first = attribution.draw_baselines(samples, linear, n=5, seed=3)
    assert torch.equal(first, attribution.draw_baselines(shuffled, linear, n=5, seed=3))
    assert not torch.equal(first, attribution.draw_baselines(samples, linear, n=5, seed=4))


def test_fewer_samples_than_baselines_gives_each_once(samples, linear):
    assert len(attribution.draw_baselines(samples, linear, n=100)) == 8
    assert len(attribution.draw_baselines(samples, linear, n=100, split=None)) == 12


def test_ambiguous_samples_are_no_baselines(samples, linear):
    samples["label"].values[:3] = "ambiguous"
    assert len(attribution.draw_baselines(samples, linear, n=100)) == 5


def test_baselines_need_a_split_with_samples(samples, linear):
    with pytest.raises(ContractError, match="no column 'split'"):
        attribution.draw_baselines(samples.drop_vars("split"), linear, n=4)
    with pytest.raises(ContractError, match="from 0 samples of validation"):
        attribution.draw_baselines(samples, linear, n=4, split="validation")
    with pytest.raises(ContractError, match="0 baselines cannot be drawn"):
        attribution.draw_baselines(samples, linear, n=0)


# Options

PLANTED = """
from __future__ import annotations
from dataclasses import dataclass
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Attribution, Explainer, Passes

__all__ = ["Planted"]

@dataclass(frozen=True, kw_only=True)
class Planted(Explainer):
    samples: int = 10
    widths: tuple[float, ...] = (1.0,)
    layer: str | None = None

    def __post_init__(self):
        if self.samples < 1:
            raise ExplainerRefusal(f"samples {self.samples} is not positive", remedy="Give 1.")

    def attribute(self, problem):
        return Attribution(values=problem.x * self.samples)
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a method into the folder of methods."""
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.setattr(solarxai.explainers, "__path__", [str(tmp_path)])
    monkeypatch.delitem(__import__("sys").modules, "solarxai.explainers.planted", raising=False)


def test_a_mapping_becomes_an_explainer(planted):
    ((name, made),) = attribution.parse_explainers(
        [{"method": "planted", "samples": 3, "widths": [1, 2.5], "layer": "stages"}]
    ).items()
    assert name == "planted"
    assert (made.samples, made.widths, made.layer, made.batch_size) == (3, (1, 2.5), "stages", 32)


def test_a_method_may_stand_twice_under_two_names(planted, samples, linear):
    made = attribution.parse_explainers(
        [{"method": "planted"}, {"method": "planted", "name": "planted_20", "samples": 20}]
    )
    found = attribution.attribute(samples, linear, made)
    np.testing.assert_allclose(found["planted_20"], 2 * found["planted"], rtol=1e-6)
    assert found["planted_20"].attrs["method"] == "planted"


def test_every_complaint_comes_at_once_with_near_names(planted):
    with pytest.raises(WorkflowError) as caught:
        attribution.parse_explainers(
            [
                {"method": "plantd"},
                {"method": "planted", "sampels": 3},
                {"method": "planted", "samples": "3", "layer": 4},
                {"samples": 3},
                {"method": "planted"},
                {"method": "planted"},
                {"method": "planted", "name": "score"},
                {"method": "planted", "name": "a", "samples": 0},
            ]
        )
    text = str(caught.value)
    for part in (
        "explainers[0]: 'plantd' is not one of explainers: planted. Did you mean 'planted'?",
        "explainers[1]: planted: unknown field 'sampels' Did you mean 'samples'?",
        "explainers[2]: planted: samples = '3': Input should be a valid integer; layer = 4",
        "explainers[3]: {'samples': 3} names no method",
        "explainers[5]: 'planted' names two maps",
        "explainers[6]: 'score' cannot name a map",
        "explainers[7]: samples 0 is not positive",
    ):
        assert part in text
    assert "explainers[4]" not in text


@pytest.mark.parametrize("name", [3, "a b", "_x", "x_stderr", "image", "mu"])
def test_names_that_would_hide_a_column_are_refused(planted, name):
    with pytest.raises(WorkflowError, match="cannot name a map"):
        attribution.parse_explainers([{"method": "planted", "name": name}])


def test_true_is_no_number(planted):
    with pytest.raises(WorkflowError, match="samples = True"):
        attribution.parse_explainers([{"method": "planted", "samples": True}])


def test_no_explainer_at_all_is_a_complaint():
    with pytest.raises(WorkflowError, match="none is given"):
        attribution.parse_explainers([])


# Keys


def test_the_run_key_changes_with_everything_that_shapes_the_maps(samples, linear, convolutional):
    methods = {"ixg": InputTimesGradient()}
    base = {"baselines": torch.zeros(1, 1, 16, 16)}
    key = attribution.run_key(samples, linear, methods, **base)
    brighter = samples.copy(deep=True)
    brighter["image"].values[3, 4, 5] += 1
    darker = samples.copy(deep=True)
    darker["segmentation"].values[3, 4, 5] += 1
    others = [
        attribution.run_key(brighter, linear, methods, **base),
        attribution.run_key(darker, linear, methods, **base),
        attribution.run_key(samples.isel(sample=slice(3)), linear, methods, **base),
        attribution.run_key(samples, convolutional, methods, **base),
        attribution.run_key(samples, linear, {"ixg": InputTimesGradient(batch_size=8)}, **base),
        attribution.run_key(samples, linear, {"other": InputTimesGradient()}, **base),
        attribution.run_key(samples, linear, methods),
        attribution.run_key(samples, linear, methods, target=1, **base),
        attribution.run_key(samples, linear, methods, batch_size=8, **base),
        attribution.run_key(samples, linear, methods, shard_size=8, **base),
    ]
    assert len({key, *others}) == 11
    assert key == attribution.run_key(samples.copy(deep=True), linear, methods, **base)
