"""The bridge: Samples to tensors, tensors through explainers, and back to rows with an address.

Only this package knows both xarray and the explainers. Each image goes through the network alone
(`Explainer.alone`), each spectrum with those of its exposure, and all on one thread, so a map
depends on its own sample, the classifier, the baselines and the method's options, never on the
rows beside it: any division into blocks gives the same bytes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from solarxai.attribution.inputs import Inputs, Whole, as_rows, inputs_of
from solarxai.classifier import Classifier, evaluation_mode
from solarxai.engine.preparation import Snapshot
from solarxai.errors import ContractError
from solarxai.explainers import Explainer, Target
from solarxai.inspection.ensemble import explain_each
from solarxai.models.ensemble import Ensemble
from solarxai.provenance import array_hash, canonical_json, code_hash, content_hash

__all__ = ["attribute", "draw_baselines", "layout", "run_key"]

Array = npt.NDArray[Any]


def attribute(
    block: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    target: int | str = "difference",
    batch_size: int = 32,
    device: torch.device | str = "cpu",
) -> xr.Dataset:
    """Return the maps and scores of a block of Samples, row by row, with the block's coordinates.

    Parameters
    ----------
    block
        Samples; their `image`, or each spectrum in it, must fit the classifier's input contract.
        Methods that hide segments hide the parts of `segmentation`, or the lines of a spectrum.
    classifier
        Of two classes.
    explainers
        Name of the map and the method that makes it; see `parse_explainers`.
    baselines
        (baseline, 1, *space) as `draw_baselines` returns them; a method gets the first of them, as
        many as its `n_baselines` says.
    target
        "difference" (the margin) or the index of a class.
    batch_size
        Most images, or spectra, in one pass; an explainer's own `batch_size` holds where it is
        smaller.
    device
        Where maps are computed, in float32 proper. Scores are always computed on the CPU.

    Returns
    -------
    xarray.Dataset
        On the dimensions of `image`, float32, raw and signed: `<name>`, for methods that have one
        the standard error `<name>_stderr`, and for an ensemble, whose mean `<name>` is, the
        standard deviation over its networks, `<name>_spread`. On (sample,):
        `<name>_completeness_error` for methods that have one, `score` (the margin: score of the
        second class less that of the first, logit) and `predicted` (the second class where the
        margin is positive). Where each spectrum of a spectrogram is an input, maps are NaN where
        one was dropped, `<name>_completeness_error` and the margins `spectrum_score` are on
        (sample, slit), and `score` is the mean of the margins.

    Raises
    ------
    ContractError
        when images and classifier do not fit, or a method returns maps that are not finite.
    ExplainerRefusal
        when a method refuses the network.

    Notes
    -----
    Maps are with respect to the normalised image, z = (image − offset)/scale of the contract, held
    in the attributes. Contributions (Expected Gradients) are in logit and sum to a difference of
    scores, whatever the normalisation; class activation maps are in logit too, up to the size of
    the feature map; a gradient is in logit per unit of the input z: divide it by `scale` for logit
    per quiet-Sun intensity. The attribute `units` says which.
    """
    if not block.sizes["sample"]:
        raise ContractError(
            "a block without samples was given to explain",
            remedy="Give one row or more; a query says what a store holds.",
        )
    inputs = inputs_of(block, classifier)
    place = torch.device(device)
    with _exactly(), evaluation_mode(classifier.network):
        networks = _members(classifier, place)
        variables = _scores(inputs, classifier)
        for name, explainer in explainers.items():
            bounded = replace(explainer, batch_size=min(explainer.batch_size, batch_size))
            call = {"target": target, "baselines": _first(baselines, explainer)}
            parts = [
                _explained(networks, x, inputs.fitted(bounded), name, segments=players, **call)
                for x, players in _batches(inputs, classifier, place)
            ]
            made = _together(parts)
            variables |= _described(made, inputs, name, explainer, classifier, target)
    return xr.Dataset(variables, coords=block.coords)


class Shaping(TypedDict, total=False):
    """What beside images, classifier and methods shapes the maps; see `attribute`."""

    baselines: Tensor | None
    target: int | str
    batch_size: int


def layout(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    **shaping: Unpack[Shaping],
) -> xr.Dataset:
    """Return `attribute` of the first row: the names, types and attributes of every row's maps."""
    return attribute(samples.isel(sample=slice(1)), classifier, explainers, **shaping)


