"""Networks for rule methods: one function, written with modules, one module, or functions."""

import copy

import networks
import torch
from torch import Tensor, nn


def sequential(*, axes: int = 2, classes: int = 3, bias: bool = True, seed: int = 0) -> nn.Module:
    """Return convolutions, a maximum, an average and two dense layers, all modules."""
    conv = nn.Conv2d if axes == 2 else nn.Conv1d
    maximum = nn.MaxPool2d if axes == 2 else nn.MaxPool1d
    average = nn.AdaptiveAvgPool2d if axes == 2 else nn.AdaptiveAvgPool1d
    network = nn.Sequential(
        conv(2, 6, 3, padding=1, bias=bias),
        nn.ReLU(),
        maximum(2),
        conv(6, 8, 3, stride=2, bias=bias),
        nn.ReLU(),
        average(2),
        nn.Flatten(),
        nn.Linear(8 * 2**axes, 5, bias=bias),
        nn.ReLU(),
        nn.Linear(5, classes, bias=bias),
    )
    return networks.trained_looking(network, seed)


def coloured(n: int, *, axes: int = 2, seed: int = 1) -> Tensor:
    """Return (n, 2, 16[, 16]) of normal noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((n, 2, *(16,) * axes), generator=generator)


class Written(nn.Module):
    """Two convolutions, a residual sum and a dense layer, whose ReLUs are given by a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4 * 4 * 4, 2)

    def relu(self, x: Tensor, place: int) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x), 0)
        x = self.relu(x + self.inner(x), 1)
        x = nn.functional.max_pool2d(x, 4)
        return self.head(x.reshape(x.size(0), -1))


class WithModules(Written):
    """A module for each ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifiers = nn.ModuleList([nn.ReLU(), nn.ReLU(inplace=True)])

    def relu(self, x: Tensor, place: int) -> Tensor:
        return self.rectifiers[place](x)


class WithOneModule(Written):
    """One module for all."""

    def __init__(self) -> None:
        super().__init__()
        self.rectifier = nn.ReLU()

    def relu(self, x: Tensor, place: int) -> Tensor:
        return self.rectifier(x)


class WithFunctions(Written):
    """A function of torch for each."""

    def relu(self, x: Tensor, place: int) -> Tensor:
        return torch.relu(x) if place else nn.functional.relu(x)


class InPlace(Written):
    """Functions that write into their input."""

    def relu(self, x: Tensor, place: int) -> Tensor:
        return x.relu_() if place else nn.functional.relu(x, inplace=True)


class WithClamps(Written):
    """The same function by another name, and the sum in place."""

    def relu(self, x: Tensor, place: int) -> Tensor:
        return x.clamp(min=0) if place else torch.clamp_min(x, 0)


SPELLINGS = (WithModules, WithOneModule, WithFunctions, InPlace, WithClamps)


def spelled(kind: type[Written], seed: int = 0) -> nn.Module:
    """Return a network of that spelling, with the weights that all of them have."""
    return networks.trained_looking(kind(), seed)


def without_bias(network: nn.Module) -> nn.Module:
    """Return the network in double precision, its biases and running means zero."""
    changed = copy.deepcopy(network).double()
    for name, values in [*changed.named_parameters(), *changed.named_buffers()]:
        if name.endswith(("bias", "running_mean")):
            values.data.zero_()
    return changed
