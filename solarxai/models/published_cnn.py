"""The network of the 2023 study of IRIS spectra: two convolutions and a dense head."""

from __future__ import annotations

from torch import Tensor, nn

from solarxai.errors import ContractError

__all__ = ["PublishedCNN"]

_KERNELS = (20, 10)
_STRIDE = 3
_CHANNELS = (2, 4)
_HIDDEN = 5
_POOL = 2


class PublishedCNN(nn.Module):
    """Scores before softmax (batch, classes) of spectra (batch, 1, length).

    Parameters
    ----------
    classes
        Number of outputs.
    length
        Points of a spectrum, 56 or more: the head reads every cell of the last feature map on its
        own, so a network takes spectra of this one length.

    Raises
    ------
    ContractError
        when there is no class, the spectrum is too short for a cell, or the network is shown
        something else than (batch, 1, length).

    Notes
    -----
    Convolutions of 20 and 10 points with steps of 3, a maximum of two cells, a hidden layer of
    five: 363 parameters for two classes and 240 points. The last points of a spectrum that fill no
    window, one of 240, are seen nowhere. The head is not pooled, so a channel has no single weight:
    `hires_cam` has a meaning for this network and `grad_cam` has none.

    References
    ----------
    Panos, Kleint & Zbinden 2023, A&A 671, A73, arXiv:2301.01560, with its code
    https://github.com/brandonlpanos/explainable-ai.

    Examples
    --------
    >>> from solarxai.models.published_cnn import PublishedCNN
    >>> sum(parameter.numel() for parameter in PublishedCNN().parameters())
    363
    """

    def __init__(self, *, classes: int = 2, length: int = 240) -> None:
        super().__init__()
        cells, shortest = _cells(length), _shortest()
        if classes < 1 or cells < 1:
            raise ContractError(
                f"PublishedCNN cannot have classes {classes}, length {length}: its windows leave "
                f"no cell of fewer than {shortest} points",
                remedy=f"Give one class or more and a length of {shortest} or more.",
            )
        self.length = length
        first, second = _CHANNELS
        self.convolutions = nn.Sequential(
            nn.Conv1d(1, first, _KERNELS[0], _STRIDE),
            nn.ReLU(),
            nn.Conv1d(first, second, _KERNELS[1], _STRIDE),
            nn.ReLU(),
            nn.MaxPool1d(_POOL),
        )
        self.flatten = nn.Flatten()
        self.head = nn.Sequential(
            nn.Linear(second * cells, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        _check_shape(x, self.length)
        scores: Tensor = self.head(self.flatten(self.convolutions(x)))
        return scores


def _cells(length: int) -> int:
    """Return the cells an axis of the last feature map."""
    for kernel in _KERNELS:
        length = max(0, (length - kernel) // _STRIDE + 1)
    return length // _POOL


def _shortest() -> int:
    """Return the points that one cell sees."""
    points = _POOL
    for kernel in reversed(_KERNELS):
        points = (points - 1) * _STRIDE + kernel
    return points


def _check_shape(x: object, length: int) -> None:
    """Refuse spectra of another length; what a tracer passes has no length."""
    if isinstance(x, Tensor) and (x.ndim != 3 or x.shape[1:] != (1, length)):
        raise ContractError(
            f"the network takes spectra (batch, 1, {length}) and was shown {tuple(x.shape)}",
            remedy="Bring the spectra to the grid of the network, or make one of their length.",
        )
