"""A kernel laid out beforehand gives the convolution that PyTorch gives, or is not used."""

import copy
import pickle

import pytest
import torch
from torch.nn import functional

from solarxai.engine import packing
from solarxai.engine.packing import Convolution


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def made(*, groups: int = 1, bias: bool = True, **numbers) -> tuple[Convolution, tuple]:
    kernel = noise(6, 4 // groups, 1, 3)
    options = {"stride": (1, 2), "padding": (0, 1), "dilation": (1, 1)} | numbers
    own = noise(6) if bias else None
    return Convolution(kernel, own, **options, groups=groups), (kernel, own, *options.values())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "numbers", [{}, {"stride": (1, 1)}, {"dilation": (1, 3)}, {"padding": (0, 0)}, {"groups": 2}]
)
def test_it_is_the_convolution_of_any_number_of_images_of_any_size(numbers, bias):
    found, arguments = made(bias=bias, **numbers)
    for size in (41, 64):
        for n in (3, 1, 8):
            images = noise(n, 4, 1, size)
            wanted = functional.conv2d(images, *arguments, numbers.get("groups", 1))
            torch.testing.assert_close(found(images), wanted)
    assert len(found._packed) == (2 if packing._works() else 0)


def test_a_gradient_goes_through_it_and_half_precision_and_no_image_pass_it_by():
    found, arguments = made()
    images = noise(2, 4, 1, 16).requires_grad_()
    (back,) = torch.autograd.grad(found(images).sum(), images)
    (wanted,) = torch.autograd.grad(functional.conv2d(images, *arguments).sum(), images)
    assert torch.equal(back, wanted)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert found(images).dtype == torch.bfloat16
    assert found(images[:0].detach()).shape == (0, 6, 1, 8)
    assert not found._packed


def test_other_numbers_than_those_of_the_kernel_fail_as_they_do_elsewhere():
    with pytest.raises(RuntimeError, match="type"):
        made()[0](noise(2, 4, 1, 16).double())


def test_a_copy_packs_its_own_kernel():
    found, _ = made()
    images = noise(2, 4, 1, 16)
    wanted = found(images)
    for again in (copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert not again._packed
        assert torch.equal(again(images), wanted)


def test_where_pytorch_does_not_pack_it_convolves_as_ever(monkeypatch):
    monkeypatch.setattr(packing, "_works", lambda: False)
    found, arguments = made()
    images = noise(2, 4, 1, 16)
    assert torch.equal(found(images), functional.conv2d(images, *arguments))


def test_a_build_without_the_names_that_it_needs_is_found_out(monkeypatch):
    monkeypatch.delattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    assert not packing._works.__wrapped__()
