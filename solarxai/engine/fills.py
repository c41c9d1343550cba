"""What stands where an image is hidden."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from solarxai.engine.seeds import image_generator
from solarxai.engine.texture import quiet_texture
from solarxai.errors import ContractError

__all__ = ["FILLS", "fill_images"]

FILLS = ("mean", "value", "blur", "baselines", "granulation")
"""Ways to fill: the image's own mean by channel, a number, the image smoothed until its structures
are gone, the mean of the baselines, or new texture with the statistics of the image's quiet
surroundings (`solarxai.engine.texture`)."""

_BLUR = 0.125
"""Standard deviation of the smoothing, as a part of each axis."""


def fill_images(
    kind: str, x: Tensor, *, value: float = 0.0, baselines: Tensor | None = None
) -> Tensor:
    """Return what stands where each image is hidden, of the shape of x (batch, channel, *space).

    Parameters
    ----------
    kind
        One of `FILLS`.
    value
        For "value", in units of the input.
    baselines
        (baseline, channel, *space), for "baselines".

    Raises
    ------
    ContractError
        when there is no such fill, it needs baselines and there are none, or "granulation" is
        asked of spectra.
    ExplainerRefusal
        when "granulation" is asked of an image without quiet surroundings.

    Notes
    -----
    Each image is filled by itself, so a fill does not depend on the neighbours in the batch.
    """
    if kind not in FILLS:
        raise ContractError(
            f"there is no fill {kind!r}", remedy=f"Choose one of {', '.join(FILLS)}."
        )
    if kind == "value":
        return torch.full_like(x, value)
    if kind == "baselines":
        return _mean_baseline(baselines).expand_as(x)
    if kind == "granulation" and x.ndim != 4:
        raise ContractError(
            f'the fill "granulation" is a texture in two dimensions; the input has {x.ndim - 2}',
            remedy='Choose "mean", "blur" or "baselines".',
        )
    fill = {"mean": _averaged, "blur": _blurred, "granulation": _granulated}[kind]
    return torch.cat([fill(image) for image in torch.split(x, 1)])


def _mean_baseline(baselines: Tensor | None) -> Tensor:
    if baselines is None:
        raise ContractError(
            'the fill "baselines" needs baselines and got none',
            remedy="Give training images as baselines=(baseline, channel, *space).",
        )
    return baselines.mean(dim=0, keepdim=True)


def _averaged(x: Tensor) -> Tensor:
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True).expand_as(x)


def _granulated(x: Tensor) -> Tensor:
    """Fill each channel of one image: equal images get equal texture."""
    planes = x[0].detach().cpu().double().numpy()
    generator = image_generator(0, x[0])
    drawn = [torch.from_numpy(quiet_texture(plane, generator)) for plane in planes]
    return torch.stack(drawn)[None].to(x)


def _blurred(x: Tensor) -> Tensor:
    for axis in range(2, x.ndim):
        x = _blurred_along(x.movedim(axis, -1)).movedim(-1, axis)
    return x


def _blurred_along(x: Tensor) -> Tensor:
    """Smooth the last axis by a Gaussian, reflected at the ends."""
    size = x.shape[-1]
    reach = min(size - 1, max(1, round(3 * _BLUR * size)))
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (places / (_BLUR * size)) ** 2)
    rows = functional.pad(x.reshape(-1, 1, size), (reach, reach), mode="reflect")
    smooth = functional.conv1d(rows, (kernel / kernel.sum())[None, None])
    return smooth.reshape(x.shape)
