"""Where a cell's files are in a run's folder: the patterns of the rules, and what fills them."""

from __future__ import annotations

from pathlib import Path

from nst.config.composition import Composition, Part
from nst.config.prints import PrintFile
from nst.config.run import Run
from nst.config.sheets import Sheet
from nst.config.styles import composed

CELL = "results/cells/{content}/{style}/{layers}/{ratio}.png"
DETAILS = "results/details/{content}/{style}.json"
GALLERY_SO_FAR = "results/gallery/so_far.html"  # of a run that goes on, as is the overview
OVERVIEW_SO_FAR = "results/grids/overview_so_far.png"
PREPARED = "results/inputs/{role}/{name}.png"
PRINT = "results/prints/{content}/{style}/{layers}/{ratio}.png"
PRINT_DETAILS = "results/prints/details/{content}/{style}/{layers}/{ratio}.json"
SNAPSHOTS = "results/snapshots/{content}/{style}/{layers}/{ratio}.png"


def cell_path(content: str, style: str, layers: str, ratio: str) -> Path:
    """Return the path of a cell's picture."""
    return Path(CELL.format(content=content, style=style, layers=layers, ratio=ratio))


def deep_prints(print_file: PrintFile) -> list[str]:
    """List the pattern of what a print is written to beside ``PRINT``, if anything."""
    path = print_file.deep(Path(PRINT))
    return [path.as_posix()] if path else []


def prepared(role: str, name: str) -> str:
    """Return the path of an image that has been checked and brought to sRGB."""
    return PREPARED.format(role=role, name=name)


def composition_files(run: Run, content: str, style: str) -> Composition[str] | None:
    """Return the prepared files of a style that is not one whole picture, for a content."""
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


def sheet_suffix(sheet: Sheet) -> str:
    """Return what follows the style in the path of a pair's grid; nothing if there is one alone."""
    return f"/{sheet.name}" if sheet.name else ""


def grids(run: Run) -> list[str]:
    """List the comparison grids of a run, below ``results/grids`` and without their suffix."""
    if run.compares_recipes:
        return ["formulations", *(f"recipes/{c}/{s}" for c in run.contents for s in run.styles)]
    pairs = [
        f"pairs/{content}/{style}{sheet_suffix(sheet)}"
        for content in run.contents
        for style in run.styles
        for sheet in run.sheets
    ]
    contents = [f"contents/{content}/{layers}" for content in run.contents for layers in run.layers]
    return ["overview", *pairs, *contents]
