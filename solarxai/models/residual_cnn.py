"""A small residual network for one-channel images, with a global-average-pool head."""

from __future__ import annotations

from torch import Tensor, nn

from solarxai.errors import ContractError

__all__ = ["ResidualCNN"]


class Sum(nn.Module):
    """The sum of two tensors, as a module: relevance rules and hooks can see the branching."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left + right."""
        return left + right


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, (batch, channels, y, x) to (batch, width, y', x').

    Parameters
    ----------
    channels, width
        Channels coming in and going out.
    stride
        Step of the first convolution; the shortcut becomes a 1×1 convolution where shapes differ.
    """

    def __init__(self, channels: int, width: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )
        self.sum = Sum()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return ReLU(second(first(x)) + shortcut(x))."""
        out: Tensor = self.relu(self.sum(self.second(self.first(x)), self.shortcut(x)))
        return out


class ResidualCNN(nn.Module):
    """Scores before softmax (batch, classes) of images (batch, 1, y, x).

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

    Raises
    ------
    ContractError
        when the stride is neither 4 nor 8, or a number is not positive.

    Notes
    -----
    A stem of stride 2, then stages of total stride 2, 4 and `stride`; the head averages the last
    feature map over the image, so that Grad-CAM equals the class activation map.

    References
    ----------
    He et al. 2016, Deep Residual Learning for Image Recognition, doi:10.1109/CVPR.2016.90.
    """

    def __init__(
        self, *, classes: int = 2, width: int = 16, depth: int = 1, stride: int = 8
    ) -> None:
        super().__init__()
        if stride not in (4, 8) or min(classes, width, depth) < 1:
            raise ContractError(
                f"ResidualCNN cannot have classes {classes}, width {width}, depth {depth}, "
                f"stride {stride}",
                remedy="Give stride 4 or 8 and positive numbers.",
            )
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.stages = nn.Sequential(
            _stage(width, width, depth, stride=1),
            _stage(width, 2 * width, depth, stride=2),
            _stage(2 * width, 4 * width, depth, stride=stride // 4),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.head = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        scores: Tensor = self.head(self.flatten(self.pool(self.stages(self.stem(x)))))
        return scores


def _stage(channels: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    first = ResidualBlock(channels, width, stride=stride)
    return nn.Sequential(first, *(ResidualBlock(width, width) for _ in range(depth - 1)))
