"""How well a map foretells what a change of the image does, and how steady it is near it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from solarxai.attribution.inputs import as_rows
from solarxai.classifier import Classifier, evaluation_mode
from solarxai.explainers import Explainer
from solarxai.metrics import block_bootstrap
from solarxai.schema import kind_of

__all__ = ["infidelity", "max_sensitivity", "sensitivity_rows", "spread"]

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]


def infidelity(foretold: Array, change: Array) -> float:
    r"""Return how much of a change of score a map does not foretell: 0 all is foretold, 1 nothing.

    Parameters
    ----------
    foretold
        (perturbation,) :math:`I^T \Phi`, the map's sum over each perturbation I.
    change
        (perturbation,) :math:`f(x) - f(x - I)`, logit.

    Notes
    -----
    .. math:: \frac{E[(\beta I^T \Phi - \Delta f)^2]}{E[\Delta f^2]},
              \quad \beta = \max\left(0, \frac{E[I^T \Phi\, \Delta f]}{E[(I^T \Phi)^2]}\right)

    The factor β makes it blind to the size of a map, as in the authors' code. There, and in captum,
    β may be negative, so that the negative of a perfect map is perfect; here it is worth nothing.
    NaN where no perturbation changes the score.

    References
    ----------
    Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations, arXiv:1901.09392, eq. 1.
    """
    power, square = float(np.mean(change**2)), float(np.mean(foretold**2))
    if power == 0:
        return math.nan
    beta = max(float(np.mean(foretold * change)) / square, 0.0) if square > 0 else 0.0
    return float(np.mean((beta * foretold - change) ** 2)) / power


def max_sensitivity(
    explain: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    radius: float,
    n: int = 8,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    r"""Return the greatest relative change of the map near each image, (image,).

    Parameters
    ----------
    explain
        Images (image, channel, *space) to maps of the same shape.
    x
        The images.
    radius
        Half the side of the cube from which images near x are drawn, in units of x.
    n
        How many are drawn: the maximum over more is greater, so only equal n compare.
    seed
        Of the draw; image and seed alone decide what is drawn.

    Notes
    -----
    .. math:: \max_{\|y - x\|_\infty \le r} \|\Phi(y) - \Phi(x)\|_2 / \|\Phi(x)\|_2

    NaN where the map of x is zero.

    References
    ----------
    Yeh et al. 2019, arXiv:1901.09392, definition 2, there without the norm of Φ(x).
    """
    before = explain(x).flatten(1).double()
    norm = before.norm(dim=1)
    worst = torch.zeros_like(norm)
    draws = torch.stack([_nearby(image, radius, n, seed) for image in x], dim=1)
    for near in draws:
        change = (explain(near).flatten(1).double() - before).norm(dim=1)
        worst = torch.maximum(worst, change)
    ratio = torch.where(norm > 0, worst / norm.clamp_min(1e-300), math.nan)
    return np.asarray(ratio.detach().cpu().numpy())


def sensitivity_rows(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    radius: float = 0.01,
    n: int = 4,
    most: int = 16,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Return the max-sensitivity of each method, a row a method and group.

    Parameters
    ----------
    samples, classifier
        What is explained.
    explainers
        Methods by name.
    baselines
        (baseline, 1, *space) for methods that need some.
    radius
        Of the cube, in units of the samples' image.
    n
        Images drawn near each.
    most
        Samples explained, spread evenly over origins and labels.
    n_bootstrap, seed
        Resamples of the regions; seed of what is drawn.
    progress
        Called with (done, total, what).

    Returns
    -------
    list of dict
        `quantity` "max-sensitivity", its `interval` (mean over samples), and `noise`: the mean
        relative change of the map of the *same* image under two other seeds of the method, 0 for a
        method without one. A method that samples cannot be steadier than that.
    """
    samples = as_rows(samples, classifier)
    rows = spread(samples, most)
    chosen = samples.isel(sample=rows)
    x = classifier.tensor(chosen["image"].values)
    made: list[dict[str, Any]] = []
    with evaluation_mode(classifier.network):
        for done, (method, explainer) in enumerate(explainers.items()):
            explain = _explaining(explainer, classifier, baselines)
            step = radius / classifier.contract.scale
            values = max_sensitivity(explain, x, radius=step, n=n, seed=seed)
            noise = _noise(explainer, classifier, baselines, x)
            made += _sensitivity_rows(chosen, method, values, noise, n_bootstrap, seed)
            if progress:
                progress(done + 1, len(explainers), "max-sensitivity")
    return made


def spread(samples: xr.Dataset, most: int | None) -> npt.NDArray[np.intp]:
    """Return the rows of at most so many samples, evenly over origins and labels that are classes.

    Parameters
    ----------
    samples
        Samples.
    most
        At most so many in all, at least one a group; None for all.
    """
    origin, label = samples["origin"].values, samples["label"].values
    classes = kind_of(samples).classes
    groups = [
        np.flatnonzero((origin == o) & (label == w)) for o in sorted(set(origin)) for w in classes
    ]
    groups = [rows for rows in groups if len(rows)]
    share = max(most // len(groups), 1) if most is not None and groups else None
    taken = [
        rows[np.linspace(0, len(rows) - 1, min(share or len(rows), len(rows))).round().astype(int)]
        for rows in groups
    ]
    return np.sort(np.concatenate(taken)) if taken else np.zeros(0, dtype=np.intp)


def _nearby(image: Tensor, radius: float, n: int, seed: int) -> Tensor:
    """Return n images from the cube around one, (draw, channel, *space)."""
    key = hashlib.sha256(f"{seed}:".encode() + image.cpu().numpy().tobytes()).digest()
    generator = np.random.default_rng(int.from_bytes(key[:8], "big"))
    return image + torch.from_numpy(generator.uniform(-radius, radius, (n, *image.shape))).to(image)


def _explaining(
    explainer: Explainer, classifier: Classifier, baselines: Tensor | None
) -> Callable[[Tensor], Tensor]:
    def explain(x: Tensor) -> Tensor:
        return explainer(classifier.network, x, baselines=baselines).values.detach()

    return explain


def _noise(
    explainer: Explainer, classifier: Classifier, baselines: Tensor | None, x: Tensor
) -> npt.NDArray[np.float64]:
    """Return the relative change of each map when only the method's own seed changes, (image,)."""
    if "seed" not in {f.name for f in fields(explainer)}:
        return np.zeros(len(x))
    maps = []
    for seed in (101, 202):
        other: dict[str, Any] = {"seed": seed}
        maps.append(_explaining(replace(explainer, **other), classifier, baselines)(x))
    one, two = (values.flatten(1).double() for values in maps)
    return np.asarray(((one - two).norm(dim=1) / one.norm(dim=1)).cpu().numpy())


def _sensitivity_rows(
    samples: xr.Dataset, method: str, values: Array, noise: Array, n_bootstrap: int, seed: int
) -> list[dict[str, Any]]:
    origin, label = samples["origin"].values, samples["label"].values
    made = []
    for name, word in sorted(set(zip(origin.tolist(), label.tolist(), strict=True))):
        here = (origin == name) & (label == word) & np.isfinite(values)
        if not here.any():
            continue
        found = block_bootstrap(
            np.mean, values[here], groups=samples["region"].values[here], n=n_bootstrap, seed=seed
        )
        made.append(
            {
                "method": method,
                "group": f"{name} · {word}",
                "label": word,
                "quantity": "max-sensitivity",
                "fill": "",
                "interval": found,
                "structures": int(here.sum()),
                "noise": float(np.mean(noise[here])),
                "control": False,
            }
        )
    return made
