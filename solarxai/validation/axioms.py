"""Which axioms a method keeps, measured on small networks whose answers are known."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from solarxai.errors import SolarxaiError
from solarxai.explainers import Attribution, Explainer, ExplainerWarning

__all__ = ["AXIOMS", "Measured", "measure_axiom", "measure_axioms"]

_SIZE = 8
_CHANNELS = 6
_IMAGES = 4


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How far a method is from an axiom.

    Parameters
    ----------
    axiom
        One of `AXIOMS`.
    violation
        0 where the axiom holds, 1 where the map is off by its own size; None where the method
        cannot be asked.
    reason
        Why it could not be asked, or an empty string.
    """

    axiom: str
    violation: float | None
    reason: str = ""

    def holds(self, *, tolerance: float = 1e-3) -> bool:
        """Return whether the violation was measured and is at most the tolerance."""
        return self.violation is not None and self.violation <= tolerance


def measure_axioms(
    explainer: Explainer, *, network: Callable[[int], nn.Module] | None = None, seed: int = 0
) -> dict[str, Measured]:
    """Return what `measure_axiom` finds for each of `AXIOMS`, by its name.

    Parameters
    ----------
    explainer
        A method with its options.
    network
        Makes a network (batch, 1, 8, 8) to (batch, 2) from a seed, for methods that cannot explain
        a convolutional one. Axioms that need a network of a certain kind then stay unasked.
    seed
        Of networks and images.
    """
    return {name: measure_axiom(name, explainer, network=network, seed=seed) for name in AXIOMS}


def measure_axiom(
    name: str,
    explainer: Explainer,
    *,
    network: Callable[[int], nn.Module] | None = None,
    seed: int = 0,
) -> Measured:
    """Return how far a method is from an axiom.

    Parameters
    ----------
    name
        One of `AXIOMS`:

        completeness
            The values sum to f(x) − f(0): |Σ − Δf| ÷ |Δf|. Lundberg & Lee call it local accuracy.
        sensitivity
            A pixel that alone differs from the baseline, and changes a saturated score, gets its
            change: |value − Δf| ÷ |Δf|, at most 1.
        implementation invariance
            Two networks that are one function have one map.
        linearity
            The map of f + 2g is the map of f plus twice that of g.
        symmetry
            Two pixels that the score cannot tell apart have one value.
        missingness
            A pixel that equals the baseline has the value 0.
        consistency
            A pixel that matters more to one function than to another, whatever the other pixels,
            has no smaller value: max(φ − φ', 0) ÷ |Δf|, at most 1, of min(x, 1) times three, φ',
            beside x, φ, at x = 2.
    explainer, network, seed
        See `measure_axioms`.

    Notes
    -----
    The baseline is the image of zeros, where the method has one. Differences of maps are ratios of
    Euclidean norms, differences of pixels are relative to the largest value of the map. Players are
    the pixels, or 16 blocks where a method refuses so many; a pixel then has its part of a block's
    value, which breaks every axiom about single pixels.

    References
    ----------
    Sundararajan, Taly & Yan 2017, Axiomatic Attribution for Deep Networks, arXiv:1703.01365.
    Lundberg & Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv:1705.07874.
    """
    found = _measured(name, _Subject(_from_zero(explainer), network, seed))
    if found.violation is None and "players" in _options(explainer):
        blocks = _from_zero(explainer, players="grid")
        found = _measured(name, _Subject(blocks, network, seed))
    return found


class _NotAskedError(Exception):
    """The axiom needs a network of a kind that the method cannot explain."""


