"""Units written down are done in parts, once each, whoever starts them, however they end."""

import functools
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from solarxai import provenance, registry, schema
from solarxai.errors import WorkflowError
from solarxai.workflow import locks, orders
from solarxai.workflow.progress import Progress


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work"


def order(folder, number=7):
    written = [(folder.parent / f"unit-{index}", b"x") for index in range(number)]
    orders.write_order(folder, provenance.write_atomically, written)


def units(folder):
    return sorted(int(path.name[5:]) for path in folder.parent.glob("unit-*"))


def part(folder, number, of):
    made = orders.do_part(folder, part=number, of=of, progress=Progress())
    return made.done, made.skipped, made.failed


def test_parts_share_the_units_by_their_number(folder):
    order(folder)
    assert (folder / "waiting").read_text() == "7\n"
    assert part(folder, 1, 3) == (2, 0, 0)
    assert units(folder) == [1, 4]
    assert part(folder, 0, 3) == (3, 0, 0)
    assert part(folder, 2, 3) == (2, 0, 0)
    assert units(folder) == list(range(7))
    assert part(folder, 9, 10) == (0, 0, 0)


def test_a_part_begun_again_goes_on_where_it_was_cut_off(folder):
    order(folder)
    part(folder, 0, 2)
    (done,) = folder.glob("done-*-0-of-2.txt")
    assert done.read_text().split() == ["0", "2", "4", "6"]
    done.write_text("0\n2\n4")
    (folder.parent / "unit-4").unlink()
    assert part(folder, 0, 2) == (2, 2, 0)
    assert units(folder) == [0, 2, 4, 6]
    assert part(folder, 0, 2) == (0, 4, 0)


def test_what_a_part_of_another_order_has_done_does_not_count(folder):
    order(folder)
    part(folder, 0, 1)
    (done,) = folder.glob("done-*")
    kept = done.read_text()
    order(folder, number=8)
    (folder / done.name).write_text(kept)
    assert part(folder, 0, 1) == (8, 0, 0)


def test_an_error_is_written_down_and_the_other_units_are_done(folder):
    names = ["hmi", "hni", "hmi"]
    orders.write_order(folder, registry.load, [("solarxai.instruments", name) for name in names])
    assert orders.failure_of(folder) is None
    assert part(folder, 0, 1) == (2, 0, 1)
    failure = orders.failure_of(folder)
    assert failure.remedy == "Did you mean 'hmi'?"
    assert "hni" in failure.what


@pytest.mark.parametrize("number", [-1, 3])
def test_a_part_that_is_none_is_refused(folder, number):
    order(folder)
    with pytest.raises(WorkflowError, match=re.escape(f"there is no part {number} of 3")):
        part(folder, number, 3)


def test_without_an_order_the_remedy_is_to_write_one(folder):
    with pytest.raises(WorkflowError, match="no units wait to be done here") as refused:
        part(folder, 0, 1)
    assert "--cluster array" in refused.value.remedy


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (pickle.dumps((os.system, [("true",)])), "posix.system"),
        (pickle.dumps((eval, [("1",)])), "builtins.eval"),
        (pickle.dumps((functools.reduce, [])), "functools.reduce"),
        (b"csolarxai.workflow.orders\nshutil\n.", "solarxai.workflow.orders.shutil"),
        (
            b"\x80\x04\x8c\x18solarxai.workflow.orders\x8c\x0dshutil.rmtree\x93.",
            "orders.shutil.rmtree",
        ),
        (b"cut", "not an order"),
        (b"", "not an order"),
    ],
)
def test_an_order_names_nothing_but_this_library(folder, written, named):
    folder.mkdir()
    (folder / "order.pickle").write_bytes(written)
    with pytest.raises(WorkflowError, match="not an order of this version of solarxai") as refused:
        part(folder, 0, 1)
    assert named in str(refused.value)


