import numpy as np
import pytest

from solarxai.synthetic.continuum import Canvas, paint
from solarxai.synthetic.structures import (
    Traits,
    draw_orphan,
    draw_pore,
    draw_rudiment,
    draw_sunspot,
    with_penumbra,
    without_penumbra,
)

TRAITS = Traits(
    darkness=0, spacing=0.5, filament_contrast=0.25, penumbra_brightness=0.77, twist=0,
    fragmentation=0.5,
)  # fmt: skip
STEP = np.eye(2) * 0.1


def painted(structure):
    canvas = Canvas.blank((600, 600), origin=(299.5, 299.5), to_surface=STEP)
    return paint(canvas, [structure])


@pytest.mark.parametrize("seed", range(12))
def test_nothing_of_a_structure_reaches_beyond_its_extent(seed):
    rng = np.random.default_rng(seed)
    draw = (draw_sunspot, draw_pore, draw_rudiment, draw_orphan)[seed % 4]
    structure = draw(rng, TRAITS)
    wide = painted(structure)
    rows, columns = np.nonzero(wide.owner)
    reach = np.hypot(rows - 299.5, columns - 299.5).max() * 0.1
    assert reach <= structure.extent * np.sqrt(2) + 0.2
    assert wide.owner[0].max() == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_sunspot_has_umbra_and_penumbra_and_a_pore_has_neither(seed):
    spot = painted(draw_sunspot(np.random.default_rng(seed), TRAITS))
    pore = painted(draw_pore(np.random.default_rng(seed), TRAITS))
    assert spot.umbra.any()
    assert spot.penumbra.sum() > spot.umbra.sum()
    assert not spot.pore.any()
    assert pore.pore.any()
    assert not (pore.umbra | pore.penumbra).any()


def test_taking_the_penumbra_away_leaves_the_cores():
    spot = draw_sunspot(np.random.default_rng(3), TRAITS)
    pore = without_penumbra(spot)
    assert pore.label == "pore"
    assert np.array_equal(painted(spot).umbra, painted(pore).pore)


def test_painting_a_penumbra_leaves_the_cores():
    rng = np.random.default_rng(5)
    pore = draw_pore(rng, TRAITS, radius=(2, 3))
    spot = with_penumbra(rng, pore, TRAITS)
    assert spot.label == "sunspot"
    assert np.array_equal(painted(spot).umbra, painted(pore).pore)
    assert painted(spot).penumbra.any()


def test_a_moved_structure_keeps_its_shape():
    spot = draw_sunspot(np.random.default_rng(7), TRAITS, radius=(4, 6))
    here, there = painted(spot), painted(spot.moved(3, -2))
    assert np.array_equal(here.umbra[100:-100, 100:-100], there.umbra[80:-120, 130:-70])


def test_an_orphan_is_filaments_without_a_core():
    canvas = painted(draw_orphan(np.random.default_rng(0), TRAITS))
    assert canvas.penumbra.any()
    assert not (canvas.umbra | canvas.pore).any()


def test_a_rudiment_is_ambiguous():
    rudiment = draw_rudiment(np.random.default_rng(0), TRAITS)
    assert rudiment.label == "ambiguous"
    assert painted(rudiment).penumbra.any()


def test_large_umbrae_are_dark():
    cores = [
        draw_sunspot(np.random.default_rng(seed), TRAITS, radius=(10, 15), merged=0).cores[0]
        for seed in range(40)
    ]
    large = [core.intensity for core in cores if core.radius > 4]
    assert len(large) > 5
    assert max(large) < 0.25
    assert np.median(large) < 0.2
