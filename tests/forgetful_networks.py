"""Small networks to be forgotten: of every kind that draws its weights, or does not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from solarxai.classifier import Classifier, InputContract
from solarxai.models.residual_cnn import ResidualCNN

SIZE = 32


class Plain(nn.Module):
    """Two convolutions and a mean, without batch norm or stride."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean(dim=(2, 3)))


class Bare(nn.Module):
    """A network with a tensor of its own and no way to draw it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, SIZE * SIZE))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


class Backwards(nn.Module):
    """A network that calls its layers in another order than it defines them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Linear(4, 2)
        self.late_norm = nn.BatchNorm2d(4)
        self.body = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.late_norm(self.body(self.norm(x))).relu().mean(dim=(2, 3)))


class Constant(nn.Module):
    """A network whose constructor sets every weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(SIZE * SIZE, 2)
        nn.init.constant_(self.head.weight, 0.1)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


class Unsteady(Constant):
    """A network that draws its weights elsewhere than from torch."""

    def __init__(self) -> None:
        super().__init__()
        drawn = np.random.default_rng().standard_normal((2, SIZE * SIZE))
        self.head.weight.data = torch.from_numpy(drawn.astype(np.float32))


def seeded(kind, *, architecture=None, options=None, shape=(SIZE, SIZE), **contract):
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = kind(**(options or {})).eval()
    words = {"scale_mm": 0.5, **contract}
    return Classifier(
        network=network,
        contract=InputContract(shape=shape, **words),
        architecture=architecture or f"{kind.__module__}:{kind.__qualname__}",
        options=options or {},
    )


def residual(**options):
    return seeded(ResidualCNN, options={"width": 4, **options})


def values(rows, **words):
    """Return the value of each row with these words."""
    return [r["interval"].value for r in rows if all(r[k] == v for k, v in words.items())]


def tensors(classifier):
    return {name: t.clone() for name, t in classifier.network.state_dict().items()}


def fit(classifier, samples, *, rate, steps):
    """Train the network on all samples at once."""
    network = classifier.network.train()
    x = classifier.tensor(samples["image"].values)
    truth = torch.from_numpy((samples["label"].values == "sunspot").astype(np.int64))
    optimiser = torch.optim.Adam(network.parameters(), rate)
    for _ in range(steps):
        loss = nn.functional.cross_entropy(network(x), truth)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    network.eval()
