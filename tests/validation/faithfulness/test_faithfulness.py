from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.schema import mock_samples, mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation.faithfulness.curves import FLAT, RANDOM, Design
from solarxai.validation.faithfulness.removal import Removal, removals
from solarxai.validation.faithfulness.table import faithfulness, faithfulness_checks, passes
from solarxai.validation.localisation.measures import EDGE
from solarxai.validation.report import Limits

SIZE = 32


class Linear(nn.Module):
    """Scores (−m/2, m/2) with m = w·x, and a count of the images it saw."""

    def __init__(self, weight: np.ndarray) -> None:
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(weight).float())
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        margin = (x[:, 0] * self.weight).flatten(1).sum(dim=1)
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Squared(Linear):
    """The same with m = w·x + (w·x²)²."""

    def forward(self, x: Tensor) -> Tensor:
        plain = super().forward(x)
        both = (x[:, 0] ** 2 * self.weight).flatten(1).sum(dim=1) ** 2
        return plain + torch.stack([-both, both], dim=1)


def linear(shape, *, kind=Linear, seed=0, wavelength=None, classes=("pore", "sunspot"), offset=1.0):
    weight = np.random.default_rng(seed).normal(size=shape)
    contract = InputContract(
        shape=shape,
        scale_mm=None if wavelength else 0.5,
        wavelength=wavelength,
        classes=classes,
        offset=offset,
    )
    return Classifier(network=kind(weight).eval(), contract=contract, architecture="tests:linear")


def of_spectra(shape, **words):
    grid = (2794.14, 2805.72)
    return linear(shape, wavelength=grid, classes=("active", "preflare"), **words)


def contributions(samples, classifier, fill, **words):
    """Return w·(x − fill), the exact map of a linear score."""
    cut = removals(samples, classifier, (fill,), **words)
    weight = classifier.network.weight.numpy()
    return np.stack([(one[fill].image - one[fill].fill) * weight for one in cut])


def pick(rows, **words):
    found = [r for r in rows if all(r[k] == v for k, v in words.items())]
    assert found
    return found


@pytest.fixture(scope="module")
def patches():
    return mock_samples(24, size=SIZE)


def one_sample(values, fill=0.0):
    """Return a spectrum of as many features as points, and what stands in their place."""
    image = np.asarray(values, dtype=np.float32)
    return Removal(
        image=image,
        labels=np.arange(len(image)),
        number=len(image),
        fill=np.full_like(image, fill),
        kind="profile",
    )


def measured(values, maps, *, weight=None, **words):
    weight = np.ones(len(values)) if weight is None else weight
    classifier = of_spectra((len(values),), offset=0.0)
    classifier.network.weight = torch.as_tensor(weight).float()
    samples = flatten(mock_spectrograms(1, length=len(values)))
    settings = {
        "unsigned": frozenset(), "gradients": frozenset(), "steps": len(values), "draws": 2,
        "seed": 0, **words,
    }  # fmt: skip
    design = Design(maps={m: np.array([v], float) for m, v in maps.items()}, **settings)
    return design.measure(one_sample(values), classifier, 0, samples)


def test_the_areas_are_those_computed_by_hand():
    found = measured([4, 1, 3, 2], {"exact": [4, 1, 3, 2], "wrong": [1, 4, 2, 3]})
    np.testing.assert_allclose(found["exact"].curves["deletion"], [10, 6, 3, 1, 0], atol=1e-5)
    np.testing.assert_allclose(found["exact"].curves["insertion"], [0, 4, 7, 9, 10], atol=1e-5)
    # areas 3.75 and 6.25; D(s) of an order and of its reverse add up to 10, so a random order has 5
    assert found["exact"].deletion == pytest.approx(1.25, abs=1e-5)
    assert found["exact"].insertion == pytest.approx(1.25, abs=1e-5)
    assert found["wrong"].deletion == pytest.approx(-1.25, abs=1e-5)
    assert found["exact"].best == pytest.approx({"deletion": 1.25, "insertion": 1.25}, abs=1e-5)
    assert found["exact"].range == pytest.approx(10, abs=1e-5)


def test_a_rate_foretells_the_change_once_it_is_multiplied_by_what_is_taken_away():
    weight = np.array([1.0, -2.0, 0.5, 3.0])
    maps = {"rate": weight, "contribution": weight * [4, 1, 3, 2]}
    found = measured([4, 1, 3, 2], maps, weight=weight, gradients=frozenset({"rate"}))
    assert found["rate"].infidelity == pytest.approx(0, abs=1e-9)
    assert found["contribution"].infidelity == pytest.approx(0, abs=1e-9)
    plain = measured([4, 1, 3, 2], maps, weight=weight)
    assert plain["rate"].infidelity > 0.05


