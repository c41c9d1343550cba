"""Networks whose Shapley values are known, and ones with interactions of every order."""

import torch
from torch import Tensor, nn


class Gloves(nn.Module):
    """The glove game: the first player's glove makes a pair with the second's or the third's."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[0.0], [1.0]])

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        pairs = torch.minimum(x[:, 0], torch.maximum(x[:, 1], x[:, 2]))
        return self.head(pairs[:, None])


class Pixels(nn.Module):
    """The second score is a function of the pixels (image, pixel); the first is zero."""

    def __init__(self, score) -> None:
        super().__init__()
        self.score = score
        self.head = nn.Linear(1, 2, bias=False)
        self.head.weight.data = torch.tensor([[0.0], [1.0]])

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.score(x.flatten(1))[:, None])


def linear(pixels: int) -> nn.Module:
    """Return scores that are linear in the pixels, with a bias."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2))
    return network.eval().requires_grad_(False)


def mingling(pixels: int, *, seed: int = 0) -> nn.Module:
    """Return a saturating network in which every pixel changes what the others do."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 24), nn.Tanh(), nn.Linear(24, 2))
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return network.eval().requires_grad_(False)


def errors_in_stderr(method, truth: Tensor, *, seeds: int, **call) -> Tensor:
    """Return error divided by standard error, of every player and seed.

    Parameters
    ----------
    method
        Makes the explainer of a seed.
    truth
        (1, channel, *space).
    seeds
        How many.
    **call
        Of the explainer.
    """
    found = [method(seed)(**call) for seed in range(seeds)]
    return torch.stack([(f.values - truth) / f.stderr for f in found])
