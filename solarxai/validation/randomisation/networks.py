"""Copies of a classifier that have forgotten some layers, or all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from solarxai.classifier import Classifier, evaluation_mode
from solarxai.errors import ContractError, ValidationError
from solarxai.models.ensemble import Ensemble

__all__ = ["Layer", "RandomNetworks", "Randomised", "Statistics"]

Statistics = Literal["measure", "reset"]

_BLOCK = 32
_NETWORK = "(network)"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What is redrawn together.

    Parameters
    ----------
    name
        Path of the module that draws at random; "(network)" for tensors of the network itself.
    drawn
        Names of the tensors that its initialiser draws at random.
    fixed
        Names of those it sets to constants, such as biases and the factors of a batch norm. Modules
        that have no others belong to the layer called before them.
    norms
        Paths of its batch norms.
    """

    name: str
    drawn: tuple[str, ...]
    fixed: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Randomised:
    """A classifier some of whose layers were drawn anew.

    Parameters
    ----------
    classifier
        A copy; the original shares nothing with it.
    layer
        Name of the layer that was drawn last.
    layers
        Names of all that were drawn, in that order.
    """

    classifier: Classifier
    layer: str
    layers: tuple[str, ...]


class RandomNetworks:
    """Copies of a classifier with layers drawn anew, each from its own initialiser.

    Parameters
    ----------
    classifier
        It is left alone.
    seed
        Of all that is drawn. Every layer has a seed of its own made of this one and its place, so
        layers of one shape differ.
    statistics
        What becomes of the running statistics of batch norms. "measure": those of the redrawn
        layers and of all called after them are measured on `images`, as training would have left
        them. "reset": those of the redrawn layers are 0 and 1, as before training, and the others
        stay, although they normalise what no longer comes.
    images
        (sample, *shape) for "measure".

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which the network calls them, the first sees the input.

    Raises
    ------
    ValidationError
        when no layer draws anything at random, a tensor has no initialiser, the initialiser does
        not follow torch's generator, or statistics cannot be measured for want of images.

    Notes
    -----
    A layer's own initialiser is the constructor of `classifier.architecture` with its options: a
    whole network is built with the seed of the layer, and the layer's tensors are taken from it.
    Where that class cannot be imported, it is `reset_parameters` of each module that holds tensors.
    The members of an `Ensemble` are redrawn together, the same layer of each, with other numbers.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        seed: int = 0,
        statistics: Statistics = "measure",
        images: npt.NDArray[np.float32] | None = None,
    ) -> None:
        if statistics not in ("measure", "reset"):
            raise ValidationError(
                f"statistics {statistics!r} are unknown", remedy="Give 'measure' or 'reset'."
            )
        self._classifier, self._seed, self._statistics = classifier, seed, statistics
        self.layers = _layers(classifier)
        self._images = images
        if statistics == "measure" and images is None and any(x.norms for x in self.layers):
            raise ValidationError(
                "statistics of batch norms cannot be measured without images",
                remedy="Give images, or statistics='reset'.",
            )

    def cascade(self, *, order: Literal["top", "bottom"] = "top") -> Iterator[Randomised]:
        """Yield a copy a layer, each with one layer more redrawn, from the scores downwards.

        The last one knows nothing. With order "bottom" it goes from the input upwards.
        """
        places = list(range(len(self.layers)))
        turns = places[::-1] if order == "top" else places
        for count in range(1, len(turns) + 1):
            yield self._redrawn(turns[:count])

    def independent(self) -> Iterator[Randomised]:
        """Yield a copy a layer, each with that layer alone redrawn, from the scores downwards."""
        for place in reversed(range(len(self.layers))):
            yield self._redrawn([place])

    def upper(self, count: int) -> Randomised:
        """Return a copy with so many layers redrawn from the scores downwards: one of `cascade`."""
        return self._redrawn(list(range(len(self.layers)))[::-1][:count])

    def full(self) -> Randomised:
        """Return a copy with every layer redrawn: the last one of `cascade`."""
        return self.upper(len(self.layers))

    def _redrawn(self, places: Sequence[int]) -> Randomised:
        network = copy.deepcopy(self._classifier.network)
        with torch.no_grad():
            for place in places:
                layer = self.layers[place]
                fresh = _tensors(_fresh(self._classifier, _seed(self._seed, place)))
                own = _tensors(network)
                for name in _everywhere(network, (*layer.drawn, *layer.fixed)):
                    own[name].copy_(fresh[name])
            self._set_statistics(network, places)
        chosen = tuple(self.layers[place].name for place in places)
        return Randomised(
            classifier=replace(self._classifier, network=network), layer=chosen[-1], layers=chosen
        )

    def _set_statistics(self, network: nn.Module, places: Sequence[int]) -> None:
        measured = self._statistics == "measure"
        later = range(min(places), len(self.layers)) if measured else places
        paths = _everywhere(network, [n for place in later for n in self.layers[place].norms])
        norms = [network.get_submodule(path) for path in paths]
        for norm in norms:
            if isinstance(norm, _BatchNorm):
                norm.reset_running_stats()
        if norms and measured and self._images is not None:
            _measure(network, norms, self._classifier.tensor(self._images))


def _layers(classifier: Classifier) -> tuple[Layer, ...]:
    """Return the layers of a network, or of each member of an ensemble, in the order of calls."""
    member = _member(classifier.network)
    drawn = _drawn_at_random(classifier)
    found: list[Layer] = []
    early: list[Layer] = []
    for path in _calls(member, classifier):
        layer = _layer(path, member.get_submodule(path), drawn)
        if layer.drawn:
            found.append(layer)
        elif found:
            found[-1] = _joined(found[-1], layer)
        else:
            early.append(layer)
    if not found:
        raise ValidationError(
            f"{classifier.architecture}: its initialiser draws no tensor at random, so its "
            "randomised copies would all be one",
            remedy="Give the network initial weights that depend on torch's generator.",
        )
    for layer in early:
        found[0] = _joined(found[0], layer)
    return tuple(found)


def _layer(path: str, module: nn.Module, drawn: frozenset[str]) -> Layer:
    names = [f"{path}.{n}".lstrip(".") for n, _ in module.named_parameters(recurse=False)]
    keeps = isinstance(module, _BatchNorm) and module.track_running_stats
    return Layer(
        name=path or _NETWORK,
        drawn=tuple(n for n in names if n in drawn),
        fixed=tuple(n for n in names if n not in drawn),
        norms=(path,) if keeps else (),
    )


def _joined(layer: Layer, other: Layer) -> Layer:
    return replace(layer, fixed=layer.fixed + other.fixed, norms=layer.norms + other.norms)


def _calls(network: nn.Module, classifier: Classifier) -> list[str]:
    """Return the paths of modules with tensors of their own, in the order of their first calls.

    One that is never called, its tensors being read by others, comes after the one defined before.
    """
    paths = [path for path, module in network.named_modules() if _own(module)]
    first: dict[str, int] = {}

    def note(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, _given: Any) -> None:
            first.setdefault(path, len(first))

        return hook

    hooks = [network.get_submodule(p).register_forward_pre_hook(note(p)) for p in paths]
    try:
        with torch.no_grad(), evaluation_mode(network):
            network(torch.zeros(1, 1, *classifier.contract.shape))
    finally:
        for hook in hooks:
            hook.remove()
    place, turns = -1, {}
    for path in paths:
        place = first.get(path, place)
        turns[path] = place
    return sorted(paths, key=turns.__getitem__)


def _own(module: nn.Module) -> bool:
    parameters = any(True for _ in module.parameters(recurse=False))
    return parameters or (isinstance(module, _BatchNorm) and module.track_running_stats)


def _drawn_at_random(classifier: Classifier) -> frozenset[str]:
    """Return which tensors of a network, or of an ensemble's first member, differ between seeds."""
    one, again, other = (_tensors(_member(_fresh(classifier, seed))) for seed in (1, 1, 2))
    unsteady = [name for name in one if not torch.equal(one[name], again[name])]
    if unsteady:
        raise ValidationError(
            f"{classifier.architecture}: one seed gives {unsteady} two values",
            remedy="Draw initial weights with torch's generator alone.",
        )
    return frozenset(name for name in one if not torch.equal(one[name], other[name]))


