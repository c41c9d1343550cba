"""Limb darkening, quiet level, segmentation and labels, on painted and on real images."""

from pathlib import Path

import numpy as np
import pytest
from painted_sun import (
    HMI,
    PSF_PX,
    SCALE_MM,
    blurred,
    observation,
    paint,
    quiet,
    spot,
    true_planes,
    wcs_header,
)

from solarxai.catalog import Reference
from solarxai.errors import IngestError
from solarxai.ingest import open_observation
from solarxai.instruments import Thresholds
from solarxai.photosphere import describe, flatten, limb_darkening, mu
from solarxai.photosphere.regions import Region, Resolution
from solarxai.photosphere.structures import judge
from solarxai.provenance import file_hash
from solarxai.schema import INVALID, MEASUREMENTS, PENUMBRA, PORE, QUIET, UMBRA

NECKEL_LABS_617 = (0.31445, 1.35342, -1.82653, 2.35727, -1.68784, 0.48924)


def described(image, **options):
    return describe(observation(image, **options), thresholds=HMI)


def labels(photosphere):
    return [structure.label for structure in photosphere.structures]


def test_limb_darkening_agrees_with_neckel_and_labs_within_a_tenth_of_a_percent():
    angles = np.linspace(0.2, 1.0, 801)
    oracle = np.polynomial.polynomial.polyval(angles, NECKEL_LABS_617)
    assert np.abs(limb_darkening(angles) / oracle - 1).max() < 0.0012


def test_limb_darkening_is_one_at_disk_centre_and_unknown_off_the_disk():
    assert limb_darkening(1.0) == 1.0
    assert np.isnan(limb_darkening([0.0, -0.3, np.nan])).all()


def test_limb_darkened_field_flattens_to_one():
    header = wcs_header(CRVAL1=640.0, CRVAL2=-300.0)
    flat = observation(np.ones((160, 160)), header=header, limb_darkened=1)
    image = limb_darkening(mu(flat))
    assert np.ptp(image) > 0.06
    dark = observation(image, header=header, limb_darkened=1)
    assert np.abs(flatten(dark, HMI) - 1).max() < 2e-3


def test_flatten_divides_out_a_gradient_and_is_not_pulled_down_by_a_large_spot():
    slope = 1 + 0.05 * np.linspace(-1, 1, 160)
    image = blurred(spot(quiet(), 70, 80, radius=16.0, umbra=6.0)) * slope
    flat = flatten(observation(image), HMI)
    far = np.hypot(*(np.indices(flat.shape) - [[[80]], [[70]]])) > 18 / SCALE_MM
    assert abs(flat[far].mean() - 1) < 2e-3
    assert abs(flat[far][:500].mean() - flat[far][-500:].mean()) < 4e-3


def test_full_disk_with_another_limb_darkening_flattens_to_one():
    header = wcs_header(CDELT1=8.0, CDELT2=8.0, CRPIX1=128.5, CRPIX2=128.5)
    empty = observation(np.ones((256, 256)), header=header, limb_darkened=1, scale_mm=5.8)
    angle = mu(empty)
    image = np.where(np.isnan(angle), np.nan, limb_darkening(angle) ** 0.8)
    flat = flatten(observation(image, header=header, limb_darkened=1, scale_mm=5.8), HMI)
    assert np.nanmax(np.abs(flat[angle > 0.3] - 1)) < 0.01
    assert np.isnan(flat[~(angle > 0.1)]).all()


def test_small_field_full_of_spot_falls_back_to_its_median():
    image = paint(np.ones((32, 32)), 16, 16, 40.0, 0.7)
    assert np.allclose(flatten(observation(image), HMI), 1.0)


def test_flatten_refuses_an_image_without_a_pixel_on_the_disk():
    with pytest.raises(IngestError, match=r"painted.fits: no pixel is valid and on the disk"):
        flatten(observation(quiet(), header=wcs_header(CRVAL1=2000.0)), HMI)


def test_describe_refuses_a_magnetogram():
    with pytest.raises(IngestError, match="shows magnetic field, not intensity"):
        described(quiet(), quantity="magnetic field")