def test_no_order_of_a_linear_score_beats_the_exact_one():
    rng = np.random.default_rng(3)
    values = rng.normal(size=12)
    maps = {f"random {i}": rng.normal(size=12) for i in range(50)} | {"exact": values}
    found = measured(values, maps, steps=6)
    gains = [found[m].deletion for m in maps if m != "exact"]
    assert max(gains) < found["exact"].deletion
    assert found["exact"].deletion == pytest.approx(found["exact"].best["deletion"], rel=1e-5)


@pytest.mark.parametrize("fill", ["granulation", "blur"])
def test_the_exact_map_of_a_linear_score_reaches_the_oracle(patches, fill):
    classifier = linear((SIZE, SIZE))
    maps = {"exact": contributions(patches, classifier, fill)}
    rows = faithfulness(patches, classifier, maps, fills=(fill,), n_bootstrap=50)
    for quantity in ("deletion", "insertion"):
        for row in pick(rows, method="exact", quantity=quantity):
            assert row["unit"] == "oracle"
            assert row["interval"].value == pytest.approx(1, abs=1e-3)
    for row in pick(rows, method="exact", quantity="infidelity"):
        assert row["interval"].value == pytest.approx(0, abs=1e-4)
    for row in pick(rows, method=FLAT):
        assert row["interval"].value > 0.3


def test_the_negative_of_a_map_mirrors_its_gains(patches):
    classifier = linear((SIZE, SIZE), kind=Squared)
    values = np.random.default_rng(1).normal(size=patches["image"].shape)
    maps = {"map": values, "negative": -values}
    rows = faithfulness(patches, classifier, maps, fills=("blur", "road"), n_bootstrap=20)
    for fill in ("blur", "road"):
        for row in pick(rows, method="map", quantity="deletion", fill=fill):
            words = {"group": row["group"], "fill": fill}
            (mirror,) = pick(rows, method="negative", quantity="insertion", **words)
            assert row["logits"] == pytest.approx(-mirror["logits"], rel=1e-4, abs=1e-4)
            assert row["curve"] == pytest.approx(mirror["curve"][::-1], rel=1e-4, abs=1e-4)


def test_intervals_of_random_maps_hold_zero_as_often_as_they_say():
    samples = mock_samples(40, size=16)
    rng = np.random.default_rng(5)
    maps = {f"random {i}": rng.normal(size=samples["image"].shape) for i in range(100)}
    rows = faithfulness(
        samples, linear((16, 16)), maps, fills=("blur",), features=16, steps=4, n_bootstrap=200
    )
    deletion = [
        r["interval"] for name in maps for r in pick(rows, method=name, quantity="deletion")
    ]
    holds = np.mean([one.low <= 0 <= one.high for one in deletion])
    assert 0.9 <= holds <= 0.99
    assert abs(np.mean([one.value for one in deletion])) < 0.03


@pytest.mark.parametrize("kind", [Linear, Squared])
def test_a_random_order_gains_nothing_on_average(patches, kind):
    classifier = linear((SIZE, SIZE), kind=kind)
    gains = []
    for seed in range(8):
        rows = faithfulness(
            patches, classifier, {}, fills=("blur",), features=16, n_bootstrap=2, seed=seed
        )
        for quantity in ("deletion", "insertion"):
            found = pick(rows, method=RANDOM, quantity=quantity)
            gains.append(np.mean([row["interval"].value for row in found]))
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(len(gains))


def test_a_constant_map_is_a_random_order(patches):
    classifier = linear((SIZE, SIZE))
    maps = {"constant": np.ones(patches["image"].shape)}
    rows = faithfulness(patches, classifier, maps, fills=("blur",), n_bootstrap=200)
    for row in pick(rows, method="constant", quantity="deletion"):
        assert row["interval"].low < 0 < row["interval"].high


def test_magnitudes_support_whatever_the_call_is(patches):
    classifier = linear((SIZE, SIZE))
    exact = contributions(patches, classifier, "blur")
    call = np.sign(classifier.margins(patches["image"].values))[:, None, None]
    assert len(set(call.ravel())) == 2
    support = np.where(call * exact > 0, np.abs(exact), 0)
    maps = {"magnitude": support, "signed": call * support}
    rows = faithfulness(patches, classifier, maps, fills=("blur",), n_bootstrap=10)
    for quantity in ("deletion", "insertion", "infidelity"):
        for row in pick(rows, method="magnitude", quantity=quantity):
            (other,) = pick(rows, method="signed", quantity=quantity, group=row["group"])
            assert row["interval"].value == pytest.approx(other["interval"].value, rel=1e-6)


