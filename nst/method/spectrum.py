"""Pictures in terms of their frequencies."""

from __future__ import annotations

import functools
import math

import torch

from nst.network.shapes import Float, Tensor

BANDS = 16  # of frequencies, as wide as each other on a logarithmic scale
KEPT = 8  # sizes of which the bands are kept: each step of an optimiser asks for the same


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

    Shaped as ``torch.fft.rfft2`` has them, ``height, width // 2 + 1``. The bands go from one period
    per image to half a period per pixel; what is beyond, in the corners, is in the last.
    """
    lowest = math.log(1 / max(height, width))
    position = (_frequencies(height, width, device).log() - lowest) / (math.log(0.5) - lowest)
    # Frequencies lie on the edges, as 2 of 8 px, and are not to fall by how a logarithm rounds.
    return (position * BANDS + 1e-4).long().clamp(max=BANDS - 1)


def energy_by_band(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b bands"]:
    """Return the sum of squares of what each picture has in each band; all bands make its own."""
    height, width = images.shape[-2:]
    coefficients = torch.fft.rfft2(images, norm="ortho")
    energy = (coefficients.real.square() + coefficients.imag.square()).sum(1)
    twins = energy[..., 1 : (width + 1) // 2]  # the others, of negative frequency, are left out
    twins *= 2
    bands = frequency_bands(height, width, images.device).flatten()
    sums: Tensor = energy.new_zeros(len(images), BANDS).index_add_(1, bands, energy.flatten(1))
    return sums


def scale_bands(
    images: Float[Tensor, "b 3 h w"], factors: Float[Tensor, "b bands"]
) -> Float[Tensor, "b 3 h w"]:
    """Multiply what each picture has in each band by a factor; symmetric, as a map of pictures."""
    height, width = images.shape[-2:]
    of_coefficients = factors[:, frequency_bands(height, width, images.device)].unsqueeze(1)
    coefficients = torch.fft.rfft2(images) * of_coefficients
    scaled: Tensor = torch.fft.irfft2(coefficients, s=(height, width))
    return scaled


@functools.lru_cache(KEPT)
def frequencies_of_bands(
    height: int, width: int, power: float, device: torch.device
) -> Float[Tensor, " bands"]:
    """Return the mean over each band of a power of the frequency; 0 for a band without any."""
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
