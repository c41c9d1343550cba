"""Validation is one task: it judges the run of its folder and names the files left out."""

import json
import shutil
from xml.etree import ElementTree

import pytest
import torch

from pipelines import attribute, validate
from pipelines.validate import complaints
from solarxai.errors import ValidationError
from solarxai.query import open_store
from solarxai.validation import validate as plain
from solarxai.workflow import single_step
from solarxai.workflow.progress import Progress

SMALL = {"explainers": [{"method": "gradient"}], "shard_size": 8}
QUICK = {"n_bootstrap": 20, "tests": ["localisation"], "max_structures": 6}
QUICK_SPECTRA = {"n_bootstrap": 20, "tests": ["faithfulness"]}


class Heard:
    """Collects what a display is told."""

    def __init__(self):
        self.notes = []

    def open(self, stage):
        self.update(stage)

    def update(self, stage):
        self.notes.append(stage.note)

    def close(self, stage):
        self.update(stage)

    def say(self, text):
        self.notes.append(text)


@pytest.fixture
def attributed(run_of_its_own):
    attribute.run(out=run_of_its_own, **SMALL)
    return run_of_its_own


@pytest.fixture
def of_spectra(spectra, tmp_path):
    """Return a copy of the whole small IRIS run, without its files."""
    return shutil.copytree(spectra[0], tmp_path / "run", ignore=shutil.ignore_patterns("data"))


def told(out):
    return json.loads((out / "report" / "report.json").read_text())


def test_the_report_is_that_of_the_library_function(attributed):
    outcome = validate.run(out=attributed, **QUICK)
    made = told(attributed)
    alone = json.loads(plain(open_store(attributed / "store"), **QUICK).to_json())
    assert made == alone
    assert outcome.done == len(made["checks"])
    assert outcome.sentences == tuple(verdict["sentence"] for verdict in made["verdicts"])
    assert "<html" in (attributed / "report" / "index.html").read_text()


def test_all_that_is_written_is_among_the_outputs_of_the_step(attributed):
    outcome = validate.run(out=attributed, **QUICK)
    written = set((attributed / "report").iterdir())
    assert set(outcome.outputs) == written
    assert {path.relative_to(attributed).as_posix() for path in written} == set(validate.OUTPUTS)


def test_checks_with_a_limit_and_verdicts_are_cases_of_the_junit_file(attributed):
    validate.run(out=attributed, **QUICK)
    root = ElementTree.parse(attributed / "report" / "report.junit.xml").getroot()
    made = told(attributed)
    judged = [check for check in made["checks"] if check["sense"]]
    assert len(root.findall(".//testcase")) == len(judged) + len(made["verdicts"])
    failing = [check for check in judged if check["verdict"] == "fails" and not check["method"]]
    convicted = [one for one in made["verdicts"] if one["outcome"] == "convicted"]
    assert len(root.findall(".//failure")) == len(failing) + len(convicted)


def test_it_judges_the_run_of_its_folder_and_no_other(attributed):
    attribute.run(out=attributed, **{**SMALL, "split": "all"})
    validate.run(out=attributed, **QUICK)
    run = json.loads((attributed / "attribute.json").read_text())["run"]
    assert told(attributed)["settings"]["runs"] == [run]
    assert len(open_store(attributed / "store").runs) == 2


def test_files_left_out_by_ingest_are_rows_of_the_report(attributed):
    record = json.loads((attributed / "ingest.json").read_text())
    record["failures"] = [{"file": "cut.fits", "error": "cut.fits: truncated", "remedy": "Fetch."}]
    (attributed / "ingest.json").write_text(json.dumps(record))
    validate.run(out=attributed, **QUICK)
    row = {"intervention": "ingest", "label": "cut.fits", "reason": "cut.fits: truncated"}
    assert {**row, "count": 1} in told(attributed)["tables"]["left_out"]
    assert "cut.fits: truncated" in (attributed / "report" / "index.html").read_text()


def test_threads_are_restored(attributed):
    before = torch.get_num_threads()
    validate.run(out=attributed, threads=2, **QUICK)
    assert torch.get_num_threads() == before