def test_the_exact_map_holds_and_its_negative_fails(patches):
    classifier = linear((SIZE, SIZE))
    exact = contributions(patches, classifier, "granulation")
    rows = faithfulness(patches, classifier, {"exact": exact, "negative": -exact}, n_bootstrap=100)
    checks = faithfulness_checks(rows, Limits())
    judged = {(c.method, c.group): c.verdict for c in checks if c.sense}
    groups = {c.group for c in checks}
    assert groups == {"synthetic · pore", "synthetic · sunspot"}
    assert judged == {
        (method, group): verdict
        for method, verdict in (("exact", "holds"), ("negative", "fails"))
        for group in groups
    }
    assert {c.name for c in checks if c.sense} == {"deletion, granulation"}
    assert {c.name for c in checks if c.method == EDGE} >= {
        "ROAD, most relevant first", "ROAD, least relevant first", "insertion, blur",
        "infidelity, road",
    }  # fmt: skip
    assert all(c.reason for c in checks)
    strict = faithfulness_checks(rows, Limits(deletion_gain=1.1))
    assert {c.verdict for c in strict if c.sense} == {"fails"}


def test_the_same_seed_gives_the_same_rows_in_any_order_of_the_samples(patches):
    classifier = linear((SIZE, SIZE), kind=Squared)
    values = np.random.default_rng(2).normal(size=patches["image"].shape)
    options = {"fills": ("granulation", "road"), "n_bootstrap": 30, "features": 9, "steps": 3}
    first = faithfulness(patches, classifier, {"map": values}, **options)
    again = faithfulness(patches, classifier, {"map": values}, **options)
    assert repr(first) == repr(again)
    turned = patches.isel(sample=slice(None, None, -1))
    other = faithfulness(turned, classifier, {"map": values[::-1]}, **options)
    for one, two in zip(first, other, strict=True):
        assert one["interval"].value == pytest.approx(two["interval"].value, rel=1e-4, abs=1e-5)
    reseeded = faithfulness(patches, classifier, {"map": values}, seed=1, **options)
    assert repr(first) != repr(reseeded)


@pytest.mark.parametrize("fill", ["granulation", "road"])
def test_the_passes_are_as_many_as_are_told(patches, fill):
    classifier = linear((SIZE, SIZE))
    values = np.random.default_rng(2).normal(size=patches["image"].shape)
    maps = {"one": values, "two": values**2}
    faithfulness(patches, classifier, maps, fills=(fill,), most=4, n_bootstrap=2)
    told = passes(2)["road" if fill == "road" else "other"]
    assert classifier.network.seen == 4 * told


def test_a_few_samples_are_taken_evenly_and_told(patches):
    seen = []
    rows = faithfulness(
        patches, linear((SIZE, SIZE)), {}, fills=("blur",), features=9, most=6, n_bootstrap=2,
        progress=lambda done, total, what: seen.append((done, total, what)),
    )  # fmt: skip
    assert seen == [(n, 6, "faithfulness") for n in range(1, 7)]
    assert {row["structures"] for row in rows} == {3}


def test_single_points_have_no_oracle_and_are_measured_in_the_whole_change(patches):
    classifier = linear((SIZE, SIZE))
    maps = {"exact": contributions(patches, classifier, "blur")}
    rows = faithfulness(patches, classifier, maps, fills=("blur",), features=None, n_bootstrap=20)
    blocks = faithfulness(patches, classifier, maps, fills=("blur",), n_bootstrap=20)
    for row in pick(rows, method="exact", quantity="deletion"):
        assert row["unit"] == "range"
        (coarse,) = pick(blocks, method="exact", quantity="deletion", group=row["group"])
        assert row["logits"] > coarse["logits"] > 0


