"""Compute the sizes of a run's pictures, and estimate the memory and the time that they take.

Sizes are (width, height) in px, and are known before any picture is read. The size of tiles depends
only on the picture, its layers and the network. The free memory of a machine must not affect how a
result is rounded.

The estimate of a job needs neither the images nor a measurement, since the workflow plans on a
machine that may differ from the one that computes. It assumes hardware of the last ten years. A job
that ran out of memory or time is submitted again and requests a multiple. ``nst plan`` measures
instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nst.config.layers import (
    HYPERCOLUMN,
    SAMPLED,
    Architecture,
    Size,
    halvings_of,
    split_octave,
)
from nst.config.settings import SIDE, Settings, longer_side

FLOAT = 4  # bytes
GIB = 2**30
FEATURE = 4 * FLOAT  # bytes: copies with gradients; 2.6 to 3.3 copies measured with VGG-19
OF_PICTURE = 5 * GIB  # the most memory for the features of a picture without tiles
OF_TILE = 2 * GIB  # the most memory for the features of a tile, without its margin
STEP = 64  # px; the side of a tile is a multiple
HISTORY = (3, 10)  # pairs: with 3, the loss after a print was 1 % higher; 20 or 40 gained 1 %
OF_HISTORY = 1 * GIB  # the most memory for a picture's pairs, unless the fewest pairs need more
# A multiply-add counts as two operations, and the gradient to the pixels costs as much as the
# features.
OPERATIONS = 4  # per multiply-add of an evaluation
FLOPS = {"cpu": 1e11, "gpu": 2e12}  # sustained in float32: half of two AVX-512 cores, half of a T4
FINISHING = 10  # evaluations that take as long as measuring and writing a cell; 7 to 11 measured
START = 10  # minutes: Python, torch and the network from a busy file system
BASE = 4000  # MB: Python, torch, the weights: 700 measured on a CPU; CUDA's libraries take more
PICTURES = 16  # float32 pictures of the result's size, in addition to the optimiser's history
TILES = 2  # in memory at once: a tile with its margin, and the remains of the previous tile
AGAIN = 1.5  # factor on the operations in tiles: features are computed twice, and margins are added
SEARCH = 4 * 2 * 2048  # operations per feature value, in the search for the style's nearest feature
OCTAVES = 4 / 3  # the most pixels of all octaves, in units of the picture's pixels
# With the 2435 features of VGG-19 at a sampled position, which are the most.
OPERATIONS_OF_SAMPLES = 1.2e11  # of a step: 1024 positions, each compared with 5000 of the style
BYTES_OF_SAMPLES = 8.1e8  # the content's features at 16 sets of positions, and a step's distances
MATCHED = 16  # hypercolumns held at once: the picture's, and the style's at four angles
STYLE_SHARE = 0.5  # of a content's memory per pixel: the style's features are not differentiated
MB_PER_FITTED_IMAGE = 25  # of 256 px; the features of all images are held together
SECONDS_PER_FITTED_IMAGE = 6.0


def fit_long(size: Size, longest: int) -> Size:
    """Return the size with the longer side ``longest``; the other is rounded, at least 1."""
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def content_size(content: Size, settings: Settings, size: int | Size) -> Size:
    """Return the size of the result for a content, at the stage of the size ``size``."""
    if isinstance(size, tuple):
        return size
    is_short = settings.size == "short_side"
    return fit_long(content, round(max(content) * size / min(content)) if is_short else size)


def style_size(style: Size, content: Size, settings: Settings) -> Size:
    """Return the size that a style is resized to, for a content that has its size already."""
    if settings.style_fit == "content":
        return content
    return fit_long(style, max(1, round(max(content) * settings.style_scale)))


def halvings(settings: Settings, size: int | Size) -> int:
    """Return the number of halvings between ``image_size`` and a stage's size."""
    return max(0, round(math.log2(longer_side(settings.image_size) / longer_side(size))))


def stages(
    settings: Settings, content: Size, style: Size, start: Size | None = None
) -> list[tuple[int | Size, int]]:
    """Return the sizes of a pair's stages in order, with the steps at each.

    Growth begins at the first size at which content and style have ``SIDE[0]`` px on the shorter
    side. This is enough for every layer, so the layers of other cells of the batch do not matter.
    A picture that starts from a file, of the size ``start``, skips the sizes up to ``start``: the
    file has their layout already.
    """
    least = max(start) if start and settings.start == "file" else 0

    def fits(size: int | Size) -> bool:
        result = content_size(content, settings, size)
        shortest: int = min(*result, *style_size(style, result, settings))
        return shortest >= SIDE[0] and max(result) > least

    left_out = [size for size, _ in settings.smaller if settings.growth and not fits(size)]
    return [(size, steps) for size, steps in settings.stages if size not in left_out]


def tile_side(settings: Settings, pixels: int | float) -> int | None:
    """Return the longest side of the tiles that a picture is computed in, or None for no tiles.

    Tiles need statistics that are sums over positions.
    """
    if settings.tile_size != "auto":
        return settings.tile_size if pixels > settings.tile_size**2 else None
    if settings.needs_all_positions:
        return None
    return fitting_side(settings.architecture, pixels)


