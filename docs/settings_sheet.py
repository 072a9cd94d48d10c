"""The sheet of docs/settings.md: each setting's effect, from the run of config/settings.yaml."""

from pathlib import Path

from PIL import Image

from nst.config.catalogue import read_catalogue
from nst.config.paths import cell_path, prepared
from nst.config.run import Run, read_file, read_run
from nst.config.settings import Settings
from nst.config.variants import Variant
from nst.figures.grids import checked
from nst.figures.layout import Axis, Grid, Panel
from nst.figures.painting import draw_grid

CONFIG = Path(__file__).resolve().parents[1] / "config" / "settings.yaml"
TITLES = {"ratio": "α/β", "layers": "style layers", "iterations": "iterations, without growth"}


def read_sheet() -> tuple[Run, dict[str, list[Variant]], Settings]:
    """Return the run, its variants grouped by the first word of their names, and the defaults."""
    config, catalogue = read_file(CONFIG), read_catalogue()
    run = read_run(config, catalogue)
    rows: dict[str, list[Variant]] = {}
    for one in run.variants:
        rows.setdefault(one.layers.split()[0], []).append(one)
    return run, rows, read_run(config | {"formulations": ["relative"]}, catalogue).settings


def draw_sheet(folder: Path) -> Image.Image:
    """Draw a row for the content and the style, then a row for each setting.

    `folder` is the folder of the run. Short rows end in white.
    """
    run, rows, defaults = read_sheet()
    (content,), (style,) = run.contents, run.styles

    def panel(one: Variant) -> Panel:
        picture = folder / cell_path(content, style, one.layers, one.ratio)
        default = " (default)" if one.settings == defaults else ""
        return checked(Panel(picture, caption=one.layers.partition(" ")[2] + default))

    inputs = {"content": content, "style": style}
    panels = [[Panel(folder / prepared(role, name), caption=role) for role, name in inputs.items()]]
    panels += [[panel(one) for one in row] for row in rows.values()]
    columns = max(map(len, panels))
    grid = Grid(
        "Which setting does what",
        [[*row, *[Panel()] * (columns - len(row))] for row in panels],
        Axis(["", *(TITLES.get(name, name) for name in rows)]),
        Axis([""] * columns),
        subtitle=f"Each row changes one setting; {defaults.extractor}, {defaults.image_size} px",
    )
    return draw_grid(grid)
