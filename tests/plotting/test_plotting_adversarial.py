"""Pictures of attacks: what is drawn is what the study says."""

import numpy as np
import pytest
import xarray as xr

from solarxai.plotting._style import to_png
from solarxai.plotting.adversarial import flips_figure, led_figure
from solarxai.schema import PENUMBRA, UMBRA
from solarxai.validation.adversarial.study import Study

NAMES = ("none", "random signs", "grad_cam led")


@pytest.fixture(scope="module")
def found():
    flips = [
        {
            "perturbation": name, "amplitude": amplitude, "label": label, "value": value,
            "low": value / 2, "high": value, "structures": 8, "regions": 8,
        }
        for name in ("random signs", "FGSM", "PGD")
        for label in ("pore", "sunspot")
        for amplitude, value in ((0.001, 0.1), (0.01, 0.9))
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    image = 1 + 0.02 * np.sign(rng.normal(size=(3, 16, 16)))
    image[0] = 1
    segmentation = np.zeros((16, 16), dtype=np.uint8)
    segmentation[5:11, 5:11], segmentation[7:9, 7:9] = PENUMBRA, UMBRA
    corner = np.zeros((16, 16), dtype=bool)
    corner[:5, :5] = True
    dims = ("perturbation", "y", "x")
    examples = xr.Dataset(
        {
            "image": (dims, image),
            "grad_cam": (dims, rng.normal(size=(3, 16, 16))),
            "segmentation": (("y", "x"), segmentation),
            "corner": (("y", "x"), corner),
            "score": ("perturbation", np.array([3.0, 2.9, 2.8])),
        },
        coords={"perturbation": np.array(NAMES, dtype=object)},
        attrs={"amplitude": 0.02},
    )
    return Study(flips=tuple(flips), maps=(), examples=examples)


def test_curves_pass_through_the_fractions_in_per_cent_of_the_quiet_sun(found):
    sunspots, pores = flips_figure(found).axes
    assert (sunspots.get_title(), pores.get_title()) == ("sunspots", "pores")
    for line in sunspots.lines:
        np.testing.assert_allclose(line.get_xdata(), [0.1, 1])
        np.testing.assert_allclose(line.get_ydata(), [0.1, 0.9])
    assert [line.get_label() for line in sunspots.lines] == ["random signs", "FGSM", "PGD"]


def test_every_perturbation_has_a_row_with_its_score_and_what_was_added(found):
    figure = led_figure(found)
    assert len(figure.axes) == 3 * 3
    assert [axis.get_ylabel() for axis in figure.axes[::3]] == [
        "none\nscore 3.0", "random signs\nscore 2.9", "grad_cam led\nscore 2.8",
    ]  # fmt: skip
    added = figure.axes[4].images[0]
    np.testing.assert_allclose(np.abs(added.get_array()), 2)
    assert (added.norm.vmin, added.norm.vmax) == (-2, 2)


def test_maps_can_be_chosen_and_have_both_outlines(found):
    assert len(led_figure(found, methods=[]).axes) == 3 * 2
    outlined = led_figure(found).axes[2]
    assert len(outlined.collections) == 2


def test_equal_studies_give_equal_bytes(found):
    for draw in (flips_figure, led_figure):
        assert to_png(draw(found)) == to_png(draw(found))
