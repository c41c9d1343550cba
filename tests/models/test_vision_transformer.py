"""The vision transformer: its shapes, its attention, and what tracing sees of it."""

import pytest
import torch
from torch import fx, nn

from solarxai import registry
from solarxai.engine.preparation import prepare
from solarxai.errors import ContractError
from solarxai.models.vision_transformer import Attention, VisionTransformer


@pytest.fixture
def images():
    return torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _same_weights():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_the_registry_finds_it_by_its_file_name():
    assert registry.load("solarxai.models", "vision_transformer") is VisionTransformer


@pytest.mark.parametrize(("pooling", "tokens"), [("class_token", 65), ("mean", 64)])
def test_every_patch_is_a_token_and_the_class_may_have_one(images, pooling, tokens):
    network = VisionTransformer(pooling=pooling).eval()
    assert network.tokens(images).shape == (3, tokens, 32)
    assert network(images).shape == (3, 2)


def test_width_depth_heads_patch_and_classes_are_options(images):
    network = VisionTransformer(width=12, depth=3, heads=6, patch=16, classes=5).eval()
    assert network(images).shape == (3, 5)
    assert network.tokens(images).shape == (3, 17, 12)
    assert [m.heads for m in network.modules() if isinstance(m, Attention)] == [6, 6, 6]


def test_one_axis_takes_spectra():
    network = VisionTransformer(axes=1, patch=10).eval()
    spectra = torch.randn(3, 1, 240, generator=torch.Generator().manual_seed(0))
    assert network.tokens(spectra).shape == (3, 25, 32)
    assert network(spectra).shape == (3, 2)


def test_attention_is_that_of_torch():
    ours = Attention(12, 3)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True).eval()
    parts = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        theirs.out_proj.load_state_dict(ours.projection.state_dict())
    seen = []
    ours.softmax.register_forward_hook(lambda module, args, out: seen.append(out))
    tokens = torch.randn(2, 7, 12)
    wanted, weights = theirs(tokens, tokens, tokens, average_attn_weights=False)
    torch.testing.assert_close(ours(tokens), wanted)
    torch.testing.assert_close(seen[0], weights)


def test_without_positions_the_mean_does_not_know_the_order_of_the_patches(images):
    network = VisionTransformer(pooling="mean", patch=16).eval()
    turned = images.reshape(3, 1, 4, 16, 64).flip(2).reshape(images.shape)
    assert not torch.allclose(network(turned), network(images), atol=1e-5)
    nn.init.zeros_(network.position)
    torch.testing.assert_close(network(turned), network(images))


def test_positions_learnt_for_one_size_serve_another(images):
    network = VisionTransformer(patch=16).eval()
    with torch.no_grad():
        network.position.copy_(torch.arange(8.0)[:, None].expand(8, 8))
        network.patches.weight.zero_()
        network.patches.bias.zero_()
    rows = network.tokens(images)[0, 1:, 0].reshape(4, 4)
    torch.testing.assert_close(rows, torch.tensor([0.5, 2.5, 4.5, 6.5])[:, None].expand(4, 4))
    assert network(images[..., :32, :48]).shape == (3, 2)


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("pooling", ["class_token", "mean"])
def test_a_plain_trace_gives_the_same_scores_for_any_batch_and_size(pooling, axes):
    network = VisionTransformer(pooling=pooling, axes=axes).eval()
    traced = fx.symbolic_trace(network)
    for shape in ((2, 1, *(64,) * axes), (5, 1, *(40,) * axes)):
        x = torch.randn(shape)
        torch.testing.assert_close(traced(x), network(x))


def test_the_engine_prepares_it_as_a_graph(images):
    ready = prepare(VisionTransformer().eval(), images)
    assert ready.form == "folded", ready.reason
    names = [n.target for n in ready.traced.graph.graph.nodes if n.op == "call_module"]
    assert [n for n in names if n.endswith("softmax")] == [
        "blocks.0.attention.softmax",
        "blocks.1.attention.softmax",
    ]


def test_every_parameter_learns(images):
    network = VisionTransformer()
    gradients = torch.autograd.grad(network(images).square().sum(), list(network.parameters()))
    keys = [name.endswith("key.bias") for name, _ in network.named_parameters()]
    for key, gradient in zip(keys, gradients, strict=True):
        assert key or float(gradient.abs().max()) > 0


def test_scores_at_birth_are_of_order_one(images):
    assert 0.05 < float(VisionTransformer()(images).detach().std()) < 5


@pytest.mark.parametrize(
    "options",
    [{"heads": 5}, {"width": 0}, {"depth": 0}, {"classes": 0}, {"pooling": "max"}, {"axes": 3}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(ContractError, match="VisionTransformer cannot have"):
        VisionTransformer(**options)
