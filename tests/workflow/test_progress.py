"""A run is followed with clocks that are given, so every line can be foretold."""

import io
import json
import time
from pathlib import Path

from solarxai.workflow.progress import Bars, Journal, Lines, Progress, Stage, describe_stage


class Clock:
    """Seconds that pass when told to."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def noon():
    return "2014-03-29T12:00:00+00:00"


def test_a_rate_counts_units_done_and_not_those_there_already():
    clock = Clock()
    stage = Stage(name="attribute", total=10, clock=clock)
    stage.skip(4)
    clock.seconds = 2.0
    stage.advance(3)
    assert stage.rate == 1.5
    assert stage.remaining == 2.0


def test_nothing_is_foretold_before_a_unit_is_done():
    assert Stage(name="ingest", total=3).remaining is None


def test_failures_are_units_that_need_not_be_waited_for():
    clock = Clock()
    stage = Stage(name="ingest", total=4, clock=clock)
    clock.seconds = 1.0
    stage.fail(2)
    assert stage.remaining == 1.0
    assert "2 failed" in describe_stage(stage)


def test_a_library_callback_sets_done_of_total():
    stage = Stage(name="validate")
    stage.reach(2, 7, "localisation")
    assert describe_stage(stage) == "validate: 2/7 units (localisation)"


def test_lines_tell_start_and_end_with_the_time():
    stream = io.StringIO()
    progress = Progress(display=Lines(stream, now=noon, interval=60), clock=Clock())
    with progress.stage("synth", total=2, unit="scenes") as stage:
        stage.advance(2)
    first, last = stream.getvalue().splitlines()
    assert first == "2014-03-29T12:00:00+00:00 synth: started, 2 scenes"
    assert last == "2014-03-29T12:00:00+00:00 synth: 2/2 scenes, 0.0 s"


def test_lines_beat_while_a_stage_is_silent():
    stream = io.StringIO()
    progress = Progress(display=Lines(stream, now=noon, interval=0.01))
    with progress.stage("train", total=9, unit="epochs") as stage:
        stage.advance(4)
        for _ in range(500):
            if "4/9 epochs" in stream.getvalue():
                break
            time.sleep(0.01)
    assert "train: 4/9 epochs" in stream.getvalue()


def test_a_stage_inside_another_silences_neither_and_both_end():
    stream = io.StringIO()
    lines = Lines(stream, now=noon, interval=0.01)
    progress = Progress(display=lines)
    with progress.stage("classifier"), progress.stage("train"):
        time.sleep(0.05)
    told = stream.getvalue()
    assert "classifier: 0/? units\n" in told
    assert "train: 0/? units\n" in told
    time.sleep(0.05)
    assert stream.getvalue() == told


def test_bars_leave_one_line_a_stage():
    stream = io.StringIO()
    progress = Progress(display=Bars(stream), clock=Clock())
    with progress.stage("ingest", total=3, unit="files") as stage:
        stage.advance()
        stage.fail()
    progress.say("ingest [done]")
    assert "ingest: 2/3 files, 1 failed, 0.0 s" in stream.getvalue()
    assert "ingest [done]" in stream.getvalue()


def test_the_journal_holds_one_object_a_line_with_the_counts(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    progress = Progress(journal=Journal(path, now=noon))
    with progress.stage("ingest", total=3) as stage:
        stage.advance(2)
        stage.fail()
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert [event["event"] for event in events] == ["stage started", "stage ended"]
    assert events[1]["done"] == 2
    assert events[1]["failed"] == 1
    assert {event["time"] for event in events} == {noon()}


def test_a_stage_that_breaks_off_is_still_journalled(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    progress = Progress(journal=Journal(path, now=noon))
    try:
        with progress.stage("ingest") as stage:
            stage.advance()
            raise RuntimeError
    except RuntimeError:
        pass
    assert json.loads(path.read_text().splitlines()[-1])["done"] == 1


def test_without_display_and_journal_nothing_is_written(capsys):
    progress = Progress()
    with progress.stage("ingest") as stage:
        stage.advance()
    progress.say("done")
    assert capsys.readouterr() == ("", "")
