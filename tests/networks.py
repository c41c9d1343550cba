"""Small networks and images for the tests of the engine and the explainers."""

import torch
from torch import Tensor, nn

from solarxai.models.vision_transformer import TransformerBlock


class Residual(nn.Module):
    """A stem of stride 2, a residual block with a 1×1 shortcut, a pooled linear head."""

    def __init__(self, *, classes: int = 2, axes: int = 2) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if axes == 2 else (nn.Conv1d, nn.BatchNorm1d)
        pool = nn.AdaptiveAvgPool2d if axes == 2 else nn.AdaptiveAvgPool1d
        self.stem = nn.Sequential(conv(1, 6, 3, 2, 1, bias=False), norm(6), nn.ReLU(inplace=True))
        self.first = nn.Sequential(conv(6, 8, 3, 2, 1), norm(8), nn.ReLU())
        self.second = nn.Sequential(conv(8, 8, 3, 1, 1), norm(8))
        self.shortcut = nn.Sequential(conv(6, 8, 1, 2), norm(8))
        self.head = nn.Sequential(pool(1), nn.Flatten(), nn.Linear(8, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(self.second(self.first(x)) + self.shortcut(x))
        return self.head(x)


class DenseHead(Residual):
    """The same for images of 16 pixels an axis, whose head reads each cell on its own."""

    def __init__(self, *, classes: int = 2, axes: int = 2) -> None:
        super().__init__(classes=classes, axes=axes)
        self.head = nn.Sequential(nn.Identity(), nn.Flatten(), nn.Linear(8 * 4**axes, classes))


class Bipolar(Residual):
    """The same with a last feature map of both signs."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = nn.functional.leaky_relu(self.second(self.first(x)) + self.shortcut(x), 0.5)
        return self.head(x)


class Transformer(nn.Module):
    """A convolution that cuts patches of 4, a class token, two blocks of attention, a head."""

    def __init__(self, *, classes: int = 2, axes: int = 2) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if axes == 2 else (nn.Conv1d, nn.BatchNorm1d)
        self.stem = nn.Sequential(conv(1, 8, 4, 4, bias=False), norm(8), nn.ReLU(inplace=True))
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.blocks = nn.Sequential(TransformerBlock(8, 2), TransformerBlock(8, 2))
        self.head = nn.Sequential(nn.LayerNorm(8), nn.Identity(), nn.Linear(8, classes))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], dim=1)
        return self.head(self.blocks(tokens)[:, 0])


def trained_looking(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms statistics and weights that are not those of a fresh network."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        fan = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 4
        parameter.data = torch.randn(parameter.shape, generator=generator) * (2 / fan) ** 0.5
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.3 * torch.randn(buffer.shape, generator=generator))
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return network.eval()


def residual(*, classes: int = 2, axes: int = 2, seed: int = 0) -> nn.Module:
    """Return a residual network in evaluation mode with fixed weights."""
    return trained_looking(Residual(classes=classes, axes=axes), seed)


def dense(*, classes: int = 2, axes: int = 2, seed: int = 0) -> nn.Module:
    """Return the network with a flattened head, for images of 16 pixels an axis."""
    return trained_looking(DenseHead(classes=classes, axes=axes), seed)


def bipolar(*, classes: int = 2, axes: int = 2, seed: int = 0) -> nn.Module:
    """Return the network whose last feature map has both signs."""
    return trained_looking(Bipolar(classes=classes, axes=axes), seed)


def transformer(*, classes: int = 2, axes: int = 2, seed: int = 0) -> nn.Module:
    """Return a transformer with a class token in evaluation mode with fixed weights."""
    return trained_looking(Transformer(classes=classes, axes=axes), seed)


def images(n: int, *, axes: int = 2, size: int = 16, seed: int = 1) -> Tensor:
    """Return (n, 1, size[, size]) of normal noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, 1, *(size,) * axes), generator=generator)


class Quadratic(nn.Module):
    """Scores (−s, s) with s = Σ a x²."""

    def __init__(self, curvature: Tensor) -> None:
        super().__init__()
        self.register_buffer("curvature", curvature)

    def forward(self, x: Tensor) -> Tensor:
        score = (self.curvature * x**2).flatten(1).sum(dim=1, keepdim=True)
        return torch.cat([-score, score], dim=1)


def quadratic() -> tuple[nn.Module, Tensor, Tensor]:
    """Return a quadratic network, two images, and its curvature a (1, 5, 5)."""
    curvature = images(1, size=5, seed=7)[0]
    return Quadratic(curvature).eval(), images(2, size=5), curvature
