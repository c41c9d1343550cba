"""The page of attention: whole, self-contained, the same each time, a dash for what is unknown."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from astropy.wcs import WCS
from outline import Outline

from solarxai.attention import describe_attention
from solarxai.page import write_attention_page
from solarxai.schema import mock_spectrograms


def with_maps(*, seed: int = 0) -> xr.Dataset:
    """Return 32 exposures of four observations with maps of two methods, one with a spread."""
    samples = mock_spectrograms(32, slits=8)
    rng = np.random.default_rng(seed)
    kept = samples["quality"].values == 0
    for name in ("gradient", "hires_cam", "hires_cam_spread"):
        maps = rng.standard_normal(samples["image"].shape).astype(np.float32)
        maps[~kept] = np.nan
        samples[name] = (samples["image"].dims, abs(maps) if "spread" in name else maps)
        samples[name].attrs["units"] = "logit"
    margins = np.where(kept, rng.standard_normal(kept.shape), np.nan).astype(np.float32)
    samples["feature_k_width"] = (("sample", "slit"), margins, {"units": "km/s", "long_name": "w"})
    samples["spectrum_score"] = (("sample", "slit"), margins, {"units": "logit"})
    samples["score"] = ("sample", np.nanmean(margins, axis=1))
    region = samples["region"].values.astype(object)
    region[:8] = "<AR & 1>"
    origin = np.where(np.arange(32) < 8, "real", "synthetic").astype(object)
    samples = samples.assign_coords(region=("sample", region), origin=("sample", origin))
    samples.attrs["runs"] = ["0123abcd"]
    return samples


def movie_of(samples: xr.Dataset, observation: str) -> xr.Dataset:
    """Return slit-jaw images of an observation from its flare's onset, brighter in the middle."""
    mine = samples.isel(sample=np.flatnonzero(samples["observation"].values == observation))
    onset = np.datetime64(str(mine["flare_onset"].values[0]) or mine["time"].values[0], "ns")
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ("HPLN-TAN", "HPLT-TAN"), ("arcsec", "arcsec")
    wcs.wcs.cdelt, wcs.wcs.crval, wcs.wcs.crpix = (1.0, 1.0), (7.0, 0.0), (16, 16)
    y, x = np.mgrid[:31, :31] - 15
    spot = np.exp(-0.5 * (x**2 + y**2) / 9)
    frames = 10 + 50 * np.arange(40)[:, None, None] * spot
    return xr.Dataset(
        {"intensity": (("frame", "y", "x"), frames.astype(np.float32), {"units": "DN / s"})},
        coords={"time": ("frame", onset + np.arange(40) * np.timedelta64(60, "s"))},
        attrs={"wcs": wcs.to_header().tostring(sep="\n"), "observation": observation,
               "source": "movie.fits"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def parts():
    """Return samples, the movies of the one observation with a flare that has some, a report."""
    samples = with_maps()
    onsets = samples["flare_onset"].values.astype(str)
    flaring = str(samples["observation"].values[onsets != ""][0])
    movies = {flaring: movie_of(samples, flaring)}
    return samples, movies, describe(samples, movies)


def describe(samples, movies):
    return describe_attention(samples, ["gradient", "hires_cam"], movies, n_bootstrap=20)


@pytest.fixture(scope="module")
def page(parts, tmp_path_factory):
    samples, movies, report = parts
    path = tmp_path_factory.mktemp("page") / "index.html"
    write_attention_page(report, samples, movies, path, max_cards=2)
    return path.read_text()


def words_of(page: str) -> str:
    """Return the page without its pictures and its style."""
    return re.sub(r"base64,[A-Za-z0-9+/=]*|<style>.*?</style>", "", page, flags=re.DOTALL)


def test_every_tag_closes_and_every_link_has_its_place(page):
    outline = Outline(page)
    assert outline.open == []
    links, places = outline.links()
    assert {"method-gradient", "method-hires_cam", "features"} <= links <= places


def test_nothing_is_fetched_and_no_script_runs(page):
    tags = Outline(page).tags
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags}
    assert all(attrs["src"].startswith("data:image/png") for tag, attrs in tags if tag == "img")
    assert "http" not in words_of(page)


def test_no_number_is_told_that_is_none(page):
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b", words_of(page), flags=re.IGNORECASE)


def test_one_answered_observation_is_told_without_interval_and_without_shuffles(page, parts):
    found = parts[2].methods["gradient"].slit
    assert len(found.meetings) - len(found.unanswered) == 1
    assert np.isnan(found.shuffled)
    (told,) = set(re.findall(r"Along the slit: (in [^<;]*);", page))
    assert "(of one region, so without interval) of 1 observations" in told
    assert "shuffled" not in told
    assert "No answer: there are no slit-jaw images." in page


def test_pictures_have_words_and_tables_captions(page):
    images = [attrs for tag, attrs in Outline(page).tags if tag == "img"]
    assert all(len(attrs["alt"]) > 20 and int(attrs["width"]) > 100 for attrs in images)
    assert page.count("<table>") == page.count("<caption>") == 3


def test_every_observation_has_a_row_and_the_real_one_the_first_card(page, parts):
    rows = parts[2].observations
    assert len(rows) == 4
    answers = page[page.index('id="answers"') : page.index('id="method-gradient"')]
    assert all(row["observation"] in answers for row in rows)
    cards = page.split('<article class="card">')[1:]
    assert len(cards) == 2
    assert "&lt;AR &amp; 1&gt;" in cards[0]
    assert "&lt;AR &amp; 1&gt;" not in cards[1]


def test_marks_say_where_the_network_is_right(page, parts):
    right = {
        row["observation"]: (row["score"] > 0) == (row["label"] == "preflare")
        for row in parts[2].observations
    }
    for observation, holds in right.items():
        row = page[page.index(f"<td>{observation}</td>") :].partition("</tr>")[0]
        assert f'class="{"holds" if holds else "fails"}"' in row


def test_words_from_files_are_escaped(page):
    assert "<AR & 1>" not in page


def test_the_spread_of_an_ensemble_is_told_for_its_method_alone(page):
    first, second = page.split('<h2 id="method-')[1:3]
    assert "Over the networks of the ensemble" not in first
    assert "Over the networks of the ensemble" in second


def test_equal_reports_give_equal_bytes(parts, page, tmp_path):
    samples, movies, _ = parts
    again = describe(samples.copy(deep=True), movies)
    write_attention_page(again, samples, movies, tmp_path / "again.html", max_cards=2)
    assert (tmp_path / "again.html").read_text() == page


def test_without_scores_of_spectra_no_features_are_told(parts, tmp_path):
    samples = parts[0].drop_vars(["spectrum_score", "hires_cam_spread"])
    report = describe_attention(samples, ["gradient"], {}, n_bootstrap=20)
    write_attention_page(report, samples, {}, tmp_path / "p.html", max_cards=0)
    page = (tmp_path / "p.html").read_text()
    assert "features" not in page
    assert "Along the slit: no observation of 4 can be answered." in page
    assert '<article class="card">' not in page
