"""Attention rollout and transformer relevance against their formulas, written out."""

import networks
import pytest
import torch
from torch import nn
from torch.nn import functional

import solarxai
from solarxai.errors import ContractError, ExplainerRefusal
from solarxai.explainers.attention_rollout import AttentionRollout
from solarxai.explainers.transformer_relevance import TransformerRelevance
from solarxai.models.vision_transformer import VisionTransformer

METHODS = ("attention_rollout", "transformer_relevance")


def vision(seed=0, **options):
    network = VisionTransformer(**{"patch": 4, "width": 16, "heads": 2, "depth": 3} | options)
    return networks.trained_looking(network, seed)


def read_matrices(model, x):
    """Return the scores and attention matrices of a network, part of one graph."""
    found = []
    hooks = [
        module.register_forward_hook(lambda m, args, out: found.append(out))
        for module in model.modules()
        if isinstance(module, nn.Softmax)
    ]
    scores = model(x)
    for hook in hooks:
        hook.remove()
    return scores, found


def rollout(model, x, residual=0.5):
    """Return Ã_L ⋯ Ã_1."""
    with torch.no_grad():
        _, matrices = read_matrices(model, x)
    flow = torch.eye(matrices[0].shape[-1])
    for matrix in matrices:
        flow = ((1 - residual) * matrix.mean(dim=1) + residual * torch.eye(len(flow[0]))) @ flow
    return flow


def relevance(model, x, target):
    """Return R of R ← R + Ā R."""
    scores, matrices = read_matrices(model, x)
    gradients = torch.autograd.grad(scores[:, target].sum(), matrices)
    found = torch.eye(matrices[0].shape[-1]).expand(len(x), -1, -1)
    for matrix, gradient in zip(matrices, gradients, strict=True):
        found = found + (gradient * matrix).clamp_min(0).mean(dim=1) @ found
    return found.detach()


@pytest.mark.parametrize("axes", [1, 2])
def test_rollout_is_the_row_of_the_class_token_in_the_product_of_all_layers(axes, agrees):
    model, x = vision(axes=axes), networks.images(3, axes=axes)
    found = AttentionRollout()(model, x).features
    wanted = rollout(model, x)[:, 0, 1:].reshape(found.values.shape)
    agrees("attention_rollout", "formula", found.values, wanted)
    assert all(torch.equal(c, torch.tensor([1.5, 5.5, 9.5, 13.5])) for c in found.centres)


@pytest.mark.parametrize("axes", [1, 2])
def test_relevance_is_the_row_of_the_class_token_in_the_published_rule(axes, agrees):
    model, x = vision(axes=axes, classes=3), networks.images(3, axes=axes)
    found = TransformerRelevance()(model, x, target=2).features.values
    wanted = relevance(model, x, 2)[:, 0, 1:].reshape(found.shape)
    agrees("transformer_relevance", "formula", found, wanted)


