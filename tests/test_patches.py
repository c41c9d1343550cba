"""Patches keep their address; blocks come back as they were written."""

import re

import numpy as np
import pytest
from astropy.wcs import WCS
from painted_sun import HMI, SCALE_MM, blurred, observation, paint, quiet, spot, wcs_header

from solarxai.blocks import counts
from solarxai.errors import IngestError
from solarxai.patches import cut
from solarxai.photosphere import describe
from solarxai.schema import (
    INVALID,
    MEASUREMENTS,
    PORE,
    QUIET,
    check_samples,
    observation_wcs,
    sample_wcs_header,
)


def cut_image(image, *, shape=(64, 64), scale_mm=0.5, **options):
    source = observation(image, **options)
    photosphere = describe(source, thresholds=HMI)
    return source, photosphere, cut(source, photosphere, shape=shape, scale_mm=scale_mm)


def pore(x=80.3, y=79.6, **options):
    return cut_image(blurred(paint(quiet(), x, y, 3.0, 0.2)), **options)


def image_place(patch_place, structure, zoom, size=64):
    """Where a patch coordinate lies in its image: centres at whole numbers from zero."""
    return tuple(
        centre + (place - (size - 1) / 2) * zoom
        for place, centre in zip(patch_place, (structure.x, structure.y), strict=True)
    )


def turned(degrees):
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return {"PC1_1": cosine, "PC1_2": -sine, "PC2_1": sine, "PC2_2": cosine}


@pytest.mark.parametrize("scale_mm", [0.2, 0.366, 0.5, 0.9])
@pytest.mark.parametrize("roll", [0.0, 33.0])
def test_patch_and_image_give_one_feature_the_same_world_coordinates(scale_mm, roll):
    header = wcs_header(CRVAL1=412.3, CRVAL2=-233.1, **turned(roll))
    source, photosphere, samples = pore(header=header, scale_mm=scale_mm)
    (structure,) = photosphere.structures
    patch_wcs = WCS(sample_wcs_header(samples, 0))
    for place in ((0.0, 0.0), (31.5, 31.5), (63.0, 10.25)):
        in_image = image_place(place, structure, scale_mm / SCALE_MM)
        expected = observation_wcs(source).wcs_pix2world([in_image], 0)
        difference = patch_wcs.wcs_pix2world([place], 0) - expected
        assert np.abs(difference).max() * 3600 < 1e-9


@pytest.mark.parametrize("scale_mm", [0.25, 0.366, 0.5, 0.9])
def test_planted_star_lands_where_the_world_coordinates_say(scale_mm):
    image = blurred(paint(np.ones((160, 160)), 80.3, 79.6, 3.0, 0.2))
    rows, columns = np.indices(image.shape)
    star = np.exp(-((columns - 97.37) ** 2 + (rows - 90.81) ** 2) / 2 / 1.5**2)
    source = observation(image, header=wcs_header(CRVAL1=300.0, **turned(12.0)))
    photosphere = describe(source, thresholds=HMI)
    lit = photosphere.intensity + star.astype(np.float32)
    samples = [
        cut(source, described, shape=(64, 64), scale_mm=scale_mm)
        for described in (photosphere, _with_intensity(photosphere, lit))
    ]
    light = (samples[1]["image"] - samples[0]["image"]).values[0]
    found = [(light * grid).sum() / light.sum() for grid in np.indices(light.shape)][::-1]
    world = observation_wcs(source).wcs_pix2world([(97.37, 90.81)], 0)
    expected = WCS(sample_wcs_header(samples[0], 0)).wcs_world2pix(world, 0)[0]
    assert np.abs(np.array(found) - expected).max() < 0.05


def _with_intensity(photosphere, intensity):
    fields = {name: getattr(photosphere, name) for name in photosphere.__dataclass_fields__}
    return type(photosphere)(**{**fields, "intensity": intensity})


