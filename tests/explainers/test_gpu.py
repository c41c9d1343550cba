"""What every method promises on a CUDA device; skipped, saying so, without one."""

import networks
import pytest
import torch

from solarxai import registry
from solarxai.explainers._catalogue import make_explainer

METHODS = registry.names("solarxai.explainers")
TRANSFORMERS = ("attention_rollout", "transformer_relevance")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.parametrize("method", METHODS),
]


def explained(method: str, device: str, **options):
    make = networks.transformer if method in TRANSFORMERS else networks.residual
    x, baselines = (networks.images(n, seed=n).to(device) for n in (3, 6))
    found = make_explainer(method, **options)(make().to(device), x, baselines=baselines)
    return found.values


def test_the_device_gives_the_map_of_the_processor(method):
    wanted, found = (explained(method, device) for device in ("cpu", "cuda"))
    assert found.device.type == "cuda"
    assert float((found.cpu() - wanted).norm() / wanted.norm()) < 1e-3


def test_bfloat16_on_the_device_is_near(method):
    wanted, found = (explained(method, "cuda", precision=p) for p in ("float32", "bfloat16"))
    assert float((found - wanted).norm() / wanted.norm()) < 0.3
