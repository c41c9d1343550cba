"""Networks before and after training: built for their samples, put together as an ensemble."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from solarxai import registry
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ContractError, TrainingError
from solarxai.models.ensemble import Ensemble

__all__ = ["together", "untrained"]


def untrained(model: str, options: Mapping[str, Any], contract: InputContract) -> Classifier:
    """Return a classifier with the initial weights that torch's generator gives.

    Parameters
    ----------
    model, options
        Name of a file of `solarxai.models` and keyword arguments of its class. Where it has them,
        `axes` and `length` are set by the contract of spectra, unless given.
    contract
        The input contract.

    Raises
    ------
    TrainingError
        when there is no such model, it cannot be built, or does not take such samples.
    """
    if model == "ensemble":
        raise TrainingError(
            "an ensemble is trained member by member",
            remedy="Name the model of its members, and give members=5.",
        )
    architecture = registry.load("solarxai.models", model, error=TrainingError)
    stated = {"classes": len(contract.classes), **_spectral(architecture, contract), **options}
    try:
        network = architecture(**stated)
    except TypeError as error:
        raise TrainingError(
            f"model {model!r} cannot be built with options {dict(options)}: {error}",
            remedy=f"See the parameters of {architecture.__module__}:{architecture.__name__}.",
        ) from error
    made = Classifier(
        network=network.eval(),
        contract=contract,
        architecture=f"{architecture.__module__}:{architecture.__qualname__}",
        options=stated,
    )
    _check_fit(made, model)
    return made


def together(members: Sequence[Classifier]) -> Classifier:
    """Return the classifier whose scores are the mean of those of the members, one as it is."""
    first = members[0]
    if len(members) == 1:
        return first
    network = Ensemble(first.architecture, len(members), first.options)
    network.members = nn.ModuleList([member.network for member in members])
    options = {
        "architecture": first.architecture, "members": len(members), "options": first.options
    }  # fmt: skip
    return Classifier(
        network=network.eval(),
        contract=first.contract,
        architecture=f"{Ensemble.__module__}:{Ensemble.__qualname__}",
        options=options,
    )


def _spectral(architecture: Any, contract: InputContract) -> dict[str, int]:
    """Return the options that the samples of a spectral contract settle."""
    if contract.wavelength is None:
        return {}
    known = {"axes": len(contract.shape), "length": contract.shape[-1]}
    names = inspect.signature(architecture).parameters
    return {name: value for name, value in known.items() if name in names}


def _check_fit(made: Classifier, model: str) -> None:
    shape = made.contract.shape
    try:
        made.scores(np.ones((1, *shape), dtype=np.float32))
    except (RuntimeError, ValueError, IndexError, ContractError) as error:
        raise TrainingError(
            f"model {model!r} with options {dict(made.options)} does not take samples of "
            f"{tuple(shape)}: {error}",
            remedy="Choose a model and options made for such samples.",
        ) from error
