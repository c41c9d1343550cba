"""A unit that needs more memory than its worker has ends in one error that names it."""

import resource
import sys
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import torch

from solarxai.errors import WorkflowError
from solarxai.workflow.memory import bounded, described, memory_of_job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA of Linux")

BIG = 10**9


def held():
    return psutil.Process().memory_info().rss


def by_numpy(size):
    return int(np.ones(size, dtype=np.uint8)[-1])


def by_torch(size):
    return int(torch.ones(size, dtype=torch.uint8)[-1])


def by_python(size):
    return len([bytes(1000) for _ in range(size // 1000)]) // (size // 1000)


@pytest.mark.parametrize("allocate", [by_numpy, by_torch, by_python])
def test_a_unit_that_needs_more_fails_and_the_next_one_runs(allocate):
    limit = held() + BIG // 4
    with pytest.raises(WorkflowError, match=rf"the unit {allocate.__name__}\({BIG}\)") as failed:
        bounded(limit, allocate, BIG)
    assert f"needs more memory than the {limit / 1e9:.2f} GB of its worker" in failed.value.what
    assert "cluster.memory" in failed.value.remedy
    assert "attribute.shard_size" in failed.value.remedy
    assert bounded(limit, allocate, 10**7) == 1


def test_freed_memory_is_used_again_and_no_limit_stays():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held() + BIG // 4
    for _ in range(8):
        assert bounded(limit, by_numpy, BIG // 8) == 1
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    with pytest.raises(WorkflowError):
        bounded(limit, by_numpy, BIG)
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert by_numpy(BIG // 2) == 1


def test_without_a_limit_an_allocation_beyond_all_bounds_is_told_too():
    with pytest.raises(WorkflowError, match=r"by_numpy.* needs more memory than there is"):
        bounded(None, by_numpy, 10**15)


def test_a_limit_of_the_user_that_is_lower_stays(monkeypatch):
    soft = 64 * 2**20 + psutil.Process().memory_info().data
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    try:
        with pytest.raises(WorkflowError, match="needs more memory"):
            bounded(held() + BIG, by_numpy, BIG // 2)
        assert resource.getrlimit(resource.RLIMIT_DATA)[0] == soft
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def missing_file():
    Path("/nowhere").read_text()


def broken():
    raise RuntimeError("the network has no layers")


@pytest.mark.parametrize(("unit", "kind"), [(missing_file, OSError), (broken, RuntimeError)])
def test_other_errors_are_let_through(unit, kind):
    with pytest.raises(kind) as let:
        bounded(held() + BIG, unit)
    assert not isinstance(let.value, WorkflowError)


def from_a_file(path):
    with h5py.File(path, "r") as file:
        return file["image"][...].nbytes


def test_a_file_that_is_too_large_to_read_is_told_like_any_other(tmp_path):
    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", shape=(BIG,), dtype="u1", chunks=(10**6,), fillvalue=3)
    with pytest.raises(WorkflowError, match=r"the unit from_a_file\(.*large\.h5\)"):
        bounded(held() + BIG // 4, from_a_file, path)


def test_a_unit_is_named_by_its_short_arguments():
    call = (Path("/run/store/segments/abc"), [{"method": "gradient"}], None, 32, 17)
    assert described(by_numpy, call) == "the unit by_numpy(segments/abc, 32, 17)"
    assert len(described(by_numpy, ["x" * 100] * 100)) == 200


@pytest.mark.parametrize(
    ("told", "bytes_"),
    [
        ({}, None),
        ({"SLURM_MEM_PER_NODE": "1024"}, 2**30),
        ({"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_PER_TASK": "4"}, 2**31),
        ({"SLURM_MEM_PER_CPU": "512"}, 2**29),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
    ],
)
def test_a_job_of_slurm_says_how_much_it_has(monkeypatch, told, bytes_):
    for name in ("SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU", "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert memory_of_job() == bytes_
