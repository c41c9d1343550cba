"""Parts of a sample taken away: into what it is divided, and what stands there instead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from solarxai.classifier import Classifier
from solarxai.engine.fills import fill_images
from solarxai.engine.players import divide
from solarxai.errors import ValidationError
from solarxai.schema import PATCH, kind_of
from solarxai.validation.causal.interventions import cut_patches
from solarxai.validation.faithfulness.road import NOISE, impute
from solarxai.validation.report import Limits

__all__ = ["FILLS", "Removal", "default_fills", "removals"]

Image = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FILLS = ("granulation", "profile", "blur", "road")
"""What stands where something is taken away: new granulation with the texture of the patch's own
quiet Sun (patches); a quiet or mean profile (spectra); the image smoothed until its structures are
gone; noisy linear imputation."""

_TOGETHER = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Removal:
    """One sample, its features, and what stands in their place.

    Parameters
    ----------
    image
        (*space), NaN where a spectrum was dropped.
    labels
        (*space) the feature of each point, 0 to `number` − 1.
    number
        How many features there are.
    fill
        (*space) what stands where a feature is hidden; for "road" the noise on what is imputed.
    kind
        One of `FILLS`.
    """

    image: Image
    labels: npt.NDArray[np.int64]
    number: int
    fill: Image
    kind: str

    @property
    def there(self) -> Mask:
        """Return the points that exist, (*space)."""
        return np.isfinite(self.image)

    def without(self, hidden: Mask) -> Image:
        """Return the sample without each set of features, (set, *space).

        Parameters
        ----------
        hidden
            (set, feature): what is taken away.
        """
        holes = hidden[:, self.labels] & self.there
        if self.kind == "road":
            return impute(self.image, holes, noise=self.fill)
        return np.where(holes, self.fill, self.image).astype(np.float32)

    def margins(self, classifier: Classifier, hidden: Mask) -> npt.NDArray[np.float64]:
        """Return the margin without each set of features, (set,) logits."""
        parts = [hidden[start : start + _TOGETHER] for start in range(0, len(hidden), _TOGETHER)]
        found = [classifier.margins(self.without(part)) for part in parts]
        return np.concatenate(found).astype(np.float64)

    def sums(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return the sum of (*space) values over the points of each feature, (feature,)."""
        there = self.there
        weights = values[there].astype(np.float64)
        summed = np.bincount(self.labels[there], weights=weights, minlength=self.number)
        return np.asarray(summed, dtype=np.float64)


def default_fills(samples: xr.Dataset) -> tuple[str, ...]:
    """Return the fills for Samples of a kind, the physical one first."""
    return ("granulation" if kind_of(samples) is PATCH else "profile", "blur", "road")


def removals(
    samples: xr.Dataset,
    classifier: Classifier,
    fills: Sequence[str],
    *,
    features: int | None = 64,
    profile: npt.NDArray[np.floating] | None = None,
    seed: int = 0,
) -> Iterator[dict[str, Removal]]:
    """Yield what can be taken away from each sample, by fill; a fill that cannot be made is absent.

    Parameters
    ----------
    samples
        Samples, each row one input of the classifier.
    classifier
        Gives the plate scale of patches.
    fills
        Some of `FILLS`.
    features
        Most blocks of equal size into which a sample is divided; None for single points. Blocks
        without a point that exists are none.
    profile
        (wavelength,) what stands for an absent line; None for the mean of the samples, both classes
        alike.
    seed
        Of granulation and noise.

    Raises
    ------
    ValidationError
        when there is no such fill for these samples.
    """
    patches = kind_of(samples) is PATCH
    wrong = [f for f in fills if f not in FILLS or f == ("profile" if patches else "granulation")]
    if wrong or not fills:
        known = [f for f in FILLS if f != ("profile" if patches else "granulation")]
        raise ValidationError(
            f"there are no fills {wrong} for samples on {kind_of(samples).space}",
            remedy=f"Choose some of {', '.join(known)}.",
        )
    images, names = samples["image"].values, samples["sample_id"].values
    quiet = None if patches else _profile(samples) if profile is None else np.asarray(profile)
    textures = _granulation(samples, classifier, seed) if "granulation" in fills else []
    whole = _divided(images.shape[1:], features)
    for row, image in enumerate(images):
        common = _features(image, whole)
        made = {}
        for kind in fills:
            fill = textures[row] if kind == "granulation" else None
            if kind != "granulation":
                fill = _filled(kind, image, quiet, f"{seed}:{names[row]}")
            if fill is not None:
                made[kind] = replace(common, fill=fill, kind=kind)
        yield made


def _features(image: Image, whole: npt.NDArray[np.int64]) -> Removal:
    """Return the features of a sample: those parts of the division in which a point exists."""
    there = np.isfinite(image)
    used, places = np.unique(whole[there], return_inverse=True)
    labels = np.zeros(image.shape, dtype=np.int64)
    labels[there] = places
    return Removal(image=image, labels=labels, number=len(used), fill=image, kind="")


def _divided(space: tuple[int, ...], features: int | None) -> npt.NDArray[np.int64]:
    kind = "pixels" if features is None else "grid"
    players = divide(torch.zeros(1, *space), kind=kind, n_players=features or 0)
    return np.asarray(players.labels.numpy())


def _filled(kind: str, image: Image, quiet: npt.NDArray[np.floating] | None, key: str) -> Image:
    """Return what stands where a sample is hidden, or the noise of an imputation."""
    if kind == "road":
        generator = np.random.default_rng(_number(f"road:{key}"))
        return (NOISE * generator.standard_normal(image.shape)).astype(np.float32)
    if kind == "profile" and quiet is not None:
        return np.broadcast_to(quiet, image.shape).astype(np.float32)
    whole = image if quiet is None else np.where(np.isfinite(image), image, quiet)
    smooth = fill_images(kind, torch.from_numpy(whole.astype(np.float32))[None, None])
    return np.asarray(smooth[0, 0].numpy())


def _granulation(samples: xr.Dataset, classifier: Classifier, seed: int) -> list[Image | None]:
    """Return new granulation for each patch, None where no patch of its origin has enough."""
    scale = classifier.contract.plate_scale
    return [
        None if patch.granulation is None else patch.granulation.draw(patch.draw("faithfulness"))
        for patch in cut_patches(samples, scale_mm=scale, seed=seed, limits=Limits())
    ]


def _profile(samples: xr.Dataset) -> npt.NDArray[np.float64]:
    """Return the mean profile of the samples (wavelength,), each label with equal weight."""
    images, label = samples["image"].values, samples["label"].values
    means = [
        np.nanmean(images[label == name], axis=tuple(range(images.ndim - 1)))
        for name in sorted(set(label.tolist()) - {kind_of(samples).labels[-1]})
    ]
    return np.asarray(np.mean(means, axis=0))


def _number(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
