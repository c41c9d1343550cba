"""What contributions should sum to: the score of an image less that of what it is compared with."""

from __future__ import annotations

import torch
from torch import Tensor

from solarxai.engine.gradients import Stream, check_finite

__all__ = ["ScoreDifference"]


class ScoreDifference:
    """The scores of a set of baselines, computed once, and how far maps are from completeness.

    Parameters
    ----------
    stream
        The network; it counts the passes.
    baselines
        (baseline, channel, *space).

    Raises
    ------
    ExplainerRefusal
        when a score of a baseline is not finite.
    """

    def __init__(self, stream: Stream, baselines: Tensor) -> None:
        self._stream = stream
        scores = check_finite(stream.scores(baselines), what="score", whose="baselines")
        self._mean = scores.double().cpu().mean(dim=0)

    def error(self, values: Tensor, images: Tensor, weight: Tensor) -> Tensor:
        """Return Σ values − (⟨f(x)⟩ − ⟨f(x′)⟩), a float32 scalar in units of the score.

        Parameters
        ----------
        values
            (channel, *space), contributions.
        images
            (image, channel, *space): the image, or those over which the map is a mean.
        weight
            (class,) of `target_weights`.
        """
        scores = self._stream.scores(images).double().cpu().mean(dim=0)
        return self.error_of(values, scores, weight)

    def error_of(self, values: Tensor, scores: Tensor, weight: Tensor) -> Tensor:
        """Return the same where the mean scores (class,) are known already."""
        wanted = (scores.double().cpu() - self._mean) @ weight.double().cpu()
        return (values.double().sum().cpu() - wanted).to(torch.float32)
