"""Random numbers belong to the seed and the image."""

import numpy as np
import torch

from solarxai.engine.seeds import image_generator, probe_generator


def test_equal_images_get_equal_numbers_and_others_do_not():
    image = torch.arange(16.0).reshape(1, 4, 4)
    first = image_generator(3, image).random(4)
    assert (first == image_generator(3, image.clone()).random(4)).all()
    assert (first != image_generator(4, image).random(4)).all()
    assert (first != image_generator(3, image + 1).random(4)).all()


def test_the_layout_of_an_image_in_memory_does_not_matter():
    image = torch.arange(16.0).reshape(1, 4, 4)
    turned = image.transpose(1, 2).contiguous().transpose(1, 2)
    assert image_generator(0, image).random() == image_generator(0, turned).random()


def test_no_global_generator_is_read_or_moved():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = probe_generator().random()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert probe_generator().random() == first
