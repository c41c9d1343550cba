"""Maps of networks that forget: which methods notice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from solarxai.attribution import parse_explainers
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.metrics import Interval
from solarxai.models.ensemble import Ensemble
from solarxai.models.residual_cnn import ResidualCNN
from solarxai.models.vision_transformer import VisionTransformer
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.training import train
from solarxai.validation.localisation.measures import edge_maps
from solarxai.validation.randomisation.weights import (
    RandomNetworks,
    cascade,
    edge_controls,
    independent,
    label_checks,
    label_randomisation,
    permuted_labels,
    randomisation_checks,
    randomisation_test,
    sensitivities,
)
from solarxai.validation.report import Limits, Resampling

SIZE = 32
FEW = Resampling(n=20)
METHODS = parse_explainers([{"method": "gradient"}, {"method": "guided_backprop"}])


class Plain(nn.Module):
    """Two convolutions and a mean, without batch norm or stride."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


class Bare(nn.Module):
    """A network with a tensor of its own and no way to draw it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, SIZE * SIZE))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


class Backwards(nn.Module):
    """A network that calls its layers in another order than it defines them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Linear(4, 2)
        self.late_norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.late_norm(self.body(self.norm(x))).relu().mean(dim=(2, 3)))


class Constant(nn.Module):
    """A network whose constructor sets every weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(SIZE * SIZE, 2)
        nn.init.constant_(self.head.weight, 0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Unsteady(Constant):
    """A network that draws its weights elsewhere than from torch."""

    def __init__(self) -> None:
        super().__init__()
        drawn = np.random.default_rng().standard_normal((2, SIZE * SIZE))
        self.head.weight.data = torch.from_numpy(drawn.astype(np.float32))


def seeded(kind, *, architecture=None, options=None, shape=(SIZE, SIZE), **contract):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = kind(**(options or {})).eval()
    words = {"scale_mm": 0.5, **contract}
    return Classifier(
        network=network,
        contract=InputContract(shape=shape, **words),
        architecture=architecture or f"{kind.__module__}:{kind.__qualname__}",
        options=options or {},
    )


def residual(**options):
    return seeded(ResidualCNN, options={"width": 4, **options})


def values(rows, **words):
    """Return the value of each row with these words."""
    return [r["interval"].value for r in rows if all(r[k] == v for k, v in words.items())]


def tensors(classifier):
    return {name: t.clone() for name, t in classifier.network.state_dict().items()}


def fit(classifier, samples, *, rate, steps):
    """Train the network on all samples at once."""
    network = classifier.network.train()
    x = classifier.tensor(samples["image"].values)
    truth = torch.from_numpy((samples["label"].values == "sunspot").astype(np.int64))
    optimiser = torch.optim.Adam(network.parameters(), rate)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(network(x), truth)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    network.eval()


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


def test_layers_stand_in_the_order_of_calls_with_their_norms():
    found = RandomNetworks(seeded(Backwards), statistics="reset").layers
    assert [layer.name for layer in found] == ["body", "head"]
    assert sorted(found[0].norms) == ["late_norm", "norm"]
    assert set(found[0].fixed) == {
        "norm.weight", "norm.bias", "late_norm.weight", "late_norm.bias"
    }  # fmt: skip
    assert set(found[0].drawn) == {"body.weight", "body.bias"}


def test_the_cascade_forgets_one_layer_more_each_time_from_the_top():
    classifier = residual()
    before = tensors(classifier)
    stages = list(cascade(classifier, statistics="reset", seed=3))
    assert stages[0].layer == "head"
    assert stages[-1].layer == "stem.0"
    for count, stage in enumerate(stages, start=1):
        assert len(stage.layers) == count
        now = stage.classifier.network.state_dict()
        changed = {
            name.rpartition(".")[0] for name in now if not torch.equal(now[name], before[name])
        }
        assert changed == set(stage.layers)
    upwards = cascade(classifier, statistics="reset", order="bottom", seed=3)
    assert next(upwards).layer == "stem.0"


def test_a_layer_alone_forgets_in_the_independent_test():
    classifier = residual()
    before = tensors(classifier)
    for stage in independent(classifier, statistics="reset"):
        now = stage.classifier.network.state_dict()
        changed = {
            name.rpartition(".")[0] for name in now if not torch.equal(now[name], before[name])
        }
        assert changed == {stage.layer}


def test_weights_come_from_the_networks_own_initialiser():
    full = RandomNetworks(residual(width=16), statistics="reset").full().classifier.network
    kernel = full.stages[2][0].second[0].weight
    he = math.sqrt(2 / (64 * 9))
    assert float(kernel.detach().std()) == pytest.approx(he, rel=0.05)
    plain = nn.Conv2d(64, 64, 3).weight.detach()
    assert float(plain.std()) < 0.6 * he


def test_layers_of_one_shape_are_drawn_apart():
    full = RandomNetworks(residual(depth=2), statistics="reset").full().classifier.network
    block = full.stages[0]
    kernels = [block[0].first[0], block[0].second[0], block[1].first[0], block[1].second[0]]
    for i, one in enumerate(kernels):
        for other in kernels[i + 1 :]:
            related = np.corrcoef(one.weight.flatten().detach(), other.weight.flatten().detach())
            assert abs(related[0, 1]) < 0.3


def test_one_seed_gives_one_network_and_leaves_generator_and_original_alone():
    classifier = residual()
    before, state = classifier.hash, torch.random.get_rng_state()
    images = mock_samples(8, size=SIZE)["image"].values
    one, again, other = (
        RandomNetworks(classifier, seed=seed, images=images).full().classifier.hash
        for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other
    assert classifier.hash == before
    assert torch.equal(state, torch.random.get_rng_state())
    assert not classifier.network.training


def test_a_network_that_cannot_be_built_again_is_drawn_by_its_modules():
    classifier = seeded(Plain, architecture="tests:gone")
    full = RandomNetworks(classifier).full().classifier.network
    assert not torch.equal(full.body[0].weight, classifier.network.body[0].weight)
    assert float(full.body[2].weight.detach().abs().max()) <= 1 / math.sqrt(8 * 9)


def test_a_tensor_without_initialiser_is_refused_by_name():
    with pytest.raises(ValidationError, match=r"\['weight'\] has no reset_parameters"):
        RandomNetworks(seeded(Bare, architecture="tests:gone"))
    assert RandomNetworks(seeded(Bare)).layers[0].name == "(network)"


def test_a_network_that_draws_nothing_is_refused():
    with pytest.raises(ValidationError, match="draws no tensor at random"):
        RandomNetworks(seeded(Constant))


def test_an_initialiser_that_does_not_follow_the_seed_is_refused():
    with pytest.raises(ValidationError, match=r"one seed gives \['head.weight'\] two values"):
        RandomNetworks(seeded(Unsteady))


def test_statistics_are_measured_for_the_weights_that_are_there():
    classifier = residual()
    images = mock_samples(16, size=SIZE)["image"].values
    full = RandomNetworks(classifier, images=images).full().classifier.network
    seen = full.stem[0](classifier.tensor(images))
    assert torch.allclose(full.stem[1].running_mean, seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert full.stem[1].momentum == 0.1
    assert not any(module.training for module in full.modules())


def test_statistics_below_the_forgotten_layers_stay_as_trained():
    classifier = residual()
    for module in classifier.network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.running_mean, 0.7)
    images = mock_samples(16, size=SIZE)["image"].values
    made = {stage.layer: stage for stage in independent(classifier, images=images)}
    network = made["stages.1.0.second.0"].classifier.network
    assert (network.stem[1].running_mean == 0.7).all()
    assert (network.stages[1][0].second[1].running_mean != 0.7).all()
    assert (network.stages[2][0].first[1].running_mean != 0.7).all()
    reset = {stage.layer: stage for stage in independent(classifier, statistics="reset")}
    network = reset["stages.1.0.second.0"].classifier.network
    assert (network.stages[1][0].second[1].running_mean == 0).all()
    assert (network.stages[2][0].first[1].running_mean == 0.7).all()


def test_statistics_that_cannot_be_measured_are_refused():
    with pytest.raises(ValidationError, match="cannot be measured without images"):
        RandomNetworks(residual())
    with pytest.raises(ValidationError, match="statistics 'fold' are unknown"):
        RandomNetworks(residual(), statistics="fold")


def test_each_member_of_an_ensemble_forgets_the_same_layer_in_its_own_way():
    path = f"{ResidualCNN.__module__}:{ResidualCNN.__qualname__}"
    options = {"architecture": path, "members": 2, "options": {"width": 4}}
    classifier = seeded(Ensemble, options=options)
    before = classifier.network.members
    stage = next(cascade(classifier, statistics="reset"))
    assert stage.layer == "head"
    now = stage.classifier.network.members
    for old, new in zip(before, now, strict=True):
        assert not torch.equal(old.head.weight, new.head.weight)
        assert torch.equal(old.stem[0].weight, new.stem[0].weight)
    assert not torch.equal(now[0].head.weight, now[1].head.weight)


def test_a_transformer_forgets_its_position_embedding_last():
    classifier = seeded(VisionTransformer, options={"width": 8, "depth": 1, "heads": 2})
    layers = [stage.layer for stage in cascade(classifier)]
    assert layers[0] == "head"
    assert layers[-1] == "(network)"
    assert "blocks.0.attention.query" in layers


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


def divided(n=60):
    """Return mock samples, three regions in five to train, one to validate, one to test."""
    samples = mock_samples(n, size=SIZE)
    number = np.arange(n) // 4
    sides = np.array(["train", "train", "train", "validation", "test"], dtype=object)
    return samples.assign_coords(split=("sample", sides[number % 5]))


def test_permuted_labels_keep_how_many_of_each_a_region_has():
    samples = divided()
    made = permuted_labels(samples, seed=1)
    assert (made["label"].values != samples["label"].values).any()
    for region in set(samples["region"].values):
        here = samples["region"].values == region
        assert sorted(made["label"].values[here]) == sorted(samples["label"].values[here])
    assert (permuted_labels(samples, seed=1)["label"].values == made["label"].values).all()


def test_regions_of_one_label_exchange_labels_as_wholes():
    samples = mock_spectrograms(80, slits=3)
    sides = np.repeat(["train", "validation", "test"], [48, 16, 16]).astype(object)
    samples = samples.assign_coords(split=("sample", sides))
    made = permuted_labels(samples, seed=1)
    assert (made["label"].values != samples["label"].values).any()
    for region in set(samples["region"].values):
        assert len(set(made["label"].values[samples["region"].values == region])) == 1
    for side in set(sides):
        here = sides == side
        assert sorted(made["label"].values[here]) == sorted(samples["label"].values[here])


def test_labels_that_cannot_move_are_refused():
    samples = divided()
    samples = samples.isel(sample=samples["label"].values == "pore")
    with pytest.raises(ValidationError, match="none of 100 permutations of whole regions"):
        permuted_labels(samples)


def test_permuted_labels_are_learnt_by_another_network_beside_an_honest_one():
    samples = divided()
    options = {"model_options": {"width": 8}, "epochs": 10, "batch_size": 16}
    classifier = train(samples, **options, n_bootstrap=2).classifier
    before = classifier.hash
    found = label_randomisation(
        samples,
        classifier,
        parse_explainers([{"method": "gradient"}, {"method": "attention_rollout"}]),
        train_options=options,
        resampling=FEW,
    )
    assert classifier.hash == before
    assert 0.2 < found.moved < 0.8
    assert set(found.accuracies) == {"labels permuted", "labels true, another seed"}
    assert found.accuracies["labels true, another seed"] > 0.9
    assert [one["method"] for one in found.left_out] == ["attention_rollout"]
    layers = [r["layer"] for r in found.rows if r["measure"] == "HOG"]
    assert layers == ["labels permuted", "labels true, another seed", "difference"]
    (check,) = label_checks(found.rows, limits=Limits())
    assert check.sense == "at least"
    assert check.regions == 3


def test_a_map_that_labels_do_not_change_fails():
    words = {"method": "m", "group": "g", "measure": "rank likeness", "structures": 9}

    def row(layer, value):
        return {
            **words,
            "layer": layer,
            "interval": Interval(value=value, low=value - 0.01, high=value, n_groups=5),
        }

    def verdict(permuted, again):
        rows = [
            row("labels permuted", permuted),
            row("labels true, another seed", again),
            row("difference", again - permuted),
        ]
        return label_checks(rows, limits=Limits())[0].verdict

    assert verdict(0.1, 0.6) == "holds"
    assert verdict(1.0, 1.0) == "fails"
    assert verdict(0.05, 0.1) == "fails"


def test_options_that_the_label_test_sets_itself_are_refused():
    with pytest.raises(ValidationError, match=r"train_options \['members', 'seed'\]"):
        label_randomisation(divided(), residual(), METHODS, train_options={"seed": 1, "members": 3})
    samples = divided()
    samples["split"].values[samples["split"].values == "test"] = "train"
    with pytest.raises(ValidationError, match="no test sample to explain"):
        label_randomisation(samples, residual(), METHODS, train_options={})
