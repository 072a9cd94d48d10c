"""The colours of a result: the style's, the content's, or a mix of both.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving color in neural artistic style transfer" (2016),
and Kolkin et al., "Neural neighbor style transfer" (2022).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch.nn import functional

from nst.config.settings import ColoursName
from nst.method.regions import Region, put_together
from nst.network.tensors import Float, Tensor

LUMA = (0.299, 0.587, 0.114)  # weights of R'G'B', ITU-R BT.601, as in YIQ
# OkLab (Ottosson, 2020): RGB to cones, and the cube roots of these to lightness and chroma.
TO_CONES = (
    (0.4121656120, 0.5362752080, 0.0514575653),
    (0.2118591070, 0.6807189584, 0.1074065790),
    (0.0883097947, 0.2818474174, 0.6302613616),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)
LEAST_VARIANCE = 1e-4  # added to that of chroma, so that a grey picture's covariance is invertible
SMOOTHINGS, EDGES = 5, 10.0  # rounds of averaging chroma, and how sharply lightness stops it


def prepare_content(
    content: Float[Tensor, "1 3 h w"], colours: ColoursName
) -> Float[Tensor, "1 3 h w"]:
    """Return the content, RGB in [0, 1], for the comparison: only its luma for ``luminance``."""
    return luma(content).expand_as(content) if colours == "luminance" else content


def prepare_style(
    style: Float[Tensor, "1 3 _H _W"], content: Float[Tensor, "1 3 _h _w"], colours: ColoursName
) -> Float[Tensor, "1 3 _H _W"]:
    """Return a style, RGB in [0, 1], in the colours for the comparison with a content.

    ``content``: in the content's colours. ``luminance``: its luma, matched to the mean and standard
    deviation of the content's luma.
    """
    if colours == "content":
        return recolour(style, content)
    if colours == "luminance":
        ours, theirs = luma(content), luma(style)
        matched = (theirs - theirs.mean()) * (ours.std() / theirs.std().clamp(min=1e-5))
        return (matched + ours.mean()).clamp(0, 1).expand_as(style)
    return style


def restore_colours(
    images: Float[Tensor, "b 3 h w"],
    content: Float[Tensor, "1 3 h w"],
    regions: Sequence[Region],
    colours: ColoursName,
) -> Float[Tensor, "b 3 h w"]:
    """Return results with the content's chroma, if only the luma was transferred.

    ``recoloured``: ``recolour_chroma`` maps the content's chroma, region by region.
    """
    if colours == "recoloured":
        return put_together(regions, images, lambda style: recolour_chroma(images, content, style))
    if colours != "luminance":
        return images
    return (luma(images) + content - luma(content)).clamp(0, 1)


def recolour_chroma(
    images: Float[Tensor, "b 3 h w"],
    content: Float[Tensor, "1 3 h w"],
    style: Float[Tensor, "1 3 _h _w"],
) -> Float[Tensor, "b 3 h w"]:
    """Keep the lightness of results, and give them the content's chroma, matched to the style's.

    This is the last step of the program of Kolkin et al. (2022), in OkLab of RGB values that are
    not linearised. The content's chroma gets the style's mean and covariance. It is then averaged
    within edges of the result's lightness. Lightness and chroma are clamped to the style's range.
    """
    result, given, wanted = (to_oklab(one) for one in (images, content, style))
    lowest, highest = wanted.amin((2, 3), keepdim=True), wanted.amax((2, 3), keepdim=True)
    lightness = result[:, :1].clamp(lowest[:, :1], highest[:, :1])
    chroma = _smoothed(_matched(given[:, 1:], wanted[:, 1:]), lightness)
    chroma = chroma.clamp(lowest[:, 1:], highest[:, 1:])
    return from_oklab(torch.cat([lightness, chroma], 1))


def to_oklab(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return lightness and chroma (two axes) of RGB in [0, 1]."""
    cones = _mixed(images.clamp(0, 1), images.new_tensor(TO_CONES))
    return _mixed(cones.pow(1 / 3), images.new_tensor(TO_LAB))


