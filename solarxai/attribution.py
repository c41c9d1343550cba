"""The bridge: Samples to tensors, tensors through explainers, and back to rows with an address.

Only this file knows both xarray and the explainers. Each image goes through the network alone
(`Explainer.alone`) and on one thread, so a map depends on its own pixels, the classifier, the
baselines and the method's options, never on the rows beside it: any division into blocks gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from typing import Any, TypedDict, Unpack, get_type_hints

import numpy as np
import numpy.typing as npt
import pydantic
import torch
import xarray as xr
from torch import Tensor

from solarxai import registry
from solarxai.classifier import Classifier, evaluation_mode
from solarxai.engine.preparation import Snapshot
from solarxai.errors import ContractError, SolarxaiError, WorkflowError
from solarxai.explainers import Attribution, Explainer, Target
from solarxai.provenance import array_hash, canonical_json, code_hash, content_hash
from solarxai.schema import MEASUREMENTS

__all__ = ["attribute", "draw_baselines", "layout", "parse_explainers", "run_key"]

_MAP_DIMS = ("sample", "y", "x")
_TAKEN = frozenset(
    {"score", "predicted", "image", "segmentation", "central", "time", "sample_id", "label"}
    | {"label_source", "region", "origin", "instrument", "observation", "split", "header", "run"}
    | set(MEASUREMENTS)
)
_TAKEN_ENDS = ("_stderr", "_completeness_error")


def attribute(
    block: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    target: int | str = "difference",
    batch_size: int = 32,
) -> xr.Dataset:
    """Return the maps and scores of a block of Samples, row by row, with the block's coordinates.

    Parameters
    ----------
    block
        Samples; their `image` (sample, y, x) must fit the classifier's input contract. Their
        `segmentation`, where they have one, gives the players of methods that hide segments.
    classifier
        Of two classes.
    explainers
        Name of the map and the method that makes it; see `parse_explainers`.
    baselines
        (baseline, 1, y, x) as `draw_baselines` returns them; a method gets the first of them, as
        many as its `n_baselines` says.
    target
        "difference" (the margin) or the index of a class.
    batch_size
        Most images in one pass (of one sample and its baselines); an explainer's own `batch_size`
        holds where it is smaller.

    Returns
    -------
    xarray.Dataset
        On (sample, y, x), float32, raw and signed: `<name>` and, for methods that have one, the
        standard error `<name>_stderr`. On (sample,): `<name>_completeness_error` for methods that
        have one, `score` (the margin: score of the second class less that of the first, logit) and
        `predicted` (the second class where the margin is positive).

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
    with _one_thread(), evaluation_mode(classifier.network):
        network = Snapshot(classifier.network)
        margins = classifier.margins(block["image"].values, batch_size=1)
        x = classifier.tensor(block["image"].values)
        variables = _scores(margins, classifier)
        for name, explainer in explainers.items():
            method = replace(explainer, batch_size=min(explainer.batch_size, batch_size)).alone()
            given = _first(baselines, method)
            found = method(network, x, target=target, baselines=given, segments=_segments(block))
            made = _maps(found, x, name)
            variables |= _described(made, name, explainer, classifier, target)
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
    """Return up to `n` images of a split as network inputs (baseline, 1, y, x), classes balanced.

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
    rows = _balanced_draw(samples, np.flatnonzero(usable), n, seed)
    return classifier.tensor(samples["image"].isel(sample=rows).values)


def parse_explainers(entries: Sequence[Mapping[str, Any]]) -> dict[str, Explainer]:
    """Return the explainers of {method: name, **fields} by the name of their map.

    Parameters
    ----------
    entries
        Each names a file of `solarxai.explainers` as `method` and any fields of its dataclass;
        `name` names the map where the same method stands twice.

    Raises
    ------
    WorkflowError
        naming every unknown method, unknown field, wrong type and repeated name at once.
    """
    made: dict[str, Explainer] = {}
    complaints: list[str] = []
    for place, entry in enumerate(entries):
        try:
            name, explainer = _parse_one(entry)
            _check_name(name, made)
            made[name] = explainer
        except SolarxaiError as error:
            complaints.append(f"explainers[{place}]: {error.what.rstrip('.')}. {error.remedy}")
    if not entries:
        complaints.append("explainers: none is given")
    if complaints:
        raise WorkflowError(
            " ".join(complaints), remedy="`solarxai methods` lists methods and their fields."
        )
    return made


def run_key(
    samples: xr.Dataset,
    classifier: Classifier,
    explainers: Mapping[str, Explainer],
    *,
    baselines: Tensor | None = None,
    target: int | str = "difference",
    batch_size: int = 32,
    shard_size: int = 256,
) -> str:
    """Return the sha256 of all that shapes a segment's bytes: same key, same maps.

    It covers weights and contract, each method with its options, baselines, target, batch and
    shard size, the images with their segmentation, identifiers and split, and the library's code.
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
            "samples": array_hash(*(samples[name].values for name in (*words, "time", "image"))),
            "code": code_hash(),
        }
    )


def _first(baselines: Tensor | None, explainer: Explainer) -> Tensor | None:
    """Return as many baselines as the method asks for, whatever its neighbours ask for."""
    wanted = getattr(explainer, "n_baselines", 0)
    return baselines[:wanted] if baselines is not None and wanted else None


