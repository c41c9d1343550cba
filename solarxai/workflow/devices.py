"""Which device a unit computes on: what the workflow asks for, and what is there.

Every worker sees the GPUs that `CUDA_VISIBLE_DEVICES` names, and computes on the first of them; so
"one worker a GPU" is a matter of what each is shown, by Slurm or by the cluster of this machine.
"""

from __future__ import annotations

import os
from typing import Literal

import torch

from solarxai.errors import WorkflowError

__all__ = ["VISIBLE", "Device", "chosen", "name_of", "usable", "visible_gpus"]

VISIBLE = "CUDA_VISIBLE_DEVICES"

Device = Literal["cpu", "cuda", "auto"]


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` would name them."""
    named = os.environ.get(VISIBLE)
    if named is None:
        return tuple(map(str, range(torch.cuda.device_count())))
    return tuple(word.strip() for word in named.split(",") if word.strip() not in ("", "-1"))


def chosen(asked: Device, *, gpus: int | None) -> str:
    """Return "cpu" or "cuda": the device of a run, which is part of its key.

    Parameters
    ----------
    asked
        What the workflow says; "auto" takes a GPU where workers have one.
    gpus
        GPUs of each worker, where the cluster knows; None where workers see what this process sees.
    """
    if asked != "auto":
        return asked
    there = torch.cuda.is_available() if gpus is None else gpus > 0
    return "cuda" if there else "cpu"


def usable(device: str) -> torch.device:
    """Return the device of a unit in this process: of the GPUs that it sees, the first.

    Raises
    ------
    WorkflowError
        when it is to be a GPU and this process sees none.
    """
    if device == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        seen = os.environ.get(VISIBLE)
        raise WorkflowError(
            f"the run computes on {device}, and this worker sees no GPU "
            f"({VISIBLE} is {'not set' if seen is None else repr(seen)})",
            remedy="Give workers GPUs (cluster.gpus 1), or set attribute.device to cpu.",
        )
    return torch.device("cuda", 0)


def name_of(device: torch.device) -> str:
    """Return "cpu", or the name of the GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
