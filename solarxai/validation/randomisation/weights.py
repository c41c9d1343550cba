"""Does a map change when the network forgets what it learnt? If not, it does not show it.

Adebayo et al. 2018: the weights are drawn anew layer by layer, and each map is compared with that
of the trained network. Edge detectors, which know no network, stand beside every method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai.attribution import draw_baselines
from solarxai.classifier import Classifier
from solarxai.errors import ExplainerRefusal, ValidationError
from solarxai.explainers import Explainer
from solarxai.validation.randomisation._comparison import Found, Structures, another_seed, thinned
from solarxai.validation.randomisation._edges import edge_controls
from solarxai.validation.randomisation.checks import (
    CEILING,
    CHANCE,
    FLOOR,
    LANDMARKS,
    randomisation_checks,
    sensitivities,
)
from solarxai.validation.randomisation.labels import (
    LabelRandomisation,
    label_checks,
    label_randomisation,
    permuted_labels,
)
from solarxai.validation.randomisation.networks import (
    Layer,
    Randomised,
    RandomNetworks,
    Statistics,
)
from solarxai.validation.randomisation.similarity import Described
from solarxai.validation.report import Resampling

__all__ = [
    "LabelRandomisation",
    "Layer",
    "RandomNetworks",
    "Randomisation",
    "Randomised",
    "cascade",
    "edge_controls",
    "independent",
    "label_checks",
    "label_randomisation",
    "permuted_labels",
    "randomisation_checks",
    "randomisation_test",
    "sensitivities",
]

Array = npt.NDArray[Any]
Progress = Callable[[int, int, str], None]
Mode = Literal["cascade", "independent"]
Row = Mapping[str, Any]

_BASELINES = 100


@dataclass(frozen=True, kw_only=True)
class Randomisation:
    """How alike maps are before and after the network forgot.

    Parameters
    ----------
    rows
        One a method, origin, stage and measure: `method`, `group`, `mode`, `layer` (drawn last),
        `depth` (layers drawn so far), `measure`, `interval`, `structures`, `undefined` (maps
        without similarity, such as constant ones) and `networks`. The mode is "cascade",
        "independent", "full" (every layer drawn), "half" (the upper half of the layers, the middle
        one too) or "reference": the map of the random network
        moved to elsewhere (chance, for maps as smooth as these), two random networks (the floor),
        the trained one under another sampling seed (the ceiling), and the edge detectors beside the
        maps of the trained and of the random networks.
    layers
        What was drawn, from the input upwards.
    left_out
        Rows (method, reason) for methods that refuse the network.
    """

    rows: tuple[Row, ...]
    layers: tuple[Layer, ...]
    left_out: tuple[dict[str, str], ...] = ()


def cascade(
    classifier: Classifier,
    *,
    order: Literal["top", "bottom"] = "top",
    seed: int = 0,
    statistics: Statistics = "measure",
    images: npt.NDArray[np.float32] | None = None,
) -> Iterator[Randomised]:
    """Yield copies with one layer more drawn anew each; see `RandomNetworks`."""
    made = RandomNetworks(classifier, seed=seed, statistics=statistics, images=images)
    return made.cascade(order=order)


def independent(
    classifier: Classifier,
    *,
    seed: int = 0,
    statistics: Statistics = "measure",
    images: npt.NDArray[np.float32] | None = None,
) -> Iterator[Randomised]:
    """Yield copies with one layer drawn anew each, the others as trained; see `RandomNetworks`."""
    made = RandomNetworks(classifier, seed=seed, statistics=statistics, images=images)
    return made.independent()


def randomisation_test(
    samples: xr.Dataset,
    classifier: Classifier,
    methods: Mapping[str, Explainer],
    *,
    baselines: torch.Tensor | None = None,
    modes: Sequence[Mode] = ("cascade",),
    n_seeds: int = 5,
    n_staged: int = 1,
    seed: int = 0,
    statistics: Statistics = "measure",
    most: int | None = 32,
    resampling: Resampling | None = None,
    progress: Progress | None = None,
) -> Randomisation:
    """Return how alike the maps of each method stay while the network forgets.

    Parameters
    ----------
    samples
        Samples of any kind that the classifier takes.
    classifier
        The trained classifier; it is left alone.
    methods
        Explainers by the name of their map, as `solarxai.attribution.parse_explainers` gives them.
    baselines
        For methods that ask for them; if None, up to 100 of the samples.
    modes
        Which stages are measured beside the networks that forgot everything, or the upper half.
    n_seeds
        Random networks, 2 or more, each two maps a structure and method.
    n_staged
        How many of them forget layer by layer, in each mode a map a layer.
    seed
        Of the first network; the others count up. Methods that draw random numbers have another
        seed for each network, so that maps are not alike by a shared draw.
    statistics
        Of batch norms; see `RandomNetworks`. They are measured on `samples`.
    most
        Most samples of each origin, evenly spread; None for all.
    resampling
        Of the intervals.
    progress
        Called with (done, total, what).

    Raises
    ------
    ValidationError
        when there are no samples, fewer than two networks, or the network has nothing to forget.

    References
    ----------
    Adebayo et al. 2018, Sanity Checks for Saliency Maps, arXiv:1810.03292. Binder et al. 2023,
    Shortcomings of Top-Down Randomization-Based Sanity Checks, arXiv:2211.12486.
    """
    if n_seeds < 2 or not samples.sizes["sample"]:
        raise ValidationError(
            f"{n_seeds} random networks and {samples.sizes['sample']} samples are too few",
            remedy="Give one sample or more, and n_seeds=2 or more.",
        )
    chosen = thinned(samples, most)
    if baselines is None and any(m.uses_baselines for m in methods.values()):
        baselines = draw_baselines(samples, classifier, n=_BASELINES, seed=seed, split=None)
    structures = Structures(
        samples=chosen,
        classifier=classifier,
        baselines=baselines,
        resampling=resampling or Resampling(seed=seed),
    )
    edges = edge_controls(chosen, classifier)
    run = _Run(
        structures=structures,
        edges={name: structures.described(maps) for name, maps in edges.items()},
        methods=methods,
        n_seeds=n_seeds,
        tell=progress or _silent,
    )
    run.explain_trained()
    images = chosen["image"].values.reshape(-1, *classifier.contract.shape)
    layers: tuple[Layer, ...] = ()
    for number in range(n_seeds):
        networks = RandomNetworks(
            classifier, seed=seed + number, statistics=statistics, images=_whole(images, classifier)
        )
        layers = networks.layers
        run.forget(networks, modes if number < n_staged else (), number)
    return Randomisation(rows=tuple(run.rows()), layers=layers, left_out=tuple(run.left_out))


@dataclass(kw_only=True)
class _Run:
    """The test while it runs: similarities by method and stage, a network after the other."""

    structures: Structures
    edges: Mapping[str, Described]
    methods: Mapping[str, Explainer]
    n_seeds: int
    tell: Progress
    left_out: list[dict[str, str]] = field(default_factory=list)
    trained: dict[str, Described] = field(default_factory=dict)
    forgotten: dict[str, Described] = field(default_factory=dict)
    found: dict[tuple[str, str, str, int], list[Found]] = field(default_factory=dict)

    def explain_trained(self) -> None:
        """Make the maps of the trained network, and of methods that draw once more."""
        classifier, compare = self.structures.classifier, self.structures.compare
        for number, (name, explainer) in enumerate(self.methods.items()):
            self.tell(number, len(self.methods), f"{name}: trained network")
            try:
                self.trained[name] = self.structures.maps(classifier, name, explainer)
            except ExplainerRefusal as refusal:
                self.left_out.append({"method": name, "reason": refusal.what})
                continue
            again = another_seed(explainer, self.n_seeds + 1)
            if again is not None:
                other = self.structures.maps(classifier, name, again)
                self._note(name, "reference", CEILING, 0, compare(self.trained[name], other))
            for edge, maps in self.edges.items():
                self._note(name, "reference", edge, 0, compare(self.trained[name], maps))

    def forget(self, networks: RandomNetworks, modes: Sequence[Mode], number: int) -> None:
        """Compare the maps of the trained network with those of one random one, stage by stage."""
        for mode, stage in _stages(networks, modes):
            self.tell(number, self.n_seeds, f"network {number + 1}: {mode}, {stage.layer}")
            names = [mode] if mode in modes else []
            if mode != "independent":
                names += _landmarks(len(stage.layers), len(networks.layers))
            for name in list(self.trained):
                maps = self._maps(stage, name, number)
                like = self.structures.compare(self.trained[name], maps)
                for word in names:
                    layer = LANDMARKS.get(word, stage.layer)
                    self._note(name, word, layer, len(stage.layers), like)
                if "full" in names:
                    self._note_forgotten(name, maps)

    def rows(self) -> Iterator[Row]:
        """Yield the rows of the table, method by method."""
        for name in self.trained:
            for (method, mode, layer, depth), several in self.found.items():
                if method == name:
                    words = {"method": name, "mode": mode, "layer": layer, "depth": depth}
                    yield from self.structures.rows(several, **words)

    def _maps(self, stage: Randomised, name: str, number: int) -> Described:
        explainer = self.methods[name]
        drawn = another_seed(explainer, number + 1) or explainer
        return self.structures.maps(stage.classifier, name, drawn)

    def _note_forgotten(self, name: str, maps: Described) -> None:
        """Keep what the references need: the maps of random networks beside each other."""
        before = self.forgotten.get(name)
        if before is not None:
            self._note(name, "reference", FLOOR, 0, self.structures.compare(before, maps))
        self.forgotten[name] = maps
        moved = self.structures.chance(self.trained[name], maps)
        self._note(name, "reference", CHANCE, 0, moved)
        for edge, drawn in self.edges.items():
            layer = f"{edge}, random network"
            self._note(name, "reference", layer, 0, self.structures.compare(maps, drawn))

    def _note(self, name: str, mode: str, layer: str, depth: int, like: Found) -> None:
        self.found.setdefault((name, mode, layer, depth), []).append(like)


def _stages(networks: RandomNetworks, modes: Sequence[Mode]) -> Iterator[tuple[str, Randomised]]:
    makers = {"cascade": networks.cascade, "independent": networks.independent}
    for mode in modes:
        for stage in makers[mode]():
            yield mode, stage
    if "cascade" not in modes:
        layers = len(networks.layers)
        for count in sorted({-(-layers // 2), layers}):
            yield "landmark", networks.upper(count)


def _landmarks(count: int, layers: int) -> list[str]:
    """Return what a network is called that forgot so many of its layers from the top."""
    return ["half"] * (count == -(-layers // 2)) + ["full"] * (count == layers)


def _whole(images: Array, classifier: Classifier) -> npt.NDArray[np.float32]:
    """Return the inputs that the classifier takes: not the spectra that were dropped."""
    if classifier.contract.fills_rows:
        return images
    return np.asarray(images[np.isfinite(images).all(axis=tuple(range(1, images.ndim)))])


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
