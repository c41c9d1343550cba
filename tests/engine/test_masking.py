"""Scores of mixtures, and the random masks that make them."""

import networks
import numpy as np
import pytest
import torch

from solarxai.engine.gradients import Stream
from solarxai.engine.masking import Masking
from solarxai.engine.preparation import prepare
from solarxai.engine.random_masks import RandomMasks

WEIGHT = torch.tensor([-1.0, 1.0])


def masking(axes: int = 2, batch_size: int = 4) -> tuple[Masking, Stream, torch.Tensor]:
    image, fill = networks.images(2, axes=axes)
    network = prepare(networks.residual(axes=axes), image[None])
    stream = Stream(network, batch_size=batch_size)
    return Masking(stream, image, fill, WEIGHT), stream, torch.stack([image, fill])


@pytest.mark.parametrize("axes", [1, 2])
def test_the_score_of_a_mixture_is_that_of_the_mixed_image(axes):
    asked, stream, (image, fill) = masking(axes)
    keep = torch.rand(10, *(16,) * axes, generator=torch.Generator().manual_seed(0))
    mixed = keep[:, None] * image + (1 - keep[:, None]) * fill
    with torch.no_grad():
        wanted = networks.residual(axes=axes)(mixed) @ WEIGHT
    before = stream.forward
    found = asked.scores(keep)
    assert found.dtype == torch.float64
    assert stream.forward - before == 10
    torch.testing.assert_close(found.float(), wanted, rtol=1e-4, atol=1e-5)


def test_a_mixture_is_exactly_the_image_or_the_fill_where_the_mask_says_so():
    image, fill = networks.images(2) * torch.tensor([1e-3, 1e4]).reshape(2, 1, 1, 1)
    asked = Masking(masking()[1], image, fill, WEIGHT)
    keep = (networks.images(1)[0, 0] > 0).float()
    (mixed,) = asked.mixed(keep[None])
    assert torch.equal(mixed, torch.where(keep.bool(), image, fill))
    assert not torch.equal(fill + keep * (image - fill), mixed)


def test_the_explained_score_has_the_gradient_of_the_mask():
    asked, _, _ = masking()
    keep = torch.full((1, 16, 16), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(asked.explained(keep).sum(), keep)
    step = torch.zeros(1, 16, 16)
    step[0, 5, 7] = 1e-2
    with torch.no_grad():
        slope = (asked.scores(keep + step) - asked.scores(keep - step)) / 2e-2
    assert float(gradient[0, 5, 7]) == pytest.approx(float(slope), rel=0.02, abs=1e-4)


def drawn(space, n: int, *, grid: int = 4, keep: float = 0.3, seed: int = 0):
    masks = RandomMasks(space, grid=grid, keep=keep, generator=np.random.default_rng(seed))
    return masks, masks.draw(n)


@pytest.mark.parametrize("space", [(20,), (18, 25)])
def test_every_pixel_of_a_random_mask_has_the_same_mean_and_the_variance_stated(space):
    masks, made = drawn(space, 20000)
    assert made.shape == (20000, *space)
    assert made.dtype == torch.float32
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    torch.testing.assert_close(made.mean(dim=0), torch.full(space, 0.3), rtol=0, atol=0.015)
    variance = made.var(dim=0)
    torch.testing.assert_close(variance, torch.full(space, masks.variance), rtol=0.08, atol=0)
    assert float(variance.mean()) == pytest.approx(masks.variance, rel=0.02)


def test_cells_of_one_pixel_are_independent_pixels():
    masks, made = drawn((6, 6), 4000, grid=6, keep=0.5)
    assert masks.variance == 0.25
    assert set(made.unique().tolist()) == {0.0, 1.0}
    together = torch.corrcoef(made.flatten(1).T) - torch.eye(36)
    assert float(together.abs().max()) < 0.08


def test_a_mask_is_linear_between_its_nodes():
    _, made = drawn((24,), 200, grid=4)
    bends = made.diff(n=2, dim=1).abs() > 1e-6
    assert int(bends.sum(dim=1).max()) <= 4
    assert float(made.diff(dim=1).abs().max()) == pytest.approx(1 / 6, rel=1e-5)


def test_masks_drawn_in_parts_are_those_drawn_at_once():
    _, at_once = drawn((9, 9), 10)
    masks = RandomMasks((9, 9), grid=4, keep=0.3, generator=np.random.default_rng(0))
    parts = torch.cat([masks.draw(n) for n in (3, 1, 6)])
    torch.testing.assert_close(parts, at_once, rtol=0, atol=1e-6)
