"""Validation is one task: it judges the run of its folder and names the files left out."""

import json

import pytest
import torch

from pipelines import attribute, validate
from pipelines.validate import complaints
from solarxai.query import open_store
from solarxai.validation import validate as plain

SMALL = {"explainers": [{"method": "gradient"}], "shard_size": 8}


@pytest.fixture
def attributed(run_of_its_own):
    attribute.run(out=run_of_its_own, **SMALL)
    return run_of_its_own


def test_the_report_is_that_of_the_library_function(attributed):
    outcome = validate.run(out=attributed, n_bootstrap=20)
    made = json.loads((attributed / "report" / "report.json").read_text())
    alone = json.loads(plain(open_store(attributed / "store"), n_bootstrap=20).to_json())
    assert made == alone
    assert outcome.done == len(made["checks"])
    assert outcome.sentences == tuple(verdict["sentence"] for verdict in made["verdicts"])
    assert "<html" in (attributed / "report" / "index.html").read_text()


def test_it_judges_the_run_of_its_folder_and_no_other(attributed):
    attribute.run(out=attributed, **{**SMALL, "split": "all"})
    validate.run(out=attributed, n_bootstrap=20)
    made = json.loads((attributed / "report" / "report.json").read_text())
    run = json.loads((attributed / "attribute.json").read_text())["run"]
    assert made["settings"]["runs"] == [run]
    assert len(open_store(attributed / "store").runs) == 2


def test_files_left_out_by_ingest_are_rows_of_the_report(attributed):
    record = json.loads((attributed / "ingest.json").read_text())
    record["failures"] = [{"file": "cut.fits", "error": "cut.fits: truncated", "remedy": "Fetch."}]
    (attributed / "ingest.json").write_text(json.dumps(record))
    validate.run(out=attributed, n_bootstrap=20)
    made = json.loads((attributed / "report" / "report.json").read_text())
    row = {"intervention": "ingest", "label": "cut.fits", "reason": "cut.fits: truncated"}
    assert {**row, "count": 1} in made["tables"]["left_out"]
    assert "cut.fits: truncated" in (attributed / "report" / "index.html").read_text()


def test_threads_are_restored(attributed):
    before = torch.get_num_threads()
    validate.run(out=attributed, n_bootstrap=20, threads=2)
    assert torch.get_num_threads() == before


def test_unknown_limits_are_complained_about():
    assert complaints({"limits": None}) == []
    assert "accuracy" in complaints({"limits": {"acuracy": 0.5}})[0]