def test_dropped_slit_positions_take_no_part():
    samples = mock_spectrograms(16, slits=6, length=48)
    classifier = of_spectra((6, 48))
    there = np.isfinite(samples["image"].values)
    assert not there.all()
    cuts = list(removals(samples, classifier, ("profile", "road"), features=64))
    for one, exists in zip(cuts, there, strict=True):
        for removal in one.values():
            without = removal.without(np.eye(removal.number, dtype=bool))
            np.testing.assert_array_equal(
                np.isfinite(without), np.broadcast_to(exists, without.shape)
            )
            assert set(removal.labels[exists]) == set(range(removal.number))
    values = np.random.default_rng(0).normal(size=there.shape)
    holes, noisy = np.where(there, values, np.nan), np.where(there, values, 99.0)
    rows = [
        faithfulness(
            samples, classifier, {"map": m}, fills=("profile", "blur", "road"), n_bootstrap=9
        )
        for m in (holes, noisy)
    ]
    assert repr(rows[0]) == repr(rows[1])
    assert all(np.isfinite(row["interval"].value) for row in rows[0])


def test_each_spectrum_of_a_spectrogram_is_a_sample_of_a_classifier_of_spectra():
    samples = mock_spectrograms(16, slits=3, length=48)
    classifier = of_spectra((48,))
    flat = flatten(samples)
    exact = contributions(flat, classifier, "profile")
    maps = np.full(samples["image"].shape, np.nan)
    maps[samples["quality"].values == 0] = exact
    rows = faithfulness(
        samples, classifier, {"exact": maps}, fills=("profile",), n_bootstrap=50, most=None
    )
    direct = faithfulness(
        flat, classifier, {"exact": exact}, fills=("profile",), n_bootstrap=50, most=None
    )
    assert repr(rows) == repr(direct)
    for row in pick(rows, method="exact", quantity="deletion"):
        assert row["structures"] == 16
        assert row["interval"].value == pytest.approx(1, abs=1e-3)
    checks = faithfulness_checks(rows, Limits())
    assert {c.verdict for c in checks if c.sense and c.method == "exact"} <= {"holds", "informs"}


def test_a_quiet_profile_stands_where_a_spectrum_is_hidden():
    samples = flatten(mock_spectrograms(16, slits=2, length=48))
    classifier = of_spectra((48,))
    quiet = np.linspace(0, 1, 48)
    hidden = np.ones((1, 12), dtype=bool)
    images, label = samples["image"].values, samples["label"].values
    classes = [images[label == word].mean(axis=0) for word in ("active", "preflare")]
    given, mean = (
        next(removals(samples, classifier, ("profile",), features=12, profile=profile))["profile"]
        for profile in (quiet, None)
    )
    np.testing.assert_allclose(given.without(hidden)[0], quiet, atol=1e-6)
    np.testing.assert_allclose(mean.without(hidden)[0], np.mean(classes, axis=0), atol=1e-5)


def test_granulation_has_the_texture_of_the_quiet_sun(patches):
    classifier = linear((SIZE, SIZE))
    for one, image, segments in zip(
        removals(patches, classifier, ("granulation",)),
        patches["image"].values, patches["segmentation"].values, strict=True,
    ):  # fmt: skip
        quiet = image[segments == 0]
        fill = one["granulation"].fill
        assert np.median(fill) == pytest.approx(np.median(quiet), abs=0.02)
        assert fill.min() >= image.min()


def test_a_patch_without_quiet_sun_is_left_out_of_granulation_alone(patches):
    samples = patches.copy(deep=True)
    samples["segmentation"][:] = 1
    rows = faithfulness(
        samples, linear((SIZE, SIZE)), {}, fills=("granulation", "blur"), n_bootstrap=2
    )
    assert {row["fill"] for row in rows} == {"blur"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"steps": 1}, "cannot be measured with"),
        ({"most": 0}, "cannot be measured with.*most"),
        ({"fills": ("profile",)}, "no fills.*profile.*Choose some of granulation"),
        ({"fills": ()}, "no fills"),
        ({"maps": {EDGE: "map"}}, "names of controls"),
        ({"maps": {"short": "short"}}, "'short' of shape.*does not fit"),
        ({"maps": {"empty": "nan"}}, "'empty'.*not finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(patches, words, message):
    values = np.ones(patches["image"].shape)
    known = {"map": values, "short": values[:, 1:], "nan": np.full_like(values, np.nan)}
    maps = {name: known[word] for name, word in words.pop("maps", {}).items()}
    with pytest.raises(ValidationError, match=message):
        faithfulness(patches, linear((SIZE, SIZE)), maps, **words)


def test_samples_without_a_class_are_refused(patches):
    ambiguous = patches.assign_coords(label=("sample", np.full(24, "ambiguous", dtype=object)))
    with pytest.raises(ValidationError, match="none of the samples is labelled"):
        faithfulness(ambiguous, linear((SIZE, SIZE)), {})
