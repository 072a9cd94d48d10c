"""The titles and subtitles of a run, in the gallery and above its grids."""

from __future__ import annotations

from nst.config.names import counted
from nst.config.run import Run

SHARED = {"style_loss": "{} loss", "image_size": "{} px", "iterations": "{} iterations"}


def title_of_run(run: Run) -> str:
    """Return the title of the gallery, such as ``2 pictures in 4 styles``."""
    return f"{counted(len(run.contents), 'picture')} in {counted(len(run.styles), 'style')}"


def subtitle_of_run(run: Run) -> str:
    """Return the line below the gallery's title."""
    if run.formulations:
        return f"{run.settings.extractor}, each recipe at its own balance"
    return subtitle_of_grid(run)


def subtitle_of_grid(run: Run) -> str:
    """Return the line above a grid: the network, and the settings that all variants share."""
    parts: list[str] = [run.settings.extractor]
    for name, text in SHARED.items():
        values = {str(getattr(one.settings, name)) for one in run.variants}
        parts += [text.format(*values)] if len(values) == 1 else []
    return ", ".join(parts)


def subtitle_of_recipes(run: Run) -> str:
    """Return the line above a grid of recipes."""
    return f"{run.settings.extractor}, each at its own balance of content and style"


def report_label(text: str) -> str:
    """Return text without characters that break Snakemake's report.

    Snakemake reads braces as wildcards, and ``</`` could end the report's script.
    """
    return text.replace("{", "(").replace("}", ")").replace("</", "<\N{WORD JOINER}/")
