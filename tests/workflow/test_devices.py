"""A unit computes on the device that the workflow asks for and its worker sees."""

import pytest
import torch

from solarxai.errors import WorkflowError
from solarxai.workflow.devices import VISIBLE, chosen, name_of, usable, visible_gpus


@pytest.fixture
def gpus(monkeypatch):
    """Return a function that lets this machine have so many GPUs."""

    def have(number):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    monkeypatch.delenv(VISIBLE, raising=False)
    have(0)
    return have


@pytest.mark.parametrize("here", [0, 2])
@pytest.mark.parametrize("workers_have", [None, 0, 1])
def test_what_is_asked_for_by_name_is_taken(gpus, here, workers_have):
    gpus(here)
    assert chosen("cpu", gpus=workers_have) == "cpu"
    assert chosen("cuda", gpus=workers_have) == "cuda"


@pytest.mark.parametrize(
    ("here", "workers_have", "device"),
    [(0, None, "cpu"), (2, None, "cuda"), (0, 1, "cuda"), (2, 0, "cpu")],
)
def test_auto_takes_a_gpu_where_workers_have_one(gpus, here, workers_have, device):
    """A login node has none and its workers do, or the other way round."""
    gpus(here)
    assert chosen("auto", gpus=workers_have) == device


@pytest.mark.parametrize(
    ("named", "number", "seen"),
    [
        (None, 2, ("0", "1")),
        ("3,5", 2, ("3", "5")),
        ("GPU-8e1c, GPU-77aa", 2, ("GPU-8e1c", "GPU-77aa")),
        ("", 0, ()),
        ("-1", 0, ()),
    ],
)
def test_the_gpus_are_those_that_this_process_is_shown(gpus, monkeypatch, named, number, seen):
    gpus(number)
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    assert visible_gpus() == seen


def test_a_worker_takes_the_first_gpu_that_it_sees(gpus):
    gpus(1)
    assert usable("cuda") == torch.device("cuda", 0)
    assert usable("cpu") == torch.device("cpu")
    assert name_of(torch.device("cpu")) == "cpu"


@pytest.mark.parametrize(("named", "told"), [(None, "is not set"), ("", "is ''")])
def test_a_worker_without_a_gpu_does_not_compute_elsewhere_in_silence(
    gpus, monkeypatch, named, told
):
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    with pytest.raises(WorkflowError, match=f"sees no GPU .{VISIBLE} {told}") as failed:
        usable("cuda")
    assert "cluster.gpus 1" in failed.value.remedy
