"""The files of a run, as patterns and lists for the rules, and the titles above them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from nst.config.composition import Composition, Part
from nst.config.pictures import composed
from nst.config.run import Run
from nst.config.variants import Wanted
from nst.errors import counted

CELL = "results/cells/{content}/{style}/{layers}/{ratio}.png"
DETAILS = "results/details/{content}/{style}.json"
GALLERY_SO_FAR = "results/gallery/so_far.html"  # of an unfinished run, like OVERVIEW_SO_FAR
OVERVIEW_SO_FAR = "results/grids/overview_so_far.png"
PREPARED = "results/inputs/{role}/{name}.png"
PRINT = "results/prints/{content}/{style}/{layers}/{ratio}.png"
PRINT_DETAILS = "results/prints/details/{content}/{style}/{layers}/{ratio}.json"
SNAPSHOTS = "results/snapshots/{content}/{style}/{layers}/{ratio}.png"
STORE = Path("results/store")
STRIP = "results/strips/{content}/{style}/{layers}/{ratio}.png"
SHARED = {"style_loss": "{} loss", "image_size": "{} px", "iterations": "{} iterations"}


def cell_path(content: str, style: str, layers: str, ratio: str) -> Path:
    """Return the path of a cell's picture."""
    return Path(CELL.format(content=content, style=style, layers=layers, ratio=ratio))


def of_cells(pattern: str, cells: Iterable[Wanted]) -> list[str]:
    """Fill in the names of cells."""
    return [
        pattern.format(content=content, style=style, layers=one.layers, ratio=one.ratio)
        for content, style, one in cells
    ]


def grid_files(run: Run) -> list[str]:
    """List the comparison grids in all their formats, and the strips of cells with snapshots."""
    forms = [
        f"results/grids/{grid}.{form}" for grid in grids(run) for form in ("png", "pdf", "jpg")
    ]
    return forms + of_cells(STRIP, (one for one in run.cells if one[2].settings.snapshots))


def plot_files(run: Run) -> list[str]:
    """List the plots of every pair and of the whole run."""
    pairs = itertools.product(("pairs", "losses"), run.contents, run.styles)
    plots = ["/".join(pair) for pair in pairs]
    # Each recipe has its own α/β, so there is no effect of α/β to plot.
    plots += ["layers"] if run.compares_recipes else ["ratios", "layers"]
    plots += [f"vary/{name}" for name in run.varied]
    return [f"results/plots/{plot}.{form}" for plot in plots for form in ("png", "svg")]


def prepared(role: str, name: str) -> str:
    """Return the path of a prepared image, which is checked and in sRGB."""
    return PREPARED.format(role=role, name=name)


def composition_files(run: Run, content: str, style: str) -> Composition[str] | None:
    """Return a style's composition of prepared files for a content; None for one whole picture."""
    found = composed(run.contents[content], run.styles[style])
    if found is None:
        return None
    regions = {
        colour: tuple(
            Part(
                one.name,
                prepared("style", one.name),
                one.weight,
                prepared("style_mask", one.name) if one.mask else None,
            )
            for one in parts
        )
        for colour, parts in found.regions.items()
    }
    return Composition(regions, prepared("content_mask", content) if found.mask else None)


def grids(run: Run) -> list[str]:
    """List the comparison grids of a run as paths below ``results/grids``, without suffix."""
    if run.compares_recipes:
        return ["formulations", *(f"recipes/{content}/{style}" for content, style in run.pairs)]
    pairs = [
        f"pairs/{content}/{style}{sheet.suffix}"
        for content, style in run.pairs
        for sheet in run.sheets
    ]
    contents = [f"contents/{content}/{layers}" for content in run.contents for layers in run.layers]
    return ["overview", *pairs, *contents]


def title_of_run(run: Run) -> str:
    """Return the title of the gallery, such as ``2 pictures in 4 styles``."""
    return f"{counted(len(run.contents), 'picture')} in {counted(len(run.styles), 'style')}"


def subtitle_of_run(run: Run) -> str:
    """Return the line above a grid: the network, and the settings that all variants share."""
    parts: list[str] = [run.settings.extractor]
    if run.compares_recipes:
        return f"{parts[0]}, each at its own balance of content and style"
    for name, text in SHARED.items():
        values = {str(getattr(one.settings, name)) for one in run.variants}
        parts += [text.format(*values)] if len(values) == 1 else []
    return ", ".join(parts)


def report_label(text: str) -> str:
    """Return text without characters that break Snakemake's report.

    Snakemake reads braces as wildcards, and ``</`` could end the report's script.
    """
    return text.replace("{", "(").replace("}", ")").replace("</", "<\N{WORD JOINER}/")