def _fresh(classifier: Classifier, seed: int) -> nn.Module:
    """Return the network as its own initialiser makes it."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        try:
            built = Ensemble(classifier.architecture, 1, classifier.options).members[0]
        except ContractError:
            return _reset(classifier, seed)
        return built if _fits(built, classifier.network) else _reset(classifier, seed)


def _reset(classifier: Classifier, seed: int) -> nn.Module:
    made = copy.deepcopy(classifier.network)
    torch.default_generator.manual_seed(seed)
    for path, module in made.named_modules():
        reset = getattr(module, "reset_parameters", None)
        names = [f"{path}.{n}".lstrip(".") for n, _ in module.named_parameters(recurse=False)]
        if names and not callable(reset):
            raise ValidationError(
                f"{classifier.architecture} cannot be built again, and the module of {names} has "
                "no reset_parameters: it has no initialiser",
                remedy="Give a classifier whose class can be imported and built with its options, "
                "or give the module a method reset_parameters.",
            )
        if names and callable(reset):
            reset()
    return made


def _fits(built: nn.Module, network: nn.Module) -> bool:
    one, other = _tensors(built), _tensors(network)
    return one.keys() == other.keys() and all(one[n].shape == other[n].shape for n in one)


def _measure(network: nn.Module, norms: Sequence[nn.Module], x: Tensor) -> None:
    """Set the running statistics of batch norms to the means over the batches of x."""
    chosen = [norm for norm in norms if isinstance(norm, _BatchNorm)]
    momenta = [norm.momentum for norm in chosen]
    with evaluation_mode(network):
        for norm in chosen:
            norm.momentum = None
            norm.train()
        for block in torch.tensor_split(x, max(1, -(-len(x) // _BLOCK))):
            network(block)
    for norm, momentum in zip(chosen, momenta, strict=True):
        norm.momentum = momentum


def _member(network: nn.Module) -> nn.Module:
    return network.members[0] if isinstance(network, Ensemble) else network


def _everywhere(network: nn.Module, names: Sequence[str]) -> list[str]:
    """Return the names as they are in the network: once, or once a member."""
    if not isinstance(network, Ensemble):
        return list(names)
    return [f"members.{i}.{name}" for i in range(len(network.members)) for name in names]


def _tensors(network: nn.Module) -> Mapping[str, Tensor]:
    return dict(network.named_parameters())


def _seed(seed: int, place: int) -> int:
    """Return a seed of its own for each layer of each network."""
    return int(np.random.SeedSequence([seed, place]).generate_state(1, np.uint64)[0] >> 1)
