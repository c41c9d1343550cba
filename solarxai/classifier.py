"""A network and its input contract, saved together and known by one hash."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from solarxai.errors import ContractError
from solarxai.provenance import array_hash, content_hash, file_hash, write_atomically

__all__ = ["Classifier", "InputContract", "evaluation_mode"]

_FORMAT = 1
_TUPLES = ("shape", "classes", "wavelength")


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """What a network expects to be given, and what its outputs mean.

    Parameters
    ----------
    shape
        Of one sample: (y, x) pixels of an image; (w,) points of a spectrum; (slit, w) of a
        spectrogram, one spectrum a position of the slit.
    scale_mm
        Plate scale of an image in Mm per pixel; None for spectra and spectrograms.
    offset, scale
        Normalisation: the network sees (image - offset) / scale, where image is the intensity
        relative to the quiet Sun, or that of a spectrum relative to its maximum.
    classes
        Names of the outputs, in order.
    wavelength
        First and last wavelength of the grid of w evenly spaced points, vacuum, Å; None for
        images. Part of the hash where there is one.

    Raises
    ------
    ContractError
        when a number is not positive, a name of `classes` is missing or stands twice, or plate
        scale, wavelengths and shape do not belong together.
    """

    shape: tuple[int, ...] = (64, 64)
    scale_mm: float | None = 0.5
    offset: float = 1.0
    scale: float = 1.0
    classes: tuple[str, ...] = ("pore", "sunspot")
    wavelength: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        plate_scale = 1.0 if self.scale_mm is None else self.scale_mm
        if self.scale <= 0 or plate_scale <= 0 or min(self.shape) < 1:
            raise ContractError(
                f"shape {self.shape}, scale_mm {self.scale_mm} and scale {self.scale} "
                "must be positive",
                remedy="Correct the input contract.",
            )
        if self.wavelength is None and self.scale_mm is None:
            raise ContractError(
                "the input contract has neither scale_mm nor wavelength",
                remedy="Give the Mm per pixel of an image, or the first and last wavelength of a "
                "spectrum.",
            )
        if self.wavelength is not None:
            self._check_grid(self.wavelength)
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ContractError(
                f"classes {self.classes} are not two or more distinct names",
                remedy="Name each output of the network once.",
            )

    @property
    def plate_scale(self) -> float:
        """Return the Mm per pixel of the images it takes.

        Raises
        ------
        ContractError
            when it takes spectra.
        """
        if self.scale_mm is None:
            raise ContractError(
                "a classifier of spectra has no plate scale",
                remedy="Give a classifier of images; spectra have the step `attention`.",
            )
        return self.scale_mm

    @property
    def wavelengths(self) -> npt.NDArray[np.float64] | None:
        """Return the grid of wavelengths (w,) in Å, None for images."""
        if self.wavelength is None:
            return None
        return np.linspace(*self.wavelength, self.shape[-1])

    @property
    def fills_rows(self) -> bool:
        """Return whether rows of NaN are taken: dropped slit positions of a spectrogram."""
        return self.wavelength is not None and len(self.shape) == 2

    def _check_grid(self, wavelength: tuple[float, float]) -> None:
        if self.scale_mm is not None:
            raise ContractError(
                f"the input contract has both scale_mm {self.scale_mm} and wavelength {wavelength}",
                remedy="Spectra have no plate scale: give scale_mm None (null in a file).",
            )
        if len(wavelength) != 2 or not 0 < wavelength[0] < wavelength[1] < math.inf:
            raise ContractError(
                f"wavelength {wavelength} is not a range of wavelengths",
                remedy="Give the first and the last wavelength of the grid in Å, increasing.",
            )
        if len(self.shape) not in (1, 2) or self.shape[-1] < 2:
            raise ContractError(
                f"shape {self.shape} is neither that of a spectrum nor that of a spectrogram",
                remedy="Give (w,) or (slit, w), w >= 2 being the points of the wavelength grid.",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A network, the input contract it was trained under, and how to build it again.

    Parameters
    ----------
    network
        Maps (batch, 1, *shape) float32 to (batch, class) scores before softmax.
    contract
        The input contract.
    architecture
        Import path of the network's class, "package.module:Class".
    options
        Keyword arguments of that class.
    notes
        Anything worth keeping about its training; part of the file, not of the hash.
    """

    network: nn.Module
    contract: InputContract
    architecture: str
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def tensor(self, images: npt.NDArray[np.float32]) -> Tensor:
        """Return images (sample, *shape) as the network's input (sample, 1, *shape).

        A row of NaN in a spectrogram is a slit position without spectrum; it becomes 0, the mean
        of the training set where that set the normalisation.

        Raises
        ------
        ContractError
            when the shape is not the contract's or a value is not finite.
        """
        if images.shape[1:] != tuple(self.contract.shape):
            raise ContractError(
                f"samples of {images.shape[1:]} pixels were offered to a network that takes "
                f"{tuple(self.contract.shape)}",
                remedy="Ingest again with the patch size of this classifier.",
            )
        empty = self._empty(images)
        scaled = (images.astype(np.float32) - np.float32(self.contract.offset)) / np.float32(
            self.contract.scale
        )
        if empty is not None:
            scaled[empty] = 0
        return torch.from_numpy(np.ascontiguousarray(scaled))[:, None]

    @torch.no_grad()
    def scores(
        self, images: npt.NDArray[np.float32], *, batch_size: int = 32
    ) -> npt.NDArray[np.float32]:
        """Return the network's outputs (sample, class) before softmax, in evaluation mode."""
        with evaluation_mode(self.network):
            blocks = [self.network(b) for b in torch.split(self.tensor(images), batch_size)]
        if not blocks:
            return np.zeros((0, len(self.contract.classes)), dtype=np.float32)
        return torch.cat(blocks).numpy().astype(np.float32)

    def margins(
        self, images: npt.NDArray[np.float32], *, batch_size: int = 32
    ) -> npt.NDArray[np.float32]:
        """Return the score of the second class minus that of the first, (sample,): logits.

        Raises
        ------
        ContractError
            when the network does not have exactly two classes.
        """
        if len(self.contract.classes) != 2:
            raise ContractError(
                f"a margin is the difference of two scores; this network has the classes "
                f"{self.contract.classes}",
                remedy="Use `scores`, or give a classifier with two classes.",
            )
        scores = self.scores(images, batch_size=batch_size)
        return scores[:, 1] - scores[:, 0]

    @property
    def hash(self) -> str:
        """Return the sha256 of weights, contract and architecture: equal hash, equal answers."""
        weights = {
            name: [list(t.shape), str(t.dtype), _tensor_hash(t)]
            for name, t in self.network.state_dict().items()
        }
        return content_hash([_FORMAT, weights, self._description()])

    def to_bytes(self) -> bytes:
        """Return a safetensors file: the weights, and the rest as JSON in its header."""
        state = {name: t.detach().contiguous() for name, t in self.network.state_dict().items()}
        record = {"format": _FORMAT, **self._description(), "notes": dict(self.notes)}
        text = json.dumps(record, sort_keys=True)
        return safetensors.torch.save(state, metadata={"solarxai": text})

    def save(self, path: Path) -> str:
        """Write `to_bytes` to a file, whole or not at all; return `hash`."""
        write_atomically(path, self.to_bytes())
        return self.hash

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Return the classifier saved at `path`, in evaluation mode.

        Raises
        ------
        ContractError
            when the file is absent, is not a solarxai checkpoint, or does not fit its class.
        """
        try:
            with safe_open(path, framework="pt") as file:
                record = json.loads((file.metadata() or {})["solarxai"])
            described = [record[k] for k in ("contract", "architecture", "options", "notes")]
            state = safetensors.torch.load_file(path)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ContractError(
                f"{path}: not a solarxai checkpoint ({type(error).__name__}: {error})",
                remedy="Give a file written by `solarxai train`, or describe your own network "
                "with `network`, `weights` and `contract`.",
            ) from error
        contract, architecture, options, notes = described
        return cls._assemble(state, _contract_from(contract), architecture, options, notes, path)

    @classmethod
    def from_import(
        cls,
        *,
        network: str,
        weights: Path,
        contract: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
    ) -> Classifier:
        """Return a classifier from a user's own class and weights.

        Parameters
        ----------
        network
            Import path "package.module:Class" of an `nn.Module`.
        weights
            A state dict: .safetensors, or .pt/.pth (read with `weights_only=True`).
        contract
            Fields of `InputContract`.
        options
            Keyword arguments of the class.
        """
        try:
            if weights.suffix == ".safetensors":
                state = safetensors.torch.load_file(weights)
            else:
                state = torch.load(weights, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises a dozen types on hostile files
            raise ContractError(
                f"{weights}: not a state dict ({type(error).__name__})",
                remedy="Save it with torch.save(model.state_dict(), path) or safetensors.",
            ) from error
        notes = {"weights_sha256": file_hash(weights)}
        return cls._assemble(
            state, _contract_from(contract), network, dict(options or {}), notes, weights
        )

    @classmethod
    def _assemble(
        cls,
        state: Mapping[str, Tensor],
        contract: InputContract,
        architecture: str,
        options: Mapping[str, Any],
        notes: Mapping[str, Any],
        path: Path,
    ) -> Classifier:
        network = _build(architecture, options)
        try:
            network.load_state_dict(dict(state))
        except RuntimeError as error:
            raise ContractError(
                f"{path}: the weights do not fit {architecture} with options {dict(options)}",
                remedy="Give the options the network was trained with.",
            ) from error
        network.eval()
        made = cls(
            network=network,
            contract=contract,
            architecture=architecture,
            options=options,
            notes=notes,
        )
        probe = made.scores(np.ones((1, *contract.shape), dtype=np.float32))
        if probe.shape != (1, len(contract.classes)):
            raise ContractError(
                f"{architecture} returns {probe.shape[1:]} outputs for {len(contract.classes)} "
                "classes",
                remedy="Name as many classes in the contract as the network has outputs.",
            )
        return made

    def _empty(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_] | None:
        """Return which rows of spectrograms hold no spectrum; refuse all else that is no number."""
        finite = np.isfinite(images)
        if finite.all():
            return None
        if not self.contract.fills_rows:
            raise ContractError(
                "samples contain values that are not finite",
                remedy="Ingest masks such pixels; offer it the original file."
                if self.contract.wavelength is None
                else "Leave out the spectra that were dropped: spectrograms.flatten does.",
            )
        empty = np.isnan(images).all(axis=-1)
        broken = int((~finite.all(axis=-1) & ~empty).sum())
        if broken:
            raise ContractError(
                f"{broken} spectra of the spectrograms are finite only in part",
                remedy="Make the whole spectrum NaN to drop it, or regrid it to the whole grid.",
            )
        return np.asarray(empty)

    def _description(self) -> dict[str, Any]:
        return {
            "contract": _contract_record(self.contract),
            "architecture": self.architecture,
            "options": dict(self.options),
        }


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each of its modules back as it was."""
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _build(architecture: str, options: Mapping[str, Any]) -> nn.Module:
    module, _, name = architecture.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(**options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ContractError(
            f"cannot build the network {architecture!r} with options {dict(options)}: {error}",
            remedy="Give an import path 'package.module:Class' that is installed or on PYTHONPATH.",
        ) from error
    if not isinstance(made, nn.Module):
        raise ContractError(
            f"{architecture!r} gives a {type(made).__name__}",
            remedy="Name a class derived from torch.nn.Module.",
        )
    return made


def _contract_record(contract: InputContract) -> dict[str, Any]:
    """Return the fields; those that came later are left out where they say nothing."""
    record = asdict(contract)
    if contract.wavelength is None:
        del record["wavelength"]
    return record


def _contract_from(record: Mapping[str, Any]) -> InputContract:
    known = {f.name for f in fields(InputContract)}
    unknown = sorted(set(record) - known)
    if unknown:
        raise ContractError(
            f"the input contract has unknown fields {unknown}",
            remedy=f"Its fields are {sorted(known)}.",
        )
    try:
        made: dict[str, Any] = {
            k: tuple(v) if k in _TUPLES and v is not None else v for k, v in record.items()
        }
        return InputContract(**made)
    except TypeError as error:
        raise ContractError(
            f"the input contract {dict(record)} has a value of the wrong type: {error}",
            remedy="Give shape and classes as lists, and numbers for the rest.",
        ) from error


def _tensor_hash(tensor: Tensor) -> str:
    return array_hash(tensor.detach().cpu().numpy())
