"""The picture that optimisation starts from."""

from __future__ import annotations

import torch
from torch.nn import functional

from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method.colours import colour_statistics, exact_colours, matrix_power, recolour
from nst.method.spectrum import favour_low_frequencies
from nst.network.extractor import CAFFE_MEAN
from nst.network.tensors import Float, Tensor


def start_image(
    settings: Settings,
    content: Float[Tensor, "1 3 h w"],
    style: Float[Tensor, "1 3 _h _w"],
    file: Float[Tensor, "1 3 h w"] | None = None,
) -> Float[Tensor, "1 3 h w"]:
    """Return the start that the settings ask for: RGB, of the content's size.

    ``recoloured`` is the content in the style's colours, mixed with ``start_noise`` parts of 1/f
    noise in these colours. Without noise, strokes have nowhere to begin in a flat sky.
    ``detail`` is the style's mean colour with the content's finest detail.
    ``noise`` is uniform white noise, ``blended_noise`` the content with ``start_noise`` parts of
    faint white noise, ``grey`` ImageNet's mean colour with normal noise of the standard deviation
    ``start_noise``, ``style`` the style stretched over the content's shape. ``content`` and
    ``file`` are these images themselves.
    """
    device = content.device
    # On the CPU, so that a seed gives the same start for every device.
    content, style = content.cpu(), style.cpu()
    generator = torch.Generator().manual_seed(settings.seed)
    match settings.start:
        case "content":
            start = content.clone()
        case "file":
            if file is None:
                raise ConfigError("start: file needs the path of an image, as start_file")
            start = file.clone()
        case "detail":
            start = style.mean((2, 3), keepdim=True) + finest_detail(content)
        case "style":
            size = content.shape[-2:]
            start = functional.interpolate(style, size=size, mode="bicubic", antialias=True)
        case "noise":
            start = torch.rand(content.shape, generator=generator).to(content)
        case "blended_noise":
            noise = torch.rand(content.shape, generator=generator).to(content)
            start = blend(content, noise, settings.start_noise)
        case "grey":
            noise = torch.randn(content.shape, generator=generator).to(content)
            start = mean_colour(content) + settings.start_noise * noise
        case "recoloured":
            noise = pink_noise(content.shape[2], content.shape[3], generator).to(content)
            start = recolour(mix(content, noise, settings.start_noise), style)
    return start.to(device)


def finest_detail(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Return the finest level of an image's Laplacian pyramid: the detail lost at half its size."""
    height, width = image.shape[-2:]
    half = functional.interpolate(image, (height // 2, width // 2), mode="bilinear")
    return image - functional.interpolate(half, (height, width), mode="bilinear")


def blend(
    content: Float[Tensor, "1 3 h w"], noise: Float[Tensor, "1 3 h w"], share: float
) -> Float[Tensor, "1 3 h w"]:
    """Blend the content with noise of ±20 levels of 255 around ImageNet's mean colour.

    ``noise`` is uniform in [0, 1]. The start of the Coursera exercise, which does this on
    mean-subtracted colours from 0 to 255.
    """
    mean = mean_colour(content)
    return mean + share * (2 * noise - 1) * (20 / 255) + (1 - share) * (content - mean)


def mean_colour(like: Float[Tensor, "1 3 h w"]) -> Float[Tensor, "1 3 1 1"]:
    """Return ImageNet's mean colour."""
    return torch.tensor(CAFFE_MEAN).to(like).view(1, 3, 1, 1)


def mix(
    image: Float[Tensor, "1 3 h w"], noise: Float[Tensor, "1 3 h w"], share: float
) -> Float[Tensor, "1 3 h w"]:
    """Replace a share of an image's variance by noise in its own colours.

    ``noise`` has mean 0 and variance 1. The mean and covariance of the colours stay as they are.
    """
    mean, covariance = colour_statistics(image)
    colours = exact_colours(image) - mean
    grains = matrix_power(covariance, 0.5) @ exact_colours(noise)
    mixed: Tensor = (1 - share) ** 0.5 * colours + share**0.5 * grains + mean
    return mixed.view_as(image).to(image)


def pink_noise(height: int, width: int, generator: torch.Generator) -> Float[Tensor, "1 3 h w"]:
    """Draw noise whose amplitude falls as 1/frequency, with mean 0 and standard deviation 1.

    Photographs and paintings have this spectrum, so the noise has detail at every size of stroke.
    """
    white = torch.randn(1, 3, height, width, generator=generator)
    pink = favour_low_frequencies(white)
    return (pink - pink.mean()) / pink.std()
