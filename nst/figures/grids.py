"""The comparison grids of a run: the places of the cells, and the titles of rows and columns.

All builders take the contents and the styles of a grid, the variants of its cells (layers and
ratio; for a pair's grid, its ``Sheet``), and a subtitle. They name the pictures in the run's
folder, and ``checked`` opens them.

A cell's snapshots are drawn as a strip for print, and as an animation for the screen.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from PIL import Image

from nst.cells.cell import read_details, read_record
from nst.config.paths import DETAILS, cell_path, prepared
from nst.config.run import Sheet
from nst.errors import CellError, UserError, counted
from nst.figures.layout import Axis, Grid, Panel
from nst.figures.painting import draw_grid
from nst.imaging.images import unstack
from nst.system.files import atomic_file

Titles = Mapping[str, str]  # of contents or styles, by name
Variants = Sequence[Sequence[str]]  # layers and ratio of each

IN_ROW = (5, 4, 6)  # pictures in a row of recipes, the preferred number first
_FEW_COLUMNS = 6  # up to this number, each column repeats "α/β ="; else only the axis has it
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
COLUMNS = 6
FRAME_MS = 600
LAST_FRAME_MS = 2400  # the last picture stays longer before the animation repeats


def checked(panel: Panel) -> Panel:
    """Return a panel whose picture exists, with a note in place of the picture of a failed cell.

    The record in a cell's picture says whether the cell failed. Inputs, which have a label, have no
    record.

    Raises:
        CellError: the picture is missing or damaged.
    """
    picture = panel.picture
    if picture is not None and not picture.is_file():
        raise CellError(f"{picture} is missing; run snakemake without a target to make it")
    if picture is None or panel.label:
        return panel
    try:
        failed = read_record(picture)["status"] == "failed"
    except (UserError, KeyError) as error:
        raise CellError(
            f"{picture} cannot be read ({error}). Delete it; the next run writes it again"
        ) from error
    return replace(panel, picture=None, note="failed: no finite loss") if failed else panel


def _input(role: str, name: str, title: str = "") -> Panel:
    """Return the panel of a content or a style."""
    return Panel(Path(prepared(role, name)), title, label=role)


def _inputs(role: str, titles: Titles) -> list[Panel]:
    """Return the panels of contents or styles."""
    return [_input(role, name, title) for name, title in titles.items()]


def pair_grid(contents: Titles, styles: Titles, variants: Sheet, *, subtitle: str) -> Grid:
    """Return a grid of one pair: by default, a row per layer weighting and a column per α/β."""
    ((content, style),) = product(contents, styles)
    return Grid(
        " × ".join([*contents.values(), *styles.values()]),
        [[Panel(cell_path(content, style, *one)) for one in row] for row in variants.cells],
        rows=setting_axis(variants.row_axis, variants.rows),
        columns=setting_axis(variants.column_axis, variants.columns),
        subtitle=", ".join(filter(None, [variants.name, subtitle])),
        inputs=[*_inputs("content", contents), *_inputs("style", styles)],
    )


def content_grid(contents: Titles, styles: Titles, variants: Variants, *, subtitle: str) -> Grid:
    """Return the grid of one content: a row per style, a column per α/β."""
    ((content, title),) = contents.items()
    return Grid(
        title,
        [[Panel(cell_path(content, style, *one)) for one in variants] for style in styles],
        rows=_input_axis("style", styles),
        columns=setting_axis("ratio", [ratio for _, ratio in variants]),
        subtitle=subtitle,
        inputs=_inputs("content", contents),
    )


def overview_grid(contents: Titles, styles: Titles, variants: Variants, *, subtitle: str) -> Grid:
    """Return the grid of a run, with one variant: a row per content, a column per style."""
    (one,) = variants
    return Grid(
        "Overview",
        [[Panel(cell_path(content, style, *one)) for style in styles] for content in contents],
        rows=_input_axis("content", contents),
        columns=_input_axis("style", styles),
        subtitle=subtitle,
    )


def formulation_grid(
    contents: Titles, styles: Titles, variants: Variants, *, subtitle: str, recipes: Sequence[str]
) -> Grid:
    """Return the grid of recipes: a row per recipe, a column per pair, and two rows of inputs."""
    pairs = list(product(contents, styles))
    return Grid(
        "Formulations",
        [
            [_input("content", content) for content, _ in pairs],
            [_input("style", style) for _, style in pairs],
            *([Panel(cell_path(*pair, *one)) for pair in pairs] for one in variants),
        ],
        rows=Axis(["content", "style", *recipes]),
        columns=Axis([""] * len(pairs)),
        subtitle=subtitle,
        head_rows=2,
    )


def recipe_grid(
    contents: Titles, styles: Titles, variants: Variants, *, subtitle: str, recipes: Sequence[str]
) -> Grid:
    """Return a pair's grid in reading order: content, style, each recipe's picture and time.

    A row has four to six pictures, so that few places stay empty.
    """
    ((content, style),) = product(contents, styles)
    cells = read_details(Path(DETAILS.format(content=content, style=style)))
    panels = [*_inputs("content", contents), *_inputs("style", styles)]
    for one, recipe in zip(variants, recipes, strict=True):
        path = cell_path(content, style, *one)
        panels.append(Panel(path, f"{recipe}: {_written_time(cells[path].seconds)}"))
    columns = min(len(panels), min(IN_ROW, key=lambda one: -len(panels) % one))
    title = " × ".join([*contents.values(), *styles.values()])
    return wrap_panels(title, panels, columns, subtitle)


def wrap_panels(title: str, panels: Sequence[Panel], columns: int, subtitle: str) -> Grid:
    """Return a grid of panels in reading order, without titles of rows and columns."""
    rows = [list(panels[first : first + columns]) for first in range(0, len(panels), columns)]
    rows[-1] += [Panel()] * (columns - len(rows[-1]))
    return Grid(title, rows, Axis([""] * len(rows)), Axis([""] * columns), subtitle)


def _written_time(seconds: float) -> str:
    """Return a time as text, in seconds or, if it is long, in minutes."""
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"


def _input_axis(role: str, titles: Titles) -> Axis:
    """Return the axis of contents or styles, with their pictures as heads."""
    return Axis(list(titles.values()), role, heads=_inputs(role, titles))


def setting_axis(name: str, labels: Sequence[str]) -> Axis:
    """Return the axis of a setting; the ends of α/β have names if its labels are sorted."""
    if name != "ratio":
        return Axis(labels, "layer weighting" if name == "layers" else name.replace("_", " "))
    prefix = "α/β\N{NO-BREAK SPACE}= " if len(labels) <= _FEW_COLUMNS else ""
    titles = [prefix + ratio_title(label) for label in labels]
    if len(titles) == 1:
        return Axis(titles)
    values = [float(label) for label in labels]
    if values == sorted(values):
        return Axis(titles, "α/β", "more style", "more content")
    if values == sorted(values, reverse=True):
        return Axis(titles, "α/β", "more content", "more style")
    return Axis(titles, "α/β")


def ratio_title(label: str) -> str:
    """Return α/β as printed: `1e-2` as 10⁻², `5e-2` as 5·10⁻², `5e1` as 50."""
    mantissa, _, exponent = label.partition("e")
    if exponent in ("", "0", "1"):
        return f"{float(label):g}"
    power = "10" + exponent.translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def draw_strip(
    stacked: Path, steps: Sequence[int], *, title: str = "", subtitle: str = ""
) -> Image.Image:
    """Draw the stacked pictures of a file side by side, each with its number of steps."""
    with tempfile.TemporaryDirectory(prefix="nst-") as folder:
        panels = []
        for frame, step in zip(_frames(stacked, len(steps)), steps, strict=True):
            path = Path(folder) / f"{step}.png"
            frame.save(path)
            panels.append(Panel(path, counted(step, "step") if step else "start"))
        return draw_grid(wrap_panels(title, panels, min(COLUMNS, len(panels)), subtitle))


def save_animation(stacked: Path, steps: Sequence[int], path: Path) -> None:
    """Write the stacked pictures of a file as an animated WebP that repeats endlessly."""
    first, *others = _frames(stacked, len(steps))
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    with atomic_file(path) as file:
        first.save(
            file,
            format="WEBP",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
            quality=90,
        )


def _frames(stacked: Path, count: int) -> list[Image.Image]:
    """Read the pictures from the file in which they are stacked vertically."""
    with Image.open(stacked) as picture:
        return unstack(picture, count)
