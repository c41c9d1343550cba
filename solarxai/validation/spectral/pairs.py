"""The same spectra drawn with and without a trace: what a network's answers owe to the trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from solarxai.attribution.inputs import as_rows
from solarxai.classifier import Classifier
from solarxai.errors import ValidationError
from solarxai.metrics import Interval, block_bootstrap, proportion_interval
from solarxai.validation.report import Check, Limits, Resampling, judge
from solarxai.validation.selection import CLASSES
from solarxai.validation.spectral.checks import sway

__all__ = ["paired_checks"]


def paired_checks(
    samples: xr.Dataset,
    counterpart: xr.Dataset,
    classifier: Classifier,
    *,
    name: str,
    limits: Limits,
    resampling: Resampling,
) -> tuple[Check, ...]:
    """Return what becomes of right calls and margins when each sample is changed for its pair.

    Parameters
    ----------
    samples, counterpart
        Samples of the same synthetic survey, drawn with the same seed, with and without a trace.
        Rows are matched by `sample_id`; those without a partner take no part.
    classifier
        The network.
    name
        What is taken away, such as "box at k".
    limits, resampling
        Of the validation.

    Returns
    -------
    tuple
        "pair <name>: right calls changed" and "pair <name>: change of margin ÷ spread" (see
        `spectral_checks.sway`). They inform: this is the truth that the other tests are to find,
        and there is none on real data.

    Raises
    ------
    ValidationError
        when no sample has a partner.
    """
    one, two = (as_rows(each, classifier) for each in (samples, counterpart))
    ids, first, second = np.intersect1d(
        one["sample_id"].values.astype(str),
        two["sample_id"].values.astype(str),
        return_indices=True,
    )
    if not len(ids):
        raise ValidationError(
            f"none of {one.sizes['sample']} samples has a partner of the same sample_id",
            remedy="Draw the counterpart with the same seed and the same survey.",
        )
    one, two = one.isel(sample=first), two.isel(sample=second)
    before, after = (classifier.margins(each["image"].values) for each in (one, two))
    preflare, region = one["label"].values == CLASSES[1], one["region"].values
    right = (before > 0) == preflare
    words: dict[str, Any] = {"n": resampling.n, "seed": resampling.seed}
    moved = block_bootstrap(sway, before, after, preflare, groups=region, **words)
    origin = str(one["origin"].values[0])
    return (
        _check(
            _lost(before, after, region, right, words), "right calls changed",
            name, origin, int(right.sum()), limits,
        ),
        _check(moved, "change of margin ÷ spread", name, origin, len(ids), limits),
    )  # fmt: skip


def _lost(
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    region: npt.NDArray[Any],
    right: npt.NDArray[np.bool_],
    words: dict[str, Any],
) -> Interval:
    if not right.any():
        return Interval(value=np.nan, low=np.nan, high=np.nan, n_groups=0)
    lost = ((after > 0) != (before > 0))[right]
    return proportion_interval(lost, groups=region[right], **words)


def _check(found: Interval, quantity: str, name: str, origin: str, n: int, limits: Limits) -> Check:
    return judge(
        found,
        name=f"pair {name}: {quantity}",
        group=f"{origin} · all",
        structures=n,
        limits=limits,
    )
