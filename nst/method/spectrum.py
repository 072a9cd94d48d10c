"""Pictures in terms of their frequencies."""

from __future__ import annotations

import functools
import math

import torch

from nst.network.tensors import Float, Tensor

BANDS = 16  # of frequencies, equally wide on a logarithmic scale
KEPT = 8  # sizes whose bands are cached: each step of an optimiser needs the same bands


def favour_low_frequencies(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Divide the Fourier coefficients by their frequency, in periods per pixel.

    A symmetric positive map. The mean counts as one period per image.
    """
    height, width = images.shape[-2:]
    coefficients = torch.fft.rfft2(images) / _frequencies(height, width, images.device)
    smooth: Tensor = torch.fft.irfft2(coefficients, s=(height, width))
    return smooth


@functools.lru_cache(KEPT)
def frequency_bands(height: int, width: int, device: torch.device) -> Tensor:
    """Return the band, from 0 to ``BANDS - 1``, of each coefficient of a real picture's FFT.

    The shape is that of ``torch.fft.rfft2``, ``height, width // 2 + 1``. The bands span one period
    per image to half a period per pixel. Higher frequencies, in the corners, are in the last band.
    """
    lowest = math.log(1 / max(height, width))
    position = (_frequencies(height, width, device).log() - lowest) / (math.log(0.5) - lowest)
    # Some frequencies lie on edges, such as 2/8; the rounding of a logarithm must not decide.
    return (position * BANDS + 1e-4).long().clamp(max=BANDS - 1)


def energy_by_band(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b bands"]:
    """Return each picture's energy by band; all bands add up to the picture's sum of squares."""
    height, width = images.shape[-2:]
    coefficients = torch.fft.rfft2(images, norm="ortho")
    energy = (coefficients.real.square() + coefficients.imag.square()).sum(1)
    twins = energy[..., 1 : (width + 1) // 2]  # rfft2 leaves out their negative frequencies
    twins *= 2
    bands = frequency_bands(height, width, images.device).flatten()
    sums: Tensor = energy.new_zeros(len(images), BANDS).index_add_(1, bands, energy.flatten(1))
    return sums


def scale_bands(
    images: Float[Tensor, "b 3 h w"], factors: Float[Tensor, "b bands"]
) -> Float[Tensor, "b 3 h w"]:
    """Multiply each band of each picture by a factor; a symmetric linear map of pictures."""
    height, width = images.shape[-2:]
    of_coefficients = factors[:, frequency_bands(height, width, images.device)].unsqueeze(1)
    coefficients = torch.fft.rfft2(images) * of_coefficients
    scaled: Tensor = torch.fft.irfft2(coefficients, s=(height, width))
    return scaled


@functools.lru_cache(KEPT)
def frequencies_of_bands(
    height: int, width: int, power: float, device: torch.device
) -> Float[Tensor, " bands"]:
    """Return the mean over each band of a power of the frequency; 0 for an empty band."""
    bands = frequency_bands(height, width, device).flatten()
    powers = (_frequencies(height, width, device) ** power).flatten()
    sums: Tensor = powers.new_zeros(BANDS).index_add_(0, bands, powers)
    counts = powers.new_zeros(BANDS).index_add_(0, bands, torch.ones_like(powers))
    return sums / counts.clamp(min=1)


def _frequencies(height: int, width: int, device: torch.device) -> Tensor:
    """Return the frequency of each coefficient of a real picture's FFT, in periods per pixel."""
    down = torch.fft.fftfreq(height, device=device)[:, None]
    across = torch.fft.rfftfreq(width, device=device)[None]
    frequency: Tensor = (down.square() + across.square()).sqrt()
    return frequency.clamp(min=1 / max(height, width))
