"""The attention matrices of a transformer: found in its graph, opened, read with their gradients.

A matrix is what a softmax over tokens gives, whether a module or a function computes it, or what
`torch.nn.MultiheadAttention` and `scaled_dot_product_attention` keep to themselves, which are
written out for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from solarxai.engine.attention_opening import REMEDY, open_function, open_module
from solarxai.engine.gradients import Stream, check_finite
from solarxai.engine.preparation import Prepared
from solarxai.engine.receptive_field import Grids, grids, operation
from solarxai.engine.seeds import probe_generator
from solarxai.engine.tracing import Traced
from solarxai.errors import ExplainerRefusal

__all__ = ["Attentions", "watch_attention"]

_PRODUCTS = ("matmul", "bmm", "einsum")
_CLOSED = ("TransformerEncoder", "TransformerEncoderLayer", "Transformer", "TransformerDecoder")


@dataclass(frozen=True, kw_only=True, eq=False)
class Attentions:
    """The attention matrices of a network, ready to be read.

    Parameters
    ----------
    network
        The prepared network, changed to return its scores, every matrix, first to last, and as
        many leaves of zeros added to them.
    read
        Places of the tokens that the scores are made from, after the last matrix.
    patches
        Places of the tokens that are patches, row by row of the grid of patches.
    cells
        Patches, one number an axis.
    grids
        Where the patches look, one grid an axis.
    """

    network: nn.Module
    read: slice
    patches: slice
    cells: tuple[int, ...]
    grids: Grids

    def centres(self) -> tuple[Tensor, ...]:
        """Return the input pixel at the centre of each patch, one tensor an axis."""
        return tuple(grid.centres(n) for grid, n in zip(self.grids, self.cells, strict=True))

    def matrices(self, stream: Stream, x: Tensor) -> list[Tensor]:
        """Return the matrices (image, head, token, token), in one pass forward.

        Parameters
        ----------
        stream
            Of the network that they belong to; it counts the pass.
        x
            (image, channel, *space), at most `batch_size` images.
        """
        with torch.no_grad():
            scores, found, _ = stream.run(x, self.network)
        check_finite(scores, what="score")
        return [_headed(matrix) for matrix in found]

    def gradients(self, stream: Stream, x: Tensor, weights: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return each matrix with its gradient, both (image, head, token, token).

        Parameters
        ----------
        stream, x
            As for `matrices`; one pass forward and one backward.
        weights
            (image, class) of `target_weights`.
        """
        return _gradients(stream, self.network, x, weights)

    def start(self, matrix: Tensor) -> Tensor:
        """Return weights (image, token) that average the tokens read, like the matrix's images."""
        weights = torch.zeros_like(matrix[:, 0])
        weights[:, self.read] = 1 / (self.read.stop - self.read.start)
        return weights

    def placed(self, tokens: Tensor) -> Tensor:
        """Return a number a token (image, token) as cells (image, 1, *cells): the patches'."""
        return tokens[:, None, self.patches].reshape(len(tokens), 1, *self.cells)


def watch_attention(stream: Stream, x: Tensor) -> Attentions:
    """Return the attention matrices of a network, and which tokens its scores and patches are.

    Parameters
    ----------
    stream
        Of the network; it counts the one image sent forward and backward to see which tokens the
        scores read.
    x
        The images to explain, for their shape, type and device.

    Raises
    ------
    ExplainerRefusal
        when the network cannot be traced, has no attention or one that is masked or not between
        all tokens, when its patches are not cut by a convolution, or when the scores are made
        from some tokens only, but more than one.

    Notes
    -----
    A matrix row that has no gradient on an image of noise is one that the scores do not read. A
    single row that they read is the class token's, which must stand before or behind the patches;
    otherwise they must read all patches, or all tokens.
    """
    prepared = stream.prepared
    traced = _followed(prepared)
    made, found = _opened(traced)
    network = _giving(made, found)
    probe = torch.from_numpy(probe_generator().standard_normal((1, *x.shape[1:]))).to(x)
    mixture = torch.linspace(1, 2, prepared.classes)[None]
    matrices = _gradients(stream, network, probe, mixture)
    cells, located = _grid_of_patches(traced)
    tokens = _tokens([matrix for matrix, _ in matrices])
    read, patches = _places(matrices[-1][1], math.prod(cells), tokens)
    return Attentions(network=network, read=read, patches=patches, cells=cells, grids=located)


