"""What every method promises, asked of every file in `solarxai/explainers`."""

import copy
import random
from contextlib import contextmanager

import networks
import numpy as np
import pytest
import torch
from peak_memory import peak_bytes
from torch import nn

from solarxai import registry
from solarxai.engine.gradients import Stream
from solarxai.engine.preparation import Snapshot
from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers import PRECISIONS, Explainer

METHODS = registry.names("solarxai.explainers")
NETWORKS: dict[str, str] = {
    "attention_rollout": "transformer",
    "deep_taylor": "dense",
    "grad_cam_plus_plus": "bipolar",
    "layer_cam": "bipolar",
    "published_grad_cam": "dense",
    "transformer_relevance": "transformer",
}
"""Function of `networks` that makes what a method can explain; `residual` for the others."""

FEWEST = {"kernel_shap": 64, "lime": 64, "qii": 64, "shapley_sampling": 64}
"""Samples that tell a method's players apart, where 24 do not."""

pytestmark = pytest.mark.parametrize("method", METHODS)


def network(method: str, **options) -> nn.Module:
    return getattr(networks, NETWORKS.get(method, "residual"))(**options)


def kind_of(method: str) -> type[Explainer]:
    return registry.load("solarxai.explainers", method)


def sampled(method: str) -> bool:
    return "samples" in kind_of(method).__dataclass_fields__


def explainer(method: str, **options) -> Explainer:
    kind = kind_of(method)
    few = {"samples": FEWEST.get(method, 24), "steps": 8}
    return kind(**{n: v for n, v in few.items() if n in kind.__dataclass_fields__} | options)


def explained(method, model, x, *, target="difference", **options):
    baselines = networks.images(6, axes=x.ndim - 2, size=x.shape[-1], seed=9)
    return explainer(method, **options)(model, x, target=target, baselines=baselines)


@contextmanager
def counted():
    """Count the images that the heads of all networks see, forward, and that gradients leave."""
    counts = {"forward": 0, "backward": 0}

    def forward(module, args, out):
        if isinstance(module, nn.Linear) and out.ndim == 2:
            counts["forward"] += len(out)

    grad = torch.autograd.grad

    def backward(outputs, inputs, **options):
        counts["backward"] += len(inputs if isinstance(inputs, torch.Tensor) else inputs[0])
        return grad(outputs, inputs, **options)

    hook = nn.modules.module.register_module_forward_hook(forward)
    torch.autograd.grad = backward
    try:
        yield counts
    finally:
        hook.remove()
        torch.autograd.grad = grad


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(torch.finfo(b.dtype).tiny))


@pytest.mark.parametrize("axes", [1, 2])
def test_the_map_is_finite_signed_and_of_the_shape_of_the_input(method, axes):
    x = networks.images(3, axes=axes)
    found = explained(method, network(method, axes=axes, seed=1), x)
    assert found.values.shape == x.shape
    assert found.values.dtype == torch.float32
    assert torch.isfinite(found.values).all()
    assert (found.values < 0).any() == kind_of(method).signed
    assert (found.values > 0).any()
    for extra in (found.stderr, found.completeness_error):
        assert extra is None or torch.isfinite(extra).all()
    assert found.stderr is None or found.stderr.shape == x.shape
    assert found.completeness_error is None or found.completeness_error.shape == (3,)
    assert not found.values.requires_grad


def test_the_other_score_has_the_opposite_difference(method):
    model, x = network(method), networks.images(2)
    both = [explained(method, model, x, target=k).values for k in (0, 1)]
    if not kind_of(method).linear:
        pytest.skip("the method is not linear in the scores, and does not say so")
    wanted = explained(method, model, x).values
    torch.testing.assert_close(both[1] - both[0], wanted, rtol=1e-4, atol=1e-5)


def test_a_target_a_sample_explains_each_sample_by_its_own(method):
    model, x = network(method, classes=3), networks.images(3)
    found = explained(method, model, x, target=torch.tensor([2, 0, 1])).values
    for row, target in enumerate((2, 0, 1)):
        alone = explained(method, model, x[row : row + 1], target=target).values[0]
        assert relative(found[row], alone) < 1e-5


def test_the_same_seed_gives_the_same_bytes(method):
    model, x = network(method), networks.images(2)
    first, second = (explained(method, model, x) for _ in range(2))
    assert torch.equal(first.values, second.values)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_a_map_depends_neither_on_its_place_nor_on_its_neighbours(method, batch_size):
    model, x = network(method), networks.images(5)
    together = explained(method, model, x, batch_size=batch_size).values
    turned = explained(method, model, x.flip(0), batch_size=batch_size).values.flip(0)
    assert relative(turned, together) < 1e-6
    alone = explained(method, model, x[3:4], batch_size=batch_size).values[0]
    assert relative(alone, together[3]) < 1e-6


def test_alone_a_map_is_the_same_to_the_last_bit(method):
    model, x = network(method), networks.images(5)
    baselines = networks.images(6, seed=9)
    alone = explainer(method).alone()
    together = alone(model, x, baselines=baselines).values
    assert torch.equal(alone(model, x[3:4], baselines=baselines).values[0], together[3])


