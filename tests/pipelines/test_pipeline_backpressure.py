"""Units in flight, results and memory are bounded, however many units there are."""

import os
import time

import pytest

from pipelines.cluster import WINDOW, LocalProcesses, local
from pipelines.cluster.memory import in_bytes, share_of_this_machine
from solarxai import registry, schema
from solarxai.errors import WorkflowError
from solarxai.workflow import load

MB = 2**20


@pytest.fixture(scope="module")
def processes():
    cluster = LocalProcesses(workers=2, memory="2GB")
    yield cluster
    cluster.close()


def results_on_workers(dask_worker):
    return len(dask_worker.data)


def test_no_more_units_than_the_window_are_anywhere_at_any_moment(processes):
    """Units of 1 MB each, and a consumer that is slower than the workers."""
    drawn = 0

    def calls():
        nonlocal drawn
        for _ in range(300):
            drawn += 1
            yield (MB,)

    client, limit = processes._connected(), 2 * WINDOW
    scheduler, most, kept = client.cluster.scheduler, 0, 0
    for done, (_, result) in enumerate(processes.run(bytes, calls()), 1):
        assert result == bytes(MB)
        assert drawn <= done - 1 + limit
        most = max(most, len(scheduler.tasks), len(client.futures))
        if done % 100 == 0:
            time.sleep(0.2)  # by now every unit in flight has ended and waits to be taken
            kept = max(kept, sum(client.run(results_on_workers).values()))
    assert done == drawn == 300
    assert limit - 2 <= most <= limit + 2  # a result just taken is forgotten a moment later
    assert 0 < kept <= limit
    assert not any(client.run(results_on_workers).values())


def test_a_unit_that_a_worker_has_no_memory_for_fails_once_and_the_workers_stay(processes):
    before = processes._connected().run(os.getpid)
    results = dict(processes.run(schema.mock_samples, [(10,), (10**6,), (20,)]))
    assert [results[0].sizes["sample"], results[2].sizes["sample"]] == [10, 20]
    assert isinstance(results[1], WorkflowError)
    told = str(results[1])
    assert told.startswith("the unit mock_samples(1000000) needs more memory than the 2.00 GB of")
    assert "cluster.memory" in results[1].remedy
    assert processes._connected().run(os.getpid) == before


def test_workers_share_the_machine_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr("pipelines.cluster.memory.MEMORY_LIMIT", 8 * 10**9)
    assert share_of_this_machine(4) == 2 * 10**9
    assert LocalProcesses(workers=4)._memory == 2 * 10**9
    assert LocalProcesses(workers=4, memory="3 GiB")._memory == 3 * 2**30 == in_bytes("3GiB")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("memory: 4", "cluster.memory: Input should be a valid string"),
        ("memory: much", "cluster.memory: String should match pattern"),
        ("gpus: 2", "cluster.gpus: Input should be less than or equal to 1"),
    ],
)
def test_options_are_checked_like_those_of_a_step(tmp_path, options, told):
    path = tmp_path / "local.yaml"
    path.write_text(f"synth: {{n: 1}}\ncluster: {{kind: local, {options}}}\n")
    with pytest.raises(WorkflowError) as refused:
        load(path)
    assert told in refused.value.what


def test_each_worker_is_shown_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    cluster = LocalProcesses(workers=2, gpus=1)
    try:
        assert cluster.gpus == 1
        assert list(cluster.run(registry.near_name, [("a", ["b"])])) == [(0, "")]
        seen = cluster._connected().run(os.getenv, "CUDA_VISIBLE_DEVICES")
        assert sorted(seen.values()) == ["3", "5"]
    finally:
        cluster.close()


def test_more_workers_than_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(WorkflowError, match=r"2 workers are to have a GPU each, and .* shows 1"):
        LocalProcesses(workers=2, gpus=1)
    assert LocalProcesses(workers=1, gpus=1).gpus == 1
    assert LocalProcesses(workers=2).gpus is None


def test_a_unit_that_ends_its_workers_is_named(monkeypatch):
    """The fault of a library, or the system short of memory: no limit of ours was in the way."""
    monkeypatch.setitem(local.SETTINGS, "distributed.scheduler.allowed-failures", 1)
    cluster = LocalProcesses(workers=1, memory="3GB")
    try:
        with pytest.raises(WorkflowError, match=r"the unit _exit\(7\) ended 2 workers") as failed:
            list(cluster.run(os._exit, [(7,)]))
    finally:
        cluster.close()
    assert "of 3.00 GB each" in failed.value.what
    assert "cluster.memory" in failed.value.remedy
