"""Networks whose reason is known are convicted of it, and the honest one is not."""

from __future__ import annotations

import functools
from typing import Any

import doublet_sun
import numpy as np
import pytest
import xarray as xr
from doublet_sun import (
    Bump,
    Coarse,
    Excess,
    Flank,
    Gap,
    K,
    Mean,
    Nothing,
    Reader,
    Tilt,
    Width,
    trained,
)

from solarxai.errors import ValidationError
from solarxai.schema import mock_spectrograms
from solarxai.spectrograms import flatten
from solarxai.validation.report import Limits, Report, Resampling, Verdict
from solarxai.validation.spectral.checks import BAND, BOX, SLIT, sway
from solarxai.validation.spectral.pairs import paired_checks
from solarxai.validation.spectral.verdict import validate_spectra


def judged(reader: Reader, samples: xr.Dataset, **options: Any) -> tuple[Verdict, Report]:
    report = validate_spectra(samples, trained(reader, samples), n_bootstrap=60, **options)
    verdict = report.verdicts[0]
    return verdict, report


@pytest.fixture(scope="module")
def plain() -> xr.Dataset:
    return flatten(doublet_sun.spectrograms())


def test_a_network_that_measures_the_flanks_of_k_and_h_is_honest_so_far(plain: xr.Dataset) -> None:
    verdict, report = judged(Width(), plain)
    assert verdict.outcome == "honest so far"
    assert set(verdict.needs) == {"k", "h"}
    assert report.exit_code == 0
    assert verdict.sentence.startswith("synthetic: honest so far (this network needs")


@pytest.mark.parametrize(
    ("reader", "trace", "crimes"),
    [
        (Flank(), {"zero_point": 10.0}, {"wavelength zero-point"}),
        (Tilt(), {"slope": 0.06}, {"continuum slope"}),
        (Excess(), {"box": K}, {"light at k that h lacks", "light at h that k lacks"}),
        (Bump(), {"box": 2799.93}, {BOX}),
    ],
)
def test_a_cheat_is_convicted_of_what_it_reads(
    reader: Reader, trace: dict[str, Any], crimes: set[str]
) -> None:
    verdict, report = judged(reader, flatten(doublet_sun.spectrograms(**trace)))
    assert verdict.outcome == "convicted"
    assert verdict.convicted_of[0] in crimes
    assert f"convicted: {verdict.convicted_of[0]}" in verdict.sentence
    assert report.exit_code == 1


@pytest.mark.parametrize(
    ("trace", "crime"),
    [
        ({"zero_point": 3.0}, "wavelength zero-point"),
        ({"slope": 0.06}, "continuum slope"),
        ({"box": 2799.93}, BOX),
    ],
)
def test_a_network_that_ignores_a_trace_is_not_convicted_of_it(
    trace: dict[str, Any], crime: str
) -> None:
    samples = flatten(doublet_sun.spectrograms(**trace))
    honest = trained(Width(), flatten(doublet_sun.spectrograms()))
    verdict = validate_spectra(samples, honest, n_bootstrap=60).verdicts[0]
    assert crime not in verdict.convicted_of


def test_the_place_of_a_box_is_said() -> None:
    _, report = judged(Bump(), flatten(doublet_sun.spectrograms(box=2799.93)))
    rows = [row for row in report.tables["windows"] if row["outside the lines"]]
    strongest = max(rows, key=lambda row: row["change of margin"])
    assert strongest["centre"] == pytest.approx(2799.93, abs=0.15)


def test_coarse_wavelengths_are_judged_by_wider_windows() -> None:
    fine = flatten(doublet_sun.spectrograms())
    coarse = fine.isel(wavelength=slice(None, None, 6))
    classifier = trained(Coarse(), coarse)
    report = validate_spectra(coarse, classifier, n_bootstrap=20)
    assert len(report.tables["windows"]) > 10
    assert report.verdicts[0].outcome in ("honest so far", "undecided")


def test_a_network_that_reads_a_missing_row_is_convicted_of_the_slit() -> None:
    verdict, _ = judged(Gap(), doublet_sun.spectrograms(gap_rows=(6, 2)))
    assert verdict.outcome == "convicted"
    assert verdict.convicted_of[0] == SLIT


def test_a_network_that_averages_the_slit_is_not_convicted_of_it() -> None:
    verdict, report = judged(Mean(), doublet_sun.spectrograms(gap_rows=(6, 2)))
    assert SLIT not in verdict.convicted_of
    assert BAND not in verdict.convicted_of
    turned = next(c for c in report.checks if c.name.startswith("nuisance slit turned over"))
    assert turned.value == 0.0