def _followed(prepared: Prepared) -> Traced:
    if prepared.traced is None:
        raise ExplainerRefusal(
            f"the data flow of the network cannot be followed ({prepared.reason})",
            remedy="Write its forward method without control flow that depends on values, "
            "or use a gradient method, which needs no attention.",
        )
    return prepared.traced


def _gradients(
    stream: Stream, network: nn.Module, x: Tensor, weights: Tensor
) -> list[tuple[Tensor, Tensor]]:
    with torch.enable_grad():
        scores, found, leaves = stream.run(x, network)
        explained = (scores * weights.to(scores)).sum()
        if not explained.requires_grad:
            raise _unread()
        given = torch.autograd.grad(explained, leaves, allow_unused=True)
    stream.backward += len(x)
    pairs = []
    for matrix, gradient in zip(found, given, strict=True):
        if gradient is None:
            raise _unread()
        check_finite(gradient)
        pairs.append((_headed(matrix.detach()), _headed(gradient)))
    return pairs


def _unread() -> ExplainerRefusal:
    return ExplainerRefusal(
        "the scores do not depend on every attention matrix of the network", remedy=REMEDY
    )


def _headed(matrix: Tensor) -> Tensor:
    """Return a matrix (image, token, token) of one head with an axis for it."""
    return (matrix if matrix.ndim == 4 else matrix[:, None]).float()


def _tokens(matrices: Sequence[Tensor]) -> int:
    shapes = {tuple(matrix.shape[-2:]) for matrix in matrices}
    single = all(len(matrix) == 1 for matrix in matrices)
    if len(shapes) > 1 or not single or len(set(next(iter(shapes)))) > 1:
        raise ExplainerRefusal(
            f"the attention is not between all tokens in every layer: its matrices are "
            f"{[tuple(matrix.shape) for matrix in matrices]} for one image",
            remedy=REMEDY,
        )
    return int(matrices[0].shape[-1])


def _places(gradient: Tensor, patches: int, tokens: int) -> tuple[slice, slice]:
    """Return the tokens that the scores read, and those of the patches."""
    rows = gradient.abs().amax(dim=(0, 1, 3)) > 0
    seen = rows.nonzero().flatten().tolist()
    extra = tokens - patches
    behind = seen == [tokens - 1]
    place = slice(0, patches) if behind and extra else slice(extra, tokens)
    known = (list(range(tokens)), list(range(tokens))[place])
    alone = len(seen) == 1 and (behind or seen == [0]) and extra > 0
    if extra < 0 or not (alone or seen in known):
        raise ExplainerRefusal(
            f"of {tokens} tokens for {patches} patches the scores read those at {seen}: neither "
            "one class token nor all patches",
            remedy=REMEDY,
        )
    return slice(seen[0], seen[-1] + 1), place


def _grid_of_patches(traced: Traced) -> tuple[tuple[int, ...], Grids]:
    """Return the cells of the last convolution before the first attention, and where they look."""
    found = None
    for node in traced.graph.graph.nodes:
        if found is not None and _is_attention(traced, node):
            break
        module, name = operation(traced, node)
        if isinstance(module, _ConvNd) or name in ("conv1d", "conv2d"):
            found = node
    if found is None:
        raise ExplainerRefusal("no convolution cuts the image into patches", remedy=REMEDY)
    _check_alone(traced, found)
    return traced.shapes[found.name][2:], grids(traced, found)