@dataclass(frozen=True)
class _Subject:
    """A method that stands before the axioms."""

    explainer: Explainer
    made: Callable[[int], nn.Module] | None
    seed: int

    def network(self) -> nn.Module:
        """Return a network of 3×3 convolutions, or the one that was given."""
        return _convolutional(self.seed) if self.made is None else self.made(self.seed).eval()

    def pointwise(self) -> nn.Sequential:
        """Return a network of 1×1 convolutions, to which all pixels are alike."""
        if self.made is not None:
            raise _NotAskedError("the axiom is asked of a pointwise network")
        return _seeded(_layers(1), self.seed)

    def map(self, network: nn.Module, x: Tensor) -> Attribution:
        """Return the attribution of the second score, against zeros."""
        return self.explainer(network, x, target=1, baselines=torch.zeros_like(x[:1]))

    def images(self) -> Tensor:
        """Return images of positive noise."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return 0.2 + torch.rand((_IMAGES, 1, _SIZE, _SIZE), generator=generator)


def _completeness(subject: _Subject) -> float:
    network, x = subject.network(), subject.images()
    values = subject.map(network, x).values
    with torch.no_grad():
        change = (network(x) - network(torch.zeros_like(x)))[:, 1]
    return float(((values.flatten(1).sum(dim=1) - change).abs() / change.abs()).mean())


def _sensitivity(subject: _Subject) -> float:
    return min(abs(_of_one_pixel(subject, _saturated(1.0)) - 1.0), 1.0)


def _implementation_invariance(subject: _Subject) -> float:
    if subject.made is not None:
        raise _NotAskedError("the axiom is asked of a convolutional network")
    network = _convolutional(subject.seed)
    x = subject.images()
    return _distance(subject.map(_same(network), x).values, subject.map(network, x).values)


def _linearity(subject: _Subject) -> float:
    first = subject.network()
    second, both = copy.deepcopy(first), copy.deepcopy(first)
    heads = [_head(network) for network in (first, second, both)]
    generator = torch.Generator().manual_seed(subject.seed + 2)
    with torch.no_grad():
        for name, parameter in heads[1].named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
            one = heads[0].get_parameter(name)
            heads[2].get_parameter(name).copy_(one + 2 * parameter)
    maps = [subject.map(network, subject.images()).values for network in (first, second, both)]
    return _distance(maps[2], maps[0] + 2 * maps[1])


def _symmetry(subject: _Subject) -> float:
    x = subject.images()
    x[:, :, 1, 2] = x[:, :, 5, 6]
    values = subject.map(subject.pointwise(), x).values[:, 0]
    return float((values[:, 1, 2] - values[:, 5, 6]).abs().max() / values.abs().max())


def _missingness(subject: _Subject) -> float:
    x = subject.images()
    x[:, :, 2, 5] = 0.0
    values = subject.map(subject.pointwise(), x).values[:, 0]
    return float(values[:, 2, 5].abs().max() / values.abs().max())


def _consistency(subject: _Subject) -> float:
    weaker = _of_one_pixel(subject, _proportional())
    stronger = _of_one_pixel(subject, _saturated(3.0))
    return min(max(weaker - stronger, 0.0) / 2.0, 1.0)


def _of_one_pixel(subject: _Subject, weights: Sequence[Tensor]) -> float:
    """Return the value of the one pixel, 2, that differs from the baseline."""
    network = subject.pointwise()
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=False):
            parameter.copy_(value.expand_as(parameter))
    x = torch.zeros(1, 1, _SIZE, _SIZE)
    x[0, 0, 3, 4] = 2.0
    return float(subject.map(network, x).values[0, 0, 3, 4])


def _saturated(factor: float) -> tuple[Tensor, ...]:
    """Return weights of a pointwise network: the sum over pixels of factor · min(x, 1)."""
    total = torch.tensor(-factor * _SIZE**2 / _CHANNELS)
    each = torch.eye(_CHANNELS)[:, :, None, None]
    return torch.tensor(-1.0), torch.tensor(1.0), each, torch.tensor(0.0), total


def _proportional() -> tuple[Tensor, ...]:
    """Return weights of a pointwise network: the sum over pixels of x, where x is not negative."""
    total = torch.tensor(_SIZE**2 / _CHANNELS)
    each = torch.eye(_CHANNELS)[:, :, None, None]
    return torch.tensor(1.0), torch.tensor(0.0), each, torch.tensor(0.0), total


def _measured(name: str, subject: _Subject) -> Measured:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExplainerWarning)
            return Measured(axiom=name, violation=AXIOMS[name](subject))
    except SolarxaiError as error:
        return Measured(axiom=name, violation=None, reason=error.what)
    except _NotAskedError as error:
        return Measured(axiom=name, violation=None, reason=str(error))


AXIOMS: Mapping[str, Callable[[_Subject], float]] = MappingProxyType(
    {
        "completeness": _completeness,
        "sensitivity": _sensitivity,
        "implementation invariance": _implementation_invariance,
        "linearity": _linearity,
        "symmetry": _symmetry,
        "missingness": _missingness,
        "consistency": _consistency,
    }
)
"""What is asked of a method, by name."""


def _layers(kernel: int) -> nn.Sequential:
    edge = kernel // 2
    return nn.Sequential(
        nn.Conv2d(1, _CHANNELS, kernel, padding=edge),
        nn.ReLU(),
        nn.Conv2d(_CHANNELS, _CHANNELS, kernel, padding=edge),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(_CHANNELS, 2),
    )


def _seeded(network: nn.Sequential, seed: int) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 8
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan**0.5)
    return network.eval()


def _convolutional(seed: int) -> nn.Sequential:
    return _seeded(_layers(3), seed)


def _same(network: nn.Sequential) -> nn.Sequential:
    """Return the same function with its second convolution made of two linear ones."""
    generator = torch.Generator().manual_seed(7)
    turned, _ = torch.linalg.qr(torch.randn(_CHANNELS, _CHANNELS, generator=generator))
    before, convolution, *after = copy.deepcopy(list(network))[1:]
    back = nn.Conv2d(_CHANNELS, _CHANNELS, 1, bias=False)
    with torch.no_grad():
        for name in ("weight", "bias"):
            parameter = convolution.get_parameter(name)
            parameter.copy_(torch.tensordot(turned, parameter, dims=1))
        back.weight.copy_(turned.T[:, :, None, None])
    return nn.Sequential(network[0], before, convolution, back, *after).eval()


def _head(network: nn.Module) -> nn.Linear:
    """Return the last linear layer of a network."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def _options(explainer: Explainer) -> set[str]:
    return {field.name for field in fields(explainer)}


def _from_zero(explainer: Explainer, *, players: str = "pixels") -> Explainer:
    """Return the method with zeros as what stands for absence, and those players if any."""
    known = _options(explainer)
    wanted: dict[str, Any] = {"players": players, "n_players": 16, "fill": 0.0}
    if "fill_value" in known:
        wanted |= {"fill": "value", "fill_value": 0.0}
    return replace(explainer, **{k: v for k, v in wanted.items() if k in known})


def _distance(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())
