"""Whose colours a result has: the style's, the content's, or the content's in all but the luma.

Gatys, Bethge, Hertzmann and Shechtman, "Preserving color in neural artistic style transfer" (2016).
"""

from __future__ import annotations

import torch

from nst.config.settings import ColoursName
from nst.network.shapes import Float, Tensor

LUMA = (0.299, 0.587, 0.114)  # of R'G'B', ITU-R BT.601, as in YIQ


def prepare_content(
    content: Float[Tensor, "1 3 h w"], colours: ColoursName
) -> Float[Tensor, "1 3 h w"]:
    """Return the content, RGB in [0, 1], as it is compared: for ``luminance``, its luma alone."""
    return luma(content).expand_as(content) if colours == "luminance" else content


def prepare_style(
    style: Float[Tensor, "1 3 _H _W"], content: Float[Tensor, "1 3 _h _w"], colours: ColoursName
) -> Float[Tensor, "1 3 _H _W"]:
    """Return a style, RGB in [0, 1], in the colours in which it is compared with a content.

    ``content``: in the content's colours. ``luminance``: its luma, brought to the mean and
    deviation of the content's.
    """
    if colours == "content":
        return recolour(style, content)
    if colours == "luminance":
        ours, theirs = luma(content), luma(style)
        matched = (theirs - theirs.mean()) * (ours.std() / theirs.std().clamp(min=1e-5))
        return (matched + ours.mean()).clamp(0, 1).expand_as(style)
    return style


def restore_colours(
    images: Float[Tensor, "b 3 h w"], content: Float[Tensor, "1 3 h w"], colours: ColoursName
) -> Float[Tensor, "b 3 h w"]:
    """Return results with the content's chroma, if only the luma was transferred."""
    if colours != "luminance":
        return images
    return (luma(images) + content - luma(content)).clamp(0, 1)


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
    image: Float[Tensor, "1 3 _h _w"],
) -> tuple[Float[Tensor, "3 1"], Float[Tensor, "3 3"]]:
    """Return the mean and covariance of the pixels' RGB, as ``exact_colours`` are."""
    colours = exact_colours(image)
    mean = colours.mean(1, keepdim=True)
    centred = colours - mean
    # The floor lets a grey or one-coloured image have an inverse.
    return mean, centred @ centred.T / colours.shape[1] + 1e-5 * torch.eye(3).to(colours)


def exact_colours(image: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "3 _n"]:
    """Return the pixels' RGB in float64, on the CPU: MPS has neither that nor eigenvectors."""
    return image.flatten(2)[0].cpu().double()


def matrix_power(matrix: Float[Tensor, "3 3"], power: float) -> Float[Tensor, "3 3"]:
    """Raise a symmetric positive matrix to a real power."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=1e-12) ** power) @ vectors.T
    return root
