"""Pictures in terms of their frequencies."""

from __future__ import annotations

import torch

from nst.network.shapes import Float, Tensor


def favour_low_frequencies(
    images: Float[Tensor, "b 3 h w"], power: float = 1.0
) -> Float[Tensor, "b 3 h w"]:
    """Divide the Fourier coefficients by a power of their frequency, in periods per pixel.

    A symmetric positive map. The mean counts as one period per image.
    """
    height, width = images.shape[-2:]
    down = torch.fft.fftfreq(height, device=images.device)[:, None]
    across = torch.fft.rfftfreq(width, device=images.device)[None]
    frequency = (down.square() + across.square()).sqrt().clamp(min=1 / max(height, width))
    coefficients = torch.fft.rfft2(images) / frequency**power
    smooth: Tensor = torch.fft.irfft2(coefficients, s=(height, width))
    return smooth
