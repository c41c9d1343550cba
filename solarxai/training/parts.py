"""One side of a split: its images, in memory or in shards, its truth, its regions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai.classifier import Classifier, evaluation_mode
from solarxai.schema import kind_of
from solarxai.training.shards import Images, ShardedSamples, rows_of
from solarxai.training.team import Team

__all__ = ["Part", "margins"]

Array = npt.NDArray[Any]

_IMAGES_A_PASS = 32
_SPECTRA_A_PASS = 1024
_VALUES_AT_ONCE = 1 << 18
"""Values that are read at once, 1 MiB."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One split as arrays: images (sample, *space), truth (sample,), regions (sample,)."""

    images: Images
    truth: npt.NDArray[np.bool_]
    regions: Array

    @classmethod
    def of(cls, samples: xr.Dataset | ShardedSamples, split: str) -> Part:
        """Return the rows of that split."""
        columns = samples.columns if isinstance(samples, ShardedSamples) else samples
        rows = np.flatnonzero(columns["split"].values == split)
        chosen = columns[["label", "region"]].isel(sample=rows)
        whole = samples.images if isinstance(samples, ShardedSamples) else samples["image"].values
        return cls(
            images=rows_of(whole, rows),
            truth=np.asarray(chosen["label"].values == kind_of(columns).classes[1], dtype=bool),
            regions=chosen["region"].values,
        )

    def drawn(self, most: int | None, seed: int) -> Part:
        """Return at most that many rows, as many of each class as there are, whatever the order.

        A class with fewer rows than half of them gives all it has.
        """
        if most is None or len(self.truth) <= most:
            return self
        generator = np.random.default_rng(seed)
        both = [np.flatnonzero(self.truth == value) for value in (False, True)]
        rows = [generator.permutation(one)[: math.ceil(most / 2)] for one in both]
        chosen = np.sort(np.concatenate(rows))
        return replace(
            self,
            images=rows_of(self.images, chosen),
            truth=self.truth[chosen],
            regions=self.regions[chosen],
        )


def margins(
    classifier: Classifier, part: Part, team: Team | None = None
) -> npt.NDArray[np.float32]:
    """Return the margins (sample,) of a part; spectra go through in larger batches than images.

    The processes of a team share the batches, which are the same for any number of them. The
    network must be on the team's device.
    """
    team = team or Team()
    a_pass = _SPECTRA_A_PASS if len(classifier.contract.shape) == 1 else _IMAGES_A_PASS
    rows = len(part.images)
    mine = team.part(math.ceil(rows / a_pass))
    at_once = max(1, _VALUES_AT_ONCE // (a_pass * math.prod(part.images.shape[1:]))) * a_pass
    first, last = mine.start * a_pass, min(mine.stop * a_pass, rows)
    found = [
        _margins(classifier, part.images[start : min(start + at_once, last)], a_pass, team.device)
        for start in range(first, last, at_once)
    ]
    every = team.gathered(np.concatenate([np.zeros(0, np.float32), *found]))
    return np.concatenate(every)


@torch.no_grad()
def _margins(
    classifier: Classifier, images: npt.NDArray[np.float32], a_pass: int, device: str
) -> npt.NDArray[np.float32]:
    if device == "cpu":
        return classifier.margins(images, batch_size=a_pass)
    with evaluation_mode(classifier.network):
        batches = torch.split(classifier.tensor(images), a_pass)
        scores = torch.cat([classifier.network(b.to(device)).cpu() for b in batches])
    return (scores[:, 1] - scores[:, 0]).numpy()
