"""The ``nst`` command: style transfer by hand, and what a picture says about itself."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from nst import __version__
from nst.cells.cell import read_record
from nst.config.addresses import checked_mirror
from nst.config.presets import read_presets
from nst.config.settings import ExtractorName, PrecisionName, Settings
from nst.config.variants import Ratio
from nst.errors import UserError
from nst.system.files import write_atomically

app = typer.Typer(
    help="Neural style transfer: redraw a photograph in the style of a painting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
DEFAULTS = Settings()
RECIPE = "relative"
StartByHand = Literal["recoloured", "content", "noise"]
OptimiserByHand = Literal["lbfgs", "adam"]


@app.command()
def stylize(
    content: Annotated[Path, typer.Argument(help="The picture to redraw.")],
    style: Annotated[Path, typer.Argument(help="The picture whose style it takes.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the result goes: a PNG file.")
    ] = Path("stylized.png"),
    ratio: Annotated[
        str,
        typer.Option(
            "--ratio", "-r", help="α/β, content against style: 1 is careful, 1e-1 is bold."
        ),
    ] = "2e-1",
    size: Annotated[
        int, typer.Option("--size", "-s", help="The longer side of the result, in pixels.")
    ] = 512,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", "-n", help="Steps at the full size, if not the recipe's; more is finer."
        ),
    ] = None,
    style_scale: Annotated[
        float, typer.Option(help="Size of the style against the result; above 1, larger strokes.")
    ] = DEFAULTS.style_scale,
    extractor: Annotated[
        ExtractorName,
        typer.Option(
            help="The network: kmeans needs no download, vgg19_16x a small one, vgg19 a large one."
        ),
    ] = DEFAULTS.extractor,
    weights: Annotated[
        Path | None, typer.Option(help="The extractor's weights, if not to be downloaded.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(envvar="NST_MIRROR", help="A folder that holds the weights.")
    ] = None,
    start: Annotated[
        StartByHand,
        typer.Option(help="What to start from; recoloured is the content in new colours."),
    ] = "recoloured",
    optimiser: Annotated[
        OptimiserByHand, typer.Option(help="L-BFGS gets there in fewer steps than Adam.")
    ] = "lbfgs",
    seed: Annotated[int, typer.Option(help="The same seed gives the same picture.")] = 0,
    precision: Annotated[
        PrecisionName,
        typer.Option(help="bfloat16 is fast where the processor knows it; auto finds out."),
    ] = DEFAULTS.precision,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; auto takes a GPU if there is one.")
    ] = "auto",
) -> None:
    """Redraw CONTENT in the style of STYLE.

    For example: nst stylize photo.jpg painting.jpg -o result.png --ratio 1e-1
    """
    balance = Ratio.parse(ratio)
    recipe = read_presets()[RECIPE].settings
    settings = Settings.from_mapping(
        {
            **recipe,
            "alpha": balance.alpha,
            "beta": balance.beta,
            "extractor": extractor,
            "image_size": size,
            "style_scale": style_scale,
            "start": start,
            "optimiser": optimiser,
            "iterations": recipe["iterations"] if iterations is None else iterations,
            "seed": seed,
            "precision": precision,
        }
    )
    mirror = checked_mirror(mirror)
    if output.suffix.lower() != ".png":
        raise UserError(f"the result is a PNG file, so its name must end in .png; got {output}")
    if output.is_dir():
        raise UserError(f"{output} is a folder; give the result a name in it")
    for path in (content, style):
        if not path.exists():
            raise UserError(f"{path} does not exist; check the path")
        if path.resolve() == output.resolve():
            raise UserError(f"{output} is an input too, and would be lost; choose another name")
    _stylize(content, style, output, balance.label, settings, weights, mirror, device)


@app.command()
def check(
    config: Annotated[Path, typer.Argument(help="The configuration of a run.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Check CONFIG and its images, and start nothing.

    Unlike Snakemake, which evaluates templates in a configuration, this runs nothing that is
    written in it.
    """
    from nst.config.catalogue import read_catalogue  # noqa: PLC0415
    from nst.config.run import read_file, read_run  # noqa: PLC0415
    from nst.imaging.inspection import inspect_run  # noqa: PLC0415

    run = read_run(read_file(config), read_catalogue())
    inspect_run(run)
    contents, styles, variants = map(len, (run.contents, run.styles, run.variants))
    typer.echo(
        f"{config} is in order: {contents} contents × {styles} styles × {variants} variants = "
        f"{contents * styles * variants} cells"
    )


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="The configuration of a run.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Tell what a run of CONFIG will take: cells, time, memory and disk.

    Measures a few evaluations on this machine first, which takes some seconds. Cells that are in
    results/ already are left out.
    """
    from nst.commands.plan import plan_run  # noqa: PLC0415
    from nst.config.catalogue import read_catalogue  # noqa: PLC0415
    from nst.config.run import read_file, read_run  # noqa: PLC0415

    run = read_run(read_file(config), read_catalogue())
    with console.status("measuring a few evaluations"):
        estimate = plan_run(run)
    calibration = estimate.calibration
    lines = [
        f"cells   {estimate.cells}: {len(run.contents)} contents × {len(run.styles)} styles × "
        f"{len(run.variants)} variants",
        f"to do   {estimate.cells - estimate.made}, in {estimate.jobs} jobs",
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
        # Half of a surrogate pair, which JSON can spell, cannot be printed.
        typer.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"))


@app.command("verify")
def verify_pictures(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures that nst made, or folders such as results.")
    ],
    content: Annotated[Path | None, typer.Option(help="The content, if not in results.")] = None,
    style: Annotated[Path | None, typer.Option(help="The style, if not in results.")] = None,
    extractor: Annotated[
        Path | None, typer.Option(help="The extractor's .safetensors file, if not in results.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="The picture it started from, if it was a file.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="The run's folder, if the picture does not lie in it any more."),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(envvar="NST_MIRROR", help="A folder that holds the weights.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1 or mps; recorded is what it was made on, or auto")
    ] = "recorded",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads on a CPU, if not as many as it was made with")
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
    """Make FILES again from what they carry inside, and compare.

    Takes as long as making them. The exit status is 0 if all of them come out the same or within
    the tolerance for another machine, 1 if one does not, or was changed since it was made, and 2
    if one could not be made again.
    """
    from nst.cells.sources import Given  # noqa: PLC0415
    from nst.cells.verify import choose_pictures, describe, exit_status, verify  # noqa: PLC0415

    found = []
    try:
        given = Given(content, style, extractor, start, results, checked_mirror(mirror))
        for picture in choose_pictures(files, None if every else sample):
            with console.status(Text(f"making {picture} again")):
                found.append(verify(picture, given, device, threads=threads))
            if not as_json:
                typer.echo(describe(found[-1]))
    except UserError as error:
        _tell(error)
        raise typer.Exit(2) from error
    if as_json:
        text = [one.to_dict() for one in found]
        typer.echo(json.dumps(text, ensure_ascii=False, indent=2))
    raise typer.Exit(exit_status(found, exact=exact))


@app.callback(invoke_without_command=True)
def version(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.")
    ] = False,
) -> None:
    """Handle the options that stand before any command."""
    if show_version:
        typer.echo(f"nst {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a user's mistake is one line and exit status 1."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        app(arguments)
    except (UserError, OSError) as error:
        _tell(error)
        sys.exit(1)


def _tell(error: Exception) -> None:
    """Print a mistake, in one line."""
    console.print(Text.assemble(("nst:", "red"), f" {error}"), soft_wrap=True)


def _stylize(
    content: Path,
    style: Path,
    output: Path,
    ratio: str,
    settings: Settings,
    weights: Path | None,
    mirror: str | None,
    device: str,
) -> None:
    """Make one cell, by way of the function that the workflow calls for a pair."""
    # Here, since torch takes a second to load and --help should not.
    from nst.cells.pair import Pair, Wanted, stylize_pair  # noqa: PLC0415
    from nst.network.extractor import save_extractor  # noqa: PLC0415
    from nst.network.provision import provide_extractor  # noqa: PLC0415
    from nst.system.device import reserve_device  # noqa: PLC0415

    with (
        reserve_device(device) as chosen,
        tempfile.TemporaryDirectory(prefix="nst-") as folder,
        _bar() as bar,
    ):
        task = bar.add_task(f"preparing {settings.extractor}", total=None)
        network = Path(folder) / "extractor.safetensors"
        save_extractor(
            provide_extractor(
                settings.extractor,
                images=[content, style],
                seed=settings.seed,
                weights=weights,
                mirror=mirror,
            ),
            network,
        )
        bar.update(task, description="optimising", total=settings.iterations)
        pair = Pair(content, content.stem, content.stem, style, style.stem, style.stem, network)
        # By hand, the picture is all that is wanted: it carries its record inside.
        made = Path(folder) / "result.png"
        wanted = [Wanted("default", ratio, RECIPE, settings, made)]

        def advance(_places: Sequence[int], evaluation: int, _parts: object) -> None:
            bar.update(task, completed=evaluation)

        (cell,) = stylize_pair(pair, wanted, chosen, on_evaluation=advance)
        if cell.status == "failed":
            raise UserError(f"{cell.reason} {output} is not written.")
        write_atomically(output, made.read_bytes())
    text = (
        f"{output}: {cell.width}x{cell.height} px, content loss {cell.losses['content']:.3f}, "
        f"style loss {cell.losses['style']:.3f}, {cell.seconds:.0f} s on {cell.device}"
    )
    console.print(Text(text), soft_wrap=True)  # as Text, so that no file name is read as markup


def _duration(seconds: float) -> str:
    """Put a time into words, no more precise than it is known."""
    minutes, hours = seconds / 60, seconds / 3600
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes:.1f} min" if minutes < 100 else f"{hours:.1f} h"


def _bar() -> Progress:
    """Return a progress bar with the time left."""
    return Progress(
        TextColumn("{task.description}"),
        *Progress.get_default_columns()[1:3],
        TimeRemainingColumn(),
        console=console,
    )


if __name__ == "__main__":
    main()