@pytest.mark.parametrize("level", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("radius", [1.3, 2.0, 3.0, 5.0])
def test_blurred_disc_is_a_pore_whatever_its_size_and_depth(radius, level):
    photosphere = described(blurred(paint(quiet(), 80.3, 79.6, radius, level)))
    assert labels(photosphere) == ["pore"]
    assert photosphere.structures[0].x == pytest.approx(80.3, abs=0.2)
    assert photosphere.structures[0].y == pytest.approx(79.6, abs=0.2)
    assert set(np.unique(photosphere.segmentation)) == {QUIET, PORE}


def test_disc_with_a_ring_is_a_sunspot_with_umbra_and_penumbra_of_the_right_area():
    photosphere = described(blurred(spot(quiet(), 80, 80, radius=8.0, umbra=3.5)))
    (structure,) = photosphere.structures
    assert structure.label == structure.rule_label == "sunspot"
    assert structure.label_source == "rule"
    measured = structure.measurements
    assert set(measured) == set(MEASUREMENTS)
    assert measured["area_mm2"] == pytest.approx(np.pi * 8.0**2, rel=0.05)
    assert measured["umbra_area_mm2"] == pytest.approx(np.pi * 3.5**2, rel=0.1)
    assert measured["penumbra_area_mm2"] == pytest.approx(
        measured["area_mm2"] - measured["umbra_area_mm2"]
    )
    assert measured["penumbra_width_mm"] == pytest.approx(8.0 - 3.5 - 0.57, abs=0.3)
    assert measured["area_msh"] == pytest.approx(measured["area_mm2"] / 3.04, rel=2e-3)
    assert measured["minimum_intensity"] == pytest.approx(0.15, abs=0.04)
    deficit = 0.25 * np.pi * 8.0**2 + 0.60 * np.pi * 3.5**2
    assert measured["integrated_deficit_mm2"] == pytest.approx(deficit, rel=0.05)
    assert (photosphere.segmentation == UMBRA).sum() * SCALE_MM**2 == pytest.approx(38.5, rel=0.1)
    assert (photosphere.segmentation == PENUMBRA).sum() * SCALE_MM**2 == pytest.approx(163, rel=0.1)


def test_rim_of_a_pore_is_no_penumbra():
    photosphere = described(blurred(paint(quiet(), 80, 80, 4.0, 0.2)))
    (structure,) = photosphere.structures
    rim = (photosphere.intensity > 0.5) & (photosphere.intensity < 0.9)
    assert rim.sum() > 50
    assert structure.measurements["penumbra_area_mm2"] == 0.0
    assert not (photosphere.segmentation == PENUMBRA).any()


def test_large_penumbra_without_umbra_is_ambiguous_and_its_pixels_are_unknown():
    photosphere = described(blurred(paint(quiet(contrast=0.01), 80, 80, 4.0, 0.7)))
    assert labels(photosphere) == ["ambiguous"]
    assert set(np.unique(photosphere.segmentation)) == {QUIET, INVALID}


def test_rudimentary_penumbra_is_ambiguous():
    photosphere = described(blurred(spot(quiet(), 80, 80, radius=3.6, umbra=1.5, core=0.1)))
    assert labels(photosphere) == ["ambiguous"]
    assert {UMBRA, INVALID} < set(np.unique(photosphere.segmentation))


def test_granulation_holds_no_structure():
    photosphere = described(quiet(contrast=0.035, seed=3))
    assert photosphere.structures == ()
    assert (photosphere.segmentation == QUIET).mean() > 0.999


def test_dark_lane_at_fine_resolution_is_no_structure():
    image = np.ones((400, 400))
    image[:, 195:205] = 0.6
    thresholds = Thresholds(source="tests", smoothing_px=1.0, psf_fwhm_arcsec=0.1)
    fine = observation(image, scale_mm=0.02)
    assert describe(fine, thresholds=thresholds).structures == ()


def test_slight_patch_is_counted_and_unknown():
    photosphere = described(blurred(paint(np.ones((160, 160)), 80, 80, 2.0, 0.82)))
    assert photosphere.structures == ()
    assert photosphere.discarded["too shallow"] == 1
    assert photosphere.segmentation[80, 80] == INVALID


def test_patch_below_the_resolution_is_counted_and_quiet():
    photosphere = described(blurred(paint(np.ones((160, 160)), 80, 80, 0.4, 0.5)))
    assert photosphere.structures == ()
    assert photosphere.discarded["smaller than the resolution"] == 1
    assert photosphere.segmentation[80, 80] == QUIET


def test_dead_pixels_are_counted_not_called_a_pore():
    image = quiet(contrast=0.01)
    image[80:83, 80:83] = 0.05
    photosphere = described(image)
    assert photosphere.structures == ()
    assert photosphere.discarded["sharper than the PSF"] == 1
    assert photosphere.segmentation[81, 81] == INVALID


def test_structure_beyond_sixty_degrees_is_counted():
    header = wcs_header(CRVAL1=880.0)
    photosphere = described(blurred(spot(quiet(), 80, 80)), header=header)
    assert photosphere.structures == ()
    assert photosphere.discarded["mu below 0.5"] == 1
    assert photosphere.segmentation[80, 80] == INVALID


def test_foreshortened_spot_keeps_its_area():
    header = wcs_header(CRVAL1=672.0)
    angle = mu(observation(np.ones((160, 160)), header=header))[80, 80]
    assert angle == pytest.approx(0.714, abs=0.01)
    photosphere = described(blurred(spot(quiet(), 80, 80, stretch=angle)), header=header)
    (structure,) = photosphere.structures
    assert structure.label == "sunspot"
    assert structure.measurements["mu"] == pytest.approx(angle, abs=0.01)
    assert structure.measurements["area_mm2"] == pytest.approx(np.pi * 8.0**2, rel=0.06)
    assert structure.measurements["solar_x"] == pytest.approx(672.0, abs=0.5)


def test_two_pores_joined_by_a_thin_bridge_are_two():
    image = paint(paint(quiet(), 60, 80, 3.0, 0.2), 84, 80, 3.0, 0.2)
    image[79:81, 60:84] = np.minimum(image[79:81, 60:84], 0.65)
    assert labels(described(blurred(image))) == ["pore", "pore"]


def test_pore_that_hangs_on_a_sunspot_is_ambiguous():
    image = paint(spot(quiet(), 60, 80), 98, 80, 2.5, 0.2)
    image[79:81, 75:98] = np.minimum(image[79:81, 75:98], 0.65)
    assert sorted(labels(described(blurred(image)))) == ["ambiguous", "sunspot"]


def test_structure_at_the_edge_or_at_unknown_pixels_is_marked():
    image = blurred(paint(paint(quiet(), 3, 80, 4.0, 0.2), 80, 80, 4.0, 0.2))
    image[85:, :] = np.nan
    photosphere = described(image)
    assert [structure.at_border for structure in photosphere.structures] == [True, True]
    assert np.isnan(photosphere.intensity[90, 80])
    assert photosphere.segmentation[90, 80] == INVALID


def test_truth_gives_labels_positions_and_classes_while_the_rule_keeps_its_verdict():
    shape = (160, 160)
    image = blurred(spot(quiet(), 40, 80, radius=3.7, umbra=1.5, core=0.1))
    image = np.minimum(image, blurred(paint(np.ones(shape), 110, 80, 3.0, 0.2)))
    planes = true_planes(
        shape, umbra=(40, 80, 0, 1.5), penumbra=(40, 80, 1.5, 3.7), pore=(110, 80, 0, 3.0)
    )
    rows = [
        {"x": 40.25, "y": 80.0, "label": "sunspot", "radius_mm": 3.7},
        {"x": 110.0, "y": 80.0, "label": "pore", "radius_mm": 3.0},
    ]
    photosphere = described(image, truth=planes, structures=rows)
    assert [(s.label, s.rule_label, s.label_source, s.x) for s in photosphere.structures] == [
        ("sunspot", "ambiguous", "truth", 40.25),
        ("pore", "pore", "truth", 110.0),
    ]
    area = {k: (photosphere.segmentation == k).sum() * SCALE_MM**2 for k in (UMBRA, PENUMBRA, PORE)}
    assert area[UMBRA] == pytest.approx(np.pi * 1.5**2, rel=0.1)
    assert area[PENUMBRA] == pytest.approx(np.pi * (3.7**2 - 1.5**2), rel=0.05)
    assert area[PORE] == pytest.approx(np.pi * 3.0**2, rel=0.05)


def test_truth_and_detections_without_partner_are_counted():
    image = blurred(paint(quiet(), 40, 80, 3.0, 0.2))
    rows = [
        {"x": 110.0, "y": 80.0, "label": "pore", "radius_mm": 3.0},
        {"x": 180.0, "y": 80.0, "label": "pore", "radius_mm": 3.0},
    ]
    photosphere = described(image, truth=true_planes(image.shape), structures=rows)
    (structure,) = photosphere.structures
    assert (structure.label, structure.rule_label) == ("ambiguous", "pore")
    assert structure.label_source == "unmatched"
    assert photosphere.discarded["in the truth but not detected"] == 1
    assert photosphere.discarded["detected but not in the truth"] == 1


def test_touching_structures_are_divided_by_the_truth():
    image = blurred(paint(paint(quiet(), 60, 80, 5.0, 0.2), 82, 80, 3.0, 0.2))
    rows = [
        {"x": 60.0, "y": 80.0, "label": "pore", "radius_mm": 5.0},
        {"x": 82.0, "y": 80.0, "label": "orphan", "radius_mm": 3.0},
    ]
    photosphere = described(image, truth=true_planes(image.shape), structures=rows)
    assert [(s.x, s.label) for s in photosphere.structures] == [(60.0, "pore"), (82.0, "ambiguous")]
    areas = [s.measurements["area_mm2"] for s in photosphere.structures]
    beyond_the_edge = 0.55
    expected = [np.pi * (radius + beyond_the_edge) ** 2 for radius in (5.0, 3.0)]
    assert areas == pytest.approx(expected, rel=0.06)


def test_truth_of_no_extent_inside_another_is_counted_as_missed():
    image = blurred(paint(quiet(), 60, 80, 5.0, 0.2))
    rows = [
        {"x": 60.0, "y": 80.0, "label": "pore", "radius_mm": 5.0},
        {"x": 60.4, "y": 80.4, "label": "pore", "radius_mm": 1e-9},
    ]
    photosphere = described(image, truth=true_planes(image.shape), structures=rows)
    assert len(photosphere.structures) == 1
    assert photosphere.discarded["in the truth but not detected"] == 1


def test_expected_rim_is_that_of_a_blurred_edge():
    resolution = Resolution(scale_mm=0.01, blur_mm=0.5)
    edge = np.where(np.arange(1000) < 500, 0.2, 1.0)
    row = np.tile(edge, (3, 1))
    profile = blurred(row, psf_px=50)[1]
    half, outline = np.interp([0.6, 0.9], profile, np.arange(1000) * 0.01)
    assert resolution.rim_mm(0.8, 0.9) == pytest.approx(outline - half, abs=0.01)
    assert resolution.rim_mm(0.15, 0.9) == 0.0
    assert resolution.rim_mm(0.0, 0.9) == 0.0
    assert resolution.element_mm2 == pytest.approx(np.pi / 4 * (2.3548 * 0.5) ** 2, rel=1e-3)


@pytest.mark.parametrize(
    ("width", "core", "lowest", "area", "label"),
    [
        (4.0, 30.0, 0.2, 200.0, "sunspot"),
        (4.0, 3.0, 0.2, 200.0, "ambiguous"),
        (1.6, 30.0, 0.2, 200.0, "ambiguous"),
        (1.0, 30.0, 0.2, 200.0, "pore"),
        (0.4, 0.0, 0.7, 8.0, "pore"),
        (0.4, 0.0, 0.7, 40.0, "ambiguous"),
    ],
)
def test_rule_weighs_ring_core_depth_and_size(width, core, lowest, area, label):
    measured = {
        "penumbra_width_mm": width,
        "umbra_area_mm2": core,
        "minimum_intensity": lowest,
        "area_mm2": area,
    }
    assert judge(measured) == label


def test_part_of_a_region_has_its_own_smallest_box():
    region = Region(rows=slice(10, 14), columns=slice(20, 25), mask=np.ones((4, 5), bool))
    mask = np.zeros((4, 5), bool)
    mask[1, 2:4] = True
    part = region.part(mask)
    assert (part.rows, part.columns, part.mask.tolist()) == (
        slice(11, 12), slice(22, 24), [[True, True]],
    )  # fmt: skip
    assert part.centre == (22.5, 11.0)
    assert region.part(np.zeros((4, 5), bool)) is None


def test_psf_of_the_painted_sun_is_that_of_its_thresholds():
    assert pytest.approx(HMI.psf_fwhm_arcsec / 0.504 / 2.3548) == PSF_PX


def real(root: Path, name: str, instrument: str, **options):
    path = next(root.glob(name))
    reference = Reference(
        path=path, name=path.name, sha256=file_hash(path), instrument=instrument,
        region="tests", origin="real", options=options,
    )  # fmt: skip
    return describe(open_observation(reference))


@pytest.mark.real_data
def test_three_groups_of_ar_11158_are_sunspots_and_its_pores_are_not(real_data):
    photosphere = real(real_data, "hmi/sharp_ar11158_20110215/*.continuum.fits", "hmi_sharp")
    spots = [s for s in photosphere.structures if s.label == "sunspot"]
    assert sorted(round(s.measurements["area_mm2"], -1) for s in spots) == [550, 760, 1110]
    assert min(s.measurements["umbra_area_mm2"] for s in spots) > 50
    assert labels(photosphere).count("pore") == 5
    assert labels(photosphere).count("ambiguous") == 6
    largest = max(s.measurements["area_mm2"] for s in photosphere.structures if s.label == "pore")
    assert largest < 20
    quiet_sun = photosphere.intensity[photosphere.segmentation == QUIET]
    assert abs(quiet_sun.mean() - 1) < 0.003
    assert 0.02 < quiet_sun.std() < 0.035


@pytest.mark.real_data
@pytest.mark.parametrize(("frame", "pores"), [(0, 4), (1, 4), (2, 3), (3, 3), (4, 2)])
def test_pores_of_2023_03_15_are_pores_in_every_frame(real_data, frame, pores):
    photosphere = real(real_data, "hmi/aia_l2_20230315_*_cont.fits", "hmi_iris", frame=frame)
    assert labels(photosphere) == ["pore"] * pores


@pytest.mark.real_data
@pytest.mark.parametrize("frame", [0, 10, 18, 29])
def test_cube_shows_one_sunspot_and_no_pore(real_data, frame):
    photosphere = real(
        real_data, "hmi/cube_sunspot.fits", "hmi", frame=frame, plate_scale="0.504 arcsec",
        time="2013-05-30T00:00:00", unit="DN / s",
    )  # fmt: skip
    assert labels(photosphere).count("sunspot") == 1
    assert "pore" not in labels(photosphere)


@pytest.mark.real_data
def test_granulation_images_hold_no_structure(real_data):
    sst = real(
        real_data, "ground/sst_*.fits", "generic", plate_scale="0.057 arcsec",
        time="2019-08-01T00:00:00", unit="ct",
    )  # fmt: skip
    dkist = real(real_data, "ground/dkist_*.fits", "generic")
    assert sst.structures == dkist.structures == ()


@pytest.mark.real_data
def test_full_disk_gives_its_spot_and_leaves_out_the_defect_of_the_detector(real_data):
    photosphere = real(real_data, "mdi/mdi.fd_ic*.fits", "mdi")
    (large,) = [s for s in photosphere.structures if s.label == "sunspot"]
    assert (large.x, large.y) == pytest.approx((149, 620), abs=2)
    assert photosphere.discarded["sharper than the PSF"] == 1
    assert not any(450 < s.x < 465 and 460 < s.y < 480 for s in photosphere.structures)
