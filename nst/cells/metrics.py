"""Measures of a picture that no cell optimises, each a pure function with one meaning for all.

A picture is compared with the content in structure (``structural_similarity``) and in what the
network sees at each place (``feature_distance``); with the style in which features occur anywhere
(``quantiles`` of their projections) and in which colours (``colour_quantiles``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from nst.errors import ImageError
from nst.imaging.images import check_mode
from nst.network.shapes import Float, Tensor

SSIM_TAPS = 11
SSIM_SIGMA = 1.5  # px, with SSIM_TAPS as Wang et al. (2004) have it
FEATURE_DIRECTIONS = 16  # another seed moves style_distance by 1 to 2 %, all cells alike
COLOUR_DIRECTIONS = 12
PLACES = 128 * 128  # at most, drawn from a layer; sorting all of them would cost more than seeing
LEVELS = 1024  # of a distribution, at which two of different sizes are compared
SEED = 2004


def structural_similarity(picture: Image.Image, content: Image.Image) -> float | None:
    """Return the mean SSIM of the luma of two pictures of one size; higher is better.

    Wang, Bovik, Sheikh and Simoncelli (2004), with their 11-tap Gaussian window of sigma 1.5 px
    and their constants. It lies in [-1, 1]: 1 for equal luma, about 0 for nothing in common.
    ``None`` if a side is shorter than the window.

    Raises:
        ImageError: the sizes or modes differ.
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


def unit_features(features: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
    """Scale the features of each place to length 1, or leave them 0: only their mixture counts."""
    return functional.normalize(features, dim=1, eps=1e-10)


def feature_distance(
    generated: Float[Tensor, "1 c h w"], target: Float[Tensor, "1 c h w"]
) -> Float[Tensor, ""]:
    """Return the squared difference of unit features, summed over channels, averaged over places.

    Zhang et al. (2018), equation 1, for one layer and with all channels alike: their calibration
    exists for their own networks only. It lies in [0, 2] after a ReLU, and 0 is equal.
    """
    return (unit_features(generated) - target).square().sum(1).mean()


@cache
def directions(dimensions: int, count: int) -> Float[Tensor, "count d"]:
    """Draw fixed unit vectors, as many as possible of them at right angles.

    Those of an orthonormal basis catch every shift of a distribution in full, and estimate the
    sliced distance with less noise than independent ones do (Rowland et al., 2019).
    """
    generator = torch.Generator().manual_seed(SEED)
    bases = [
        torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
        for _ in range(-(-count // dimensions))
    ]
    return torch.cat(bases)[:count]


@cache
def _sample(places: int) -> Tensor:
    """Draw ``PLACES`` of so many places, always the same ones."""
    return torch.randperm(places, generator=torch.Generator().manual_seed(SEED))[:PLACES]


def sampled(points: Float[Tensor, "n d"]) -> Float[Tensor, "_m d"]:
    """Keep at most ``PLACES`` of the points, the same ones for every picture of a size."""
    if len(points) <= PLACES:
        return points
    return points[_sample(len(points)).to(points.device)]


def quantiles(points: Float[Tensor, "n d"], along: Float[Tensor, "k d"]) -> Float[Tensor, "k q"]:
    """Return the distribution of points along each direction, as its value at ``LEVELS`` levels.

    Level q is (q + ½) / ``LEVELS``, between the sorted values by linear interpolation, so that sets
    of different sizes can be compared. The order of the points does not matter.
    """
    ordered = (along.to(points) @ points.T).sort(dim=1).values
    return functional.interpolate(ordered[None], size=LEVELS, mode="linear")[0]


def feature_quantiles(features: Float[Tensor, "1 c h w"]) -> Float[Tensor, "k q"]:
    """Return the distribution of a layer's features over its places, wherever they occur."""
    points = sampled(features[0].flatten(1).T)  # (places, c)
    return quantiles(points, directions(features.shape[1], FEATURE_DIRECTIONS))


def sliced_wasserstein(
    generated: Float[Tensor, "k q"], target: Float[Tensor, "k q"]
) -> Float[Tensor, ""]:
    """Return how far two distributions are apart, from their quantiles along the same directions.

    The sliced 2-Wasserstein distance of Bonneel et al. (2015), the measure of style of Heitz et
    al. (2021): in one dimension, moving one distribution onto the other at least cost pairs equal
    quantiles; the root mean square of their differences is averaged over directions.
    """
    return (generated - target).square().mean().sqrt()


def relative_wasserstein(
    generated: Float[Tensor, "k q"], target: Float[Tensor, "k q"]
) -> Float[Tensor, ""]:
    """Return ``sliced_wasserstein`` over the target's root mean square, which has no unit.

    0 is the same distribution, 1 as far from it as a picture without features.
    """
    return sliced_wasserstein(generated, target) / target.square().mean().sqrt().clamp(min=1e-20)


def colour_quantiles(picture: Image.Image) -> Float[Tensor, "k q"]:
    """Return the distribution of a picture's colours in CIELAB, in units of ΔE.

    Scaled so that ``sliced_wasserstein`` of two of them is d if one has all the other's colours,
    shifted by d. Black to white is 100; about 2 is the least that an eye can tell.
    """
    from skimage.color import rgb2lab  # noqa: PLC0415  (loads SciPy)

    check_mode(picture)
    pixels = sampled(torch.from_numpy(np.array(picture)).reshape(-1, 3).float() / 255)
    lab = torch.from_numpy(rgb2lab(pixels.numpy()))
    return quantiles(lab, directions(3, COLOUR_DIRECTIONS)) * 3**0.5