def draw_baselines(
    samples: xr.Dataset,
    classifier: Classifier,
    *,
    n: int,
    seed: int = 0,
    split: str | None = "train",
) -> Tensor:
    """Return up to `n` images of a split as network inputs, (baseline, 1, *space), balanced.

    Parameters
    ----------
    samples
        Samples with the column `split`, unless `split` is None.
    classifier
        Gives the input contract.
    n
        Number of baselines; all that there are if there are fewer.
    seed
        Of the draw, which does not depend on the order of the rows.
    split
        The split to draw from; None draws from all rows.

    Raises
    ------
    ContractError
        when `n` is not positive, or no row of that split has one of the classifier's classes.
    """
    labels, wanted = samples["label"].values, classifier.contract.classes
    usable = np.isin(labels.astype(str), wanted)
    if split is not None:
        if "split" not in samples.variables:
            raise ContractError(
                "baselines are drawn from a split, and the samples have no column 'split'",
                remedy="Split them, or draw from all rows with split=None.",
            )
        usable &= samples["split"].values == split
    if n < 1 or not usable.any():
        raise ContractError(
            f"{n} baselines cannot be drawn from {int(usable.sum())} samples of {split or 'all'} "
            f"with labels among {wanted}",
            remedy="Ask for one or more, and give the samples the classifier was trained on.",
        )
    inputs = as_rows(samples.isel(sample=np.flatnonzero(usable)), classifier)
    chosen = _balanced_draw(inputs, n, seed)
    return classifier.tensor(inputs["image"].values[chosen])


def run_key(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    target: int | str = "difference",
    batch_size: int = 32,
    shard_size: int = 256,
    device: str = "cpu",
) -> str:
    """Return the sha256 of all that shapes a segment's bytes: same key, same maps.

    It covers weights and contract, each method with its options, baselines, target, batch and
    shard size, the kind of device, the images with their segmentation, identifiers and split, and
    the library's code.
    """
    optional = ("sample_id", "label", "split", "segmentation")
    words = [name for name in optional if name in samples.variables]
    return content_hash(
        {
            "classifier": classifier.hash,
            "explainers": {
                name: {"method": _method(explainer), **asdict(explainer)}
                for name, explainer in explainers.items()
            },
            "baselines": None if baselines is None else array_hash(baselines.numpy()),
            "target": target,
            "batch_size": batch_size,
            "shard_size": shard_size,
            "device": device,
            "samples": array_hash(*(samples[name].values for name in (*words, "time", "image"))),
            "code": code_hash(),
        }
    )


def _first(baselines: Tensor | None, explainer: Explainer) -> Tensor | None:
    """Return as many baselines as the method asks for, whatever its neighbours ask for."""
    wanted = getattr(explainer, "n_baselines", 0)
    return baselines[:wanted] if baselines is not None and wanted else None


def _members(classifier: Classifier, place: torch.device) -> list[Snapshot]:
    """Return the network, or each of an ensemble's, on a device."""
    network = classifier.network
    members = network.members if isinstance(network, Ensemble) else [network]
    if place.type != "cpu":
        members = [copy.deepcopy(member).to(place) for member in members]
    return [Snapshot(member) for member in members]


def _explained(
    networks: Sequence[Snapshot], x: Tensor, explainer: Explainer, name: str, **call: Any
) -> dict[str, Array]:
    """Return the arrays of one method by suffix: maps (input, *space), numbers (input,)."""
    if len(networks) > 1:
        several = explain_each(networks, x, explainer, **call)
        _check(several.mean, x, name)
        found = {"": several.mean, "_spread": several.spread, "_stderr": several.sampling}
        numbers = several.completeness_error
    else:
        single = explainer(networks[0], x, **call)
        _check(single.values, x, name)
        found = {"": single.values, "_stderr": single.stderr}
        numbers = single.completeness_error
    made = {suffix: _array(values[:, 0]) for suffix, values in found.items() if values is not None}
    return made if numbers is None else {**made, "_completeness_error": _array(numbers)}