def test_a_network_without_skill_is_not_convicted(plain: xr.Dataset) -> None:
    verdict, _ = judged(Nothing(), plain)
    assert verdict.outcome == "undecided"
    assert verdict.convicted_of == ()


def test_a_scale_that_cannot_be_tested_leaves_the_verdict_open() -> None:
    samples = flatten(mock_spectrograms(64))
    verdict, report = judged(Width(), samples)
    assert verdict.outcome == "undecided"
    assert "not tested: wavelength zero-point" in verdict.sentence
    reasons = [row["reason"] for row in report.tables["left_out"]]
    assert "no photospheric lines show where the wavelength scale stands" in reasons


def test_few_regions_leave_the_verdict_open() -> None:
    samples = flatten(doublet_sun.spectrograms(regions=2))
    verdict, _ = judged(Width(), samples, limits={"min_structures": 10_000})
    assert verdict.outcome == "undecided"


def test_one_class_alone_is_undecided(plain: xr.Dataset) -> None:
    alone = plain.isel(sample=plain["label"].values == "preflare")
    report = validate_spectra(alone, trained(Width(), plain))
    assert report.verdicts[0].outcome == "undecided"
    assert "there is no active spectrum" in report.verdict


def test_what_takes_no_part_is_counted(plain: xr.Dataset) -> None:
    label = plain["label"].values.copy()
    label[:7] = "ambiguous"
    split = np.where(np.arange(len(label)) % 4 == 1, "train", "test").astype(object)
    samples = plain.assign_coords(label=("sample", label), split=("sample", split))
    report = validate_spectra(samples, trained(Width(), plain), n_bootstrap=20, max_samples=100)
    counted = {(row["label"], row["reason"]): row["count"] for row in report.tables["left_out"]}
    assert counted["all", "seen in training"] == int((split == "train").sum())
    assert counted["ambiguous", "neither active nor pre-flare"] == 5
    assert report.settings["structures"] == int((split == "test").sum()) - 5
    asked = next(c.structures for c in report.checks if c.name == "ROC-AUC")
    assert asked == 200


def test_the_report_is_json_and_the_same_twice(plain: xr.Dataset) -> None:
    few = plain.isel(sample=slice(0, None, 4))
    texts = [judged(Width(), few, seed=3)[1].to_json() for _ in range(2)]
    assert texts[0] == texts[1]
    assert '"honest so far"' in texts[0]


def test_limits_of_images_are_taken_over_and_unknown_ones_refused(plain: xr.Dataset) -> None:
    few = plain.isel(sample=slice(0, None, 8))
    _, report = judged(Width(), few, limits=Limits(nuisance_flip=0.3))
    assert report.settings["limits"]["nuisance_flip"] == 0.3
    assert report.settings["limits"]["margin_share"] == Limits().margin_share
    with pytest.raises(ValidationError, match="unknown limits"):
        validate_spectra(few, trained(Width(), few), limits={"swap_shore": 1})


def test_progress_ends_where_it_said(plain: xr.Dataset) -> None:
    told: list[tuple[int, int, str]] = []
    judged(Width(), plain.isel(sample=slice(0, None, 8)), progress=lambda *a: told.append(a))
    assert [done for done, _, _ in told] == list(range(1, told[-1][1] + 1))


def test_sway_is_two_where_two_groups_change_places() -> None:
    truth = np.array([False, False, True, True])
    before = np.where(truth, 3.0, -3.0)
    assert sway(before, -before, truth) == pytest.approx(2.0)
    assert sway(before, before, truth) == 0.0
    assert sway(before, before + 1, truth) == 0.0
    assert np.isnan(sway(before[:2], before[:2], truth[:2]))


def test_a_pair_without_the_trace_shows_what_a_cheat_owes_to_it() -> None:
    boxed, without = doublet_sun.spectrograms(box=2799.93), doublet_sun.spectrograms()
    cheat, honest = trained(Bump(), flatten(boxed)), trained(Width(), flatten(without))
    compared = functools.partial(
        paired_checks, name="box", limits=Limits(), resampling=Resampling(n=40)
    )
    lost, moved = compared(boxed, without, cheat)
    assert lost.name == "pair box: right calls changed"
    assert lost.value == pytest.approx(0.5, abs=0.05)  # all pre-flare, no active
    assert moved.value > 0.7
    assert abs(compared(boxed, without, honest)[1].value) < 0.3


def test_pairs_of_another_survey_are_refused(plain: xr.Dataset) -> None:
    other = plain.assign_coords(
        sample_id=("sample", [f"x{n}" for n in range(plain.sizes["sample"])])
    )
    with pytest.raises(ValidationError, match="has a partner of the same sample_id"):
        paired_checks(
            plain, other, trained(Width(), plain),
            name="none", limits=Limits(), resampling=Resampling(n=10),
        )  # fmt: skip
