"""A small vision transformer for one-channel images or spectra, whose attention can be read."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from solarxai.errors import ContractError

__all__ = ["VisionTransformer"]

_GRID = 8
"""Cells an axis of the learnt position embedding, which is resampled to the image's patches."""

_CONVOLUTIONS: dict[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
_INTERPOLATIONS = {1: "linear", 2: "bilinear"}
_POOLINGS = ("class_token", "mean")


class Attention(nn.Module):
    """Self-attention of several heads, (batch, token, width) to the same.

    Parameters
    ----------
    width, heads
        Channels of a token and heads that share them.

    Notes
    -----
    The module `softmax` gives the attention matrices (batch, head, token, token), each row of which
    sums to 1.

    References
    ----------
    Vaswani et al. 2017, Attention Is All You Need, arXiv:1706.03762.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return softmax(query keyᵀ / √channels) value of each head, joined and projected."""
        query, key, value = (
            layer(tokens).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        attention = self.softmax(torch.matmul(query * self.scale, key.transpose(-2, -1)))
        joined = torch.matmul(attention, value).transpose(1, 2).flatten(2)
        projected: Tensor = self.projection(joined)
        return projected


class TransformerBlock(nn.Module):
    """Attention and a perceptron, each normalised before and added to its input.

    Parameters
    ----------
    width, heads
        As of `Attention`; the perceptron has four times as many hidden channels.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.second_norm = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the tokens (batch, token, width) after both."""
        tokens = tokens + self.attention(self.first_norm(tokens))
        given: Tensor = tokens + self.perceptron(self.second_norm(tokens))
        return given


class VisionTransformer(nn.Module):
    """Scores before softmax (batch, classes) of images (batch, 1, y, x) or spectra (batch, 1, n).

    Parameters
    ----------
    classes
        Number of outputs.
    width
        Channels of a token.
    depth
        Blocks of attention and perceptron.
    heads
        Heads of each attention, a divisor of the width.
    patch
        Input pixels an axis of a patch; pixels beyond the last whole patch are not seen.
    pooling
        What the head reads: "class_token", a token of its own that stands before those of the
        patches, or "mean", the mean of the patches' tokens.
    axes
        1 for spectra, 2 for images.

    Raises
    ------
    ContractError
        when the heads do not divide the width, there is no such pooling, the axes are neither 1
        nor 2, or a number is not positive.

    Notes
    -----
    Patches are cut by a convolution whose stride is its kernel. The position embedding is learnt
    on a grid of 8 cells an axis and interpolated linearly to the patches of the image, so the size
    of the image is read from the image.

    References
    ----------
    Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, arXiv:2010.11929.
    """

    def __init__(
        self,
        *,
        classes: int = 2,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        patch: int = 8,
        pooling: str = "class_token",
        axes: int = 2,
    ) -> None:
        super().__init__()
        positive = min(classes, width, depth, heads, patch) >= 1
        if not positive or width % heads or pooling not in _POOLINGS or axes not in _CONVOLUTIONS:
            raise ContractError(
                f"VisionTransformer cannot have classes {classes}, width {width}, depth {depth}, "
                f"heads {heads}, patch {patch}, pooling {pooling!r}, axes {axes}",
                remedy="Give positive numbers, heads that divide the width, the pooling "
                "class_token or mean, and axes 1 or 2.",
            )
        self.pooling = pooling
        self.patches = _CONVOLUTIONS[axes](1, width, patch, patch)
        self.position = nn.Parameter(torch.empty(1, width, *(_GRID,) * axes))
        self.interpolation = _INTERPOLATIONS[axes]
        if pooling == "class_token":
            self.class_token = nn.Parameter(torch.empty(1, 1, width))
            nn.init.trunc_normal_(self.class_token, std=0.02)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        tokens = self.norm(self.blocks(self.tokens(x)))
        read = tokens[:, 0] if self.pooling == "class_token" else tokens.mean(dim=1)
        scores: Tensor = self.head(read)
        return scores

    def tokens(self, x: Tensor) -> Tensor:
        """Return the tokens (batch, token, width) of the patches, in rows of the image."""
        cells = self.patches(x)
        position = functional.interpolate(
            self.position, size=cells.shape[2:], mode=self.interpolation, align_corners=False
        )
        tokens: Tensor = (cells + position).flatten(2).transpose(1, 2)
        if self.pooling == "mean":
            return tokens
        token = self.class_token.expand(tokens.shape[0], -1, -1)
        return torch.cat([token, tokens], dim=1)
