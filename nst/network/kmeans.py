"""Fit a VGG-shaped network to a run's own images in seconds, without a download.

Each convolution's filters are the centroids of the whitened 3x3 patches of its own input, found by
spherical k-means (Coates and Ng, "Learning Feature Representations with K-means", 2012). Each
filter is scaled to a mean activation of 1 over the images, as Gatys et al. (2016) did with VGG-19.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from nst.config.layers import KMEANS, Architecture
from nst.errors import ExtractorError
from nst.network.extractor import Extractor
from nst.network.kernels import halve
from nst.network.tensors import Float, Tensor

PATCHES = 40_000  # in all, shared equally between the images and their octaves
OCTAVES = 3
COMPONENTS = 256  # the most principal components kept of each patch
ROUNDS = 12


def fit_kmeans(
    images: Sequence[Float[Tensor, "1 3 _h _w"]],
    seed: int,
    architecture: Architecture = KMEANS,
    patches: int = PATCHES,
) -> Extractor:
    """Fit each convolution in turn to the outputs of the convolutions before it on ``images``.

    The images are RGB in [0, 1] and may differ in size; 256 px on the long side is enough. Each
    image is used at ``OCTAVES`` octaves, as far as the deepest block allows, since styles are
    compared at octaves. The same images and seed give the same network.

    Raises:
        ExtractorError: there are no images, or one is too small for the deepest block.
    """
    if not images:
        raise ExtractorError("kmeans is fitted to images, and none were given; name at least one")
    extractor = Extractor(architecture).eval()
    generator = torch.Generator().manual_seed(seed)
    octaves = [octave for image in images for octave in _octaves(image, architecture)]
    activations = [extractor.input(octave) for octave in octaves]
    for name, convolution in extractor.convolutions.items():
        if name.endswith("_1") and name != "conv1_1":
            activations = [functional.avg_pool2d(activation, 2) for activation in activations]
        assert isinstance(convolution, nn.Conv2d)
        _fit_convolution(convolution, activations, patches // len(octaves), generator)
        activations = [functional.relu(convolution(activation)) for activation in activations]
        # The mean of each channel over all the positions of all the images; never zero.
        total = torch.stack([activation.sum((0, 2, 3)) for activation in activations]).sum(0)
        positions = sum(activation[0, 0].numel() for activation in activations)
        scale = (total / positions).clamp(min=1e-6)
        convolution.weight.div_(scale[:, None, None, None])
        convolution.bias.div_(scale)  # type: ignore[union-attr]
        activations = [activation / scale[:, None, None] for activation in activations]
    return extractor


def _octaves(
    image: Float[Tensor, "1 3 _h _w"], architecture: Architecture
) -> list[Float[Tensor, "1 3 _H _W"]]:
    """Return an image and its octaves that are large enough; raise if the image itself is not."""
    architecture.check(architecture.layers[-1:], min(image.shape[-2:]))
    octaves = [image]
    while len(octaves) < OCTAVES and min(image.shape[-2:]) // 2 >= 2 ** len(architecture.widths):
        image = halve(image)
        octaves.append(image)
    return octaves


def _fit_convolution(
    convolution: nn.Conv2d, activations: Sequence[Tensor], count: int, generator: torch.Generator
) -> None:
    """Set the filters to the centroids of the whitened patches of ``activations``."""
    patches = torch.cat([_sample_patches(one, count, generator) for one in activations])
    mean = patches.mean(0)
    centred = patches.sub_(mean)  # in place: the patches are the largest tensor of a fit
    whitening = _whitening(centred)
    centroids = _cluster(centred @ whitening.T, convolution.out_channels, generator)
    filters = centroids @ whitening
    convolution.weight.copy_(filters.view_as(convolution.weight))
    convolution.bias.copy_(-filters @ mean)  # type: ignore[union-attr]


def _sample_patches(
    activation: Float[Tensor, "1 c h w"], count: int, generator: torch.Generator
) -> Float[Tensor, "count c*9"]:
    """Draw 3x3 patches at random positions, with replacement."""
    _, _, height, width = activation.shape
    padded = functional.pad(activation, (1, 1, 1, 1), mode="reflect")[0]
    by_position = padded.permute(1, 2, 0).contiguous()  # h w c: whole positions are copied faster
    rows = torch.randint(height, (count,), generator=generator)
    columns = torch.randint(width, (count,), generator=generator)
    offsets = torch.arange(3)
    patches = by_position[
        (rows[:, None] + offsets)[:, :, None], (columns[:, None] + offsets)[:, None]
    ]  # (count, 3, 3, c)
    return patches.flatten(1, 2).transpose(1, 2).flatten(1)


def _whitening(centred: Float[Tensor, "n d"]) -> Float[Tensor, "k d"]:
    """Return the map onto the principal components, each scaled to about unit variance."""
    covariance = centred.T @ centred / len(centred)
    eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
    kept = slice(-COMPONENTS, None)
    # The floor prevents noise in the flattest directions from being amplified to full size.
    floor = 0.1 * eigenvalues.mean().clamp(min=1e-8)
    whitening: Tensor = eigenvectors[:, kept] / (eigenvalues[kept] + floor).sqrt()
    return whitening.T.contiguous()


def _cluster(
    points: Float[Tensor, "n k"], count: int, generator: torch.Generator
) -> Float[Tensor, "count k"]:
    """Cluster by spherical k-means with signed cosine; restart a centroid without near points."""
    start = torch.randint(len(points), (count,), generator=generator)
    centroids = functional.normalize(points[start])
    for _ in range(ROUNDS):
        similarity, nearest = (points @ centroids.T).max(1)
        sums = torch.zeros_like(centroids).index_add_(
            0, nearest, points * similarity.clamp(min=0)[:, None]
        )
        dead = sums.norm(dim=1) < 1e-6
        fresh = torch.randint(len(points), (count,), generator=generator)
        sums[dead] = points[fresh][dead]
        centroids = functional.normalize(sums)
    return centroids
