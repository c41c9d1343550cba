"""zennit, importable without torchvision: the stub stands where it looks for networks to mend."""

import sys
import types

import torch
from torch import Tensor, nn

_NAMES = ("torchvision", "torchvision.models", "torchvision.models.resnet")


def _imported():
    made = [name for name in _NAMES if name not in sys.modules]
    for name in made:
        sys.modules[name] = types.ModuleType(name)
    resnet = sys.modules["torchvision.models.resnet"]
    if made:
        resnet.Bottleneck, resnet.BasicBlock = (type(n, (nn.Module,), {}) for n in ("B", "C"))
    try:
        import zennit.composites
        import zennit.rules
    finally:
        for name in made:
            del sys.modules[name]
    return zennit


zennit = _imported()


def first_is(first, layer_map):
    """Return a composite with a rule of its own for the first layer."""
    linear = (nn.Linear, nn.Conv1d, nn.Conv2d)
    return zennit.composites.SpecialFirstLayerMapComposite(
        zennit.composites.layer_map_base() + layer_map, [(linear, first)]
    )


def relevance(model: nn.Module, x: Tensor, composite, start) -> Tensor:
    """Return what zennit brings back when the scores begin with start(scores)."""
    leaf = x.clone().requires_grad_()
    with composite.context(model) as changed:
        scores = changed(leaf)
        (found,) = torch.autograd.grad(scores, leaf, start(scores.detach()))
    return found
