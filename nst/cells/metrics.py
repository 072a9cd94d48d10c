"""Measures of a picture that no cell optimises: pure functions that are the same for all cells.

``structural_similarity`` compares the structure of a picture with the content, and
``feature_distance`` its features at each position. ``patch_distance`` compares its patches with the
style, wherever they occur, and ``colour_quantiles`` serves to compare its colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from nst.errors import ImageError
from nst.imaging.srgb import check_mode
from nst.method.distributions import (
    at_levels,
    counted_features,
    counted_positions,
    directions,
    sampled,
)
from nst.method.regions import weights_at
from nst.network.kernels import halve
from nst.network.tensors import Float, Tensor

SSIM_TAPS = 11
SSIM_SIGMA = 1.5  # px; this and SSIM_TAPS are from Wang et al. (2004)
PATCH = 7  # px per side
PATCH_DIRECTIONS = 64
SMALLEST = 32  # px: about the longer side of the last octave whose patches are compared
LEAST_DEVIATION = 1 / 255  # a level of 8 bits: the deviation of a style of one colour is 0
COLOUR_DIRECTIONS = 12
POSITIONS = 128 * 128  # at most, sampled; sorting the positions of a large picture takes long
Mask = Float[Tensor, "1 1 _h _w"] | None  # of a picture's pixels, in [0, 1]; None: all pixels count
LEVELS = 1024  # quantiles of a distribution, so that sets of different sizes can be compared
SEED = 2004


def structural_similarity(picture: Image.Image, content: Image.Image) -> float | None:
    """Return the mean SSIM of the luma of two pictures of one size; higher is better.

    Wang, Bovik, Sheikh and Simoncelli (2004), with their 11-tap Gaussian window of sigma 1.5 px
    and their constants. It lies in [-1, 1]: 1 for equal luma, about 0 for nothing in common.
    ``None`` if a side is shorter than the window.

    Raises:
        ImageError: the sizes differ, or the picture has another mode than RGB.
    """
    from skimage.metrics import structural_similarity as ssim  # noqa: PLC0415  (loads SciPy)

    check_mode(picture)
    if picture.size != content.size:
        raise ImageError(
            f"SSIM compares pictures of one size; got {picture.size} and {content.size} px. "
            "Stretch the content to the picture."
        )
    if min(picture.size) < SSIM_TAPS:
        return None
    lumas = [np.asarray(one.convert("L")) for one in (picture, content)]
    return float(
        ssim(  # type: ignore[no-untyped-call]
            *lumas,
            data_range=255,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            win_size=SSIM_TAPS,
            use_sample_covariance=False,
        )
    )


def feature_distance(
    generated: Float[Tensor, "1 c h w"], target: Float[Tensor, "1 c h w"]
) -> Float[Tensor, ""]:
    """Return the squared difference of unit features: sum over channels, mean over positions.

    The features of each position are scaled to length 1, so only their mixture counts; 0 stays 0.
    Zhang et al. (2018), equation 1, for one layer. All channels have the same weight, because their
    calibrated weights exist only for their own networks. The distance lies in [0, 2] after a ReLU;
    it is 0 for equal features.
    """
    unit, wanted = (functional.normalize(one, dim=1, eps=1e-10) for one in (generated, target))
    return (unit - wanted).square().sum(1).mean()


def quantiles(points: Float[Tensor, "n d"], along: Float[Tensor, "k d"]) -> Float[Tensor, "k q"]:
    """Return ``LEVELS`` quantiles of the points' distribution along each direction.

    Level q is (q + ½) / ``LEVELS``. Linear interpolation between the sorted values makes sets of
    different sizes comparable. The order of the points does not matter.
    """
    return at_levels(along.to(points) @ points.T, LEVELS)


def sliced_wasserstein(
    generated: Float[Tensor, "k q"], target: Float[Tensor, "k q"]
) -> Float[Tensor, ""]:
    """Return the distance of two distributions from their quantiles along the same directions.

    The sliced 2-Wasserstein distance of Bonneel et al. (2015), which Heitz et al. (2021) use to
    measure style. In one dimension, the cheapest way to move one distribution onto the other pairs
    equal quantiles. The result is the root mean square of their differences over all directions.
    """
    return (generated - target).square().mean().sqrt()


@dataclass(frozen=True)
class PatchTarget:
    """The distribution of a style's patches at one octave.

    ``mean`` and ``deviation`` standardise the colours, ``spreads`` the projections of patches.
    """

    mean: Float[Tensor, "1 3 1 1"]
    deviation: Float[Tensor, "1 3 1 1"]
    spreads: Float[Tensor, "k 1"]
    quantiles: Float[Tensor, "k q"]


def measure_patches(style: Float[Tensor, "1 3 h w"], mask: Mask = None) -> list[PatchTarget]:
    """Measure the patches of a style, RGB in [0, 1], at each octave, from the full size down.

    With a ``mask``, only patches whose centre lies in it count.
    """
    targets = []
    for octave in _octaves(style):
        pixels = octave.flatten(2)  # 1 3 h*w
        inside = counted_positions(weights_at(mask, (octave.shape[2], octave.shape[3])))
        pixels = (pixels if inside is None else pixels[..., inside])[..., None]
        deviation, mean = torch.std_mean(pixels, dim=(2, 3), correction=0, keepdim=True)
        deviation = deviation.clamp(min=LEAST_DEVIATION)
        projected = _project((octave - mean) / deviation, mask)
        spreads = projected.std(1, correction=0, keepdim=True).clamp(min=LEAST_DEVIATION)
        found = at_levels(projected / spreads, LEVELS)
        targets.append(PatchTarget(mean, deviation, spreads, found))
    return targets


def patch_distance(
    picture: Float[Tensor, "1 3 h w"], targets: Sequence[PatchTarget], mask: Mask = None
) -> Float[Tensor, ""]:
    """Return the distance of a picture's patches from a style's, in the style's deviations.

    This is the sliced Wasserstein distance of the patches of 7x7 px, averaged over octaves. Colours
    are standardised by the style's mean and deviation, and the projections on each of 64 fixed
    directions by the style's deviation along it. No network is involved. This is the measure of
    Karras et al. (2018, section 5) for generated images, with octaves instead of the levels of a
    Laplacian pyramid, and that of Elnekave and Weiss (2022). The distance is 0 for the style
    itself. With a ``mask``, only patches whose centre lies in it count. The style that the
    ``targets`` are measured in must have as many octaves as the picture.
    """
    distances = []
    for octave, target in zip(_octaves(picture), targets, strict=True):
        projected = _project((octave - target.mean) / target.deviation, mask)
        found = at_levels(projected / target.spreads, LEVELS)
        distances.append(sliced_wasserstein(found, target.quantiles))
    return torch.stack(distances).mean()


def _octaves(picture: Float[Tensor, "1 3 h w"]) -> Iterator[Float[Tensor, "1 3 _h _w"]]:
    """Yield a picture and its successive halvings down to about ``SMALLEST``.

    A picture that is narrower than a patch is padded by repeating its last row or column.
    """
    for number in range(1 + max(0, round(math.log2(max(picture.shape[-2:]) / SMALLEST)))):
        picture = halve(picture) if number else picture
        height, width = picture.shape[-2:]
        missing = (0, max(0, PATCH - width), 0, max(0, PATCH - height))
        picture = functional.pad(picture, missing, mode="replicate")
        yield picture


def _project(octave: Float[Tensor, "1 3 h w"], mask: Mask) -> Float[Tensor, "k n"]:
    """Project patches on each direction; sample at most ``POSITIONS`` of them."""
    windows = octave[0].unfold(1, PATCH, 1).unfold(2, PATCH, 1)  # 3 rows columns 7 7, a view
    middles = weights_at(mask, (octave.shape[2], octave.shape[3]))
    reach = PATCH // 2
    positions = counted_positions(
        None if middles is None else middles[..., reach:-reach, reach:-reach]
    )
    if positions is None:
        positions = torch.arange(windows.shape[1] * windows.shape[2])
    chosen = sampled(positions, POSITIONS, SEED)
    rows, columns = chosen // windows.shape[2], chosen % windows.shape[2]
    patches = windows[:, rows, columns].transpose(0, 1).flatten(1)  # n 3*7*7
    along = directions(3 * PATCH * PATCH, PATCH_DIRECTIONS, SEED).contiguous()
    return along.to(octave) @ patches.T


def colour_quantiles(picture: Float[Tensor, "1 3 h w"], mask: Mask = None) -> Float[Tensor, "k q"]:
    """Return the quantiles of the colours of a picture, RGB in [0, 1], in CIELAB, in units of ΔE.

    They are scaled so that ``sliced_wasserstein`` of two pictures is d if one has all the colours
    of the other, shifted by d. Black to white is 100; the eye can just see a difference of about 2.
    With a ``mask``, only the colours within it count.
    """
    from skimage.color import rgb2lab  # noqa: PLC0415  (loads SciPy)

    pixels = sampled(counted_features(picture, counted_positions(mask))[0], POSITIONS, SEED)
    lab = torch.from_numpy(rgb2lab(pixels.numpy()))
    return quantiles(lab, directions(3, COLOUR_DIRECTIONS, SEED)) * 3**0.5
