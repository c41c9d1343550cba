"""The page: whole, self-contained, the same each time."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.page import write_page
from solarxai.schema import mock_samples
from solarxai.validation import validate_samples


class Grey(nn.Module):
    """Counts grey pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grey = ((x + 1 > 0.6) & (x + 1 < 0.85)).float().sum(dim=(1, 2, 3)) - 70
        return torch.stack([-grey, grey], dim=1)


@pytest.fixture(scope="module")
def parts():
    """Return a report on 4 real and 12 synthetic structures, its samples and its classifier."""
    samples = mock_samples(16)
    samples["gradient"] = samples["image"] - 1
    origin = np.array(["real"] * 4 + ["synthetic"] * 12, dtype=object)
    region = np.array(["<AR & 1>"] * 4 + [f"S{i // 3}" for i in range(12)], dtype=object)
    samples = samples.assign_coords(origin=("sample", origin), region=("sample", region))
    contract = InputContract(shape=(32, 32), scale_mm=0.5)
    classifier = Classifier(network=Grey().eval(), contract=contract, architecture="tests:Grey")
    report = validate_samples(samples, classifier, ["gradient"], n_bootstrap=20)
    return report, samples, classifier


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_page(*parts, path, max_cards=5)
    return path.read_text()


class Outline(HTMLParser):
    """Collects tags with their attributes, and complains of tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_every_tag_closes_and_every_link_has_its_place(page):
    outline = Outline(page)
    assert outline.open == []
    places = {attrs["id"] for _, attrs in outline.tags if "id" in attrs}
    links = [attrs["href"] for tag, attrs in outline.tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= places


def test_nothing_is_fetched_and_no_script_runs(page):
    tags = Outline(page).tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert all(attrs["src"].startswith("data:image/png") for tag, attrs in tags if tag == "img")
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)


def test_pictures_have_words_and_tables_captions(page):
    tags = Outline(page).tags
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert all(len(attrs["alt"]) > 20 and int(attrs["width"]) > 100 for attrs in images)
    assert page.count("<table>") == page.count("<caption>") > 5


def test_every_real_structure_has_a_card_and_the_others_a_sample(page):
    assert page.count('<article class="card">') == 4 + 5


def test_the_verdicts_stand_at_the_top(page, parts):
    for verdict in parts[0].verdicts:
        assert page.index(verdict.sentence[:40]) < page.index('<h2 id="checks">')


def test_words_from_files_are_escaped(page):
    assert "&lt;AR &amp; 1&gt;" in page
    assert "<AR & 1>" not in page


def test_equal_reports_give_equal_bytes(parts, page, tmp_path):
    write_page(*parts, tmp_path / "again.html", max_cards=5)
    assert (tmp_path / "again.html").read_text() == page


def test_progress_counts_the_cards(parts, tmp_path):
    told = []
    write_page(*parts, tmp_path / "p.html", max_cards=0, progress=lambda *args: told.append(args))
    assert told[-1] == (4, 4, "pictures")


def test_samples_that_were_not_judged_are_refused(parts, tmp_path):
    report, samples, classifier = parts
    with pytest.raises(ValidationError, match="6 structures of the report are not among"):
        write_page(report, samples.isel(sample=slice(0, 10)), classifier, tmp_path / "p.html")
    assert list(tmp_path.iterdir()) == []