def test_a_mean_head_reads_the_mean_row_of_all_patches(agrees):
    model, x = vision(pooling="mean"), networks.images(2)
    found = AttentionRollout()(model, x).features.values
    wanted = rollout(model, x).mean(dim=1)
    agrees("attention_rollout", "formula", found.flatten(1), wanted, tolerance=5e-5)
    found = TransformerRelevance()(model, x, target=1).features.values
    wanted = (relevance(model, x, 1) - torch.eye(16)).mean(dim=1)
    agrees("transformer_relevance", "formula", found.flatten(1), wanted, tolerance=5e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_has_its_value_at_its_centre(method):
    class Odd(networks.Transformer):
        """Patches of five pixels: a centre is a pixel."""

        def __init__(self):
            super().__init__()
            self.stem[0] = nn.Conv2d(1, 8, 5, 5, bias=False)

    model, x = networks.trained_looking(Odd()), networks.images(2, size=20)
    found = solarxai.explain(model, x, method=method)
    torch.testing.assert_close(found.values[..., 2::5, 2::5], found.features.values)
    between = (found.features.values[..., :-1, :] + found.features.values[..., 1:, :]) / 2
    halves = (found.values[..., 4:15:5, 2::5] + found.values[..., 5:16:5, 2::5]) / 2
    torch.testing.assert_close(halves, between)


def test_rollout_of_all_tokens_sums_to_one():
    model, x = vision(pooling="mean"), networks.images(2)
    for residual in (0.0, 0.5, 0.9):
        cells = AttentionRollout(residual=residual)(model, x).features.values
        torch.testing.assert_close(cells.sum(dim=(1, 2, 3)), torch.ones(2))
        assert (cells > 0).all()


def test_rollout_without_residual_is_the_product_of_the_matrices(agrees):
    model, x = vision(), networks.images(2)
    found = AttentionRollout(residual=0.0)(model, x).features.values
    wanted = rollout(model, x, residual=0.0)[:, 0, 1:].reshape(found.shape)
    agrees("attention_rollout", "formula", found, wanted, tolerance=5e-5)


def test_rollout_is_the_same_for_every_class_and_relevance_is_not():
    model, x = vision(classes=3), networks.images(2)
    rolled, relevant = (
        [solarxai.explain(model, x, method=m, target=k).values for k in range(3)] for m in METHODS
    )
    assert torch.equal(rolled[0], rolled[1])
    assert not torch.allclose(relevant[0], relevant[1], rtol=0.1)


def test_relevance_of_a_single_layer_is_its_positive_contribution(agrees):
    model, x = vision(depth=1), networks.images(2)
    found = TransformerRelevance()(model, x).features.values
    scores, (matrix,) = read_matrices(model, x)
    (gradient,) = torch.autograd.grad((scores[:, 1] - scores[:, 0]).sum(), matrix)
    wanted = (gradient * matrix).clamp_min(0).mean(dim=1)[:, 0, 1:].detach()
    agrees("transformer_relevance", "formula", found.flatten(1), wanted, tolerance=5e-5)


class Marked(networks.Transformer):
    """Every token attends to all others alike: its queries are zero."""

    def __init__(self):
        super().__init__()
        networks.trained_looking(self)
        for block in self.blocks:
            nn.init.zeros_(block.attention.query.weight)
            nn.init.zeros_(block.attention.query.bias)


def test_where_all_attention_is_equal_only_relevance_and_not_rollout_can_tell_patches_apart():
    x = torch.zeros(1, 1, 16, 16)
    x[..., 5, 9] = 10.0
    model = Marked().eval()
    rolled, relevant = (solarxai.explain(model, x, method=m).features.values for m in METHODS)
    torch.testing.assert_close(rolled, rolled.mean().expand_as(rolled))
    others = relevant.flatten()[torch.arange(16) != 4 + 2]
    assert float(relevant[0, 0, 1, 2]) > 1.01 * float(others.max())


class Fused(nn.Module):
    """One block of attention as `kind` makes it; the class token is the first of the tokens."""

    def __init__(self, kind, *, behind=False):
        super().__init__()
        self.kind, self.behind = kind, behind
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.own = vision(width=8, depth=1).blocks[0].attention
        first = kind != "sequence first"
        self.heads = nn.MultiheadAttention(8, 2, batch_first=first)
        self.narrow = nn.MultiheadAttention(8, 2, batch_first=True, vdim=4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        cells = self.patches(x).flatten(2).transpose(1, 2)
        token = self.token.expand(cells.shape[0], -1, -1)
        tokens = torch.cat([cells, token] if self.behind else [token, cells], dim=1)
        tokens = tokens + getattr(self, self.kind.replace(" ", "_"))(tokens)
        return self.head(tokens[:, -1 if self.behind else 0])

    def module(self, tokens):
        return self.own(tokens)

    def torch_module(self, tokens):
        return self.heads(tokens, tokens, tokens)[0]

    def sequence_first(self, tokens):
        turned = tokens.transpose(0, 1)
        return self.heads(turned, turned, turned, need_weights=False)[0].transpose(0, 1)

    def weights_read(self, tokens):
        return self.heads(tokens, tokens, tokens)[1].mean(dim=1, keepdim=True).transpose(1, 2)

    def narrow_values(self, tokens):
        return self.narrow(tokens, tokens, tokens[..., :4])[0]

    def split(self, tokens):
        layers = (self.own.query, self.own.key, self.own.value)
        return [f(tokens).unflatten(-1, (2, 4)).transpose(1, 2) for f in layers]

    def function(self, tokens):
        given = functional.scaled_dot_product_attention(*self.split(tokens))
        return self.own.projection(given.transpose(1, 2).flatten(2))

    def scaled(self, tokens):
        query, key, value = self.split(tokens)
        given = functional.scaled_dot_product_attention(query, key, value, scale=0.5)
        return self.own.projection(given.transpose(1, 2).flatten(2))

    def causal(self, tokens):
        query, key, value = self.split(tokens)
        given = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.own.projection(given.transpose(1, 2).flatten(2))

    def functional_softmax(self, tokens):
        query, key, value = self.split(tokens)
        weights = functional.softmax(query @ key.transpose(-2, -1) / 2, dim=-1)
        weights = functional.dropout(weights, 0.5, self.training)
        return self.own.projection((weights @ value).transpose(1, 2).flatten(2))

    def columns(self, tokens):
        query, key, value = self.split(tokens)
        weights = torch.softmax(query @ key.transpose(-2, -1) / 2, dim=-2)
        return self.own.projection((weights @ value).transpose(1, 2).flatten(2))

    def one_head(self, tokens):
        weights = torch.bmm(self.own.query(tokens), tokens.transpose(1, 2)).softmax(dim=-1)
        return torch.bmm(weights, tokens)

    def pooled(self, tokens):
        weights = torch.softmax(self.own.query(tokens)[:, :1] @ tokens.transpose(1, 2), dim=-1)
        return weights @ tokens

    def encoder(self, tokens):
        return self.layer(tokens)

    def unread(self, tokens):
        weights = torch.softmax(tokens @ tokens.transpose(1, 2), dim=-1)
        return tokens + 0 * (weights @ tokens).detach()


def fused(kind, **options):
    return networks.trained_looking(Fused(kind, **options))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["function", "scaled", "functional softmax"])
def test_attention_in_a_function_is_read_as_that_of_modules(method, kind):
    x = networks.images(3)
    found = solarxai.explain(fused(kind), x, method=method).features.values
    wanted = solarxai.explain(fused("module"), x, method=method).features.values
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["torch module", "sequence first"])
def test_attention_of_torch_is_read_as_ours_with_its_weights(method, kind):
    theirs, ours, x = fused(kind), fused("module"), networks.images(3)
    with torch.no_grad():
        parts = (ours.own.query, ours.own.key, ours.own.value)
        for layer, weight, bias in zip(
            parts,
            theirs.heads.in_proj_weight.chunk(3),
            theirs.heads.in_proj_bias.chunk(3),
            strict=True,
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
        ours.own.projection.load_state_dict(theirs.heads.out_proj.state_dict())
    torch.testing.assert_close(theirs(x), ours(x))
    found, wanted = (
        solarxai.explain(model, x, method=method).features.values for model in (theirs, ours)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("method", METHODS)
def test_a_class_token_may_stand_behind_the_patches_and_a_head_stand_alone(method):
    x = networks.images(2)
    found, wanted = (
        solarxai.explain(fused("one head", behind=behind), x, method=method).features.values
        for behind in (True, False)
    )
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("causal", "has masks"),
        ("weights read", "its weights are used by the network"),
        ("narrow values", "values of another width"),
        ("columns", "no matrix"),
        ("pooled", "not between all tokens"),
        ("encoder", "inside torch.nn.TransformerEncoderLayer"),
        ("unread", "do not depend on every attention matrix"),
    ],
)
def test_attention_that_cannot_be_read_rightly_is_refused(method, kind, told):
    with pytest.raises(ExplainerRefusal, match=told):
        solarxai.explain(fused(kind), networks.images(1), method=method)


