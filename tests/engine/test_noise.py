"""Noise of an image: its size, and that parts do not matter."""

import numpy as np
import pytest
import torch

from solarxai.engine.noise import Noise
from solarxai.engine.seeds import image_generator

IMAGE = torch.linspace(1, 5, 400).reshape(1, 20, 20)


def noise(generator=None, fraction=0.1):
    return Noise(IMAGE, fraction=fraction, generator=generator or image_generator(0, IMAGE))


def test_its_deviation_is_a_part_of_the_range():
    assert float(noise().draw(500).std()) == pytest.approx(0.4, rel=0.01)


@pytest.mark.parametrize("at_most", [1, 3, 100])
def test_parts_hold_the_same_numbers_in_the_same_order(at_most):
    parts = list(noise().parts(7, at_most=at_most))
    assert max(len(part) for part in parts) <= at_most
    assert torch.equal(torch.cat(parts), noise().draw(7))


def test_no_draws_are_no_parts():
    assert list(noise().parts(0, at_most=4)) == []


def test_other_numbers_of_the_generator_do_not_matter():
    generator = image_generator(0, IMAGE)
    made = noise(generator)
    first = generator.random(3)
    assert torch.equal(made.draw(2), noise().draw(2))
    assert (first == image_generator(0, IMAGE).random(3)).all()


def test_a_generator_that_cannot_jump_is_refused():
    with pytest.raises(TypeError, match=r"from Philox, not PCG64"):
        noise(np.random.default_rng(0))
