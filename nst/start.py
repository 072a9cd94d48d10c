"""The picture that optimisation starts from."""

from __future__ import annotations

import torch

from nst.settings import Settings
from nst.shapes import Float, Tensor


def start_image(
    settings: Settings, content: Float[Tensor, "1 3 h w"], style: Float[Tensor, "1 3 _h _w"]
) -> Float[Tensor, "1 3 h w"]:
    """Return the start that the settings ask for: RGB in [0, 1], of the content's size.

    ``recoloured`` is the content in the style's colours, ``content`` the content itself and
    ``noise`` a uniform grey noise drawn from the seed. The noise is drawn on the CPU, so that it
    is the same on every device.
    """
    match settings.start:
        case "recoloured":
            return recolour(content, style)
        case "content":
            return content.clone()
        case "noise":
            generator = torch.Generator().manual_seed(settings.seed)
            return torch.rand(content.shape, generator=generator).to(content.device)


def recolour(
    content: Float[Tensor, "1 3 h w"], style: Float[Tensor, "1 3 _h _w"]
) -> Float[Tensor, "1 3 h w"]:
    """Give the content the style's mean and covariance of colour, then clamp to [0, 1].

    The linear Monge-Kantorovich map of Pitié and Kokaram (2007): of all the linear maps that fit,
    the one that changes the colours least.
    """
    content_mean, content_covariance = _colour_statistics(content)
    style_mean, style_covariance = _colour_statistics(style)
    root = _matrix_power(content_covariance, 0.5)
    inverse_root = _matrix_power(content_covariance, -0.5)
    transform = inverse_root @ _matrix_power(root @ style_covariance @ root, 0.5) @ inverse_root
    colours = transform @ (content.flatten(2)[0].double() - content_mean) + style_mean
    return colours.view_as(content).to(content.dtype).clamp(0, 1)


def _colour_statistics(
    image: Float[Tensor, "1 3 _h _w"],
) -> tuple[Float[Tensor, "3 1"], Float[Tensor, "3 3"]]:
    """Return the mean and covariance of the pixels' RGB, in float64."""
    colours = image.flatten(2)[0].double()
    mean = colours.mean(1, keepdim=True)
    centred = colours - mean
    # The floor lets a grey or one-coloured image have an inverse.
    return mean, centred @ centred.T / colours.shape[1] + 1e-5 * torch.eye(3).to(colours)


def _matrix_power(matrix: Float[Tensor, "3 3"], power: float) -> Float[Tensor, "3 3"]:
    """Raise a symmetric positive matrix to a real power."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=1e-12) ** power) @ vectors.T
    return root
