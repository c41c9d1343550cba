"""Score-CAM: channels weighted by the score of the image seen through each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from solarxai.engine.features import Layer
from solarxai.engine.gradients import Stream
from solarxai.engine.resampling import resample
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Problem
from solarxai.explainers._class_activation import ClassActivation

__all__ = ["ScoreCAM"]

_WEIGHTINGS = ("increase", "softmax")


@dataclass(frozen=True, kw_only=True)
class ScoreCAM(ClassActivation):
    r"""The activations of a layer, channels weighted by the score each lets through, no gradient.

    Parameters
    ----------
    weighting
        "increase": the definition, signed; "softmax": the algorithm of the paper, which turns the
        increases into positive weights that sum to one.
    fill
        What stands in the image where a channel hides it, in the image's units.

    Notes
    -----
    .. math:: L = \sum_k \alpha_k A^k, \quad
              \alpha_k = y\left(b + H_k (x - b)\right) - y(b)

    where b is the image of `fill` and H_k the channel k on the input's pixels, scaled to 0 … 1.
    H_k is placed by the centres of the receptive fields, not stretched over the image. A channel
    that is the same everywhere shows no place and has no weight. Each image costs one pass for
    itself and one for each other channel; a call costs one more for b.

    References
    ----------
    Wang et al. 2020, Score-CAM, doi:10.1109/CVPRW50498.2020.00020.
    """

    units: ClassVar[str] = "logit times activation"
    linear: ClassVar[bool] = True

    weighting: str = "increase"
    fill: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weighting not in _WEIGHTINGS:
            raise ContractError(
                f"{type(self).__name__}: weighting is {self.weighting!r}",
                remedy=f"Choose one of {', '.join(_WEIGHTINGS)}.",
            )
        if not math.isfinite(self.fill):
            raise ContractError(
                f"{type(self).__name__}: fill is {self.fill!r}", remedy="Give a finite number."
            )

    def read(self, problem: Problem, layer: Layer) -> Attribution:
        """Return the map in units of the score times those of the activations."""
        hidden = problem.stream.scores(torch.full_like(problem.x[:1], self.fill))[0]
        cells = []
        images, targets = torch.split(problem.x, 1), problem.weights.to(hidden)
        for image, weight in zip(images, targets, strict=True):
            features, _ = layer.activations(problem.stream, image)
            centres = layer.centres(features.shape[2:])
            seen = _seen(problem.stream, image, self.fill, features, centres) - hidden
            cells.append(self._weighted(features, seen.double() @ weight.double()))
        return self.placed(torch.cat(cells), layer, problem.x)

    def _weighted(self, features: Tensor, increase: Tensor) -> Tensor:
        shown = _varying(features)
        weights = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        weights[shown] = increase if self.weighting == "increase" else increase.softmax(dim=0)
        found: Tensor = torch.tensordot(weights, features[0].double(), dims=1)
        return found.to(features.dtype)[None, None]


def _varying(features: Tensor) -> Tensor:
    """Return the indices of the channels of one image that are not the same everywhere."""
    values = features[0].flatten(1)
    varying: Tensor = torch.nonzero(values.amax(dim=1) > values.amin(dim=1))
    return varying.flatten()


def _seen(
    stream: Stream, image: Tensor, fill: float, features: Tensor, centres: tuple[Tensor, ...]
) -> Tensor:
    """Return the scores (channel, class) of one image seen through each channel that varies."""
    shown = features[0, _varying(features), None]
    found = [image.new_empty(0, stream.prepared.classes)]
    for part in stream.parts(shown) if len(shown) else ():
        masks = _scaled(resample(part, centres, image.shape[2:]))
        found.append(stream.scores(fill + masks * (image - fill)))
    return torch.cat(found)


def _scaled(masks: Tensor) -> Tensor:
    """Return the masks (mask, 1, *space), each scaled to 0 … 1."""
    axes = tuple(range(1, masks.ndim))
    low, high = masks.amin(dim=axes, keepdim=True), masks.amax(dim=axes, keepdim=True)
    scaled: Tensor = (masks - low) / torch.where(high > low, high - low, 1)
    return scaled
