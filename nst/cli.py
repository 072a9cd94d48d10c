"""The ``nst`` command: stylize, fetch, check, plan, show and verify."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from nst import __version__
from nst.cells.cell import read_record
from nst.commands.by_hand import (
    RATIO,
    SIZE,
    check_files,
    compose,
    read_settings,
    settings_by_hand,
    stylize_by_hand,
)
from nst.config.catalogue import checked_mirror
from nst.config.registry import NETWORKS
from nst.config.settings import (
    MEANINGS,
    ColoursName,
    PrecisionName,
    Settings,
)
from nst.config.variants import RECIPE
from nst.errors import UserError, counted
from nst.system.files import explain_disk_trouble

if TYPE_CHECKING:
    from nst.config.run import Run

app = typer.Typer(
    help="Neural style transfer: redraw a photograph in the style of a painting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
FETCHED = [name for name, one in NETWORKS.items() if one.read]
DEFAULT_CONFIG = Path("config/config.yaml")
Configuration = Annotated[Path, typer.Argument(help="The configuration of a run.")]
Mirror = Annotated[
    str | None,
    typer.Option(envvar="NST_MIRROR", help="A folder or https:// address that holds the weights."),
]
StartByHand = Literal["recoloured", "content", "noise"]
OptimiserByHand = Literal["lbfgs", "adam"]


@app.command()
def stylize(
    content: Annotated[Path, typer.Argument(help="The picture to redraw.")],
    style: Annotated[Path, typer.Argument(help="The picture that gives the style.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The output file: .png, or .tif for 16 bits.")
    ] = Path("stylized.png"),
    recipe: Annotated[
        str,
        typer.Option(
            help="The recipe to start from, such as gatys2016. Other options override it."
        ),
    ] = RECIPE,
    ratio: Annotated[
        str | None,
        typer.Option(
            "--ratio",
            "-r",
            help="α/β, content against style: 1 is careful, 1e-1 is bold. Without it "
            f"{RATIO}, or another recipe's own.",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--size",
            "-s",
            help=f"The longer side of the result, in pixels. Without it {SIZE}, or another "
            "recipe's own.",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option("--iterations", "-n", help=MEANINGS["iterations"]),
    ] = None,
    colours: Annotated[ColoursName | None, typer.Option(help=MEANINGS["colours"])] = None,
    blended: Annotated[
        list[str] | None,
        typer.Option(
            "--blend",
            "-b",
            metavar="FILE[=WEIGHT]",
            help="Another style to blend in; STYLE has the weight 1. Can be repeated.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="A mask: white is redrawn, and black is kept unless --region is given."),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            "--region",
            metavar="COLOUR=FILE",
            help="The style of another colour of the mask, or keep. Can be repeated.",
        ),
    ] = None,
    style_scale: Annotated[float | None, typer.Option(help=MEANINGS["style_scale"])] = None,
    extractor: Annotated[
        str | None,
        typer.Option(
            metavar="NETWORK", help=MEANINGS["extractor"], show_default=Settings.extractor
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file with the network's weights, instead of a download.")
    ] = None,
    mirror: Mirror = None,
    start: Annotated[StartByHand | None, typer.Option(help=MEANINGS["start"])] = None,
    optimiser: Annotated[OptimiserByHand | None, typer.Option(help=MEANINGS["optimiser"])] = None,
    seed: Annotated[
        int | None, typer.Option(help=MEANINGS["seed"], show_default=str(Settings.seed))
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A setting of config/README.md, such as octaves=2. Can be repeated.",
        ),
    ] = None,
    precision: Annotated[
        PrecisionName | None,
        typer.Option(help=MEANINGS["precision"], show_default=Settings.precision),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; auto uses a GPU if there is one.")
    ] = "auto",
) -> None:
    """Redraw CONTENT in the style of STYLE.

    For example: nst stylize photo.jpg painting.jpg -o result.png --ratio 1e-1
    """
    # An option that is a setting has its name.
    given = {
        name: value for name, value in locals().items() if name in MEANINGS and value is not None
    }
    settings = settings_by_hand(recipe, ratio, {**given, **read_settings(setting or [])})
    composition = compose(style, blended or [], mask, region or [])
    if settings.blend is not None and not composition.blends:
        raise UserError("--set blend needs --blend, another style to lead to")
    check_files(content, composition, output)
    mirror = checked_mirror(mirror)
    with Progress(console=console) as bar:
        task = bar.add_task(f"preparing {settings.extractor}", total=None)

        def advance(_indices: Sequence[int], evaluation: int, steps: int, _losses: object) -> None:
            bar.update(task, description="optimising", total=steps, completed=evaluation)

        cell = stylize_by_hand(
            *(content, composition, output, recipe, settings),
            weights=weights,
            mirror=mirror,
            device=device,
            progress=advance,
        )
    text = (
        f"{output}: {cell.width}x{cell.height} px, content loss {cell.losses['content']:.3f}, "
        f"style loss {cell.losses['style']:.3f}, {cell.seconds:.0f} s on {cell.device}"
    )
    console.print(Text(text), soft_wrap=True)  # as Text, so that no file name is read as markup


@app.command()
def fetch(
    networks: Annotated[
        list[str] | None,
        typer.Argument(help=f"Some of {', '.join(FETCHED)}; vgg16_hed if none is named."),
    ] = None,
    mirror: Mirror = None,
) -> None:
    """Fetch NETWORKS once, so that later runs need no network connection.

    Prints where each prepared file is.
    """
    from nst.network.provision import prepared_extractor  # noqa: PLC0415

    for name in networks or ["vgg16_hed"]:
        with console.status(f"fetching {name}"):
            path = prepared_extractor(name, checked_mirror(mirror))
        typer.echo(f"{name}: {path}")


@app.command()
def check(config: Configuration = DEFAULT_CONFIG) -> None:
    """Check CONFIG and its images, and start nothing.

    Unlike Snakemake, which evaluates templates in a configuration, this runs nothing that is
    written in it.
    """
    from nst.imaging.inspection import inspect_run  # noqa: PLC0415

    run, grid = _read(config)
    inspect_run(run)
    cells = counted(len(run.pairs) * len(run.variants), "cell")
    typer.echo(f"{config} is in order: {grid} = {cells}")


@app.command()
def plan(config: Configuration = DEFAULT_CONFIG) -> None:
    """Estimate the cells, time, memory and disk of a run of CONFIG.

    First runs some steps of each kind of settings on this machine, for ten seconds to some
    minutes. Cells that are in results/ with these settings are left out.
    """
    from nst.commands.plan import plan_run  # noqa: PLC0415

    run, grid = _read(config)
    with console.status("measuring a few evaluations"):
        estimate = plan_run(run)
    calibration = estimate.calibration
    lines = [
        f"cells   {estimate.cells}: {grid}",
        f"to do   {estimate.cells - estimate.made}, in {counted(estimate.jobs, 'job')}",
        f"time    about {_duration(estimate.seconds)} on {calibration.device} "
        f"in {calibration.precision}, one job after the other",
        f"memory  {estimate.memory / 2**30:.1f} GiB a job",
        f"disk    {estimate.disk / 2**20:.0f} MiB for the pictures and the store",
    ]
    typer.echo("\n".join(lines))


@app.command()
def show(
    files: Annotated[list[Path], typer.Argument(help="Pictures that nst made.")],
) -> None:
    """Print the settings, versions and losses that FILES carry inside, as JSON."""
    for path in files:
        text = json.dumps(read_record(path), ensure_ascii=False, indent=2)
        # Half of a surrogate pair, which JSON can contain, cannot be printed.
        typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


@app.command("verify")
def verify_pictures(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures that nst made, or folders such as results.")
    ],
    content: Annotated[
        Path | None, typer.Option(help="The content's file, if it is not in results.")
    ] = None,
    style: Annotated[
        list[Path] | None,
        typer.Option(
            help="The style's file, if it is not in results. Repeated for a blend and its masks."
        ),
    ] = None,
    extractor: Annotated[
        Path | None, typer.Option(help="The network's .safetensors file, if it is not in results.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="The picture that the cell started from, if it was a file.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="The run's folder, if the picture is no longer in it."),
    ] = None,
    mirror: Mirror = None,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda, cuda:1 or mps; recorded is the one that made the cell, or auto"
        ),
    ] = "recorded",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on a CPU, if not the recorded number")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="How many pictures of a folder, drawn at random.")
    ] = 3,
    every: Annotated[bool, typer.Option("--all", help="All the pictures of a folder.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Every pixel and loss must be the same, on any machine.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Recompute FILES from the records inside them, and compare.

    Takes as long as computing them did. The exit status is 0 if every picture is identical or
    within the tolerance for another machine, 1 if one differs or was edited, and 2 if one could
    not be recomputed.
    """
    from nst.cells.sources import Given  # noqa: PLC0415
    from nst.cells.verify import choose_pictures, exit_status, verify  # noqa: PLC0415

    found = []
    try:
        mirror = checked_mirror(mirror)
        given = Given(content, tuple(style or ()), extractor, start, results, mirror)
        for picture in choose_pictures(files, None if every else sample):
            with console.status(Text(f"recomputing {picture}")):
                found.append(verify(picture, given, device, threads=threads))
            if not as_json:
                typer.echo(found[-1])
    except UserError as error:
        _tell(error)
        raise typer.Exit(2) from error
    if as_json:
        plain = [asdict(one) for one in found]
        typer.echo(json.dumps(plain, ensure_ascii=False, indent=2, default=str))
    raise typer.Exit(exit_status(found, exact=exact))


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options before any command."""
    if show_version:
        typer.echo(f"nst {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user error prints one line and exits with status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app(arguments)
    except (UserError, OSError) as error:
        _tell(explain_disk_trouble(error) or error)
        sys.exit(1)


def _read(config: Path) -> tuple[Run, str]:
    """Read a configuration; return the run and its numbers of contents, styles and variants."""
    from nst.config.catalogue import read_catalogue  # noqa: PLC0415
    from nst.config.run import read_file, read_run  # noqa: PLC0415

    run = read_run(read_file(config), read_catalogue())
    parts = {"content": run.contents, "style": run.styles, "variant": run.variants}
    return run, " × ".join(counted(len(part), noun) for noun, part in parts.items())


def _tell(error: Exception | str) -> None:
    """Print an error in one line."""
    console.print(Text.assemble(("nst:", "red"), f" {error}"), soft_wrap=True)


def _duration(seconds: float) -> str:
    """Return a time in words, no more precise than the estimate."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes:.1f} min" if minutes < 100 else f"{hours:.1f} h"


if __name__ == "__main__":
    main()