class Twice(networks.Transformer):
    """The scores read the first two tokens."""

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], dim=1)
        return self.head(self.blocks(tokens)[:, :2].mean(dim=1))


class Uncut(networks.Transformer):
    """Rows of pixels are the tokens: no convolution makes them."""

    def forward(self, x):
        return self.head(self.blocks(x[:, 0, :, :8])[:, 0])


class Branching(networks.Transformer):
    """Its data flow depends on values."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Twice, r"scores read those at \[0, 1\]: neither one class token nor all"),
        (Uncut, "no convolution cuts the image into patches"),
        (Branching, "data flow of the network cannot be followed"),
        (networks.Residual, "no attention between tokens"),
    ],
)
def test_networks_whose_patches_and_readout_are_not_known_are_refused(method, kind, told):
    with pytest.raises(ExplainerRefusal, match=told):
        solarxai.explain(networks.trained_looking(kind()), networks.images(1), method=method)


@pytest.mark.parametrize("residual", [1.0, -0.1, float("nan")])
def test_a_residual_that_is_no_share_is_refused(residual):
    with pytest.raises(ContractError, match=r"residual is .*less than 1"):
        AttentionRollout(residual=residual)


def test_passes_are_those_of_the_images_the_check_and_the_probe():
    model, x = vision(), networks.images(5)
    assert AttentionRollout()(model, x).passes == (5 + 2 + 1, 2 + 1)
    assert TransformerRelevance()(model, x).passes == (5 + 2 + 1, 5 + 2 + 1)
