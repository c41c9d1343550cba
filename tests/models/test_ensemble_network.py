"""An ensemble is the mean of its members, for scores and for what explains them."""

import networks
import numpy as np
import pytest
import torch

import solarxai
from solarxai.classifier import Classifier, InputContract
from solarxai.engine.preparation import prepare
from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.models.ensemble import Ensemble

RESIDUAL = "solarxai.models.residual_cnn:ResidualCNN"
TRANSFORMER = "solarxai.models.vision_transformer:VisionTransformer"
PUBLISHED = "solarxai.models.published_cnn:PublishedCNN"
METHODS = {
    "gradient": {},
    "integrated_gradients": {},
    "expected_gradients": {"samples": 8},
    "lrp": {},
    "occlusion": {},
    "deeplift": {},
}
KINDS = [
    (RESIDUAL, {"axes": 1, "width": 4}, (1, 64)),
    (PUBLISHED, {"length": 64}, (1, 64)),
    (RESIDUAL, {"axes": 2, "width": 4}, (1, 8, 32)),
]


def made(architecture, options, *, members=3):
    torch.manual_seed(0)
    model = Ensemble(architecture, members, options)
    return networks.trained_looking(model)


def inputs(shape, n=2, seed=1):
    return torch.randn((n, *shape), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("architecture", "options", "shape"), KINDS)
def test_scores_and_gradient_are_the_mean_of_the_members(architecture, options, shape):
    model, x = made(architecture, options), inputs(shape)
    expected = torch.stack([member(x) for member in model.members]).mean(dim=0)
    torch.testing.assert_close(model(x), expected)
    maps = [solarxai.explain(m, x, method="gradient", target=1).values for m in model.members]
    found = solarxai.explain(model, x, method="gradient", target=1).values
    torch.testing.assert_close(found, torch.stack(maps).mean(dim=0), rtol=1e-3, atol=1e-6)
    assert float((maps[0] - maps[1]).abs().max()) > 0.01 * float(found.abs().max())


@pytest.mark.parametrize(("architecture", "options", "shape"), KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_it_is_traced_and_explained_as_one_network(architecture, options, shape, method):
    model, x = made(architecture, options), inputs(shape)
    assert prepare(model, x).form == "folded"
    extra = {"baselines": inputs(shape, n=4, seed=2)} if method == "expected_gradients" else {}
    found = solarxai.explain(model, x, method=method, target=1, **METHODS[method], **extra)
    assert found.values.shape == x.shape
    assert bool(torch.isfinite(found.values).all())
    assert float(found.values.abs().max()) > 0


@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion"])
def test_maps_linear_in_the_score_are_the_mean_of_the_members(method):
    model, x = made(*KINDS[0][:2]), inputs((1, 64))
    maps = [solarxai.explain(m, x, method=method, target=1).values for m in model.members]
    found = solarxai.explain(model, x, method=method, target=1).values
    torch.testing.assert_close(found, torch.stack(maps).mean(dim=0), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "layer_cam", "cam"])
def test_a_class_activation_map_of_an_ensemble_is_refused_not_read_from_one_member(method):
    model, x = made(*KINDS[0][:2]), inputs((1, 64))
    with pytest.raises(ExplainerRefusal, match=r"side by side.*members of an ensemble one by one"):
        solarxai.explain(model, x, method=method, target=1)
    member = solarxai.explain(model.members[1], x, method=method, target=1)
    assert member.values.shape == x.shape


@pytest.mark.parametrize("method", ["attention_rollout", "transformer_relevance"])
def test_attention_of_several_transformers_is_refused_not_multiplied(method):
    model, x = made(TRANSFORMER, {"axes": 1}, members=2), inputs((1, 64))
    with pytest.raises(ExplainerRefusal, match=r"not between the patches of .* one by one"):
        solarxai.explain(model, x, method=method, target=1)
    member = solarxai.explain(model.members[1], x, method=method, target=1)
    assert member.values.shape == x.shape


def test_it_is_saved_and_loaded_as_one_checkpoint(tmp_path):
    options = {"architecture": PUBLISHED, "members": 3, "options": {"length": 64}}
    whole = Classifier(
        network=made(PUBLISHED, {"length": 64}),
        contract=InputContract(shape=(64,), scale_mm=None, wavelength=(2794.0, 2800.3)),
        architecture="solarxai.models.ensemble:Ensemble",
        options=options,
    )
    whole.save(tmp_path / "c.safetensors")
    again = Classifier.load(tmp_path / "c.safetensors")
    assert again.hash == whole.hash
    spectra = np.random.default_rng(0).random((4, 64)).astype(np.float32)
    np.testing.assert_array_equal(again.scores(spectra), whole.scores(spectra))


def test_members_have_weights_of_their_own():
    torch.manual_seed(0)
    first, second = Ensemble(PUBLISHED, 2).members
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


@pytest.mark.parametrize(
    ("architecture", "members", "options", "message"),
    [
        (RESIDUAL, 0, {}, "an ensemble cannot have 0 members"),
        ("no_such_module:Net", 2, {}, "cannot build the member 'no_such_module:Net'"),
        (RESIDUAL, 2, {"widht": 4}, r"cannot build the member .* \{'widht': 4\}"),
        ("collections:Counter", 2, {}, "'collections:Counter' gives a Counter"),
    ],
)
def test_what_cannot_be_an_ensemble_is_refused(architecture, members, options, message):
    with pytest.raises(ContractError, match=message):
        Ensemble(architecture, members, options)
