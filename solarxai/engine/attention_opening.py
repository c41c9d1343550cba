"""Attention that torch keeps to itself, written out so that its matrices can be read."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from solarxai.errors import ExplainerRefusal

__all__ = ["REMEDY", "open_function", "open_module"]

REMEDY = (
    "Build the network as solarxai.models.vision_transformer does, or use a gradient method, "
    "which needs no attention."
)
"""What to do about a network whose attention cannot be read."""


def open_function(made: fx.GraphModule, node: fx.Node) -> fx.Node:
    """Replace scaled_dot_product_attention by a softmax and a product; return the softmax."""
    names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    if given.get("attn_mask") is not None or given.get("is_causal") or given.get("enable_gqa"):
        raise _masked(node)
    with made.graph.inserting_before(node):
        options = {"scale": given.get("scale")}
        pair = (given["query"], given["key"])
        matrix = made.graph.call_function(_weights, pair, options)
        product = made.graph.call_function(torch.matmul, (matrix, given["value"]))
    node.replace_all_uses_with(product)
    made.graph.erase_node(node)
    return matrix


def open_module(made: fx.GraphModule, node: fx.Node, module: nn.MultiheadAttention) -> fx.Node:
    """Replace a torch.nn.MultiheadAttention by two modules; return what the first gives."""
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask", "average")
    given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
    masks = [given.get(name) for name in ("key_padding_mask", "attn_mask", "is_causal")]
    read = [user for user in node.users if user.args[1:] != (0,) and user.users]
    odd = module.bias_k is not None or module.add_zero_attn or not module._qkv_same_embed_dim
    if any(mask is not None and mask is not False for mask in masks) or read or odd:
        raise _masked(node)
    made.add_submodule(f"weighing_{node.name}", _Weighing(module))
    made.add_submodule(f"gathering_{node.name}", _Gathering(module))
    with made.graph.inserting_before(node):
        pair = (given["query"], given["key"])
        matrix = made.graph.call_module(f"weighing_{node.name}", pair)
        joined = made.graph.call_module(f"gathering_{node.name}", (matrix, given["value"]))
    for user in list(node.users):
        user.replace_all_uses_with(joined)
        made.graph.erase_node(user)
    made.graph.erase_node(node)
    return matrix


def _masked(node: fx.Node) -> ExplainerRefusal:
    return ExplainerRefusal(
        f"the attention {node.name} has masks, added keys, shared heads or values of another "
        "width, or its weights are used by the network",
        remedy=REMEDY,
    )


def _weights(query: Tensor, key: Tensor, scale: float | None = None) -> Tensor:
    """Return softmax(query keyᵀ · scale), the scale being 1/√channels where none is given."""
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    return torch.softmax(torch.matmul(query * factor, key.transpose(-2, -1)), dim=-1)


class _Part(nn.Module):
    """A part of torch.nn.MultiheadAttention, with its weights."""

    def __init__(self, whole: nn.MultiheadAttention) -> None:
        super().__init__()
        self.whole = whole

    def projected(self, tokens: Tensor, which: int) -> Tensor:
        """Return the query (0), key (1) or value (2) of each head, (batch, head, token, n)."""
        whole = self.whole
        weight = whole.in_proj_weight.chunk(3)[which]
        bias = None if whole.in_proj_bias is None else whole.in_proj_bias.chunk(3)[which]
        first = tokens if whole.batch_first else tokens.transpose(0, 1)
        made = functional.linear(first, weight, bias)
        return made.reshape(*made.shape[:2], whole.num_heads, -1).transpose(1, 2)


class _Weighing(_Part):
    """The attention matrices of each head."""

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return _weights(self.projected(query, 0), self.projected(key, 1))


class _Gathering(_Part):
    """What the heads gather by their matrices, joined and projected."""

    def forward(self, matrix: Tensor, value: Tensor) -> Tensor:
        joined = torch.matmul(matrix, self.projected(value, 2)).transpose(1, 2).flatten(2)
        given: Tensor = self.whole.out_proj(joined)
        return given if self.whole.batch_first else given.transpose(0, 1)
