from dataclasses import replace

import numpy as np
import pytest

from solarxai.synthetic.continuum import (
    OVERSAMPLING,
    Canvas,
    Optics,
    binned,
    granulation,
    granulation_through,
    observe_canvas,
    paint,
)
from solarxai.synthetic.structures import Bridge, Core, Dimming, Fan, Structure

PIXEL = 0.3655
OPTICS = Optics(pixel_mm=PIXEL, core_mm=0.78, wing_mm=2.9, wing=0.12)
STEP = np.eye(2) * PIXEL / OVERSAMPLING

CORE = Core(
    x=0, y=0, radius=4, elongation=1, angle=0, intensity=0.1, edge=0.5, exponent=2.5,
    irregularity=0, raggedness=0, seed=1,
)  # fmt: skip
FAN = Fan(
    x=0, y=0, radius=9, elongation=1, angle=0, irregularity=0, raggedness=0, inner=0.65,
    outer=0.85, spacing=0.5, contrast=0.2, twist=0, gap=0, gap_angle=0, seed=2,
)  # fmt: skip
SPOT = Structure(label="sunspot", x=0, y=0, extent=12, cores=(CORE,), fans=(FAN,))
PORE = Structure(label="pore", x=0, y=0, extent=6, cores=(CORE,))


def blank(*, side=384, to_surface=STEP):
    return Canvas.blank((side, side), origin=((side - 1) / 2,) * 2, to_surface=to_surface)


def test_the_transfer_function_conserves_light():
    assert OPTICS.transfer(np.zeros(1, np.float32)) == pytest.approx(1)


def test_the_core_of_the_telescope_has_the_width_it_says():
    # a line through the image of a point: half of the maximum at half the width
    sharp = replace(OPTICS, wing=0)
    k = np.linspace(-4, 4, 8001, dtype=np.float32)
    otf = sharp.transfer(k * k)
    line = [float((otf * np.cos(2 * np.pi * k * x)).sum()) for x in (0, sharp.core_mm / 2)]
    assert line[1] / line[0] == pytest.approx(0.5, rel=0.01)


def test_an_empty_canvas_is_quiet_sun():
    image, truth = observe_canvas(blank(), OPTICS)
    assert image == pytest.approx(1, abs=1e-5)
    assert all(not plane.any() for plane in truth.values())


def test_a_round_sunspot_has_the_areas_of_its_circles():
    canvas = paint(blank(), [SPOT])
    assert canvas.areas(canvas.umbra, 1)[0] == pytest.approx(np.pi * 4**2, rel=0.01)
    assert canvas.areas(canvas.penumbra, 1)[0] == pytest.approx(np.pi * (9**2 - 4**2), rel=0.01)


def test_areas_are_on_the_surface_whatever_the_foreshortening():
    foreshortened = np.diag([2.0, 1.0]) @ STEP
    canvas = paint(blank(to_surface=foreshortened), [SPOT])
    assert canvas.areas(canvas.umbra, 1)[0] == pytest.approx(np.pi * 4**2, rel=0.01)
    rows, columns = np.nonzero(canvas.umbra)
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(2, rel=0.03)


def test_truth_fractions_are_sixteenths_that_never_exceed_one():
    _, truth = observe_canvas(paint(blank(), [SPOT]), OPTICS)
    total = sum(truth.values())
    assert total.max() <= 1
    assert all(np.array_equal(plane * 16, np.rint(plane * 16)) for plane in truth.values())
    assert not truth["pore"].any()


def test_the_telescope_conserves_the_deficit():
    canvas = paint(blank(), [SPOT])
    image, _ = observe_canvas(canvas, OPTICS)
    assert (1 - image).mean() == pytest.approx((1 - canvas.intensity).mean(), rel=1e-4)


def test_a_core_darkens_inwards_to_its_intensity():
    intensity = paint(blank(), [PORE]).intensity
    assert intensity.min() == pytest.approx(0.1, abs=0.01)
    assert intensity[192, 192 + int(3.96 / STEP[0, 0])] == pytest.approx(0.5, abs=0.02)


def test_a_pore_has_a_rim_but_no_penumbra():
    image, truth = observe_canvas(paint(blank(), [PORE]), OPTICS)
    assert not truth["penumbra"].any()
    assert not truth["umbra"].any()
    rim = (image > 0.5) & (image < 0.9)
    assert rim.sum() * PIXEL**2 > 5


