"""Perturbations that leave the call and the score as they are and lead the map elsewhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from solarxai.errors import ValidationError
from solarxai.schema import QUIET
from solarxai.validation.adversarial.attacks import Ball, climb
from solarxai.validation.adversarial.movable import Movable, MovableMap

__all__ = ["lead", "quiet_corners"]

_STEP, _MOMENTUM = 0.1, 0.9
"""First step, in units of the radius; steps shrink to nothing. The momentum of Dong et al."""

_LEAST_MARGIN = 0.1
"""Logits: a margin nearer to nothing is held to this, not to itself."""


def lead(
    network: nn.Module,
    ball: Ball,
    place: npt.NDArray[np.bool_],
    *,
    method: Movable = "grad_cam",
    steps: int = 150,
    sharpness: float = 30.0,
) -> Tensor:
    r"""Return images of the ball whose map lies at a place, the margin being as it was.

    Parameters
    ----------
    network
        Of two classes, in evaluation mode.
    ball
        Where images may go.
    place
        (image, *space): where the map is to lie.
    method
        "grad_cam" or "gradient".
    steps
        Of sign and momentum, from ε/10 shrinking to nothing.
    sharpness
        β of the softplus that stands for each ReLU.

    Raises
    ------
    ValidationError
        when the masks do not fit the images, or one is empty.

    Notes
    -----
    With the map h and the margin m of the smoothed network, the signs of the gradient of

    .. math:: \frac{\sum_{i \in A} |h_i|}{\sum_i |h_i|}
              - \left(\frac{m(x') - m(x)}{m(x)}\right)^2

    are followed with momentum (Dong et al. 2018, arXiv:1710.06081). The first term is the targeted
    attack of Ghorbani et al., a share so that it does not grow with the scores; the second, and
    softplus in place of ReLU, are of Dombrowski et al.

    References
    ----------
    Ghorbani, Abid & Zou 2019, Interpretation of neural networks is fragile, arXiv:1710.10547,
    section 3 (targeted attack). Dombrowski et al. 2019, arXiv:1906.07983, equation 3.
    """
    _check_place(place, ball.x)
    movable = MovableMap(network, ball.x, method=method, sharpness=sharpness)
    wanted = movable.cells_in(torch.from_numpy(place)).to(ball.x.dtype)
    with torch.enable_grad():
        before = movable(ball.x.detach().requires_grad_())[1].detach()
    size = before.abs().clamp_min(_LEAST_MARGIN)

    def objective(x: Tensor) -> Tensor:
        found, margin = movable(x)
        return _share(found, wanted) - ((margin - before) / size).square()

    return climb(objective, ball, steps=steps, step=_STEP, momentum=_MOMENTUM, anneal=True)


def quiet_corners(segmentation: npt.NDArray[np.uint8], *, side: int) -> npt.NDArray[np.bool_]:
    """Return, a structure, the square of `side` pixels in the corner with most quiet Sun.

    Parameters
    ----------
    segmentation
        (sample, y, x) of the samples.
    side
        Pixels along the square.

    Raises
    ------
    ValidationError
        when the square is larger than half a patch.
    """
    if not 1 <= side <= min(segmentation.shape[1:]) // 2:
        raise ValidationError(
            f"a corner of {side} pixels does not fit patches of {segmentation.shape[1:]}",
            remedy="Give at most half the side of a patch.",
        )
    corners = np.zeros((4, *segmentation.shape[1:]), dtype=np.bool_)
    ends = (slice(side), slice(-side, None))
    for number, (y, x) in enumerate((y, x) for y in ends for x in ends):
        corners[number, y, x] = True
    quiet = np.einsum("syx,cyx->sc", segmentation == QUIET, corners, dtype=np.int64)
    return np.asarray(corners[quiet.argmax(axis=1)])


def _share(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the share of |map| on the wanted cells, (image,)."""
    size = found.abs().flatten(1)
    return (size * wanted.flatten(1)).sum(dim=1) / size.sum(dim=1)


def _check_place(place: npt.NDArray[np.bool_], x: Tensor) -> None:
    fits = place.shape == (len(x), *x.shape[2:])
    if not fits or not place.reshape(len(x), -1).any(axis=1).all():
        raise ValidationError(
            f"masks of shape {place.shape} do not name a place in each of the images "
            f"{tuple(x.shape)}",
            remedy="Give (image, *space) with some pixels of each image.",
        )