def from_oklab(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return RGB, clamped to [0, 1], of lightness and chroma (two axes)."""
    to_lab, to_cones = (torch.tensor(one, dtype=torch.float64) for one in (TO_LAB, TO_CONES))
    cones = _mixed(images, to_lab.inverse().to(images)).pow(3)
    return _mixed(cones, to_cones.inverse().to(images)).clamp(0, 1)


def _mixed(images: Float[Tensor, "b 3 h w"], matrix: Float[Tensor, "3 3"]) -> Tensor:
    """Mix the channels of each pixel."""
    return functional.conv2d(images, matrix[:, :, None, None])


def _matched(
    chroma: Float[Tensor, "1 2 h w"], wanted: Float[Tensor, "1 2 _h _w"]
) -> Float[Tensor, "1 2 h w"]:
    """Give chroma the mean and covariance of ``wanted``: whiten it, then colour it."""
    (mean, covariance), (theirs, other) = (
        colour_statistics(one, LEAST_VARIANCE) for one in (chroma, wanted)
    )
    transform = matrix_power(other, 0.5) @ matrix_power(covariance, -0.5)
    return (transform @ (exact_colours(chroma) - mean) + theirs).view_as(chroma).to(chroma)


def _smoothed(
    chroma: Float[Tensor, "1 2 h w"], lightness: Float[Tensor, "b 1 h w"]
) -> Float[Tensor, "b 2 h w"]:
    """Average each pixel's chroma with its neighbours of nearly the same lightness."""
    weights = [(-EDGES * (lightness - one).abs()).exp() for one in _neighbours(lightness)]
    total = functools.reduce(torch.add, weights)
    for _ in range(SMOOTHINGS):
        pairs = zip(weights, _neighbours(chroma), strict=True)
        chroma = functools.reduce(torch.add, [weight * one for weight, one in pairs]) / total
    return chroma


def _neighbours(values: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b c h w"]]:
    """Return the values shifted to each of the nine places of a 3x3 window."""
    height, width = values.shape[-2:]
    padded = functional.pad(values, (1, 1, 1, 1), mode="replicate")
    return [
        padded[:, :, down : down + height, across : across + width]
        for down in range(3)
        for across in range(3)
    ]


def luma(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return the weighted mean of red, green and blue."""
    weights = torch.tensor(LUMA).to(images).view(1, 3, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def recolour(
    content: Float[Tensor, "1 3 h w"], style: Float[Tensor, "1 3 _h _w"]
) -> Float[Tensor, "1 3 h w"]:
    """Give the content the style's mean and covariance of colour, then clamp to [0, 1].

    The linear Monge-Kantorovich map of Pitié and Kokaram (2007): of all the linear maps that fit,
    the one that changes the colours least.
    """
    content_mean, content_covariance = colour_statistics(content)
    style_mean, style_covariance = colour_statistics(style)
    root = matrix_power(content_covariance, 0.5)
    inverse_root = matrix_power(content_covariance, -0.5)
    transform = inverse_root @ matrix_power(root @ style_covariance @ root, 0.5) @ inverse_root
    colours = transform @ (exact_colours(content) - content_mean) + style_mean
    return colours.view_as(content).to(content).clamp(0, 1)


def colour_statistics(
    image: Float[Tensor, "1 c _h _w"], floor: float = 1e-5
) -> tuple[Float[Tensor, "c 1"], Float[Tensor, "c c"]]:
    """Return the mean and covariance of the pixels' channels, in float64 on the CPU."""
    colours = exact_colours(image)
    mean = colours.mean(1, keepdim=True)
    centred = colours - mean
    # The floor makes the covariance of a grey or one-coloured image invertible.
    return mean, centred @ centred.T / colours.shape[1] + floor * torch.eye(len(mean)).to(colours)


def exact_colours(image: Float[Tensor, "1 c h w"]) -> Float[Tensor, "c _n"]:
    """Return the pixels' channels in float64, on the CPU: MPS supports neither float64 nor eigh."""
    return image.flatten(2)[0].cpu().double()


def matrix_power(matrix: Float[Tensor, "c c"], power: float) -> Float[Tensor, "c c"]:
    """Raise a symmetric positive matrix to a real power."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=1e-12) ** power) @ vectors.T
    return root