def _together(parts: Sequence[dict[str, Array]]) -> dict[str, Array]:
    """Return the arrays of all batches by suffix, and empty the batches: nothing is held twice."""
    return {suffix: np.concatenate([part.pop(suffix) for part in parts]) for suffix in [*parts[0]]}


def _batches(
    inputs: Inputs, classifier: Classifier, place: torch.device
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield what a method is called with: images as tensors on a device, and their players."""
    for images, players in zip(inputs.batches(), inputs.segments(), strict=True):
        yield classifier.tensor(images).to(place), players


def _check(values: Tensor, x: Tensor, name: str) -> None:
    if values.shape != x.shape or not bool(torch.isfinite(values).all()):
        raise ContractError(
            f"{name} returned values of shape {tuple(values.shape)}, "
            f"{int((~torch.isfinite(values)).sum())} of them not finite, for images of shape "
            f"{tuple(x.shape)}",
            remedy="Mend the method, or look for infinite weights in the network.",
        )


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    return values.detach().cpu().numpy().astype(np.float32)


def _described(
    made: dict[str, Array],
    inputs: Inputs,
    name: str,
    explainer: Explainer,
    classifier: Classifier,
    target: Target,
) -> dict[str, xr.Variable]:
    """Return the arrays of one method as variables that say what they are, and empty `made`."""
    method, units = _method(explainer), explainer.units
    shared = {
        "method": method,
        "options": canonical_json(asdict(explainer)),
        "target": target,
        "classes": " ".join(classifier.contract.classes),
        "normalisation_offset": classifier.contract.offset,
        "normalisation_scale": classifier.contract.scale,
    }
    about = {
        "": (f"{method} of the score, raw and signed", units, shared),
        "_stderr": (f"standard error of {name}", units, {}),
        "_spread": (f"standard deviation of {name} over the networks of the ensemble", units, {}),
        "_completeness_error": (f"sum of {name} less the difference of scores", "logit", {}),
    }
    variables = {}
    for suffix in [*made]:
        values, (long_name, unit, more) = made.pop(suffix), about[suffix]
        placed = inputs.space(values) if values.ndim > 1 else inputs.numbers(values)
        placed.attrs = {"long_name": long_name, "units": unit, **more}
        variables[f"{name}{suffix}"] = placed
    return variables


def _scores(inputs: Inputs, classifier: Classifier) -> dict[str, xr.Variable]:
    """Return the margins of the samples, those of single spectra too, and the classes they mean."""
    single = isinstance(inputs, Whole)
    margins = np.concatenate(
        [classifier.margins(x, batch_size=1 if single else len(x)) for x in inputs.batches()]
    )
    first, second = classifier.contract.classes
    score = inputs.mean(margins)
    score.attrs = {"long_name": f"score of {second} less that of {first}", "units": "logit"}
    named = np.where(score.values > 0, second, first).astype(object)
    made = {
        "score": score,
        "predicted": xr.Variable("sample", named, {"long_name": "class of the higher score"}),
    }
    if not single:
        made["spectrum_score"] = inputs.numbers(margins)
        made["spectrum_score"].attrs = dict(score.attrs)
        score.attrs["long_name"] += ", mean over the spectra"
    return made


def _method(explainer: Explainer) -> str:
    return type(explainer).__module__.rpartition(".")[2]


def _balanced_draw(inputs: xr.Dataset, n: int, seed: int) -> npt.NDArray[np.intp]:
    """Return up to n rows, taking turns among labels, at random within each."""
    rng = np.random.default_rng(seed)
    ordered = np.argsort(inputs["sample_id"].values.astype(str), kind="stable")
    labels = inputs["label"].values[ordered].astype(str)
    turns = np.zeros(len(ordered), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turns[members] = rng.permutation(len(members))
    return ordered[np.lexsort((labels, turns))][:n]


@contextmanager
def _exactly() -> Iterator[None]:
    """Let torch use one thread, so that sums are taken in one order, and restore it.

    On a GPU convolutions take the same algorithm each time, and no TF32 (a relative error of 1e-3).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.set_num_threads(before)
