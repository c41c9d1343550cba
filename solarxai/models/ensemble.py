"""Several networks of one architecture as one: its scores are the mean of theirs."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from solarxai.errors import ContractError

__all__ = ["Ensemble"]


class Ensemble(nn.Module):
    """The mean score before softmax of networks that were trained apart, (batch, classes).

    Parameters
    ----------
    architecture
        Import path of the class of the members, "package.module:Class".
    members
        How many there are.
    options
        Keyword arguments of that class, the same for every member.

    Attributes
    ----------
    members : torch.nn.ModuleList
        The networks; each can be explained on its own.

    Raises
    ------
    ContractError
        when there is no member, or the class cannot be found or built.

    Notes
    -----
    Scores are averaged, not probabilities, so every attribution that is linear in the score
    (gradients and their path integrals, Shapley values, occlusion) is the mean of those of the
    members, and their spread over the members is its uncertainty. A class activation map reads one
    last feature map, of which an ensemble has as many as members: explain the members one by one.

    References
    ----------
    Lakshminarayanan et al. 2017, Simple and scalable predictive uncertainty estimation using deep
    ensembles, arXiv:1612.01474.

    Examples
    --------
    >>> from solarxai.models.ensemble import Ensemble
    >>> path = "solarxai.models.residual_cnn:ResidualCNN"
    >>> len(Ensemble(path, 3, {"axes": 1, "width": 4}).members)
    3
    """

    def __init__(
        self, architecture: str, members: int, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        if members < 1:
            raise ContractError(
                f"an ensemble cannot have {members} members", remedy="Give one member or more."
            )
        self.members = nn.ModuleList(
            [_built(architecture, dict(options or {})) for _ in range(members)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the members' scores of x."""
        total = self.members[0](x)
        for member in list(self.members)[1:]:
            total = total + member(x)
        scores: Tensor = total / len(self.members)
        return scores


def _built(architecture: str, options: dict[str, Any]) -> nn.Module:
    module, _, name = architecture.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(**options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ContractError(
            f"cannot build the member {architecture!r} with options {options}: {error}",
            remedy="Give an import path 'package.module:Class' that is installed or on PYTHONPATH.",
        ) from error
    if not isinstance(made, nn.Module):
        raise ContractError(
            f"{architecture!r} gives a {type(made).__name__}",
            remedy="Name a class derived from torch.nn.Module.",
        )
    return made
