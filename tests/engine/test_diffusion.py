"""Smoothing by any amount, against scipy and its own laws."""

import networks
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from solarxai.engine.diffusion import Diffusion


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("sigma", [2.0, 2.5, 6.0])
def test_it_equals_a_long_gaussian_filter(axes, sigma):
    image = networks.images(1, axes=axes, size=24)[0]
    found = Diffusion(image).at(torch.tensor([sigma]))[0, 0]
    wanted = gaussian_filter(image[0].numpy(), sigma, mode="reflect", truncate=8)
    assert np.abs(found.numpy() - wanted).max() < 1e-4 * np.abs(image.numpy()).max()


def test_no_smoothing_gives_the_image_and_endless_smoothing_its_mean():
    image = networks.images(2, size=12).reshape(2, 12, 12)[:, :, :9]
    none, all_of_it = Diffusion(image).at(torch.tensor([0.0, 1e3]))
    torch.testing.assert_close(none, image)
    torch.testing.assert_close(all_of_it, image.mean(dim=(1, 2), keepdim=True).expand_as(image))


def test_smoothing_twice_is_smoothing_by_the_root_of_squares():
    image = networks.images(1, axes=1)[0]
    once = Diffusion(image).at(torch.tensor([5.0]))[0]
    twice = Diffusion(Diffusion(image).at(torch.tensor([3.0]))[0]).at(torch.tensor([4.0]))[0]
    torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-6)