def _check_alone(traced: Traced, patches: fx.Node) -> None:
    """Refuse attention between other tokens than those of the patches."""
    reached = {patches}
    for node in traced.graph.graph.nodes:
        if not reached.isdisjoint(node.all_input_nodes):
            reached.add(node)
        elif _is_attention(traced, node):
            raise ExplainerRefusal(
                f"the attention at {node.name} is not between the patches of {patches.name}",
                remedy="Explain the members of an ensemble one by one.",
            )


def _is_attention(traced: Traced, node: fx.Node) -> bool:
    module, name = operation(traced, node)
    return (
        isinstance(module, nn.MultiheadAttention)
        or name == "scaled_dot_product_attention"
        or _is_weighing(traced, node)
    )


def _is_weighing(traced: Traced, node: fx.Node) -> bool:
    """Return whether a node is a softmax of three axes or more that a product reads."""
    _, name = operation(traced, node)
    axes = len(traced.shapes.get(node.name, ()))
    return name in ("Softmax", "softmax") and axes > 2 and _multiplied(traced, node)


def _multiplied(traced: Traced, node: fx.Node) -> bool:
    """Return whether a product of matrices reads a node, through dropout or a change of type."""
    for user in node.users:
        _, name = operation(traced, user)
        if name in _PRODUCTS:
            return True
        if name in ("Dropout", "dropout", "to", "type_as", "float") and _multiplied(traced, user):
            return True
    return False


def _opened(traced: Traced) -> tuple[fx.GraphModule, list[fx.Node]]:
    """Return a copy of the graph with every attention written out, and its matrices."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    graph.output(graph.graph_copy(traced.graph.graph, copies))
    made, found = fx.GraphModule(traced.graph, graph), list[fx.Node]()
    for node in traced.graph.graph.nodes:
        _, name = operation(traced, node)
        if name in _CLOSED:
            raise ExplainerRefusal(
                f"the attention inside torch.nn.{name} (at {node.target}) cannot be read",
                remedy=REMEDY,
            )
        if _is_attention(traced, node):
            found.append(_matrix(traced, made, node, copies[node]))
    if not found:
        raise ExplainerRefusal(
            "the network has no attention between tokens that can be read", remedy=REMEDY
        )
    return made, found


def _matrix(traced: Traced, made: fx.GraphModule, old: fx.Node, node: fx.Node) -> fx.Node:
    """Return the node of an attention's matrix in the copy, written out where it was hidden."""
    module, name = operation(traced, old)
    if isinstance(module, nn.MultiheadAttention):
        return open_module(made, node, module)
    if name == "scaled_dot_product_attention":
        return open_function(made, node)
    over = module.dim if isinstance(module, nn.Softmax) else _axis(node)
    shape = traced.shapes[old.name]
    if over not in (-1, len(shape) - 1) or shape[0] != 1 or len(shape) > 4:
        raise ExplainerRefusal(
            f"the softmax {old.name} gives {shape} for one image, over axis {over}: no matrix "
            "(image, head, token, token) whose rows sum to 1",
            remedy=REMEDY,
        )
    return node


def _axis(node: fx.Node) -> Any:
    return node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")


def _giving(made: fx.GraphModule, found: Sequence[fx.Node]) -> fx.GraphModule:
    """Return the graph that gives scores, matrices, and leaves that take the matrices' gradient."""
    leaves = [_leaf_of(made.graph, matrix) for matrix in found]
    (output,) = (node for node in made.graph.nodes if node.op == "output")
    output.args = ((output.args[0], tuple(found), tuple(leaves)),)
    made.graph.lint()
    made.recompile()
    return made


def _leaf_of(graph: fx.Graph, matrix: fx.Node) -> fx.Node:
    """Return a new leaf of zeros that is added to a matrix wherever it is used."""
    with graph.inserting_after(matrix):
        leaf = graph.call_function(_zeros, (matrix,))
    with graph.inserting_after(leaf):
        going_on = graph.call_function(torch.add, (matrix, leaf))
    own = (leaf, going_on)
    matrix.replace_all_uses_with(going_on, delete_user_cb=lambda user: user not in own)
    return leaf


def _zeros(matrix: Tensor) -> Tensor:
    return torch.zeros_like(matrix).requires_grad_()