def test_patch_at_the_images_own_scale_is_the_image_itself():
    _, photosphere, _ = pore(x=80.0, y=80.0)
    whole = paint(np.ones((160, 160)), 80, 80, 3.0, 0.2)
    _, photosphere, samples = cut_image(whole, shape=(65, 65), scale_mm=SCALE_MM)
    (structure,) = photosphere.structures
    assert (structure.x, structure.y) == (80.0, 80.0)
    crop = photosphere.intensity[48:113, 48:113]
    assert np.abs(samples["image"].values[0] - crop).max() < 1e-5


def test_patch_is_relative_to_the_quiet_sun_and_marks_its_structure():
    _, _, samples = pore()
    assert check_samples(samples).sizes["sample"] == 1
    image, central = samples["image"].values[0], samples["central"].values[0]
    classes = samples["segmentation"].values[0]
    assert image[classes == QUIET].mean() == pytest.approx(1.0, abs=0.01)
    assert np.array_equal(central, classes == PORE)
    assert central[28:36, 28:36].all()
    assert central.sum() * 0.5**2 == pytest.approx(np.pi * 3.5**2, rel=0.06)


def test_coarser_patch_is_free_of_aliases():
    stripes = np.ones((160, 160))
    stripes[:, ::2] += 0.2
    stripes[:, 1::2] -= 0.2
    _, _, samples = cut_image(paint(stripes, 80, 80, 3.0, 0.2), scale_mm=1.0, shape=(32, 32))
    border = samples["image"].values[0][:6]
    assert border.mean() == pytest.approx(1.0, abs=0.01)
    assert border.std() < 0.02


def test_address_is_copied_from_the_observation():
    source, photosphere, samples = pore(region="NOAA 11158")
    row = samples.isel(sample=0)
    assert row["time"].values == source["time"].values
    for name in ("region", "origin", "instrument", "observation", "time_original", "header"):
        assert row[name].item() == source.attrs[name]
    assert re.fullmatch(r"painted-x00080\.[234]-y00079\.[567]", row["sample_id"].item())
    assert row["label"].item() == row["rule_label"].item() == "pore"
    for name in MEASUREMENTS:
        assert row[name].item() == photosphere.structures[0].measurements[name]
    assert np.isnan(row["wcs_hgln_obs"].item())
    assert row["wcs_dsun_obs"].item() == 1.496e11


def test_structure_cut_by_the_border_is_left_out_and_counted():
    image = paint(blurred(paint(quiet(), 80, 80, 3.0, 0.2)), 1, 80, 3.0, 0.2)
    _, _, samples = cut_image(blurred(image))
    assert samples.sizes["sample"] == 1
    assert counts(samples)["structure cut by the border"] == 1
    assert counts(samples)["pore samples"] == 1


def test_patch_mostly_beyond_the_border_is_left_out_and_counted():
    _, _, samples = pore(x=16.0, y=16.0)
    assert samples.sizes["sample"] == 0
    assert counts(samples)["patch mostly beyond the border"] == 1
    assert check_samples(samples)["image"].shape == (0, 64, 64)


def test_missing_margin_is_filled_with_quiet_sun_and_marked():
    image = blurred(spot(paint(quiet(), 34, 80, 3.0, 0.2), 9, 120, radius=3.0, umbra=2.9))
    _, photosphere, samples = cut_image(image)
    row = [s.at_border for s in photosphere.structures].index(False)
    assert photosphere.structures[row].x == pytest.approx(34, abs=0.3)
    patch = samples.isel(sample=0)
    missing = patch["segmentation"].values == INVALID
    assert 0.05 < missing.mean() < 0.25
    assert (missing == missing[0]).all()
    filled = patch["image"].values[missing]
    assert filled.mean() == pytest.approx(1.0, abs=0.02)
    assert filled.min() > 0.8
    assert filled.std() > 0.01


def test_world_coordinates_in_another_form_are_refused():
    source, photosphere, _ = pore()
    header = wcs_header(CROTA2=12.0, CDELT2=None)
    broken = source.assign_attrs(wcs=header.tostring(sep="\n"))
    with pytest.raises(IngestError, match=r"lack \['CDELT2'\] or use \['CROTA2'\]"):
        cut(broken, photosphere)
