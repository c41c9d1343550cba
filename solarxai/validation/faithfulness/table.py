"""Does the score fall first where the map is greatest? Deletion, insertion, ROAD, infidelity."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import ndimage

from solarxai.attribution.inputs import as_rows
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.metrics import Interval, block_bootstrap
from solarxai.schema import PATCH, kind_of
from solarxai.validation.faithfulness.curves import FLAT, ORACLE, RANDOM, Design, Measured
from solarxai.validation.faithfulness.infidelity import spread
from solarxai.validation.faithfulness.removal import default_fills, removals
from solarxai.validation.localisation.measures import EDGE, edge_maps
from solarxai.validation.report import Check, Limits, judge

__all__ = ["FLAT", "ORACLE", "RANDOM", "faithfulness", "faithfulness_checks", "passes"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int, str], None]

_NAMES = {
    ("deletion", "road"): "ROAD, most relevant first",
    ("insertion", "road"): "ROAD, least relevant first",
}


def faithfulness(
    samples: xr.Dataset,
    classifier: Classifier,
    maps: Mapping[str, Array],
    *,
    fills: Sequence[str] | None = None,
    steps: int = 8,
    features: int | None = 64,
    draws: int = 2,
    most: int | None = 48,
    gradients: Collection[str] = (),
    profile: Array | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    r"""Return the table of faithfulness: one row a method, group, fill and quantity.

    Parameters
    ----------
    samples
        Patches, spectra or spectrograms.
    classifier
        Of two classes; of spectra, or of whole spectrograms.
    maps
        By method, attributions on the dimensions of `image`, raw and signed; NaN only where the
        image is. A method none of whose values is negative gives magnitudes: they are taken as
        support of whatever the call is. All others are support of the second class.
    fills
        Some of `removal.FILLS`, the one that is judged first; None for the physical one
        (granulation, or profile), blur and road.
    steps
        Into how many shares the features are divided, each removed at once.
    features
        Blocks of equal size that are removed together; None for single points, which have no
        oracle beyond 256 of them.
    draws
        Random orders a sample for the reference, each used in both directions.
    most
        Samples measured, evenly over origins and labels; None for all.
    gradients
        Methods whose map is a rate, logit per unit of the input: infidelity multiplies them by the
        change of the input. All others are contributions, in logit.
    profile
        (wavelength,) quiet profile for the fill "profile"; None for the mean of the samples.
    n_bootstrap, seed
        Resamples of the regions; seed of every random number, drawn by sample.
    progress
        Called with (done, total, what).

    Returns
    -------
    list of dict
        `method`, `group`, `label`, `fill`, `quantity` ("deletion", "insertion", "infidelity"),
        `interval`, `unit` ("oracle", or "range" where there is none), `logits` (the mean gain),
        `structures`, `control` (whether no method made the map) and `curve`: the mean score, of
        the call, with shares 0 to 1 removed (inserted).

    Raises
    ------
    ValidationError
        when a number is not positive, a map does not fit or is not finite, a method has the name of
        a control, no sample is labelled, or a fill does not exist.

    Notes
    -----
    With f the score of the call, D(s) with the first share s of an order hidden, I(s) with all but
    the first share hidden, and areas by the trapezium rule, the gains of an order π are
    :math:`\overline{\int D} - \int D_\pi` and :math:`\int I_\pi - \overline{\int D}`, where the bar
    is the mean over random orders, which is that of I too. A value is the mean gain over the
    structures ÷ that of the oracle: 0 is a random order, 1 the oracle, negative is worse than
    chance. Intervals are those of the gain; the oracle's is taken as given. The oracle is, by
    structure, the best of three orders: by what removing one feature takes away, by what one
    feature adds when all others are hidden, and by the sum of both. For an additive score that is
    the best order there is; for any other a map may exceed it. Without an oracle, or where it gains
    nothing, the unit is the mean :math:`|f(x) - f(\text{all hidden})|`.

    References
    ----------
    Petsiuk et al. 2018, RISE, arXiv:1806.07421: deletion and insertion. Rong et al. 2022, ROAD,
    arXiv:2202.00449. Yeh et al. 2019, arXiv:1901.09392: infidelity.
    """
    _check_numbers(steps=steps, draws=draws, most=most, features=features)
    block, values = _rows(samples, classifier, maps, most)
    design = Design(
        maps=values,
        unsigned=frozenset(n for n, v in values.items() if not np.any(v < 0)),
        gradients=frozenset(gradients),
        steps=steps,
        draws=draws,
        seed=seed,
    )
    chosen = default_fills(samples) if fills is None else tuple(fills)
    cut = removals(block, classifier, chosen, features=features, profile=profile, seed=seed)
    found: dict[tuple[str, str], dict[int, Measured]] = {}
    for row, by_fill in enumerate(cut):
        for fill, removal in by_fill.items():
            for method, one in design.measure(removal, classifier, row, block).items():
                found.setdefault((fill, method), {})[row] = one
        if progress:
            progress(row + 1, block.sizes["sample"], "faithfulness")
    return [
        row
        for (fill, method), measured in found.items()
        for row in _table(block, measured, method, fill, n_bootstrap, seed, chosen)
    ]


def faithfulness_checks(rows: Sequence[Mapping[str, Any]], limits: Limits) -> tuple[Check, ...]:
    """Return the rows of `faithfulness` and `infidelity.sensitivity_rows` as checks.

    Parameters
    ----------
    rows
        The tables.
    limits
        Of the validation. Deletion with the first fill must gain at least `deletion_gain` over a
        random order, by the lower bound. Controls and all other rows inform.
    """
    return tuple(_check(row, limits) for row in rows)


def passes(methods: int, *, steps: int = 8, features: int = 64, draws: int = 2) -> dict[str, int]:
    """Return the images sent through the network for one sample, by fill.

    Notes
    -----
    An order costs two curves of steps − 1 images. There are the methods, the edge detector, the
    random orders and their control, and the three of the oracle, which takes `features` images to
    remove each feature and as many to show each alone; under "road", whose linear systems are
    slowest where almost all is hidden, the oracle knows the former alone.
    """
    curves = methods + 1 + draws + 1
    both = 2 + 2 * features + (curves + 3) * 2 * (steps - 1)
    return {"other": both, "road": both - features - 4 * (steps - 1)}


def _table(
    block: xr.Dataset,
    measured: Mapping[int, Measured],
    method: str,
    fill: str,
    n_bootstrap: int,
    seed: int,
    fills: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one method and fill."""
    origin, label = block["origin"].values, block["label"].values
    for name, word in sorted({(origin[row], label[row]) for row in measured}):
        rows = [r for r in measured if (origin[r], label[r]) == (name, word)]
        ones = [measured[r] for r in rows]
        for quantity in ("deletion", "insertion", "infidelity"):
            gains = np.array([getattr(one, quantity) for one in ones])
            known = np.isfinite(gains)
            if not known.any():
                continue
            unit, scale = _scale(ones, quantity)
            curves = [one.curves[quantity] for one in ones if quantity in one.curves]
            yield {
                "method": method,
                "group": f"{name} · {word}",
                "label": word,
                "fill": fill,
                "quantity": quantity,
                "interval": block_bootstrap(
                    partial(_scaled_mean, scale=scale),
                    gains[known],
                    groups=block["region"].values[rows][known],
                    n=n_bootstrap,
                    seed=seed,
                ),
                "unit": unit,
                "logits": math.nan if quantity == "infidelity" else float(gains[known].mean()),
                "structures": int(known.sum()),
                "control": method in (RANDOM, FLAT, EDGE),
                "judged": quantity == "deletion" and fill == fills[0],
                "curve": tuple(np.mean(curves, axis=0).tolist()) if curves else (),
            }