def test_maps_of_spectra_are_judged_by_the_same_step(of_spectra):
    outcome = validate.run(out=of_spectra, **QUICK_SPECTRA)
    made = told(of_spectra)
    assert made == json.loads(plain(open_store(of_spectra / "store"), **QUICK_SPECTRA).to_json())
    assert {"ROC-AUC"} < {check["name"] for check in made["checks"]}
    assert any(check["method"] == "gradient" for check in made["checks"])
    assert [verdict["origin"] for verdict in made["verdicts"]] == ["synthetic"]
    assert outcome.sentences[0].startswith("synthetic: ")
    assert "<html" in (of_spectra / "report" / "index.html").read_text()


def test_labels_are_permuted_only_when_asked_for(of_spectra):
    heard = Heard()
    progress = Progress(display=heard)
    validate.run(out=of_spectra, label_randomisation=True, progress=progress, **QUICK_SPECTRA)
    made = told(of_spectra)
    permuted = [check for check in made["checks"] if check["name"].startswith("labels permuted")]
    assert [(check["method"], check["limit"]) for check in permuted] == [("gradient", 0.05)]
    assert "of the permuted labels were learnt" in permuted[0]["reason"]
    assert {row["layer"] for row in made["tables"]["labels"]} == {
        "labels permuted", "labels true, another seed", "difference",
    }  # fmt: skip
    assert 0 < made["settings"]["label_randomisation"]["moved"] <= 1
    assert any(note.startswith("labels permuted: ") for note in heard.notes)
    assert any(note.startswith("labels true, another seed: ") for note in heard.notes)
    validate.run(out=of_spectra, **QUICK_SPECTRA)
    assert "label_randomisation" not in told(of_spectra)["settings"]
    assert "labels" not in told(of_spectra)["tables"]


def test_the_networks_of_permuted_labels_are_trained_as_the_run_was(of_spectra, monkeypatch):
    """The seeds follow those of the network that is judged; the epochs are all taken."""
    made = []
    training = validate.labels.train

    def noted(samples, **options):
        made.append(options)
        return training(samples, **options)

    monkeypatch.setattr(validate.labels, "train", noted)
    validate.run(out=of_spectra, label_randomisation=True, **QUICK_SPECTRA)
    assert [options["seed"] for options in made] == [1, 2]
    for options in made:
        assert options["model"] == "published_cnn"
        assert options["samples_an_epoch"] == 64
        assert options["epochs"] == options["patience"] == 2
        assert "members" not in options


def test_labels_cannot_be_permuted_without_the_training(attributed):
    with pytest.raises(ValidationError, match=r"does not hold the training.*the step `train`"):
        validate.run(out=attributed, label_randomisation=True, **QUICK)


def test_labels_cannot_be_permuted_for_a_network_trained_elsewhere(of_spectra):
    record = json.loads((of_spectra / "training.json").read_text())
    record["classifier"] = "0" * 64
    (of_spectra / "training.json").write_text(json.dumps(record))
    with pytest.raises(ValidationError, match="does not hold the training of"):
        validate.run(out=of_spectra, label_randomisation=True, **QUICK_SPECTRA)


def test_unknown_limits_and_amplitudes_are_complained_about():
    assert complaints({"limits": None, "amplitudes": None}) == []
    wrong = {"limits": {"acuracy": 0.5}, "amplitudes": {"bright": 0.1}}
    limits, amplitudes = complaints(wrong)
    assert "accuracy" in limits
    assert "brightness" in amplitudes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limits": {"acuracy": 0.5}}, "accuracy"),
        ({"amplitudes": {"shift": 1}}, "amplitudes"),
        ({"tests": ["localization"]}, "'localisation', 'randomisation' or 'faithfulness'"),
        ({"label_randomisation": "yes"}, "valid boolean"),
    ],
)
def test_a_wrong_option_is_told_before_anything_runs(options, said):
    with pytest.raises(Exception, match=said):
        single_step("validate", options, seed=0, threads=1)
