"""A small residual network for one-channel images or spectra, with a global-average-pool head."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from solarxai.errors import ContractError

__all__ = ["ResidualCNN"]


class _Kinds(NamedTuple):
    """The layers of a number of axes."""

    convolution: type[nn.Conv1d | nn.Conv2d]
    norm: type[nn.BatchNorm1d | nn.BatchNorm2d]
    pool: type[nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d]


_KINDS = {
    1: _Kinds(nn.Conv1d, nn.BatchNorm1d, nn.AdaptiveAvgPool1d),
    2: _Kinds(nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
}


class Sum(nn.Module):
    """The sum of two tensors, as a module: relevance rules and hooks can see the branching."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left + right."""
        return left + right


class ResidualBlock(nn.Module):
    """Two convolutions of 3 beside a shortcut, (batch, channels, *space) to (batch, width, *space).

    Parameters
    ----------
    channels, width
        Channels coming in and going out.
    stride
        Step of the first convolution; the shortcut becomes a convolution of 1 where shapes differ.
    axes
        1 for spectra, 2 for images.
    """

    def __init__(self, channels: int, width: int, *, stride: int = 1, axes: int = 2) -> None:
        super().__init__()
        kinds = _KINDS[axes]
        self.first = nn.Sequential(
            kinds.convolution(channels, width, 3, stride, 1, bias=False),
            kinds.norm(width),
            nn.ReLU(),
        )
        self.second = nn.Sequential(
            kinds.convolution(width, width, 3, 1, 1, bias=False), kinds.norm(width)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                kinds.convolution(channels, width, 1, stride, bias=False), kinds.norm(width)
            )
        self.sum = Sum()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(second(first(x)) + shortcut(x))."""
        out: Tensor = self.relu(self.sum(self.second(self.first(x)), self.shortcut(x)))
        return out


class ResidualCNN(nn.Module):
    """Scores before softmax (batch, classes) of images (batch, 1, y, x) or spectra (batch, 1, n).

    Parameters
    ----------
    classes
        Number of outputs.
    width
        Channels of the first stage; each later stage has twice as many.
    depth
        Residual blocks a stage, three stages.
    stride
        Input pixels a cell of the last feature map, 4 or 8.
    axes
        1 for spectra, 2 for images.

    Raises
    ------
    ContractError
        when the stride is neither 4 nor 8, the axes are neither 1 nor 2, or a number is not
        positive.

    Notes
    -----
    A stem of stride 2, then stages of total stride 2, 4 and `stride`; the head averages the last
    feature map over the image, so that Grad-CAM equals the class activation map.

    References
    ----------
    He et al. 2016, Deep Residual Learning for Image Recognition, doi:10.1109/CVPR.2016.90.
    """

    def __init__(
        self, *, classes: int = 2, width: int = 16, depth: int = 1, stride: int = 8, axes: int = 2
    ) -> None:
        super().__init__()
        if stride not in (4, 8) or axes not in _KINDS or min(classes, width, depth) < 1:
            raise ContractError(
                f"ResidualCNN cannot have classes {classes}, width {width}, depth {depth}, "
                f"stride {stride}, axes {axes}",
                remedy="Give stride 4 or 8, axes 1 or 2, and positive numbers.",
            )
        kinds = _KINDS[axes]
        self.stem = nn.Sequential(
            kinds.convolution(1, width, 5, 2, 2, bias=False), kinds.norm(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            _stage(width, width, depth, stride=1, axes=axes),
            _stage(width, 2 * width, depth, stride=2, axes=axes),
            _stage(2 * width, 4 * width, depth, stride=stride // 4, axes=axes),
        )
        self.pool = kinds.pool(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        scores: Tensor = self.head(self.flatten(self.pool(self.stages(self.stem(x)))))
        return scores


def _stage(channels: int, width: int, depth: int, *, stride: int, axes: int) -> nn.Sequential:
    first = ResidualBlock(channels, width, stride=stride, axes=axes)
    return nn.Sequential(first, *(ResidualBlock(width, width, axes=axes) for _ in range(depth - 1)))
