"""Expected Gradients: contributions to the score, averaged over baselines and paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from solarxai.engine.paths import IMPORTANCE, Paths, paths_from
from solarxai.engine.seeds import image_generator
from solarxai.engine.shared_passes import Asking, answered_together
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
    shared_passes
        Whether points on the paths to several images go through the network in one pass, where
        those to one do not fill it: faster with few samples, and a map then depends on its
        neighbours by rounding.

    Notes
    -----
    The expectation over baselines x′ and positions α of

    .. math:: (x - x') \, \frac{\partial f}{\partial x}\big(x' + \alpha (x - x')\big),

    whose sum is f(x) − ⟨f(x′)⟩. The estimator is stratified in both (`solarxai.engine.baselines`);
    with the control, (x − x′)·[(1 − α) ∇f(x′) + α ∇f(x)] is taken off each sample and its mean,
    which is the trapezoidal rule on all paths, is added. The standard error is that of the
    estimator for the *given* baselines: their own choice is not in it. Half of its square is a
    pixel's own and half that of the pixels around. Each image has its own random numbers, so
    its map depends neither on its place in the batch nor, but for rounding, on its neighbours.
    Where the first layer gives no more values than it takes, points start behind it
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
    shared_passes: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for option, known in (("control", _CONTROL), ("importance", IMPORTANCE)):
            if getattr(self, option) not in known:
                raise ContractError(
                    f"{type(self).__name__}: {option} is {getattr(self, option)!r}",
                    remedy=f"Choose one of {', '.join(known)}.",
                )

    def alone(self) -> Explainer:
        """Return the same method with every image in passes of its own."""
        return replace(self, shared_passes=False)

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
            paths = paths_from(
                problem.stream, baselines, weight, control=control, importance=self.importance
            )
            rows = (targets == number).nonzero().flatten().tolist()
            groups = [rows] if self.shared_passes else [[row] for row in rows]
            for group in groups:
                walks = (self._explained(paths, problem.x[row]) for row in group)
                ended = answered_together(walks, paths.scored, most=self.batch_size)
                yield from ((group[place], found) for place, found in ended)

    def _explained(self, paths: Paths, image: Tensor) -> Asking[_Found]:
        walk = Walk(paths, image, image_generator(self.seed, image))
        for samples in self.rounds():
            yield from walk.go(samples)
            values, stderr = walk.values(), walk.stderr()
            if self.enough(values, stderr) or not bool(torch.isfinite(values).all()):
                break
        return _Found(values, stderr, walk.completeness_error())
