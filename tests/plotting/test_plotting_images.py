"""Pictures: what they are made of, and that equal figures give equal bytes."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch
from torch import nn

from solarxai import plotting
from solarxai.classifier import Classifier, InputContract
from solarxai.schema import PENUMBRA, QUIET, mock_samples
from solarxai.validation import validate_samples
from solarxai.validation.causal.interventions import cut_patches


class Dark(nn.Module):
    """The less grey, the more of a pore."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grey = ((x + 1 > 0.6) & (x + 1 < 0.85)).float().sum(dim=(1, 2, 3)) - 70
        return torch.stack([-grey, grey], dim=1)


@pytest.fixture(scope="module")
def classifier():
    contract = InputContract(shape=(32, 32), scale_mm=0.5)
    return Classifier(network=Dark().eval(), contract=contract, architecture="tests:Dark")


@pytest.fixture(scope="module")
def samples():
    made = mock_samples(16)
    rim = (made["segmentation"].values == PENUMBRA).astype(np.float32)
    made["gradient"] = (made["image"].dims, rim - 0.25, {"units": "logit"})
    return made


@pytest.fixture(scope="module")
def report(samples, classifier):
    return validate_samples(samples, classifier, ["gradient"], n_bootstrap=20)


def test_a_structure_is_drawn_on_the_sky_in_arcsec(samples):
    figure = plotting.structure_figure(samples, 0, ["gradient"])
    sky = [axes for axes in figure.axes if hasattr(axes, "coords")]
    assert [axes.get_title() for axes in sky] == ["continuum", "gradient"]
    assert sky[0].coords[0].get_axislabel() == "Solar X [arcsec]"
    x, y = sky[0].wcs.wcs_pix2world([[15.5, 15.5]], 0)[0] * 3600
    assert x == pytest.approx(samples["wcs_crval1"].values[0], abs=1e-6)
    assert y == pytest.approx(samples["wcs_crval2"].values[0], abs=1e-6)


def test_heliographic_samples_are_drawn_in_degrees(samples):
    there = samples.isel(sample=[0]).copy()
    words = {"ctype1": "CRLN-CEA", "ctype2": "CRLT-CEA", "cunit1": "deg", "cunit2": "deg"}
    for word, value in words.items():
        there = there.assign_coords({f"wcs_{word}": ("sample", np.array([value], dtype=object))})
    numbers = {"cdelt1": 0.03, "cdelt2": 0.03, "crval1": 30.0, "crval2": 0.0}
    for word, value in numbers.items():
        there = there.assign_coords({f"wcs_{word}": ("sample", [value])})
    figure = plotting.structure_figure(there, 0, [])
    assert figure.axes[0].coords[0].get_axislabel() == "longitude [deg]"
    assert figure.axes[0].coords[1].get_axislabel() == "latitude [deg]"


def test_maps_are_coloured_symmetrically_about_zero(samples):
    figure = plotting.structure_figure(samples, 0, ["gradient"])
    norm = figure.axes[2].images[0].norm
    assert norm.vmin == -norm.vmax
    assert norm.vmax == pytest.approx(0.75)
    assert figure.axes[2].images[0].get_cmap().name == "RdBu_r"


def test_contours_enclose_penumbra_and_umbra(samples):
    spot = plotting.structure_figure(samples, 0, []).axes[0]
    pore = plotting.structure_figure(samples, 1, []).axes[0]
    assert (len(spot.collections), len(pore.collections)) == (2, 1)
    outer = spot.collections[0].get_paths()[0].get_extents()
    assert outer.width == pytest.approx(16, abs=1)


def test_a_patch_without_structure_has_no_contour(samples):
    bare = samples.isel(sample=[0]).copy()
    bare["segmentation"] = bare["segmentation"].copy(
        data=np.full_like(bare["segmentation"].values, QUIET)
    )
    assert not plotting.structure_figure(bare, 0, []).axes[0].collections


def test_a_map_of_zeros_can_be_drawn(samples):
    flat = samples.isel(sample=[0]).copy()
    flat["gradient"] = flat["gradient"] * 0
    norm = plotting.structure_figure(flat, 0, ["gradient"]).axes[2].images[0].norm
    assert (norm.vmin, norm.vmax) == (-1, 1)


def test_before_and_after_show_every_intervention_with_its_score(samples, classifier):
    patch = cut_patches(samples, scale_mm=0.5)[0]
    figure = plotting.counterfactual_figure(patch, "sunspot", classifier)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 6
    assert titles[0].startswith("as observed\n+")
    assert titles[1].startswith("penumbra removed\n-")
    assert titles[1].endswith(": pore")


def test_bars_have_a_line_a_structure_and_shares_that_add_up(report):
    figure = plotting.per_structure_bars(report, origin="synthetic")
    scores, shares = figure.axes
    assert len(scores.get_yticks()) == 16
    width = np.array([bar.get_width() for bar in shares.patches]).reshape(4, 16)
    assert width.sum(axis=0) == pytest.approx(1)


def test_bars_of_many_structures_are_thinned(report):
    figure = plotting.per_structure_bars(report, origin="synthetic", most=5)
    assert len(figure.axes[0].get_yticks()) == 5


def test_the_calibration_has_a_point_a_bin(report):
    axes = plotting.calibration_figure(report).axes[0]
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_localisation_stands_beside_its_nulls(report):
    figure = plotting.localisation_figure(report, origin="synthetic", quantity="AUC")
    assert [word.get_text() for word in figure.axes[0].get_yticklabels()] == [
        "edge detector (Sobel)",
        "gradient",
    ]
    assert figure.axes[0].get_xlabel() == "AUC, synthetic · sunspot"


def test_equal_figures_give_equal_bytes_whatever_the_user_has_set(samples):
    first = plotting.to_png(plotting.structure_figure(samples, 0, ["gradient"]))
    with matplotlib.rc_context({"font.size": 20, "image.cmap": "jet", "image.origin": "upper"}):
        again = plotting.to_png(plotting.structure_figure(samples, 0, ["gradient"]))
    assert first == again
    assert b"Software" not in first


def test_no_global_state_is_left_behind(samples):
    before = dict(matplotlib.rcParams)
    plotting.to_png(plotting.structure_figure(samples, 0, ["gradient"]))
    assert dict(matplotlib.rcParams) == before
