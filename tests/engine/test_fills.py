"""What stands where an image is hidden."""

from itertools import pairwise

import networks
import numpy as np
import pytest
import torch

from solarxai.engine.fills import FILLS, fill_images
from solarxai.engine.texture import quiet_pixels, quiet_texture
from solarxai.errors import ContractError, ExplainerRefusal

SIZE = 64


def quiet_sun(seed: int = 0) -> np.ndarray:
    """Return a skewed texture of mean near 1 and contrast near 0.05, power falling as k⁻³."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE)] * 2, indexing="ij"))
    amplitude = np.maximum(frequency, 0.06) ** -1.5
    white = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    field = np.fft.ifft2(np.fft.fft2(white) * amplitude).real
    field = np.exp(0.2 * (field - field.mean()) / field.std())
    return 1 + 0.05 * (field - field.mean()) / field.std()


def spot() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.hypot(y - 30, x - 36) < 14


def with_spot(seed: int = 0) -> torch.Tensor:
    image = np.where(spot(), 0.3, quiet_sun(seed))
    return torch.from_numpy(image)[None, None].float()


def slope(plane: np.ndarray) -> float:
    """Return the slope of log power against log frequency, from 0.08 to 0.4 cycles a pixel."""
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE)] * 2, indexing="ij"))
    power = np.abs(np.fft.fft2(plane - plane.mean())) ** 2
    edges = np.geomspace(0.08, 0.4, 9)
    rings = [(frequency >= a) & (frequency < b) for a, b in pairwise(edges)]
    level = [np.log(power[ring].mean()) for ring in rings]
    return float(np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), level, 1)[0])


@pytest.mark.parametrize("seed", range(3))
def test_granulation_has_the_values_of_the_quiet_sun_around(seed):
    fill = fill_images("granulation", with_spot(seed))[0, 0].double().numpy()
    quiet = quiet_sun(seed)[~spot()]
    assert fill.mean() == pytest.approx(quiet.mean(), abs=0.004)
    assert fill.std() == pytest.approx(quiet.std(), rel=0.1)
    assert fill.min() > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_granulation_has_the_power_spectrum_of_the_quiet_sun_around(seed):
    fill = fill_images("granulation", with_spot(seed))[0, 0].double().numpy()
    assert slope(quiet_sun(seed)) < -2
    assert slope(fill) == pytest.approx(slope(quiet_sun(seed)), abs=0.4)


def test_granulation_is_new_and_the_same_for_the_same_image():
    x = torch.cat([with_spot(0), with_spot(1), with_spot(0)])
    fill = fill_images("granulation", x)
    assert torch.equal(fill[0], fill[2])
    assert torch.equal(fill[1], fill_images("granulation", x[1:2])[0])
    pair = torch.stack([fill[0].flatten(), x[0].flatten()])[:, torch.from_numpy(~spot()).flatten()]
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.2


def test_the_quiet_pixels_are_those_around_the_spot():
    quiet = quiet_pixels(with_spot()[0, 0].double().numpy())
    assert not quiet[spot()].any()
    assert quiet[~spot()].mean() > 0.8


def test_granulation_of_each_channel_is_its_own():
    x = torch.cat([with_spot(), 100 * with_spot(1)], dim=1)
    fill = fill_images("granulation", x)
    assert fill.shape == x.shape
    assert fill[0, 1].mean().item() == pytest.approx(100, rel=0.02)


def test_granulation_is_refused_for_spectra_and_for_images_without_surroundings():
    with pytest.raises(ContractError, match=r"texture in two dimensions; the input has 1"):
        fill_images("granulation", networks.images(1, axes=1))
    with pytest.raises(ExplainerRefusal, match=r"too few to learn a texture.*at least 64"):
        fill_images("granulation", networks.images(1, size=7))
    with pytest.raises(ExplainerRefusal, match=r"^\d+ pixels around the structures"):
        quiet_texture(np.eye(7), np.random.default_rng(0))


def test_mean_is_the_images_own_by_channel():
    x = networks.images(6).reshape(2, 3, 16, 16)
    fill = fill_images("mean", x)
    assert fill.shape == x.shape
    torch.testing.assert_close(fill[1, 2], x[1, 2].mean().expand(16, 16))


@pytest.mark.parametrize("axes", [1, 2])
def test_blur_leaves_a_constant_and_takes_structures_away(axes):
    flat = torch.full((1, 2, *(16,) * axes), 3.0)
    torch.testing.assert_close(fill_images("blur", flat), flat)
    x = networks.images(1, axes=axes)
    assert fill_images("blur", x).std() < (0.4 if axes == 2 else 0.7) * x.std()


def test_value_is_the_number_and_baselines_their_mean():
    x, baselines = networks.images(2), networks.images(5, seed=4)
    assert torch.equal(fill_images("value", x, value=0.25), torch.full_like(x, 0.25))
    fill = fill_images("baselines", x, baselines=baselines)
    torch.testing.assert_close(fill[1], baselines.mean(dim=0))


@pytest.mark.parametrize("kind", FILLS)
def test_a_fill_does_not_depend_on_the_neighbours(kind):
    x, baselines = networks.images(3), networks.images(5, seed=4)
    together = fill_images(kind, x, baselines=baselines)
    alone = fill_images(kind, x[1:2], baselines=baselines)
    assert torch.equal(together[1:2], alone)


def test_a_fill_that_does_not_exist_or_lacks_its_baselines_is_refused():
    with pytest.raises(ContractError, match=r"no fill 'ink'.*mean, value, blur"):
        fill_images("ink", networks.images(1))
    with pytest.raises(ContractError, match=r"needs baselines and got none"):
        fill_images("baselines", networks.images(1))
