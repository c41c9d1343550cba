"""The page of a report on spectra."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from outline import Outline, section, without_pictures
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.explainers.gradient import Gradient
from solarxai.page import write_page
from solarxai.schema import mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation import validate_samples
from solarxai.validation.report import Verdict


class Light(nn.Module):
    """Reads the light of all wavelengths, and has weights to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv1d(1, 3, 9, padding=4)
        self.head = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(x)).mean(dim=2))


@pytest.fixture(scope="module")
def parts():
    """Return a report on spectra of both classes, the spectra and the classifier."""
    samples = flatten(mock_spectrograms(48, slits=2))
    wavelength = samples["wavelength"].values
    contract = InputContract(
        shape=(len(wavelength),), scale_mm=None, offset=0.0, scale=1.0,
        classes=("active", "preflare"), wavelength=(float(wavelength[0]), float(wavelength[-1])),
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Light().eval()
    classifier = Classifier(network=network, contract=contract, architecture="tests:Light")
    found = Gradient()(network, classifier.tensor(samples["image"].values))
    samples["gradient"] = (samples["image"].dims, found.values[:, 0].numpy())
    return validate_samples(samples, classifier, ["gradient"], n_bootstrap=20), samples, classifier


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "index.html"
    write_page(*parts, path)
    return path.read_text()


def test_every_tag_of_the_page_of_lines_closes_and_its_links_have_a_place(page):
    outline = Outline(page)
    assert outline.open == []
    links, places = outline.links()
    assert {"checks", "lines", "windows", "maps", "left-out"} <= links <= places


def test_the_page_of_lines_fetches_nothing(page):
    tags = Outline(page).tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert all(attrs["src"].startswith("data:image/png") for tag, attrs in tags if tag == "img")
    assert "http" not in without_pictures(page)
    assert page.count("<table") == page.count("<caption>") > 5


def test_the_verdict_on_lines_stands_at_the_top(page, parts):
    assert parts[0].verdicts[0].sentence[:40] in page.split("<nav")[0]
    assert "<h1>Which lines does this model read?</h1>" in page


def test_each_swap_nuisance_and_line_is_a_row(page, parts):
    swaps = section(page, "checks")
    names = {c.name for c in parts[0].checks}
    for name in names:
        if name.startswith("swap ") and name.endswith("÷ spread"):
            what = name.removeprefix("swap ").split(":")[0]
            assert f'<th scope="row">{what}</th>' in swaps
    for what in ("shift of 0.5 points", "half the exposure"):
        assert f'<th scope="row">{what}</th>' in swaps
    for line in ("k", "h", "triplet", "continuum"):
        assert f'<th scope="row">{line}</th>' in section(page, "lines")


def test_what_a_network_needs_is_marked(parts, tmp_path):
    report, samples, classifier = parts
    needing = tuple(dataclasses.replace(v, needs=("h",)) for v in report.verdicts)
    write_page(dataclasses.replace(report, verdicts=needing), samples, classifier,
               tmp_path / "p.html")  # fmt: skip
    told = section((tmp_path / "p.html").read_text(), "lines")
    assert '<th scope="row">h</th><td class="holds">needed</td>' in told
    assert '<th scope="row">k</th><td class="informs">not shown</td>' in told


def test_the_windows_are_drawn_and_the_confusion_counted(page, parts):
    assert "<img" in section(page, "windows")
    told = section(page, "answers")
    for row in parts[0].tables["confusion"]:
        assert f'<td class="number">{row["called active"]}</td>' in told
    assert "ROC-AUC" in told


def test_maps_of_spectra_have_no_column_of_the_penumbra(page):
    told = section(page, "maps")
    assert "penumbra" not in told
    assert "Deletion gain" in told
    assert '<th scope="row">gradient</th>' in told
    assert told.count("<img") == 3  # two classes, and the random networks


def test_an_origin_of_one_class_alone_has_a_verdict_and_no_tables(parts, tmp_path):
    _, samples, classifier = parts
    alone = samples.isel(sample=samples["label"].values == "preflare").drop_vars("gradient")
    report = validate_samples(alone, classifier, [], tests=[], n_bootstrap=10)
    write_page(report, alone, classifier, tmp_path / "p.html")
    page = (tmp_path / "p.html").read_text()
    assert "there is no active spectrum to swap with" in page
    assert "No window was asked about." in section(page, "windows")
    assert Outline(page).open == []


def test_a_title_of_the_page_of_lines_can_be_chosen(parts, tmp_path):
    report, samples, classifier = parts
    said = Verdict(origin="synthetic", outcome="convicted", sentence="of <everything>",
                   convicted_of=("continuum slope",))  # fmt: skip
    write_page(dataclasses.replace(report, verdicts=(said,)), samples, classifier,
               tmp_path / "p.html", title="Mine")  # fmt: skip
    page = (tmp_path / "p.html").read_text()
    assert "<h1>Mine</h1>" in page
    assert '<div class="verdict convicted"><p>of &lt;everything&gt;</p>' in page
    assert "<dt>Convicted of</dt><dd>continuum slope</dd>" in page


def test_equal_reports_on_spectra_give_equal_bytes(parts, page, tmp_path):
    write_page(*parts, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page
