"""Expected Gradients: contributions to the score, averaged over baselines and paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solarxai.engine.paths import IMPORTANCE, Paths
from solarxai.engine.seeds import image_generator
from solarxai.engine.walks import Walk
from solarxai.errors import ContractError
from solarxai.explainers import Attribution, Explainer, Problem
from solarxai.explainers._sampling import Sampling

__all__ = ["ExpectedGradients"]

_CONTROL = ("auto", "on", "off")


class _Found(NamedTuple):
    values: Tensor
    stderr: Tensor
    gap: Tensor


@dataclass(frozen=True, kw_only=True)
class ExpectedGradients(Sampling):
    r"""The contribution of each input value to the score, against a set of baselines.

    Parameters
    ----------
    samples
        Gradients on the paths to an image; with `stop_at_stderr`, in one round. All are taken,
        over as many of the baselines as there are, and one more at the image itself.
    control
        Whether the gradients at the two ends of each path, drawn as a line between them, are
        integrated exactly and only the rest is sampled: "on", which takes one gradient a baseline
        once a call, "off", or "auto", on where there are no more baselines than samples.
    importance
        Whether the density of positions on the path is learnt from paths between baselines, by 64
        gradients once a call: "auto", used where the variance would fall by a third or more, "on",
        or "off".
    n_baselines
        How many training images to draw as baselines where the caller draws them; read by
        `solarxai.attribution`.

    Notes
    -----
    The expectation over baselines x′ and positions α of

    .. math:: (x - x') \, \frac{\partial f}{\partial x}\big(x' + \alpha (x - x')\big),

    whose sum is f(x) − ⟨f(x′)⟩. The estimator is stratified in both (`solarxai.engine.baselines`);
    with the control, (x − x′)·[(1 − α) ∇f(x′) + α ∇f(x)] is taken off each sample and its mean,
    which is the trapezoidal rule on all paths, is added. The standard error is that of the
    estimator for the *given* baselines: their own choice is not in it. Half of its square is a
    pixel's own and half that of the pixels around. Each image has its own random numbers and its
    own passes, so its map depends neither on its place in the batch nor on its neighbours. Where
    the first layer gives no more values than it takes, points start behind it
    (`solarxai.engine.stems`): a pass is then one of the rest of the network.

    References
    ----------
    Erion et al. 2021, doi:10.1038/s42256-021-00343-w. Lundberg & Lee 2017, arXiv:1705.07874.
    Owen 2013, Monte Carlo theory, methods and examples, chapters 8 to 10 (control variates,
    importance, stratification).
    """

    uses_baselines: ClassVar[bool] = True

    control: str = "auto"
    importance: str = "auto"
    n_baselines: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, known in (("control", _CONTROL), ("importance", IMPORTANCE)):
            if getattr(self, option) not in known:
                raise ContractError(
                    f"{type(self).__name__}: {option} is {getattr(self, option)!r}",
                    remedy=f"Choose one of {', '.join(known)}.",
                )

    def alone(self) -> Explainer:
        """Return the method itself: its passes hold one image each already."""
        return self

    def attribute(self, problem: Problem) -> Attribution:
        """Return the contributions, in units of the score, with standard and completeness error."""
        found = dict(self._each(problem))
        columns = zip(*(found[row] for row in range(len(problem.x))), strict=True)
        values, stderr, gaps = (torch.stack(column) for column in columns)
        return Attribution(values=values, stderr=stderr, completeness_error=gaps)

    def _each(self, problem: Problem) -> Iterator[tuple[int, _Found]]:
        """Yield the row of each image and what was found, images of one target together."""
        distinct, targets = torch.unique(problem.weights, dim=0, return_inverse=True)
        baselines = problem.given_baselines()
        control = self.control == "on" or (
            self.control == "auto" and len(baselines) <= self.samples
        )
        for number, weight in enumerate(distinct):
            paths = Paths(
                problem.stream, baselines, weight, control=control, importance=self.importance
            )
            for row in (targets == number).nonzero().flatten().tolist():
                yield row, self._explain(paths, problem.x[row])

    def _explain(self, paths: Paths, image: Tensor) -> _Found:
        walk = Walk(paths, image, image_generator(self.seed, image))
        for samples in self.rounds():
            walk.go(samples)
            values, stderr = walk.values(), walk.stderr()
            if self.enough(values, stderr) or not bool(torch.isfinite(values).all()):
                break
        return _Found(values, stderr, walk.completeness_error())