def test_a_later_structure_never_covers_an_earlier_one():
    alone = paint(blank(), [SPOT])
    both = paint(blank(), [SPOT, PORE.moved(6, 0)])
    assert np.array_equal(alone.umbra, both.umbra)
    assert np.array_equal(alone.penumbra, both.penumbra)


def test_a_structure_off_the_canvas_paints_nothing():
    canvas = paint(blank(), [SPOT.moved(500, 0)])
    assert (canvas.intensity == 1).all()


def test_a_light_bridge_is_neither_umbra_nor_penumbra():
    bridge = Bridge(x=0, y=0, angle=0, curvature=0, width=1.1, intensity=0.8)
    canvas = paint(blank(), [replace(SPOT, bridges=(bridge,))])
    assert not canvas.umbra[192, 192]
    assert not canvas.penumbra[192, 192]
    assert canvas.intensity[192, 192] == pytest.approx(0.8)
    # a lane of 1.1 Mm (twelve fine pixels) over the diameter of the core
    lost = np.pi * 16 - canvas.areas(canvas.umbra, 1)[0]
    assert lost == pytest.approx(8.8, rel=0.03)


def test_a_gap_leaves_a_sector_of_granulation():
    half = replace(SPOT, fans=(replace(FAN, gap=np.pi, gap_angle=0.0),))
    canvas = paint(blank(), [half])
    full = paint(blank(), [SPOT])
    assert canvas.penumbra.sum() / full.penumbra.sum() == pytest.approx(0.5, abs=0.02)
    assert not canvas.penumbra[192, 192 + int(6 / STEP[0, 0])]


def test_an_orphan_penumbra_has_no_umbra():
    orphan = Structure(label="orphan", x=0, y=0, extent=12, cores=(CORE,), fans=(FAN,))
    canvas = paint(blank(), [orphan])
    assert not canvas.umbra.any()
    assert canvas.penumbra.any()
    assert canvas.intensity[192, 192] == 1


def test_a_penumbra_brightens_outwards():
    intensity = paint(blank(), [SPOT]).intensity
    y, x = np.indices(intensity.shape)
    radius = np.hypot(y - 191.5, x - 191.5) * STEP[0, 0]
    inner = intensity[(radius > 4.2) & (radius < 5)].mean()
    outer = intensity[(radius > 8) & (radius < 8.8)].mean()
    assert 0.62 < inner < 0.72 < 0.78 < outer < 0.87


def test_a_dimming_fades_the_quiet_sun_by_its_depth():
    canvas = paint(blank(), [], dimmings=[Dimming(x=0, y=0, radius=1, depth=0.08)])
    assert canvas.intensity.min() == pytest.approx(0.92, abs=1e-3)


def test_granulation_has_the_contrast_asked_for_and_bright_granules():
    rng = np.random.default_rng(0)
    field = granulation((512, 512), to_surface=STEP, contrast=0.1, rng=rng)
    assert field.std() == pytest.approx(0.1, rel=0.05)
    assert field.mean() == pytest.approx(0, abs=1e-3)
    assert (field**3).mean() > 0


def test_the_telescope_leaves_the_contrast_it_predicts():
    granules = granulation(
        (1024, 1024), to_surface=STEP, contrast=0.1, rng=np.random.default_rng(1)
    )
    image, _ = observe_canvas(paint(blank(side=1024), [], granules=granules), OPTICS)
    assert image.std() == pytest.approx(0.1 * granulation_through(OPTICS), rel=0.1)
    assert 0.02 < image.std() < 0.04


def test_granules_are_foreshortened():
    foreshortened = np.diag([2.0, 1.0]) @ STEP
    field = granulation(
        (512, 512), to_surface=foreshortened, contrast=0.1, rng=np.random.default_rng(2)
    )
    along, across = np.diff(field, axis=1).std(), np.diff(field, axis=0).std()
    assert along / across == pytest.approx(2, rel=0.15)


def test_granulation_shows_in_the_quiet_sun_only():
    granules = np.full((384, 384), 0.1, np.float32)
    canvas = paint(blank(), [SPOT], granules=granules)
    still = paint(blank(), [SPOT])
    ratio = canvas.intensity / still.intensity
    assert ratio[canvas.penumbra] == pytest.approx(1)
    assert ratio[canvas.umbra] == pytest.approx(1.05)
    assert ratio[0, 0] == pytest.approx(1.1)


def test_binning_takes_the_mean_of_fine_pixels():
    fine = np.arange(64, dtype=np.float32).reshape(8, 8)
    assert binned(fine)[0, 0] == fine[:4, :4].mean()
