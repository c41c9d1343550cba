"""A plain loop and processes of this machine run the same units with the same results."""

import os
import pickle
import pickletools

import pytest
from distributed.protocol.pickle import dumps

from pipelines.cluster import WINDOW, WORKER_ENVIRONMENT, LocalProcesses, PlainLoop
from solarxai import registry
from solarxai.errors import SolarxaiError, WorkflowError
from solarxai.workflow import tasks

BEFORE = dict(os.environ)


@pytest.fixture(scope="module")
def processes():
    cluster = LocalProcesses(workers=2)
    yield cluster
    cluster.close()


def test_a_loop_runs_in_order_and_hands_errors_back():
    calls = [("solarxai.instruments", "hmi"), ("solarxai.instruments", "hni")]
    results = list(PlainLoop().run(registry.load, calls))
    assert [index for index, _ in results] == [0, 1]
    assert isinstance(results[1][1], SolarxaiError)


def test_a_loop_lets_defects_through():
    with pytest.raises(TypeError):
        list(PlainLoop().run(registry.near_name, [(1, [2])]))


def test_processes_give_what_the_loop_gives(processes):
    calls = [(f"methud{i}", ["method", "model"]) for i in range(40)]
    assert dict(processes.run(registry.near_name, calls)) == dict(
        PlainLoop().run(registry.near_name, calls)
    )


def test_processes_hand_an_error_back_with_its_remedy(processes):
    ((_, error),) = processes.run(registry.load, [("solarxai.instruments", "hni")])
    assert isinstance(error, WorkflowError)
    assert error.remedy == "Did you mean 'hmi'?"


def test_processes_let_defects_through(processes):
    with pytest.raises(TypeError):
        list(processes.run(registry.near_name, [(1, [2])]))


def test_no_more_units_are_drawn_than_the_window_holds(processes):
    drawn = []

    def calls():
        for index in range(200):
            drawn.append(index)
            yield str(index), ["1"]

    running = processes.run(registry.near_name, calls())
    next(running)
    assert len(drawn) == 2 * WINDOW
    running.close()


def test_nothing_to_do_starts_no_process():
    cluster = LocalProcesses(workers=2)
    assert list(cluster.run(registry.near_name, [])) == []
    assert cluster._client is None
    cluster.close()


@pytest.mark.parametrize("name", sorted(WORKER_ENVIRONMENT))
def test_a_worker_starts_with_our_settings_unless_the_user_has_his_own(processes, name):
    ((_, value),) = processes.run(os.getenv, [(name,)])
    assert value == BEFORE.get(name, WORKER_ENVIRONMENT[name])


def test_a_worker_computes_on_one_thread(processes):
    import torch

    ((_, threads),) = processes.run(torch.get_num_threads, [()])
    assert threads == 1


def test_nothing_listens_beyond_this_machine(processes):
    list(processes.run(os.getenv, [("HOME",)]))
    client = processes._client
    assert client.scheduler.address.startswith("tcp://127.0.0.1")
    assert client.dashboard_link.startswith("http://127.0.0.1")


@pytest.mark.parametrize(
    "function",
    [tasks.write_scene, tasks.ingest_block, tasks.attribute_shard],
    ids=lambda f: f.__name__,
)
def test_a_worker_is_sent_a_name_of_the_library_and_no_code(function):
    payload = dumps(function)
    words = [arg for _, arg, _ in pickletools.genops(payload) if isinstance(arg, str)]
    assert "solarxai.workflow.tasks" in words
    assert not any("pipelines" in word for word in words)
    assert pickle.loads(payload) is function
