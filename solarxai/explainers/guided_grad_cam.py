"""Guided Grad-CAM: the detail of guided backprop where Grad-CAM speaks for the score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.features import watch_layer
from solarxai.engine.gradients import check_finite
from solarxai.engine.rectifiers import Rectified
from solarxai.engine.resampling import resample
from solarxai.explainers import Attribution, Explainer, FeatureMap, Problem

__all__ = ["GuidedGradCAM"]


@dataclass(frozen=True, kw_only=True)
class GuidedGradCAM(Explainer):
    r"""Guided backprop times the positive part of Grad-CAM at the same pixel, signed.

    Parameters
    ----------
    layer
        Name of the layer that Grad-CAM reads, such as "stages.2"; None for the last feature map of
        the convolutions.

    Notes
    -----
    .. math:: G_i \cdot R\big(\max(0, \textstyle\sum_k \alpha_k A^k)\big)_i

    with guided backprop :math:`G`, Grad-CAM's channel weights :math:`\alpha` and the map put on the
    pixels :math:`R` by the centres of its cells' receptive fields. Two passes an image each way.
    Where Grad-CAM speaks against the score everywhere, the map is zero.

    References
    ----------
    Selvaraju et al. 2017, Grad-CAM, doi:10.1109/ICCV.2017.74.
    """

    units: ClassVar[str] = "logit² per unit of the input"

    layer: str | None = None

    def may_fold(self) -> bool:
        """Return whether batch norm may be folded: not where a layer is read by its name."""
        return self.layer is None

    def attribute(self, problem: Problem) -> Attribution:
        """Return the product, in units of the score squared per unit of the input."""
        stream, x, weights = problem.stream, problem.x, problem.weights
        layer = watch_layer(problem.prepared, self.layer)
        network = Rectified(problem.prepared, guided=True, rule="guided_grad_cam")
        cells = torch.cat([_speaking_for(*read) for read in layer.read(stream, x, weights)])
        sizes = check_finite(cells).shape[2:]
        centres = tuple(grid.centres(n) for grid, n in zip(layer.grids, sizes, strict=True))
        guided = torch.cat(list(network.gradients(stream, x, weights)))
        values = guided * resample(cells, centres, x.shape[2:])
        features = FeatureMap(values=cells.contiguous(), centres=centres)
        return Attribution(values=values, features=features)


def _speaking_for(features: Tensor, gradient: Tensor) -> Tensor:
    """Return the positive part of Grad-CAM (equations 1 and 2), (image, 1, *cells)."""
    weights = gradient.mean(dim=tuple(range(2, gradient.ndim)), keepdim=True)
    return (weights * features).sum(dim=1, keepdim=True).clamp_min(0)
