"""Padding and pooling with gradients of their own: the same as torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from nst.network.kernels import average_pool, reflect

KERNELS = {
    reflect: lambda features: functional.pad(features, (1, 1, 1, 1), mode="reflect"),
    average_pool: lambda features: functional.avg_pool2d(features, 2),
}


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
def test_the_gradient_of_a_kernel_is_that_of_finite_differences(kernel):
    assert torch.autograd.gradcheck(kernel, features(2, 2, 3, 4))
