"""Who plays: the parts of an image that are present or hidden together."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from skimage.segmentation import slic
from torch import Tensor

from solarxai.errors import ContractError

__all__ = ["PLAYERS", "Players", "check_kind", "divide"]

PLAYERS = ("segments", "superpixels", "grid", "pixels")
"""Ways to divide an image: the given segments (superpixels where none are given), superpixels,
blocks of equal size, or single pixels."""

_COMPACTNESS = 0.1
"""Of superpixels: how much a pixel's place counts beside its value, scaled to 0…1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Players:
    """The parts of one image.

    Parameters
    ----------
    labels
        (*space) int64: the player of each pixel, 0 to `number` − 1, each at least once.
    number
        How many there are.
    """

    labels: Tensor
    number: int

    def masks(self, coalitions: npt.NDArray[np.bool_]) -> Tensor:
        """Return (coalition, *space) bool, true where a pixel's player is present.

        Parameters
        ----------
        coalitions
            (coalition, player): who is present.
        """
        return torch.from_numpy(coalitions).to(self.labels.device)[:, self.labels]

    def spread(self, values: npt.NDArray[np.float64], image: Tensor) -> Tensor:
        """Return the values (player,) divided evenly among a player's pixels and channels.

        Parameters
        ----------
        values
            One number a player.
        image
            (channel, *space), for shape, type and device. The map sums to the sum of the values.
        """
        pixels = np.bincount(self.labels.flatten().cpu().numpy(), minlength=self.number)
        shares = torch.from_numpy(values / (pixels * len(image))).to(image)
        return shares[self.labels].expand_as(image).clone()


def check_kind(kind: str) -> None:
    """Refuse a way to divide that is not among `PLAYERS`.

    Raises
    ------
    ContractError
        naming those there are.
    """
    if kind not in PLAYERS:
        raise ContractError(
            f"there are no players {kind!r}", remedy=f"Choose one of {', '.join(PLAYERS)}."
        )


def divide(image: Tensor, *, kind: str, n_players: int, segments: Tensor | None = None) -> Players:
    """Return the players of one image; they depend on nothing but what is given here.

    Parameters
    ----------
    image
        (channel, *space).
    kind
        One of `PLAYERS`.
    n_players
        Most superpixels or blocks; given segments and pixels are as many as they are.
    segments
        (*space) integers of any value, for "segments".

    Raises
    ------
    ContractError
        when there is no such kind.

    Notes
    -----
    Superpixels of a 2-D image are those of simple linear iterative clustering on all channels;
    those of a 1-D spectrum are windows of equal length.

    References
    ----------
    Achanta et al. 2012, SLIC Superpixels, doi:10.1109/TPAMI.2012.120.
    """
    check_kind(kind)
    space = tuple(image.shape[1:])
    if kind == "pixels":
        raw = np.arange(prod(space)).reshape(space)
    elif kind == "segments" and segments is not None:
        raw = segments.cpu().numpy()
    elif kind == "grid" or len(space) == 1:
        raw = _blocks(space, n_players)
    else:
        raw = _superpixels(image, n_players)
    found, labels = np.unique(raw, return_inverse=True)
    placed = torch.from_numpy(labels.reshape(space).astype(np.int64)).to(image.device)
    return Players(labels=placed, number=len(found))


def _blocks(space: tuple[int, ...], most: int) -> npt.NDArray[np.int64]:
    """Return blocks as near to cubes as can be, at most `most` of them."""
    parts = [1] * len(space)
    while True:
        whole = prod(parts)
        able = [
            axis
            for axis, size in enumerate(space)
            if parts[axis] < size and whole // parts[axis] * (parts[axis] + 1) <= most
        ]
        if not able:
            break
        parts[max(able, key=lambda axis: space[axis] / parts[axis])] += 1
    steps = [np.arange(size) * n // size for size, n in zip(space, parts, strict=True)]
    places = np.meshgrid(*steps, indexing="ij")
    return np.ravel_multi_index(tuple(places), tuple(parts)).astype(np.int64)


def _superpixels(image: Tensor, most: int) -> npt.NDArray[np.int64]:
    """Return at most `most` superpixels: the clustering may give more than it is asked for."""
    pixels = image.double().movedim(0, -1).cpu().numpy()
    wanted = most
    while wanted > 1:
        labels = slic(
            pixels,
            n_segments=wanted,
            compactness=_COMPACTNESS,
            channel_axis=-1,
            convert2lab=False,
            start_label=0,
        )
        if len(np.unique(labels)) <= most:
            return np.asarray(labels, dtype=np.int64)
        wanted -= 1
    return np.zeros(pixels.shape[:-1], dtype=np.int64)
