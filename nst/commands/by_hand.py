"""One cell by hand: the arguments and the work of ``nst stylize``."""

from __future__ import annotations

import gc
import json
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst.config.composition import WHOLE, Composition, Part
from nst.config.pictures import KEEP
from nst.config.prints import PrintFile
from nst.config.settings import Settings
from nst.config.variants import RECIPE, find_recipe, overridden, read_ratio
from nst.errors import UserError
from nst.system.files import part_folder, write_atomically

if TYPE_CHECKING:
    from nst.cells.cell import Cell
    from nst.method.resilience import OnStep

# For the default recipe, whose own α/β is meant for 256 px.
RATIO, SIZE = "2e-1", 512
# The print format for each suffix of the output: TIFF has 16 bits and a profile.
WRITTEN = {".png": None, ".tif": PrintFile("tiff16"), ".tiff": PrintFile("tiff16")}


def compose(
    style: Path, blend: Sequence[str], mask: Path | None, regions: Sequence[str]
) -> Composition[Path]:
    """Return the style that ``--blend FILE=WEIGHT``, ``--mask`` and ``--region`` describe.

    With a mask, white areas take the style. Black areas keep the photograph unless there are
    regions.

    Raises:
        UserError: an option is malformed, or there are regions without a mask or without a style.
    """
    parts = [Part(style.name, style), *map(_blended, blend)]
    if mask is None:
        if regions:
            raise UserError("--region needs --mask, a picture whose colours are the regions")
        return Composition({WHOLE: tuple(parts)})
    by_colour: dict[str, tuple[Part[Path], ...]] = {"white": tuple(parts)}
    for text in regions or [f"black={KEEP}"]:
        colour, equals, file = text.partition("=")
        if not (colour and equals and file):
            raise UserError(f"--region must be COLOUR=FILE or COLOUR=keep; got {text!r}")
        if colour in by_colour and file != KEEP:
            raise UserError(f"--region {colour} has two styles; the white region has STYLE")
        by_colour[colour] = () if file == KEEP else (Part(Path(file).name, Path(file)),)
    if not any(by_colour.values()):
        raise UserError("--region: every region keeps the photograph; give one of them a style")
    return Composition(by_colour, mask)


def _blended(text: str) -> Part[Path]:
    """Parse ``FILE=WEIGHT``, or ``FILE`` alone with the weight 1."""
    file, _, weight = text.rpartition("=")
    try:
        number = float(weight) if file else 1.0
    except ValueError:
        file, number = text, 1.0  # the name has an =
    if not 0 <= number < math.inf:
        raise UserError(f"--blend: a weight must be at least 0; got {text!r}")
    path = Path(file or text)
    return Part(path.name, path, number)


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Parse settings such as ``octaves=2``; a value is JSON, or else text.

    Raises:
        UserError: a setting has no equals sign.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set must be NAME=VALUE, as octaves=2; got {text!r}")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def settings_by_hand(recipe: str, ratio: str | None, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a recipe, overridden by α/β and the ``given`` settings.

    Raises:
        UserError: the recipe is unknown, a value is out of range, or ``snapshots`` or a file to
            start from are given.
    """
    if "snapshots" in given:
        raise UserError(
            "--set snapshots: nst stylize keeps one picture; give it in a configuration"
        )
    if given.get("start") == "file" or "start_file" in given:
        raise UserError("--set start: a file to start from can only be given in a configuration")
    preset = find_recipe(recipe, "--recipe")
    if recipe == RECIPE:
        given, ratio = {"image_size": SIZE, **given}, ratio or RATIO
    weights = {} if ratio is None else read_ratio(ratio)[1]
    return Settings.from_mapping(overridden(preset, {}, {**weights, **given}))


def check_files(content: Path, style: Composition[Path], output: Path) -> None:
    """Require that the inputs exist, and that the output can be written and overwrites none.

    Raises:
        UserError: an input is missing, or the output would overwrite it, is a folder or has a
            suffix of no supported format.
        OSError: the output cannot be written.
    """
    if output.suffix.lower() not in WRITTEN:
        raise UserError(
            "the result is PNG or TIFF, so its name must end in .png or, for 16 bits, .tif; "
            f"got {output}"
        )
    if output.is_dir():
        raise UserError(f"{output} is a folder; give the result a name in it")
    for path in (content, *style.everything):
        if not path.exists():
            raise UserError(f"{path} does not exist; check the path")
        if path.resolve() == output.resolve():
            raise UserError(
                f"{output} is also an input, and would be overwritten; choose another name"
            )
    with part_folder(output):  # or the picture would be lost after it is computed
        pass


def stylize_by_hand(
    content: Path,
    style: Composition[Path],
    output: Path,
    recipe: str,
    settings: Settings,
    *,
    weights: Path | None,
    mirror: str | None,
    device: str,
    progress: OnStep,
) -> Cell:
    """Compute one cell with the function that the workflow calls for a pair.

    Without ``weights``, the network's weights come from the user's cache, the mirror or the
    Internet, in this order.

    Raises:
        UserError: an input cannot be used, or the cell failed; nothing is written then.
    """
    # Imported here, because torch takes seconds to load and --help should not. A tenth of this time
    # is garbage collection.
    gc.disable()
    from nst.cells.cell import Cell  # noqa: PLC0415
    from nst.cells.pair import Pair, stylize_pair  # noqa: PLC0415
    from nst.network.provision import extractor_file  # noqa: PLC0415
    from nst.system.device import reserve_device  # noqa: PLC0415

    gc.enable()
    styles = list(dict.fromkeys(part.image for part in style.parts))
    title = " + ".join(one.stem for one in styles)
    with reserve_device(device) as chosen, tempfile.TemporaryDirectory(prefix="nst-") as folder:
        network = extractor_file(
            settings.extractor,
            Path(folder),
            images=list(dict.fromkeys([content, *styles])),
            seed=settings.seed,
            weights=weights,
            mirror=mirror,
        )
        pair = Pair(
            *(content, content.stem, content.stem),
            *(styles[0], title, title),
            network,
            composition=None if style.is_plain else style,
        )
        # Only the picture is kept, which carries its record.
        picture = Path(folder) / "result.png"
        form = WRITTEN[output.suffix.lower()]
        wanted = Cell("default", _ratio(settings), recipe, settings, picture, print_file=form)
        (cell,) = stylize_pair(pair, [wanted], chosen, on_evaluation=progress)
        if cell.status == "failed":
            raise UserError(f"{cell.reason} {output} is not written.")
        write_atomically(output, (cell.deep or cell.path).read_bytes())
    return cell


def _ratio(settings: Settings) -> str:
    """Return the label of α/β."""
    if settings.alpha and settings.beta:
        return read_ratio({"alpha": settings.alpha, "beta": settings.beta})[0]
    return "0" if settings.beta else "inf"
