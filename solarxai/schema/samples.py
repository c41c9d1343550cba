"""Samples of any kind: told apart by their dimensions, checked by the words of their kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import xarray as xr

from solarxai.schema.address import address_breaches, or_raise
from solarxai.schema.images import LABELS, patch_breaches
from solarxai.schema.spectra import FLARE_LABELS, spectrogram_breaches, spectrum_breaches

__all__ = ["PATCH", "SPECTROGRAM", "SPECTRUM", "Kind", "check_samples", "kind_of"]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of Samples.

    Parameters
    ----------
    name
        What messages call it.
    space
        Dimensions of its `image` after `sample`.
    labels
        What a sample can be called; the first two are the classes, the last is left out.
    breaches
        What is wrong with given Samples, beside their address.
    """

    name: str
    space: tuple[str, ...]
    labels: tuple[str, ...]
    breaches: Callable[[xr.Dataset], list[str]]

    @property
    def dims(self) -> tuple[str, ...]:
        """Return the dimensions of its `image`."""
        return ("sample", *self.space)

    @property
    def classes(self) -> tuple[str, str]:
        """Return the two classes: no, yes."""
        return self.labels[0], self.labels[1]


PATCH = Kind(name="patch", space=("y", "x"), labels=LABELS, breaches=patch_breaches)
SPECTROGRAM = Kind(
    name="spectrogram",
    space=("slit", "wavelength"),
    labels=FLARE_LABELS,
    breaches=spectrogram_breaches,
)
SPECTRUM = Kind(
    name="spectrum", space=("wavelength",), labels=FLARE_LABELS, breaches=spectrum_breaches
)


def kind_of(samples: xr.Dataset) -> Kind:
    """Return the kind of Samples by the dimensions of their `image`; a patch if by none."""
    dims = samples["image"].dims if "image" in samples else ()
    return next((k for k in (PATCH, SPECTROGRAM, SPECTRUM) if k.dims == dims), PATCH)


def check_samples(samples: xr.Dataset) -> xr.Dataset:
    """Return the samples unchanged if they keep the vocabulary of their kind.

    Every row has a `time`, the words of its address (`sample_id`, `label`, `label_source`,
    `region`, ...) and the columns `wcs_*`. Beside these,

    * *patches* have on (sample, y, x) `image` float32 (intensity relative to the quiet Sun, limb
      darkening removed), `segmentation` uint8 (values of `SEGMENTS`, `INVALID` where unknown) and
      `central` bool (the pixels of the labelled structure), and the columns `MEASUREMENTS`;
    * *spectrograms*, one an exposure, have on (sample, slit, wavelength) `image` float32 (each
      spectrum divided by its maximum, NaN where it was dropped), on (sample, slit) `quality` uint8
      (0 kept, else the cleaning step that dropped it) and `peak` float32 (the maximum), the
      coordinate `wavelength` (Angstrom) and the columns `EXPOSURE_COLUMNS`;
    * *spectra* have on (sample, wavelength) `image` float32, `wavelength`, and the columns
      `SPECTRUM_COLUMNS`.

    Raises
    ------
    SchemaError
        naming every breach at once.
    """
    kind = kind_of(samples)
    breaches = kind.breaches(samples) + address_breaches(samples)
    if not breaches:
        unknown = sorted(set(samples["label"].values) - set(kind.labels))
        if unknown:
            breaches.append(f"labels {unknown} are not among {kind.labels}")
        ids = samples["sample_id"].values
        if len(set(ids.tolist())) != len(ids):
            breaches.append("sample_id is not unique")
    return or_raise(samples, breaches, "samples")
