"""Images that never were: the numbers that must survive."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from solarxai.errors import ValidationError
from solarxai.inpainting import (
    PenumbraShape,
    grow_umbra,
    measure_granulation,
    paint_penumbra,
    place_on_quiet,
    replace_by_granulation,
)
from solarxai.schema import PORE, QUIET

SIZE = 64


def granules(seed: int, *, contrast: float = 0.03, width: float = 1.5) -> np.ndarray:
    """Return a field of mean 1 whose power falls off at scales below `width` pixels."""
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    smooth = ndimage.gaussian_filter(noise, width, mode="wrap")
    return (1 + contrast * smooth / smooth.std()).astype(np.float32)


def radius() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    return np.hypot(y, x)


@pytest.fixture
def spot() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return an image, its penumbra, its umbra and its quiet Sun."""
    image, r = granules(1), radius()
    umbra, penumbra = r < 6, (r >= 6) & (r < 14)
    image[umbra], image[penumbra] = 0.2, 0.75
    return image, penumbra, umbra, r > 17


def test_drawn_granulation_has_mean_contrast_and_skewness_of_the_quiet_sun():
    image = granules(3)
    image = image + (image - 1) ** 2 * 5
    drawn = measure_granulation(image, radius() > 12).draw(7)
    assert drawn.mean() == pytest.approx(image.mean(), abs=1e-3)
    assert drawn.std() == pytest.approx(image.std(), rel=0.1)
    skewness = [float((((a - a.mean()) / a.std()) ** 3).mean()) for a in (image, drawn)]
    assert skewness[1] == pytest.approx(skewness[0], abs=0.25)


@pytest.mark.parametrize("width", [1.0, 2.5])
def test_drawn_granulation_has_the_correlation_length_of_the_quiet_sun(width):
    """A Gaussian filter of width w gives neighbours the correlation exp(-1/(4 w²))."""
    image = granules(5, width=width)
    drawn = measure_granulation(image, radius() > 12).draw(0) - 1
    neighbours = float((drawn[:, 1:] * drawn[:, :-1]).mean() / (drawn**2).mean())
    assert neighbours == pytest.approx(np.exp(-1 / (4 * width**2)), abs=0.06)


def test_the_penumbra_becomes_as_bright_as_the_quiet_sun_and_the_umbra_stays(spot):
    image, penumbra, umbra, quiet = spot
    made = replace_by_granulation(image, penumbra, quiet, seed=2, keep=umbra)
    inner_rim = ndimage.binary_dilation(umbra, iterations=3)
    assert made[penumbra & ~inner_rim].mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_array_equal(made[umbra], image[umbra])
    assert made[umbra].max() < 0.3


def test_pixels_far_from_the_mask_are_untouched(spot):
    image, penumbra, umbra, quiet = spot
    made = replace_by_granulation(image, penumbra, quiet, seed=2, keep=umbra)
    np.testing.assert_array_equal(made[radius() > 18], image[radius() > 18])


def test_the_seam_keeps_the_contrast_of_granulation():
    image = granules(1)
    ring = (radius() > 14.5) & (radius() < 17)
    made = [
        replace_by_granulation(image, radius() < 14, radius() > 16, seed=seed)[ring].std()
        for seed in range(12)
    ]
    assert np.mean(made) == pytest.approx(image.std(), rel=0.12)


def test_one_seed_gives_one_image_and_another_seed_another(spot):
    image, penumbra, umbra, quiet = spot
    first, again, other = (
        replace_by_granulation(image, penumbra, quiet, seed=seed, keep=umbra) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other)[penumbra].max() > 0.02
    assert first.dtype == np.float32


def test_the_argument_is_left_alone(spot):
    image, penumbra, umbra, quiet = spot
    before = image.copy()
    replace_by_granulation(image, penumbra, quiet, seed=1, keep=umbra)
    grow_umbra(image, penumbra, umbra)
    np.testing.assert_array_equal(image, before)


def test_too_little_quiet_sun_is_refused():
    quiet = np.zeros((SIZE, SIZE), bool)
    quiet[:7, :9] = True
    with pytest.raises(ValidationError, match="63 pixels of quiet Sun are too few"):
        measure_granulation(granules(0), quiet)


def test_a_grown_umbra_is_as_dark_as_umbra_and_penumbra_were(spot):
    image, penumbra, umbra, _ = spot
    grown, mask = grow_umbra(image, penumbra, umbra)
    before = (1 - image[penumbra | umbra]).sum()
    assert (1 - grown[mask]).sum() == pytest.approx(before, abs=0.8)
    assert mask[umbra].all()
    assert not (mask & ~(umbra | penumbra)).any()


def test_a_spot_without_umbra_cannot_grow_one(spot):
    image, penumbra, umbra, _ = spot
    with pytest.raises(ValidationError, match="no umbra that could grow"):
        grow_umbra(image, penumbra, np.zeros_like(umbra))


def test_the_control_has_the_area_of_the_penumbra_and_lies_on_quiet_sun(spot):
    _, penumbra, _, quiet = spot
    placed = place_on_quiet(penumbra, quiet)
    assert placed.sum() == penumbra.sum()
    assert not (placed & ~quiet).any()


def test_the_control_takes_all_quiet_pixels_when_they_are_too_few():
    mask = radius() < 20
    quiet = radius() > 40
    placed = place_on_quiet(mask, quiet)
    np.testing.assert_array_equal(placed, quiet)


def test_without_quiet_sun_there_is_no_control():
    assert not place_on_quiet(radius() < 5, np.zeros((SIZE, SIZE), bool)).any()


@pytest.fixture
def pore() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a pore of 5 pixels' radius, its segmentation and its mask."""
    image, r = granules(4), radius()
    depth = ndimage.gaussian_filter((r < 5).astype(float), 0.8)
    image = (image * (1 - 0.7 * depth)).astype(np.float32)
    mask = image < 0.88
    mask &= r < 8
    return image, np.where(mask, PORE, QUIET).astype(np.uint8), mask


def test_a_painted_penumbra_has_the_brightness_and_width_that_were_asked(pore):
    image, segmentation, mask = pore
    shape = PenumbraShape(width_mm=(3.0, 3.0), raggedness=0.0)
    made = paint_penumbra(image, segmentation, mask, scale_mm=0.5, seed=1, shape=shape)
    ring = (radius() > 6) & (radius() < 10)
    assert 0.66 < made[ring].mean() < 0.82
    added = (image - made > 0.05) | mask
    assert np.sqrt(added.sum() / np.pi) == pytest.approx(5 + 3.0 / 0.5, abs=1.0)


def test_painting_leaves_the_core_and_the_surroundings(pore):
    image, segmentation, mask = pore
    made = paint_penumbra(image, segmentation, mask, scale_mm=0.5, seed=1)
    np.testing.assert_array_equal(made[radius() > 20], image[radius() > 20])
    assert made[radius() < 3].max() < 0.45


def test_painting_is_repeatable_and_varies_with_the_seed(pore):
    image, segmentation, mask = pore
    first, again, other = (
        paint_penumbra(image, segmentation, mask, scale_mm=0.5, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_pore_without_a_core_cannot_carry_a_penumbra(pore):
    image, segmentation, mask = pore
    pale = np.maximum(image, np.float32(0.7))
    with pytest.raises(ValidationError, match=r"darker than 0\.62: it has no core"):
        paint_penumbra(pale, segmentation, mask, scale_mm=0.5, seed=0)
