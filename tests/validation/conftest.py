"""Networks whose reasons are known, and the samples they judge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from solarxai.classifier import Classifier, InputContract
from solarxai.schema import PENUMBRA, mock_samples
from solarxai.validation.causal.nuisances import Amplitudes

SIZE = 32
GENTLE = Amplitudes(brightness=0.01, zoom=1.05, foreshortening=0.95)
"""`Rim` counts pixels within two sharp intensities: it is honest, but not robust."""


class Rim(nn.Module):
    """Honest: counts the pixels as bright as a penumbra."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        image = self.smooth(x + 1)
        grey = torch.sigmoid(60 * (image - 0.62)) * torch.sigmoid(60 * (0.88 - image))
        margin = (grey.sum(dim=(1, 2, 3)) - 70) / 10
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Corner(nn.Module):
    """A cheat: reads one pixel of the corner."""

    def forward(self, x: Tensor) -> Tensor:
        margin = 100 * (x[:, 0, 0, 0] - 0.15)
        return torch.stack([-margin / 2, margin / 2], dim=1)


class Brightness(nn.Module):
    """A cheat: reads the brightness of the quiet Sun."""

    def forward(self, x: Tensor) -> Tensor:
        margin = 500 * (x[:, 0, :6, :6].mean(dim=(1, 2)) - 0.01)
        return torch.stack([-margin / 2, margin / 2], dim=1)


class RimAndCorner(nn.Module):
    """Half a cheat: reads the rim, and the corner."""

    def forward(self, x: Tensor) -> Tensor:
        return Rim()(x) + Corner()(x)


class Convolutional(nn.Module):
    """A network with weights and batch norm, untrained."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


NETWORKS = {
    "rim": Rim,
    "corner": Corner,
    "brightness": Brightness,
    "rim and corner": RimAndCorner,
    "convolutional": Convolutional,
}


@pytest.fixture(scope="session")
def classifier() -> Callable[[str], Classifier]:
    """Return a maker of classifiers by the name of their reason."""

    def make(name: str) -> Classifier:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = NETWORKS[name]().eval()
        contract = InputContract(shape=(SIZE, SIZE), scale_mm=0.5)
        return Classifier(network=network, contract=contract, architecture=f"tests:{name}")

    return make


@pytest.fixture(scope="session")
def spots() -> xr.Dataset:
    """Return 40 structures of 10 regions that give both the penumbra and two shortcuts away.

    Sunspots are 2 % brighter than pores and have a bright pixel in the corner. Two maps: "flat" is
    one everywhere, "penumbra" is one in the penumbra alone.
    """
    samples = mock_samples(40, size=SIZE)
    spot = (samples["label"].values == "sunspot")[:, None, None]
    image = np.where(spot, samples["image"].values * np.float32(1.02), samples["image"].values)
    image[:, 0, 0] = np.where(spot[:, 0, 0], 1.3, 1.0)
    samples["image"] = samples["image"].copy(data=image.astype(np.float32))
    dims = samples["image"].dims
    rim = (samples["segmentation"].values == PENUMBRA).astype(np.float32)
    samples["flat"] = (dims, np.ones_like(rim))
    samples["penumbra"] = (dims, rim)
    return samples


@pytest.fixture(scope="session")
def gentle() -> Amplitudes:
    """Return nuisances under which the honest network keeps its answers."""
    return GENTLE