def _maps(found: Attribution, x: Tensor, name: str) -> dict[str, npt.NDArray[np.float32]]:
    """Return the arrays of one method by suffix: maps (sample, y, x), numbers (sample,)."""
    _check(found.values, x, name)
    made = {"": _array(found.values[:, 0])}
    if found.stderr is not None:
        made["_stderr"] = _array(found.stderr[:, 0])
    if found.completeness_error is not None:
        made["_completeness_error"] = _array(found.completeness_error)
    return made


def _segments(block: xr.Dataset) -> Tensor | None:
    """Return the class of each pixel (sample, y, x), such as umbra, where the samples have it."""
    if "segmentation" not in block.variables:
        return None
    return torch.from_numpy(block["segmentation"].values.astype(np.int64))


def _check(values: Tensor, x: Tensor, name: str) -> None:
    if values.shape != x.shape or not bool(torch.isfinite(values).all()):
        raise ContractError(
            f"{name} returned values of shape {tuple(values.shape)}, "
            f"{int((~torch.isfinite(values)).sum())} of them not finite, for images of shape "
            f"{tuple(x.shape)}",
            remedy="Mend the method, or look for infinite weights in the network.",
        )


def _array(values: Tensor) -> npt.NDArray[np.float32]:
    return values.detach().numpy().astype(np.float32)


def _described(
    made: Mapping[str, npt.NDArray[np.float32]],
    name: str,
    explainer: Explainer,
    classifier: Classifier,
    target: Target,
) -> dict[str, xr.Variable]:
    """Return the arrays of one method as variables that say what they are."""
    method = _method(explainer)
    units = explainer.units
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
        "_completeness_error": (f"sum of {name} less the difference of scores", "logit", {}),
    }
    variables = {}
    for suffix, values in made.items():
        long_name, unit, more = about[suffix]
        dims = _MAP_DIMS[: values.ndim]
        attrs = {"long_name": long_name, "units": unit, **more}
        variables[f"{name}{suffix}"] = xr.Variable(dims, values, attrs)
    return variables


def _scores(margins: npt.NDArray[np.float32], classifier: Classifier) -> dict[str, xr.Variable]:
    first, second = classifier.contract.classes
    named = np.where(margins > 0, second, first).astype(object)
    about = {"long_name": f"score of {second} less that of {first}", "units": "logit"}
    return {
        "score": xr.Variable("sample", margins, about),
        "predicted": xr.Variable("sample", named, {"long_name": "class of the higher score"}),
    }


def _method(explainer: Explainer) -> str:
    return type(explainer).__module__.rpartition(".")[2]


def _balanced_draw(
    samples: xr.Dataset, rows: npt.NDArray[np.intp], n: int, seed: int
) -> npt.NDArray[np.intp]:
    """Return up to n of the rows, taking turns among labels, at random within each."""
    rng = np.random.default_rng(seed)
    ordered = rows[np.argsort(samples["sample_id"].values[rows].astype(str), kind="stable")]
    labels = samples["label"].values[ordered].astype(str)
    turns = np.zeros(len(ordered), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turns[members] = rng.permutation(len(members))
    return ordered[np.lexsort((labels, turns))][:n]


def _parse_one(entry: Mapping[str, Any]) -> tuple[str, Explainer]:
    given = dict(entry)
    method = given.pop("method", None)
    if not isinstance(method, str):
        raise WorkflowError(
            f"{dict(entry)} names no method", remedy="Write {method: gradient}, for example."
        )
    name = given.pop("name", method)
    kind = registry.load("solarxai.explainers", method)
    return name, kind(**_strictly(given, kind, method))


def _strictly(given: Mapping[str, Any], kind: type[Explainer], method: str) -> dict[str, Any]:
    """Return the fields with their types checked: no unknown ones, no "3" for 3, no true for 1."""
    hints = get_type_hints(kind)
    model = pydantic.create_model(
        "Fields",
        __config__=pydantic.ConfigDict(
            strict=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
        ),
        **{f.name: (hints[f.name], None) for f in fields(kind) if f.init},
    )  # type: ignore[call-overload]
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
    try:
        model(**plain)
    except pydantic.ValidationError as error:
        known = sorted(model.model_fields)
        raise WorkflowError(
            f"{method}: " + "; ".join(_complaint(e, known) for e in error.errors()),
            remedy=f"Its fields are {', '.join(known)}.",
        ) from error
    return plain


def _complaint(error: Any, known: list[str]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown field {field!r} {registry.near_name(field, known)}".rstrip()
    return f"{field} = {error['input']!r}: {error['msg']}"


def _check_name(name: Any, made: Mapping[str, Explainer]) -> None:
    sound = isinstance(name, str) and name.isidentifier() and not name.startswith("_")
    if not sound or name in _TAKEN or name.endswith(_TAKEN_ENDS):
        raise WorkflowError(
            f"{name!r} cannot name a map",
            remedy="Use letters, digits and underscores, and no name of a column.",
        )
    if name in made:
        raise WorkflowError(
            f"{name!r} names two maps", remedy="Give one of the entries another `name`."
        )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread, so that sums are taken in one order, and restore it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
