"""Pictures of spectra: their axes are wavelengths, their colours centred on zero."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy.wcs import WCS

from solarxai import attention, plotting
from solarxai.errors import QueryError
from solarxai.schema import mock_spectrograms
from solarxai.spectrograms import flatten


@pytest.fixture(scope="module")
def samples():
    made = mock_spectrograms(16, slits=12)
    wavelength = made["wavelength"].values
    maps = np.exp(-0.5 * ((wavelength - 2798.8) / 0.15) ** 2) - 0.2
    maps = maps * np.arange(12)[:, None] * np.ones((16, 1, 1))
    maps[np.isnan(made["image"].values)] = np.nan
    dims = made["image"].dims
    score = np.nansum(maps, axis=2)
    return made.assign(
        gradient=(dims, maps.astype(np.float32), {"units": "logit"}),
        spectrum_score=(dims[:2], score),
        feature_width=(dims[:2], score**2),
        feature_shift=(dims[:2], -score),
    )


@pytest.fixture(scope="module")
def movie():
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cunit = ("HPLN-TAN", "HPLT-TAN"), ("arcsec", "arcsec")
    wcs.wcs.cdelt, wcs.wcs.crval, wcs.wcs.crpix = (0.33, 0.33), (7.0, 0.0), (31.0, 31.0)
    values = np.full((20, 61, 61), 10, np.float32)
    values[15, 33] = 50
    return xr.Dataset(
        {"intensity": (("frame", "y", "x"), values, {"units": "DN / s"})},
        coords={
            "time": (
                "frame",
                np.datetime64("2014-01-01T00:00", "ns") + np.arange(20) * np.timedelta64(9, "s"),
            )
        },
        attrs={"wcs": wcs.to_header().tostring(sep="\n")},
    )


def test_a_spectrum_stands_over_the_colours_of_its_attribution(samples):
    figure = plotting.spectrum_figure(samples, 2, "gradient", slit=7)
    axis = figure.axes[0]
    (line,) = (one for one in axis.lines if len(one.get_xdata()) == 240)
    np.testing.assert_array_equal(line.get_ydata(), samples["image"].values[2, 7])
    (colours,) = axis.images
    np.testing.assert_array_equal(colours.get_array()[0], samples["gradient"].values[2, 7])
    assert (colours.norm.vmin, colours.get_cmap().name) == (-colours.norm.vmax, "RdBu_r")
    assert colours.get_clip_path() is not None
    step = (2805.72 - 2794.14) / 239
    assert axis.get_xlim() == pytest.approx((2794.14 - step / 2, 2805.72 + step / 2))
    assert axis.get_xlabel() == "vacuum wavelength [Å]"


def test_velocities_stand_above_the_wavelengths_they_belong_to(samples):
    axis = plotting.spectrum_figure(samples, 2, "gradient", slit=7).axes[0]
    (ruler,) = axis.child_axes
    told = dict(zip([t.get_text() for t in ruler.get_xticklabels()], ruler.get_xticks(),
                    strict=True))  # fmt: skip
    assert list(told) == ["-100", "k", "+100", "h", "triplet"]
    assert (told["k"], told["h"]) == pytest.approx((2796.352, 2803.530))
    places = ruler.get_xticks()
    assert places[2] - places[1] == pytest.approx(2796.352 * 100 / 299792.458)
    dotted = [one.get_xdata()[0] for one in axis.lines if len(one.get_xdata()) == 2]
    assert sorted(dotted) == pytest.approx([2796.352, 2798.8, 2803.53])


def test_a_single_spectrum_needs_no_position_and_a_dropped_one_is_refused(samples):
    single = flatten(samples)
    axis = plotting.spectrum_figure(single, 30, "gradient").axes[0]
    assert axis.get_title(loc="left") == "MOCK 0 2014-01-01 00:00:18: preflare"
    with pytest.raises(QueryError, match="slit None is no position of a slit of 12"):
        plotting.spectrum_figure(samples, 0, "gradient")
    with pytest.raises(QueryError, match="mock-r00000-s00: the spectrum at slit 11 was dropped"):
        plotting.spectrum_figure(samples, 0, "gradient", slit=11)


def test_an_exposure_stands_above_its_maps_with_dropped_spectra_masked(samples):
    figure = plotting.spectrogram_figure(samples, 2, ["gradient"])
    above, below = (axis for axis in figure.axes if axis.get_ylabel().startswith("along"))
    assert above.images[0].get_array().mask[11].all()
    assert not above.images[0].get_array().mask[:11].any()
    assert below.images[0].norm.vmin == -below.images[0].norm.vmax
    assert below.get_ylim() == pytest.approx((0, 12 * 0.33), rel=1e-6)
    assert below.get_title(loc="left") == "gradient"
    assert len(plotting.spectrogram_figure(samples, 2, []).axes[0].images) == 1


@pytest.mark.parametrize("line", [None, "triplet"])
def test_attention_is_drawn_with_its_interval(samples, line):
    if line:
        found = attention.attention_by_velocity(samples, "gradient", line, n_bootstrap=20)
    else:
        found = attention.attention_by_wavelength(samples, "gradient", n_bootstrap=20)
    figure = plotting.attention_figure(found, spectrum=np.ones(found["mean"].size))
    signed, absolute = figure.axes[:2]
    assert signed.get_ylabel() == "signed [logit]"
    for axis, name in ((signed, "mean"), (absolute, "absolute")):
        curve = next(one for one in axis.lines if len(one.get_xdata()) > 2)
        np.testing.assert_array_equal(curve.get_ydata(), found[name].values)
        assert len(axis.collections) == 1
    word = "velocity from triplet [km/s]" if line else "vacuum wavelength [Å]"
    assert absolute.get_xlabel() == word
    assert signed.get_title(loc="left") == "gradient, mean of 176 spectra of 2 groups by region"


def test_attention_of_one_region_has_no_band(samples):
    one = attention.attention_by_wavelength(samples.isel(sample=slice(8)), "gradient")
    assert not plotting.attention_figure(one).axes[0].collections


def test_attention_along_the_slit_stands_beside_the_brightening(samples, movie):
    one = samples.isel(sample=slice(8)).assign_coords(
        flare_onset=("sample", np.array(["2014-01-01T00:01:00"] * 8, dtype=object))
    )
    figure = plotting.slit_figure(one, movie, "gradient")
    left, right = figure.axes[:2]
    assert left.collections[0].get_array().shape == (12, 8)
    assert right.collections[0].get_array().shape == (12, 20)
    crosses = next(line for line in left.lines if line.get_marker() == "x")
    np.testing.assert_allclose(crosses.get_ydata(), 10 * 0.33, atol=1e-6)
    brightest = [line.get_ydata()[0] for line in right.lines if line.get_color() == "white"]
    assert brightest == pytest.approx([0.33 * 8], abs=0.17)
    onset = [line for line in right.lines if line.get_linestyle() == "--"]
    assert onset[0].get_xdata()[0] == np.datetime64("2014-01-01T00:01:00", "ns")


def test_a_lone_exposure_can_be_drawn_over_time(samples, movie):
    figure = plotting.slit_figure(samples.isel(sample=[0]), movie, "gradient")
    assert figure.axes[0].collections[0].get_array().shape == (12, 1)


def test_features_have_a_bar_each_with_its_interval(samples):
    found = attention.feature_correlations(samples, n_bootstrap=20)
    axis = plotting.feature_figure(found).axes[0]
    widths = [bar.get_width() for bar in axis.patches]
    assert widths == pytest.approx(found["correlation"].values.tolist())
    assert [t.get_text() for t in axis.get_yticklabels()] == found["feature"].values.tolist()
    intervals = [line for line in axis.lines if line.get_color() == "black"]
    assert len(intervals) == 3


def test_equal_pictures_of_spectra_give_equal_bytes(samples, movie):
    def all_of_them():
        found = attention.attention_by_wavelength(samples, "gradient", n_bootstrap=20)
        return [
            plotting.to_png(figure)
            for figure in (
                plotting.spectrum_figure(samples, 2, "gradient", slit=7),
                plotting.spectrogram_figure(samples, 2, ["gradient"]),
                plotting.attention_figure(found),
                plotting.slit_figure(samples.isel(sample=slice(8)), movie, "gradient"),
            )
        ]

    assert all_of_them() == all_of_them()