def _scale(ones: Sequence[Measured], quantity: str) -> tuple[str, float]:
    """Return what a value is measured in, and its mean size."""
    if quantity == "infidelity":
        return "change", 1.0
    best = float(np.mean([one.best.get(quantity, math.nan) for one in ones]))
    if best > 0:
        return "oracle", best
    return "range", float(np.mean([one.range for one in ones]))


def _scaled_mean(gains: Floats, *, scale: float) -> float:
    return float(np.mean(gains)) / scale if scale > 0 else math.nan


def _check(row: Mapping[str, Any], limits: Limits) -> Check:
    judged = bool(row.get("judged")) and not row["control"]
    name = _NAMES.get((row["quantity"], row["fill"]))
    if name is None:
        name = f"{row['quantity']}, {row['fill']}" if row["fill"] else row["quantity"]
    found: Interval = row["interval"]
    return judge(
        found,
        name=name,
        group=row["group"],
        structures=row["structures"],
        limits=limits,
        limit=limits.deletion_gain if judged else math.nan,
        sense="at least" if judged else "",
        by="low" if judged else "value",
        reason=_reason(row),
        method=row["method"],
    )


def _reason(row: Mapping[str, Any]) -> str:
    if row["quantity"] == "max-sensitivity":
        return f"0 is steady; by the method's own seed alone {row['noise']:.3g}"
    if row["quantity"] == "infidelity":
        return "0: the map foretells each change of score, 1: it foretells none"
    one = "the oracle" if row["unit"] == "oracle" else "the whole change of score"
    return f"0 is a random order, 1 {one}; {row['logits']:.3g} logit beyond random"


def _rows(
    samples: xr.Dataset, classifier: Classifier, maps: Mapping[str, Array], most: int | None
) -> tuple[xr.Dataset, dict[str, Array]]:
    """Return the inputs to measure, and the maps of methods and edge detector on them."""
    image = samples["image"]
    taken = sorted(set(maps) & {RANDOM, FLAT, ORACLE, EDGE})
    if taken:
        raise ValidationError(f"{taken} are names of controls", remedy="Give the maps other names.")
    for method, values in maps.items():
        bad = np.shape(values) != image.shape or not np.isfinite(values)[np.isfinite(image)].all()
        if bad:
            raise ValidationError(
                f"the map {method!r} of shape {np.shape(values)} does not fit images of "
                f"{image.shape}, or is not finite where they are",
                remedy="Give one finite value a point of each image.",
            )
    names = {f"map {method}": (image.dims, np.asarray(values)) for method, values in maps.items()}
    block = as_rows(samples.assign(names), classifier)
    block = block.isel(sample=spread(block, most))
    if not block.sizes["sample"]:
        raise ValidationError(
            "none of the samples is labelled with a class",
            remedy="Give samples that are not ambiguous.",
        )
    shown = {method: block[f"map {method}"].values for method in maps}
    return block, {**shown, EDGE: _edges(block)}


def _edges(block: xr.Dataset) -> Array:
    """Return the magnitude of the Sobel gradient, of spectra along wavelength."""
    images = block["image"].values
    if kind_of(block) is PATCH:
        return edge_maps(images)
    plain = np.nan_to_num(images)
    return np.asarray(np.abs(ndimage.correlate1d(plain, (-1, 0, 1), axis=-1, mode="nearest")))


def _check_numbers(**numbers: int | None) -> None:
    wrong = {name: n for name, n in numbers.items() if n is not None and n < 1}
    if wrong or (numbers["steps"] or 0) < 2:
        raise ValidationError(
            f"faithfulness cannot be measured with {wrong or {'steps': numbers['steps']}}",
            remedy="Give positive numbers, and two steps or more.",
        )
