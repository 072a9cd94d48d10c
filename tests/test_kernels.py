"""Padding, cropping and pooling with gradients of their own: the same as torch's."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from nst.network.kernels import average_pool, crop, halve, pad_symmetric, reflect


def by_torch(features: torch.Tensor) -> torch.Tensor:
    """Half the size by the binomial filter, of torch's own operations."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype) / 8
    kernel = torch.outer(row, row).expand(features.shape[1], 1, 4, 4)
    padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, stride=2, groups=features.shape[1])


KERNELS = {
    halve: by_torch,
    reflect: lambda features: functional.pad(features, (1, 1, 1, 1), mode="reflect"),
    average_pool: lambda features: functional.avg_pool2d(features, 2),
}
INSIDE = (slice(1, -1), slice(0, 2))


def features(*shape: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (2, 3, 3, 5), (1, 1, 6, 2), (3, 4, 7, 8)])
def test_a_kernel_computes_what_torch_s_does_and_its_gradient(kernel, shape):
    value = features(*shape)
    ours, torchs = kernel(value), KERNELS[kernel](value)
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0)
    (found,) = torch.autograd.grad(ours, value, torch.cos(ours), retain_graph=True)
    (expected,) = torch.autograd.grad(torchs, value, torch.cos(torchs))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_gradient_of_a_kernel_lies_channels_last(kernel):
    value = features(2, 4, 8, 6)
    (found,) = torch.autograd.grad(kernel(value).square().sum(), value)
    strides = found.stride()
    assert strides[1] == min(strides) == 1, "each position's channels are together"


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_gradient_of_a_kernel_is_that_of_finite_differences(kernel):
    assert torch.autograd.gradcheck(kernel, features(2, 2, 3, 4))


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 3, 4, 4), (1, 3, 1, 2), (1, 3, 3, 2)])
def test_a_picture_is_continued_by_its_mirror_image(shape):
    picture = features(*shape)
    expected = np.pad(picture.detach().numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), "symmetric")
    assert torch.equal(pad_symmetric(picture, 4), torch.from_numpy(expected))
    assert torch.autograd.gradcheck(lambda one: pad_symmetric(one, 4), picture)
    assert pad_symmetric(picture, 0) is picture


def test_a_crop_and_its_gradient_are_a_slice_s_and_lie_channels_last():
    value = features(2, 3, 5, 6)
    assert torch.equal(crop(value, *INSIDE), value[..., INSIDE[0], INSIDE[1]])
    (found,) = torch.autograd.grad(crop(value, *INSIDE).cos().sum(), value)
    (expected,) = torch.autograd.grad(value[..., INSIDE[0], INSIDE[1]].cos().sum(), value)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
