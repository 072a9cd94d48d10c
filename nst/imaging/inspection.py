"""Check a run's images before its jobs use them: are they images, and large enough?

A long and narrow picture can have too few px across for the deeper layers, which the settings alone
do not show. An error costs nothing if it is found while planning, or at the latest when the image
is prepared. If the job of a pair finds it, it costs the place in a cluster's queue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from nst.config.catalogue import RESOURCES
from nst.config.geometry import content_size, halvings, style_size
from nst.config.layers import Size
from nst.config.pictures import Picture, composed
from nst.config.prints import check_larger
from nst.config.run import Run
from nst.config.settings import Settings, longer_side
from nst.config.variants import Variant
from nst.errors import ConfigError, ExtractorError

HELD = 8  # pictures in memory: usually those of two pairs


def inspect_run(run: Run) -> None:
    """Read the headers of the run's images that are available, and check their sizes.

    The user's own images are always available. The catalogue's images are available if they come
    with the project or were fetched before.

    Raises:
        ImageError: an image cannot be used.
        ConfigError: an image is too narrow for a layer.
    """
    from nst.imaging.images import read_size  # noqa: PLC0415 - Pillow, which the workflow's jobs need not load

    if run.start_file is not None:
        read_size(Path(run.start_file), any_shape=True)
    sizes: dict[str, dict[str, Size]] = {"content": {}, "style": {}}
    for key, picture in run.pictures.items():
        role, _, name = key.partition("/")
        if file := _at_hand(picture):
            sizes.setdefault(role, {})[name] = read_size(file)
    for picture in run.kmeans_images:
        if (file := _at_hand(picture)) and picture not in run.pictures.values():
            read_size(file)
    check_sizes(run.variants, sizes["content"], sizes["style"])
    _inspect_prints(run, sizes["content"])
    _inspect_masks(run)


def _inspect_prints(run: Run, contents: Mapping[str, Size]) -> None:
    """Require that prints are larger than their cells, for the contents that are available.

    With ``size: short_side``, the size of a cell depends on the shape of its content.
    """
    of_cells = {(one.layers, one.ratio): one.settings for one in run.variants}
    for content, style, one in run.prints:
        if content in contents:
            cell = of_cells[one.layers, one.ratio]
            width, height = content_size(contents[content], cell, cell.image_size)
            named = f"the cell {content} / {style} / {one.layers} / {one.ratio}"
            check_larger(longer_side(one.settings.image_size), max(width, height), named)


def _inspect_masks(run: Run) -> None:
    """Check the masks of every pair against their pictures, as far as these are available.

    Few pictures are in memory at a time: each may take 300 MB, and a run may have hundreds.
    """
    from nst.imaging.images import load_image  # noqa: PLC0415 - as above
    from nst.imaging.masks import check_masks  # noqa: PLC0415 - as above

    load = lru_cache(HELD)(load_image)
    for name, content in run.contents.items():
        for style in run.styles.values():
            found = composed(content, style)
            if found and found.has_masks and all(map(_at_hand, (content, *found.everything))):
                images = found.mapped(lambda picture: load(_at_hand(picture)))
                check_masks(f"{name} × {style.name}", load(_at_hand(content)), images)


def check_sizes(
    variants: Sequence[Variant],
    contents: Mapping[str, Size] | None = None,
    styles: Mapping[str, Size] | None = None,
) -> None:
    """Require that images of these sizes are large enough for the layers of all variants.

    Sizes are those of the files, in px. If the size of a style's picture depends on the content's,
    it is checked against the given contents.

    Raises:
        ConfigError: an image is too narrow for a layer.
    """
    for settings in _distinct(variants):
        coarse = settings.smaller if settings.coarse_stages else []
        for size in (*(stage for stage, _ in coarse), settings.image_size):
            often = halvings(settings, size)
            results = {
                name: content_size(one, settings, size) for name, one in (contents or {}).items()
            }
            for name, result in results.items():
                taps = settings.taps(result, result, often)
                _check(f"content {name!r}", result, settings, [*taps.content, *taps.style])
            smallest = min(map(max, results.values()), default=None)
            longest = smallest if settings.size == "short_side" else longer_side(size)
            if settings.style_fit != "own" or longest is None:
                continue
            for name, one in (styles or {}).items():
                seen = style_size(one, (longest, longest), settings)
                taps = settings.taps((longest, longest), seen, often)
                matched = taps.content if settings.content_target == "matched" else ()
                _check(f"style {name!r}", seen, settings, [*taps.style, *matched])


def _at_hand(picture: Picture) -> Path | None:
    """Return a file with the picture; None if it has not been fetched."""
    kind, _, rest = (picture.entry.source if picture.entry else "").partition(":")
    file = RESOURCES / rest if kind == "resources" else Path(picture.path)
    return file if file.is_file() else None


def _distinct(variants: Sequence[Variant]) -> list[Settings]:
    """Return one of the variants' settings for each combination that affects the sizes."""
    kinds: dict[tuple[object, ...], Settings] = {}
    for one in variants:
        settings = one.settings
        layers = map(tuple, settings.compared_layers)
        sizes = (settings.image_size, settings.size, settings.coarse_stages, settings.octaves)
        style = (settings.style_fit, settings.style_scale, settings.content_target)
        kinds[*layers, *sizes, *style] = settings
    return list(kinds.values())


def _check(who: str, size: Size, settings: Settings, layers: Sequence[str]) -> None:
    """Require that a picture of this size is large enough for all the layers."""
    try:
        settings.architecture.check(layers, min(size))
    except ExtractorError as error:
        raise ConfigError(
            f"{who} becomes {size[0]}x{size[1]} px, which is too narrow: {error} "
            "Alternatively, crop it or use shallower layers."
        ) from error
