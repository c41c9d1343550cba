"""CAM: the class activation map of a network that averages its last feature map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solarxai.engine.features import Layer
from solarxai.engine.pooled_head import PooledHead, pooled_head
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._class_activation import ClassActivation

__all__ = ["CAM"]

_TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest completeness error that is rounding, as a part of the sum of the absolute terms."""


class _Sums(NamedTuple):
    """Cells (image, 1, *cells), what their mean misses and the sum of absolute terms (image,)."""

    cells: Tensor
    missed: Tensor
    size: Tensor


@dataclass(frozen=True, kw_only=True)
class CAM(ClassActivation):
    r"""The activations of the last feature map times the weights of the linear head, signed.

    Notes
    -----
    .. math:: L_{ij} = \sum_k w_k A^k_{ij}, \quad \frac{1}{Z} \sum_{ij} L_{ij} + b = y

    Exact, without a gradient: the mean of the cells and the bias is the score, and
    `completeness_error` is what they miss it by (before `relu`). Only a network whose scores are a
    global average pooling of the layer and at most one linear layer has such a map; any other is
    refused, with the operation that stands in the way.

    References
    ----------
    Zhou et al. 2016, Learning Deep Features for Discriminative Localization,
    doi:10.1109/CVPR.2016.319.
    """

    linear: ClassVar[bool] = True

    def read(self, problem: Problem, layer: Layer) -> Attribution:
        """Return the map, in units of the score, and how far its mean is from the score."""
        head = pooled_head(layer.traced, layer.node)
        read = []
        for part, weights in problem.parts():
            features, scores = layer.activations(problem.stream, part)
            read.append(_sums(features, scores, weights.to(part), head))
        sums = _Sums(*(torch.cat(each) for each in zip(*read, strict=True)))
        made = self.placed(sums.cells, layer, problem.x)
        if bool((sums.missed.abs() > _TOLERANCE[self.precision] * sums.size).any()):
            raise ExplainerRefusal(
                f"the mean of the class activation map of {layer.name} misses the score by up to "
                f"{float(sums.missed.abs().max()):.1e}: its pooling is no mean over all cells",
                remedy="Use hires_cam, which needs no pooling.",
            )
        return replace(made, completeness_error=sums.missed.float())


def _sums(features: Tensor, scores: Tensor, weights: Tensor, head: PooledHead) -> _Sums:
    each = (weights @ head.weight.to(weights)).reshape(*features.shape[:2], *_ones(features))
    cells = (each * features).sum(dim=1, keepdim=True)
    bias = weights @ head.bias.to(weights)
    mean = cells.double().flatten(1).mean(dim=1)
    size = (each * features).abs().flatten(2).mean(dim=2).sum(dim=1) + bias.abs()
    return _Sums(cells, mean + bias - (scores * weights).sum(dim=1), size)


def _ones(features: Tensor) -> tuple[int, ...]:
    return (1,) * (features.ndim - 2)
