"""Attribution priors: a penalty on how rough the attributions are, in the training loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["roughness"]


def roughness(
    network: nn.Module,
    x: Tensor,
    generator: torch.Generator,
    *,
    axes: Sequence[int] | None = None,
) -> Tensor:
    r"""Return the mean total variation of Expected Gradients of the margin, with its graph.

    Parameters
    ----------
    network
        Two scores an image; it is run in evaluation mode, so that running statistics stay.
    x
        (batch, channel, *space): the images or spectra, which are each other's baselines.
    generator
        Draws a baseline and a position for each image.
    axes
        Axes of x along which neighbours are compared; all of space if None. For spectrograms
        (batch, 1, slit, wavelength) training gives (-1,): neighbouring wavelengths belong together,
        neighbouring positions of the slit are different places of the Sun.

    Notes
    -----
    One gradient an image, as the paper trains. With contributions φ = (x − x′) ∂f/∂x,

    .. math:: \Omega = \frac{1}{n} \sum_{\text{image}} \sum_{\text{axis}}
              \sum_i |\varphi_{i+1} - \varphi_i|.

    References
    ----------
    Erion et al. 2021, Improving performance of deep learning models with axiomatic attribution
    priors and expected gradients, doi:10.1038/s42256-021-00343-w, eq. 5 and 6.
    """
    training = network.training
    others = x[torch.randperm(len(x), generator=generator)]
    alphas = torch.rand(len(x), generator=generator).view(-1, *[1] * (x.ndim - 1))
    points = (others + alphas * (x - others)).detach().requires_grad_()
    scores = network.eval()(points)
    network.train(training)
    margin = (scores[:, 1] - scores[:, 0]).sum()
    (gradient,) = torch.autograd.grad(margin, points, create_graph=True)
    contributions = (x - others) * gradient
    along = range(2, x.ndim) if axes is None else axes
    steps = [contributions.diff(dim=axis).abs().sum() for axis in along]
    return torch.stack(steps).sum() / len(x)
