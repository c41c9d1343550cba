"""Expected Gradients: contributions to the score, averaged over baselines and paths."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from solarxai.engine.gradients import Stream, apart, check_finite
from solarxai.engine.paths import Paths
from solarxai.engine.preparation import prepare
from solarxai.engine.seeds import image_generator
from solarxai.engine.targets import target_weights
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer, Passes, Target

__all__ = ["ExpectedGradients"]


@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(Explainer):
    r"""The contribution of each input value to the score, against a set of baselines.

    Parameters
    ----------
    samples
        Most gradients an image; with B baselines ⌊samples/B⌋·B of them are taken, or `samples`
        where there are more baselines than that.
    seed
        Of the path positions, together with the image itself.
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The expectation over baselines x′ and positions α of

    .. math:: (x - x') \, \frac{\partial f}{\partial x}\big(x' + \alpha (x - x')\big),

    whose sum is f(x) − ⟨f(x′)⟩. The estimator is stratified in both (`solarxai.engine.baselines`).
    The standard error is that of the estimator for the *given* baselines: their own choice is not
    in it. Each image has its own random numbers and its own passes, so its map depends neither on
    its place in the batch nor on its neighbours.

    References
    ----------
    Erion et al. 2021, doi:10.1038/s42256-021-00343-w. Lundberg & Lee 2017, arXiv:1705.07874.
    """

    samples: int = field(default=200, metadata={"minimum": 2})
    seed: int = field(default=0, metadata={"minimum": 0})
    n_baselines: int = 100

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        *,
        target: Target = "difference",
        baselines: Tensor | None = None,
    ) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error.

        Raises
        ------
        ContractError
            when x is not a finite floating-point tensor (batch, channel, *space), or the baselines
            are missing or not of its kind.
        ExplainerRefusal
            when the model cannot be explained as it is; see `solarxai.engine.preparation.prepare`.
        """
        references = _checked(baselines, x)
        x = x.detach()
        with apart():
            prepared = prepare(model, x)
            weights = target_weights(target, batch=len(x), classes=prepared.classes)
            stream = Stream(prepared, batch_size=self.batch_size)
            paths = Paths(stream, references)
            found = [self._explain(paths, *pair) for pair in zip(x, weights, strict=True)]
        values, stderr, gaps = (torch.stack(part) for part in zip(*found, strict=True))
        return Attribution(
            values=check_finite(values),
            stderr=stderr,
            completeness_error=gaps,
            passes=Passes(forward=stream.forward, backward=stream.backward),
        )

    def _explain(
        self, paths: Paths, image: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = image_generator(self.seed, image)
        values, stderr = paths.integrate(image, weight, samples=self.samples, generator=generator)
        return values, stderr, paths.completeness_error(values, image, weight)


def _checked(baselines: Tensor | None, x: Tensor) -> Tensor:
    if baselines is None:
        raise ContractError(
            "expected_gradients needs baselines and got none",
            remedy="Give training images as baselines=(baseline, channel, *space).",
        )
    if baselines.shape[1:] != x.shape[1:] or not len(baselines) or baselines.dtype != x.dtype:
        raise ContractError(
            f"baselines are {baselines.dtype} {tuple(baselines.shape)} for images of {x.dtype} "
            f"{tuple(x.shape)}",
            remedy="Give one baseline or more of the images' own shape and type.",
        )
    if not bool(torch.isfinite(baselines).all()):
        raise ContractError(
            "the baselines contain values that are not finite",
            remedy="Leave such images out.",
        )
    return baselines.detach().to(x.device)