def fitting_side(architecture: Architecture, pixels: int | float) -> int | None:
    """Return the side of the tiles that a network needs, or None if it needs no tiles.

    If the features of a picture take more than ``OF_PICTURE``, it is cut into tiles whose features
    take ``OF_TILE``. All layers count, so that a cell does not depend on the layers of other cells.
    """
    each = FEATURE * per_pixel(architecture.convolutions)
    if each * pixels <= OF_PICTURE:
        return None
    return math.floor(math.sqrt(OF_TILE / each) / STEP) * STEP


def remembered_pairs(pixels: int | float) -> int:
    """Return the number of pairs (step, change of gradient) that L-BFGS keeps for a picture."""
    fewest, most = HISTORY
    return max(fewest, min(most, math.floor(OF_HISTORY / (2 * 3 * FLOAT * pixels))))


def per_pixel(numbers: Mapping[str, int]) -> float:
    """Sum the numbers per position of convolutions, converted to numbers per pixel."""
    return math.fsum(number / 4 ** halvings_of(name) for name, number in numbers.items())


@dataclass(frozen=True)
class Allocation:
    """The main memory in MB and the run time in minutes that a job's first attempt requests."""

    mem_mb: int
    runtime: int


def allocate_pair(variants: Iterable[Settings], device: str) -> Allocation:
    """Estimate the job of a pair, which computes all its cells one after another.

    ``device`` is as in the configuration; ``auto`` counts as a GPU, which the job requests. The
    memory is that of a CPU run, which needs more main memory.
    """
    settings = list(variants)
    rate = FLOPS["cpu" if device == "cpu" else "gpu"]
    seconds = sum(_operations(one) for one in settings) / rate
    memory = max(_memory(one) for one in settings)
    return Allocation(BASE + math.ceil(memory / 1e6), START + math.ceil(seconds / 60))


def allocate_fit(images: int) -> Allocation:
    """Estimate the job that fits a network to a number of ``images``."""
    minutes = START + math.ceil(images * SECONDS_PER_FITTED_IMAGE / 60)
    return Allocation(BASE + images * MB_PER_FITTED_IMAGE, minutes)


def pixels(settings: Settings, size: int | Size, content: Size | None = None) -> int:
    """Return the pixels of a result for a content's size or shape; without it, an upper bound."""
    widest = (2, 1) if settings.size == "short_side" else (1, 1)
    return math.prod(content_size(content or widest, settings, size))


def evaluations(settings: Settings, content: Size | None = None) -> list[tuple[int, int]]:
    """List the pixels and the evaluations of a cell's stages, with ``FINISHING`` at the end."""
    stages = [*settings.stages, (settings.image_size, FINISHING)]
    return [(pixels(settings, size, content), steps) for size, steps in stages]


def _operations(settings: Settings) -> float:
    """Count the floating-point operations of a cell, over all its stages."""
    operations = OPERATIONS * OCTAVES * _multiply_adds(settings)
    if settings.style_loss == "nearest":
        operations += SEARCH * per_pixel(_layers(settings))
    evaluated = sum(
        steps * count * (1.0 if tile_side(settings, count) is None else AGAIN)
        for count, steps in evaluations(settings)
    )
    steps = sum(steps for _, steps in settings.stages)
    sampled = OPERATIONS_OF_SAMPLES if SAMPLED in _layer_names(settings) else 0
    return operations * evaluated + sampled * steps


def _memory(settings: Settings) -> float:
    """Return the bytes of a cell's features, gradients and workspaces at its final size.

    With tiles, the features are those of the largest tiles; all other tensors have the picture's
    size.
    """
    content = pixels(settings, settings.image_size)
    style = content if settings.style_fit == "content" else content * settings.style_scale**2
    seen = max(content, STYLE_SHARE * style) * OCTAVES
    side = tile_side(settings, content)
    if side is not None:
        seen = min(seen, TILES * side**2)
    pictures = PICTURES + 2 * remembered_pairs(content)
    names, widths = _layer_names(settings), _layers(settings)
    features = FEATURE * per_pixel(widths)
    if HYPERCOLUMN in names:
        features += MATCHED * FLOAT * sum(widths.values()) / 16
    sampled = BYTES_OF_SAMPLES if SAMPLED in names else 0
    return features * seen + 3 * FLOAT * pictures * content + sampled


def _layer_names(settings: Settings) -> set[str]:
    """Return the names of the layers that are compared, without their octaves."""
    return {split_octave(one)[0] for layers in settings.compared_layers for one in layers}


def _layers(settings: Settings) -> dict[str, int]:
    """Return the widths of the convolutions that the layers need, by name."""
    return settings.architecture.needed(_layer_names(settings))


def _multiply_adds(settings: Settings) -> float:
    """Return the multiply-adds of the convolutions, per pixel of the picture."""
    adds, inputs = {}, 3
    for name, width in _layers(settings).items():
        adds[name] = 9 * inputs * width
        inputs = width
    return per_pixel(adds)
