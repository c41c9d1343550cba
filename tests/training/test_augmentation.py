"""Augmentation changes what a telescope changes, by as much as it says, and nothing else."""

import numpy as np
import pytest
import torch

from solarxai.errors import TrainingError
from solarxai.training.augmentation import Augmentation

STILL = Augmentation(
    orientations=False, warp=0, shift_px=0, blur_px=0, brightness=0, contrast=0, noise=0
)


def only(**amounts) -> Augmentation:
    """Return an augmentation that does nothing but what is named."""
    still = {name: getattr(STILL, name) for name in STILL.__dataclass_fields__}
    return Augmentation(**(still | amounts))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> torch.Tensor:
    """Return smooth random images around the quiet Sun, (64, 1, 32, 32)."""
    noise = torch.randn(64, 1, 32, 32, generator=seeded(1))
    smooth = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)
    return 1 + 0.5 * smooth


def dot(y: int, x: int, *, n: int = 64) -> torch.Tensor:
    made = torch.ones(n, 1, 33, 33)
    made[:, :, y, x] = 0
    return made


def test_all_amounts_zero_changes_nothing(images):
    torch.testing.assert_close(STILL(images, seeded()), images, atol=1e-5, rtol=0)


def test_the_input_is_left_alone(images):
    before = images.clone()
    Augmentation()(images, seeded())
    assert torch.equal(images, before)


def test_the_same_generator_gives_the_same_images(images):
    first, again = (Augmentation()(images, seeded(7)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, Augmentation()(images, seeded(8)))


def test_the_global_generator_is_neither_read_nor_moved(images):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Augmentation()(images, seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_orientations_are_the_eight_of_the_square():
    image = torch.arange(9.0).view(1, 1, 3, 3).repeat(200, 1, 1, 1)
    found = {tuple(i.flatten().round().tolist()) for i in only(orientations=True)(image, seeded())}
    square = np.arange(9.0).reshape(3, 3)
    expected = {
        tuple(np.rot90(side, k).ravel().tolist()) for k in range(4) for side in (square, square.T)
    }
    assert found == expected


def test_unwarped_images_shift_by_whole_pixels_and_no_further_than_told():
    moved = only(shift_px=2.5)(dot(16, 16), seeded())
    places = [(image[0] < 0.5).nonzero().squeeze().tolist() for image in moved]
    offsets = np.array(places) - 16
    assert set(offsets.ravel().tolist()) == {-2, -1, 0, 1, 2}
    depth = (1 - moved).sum(dim=(1, 2, 3))
    torch.testing.assert_close(depth, torch.ones(64), atol=1e-4, rtol=0)


def test_a_warp_turns_a_structure_about_the_centre_of_the_image():
    turned = only(warp=1, zoom=(1, 1), foreshortening=1)(dot(16, 24), seeded())
    y, x = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    weight = (1 - turned)[:, 0]
    mass = weight.sum(dim=(1, 2))
    centre = [(weight * axis).sum(dim=(1, 2)) / mass - 16 for axis in (y, x)]
    radius, angle = torch.hypot(*centre), torch.atan2(*centre)
    torch.testing.assert_close(radius, torch.full((64,), 8.0), atol=0.1, rtol=0)
    quadrants = torch.histc(angle, bins=4, min=-torch.pi, max=torch.pi)
    assert quadrants.min() >= 5


def test_zoom_and_foreshortening_scale_areas_within_their_range():
    y, x = np.mgrid[:65, :65] - 32
    disc = torch.from_numpy(np.where(np.hypot(y, x) < 12, 0.0, 1.0)).float()
    zoomed = only(warp=1, zoom=(0.8, 1.25), foreshortening=1)(disc.expand(64, 1, 65, 65), seeded())
    ratio = (1 - zoomed).sum(dim=(1, 2, 3)) / (1 - disc).sum()
    assert ratio.min() > 0.63
    assert ratio.max() < 1.57
    assert ratio.max() > 1.4 > 0.75 > ratio.min()
    spot = torch.from_numpy(np.where(np.hypot(y, x) < 5, 0.0, 1.0)).float()
    squeezed = only(warp=1, zoom=(1, 1), foreshortening=0.8)(spot.expand(64, 1, 65, 65), seeded())
    ratio = (1 - squeezed).sum(dim=(1, 2, 3)) / (1 - spot).sum()
    assert 0.78 < ratio.min() < 0.85
    assert 0.95 < ratio.max() < 1.02


def test_blur_spreads_a_dot_to_the_drawn_width_and_keeps_its_depth():
    blurred = only(blur_px=1.5)(dot(16, 16), seeded())
    weight = (1 - blurred)[:, 0]
    torch.testing.assert_close(weight.sum(dim=(1, 2)), torch.ones(64), atol=1e-3, rtol=0)
    x = torch.arange(33.0) - 16
    sigma = (weight.sum(dim=1) * x**2).sum(dim=1).clamp(min=0).sqrt()
    assert sigma.max() < 1.5
    assert sigma.max() > 1.3
    assert sigma.min() < 0.2


def test_brightness_scales_and_contrast_stretches_about_the_quiet_sun(images):
    bright = only(brightness=0.1)(images, seeded()) / images
    factor = bright.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(bright, factor.expand_as(bright), atol=1e-4, rtol=0)
    assert 0.05 < (factor - 1).abs().max() <= 0.1
    stretched = (only(contrast=0.2)(images, seeded()) - 1).std(dim=(1, 2, 3))
    ratio = stretched / (images - 1).std(dim=(1, 2, 3))
    assert 0.1 < (ratio - 1).abs().max() <= 0.2001
    quiet = torch.ones(4, 1, 8, 8)
    torch.testing.assert_close(only(contrast=0.2)(quiet, seeded()), quiet)


def test_noise_is_white_and_at_most_as_strong_as_told():
    quiet = torch.ones(64, 1, 32, 32)
    sigma = (only(noise=0.02)(quiet, seeded()) - 1).std(dim=(1, 2, 3))
    assert 0.015 < sigma.max() < 0.0205
    assert sigma.min() < 0.002


@pytest.mark.parametrize(
    "wrong",
    [
        {"warp": 1.5}, {"warp": -0.1}, {"foreshortening": 0}, {"zoom": (1.2, 0.8)},
        {"zoom": (0.0, 1.0)}, {"noise": -1}, {"shift_px": -1},
    ],
)  # fmt: skip
def test_amounts_out_of_range_are_refused(wrong):
    with pytest.raises(TrainingError, match="out of range: warp in"):
        Augmentation(**wrong)
