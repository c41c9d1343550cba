"""What of Samples a network is shown, and where its answers go: each sample, or each spectrum."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import astropy.units as u
import numpy as np
import numpy.typing as npt
import torch
import xarray as xr
from torch import Tensor

from solarxai.classifier import Classifier
from solarxai.errors import ContractError
from solarxai.explainers import Explainer
from solarxai.schema import PATCH, SPECTROGRAM, kind_of
from solarxai.spectra import line_windows
from solarxai.spectrograms import flatten

__all__ = ["Inputs", "Spectra", "Whole", "as_rows", "inputs_of"]

Array = npt.NDArray[Any]


class Inputs(Protocol):
    """Samples as inputs of a network."""

    def fitted(self, explainer: Explainer) -> Explainer:
        """Return the method such that no sum depends on the samples beside one."""

    def batches(self) -> Iterator[Array]:
        """Yield images (input, *space), a call of the method each."""

    def segments(self) -> Iterator[Tensor | None]:
        """Yield the players (input, *space) of each batch, None where nothing is known."""

    def space(self, values: Array) -> xr.Variable:
        """Return values of all inputs (input, *space) as a map of the samples."""

    def numbers(self, values: Array) -> xr.Variable:
        """Return values of all inputs (input,) as numbers of the samples, or of their spectra."""

    def mean(self, values: Array) -> xr.Variable:
        """Return one number a sample: the mean over its inputs."""


def inputs_of(block: xr.Dataset, classifier: Classifier) -> Inputs:
    """Return the inputs that a classifier takes from Samples, by the dimensions of both.

    Raises
    ------
    ContractError
        when the classifier takes neither the samples nor spectra of them.
    """
    kind, dims = kind_of(block), len(classifier.contract.shape)
    if dims == len(kind.space):
        return Whole(block)
    if kind is SPECTROGRAM and dims == 1:
        return Spectra(block)
    raise ContractError(
        f"the samples are on {kind.space}, the classifier takes {dims} dimensions",
        remedy="Give a classifier that was trained on samples of this kind.",
    )


def as_rows(samples: xr.Dataset, classifier: Classifier) -> xr.Dataset:
    """Return Samples of which each row is one input of the classifier."""
    taken = inputs_of(samples, classifier)
    return flatten(samples) if isinstance(taken, Spectra) else samples


@dataclass(frozen=True)
class Whole:
    """Each sample is one input.

    Parameters
    ----------
    block
        Samples.
    """

    block: xr.Dataset

    def fitted(self, explainer: Explainer) -> Explainer:
        """Return the method with every image in passes of its own."""
        return explainer.alone()

    def batches(self) -> Iterator[Array]:
        """Yield all images."""
        yield self.block["image"].values

    def segments(self) -> Iterator[Tensor | None]:
        """Yield the class of each pixel, such as umbra, or the line each wavelength belongs to."""
        if kind_of(self.block) is not PATCH:
            yield _windows(self.block).expand(self.block["image"].shape)
        elif "segmentation" in self.block.variables:
            yield torch.from_numpy(self.block["segmentation"].values.astype(np.int64))
        else:
            yield None

    def space(self, values: Array) -> xr.Variable:
        """Return the maps, NaN where a spectrum was dropped."""
        kind = kind_of(self.block)
        if kind is SPECTROGRAM:
            dropped = self.block["quality"].values != 0
            values = np.where(dropped[:, :, None], np.float32(np.nan), values)
        return xr.Variable(kind.dims, values)

    def numbers(self, values: Array) -> xr.Variable:
        """Return one number a sample."""
        return xr.Variable("sample", values)

    def mean(self, values: Array) -> xr.Variable:
        """Return one number a sample."""
        return xr.Variable("sample", values)


@dataclass(frozen=True)
class Spectra:
    """Each kept spectrum of a spectrogram is one input; those of an exposure make a batch.

    Parameters
    ----------
    block
        Spectrogram Samples.
    """

    block: xr.Dataset

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Return which spectra there are, (sample, slit)."""
        found: npt.NDArray[np.bool_] = self.block["quality"].values == 0
        return found

    def fitted(self, explainer: Explainer) -> Explainer:
        """Return the method as it is: batches are exposures."""
        return explainer

    def batches(self) -> Iterator[Array]:
        """Yield the spectra of each exposure: no sum depends on the exposures beside it."""
        for image, kept in zip(self.block["image"].values, self.kept, strict=True):
            yield image[kept]

    def segments(self) -> Iterator[Tensor | None]:
        """Yield the line each wavelength belongs to."""
        windows = _windows(self.block)
        for kept in self.kept:
            yield windows.expand(int(kept.sum()), -1)

    def space(self, values: Array) -> xr.Variable:
        """Return the maps (sample, slit, wavelength), NaN where a spectrum was dropped."""
        return xr.Variable(SPECTROGRAM.dims, self._placed(values))

    def numbers(self, values: Array) -> xr.Variable:
        """Return one number a spectrum, (sample, slit)."""
        return xr.Variable(SPECTROGRAM.dims[:2], self._placed(values))

    def mean(self, values: Array) -> xr.Variable:
        """Return the mean over the spectra of each exposure."""
        sums = np.nansum(self._placed(values), axis=1, dtype=np.float64)
        return xr.Variable("sample", (sums / self.kept.sum(axis=1)).astype(np.float32))

    def _placed(self, values: Array) -> Array:
        whole = np.full((*self.kept.shape, *values.shape[1:]), np.nan, dtype=np.float32)
        whole[self.kept] = values
        return whole


def _windows(block: xr.Dataset) -> Tensor:
    """Return which line each wavelength belongs to, (wavelength,)."""
    found = line_windows(block["wavelength"].values * u.AA)
    return torch.from_numpy(np.asarray(found, dtype=np.int64))
