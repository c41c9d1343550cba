"""The gradient of a score with respect to the input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.preparation import prepare
from solarxai.engine.targets import target_weights
from solarxai.explainers import Attribution, Explainer, Passes, Target

__all__ = ["Gradient"]


@dataclass(frozen=True, kw_only=True)
class Gradient(Explainer):
    """The gradient of the score with respect to each input value, signed.

    References
    ----------
    Baehrens et al. 2010, How to Explain Individual Classification Decisions, JMLR 11, 1803.
    Simonyan, Vedaldi & Zisserman 2014, Deep Inside Convolutional Networks, arXiv:1312.6034.
    """

    units: ClassVar[str] = "logit per unit of the input"

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        *,
        target: Target = "difference",
        baselines: Tensor | None = None,  # noqa: ARG002
    ) -> Attribution:
        """Return the gradient, in units of the score per unit of the input; baselines are unused.

        Raises
        ------
        ContractError
            when x is not a finite floating-point tensor (batch, channel, *space).
        ExplainerRefusal
            when the model cannot be explained as it is; see `solarxai.engine.preparation.prepare`.
        """
        x = x.detach()
        with apart():
            prepared = prepare(model, x)
            weights = target_weights(target, batch=len(x), classes=prepared.classes)
            stream = Stream(prepared, batch_size=self.batch_size)
            parts = zip(stream.parts(x), stream.parts(weights), strict=True)
            values = torch.cat([stream.gradient(part, weight) for part, weight in parts])
        return Attribution(
            values=check_finite(values).contiguous(),
            passes=Passes(forward=stream.forward, backward=stream.backward),
        )
