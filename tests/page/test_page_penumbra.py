"""The page: whole, self-contained, the same each time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from outline import Outline, section, without_pictures
from torch import nn

from solarxai.classifier import Classifier, InputContract
from solarxai.errors import ValidationError
from solarxai.page import write_page
from solarxai.page._nuisances import SWAPPED
from solarxai.schema import mock_samples
from solarxai.validation import validate_samples
from solarxai.validation.causal.nuisances import DISTURBANCES, SWAPS
from solarxai.validation.report import BEYOND, Check


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


def test_every_tag_closes_and_every_link_has_its_place(page):
    outline = Outline(page)
    assert outline.open == []
    links, places = outline.links()
    assert {"checks", "nuisances", "maps"} <= links <= places


def test_nothing_is_fetched_and_no_script_runs(page):
    tags = Outline(page).tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert all(attrs["src"].startswith("data:image/png") for tag, attrs in tags if tag == "img")
    assert "http" not in without_pictures(page)


def test_pictures_have_words_and_tables_captions(page):
    tags = Outline(page).tags
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert all(len(attrs["alt"]) > 20 and int(attrs["width"]) > 100 for attrs in images)
    assert page.count("<table") == page.count("<caption>") > 5


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


def rewritten(parts, path, *, tables=None, **changes):
    """Return the page of the same report with some of its parts replaced, without pictures."""
    report, samples, classifier = parts
    tables = report.tables if tables is None else tables
    drawn = [row for row in report.tables["structures"] if row["origin"] == "synthetic"]
    changes["tables"] = {**tables, "structures": drawn}
    write_page(dataclasses.replace(report, **changes), samples, classifier, path, max_cards=0)
    return path.read_text()


def failing(report, name, **changes):
    """Return the checks of a report, one of them changed."""
    return tuple(
        dataclasses.replace(c, **changes) if c.name == name and c.group.startswith("synthetic")
        else c
        for c in report.checks
    )  # fmt: skip


def test_the_verdict_says_what_convicts_what_is_needed_and_what_may_sway(parts, tmp_path):
    verdicts = tuple(
        dataclasses.replace(
            verdict, outcome="convicted", convicted_of=("swap mu", "zoom"), needs=("penumbra",),
            swayed_by=("shift",),
        )
        for verdict in parts[0].verdicts
    )  # fmt: skip
    top = rewritten(parts, tmp_path / "p.html", verdicts=verdicts).split("<nav")[0]
    assert top.count('<div class="verdict convicted">') == 2
    for name, value in (
        ("Convicted of", "swap mu, zoom"), ("Needs", "penumbra"), ("Swayed by, not proven", "shift")
    ):  # fmt: skip
        assert f"<dt>{name}</dt><dd>{value}</dd>" in top


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [("honest so far", "honest"), ("undecided", "undecided"), ("convicted", "convicted")],
)
def test_each_outcome_has_its_colour(parts, tmp_path, outcome, kind):
    verdicts = (dataclasses.replace(parts[0].verdicts[0], outcome=outcome),)
    page = rewritten(parts, tmp_path / "p.html", verdicts=verdicts)
    assert f'<div class="verdict {kind}">' in page
    assert f".verdict.{kind} " in page or kind == "undecided"


def test_every_nuisance_and_swap_is_a_row_with_what_is_done(parts, page):
    told = section(page, "nuisances")
    for name in DISTURBANCES:
        assert f'<th scope="row">{name}</th>' in told
    for name in SWAPS:
        assert f'<th scope="row">{name.removeprefix("swap ")}</th>' in told
    assert set(SWAPPED) == set(SWAPS)
    amplitudes = parts[0].settings["amplitudes"]
    assert f"moved by {amplitudes['shift_px']} pixels" in told
    assert f"multiplied by 1 ± {amplitudes['brightness']}" in told
    assert f"with {amplitudes['partners']} partners" in told


def test_amplitudes_of_the_validation_are_those_that_are_written(parts, tmp_path):
    report = parts[0]
    other = {**report.settings, "amplitudes": {**report.settings["amplitudes"], "shift_px": 5}}
    page = rewritten(parts, tmp_path / "p.html", settings=other)
    assert "moved by 5 pixels" in section(page, "nuisances")


def test_a_nuisance_that_fails_and_one_that_is_merely_beyond_look_unlike(parts, tmp_path):
    words = {"value": 0.4, "low": 0.3, "high": 0.5}
    checks = failing(parts[0], "nuisance zoom: calls changed", verdict="fails", **words)
    fails = rewritten(parts, tmp_path / "a.html", checks=checks)
    assert '<td class="fails">✗ fails</td><th scope="row">zoom</th>' in fails
    checks = failing(
        parts[0], "nuisance zoom: calls changed", verdict="informs", reason=BEYOND, **words
    )
    checks = tuple(
        dataclasses.replace(c, verdict="holds", reason="") if c.name.startswith("nuisance zoom: ch")
        else c for c in checks
    )  # fmt: skip
    beyond = rewritten(parts, tmp_path / "b.html", checks=checks)
    assert '<td class="beyond">? beyond, not proven</td><th scope="row">zoom</th>' in beyond


def test_the_map_of_each_method_has_a_row_with_what_every_test_found(parts, page):
    told = section(page, "maps")
    report = parts[0]
    assert told.count('<th scope="row">gradient</th><td class="') == 2
    row = next(
        r for r in report.tables["localisation"]
        if (r["quantity"], r["method"], r["group"]) == ("AUC", "gradient", "synthetic · sunspot")
    )  # fmt: skip
    assert f"{row['value']:.3g}" in told
    assert f"edge detector {row['edge detector']:.3g}" in told
    for null in ("mask turned", "mask shifted", "mask exchanged"):
        assert null in told
    assert "not tested" in told  # nothing in this network can be forgotten
    assert "None of them counts for or against the model" in told


def test_a_map_that_fails_does_not_look_like_a_failure_of_the_model(parts, tmp_path):
    report = parts[0]
    before = section(rewritten(parts, tmp_path / "a.html"), "checks")
    of_map = Check(
        name="deletion, granulation", group="synthetic · pore", method="gradient", value=-0.5,
        low=-0.6, high=-0.4, limit=0.0, sense="at least", verdict="fails",
    )  # fmt: skip
    kept = [c for c in report.checks if not c.name.startswith("deletion, granulation")]
    page = rewritten(parts, tmp_path / "b.html", checks=(*kept, of_map))
    assert section(page, "checks") == before
    told = section(page, "maps")
    assert "not to be believed: on pore, hiding what it marks first is not shown" in told
    assert '<td class="doubt">map fails</td>' in told
    assert 'class="fails"' not in told


@pytest.mark.parametrize(
    ("sensitivity", "deletion", "words"),
    [
        ("sensitive", "holds", "believable so far: it depends on what was learnt"),
        ("insensitive", "holds", "not to be believed: a network that forgot what it learnt"),
        ("undecided", "holds", "open: whether it depends on what was learnt"),
        ("sensitive", "informs", "open: whether the score rests on what it marks"),
        ("insensitive", "fails", "much the same map; on sunspot, hiding"),
    ],
)
def test_maps_are_believed_only_as_far_as_the_checks_say(
    parts, tmp_path, sensitivity, deletion, words
):
    report = parts[0]
    named = {"group": "synthetic · sunspot", "method": "gradient", "value": 0.2, "low": 0.1,
             "high": 0.3, "limit": 0.0}  # fmt: skip
    checks = (
        *(c for c in report.checks if not (c.method == "gradient" and c.sense)),
        Check(name="deletion, granulation", sense="at least", verdict=deletion, **named),
        Check(
            name="random weights, all: rank likeness to the trained network's map",
            sense="at most", **{**named, "group": "synthetic · all"},
        ),
    )  # fmt: skip
    row = {"method": "gradient", "group": "synthetic · all", "verdict": sensitivity}
    tables = {**report.tables, "sensitivity": [row]}
    page = rewritten(parts, tmp_path / "p.html", checks=checks, tables=tables)
    assert words in section(page, "maps")


def test_a_report_without_tests_of_maps_has_no_such_part(parts, tmp_path):
    _, samples, classifier = parts
    report = validate_samples(samples, classifier, [], tests=[], n_bootstrap=10)
    write_page(report, samples, classifier, tmp_path / "p.html", max_cards=0)
    page = (tmp_path / "p.html").read_text()
    outline = Outline(page)
    links, places = outline.links()
    assert "maps" not in places
    assert links <= places


def test_the_limits_that_are_explained_are_those_of_the_report(parts, tmp_path):
    settings = {
        **parts[0].settings, "limits": {**parts[0].settings["limits"], "trusted_regions": 17}
    }  # fmt: skip
    page = rewritten(parts, tmp_path / "p.html", settings=settings)
    assert "with fewer than 17 regions" in section(page, "reading")


def test_a_title_can_be_chosen(parts, tmp_path):
    write_page(*parts, tmp_path / "p.html", title="A <title>", max_cards=0)
    assert "<h1>A &lt;title&gt;</h1>" in (tmp_path / "p.html").read_text()
