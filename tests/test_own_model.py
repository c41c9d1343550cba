"""A user's own network is judged without retraining: what docs/own_model.md says, done."""

import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import nn

from solarxai import cli
from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.schema import PENUMBRA, mock_samples, mock_spectrograms
from solarxai.validation import validate_samples

GUIDE = Path(__file__).parents[1] / "docs" / "own_model.md"
BLOCK = re.compile(r"```(python|yaml|sh)\n(.*?)```", re.DOTALL)
OWN = re.compile(r"# (\S+\.(?:py|yaml))\n")


def type_in(line):
    """Return the exit code of a command line `solarxai ...`, typed in this process."""
    program, *words = line.split()
    assert program == "solarxai"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["solarxai", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Return a folder in which every snippet of the guide was carried out, and what came of it."""
    folder = tmp_path_factory.mktemp("guide")
    codes, names = [], {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        for language, text in BLOCK.findall(GUIDE.read_text()):
            own = OWN.match(text)
            if own:
                Path(own[1]).write_text(text)
            elif language == "python":
                exec(compile(text, str(GUIDE), "exec"), names)
            else:
                codes += [type_in(line) for line in text.splitlines()]
        yield folder, codes, names
    sys.modules.pop("mynets", None)


@pytest.fixture
def there(workplace, monkeypatch):
    folder, _, _ = workplace
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


def cases(path):
    """Return the cases of a JUnit file by (suite, name)."""
    suites = ElementTree.parse(path).getroot().findall("testsuite")
    return {(suite.get("name"), case.get("name")): case for suite in suites for case in suite}


def test_the_job_of_a_model_that_looks_at_the_penumbra_passes(workplace):
    folder, codes, _ = workplace
    assert codes == [0, 0]
    found = cases(folder / "report.xml")
    assert not any(case.findall("failure") for case in found.values())
    assert found["verdicts", "synthetic"].find("skipped") is None
    assert ("synthetic · sunspot", "penumbra removed: sunspots no longer called so") in found


def test_the_job_of_a_model_that_cheats_fails_and_the_file_says_why(there, tmp_path, capsys):
    out = tmp_path / "cheat"
    shutil.copytree(there / "runs" / "mine", out, ignore=shutil.ignore_patterns("store"))
    cheat = "--set classifier.network=mynets:Dark --set classifier.weights=dark.pt"
    assert type_in(f"solarxai run mine.yaml --out {out} --resume {cheat}") == 0
    capsys.readouterr()
    assert type_in(f"solarxai validate {out}/store --junit {tmp_path}/report.xml") == 1
    printed = capsys.readouterr().out
    assert printed.startswith("synthetic: convicted; this model does not look at the penumbra")
    found = cases(tmp_path / "report.xml")
    (failure,) = found["verdicts", "synthetic"].findall("failure")
    assert failure.get("message") == printed.splitlines()[0]
    removed = found["synthetic · sunspot", "penumbra removed: sunspots no longer called so"]
    assert removed.find("failure").get("message").startswith("0 [0, ")


def test_a_limit_and_a_test_are_typed_on_the_line(there, tmp_path, capsys):
    words = f"--junit {tmp_path}/deeper/report.xml --limit accuracy=0.99 --test localisation"
    capsys.readouterr()
    assert type_in(f"solarxai validate runs/mine/store {words}") == 1
    assert "honest so far" in capsys.readouterr().out
    found = cases(tmp_path / "deeper" / "report.xml")
    failed = {key for key, case in found.items() if case.findall("failure")}
    assert failed == {
        ("synthetic · sunspot", "called rightly"),
        ("synthetic · pore", "called rightly"),
    }


def test_the_model_in_memory_is_judged_as_the_one_in_the_store(workplace):
    _, _, names = workplace
    verdict = names["report"].verdicts[0]
    assert verdict.outcome == "honest so far"
    assert verdict.needs == ("penumbra",)


def test_maps_of_ones_own_are_judged_and_what_they_cannot_be_asked_is_said(workplace):
    report = workplace[2]["report"]
    for table in ("localisation", "significance", "faithfulness"):
        assert {"mine", "gradient"} <= {row["method"] for row in report.tables[table]}
    reasons = {row["intervention"]: row["reason"] for row in report.tables["left_out"]}
    assert reasons["random weights, mine"] == "not a method of this library"
    assert reasons["forgotten weights, mine"] == "not a method of this library"
    assert reasons["forgotten weights, gradient"] != "not a method of this library"
    assert "random weights, gradient" not in reasons


class Rim(nn.Module):
    """Counts the pixels as bright as a penumbra."""

    def forward(self, x):
        image = nn.functional.avg_pool2d(x + 1, 3, 1, 1, count_include_pad=False)
        grey = torch.sigmoid(60 * (image - 0.62)) * torch.sigmoid(60 * (0.88 - image))
        margin = 6 * torch.tanh(2 * torch.log((grey.sum(dim=(1, 2, 3)) + 1) / 70))
        return torch.stack([-margin / 2, margin / 2], dim=1)


def own(**words):
    contract = InputContract(**{"shape": (32, 32), "scale_mm": 0.5, **words})
    return Classifier(network=Rim().eval(), contract=contract, architecture="mine:Rim")


def test_samples_that_were_never_in_a_file_are_judged():
    samples = mock_samples(40)
    report = validate_samples(samples, own(), [])
    assert report.verdicts[0].outcome == "honest so far"
    assert report.exit_code == 0


def test_a_map_under_none_has_no_random_network_even_with_the_name_of_a_method():
    samples = mock_samples(24)
    rim = (samples["segmentation"].values == PENUMBRA).astype(np.float32)
    samples["gradient"] = (samples["image"].dims, rim)
    report = validate_samples(samples, own(), {"gradient": None}, n_bootstrap=20)
    left = {row["intervention"] for row in report.tables["left_out"]}
    assert "forgotten weights, gradient" in left


def test_classes_in_the_other_order_are_refused_for_images():
    with pytest.raises(ValidationError, match=r"\('pore', 'sunspot'\), in this order.*exchange"):
        validate_samples(mock_samples(8), own(classes=("sunspot", "pore")), [])


def test_classes_of_another_kind_are_refused_for_spectra():
    with pytest.raises(ValidationError, match=r"kind spectrogram.*\('active', 'preflare'\)"):
        validate_samples(mock_spectrograms(4), own(), [])