def test_an_order_may_name_paths_and_functions_with_bound_options(folder):
    bound = functools.partial(registry.near_name, known=["method"])
    orders.write_order(folder, bound, [("methud",)])
    names = orders._Names(io.BytesIO((folder / "order.pickle").read_bytes()))
    function, calls = names.load()
    assert function(*calls[0]) == "Did you mean 'method'?"
    assert part(folder, 0, 1) == (1, 0, 0)


def test_a_part_on_the_line_says_what_it_did_and_exits_with_two_after_a_failure(tmp_path):
    orders.write_order(tmp_path / "work", registry.load, [("solarxai.instruments", "hni")])
    words = [sys.executable, "-c", "from solarxai.cli import main; main()", "work", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [*words, "--part", "0/1"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == "0 done, 0 there already, 1 failed\n"
    assert "Traceback" not in ended.stderr


def test_a_part_killed_leaves_only_whole_units_behind(tmp_path):
    folder = tmp_path / "work"
    order(folder, number=600)
    words = [sys.executable, "-c", "from solarxai.cli import main; main()", "work", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = subprocess.Popen([*words, "--part", "0/1"], env=environment)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("unit-*"))) < 50 and time.monotonic() < deadline:
        time.sleep(0.02)
    running.kill()
    running.wait()
    before = len(units(folder))
    assert 50 <= before < 600
    (done,) = folder.glob("done-*")
    assert before - len(done.read_text().split()) in (0, 1)
    done_now, skipped, failed = part(folder, 0, 1)
    assert (done_now + skipped, failed) == (600, 0)
    assert skipped >= before - 1
    assert units(folder) == list(range(600))


def test_a_failure_is_one_line_of_json(folder):
    orders.write_order(folder, registry.load, [("solarxai.instruments", "hni")])
    part(folder, 0, 1)
    (path,) = Path(folder).glob("failed-*.jsonl")
    (line,) = path.read_text().splitlines()
    assert set(json.loads(line)) == {"what", "remedy"}


def test_a_unit_that_needs_more_memory_than_its_part_has_is_an_error_like_any_other(folder):
    limit = psutil.Process().memory_info().rss + 10**8
    orders.write_order(folder, schema.mock_samples, [(10**6,), (2,)])
    made = orders.do_part(folder, part=0, of=1, progress=Progress(), memory=limit)
    assert (made.done, made.failed) == (1, 1)
    failure = orders.failure_of(folder)
    told = f"the unit mock_samples(1000000) needs more memory than the {limit / 1e9:.2f} GB of its"
    assert failure.what.startswith(told)
    assert "--mem of the array" in failure.remedy


def test_parts_are_at_work_together_and_never_beside_the_driver(tmp_path):
    order(tmp_path / "work")
    with locks.together(tmp_path):
        assert part(tmp_path / "work", 0, 2) == (4, 0, 0)
        with (
            pytest.raises(WorkflowError, match=r"another run is at work .* or a part of this one"),
            locks.alone(tmp_path),
        ):
            pass
    with locks.alone(tmp_path), pytest.raises(WorkflowError, match="a run is at work in"):
        part(tmp_path / "work", 1, 2)
    assert part(tmp_path / "work", 1, 2) == (3, 0, 0)


def test_a_folder_that_cannot_be_locked_is_told(tmp_path):
    with (
        pytest.raises(WorkflowError, match="cannot be written"),
        locks.alone(tmp_path / "nowhere"),
    ):
        pass


def test_the_unit_in_hand_of_a_part_that_was_killed_is_known(folder):
    order(folder)
    assert orders.in_hand(folder) == []
    child = os.fork()
    if not child:
        orders.bounded = lambda *unit: os.kill(os.getpid(), signal.SIGKILL)
        part(folder, 1, 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    (told,) = orders.in_hand(folder)
    assert re.fullmatch(r"the unit write_atomically\(.*/unit-1\)", told)
    assert part(folder, 1, 2) == (3, 0, 0)
    assert orders.in_hand(folder) == []
