"""The same network knowing nothing: its weights shuffled, its maps beside the trained one's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import nn

from solarxai import registry
from solarxai.classifier import Classifier
from solarxai.errors import ExplainerRefusal
from solarxai.explainers import Explainer

__all__ = ["RandomWeights", "random_weights", "shuffle_weights"]

_SAMPLES = 20
"""Evaluations an image of sampling methods: enough for a median over dozens of structures."""
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, kw_only=True, eq=False)
class RandomWeights:
    """The maps of a network whose weights were shuffled.

    Parameters
    ----------
    rows
        (row,) the samples explained.
    maps
        (row, y, x) by method.
    left_out
        Rows (method, reason) for methods without this null.
    """

    rows: npt.NDArray[np.intp]
    maps: dict[str, npt.NDArray[np.float32]]
    left_out: tuple[dict[str, str], ...] = ()


def shuffle_weights(network: nn.Module, x: torch.Tensor, *, seed: int = 0) -> nn.Module:
    """Return a copy of the network, in evaluation mode, with the entries of each tensor shuffled.

    Parameters
    ----------
    network
        Any module; it is left alone.
    x
        (batch, channel, *space) inputs on which running statistics are measured anew.
    seed
        Of the permutations.

    Notes
    -----
    Shuffling keeps each tensor's distribution, so the copy is a draw from a plausible initialiser
    whatever the architecture. Batch-norm statistics belonged to the old weights: they are measured
    again on `x`.
    """
    made = copy.deepcopy(network).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
        _measure_statistics(made, x)
    return made


def random_weights(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Sequence[str],
    *,
    seed: int = 0,
    most: int = 64,
) -> RandomWeights:
    """Return the maps of the methods for a network with shuffled weights, on a few sunspots.

    Parameters
    ----------
    samples
        The structures.
    classifier
        The trained classifier.
    methods
        Names of the methods; those that are no explainer of this library, or refuse, are left out.
    seed
        Of the shuffling.
    most
        Most sunspots of each origin, evenly spread over the list.
    """
    rows = _few_sunspots(samples, most)
    if not any(p.numel() > 1 for p in classifier.network.parameters()) or not len(rows):
        reason = "the network has no weights" if len(rows) else "there are no sunspots"
        return RandomWeights(rows=rows, maps={}, left_out=_reasons(methods, reason))
    x = classifier.tensor(samples["image"].values[rows])
    blind = shuffle_weights(classifier.network, x, seed=seed)
    maps, left_out = {}, []
    known = registry.names("solarxai.explainers")
    for method in methods:
        try:
            if method not in known:
                raise ExplainerRefusal("not a method of this library", remedy="")
            maps[method] = _explained(_cheap(method), blind, x)
        except ExplainerRefusal as refusal:
            left_out.append({"method": method, "reason": refusal.what})
    return RandomWeights(rows=rows, maps=maps, left_out=tuple(left_out))


def _measure_statistics(network: nn.Module, x: torch.Tensor) -> None:
    norms = [m for m in network.modules() if isinstance(m, _BATCH_NORM) and m.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    if norms:
        for block in torch.split(x, 32):
            network(block)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def _few_sunspots(samples: xr.Dataset, most: int) -> npt.NDArray[np.intp]:
    chosen = []
    for origin in sorted(set(samples["origin"].values.tolist())):
        rows = np.flatnonzero(
            (samples["origin"].values == origin) & (samples["label"].values == "sunspot")
        )
        spread = np.linspace(0, max(len(rows) - 1, 0), min(most, len(rows))).round().astype(int)
        chosen.append(rows[spread])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.intp)


def _cheap(method: str) -> Explainer:
    made: Explainer = registry.load("solarxai.explainers", method)()
    if "samples" in {f.name for f in fields(made)}:
        options: dict[str, Any] = {"samples": _SAMPLES}
        return replace(made, **options)
    return made


def _explained(
    explainer: Explainer, network: nn.Module, x: torch.Tensor
) -> npt.NDArray[np.float32]:
    values = explainer(network, x, baselines=x).values
    return values.detach()[:, 0].numpy().astype(np.float32)


def _reasons(methods: Sequence[str], reason: str) -> tuple[dict[str, str], ...]:
    return tuple({"method": method, "reason": reason} for method in methods)