def test_nothing_the_caller_owns_is_touched(method):
    model, x = network(method), networks.images(2)
    model.stem.register_forward_hook(lambda module, args, out: None)
    model.head[2].weight.grad = torch.ones_like(model.head[2].weight)
    model.head[2].bias.requires_grad_(False)
    kept, image = copy.deepcopy(model.state_dict()), x.clone()
    states = (torch.random.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    explained(method, model, x)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert repr(np.random.get_state()) == states[2]  # noqa: NPY002
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert model.stem[2].inplace
    assert len(model.stem._forward_hooks) == 1
    assert torch.equal(model.head[2].weight.grad, torch.ones_like(model.head[2].weight))
    assert [p.grad is None for p in model.parameters()].count(False) == 1
    assert [p.requires_grad for p in model.parameters()].count(False) == 1
    assert torch.equal(x, image)
    assert not x.requires_grad


def failing(kind: type[nn.Module]) -> nn.Module:
    """Return what fails for one image in particular, after drawing a random number."""

    class Failing(kind):
        def forward(self, x):
            torch.rand(1)
            if float(x.detach().abs().max()) > 50:
                raise RuntimeError("the image is too bright")
            return super().forward(x)

    return networks.trained_looking(Failing())


def test_nothing_is_touched_when_the_network_fails(method):
    model = failing(type(network(method)))
    x = networks.images(2)
    x[1] = 100.0
    state, hooks = torch.random.get_rng_state(), len(model._forward_hooks)
    with pytest.raises((RuntimeError, ExplainerRefusal)):
        explained(method, model, x)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (len(model._forward_hooks), model.training) == (hooks, False)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert torch.is_grad_enabled()


def test_it_works_where_the_caller_has_gradients_off(method):
    model, x = network(method), networks.images(2)
    wanted = explained(method, model, x).values
    with torch.no_grad():
        assert torch.equal(explained(method, model, x).values, wanted)
        assert not torch.is_grad_enabled()


def test_an_input_that_requires_a_gradient_is_only_read(method):
    x = networks.images(2).requires_grad_()
    found = explained(method, network(method), x)
    assert x.grad is None
    assert not found.values.requires_grad


def test_a_snapshot_gives_the_same_bytes_for_fewer_passes(method):
    model, x = network(method), networks.images(3)
    ready = Snapshot(model)
    wanted, first, again = (explained(method, each, x) for each in (model, ready, ready))
    assert torch.equal(first.values, wanted.values)
    assert torch.equal(again.values, wanted.values)
    assert first.passes == wanted.passes
    assert again.passes.forward <= wanted.passes.forward - 2


def test_passes_are_counted_truthfully(method):
    model, x = network(method), networks.images(5)
    with counted() as counts:
        found = explained(method, model, x, batch_size=2)
    assert found.passes._asdict() == counts


def test_no_pass_holds_more_images_than_the_batch_size(method, monkeypatch):
    sizes = []
    run = Stream.run
    monkeypatch.setattr(Stream, "run", lambda self, x, *a: sizes.append(len(x)) or run(self, x, *a))
    explained(method, network(method), networks.images(7), batch_size=4)
    assert max(sizes) <= 4


def test_another_image_costs_no_more_memory_than_its_maps(method):
    model = network(method)
    few, many = (networks.images(n) for n in (8, 24))
    small, large = (
        peak_bytes(lambda x=x: explained(method, model, x, batch_size=4)) for x in (few, many)
    )
    assert large - small <= 8 * (many.nbytes - few.nbytes)


def test_more_samples_cost_no_more_memory(method):
    if not sampled(method):
        pytest.skip("the method has no samples")
    model, x = network(method), networks.images(2)
    small, large = (
        peak_bytes(lambda n=n: explained(method, model, x, batch_size=4, samples=n))
        for n in (192, 768)
    )
    assert large <= 1.1 * small


def test_bfloat16_is_used_is_near_and_says_float32(method):
    if kind_of(method).precisions != PRECISIONS:
        pytest.skip("the method does not bear it, and refuses it")
    model, x = network(method), networks.images(2)
    exact, rough = (explained(method, model, x, precision=p).values for p in PRECISIONS)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert float((rough - exact).norm() / exact.norm()) < 0.3


def test_a_precision_that_does_not_exist_is_refused(method):
    choices = ", ".join(kind_of(method).precisions)
    with pytest.raises(ContractError, match=rf"precision is 'float8'.*{choices}"):
        explainer(method, precision="float8")


def test_a_network_in_training_mode_is_refused(method):
    model = network(method).train()
    with pytest.raises(ExplainerRefusal, match=r"training mode"):
        explained(method, model, networks.images(1))
    assert model.training


def test_difference_is_refused_for_three_classes(method):
    with pytest.raises(ExplainerRefusal, match=r"needs a network with 2 outputs"):
        explained(method, network(method, classes=3), networks.images(1))


def test_images_that_are_not_finite_are_refused(method):
    with pytest.raises(ContractError, match=r"not finite"):
        explained(method, network(method), torch.full((1, 1, 16, 16), torch.inf))


def test_a_gradient_that_is_not_finite_is_refused(method):
    class Huge(type(network(method))):
        def forward(self, x):
            return super().forward(x) * 1e30 * 1e30

    model = networks.trained_looking(Huge())
    with pytest.raises(ExplainerRefusal, match=r"not finite"):
        explained(method, model, networks.images(1))


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "many"])
def test_a_batch_size_that_is_no_positive_number_is_refused(method, value):
    with pytest.raises(ContractError, match=r"batch_size is .*whole number of 1 or more"):
        explainer(method, batch_size=value)
