"""A run ends with counts, figures, the verdict and what to type next."""

from pathlib import Path

from solarxai.workflow import Outcome
from solarxai.workflow.execution import Result
from solarxai.workflow.progress import Stage
from solarxai.workflow.summary import describe_results, describe_rows


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def followed(name, *, done, seconds):
    clock = Clock()
    stage = Stage(name=name, unit="files", clock=clock)
    clock.seconds = seconds
    stage.advance(done)
    return stage


def made(name, *, kept=False, **outcome):
    return Result(name=name, key="k", kept=kept, outcome=Outcome(outputs=(), **outcome))


def test_a_step_tells_its_counts_speed_figures_and_what_was_left_out():
    failure = {"file": "cut.fits", "error": "cut.fits: truncated", "remedy": "Fetch it."}
    result = made(
        "ingest", done=6, skipped=2, failed=1, failures=(failure,), figures={"pore samples": 4},
        next_command="solarxai train {out}",
    )  # fmt: skip
    stages = [followed("ingest", done=6, seconds=3), followed("ingest", done=100, seconds=1)]
    assert describe_results([result], stages, out=Path("runs/mine")) == (
        "ingest     6 done, 2 there already, 1 failed (2 files/s, 3 s)\n"
        "           left out: cut.fits: cut.fits: truncated\n"
        "           pore samples: 4\n"
        "\n"
        "next: solarxai train runs/mine"
    )


def test_a_step_that_was_kept_says_so_and_repeats_its_sentences():
    result = made("validate", kept=True, done=3, sentences=("It looks.",))
    assert describe_results([result], [], out=Path("o")) == (
        "validate   there already, nothing done (3 done before)\n\nIt looks."
    )


def test_rows_line_up_under_their_names():
    rows = [{"label": "pore", "score": -3.5}, {"label": "sunspot", "score": 12}]
    assert describe_rows(rows) == "label    score\npore     -3.500\nsunspot  12"


def test_no_rows_are_none():
    assert describe_rows([]) == "none"
