"""A network and its input contract, saved together and known by one hash."""

from __future__ import annotations

import importlib
import json
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


@dataclass(frozen=True, kw_only=True)
class InputContract:
    """What a network expects to be given, and what its outputs mean.

    Parameters
    ----------
    shape
        Pixels of one sample, (y, x).
    scale_mm
        Plate scale in Mm per pixel.
    offset, scale
        Normalisation: the network sees (image - offset) / scale, where image is the intensity
        relative to the quiet Sun.
    classes
        Names of the outputs, in order.
    """

    shape: tuple[int, ...] = (64, 64)
    scale_mm: float = 0.5
    offset: float = 1.0
    scale: float = 1.0
    classes: tuple[str, ...] = ("pore", "sunspot")

    def __post_init__(self) -> None:
        if self.scale <= 0 or self.scale_mm <= 0 or min(self.shape) < 1:
            raise ContractError(
                f"shape {self.shape}, scale_mm {self.scale_mm} and scale {self.scale} "
                "must be positive",
                remedy="Correct the input contract.",
            )
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ContractError(
                f"classes {self.classes} are not two or more distinct names",
                remedy="Name each output of the network once.",
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
        if not np.isfinite(images).all():
            raise ContractError(
                "samples contain values that are not finite",
                remedy="Ingest masks such pixels; offer it the original file.",
            )
        scaled = (images.astype(np.float32) - np.float32(self.contract.offset)) / np.float32(
            self.contract.scale
        )
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

    def _description(self) -> dict[str, Any]:
        return {
            "contract": asdict(self.contract),
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
            k: tuple(v) if k in ("shape", "classes") else v for k, v in record.items()
        }
        return InputContract(**made)
    except TypeError as error:
        raise ContractError(
            f"the input contract {dict(record)} has a value of the wrong type: {error}",
            remedy="Give shape and classes as lists, and numbers for the rest.",
        ) from error


def _tensor_hash(tensor: Tensor) -> str:
    return array_hash(tensor.detach().cpu().numpy())
