from dataclasses import replace

import numpy as np
import pytest

from solarxai.errors import SynthesisError
from solarxai.synthetic.image import render
from solarxai.synthetic.matching import appearance
from solarxai.synthetic.scenes import MEMBERS, draw_region, draw_scene


def label(scene):
    return scene.structures[0].label


def test_a_scene_depends_on_seed_and_index_alone():
    first = render(draw_scene(4, 9))
    draw_scene(4, 2)
    again = render(draw_scene(4, 9))
    other = render(draw_scene(5, 9))
    assert np.array_equal(first.counts, again.counts)
    assert not np.array_equal(first.counts, other.counts)


@pytest.mark.parametrize("mode", ["natural", "matched", "adversarial", "paired", "mixed"])
def test_each_region_has_as_many_sunspots_as_pores(mode):
    for number in range(3):
        scenes = [draw_scene(0, number * MEMBERS + k, mode=mode) for k in range(MEMBERS)]
        assert sorted(map(label, scenes)) == ["pore", "pore", "sunspot", "sunspot"]
        assert len({scene.region.number for scene in scenes}) == 1


def test_members_of_a_region_are_seen_at_different_times_and_share_traits():
    scenes = [draw_scene(1, k) for k in range(MEMBERS)]
    slots = [scene.slot for scene in scenes]
    assert slots == sorted(set(slots))
    assert all(1 <= gap <= 24 for gap in np.diff(slots))
    assert len({scene.region.traits for scene in scenes}) == 1


def test_regions_are_seen_within_60_degrees_of_the_centre():
    mu = [draw_scene(0, MEMBERS * number).view.mu for number in range(60)]
    assert 0.5 <= min(mu) < 0.7
    assert 0.9 < max(mu) <= 1


def test_the_region_does_not_tell_the_class_of_its_first_member():
    firsts = [draw_region(0, number).first_is_sunspot for number in range(200)]
    assert 0.4 < np.mean(firsts) < 0.6


def test_matched_pairs_measure_the_same():
    for pair in range(5):
        scenes = [draw_scene(2, 2 * pair + k, mode="matched") for k in range(2)]
        assert {label(scene) for scene in scenes} == {"sunspot", "pore"}
        assert scenes[0].pair == scenes[1].pair == pair
        view = scenes[0].view
        found = [appearance(s.structures[0], view.to_surface, view.optics) for s in scenes]
        assert found[0].area == pytest.approx(found[1].area, rel=0.12)
        assert found[0].deficit == pytest.approx(found[1].deficit, rel=0.12)
        assert found[0].minimum == pytest.approx(found[1].minimum, abs=0.05)


def test_counterfactuals_differ_only_where_the_penumbra_was():
    for pair in range(4):
        scenes = [draw_scene(6, 2 * pair + k, mode="adversarial") for k in range(2)]
        spot, pore = sorted(scenes, key=label, reverse=True)
        with_fan, without = render(spot), render(pore)
        assert spot.slot == pore.slot
        y, x = np.indices(with_fan.counts.shape)
        away = np.hypot(y - spot.view.row, x - spot.view.column) * spot.view.optics.pixel_mm
        far = away > spot.structures[0].extent + 8
        relative = with_fan.counts / without.counts - 1
        assert np.abs(relative[far]).max() < 1e-4
        dark = [image.truth["umbra"] + image.truth["pore"] for image in (with_fan, without)]
        assert np.array_equal(*dark)
        lost = with_fan.truth["penumbra"].sum() - without.truth["penumbra"].sum()
        assert lost > 10


@pytest.mark.parametrize(
    ("mode", "turns"),
    [("paired", ["matched", "adversarial"]), ("mixed", ["natural", "matched", "adversarial"])],
)
def test_regions_take_modes_in_turns(mode, turns):
    for number in range(2 * len(turns)):
        index = number * MEMBERS + 1
        one, other = (draw_scene(4, index, mode=m) for m in (mode, turns[number % len(turns)]))
        for word in ("mode", "pair", "seed", "slot", "structures", "region"):
            assert getattr(one, word) == getattr(other, word)


def test_only_the_centre_is_asked_about_where_scenes_come_in_pairs():
    for mode in ("matched", "adversarial"):
        for index in range(6):
            image = render(draw_scene(0, index, mode=mode))
            assert {row.label for row in image.structures[1:]} <= {"clutter"}
            assert image.structures[0].role == "centre"


def test_natural_clutter_holds_every_kind_of_neighbour():
    labels = [
        structure.label for index in range(40) for structure in draw_scene(0, index).structures[1:]
    ]
    assert set(labels) == {"sunspot", "pore", "ambiguous", "orphan"}


def test_sunspots_and_pores_have_as_many_neighbours():
    scenes = [draw_scene(0, index, mode="matched") for index in range(120)]
    counts = {
        kind: np.mean([len(s.structures) - 1 for s in scenes if label(s) == kind])
        for kind in ("sunspot", "pore")
    }
    assert abs(counts["sunspot"] - counts["pore"]) < 1.2


def test_without_clutter_the_centre_stands_alone():
    scene = draw_scene(0, 3, clutter=False)
    assert len(scene.structures) == 1
    assert not scene.dimmings


def test_the_true_position_is_in_the_structure():
    for index in range(8):
        image = render(draw_scene(3, index))
        row = image.structures[0]
        dark = image.truth["umbra"] + image.truth["pore"]
        here = dark[round(row.y) - 2 : round(row.y) + 3, round(row.x) - 2 : round(row.x) + 3]
        assert here.max() > 0.3


def test_the_true_radius_is_that_of_the_painted_area():
    scene = draw_scene(0, 0, clutter=False)
    image = render(scene)
    pixel_area = 1 / abs(np.linalg.det(scene.view.to_pixels))
    area = sum(plane.sum() for plane in image.truth.values()) * pixel_area
    assert np.pi * image.structures[0].radius_mm ** 2 == pytest.approx(area, rel=1e-3)


def test_the_quiet_sun_has_the_brightness_and_contrast_of_its_region():
    scene = replace(draw_scene(0, 0, clutter=False), structures=())
    counts = render(scene).counts
    assert counts.dtype == np.float32
    assert 0.6 < counts.mean() / scene.region.brightness <= 1.01
    assert 0.015 < counts.std() / counts.mean() < 0.045


@pytest.mark.real_data
def test_real_and_synthetic_granulation_have_the_same_contrast(real_data):
    from astropy.io import fits

    path = next((real_data / "hmi").glob("sharp_*/*continuum.fits"))
    quiet = fits.getdata(path, 1)[5:105, 400:700]
    real = quiet.std() / quiet.mean()
    scenes = [replace(draw_scene(0, k, clutter=False), structures=()) for k in range(0, 48, 4)]
    contrasts = [image.std() / image.mean() for image in (render(s).counts for s in scenes)]
    assert min(contrasts) < real < max(contrasts)
    assert np.median(contrasts) == pytest.approx(real, rel=0.25)


@pytest.mark.parametrize(
    ("index", "options", "message"),
    [
        (0, {"mode": "matchd"}, "is not one of natural, matched, adversarial, paired"),
        (-1, {}, "index -1 is negative"),
        (0, {"size": 64}, "size 64 is less than 96"),
    ],
)
def test_what_cannot_be_drawn_is_refused(index, options, message):
    with pytest.raises(SynthesisError, match=message):
        draw_scene(0, index, **options)
