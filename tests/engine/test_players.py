"""Who plays: segments, superpixels, blocks, pixels."""

import numpy as np
import pytest
import torch

from solarxai.engine.players import PLAYERS, divide
from solarxai.errors import ContractError


def spot(channels: int = 1) -> torch.Tensor:
    """Return a dark disc on a bright plane, (channel, 32, 32)."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    disc = ((y - 15.5) ** 2 + (x - 15.5) ** 2 < 64).float()
    return torch.stack([1 - 0.8 * disc + channel for channel in range(channels)])


def test_segments_of_any_numbers_are_counted_from_zero():
    segments = torch.tensor([[-3, 255], [255, 7]])
    made = divide(torch.zeros(1, 2, 2), kind="segments", n_players=9, segments=segments)
    assert made.number == 3
    assert made.labels.tolist() == [[0, 2], [2, 1]]


def test_without_segments_superpixels_play():
    image = spot()
    made = divide(image, kind="segments", n_players=12)
    wanted = divide(image, kind="superpixels", n_players=12)
    assert torch.equal(made.labels, wanted.labels)


def test_given_segments_are_not_read_where_blocks_are_asked_for():
    segments = torch.arange(16).reshape(4, 4)
    made = divide(torch.zeros(1, 4, 4), kind="grid", n_players=4, segments=segments)
    assert made.labels.tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


def test_every_pixel_can_play():
    made = divide(torch.zeros(2, 3, 4), kind="pixels", n_players=1)
    assert made.labels.flatten().tolist() == list(range(12))


def test_a_spectrum_is_cut_into_windows_of_equal_length():
    for kind in ("superpixels", "grid"):
        made = divide(torch.randn(1, 12), kind=kind, n_players=4)
        assert made.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("shape", "most", "number"),
    [((16, 16), 16, 16), ((8, 32), 10, 10), ((5, 5), 10, 9), ((2, 3), 99, 6)],
)
def test_blocks_are_near_squares_and_not_too_many(shape, most, number):
    made = divide(torch.zeros(1, *shape), kind="grid", n_players=most)
    assert made.number == number
    sizes = np.bincount(made.labels.flatten())
    assert sizes.max() <= 4 * sizes.min()


def test_superpixels_follow_the_rim_of_a_spot():
    image = spot()
    labels = divide(image, kind="superpixels", n_players=16).labels
    for player in labels.unique():
        assert image[0][labels == player].std(correction=0) < 0.05


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("most", [1, 5, 10, 16])
def test_superpixels_are_no_more_than_asked_for_and_always_the_same(channels, most):
    image = spot(channels) + 0.01 * torch.randn(
        channels, 32, 32, generator=torch.Generator().manual_seed(0)
    )
    first, second = (divide(image, kind="superpixels", n_players=most) for _ in range(2))
    assert 1 <= first.number <= most
    assert torch.equal(first.labels, second.labels)


def test_three_channels_are_no_colours():
    """The clustering takes three channels for red, green and blue unless it is told otherwise."""
    noise = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    image = spot(3) - 2 + 0.05 * noise
    first = divide(image, kind="superpixels", n_players=12)
    turned = divide(image.flip(0), kind="superpixels", n_players=12)
    assert torch.equal(first.labels, turned.labels)


def test_an_even_image_has_superpixels_too():
    assert divide(torch.ones(1, 16, 16), kind="superpixels", n_players=4).number >= 1


def test_a_spread_map_sums_to_the_players_worth_over_pixels_and_channels():
    segments = torch.tensor([[0, 0, 0], [0, 1, 5]])
    image = torch.zeros(2, 2, 3)
    made = divide(image, kind="segments", n_players=1, segments=segments)
    spread = made.spread(np.array([8.0, 1.0, -2.0]), image)
    assert spread[0].tolist() == [[1.0, 1.0, 1.0], [1.0, 0.5, -1.0]]
    assert torch.equal(spread[0], spread[1])
    assert float(spread.sum()) == 7


def test_a_mask_shows_the_pixels_of_those_present():
    made = divide(torch.zeros(1, 2, 2), kind="pixels", n_players=1)
    masks = made.masks(np.array([[True, False, False, True], [False] * 4]))
    assert masks.tolist() == [[[True, False], [False, True]], [[False, False], [False, False]]]


def test_players_that_do_not_exist_are_refused():
    with pytest.raises(ContractError, match=rf"'teams'.*{', '.join(PLAYERS)}"):
        divide(torch.zeros(1, 2, 2), kind="teams", n_players=2)
