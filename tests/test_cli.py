import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from configurations import settings_of
from conftest import cut, paint
from deep_files import deep_levels, eight_bits
from made_cells import make_cell, make_image
from PIL import Image
from workflow_runs import run_python

from nst import __version__, cli
from nst.cells import pair as pair_module
from nst.cells.cell import read_record, write_cell
from nst.config.settings import RULES, Settings
from nst.config.variants import read_presets
from nst.imaging.images import load_image
from nst.imaging.srgb import pixel_digest
from nst.network.kmeans import fit_kmeans


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Create a working directory with a photograph and a painting, and widen the terminal."""
    paint(tmp_path / "photo.jpg", seed=1, size=(64, 48))
    paint(tmp_path / "painting.png", seed=2, size=(56, 64))
    (tmp_path / "notes.txt").write_text("not a picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NST_MIRROR", raising=False)
    # Run the real fit on fewer patches.
    monkeypatch.setattr("nst.network.provision.fit_kmeans", partial(fit_kmeans, patches=1500))
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


KMEANS = ("--extractor", "kmeans")
STYLIZE = ("stylize", "photo.jpg", "painting.png", "--size", 64, "--iterations", 2, *KMEANS)


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_the_help_says_what_it_is_for_and_what_it_can_do(nst, arguments):
    _, out, err = nst(*arguments)
    for text in ("redraw a photograph in the style of a painting", "stylize", "show", "--version"):
        assert text in out + err
    assert "Traceback" not in out + err


def test_the_help_of_stylize_tells_a_newcomer_what_to_type(nst):
    status, out, _ = nst("stylize", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert status == 0
    assert "nst stylize photo.jpg painting.jpg -o result.png --ratio 1e-1" in text, "an example"
    choices = (RULES["extractor"].choices, *map(get_args, (cli.StartByHand, cli.OptimiserByHand)))
    defaults = (f"({Settings.extractor})", "stylized.png", "relative")
    for message in (
        "α/β, content against style: 1 is careful, 1e-1 is bold. Without it 2e-1, or another",
        "The longer side of the result, in pixels. Without it 512, or another",
        "NST_MIRROR",
        *(choice for names in choices for choice in names),
        *(f"[default: {default}]" for default in defaults),
    ):
        assert message in text, message


def test_the_version_is_that_of_the_package(nst):
    assert nst("--version") == (0, f"nst {__version__}\n", "")


def test_the_help_appears_without_loading_torch():
    script = (
        "import sys; from nst.cli import main\n"
        "try: main(['stylize', '--help'])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'pandas'} & set(sys.modules), 'slow'"
    )
    run_python(script)


# ---------------------------------------------------------------- pictures


def test_a_picture_is_made_and_says_how(nst):
    status, _, err = nst(*STYLIZE, "-o", "out/a b.png", "-r", "0.01")
    assert status == 0
    assert "out/a b.png: 64x48 px, content loss " in err
    assert load_image(Path("out/a b.png")).size == (64, 48)
    record = read_record(Path("out/a b.png"))
    precision = record["settings"]["precision"]
    assert precision in ("float32", "bfloat16"), "auto must be resolved"
    given = {"beta": 100, "image_size": 64, "iterations": 2, "precision": precision}
    assert Settings.from_mapping(record["settings"]) == settings_of(
        "relative", **given, extractor="kmeans"
    )
    assert record["ratio"] == "1e-2"
    assert record["content"]["name"] == "photo"
    assert record["style"]["digest"] == pixel_digest(load_image(Path("painting.png")))
    assert json.loads(nst("show", "out/a b.png")[1]) == record


@pytest.fixture
def make(nst, monkeypatch, tiny) -> Callable[..., dict]:
    """Redraw with the tiny network instead of kmeans, on layers that it has; return the record."""
    monkeypatch.setattr("nst.network.provision.fit_kmeans", lambda images, seed: tiny)
    layers = {"content_layers": {"relu2_1": 1.0}, "style_layers": {"relu1_1": 1.0}}
    real = Settings.from_mapping
    monkeypatch.setattr(cli.Settings, "from_mapping", lambda values: real({**values, **layers}))

    def stylize(*options: object, content: str = "photo.jpg", to: str = "stylized.png") -> dict:
        status, _, err = nst("stylize", content, *STYLIZE[2:], *options, "-o", to)
        assert status == 0, err
        assert f"{to}: " in err
        return read_record(Path(to))

    return stylize


def test_a_tiff_has_sixteen_bits_and_the_settings(nst, make):
    png, tiff = (make(to=name)["settings"] for name in ("made.png", "made.TIFF"))
    assert png == tiff == json.loads(nst("show", "made.TIFF")[1])["settings"]
    levels = deep_levels(Path("made.TIFF"))
    assert len(np.unique(levels)) > 256
    assert np.array_equal(eight_bits(levels), Image.open("made.png"))
    names = {"photo.jpg", "painting.png", "notes.txt", "made.png", "made.TIFF"}
    assert {path.name for path in Path().iterdir()} == names, "no other file may be left"


def test_a_photograph_that_is_cut_out_stays_so(make):
    cut(paint(Path("cut.png"), seed=1, size=(64, 48)))
    make(content="cut.png")
    with Image.open("stylized.png") as made:
        assert made.mode == "RGBA"


def test_the_options_are_the_settings(make):
    settings = make(
        *("-s", 48, "-n", 3, "-r", "2.5e-1", "--style-scale", 0.5, "--start", "noise"),
        *("--optimiser", "adam", "--seed", 7, "--colours", "luminance", "--device", "cpu"),
        *("--set", "octaves=2", "--set", "style_loss=moments"),
    )["settings"]
    expected = {
        **{"image_size": 48, "iterations": 3, "alpha": 1.0, "beta": 4.0, "style_scale": 0.5},
        **{"start": "noise", "optimiser": "adam", "seed": 7, "colours": "luminance"},
        **{"octaves": 2, "style_loss": "moments"},
    }
    assert expected.items() <= settings.items()


def test_a_recipe_gives_what_is_not_named(make):
    record = make("--recipe", "udacity", "-s", 48, "--set", "learning_rate=0.5")
    recipe = read_presets()["udacity"].settings
    given = {"image_size": 48, "size": "long_side", "iterations": 2, "learning_rate": 0.5}
    for name in ("beta", "style_loss", "optimiser", "start", "tv_weight", *given):
        expected = {**Settings().to_dict(), **recipe, **given}[name]
        assert record["settings"][name] == expected, name
    assert (record["formulation"], record["ratio"]) == ("udacity", "1e-6")


def parts(record: dict, region: str) -> list[tuple[str, float]]:
    return [(one["name"], one["weight"]) for one in record["composition"]["regions"][region]]


def test_styles_are_blended(make):
    paint(Path("other.png"), seed=3, size=(56, 64))
    record = make("--blend", "other.png=0.5")
    (region,) = record["composition"]["regions"]
    assert parts(record, region) == [("painting.png", 1.0), ("other.png", 0.5)]


def test_what_is_black_in_a_mask_is_kept(make):
    mask = Image.new("RGB", (64, 48), "black")
    mask.paste("white", (0, 0, 30, 48))
    mask.save("mask.png")
    make("--mask", "mask.png")
    kept = [load_image(Path(name)).crop((34, 0, 64, 48)) for name in ("photo.jpg", "stylized.png")]
    assert kept[0].tobytes() == kept[1].tobytes()
    paint(Path("other.png"), seed=3, size=(56, 64))
    record = make("--mask", "mask.png", "--region", "black=other.png")
    assert parts(record, "black") == [("other.png", 1.0)]


def test_square_brackets_in_a_name_are_shown_as_they_are(make):
    Path("photo.jpg").rename("photo[bold]:cat:.jpg")
    make(content="photo[bold]:cat:.jpg", to="out[red][/y]:cat:.png")


def test_several_pictures_are_shown_one_after_the_other(nst, tmp_path):
    for name in ("a", "b"):
        write_cell(make_cell(layers=name), make_image(), tmp_path / f"{name}.png")
    _, out, _ = nst("show", "a.png", "b.png")
    shown = [json.loads(text + "}") for text in out.split("\n}\n")[:2]]
    assert [record["layers"] for record in shown] == ["a", "b"]
    assert "Chelsea die Kätzin 猫" in out


# ---------------------------------------------------------------- mistakes


def mistake(result: tuple[int, str, str]) -> str:
    """Return the one-line message for a user's mistake."""
    status, out, err = result
    assert status == 1
    assert out == ""
    (line,) = (line for line in err.splitlines() if line.startswith("nst: "))
    assert "Traceback" not in err
    return line


# The arguments after STYLIZE, or a whole command, and the expected message.
MISTAKES = [
    ("--recipe gatys2017", "unknown recipe 'gatys2017'; did you mean 'gatys2016'? The"),
    ("--set octaves", "--set must be NAME=VALUE, as octaves=2; got 'octaves'"),
    ("--set octives=2", "unknown setting 'octives'"),
    ("--region black=keep", "--region needs --mask"),
    ("--mask photo.jpg --region black", "--region must be COLOUR=FILE"),
    ("--mask photo.jpg --region white=keep", "every region keeps the photograph"),
    ("--mask photo.jpg --region white=painting.png", "--region white has two styles; the white"),
    ("--mask painting.png", "the mask must have the shape of its picture"),
    ("--blend painting.png=nan", "--blend: a weight must be at least 0"),
    ("--blend none.png", "none.png does not exist"),
    ("--set blend=0.5", "--set blend needs --blend, another style to lead to"),
    ("--set start=file", "--set start: a file to start from can only be given in a configuration"),
    ("stylize no[/where].jpg painting.png", "nst: no[/where].jpg does not exist; check the path"),
    ("stylize notes.txt painting.png", "nst: notes.txt: must be one of PNG, JPEG"),
    ("-o result.jpg", "its name must end in .png or, for 16 bits, .tif; got result.jpg"),
    (
        "-o out/../painting.png",
        "nst: out/../painting.png is also an input, and would be overwritten; choose another name",
    ),
    ("--ratio bold", "nst: ratios must be a number from 1e-12 to 1e12, as 1e-2; got 'bold'"),
    ("--size 5", "nst: image_size must be a whole number of pixels from 32 to 8192"),
    ("--device toaster", "nst: device must be auto, cpu, cuda, cuda:1 or mps; got 'toaster'"),
    (
        "--extractor vgg19_16x --weights nowhere.pth",
        "nst: nowhere.pth cannot be read (No such file or directory); check the path",
    ),
    ("--weights painting.png", "nst: kmeans is fitted to its images and takes no --weights"),
    (
        "--extractor vgg19_16x --mirror .",
        "vgg19_16x.pth cannot be read (No such file or directory). Put vgg19_16x.pth there",
    ),
    ("show painting.png", "nst: painting.png has no record of nst"),
    ("show photo.jpg", "nst: photo.jpg has no record of nst"),
    ("show nowhere.png", "there is no such file"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[told for _, told in MISTAKES])
def test_a_mistake_is_one_line_and_exit_status_1(nst, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr("nst.network.provision.user_cache", lambda: tmp_path / "cache")
    before = sorted(path.name for path in tmp_path.iterdir())
    command = STYLIZE if arguments.startswith("-") else ()
    assert message in mistake(nst(*command, *arguments.split()))
    after = sorted(path.name for path in tmp_path.iterdir() if path.name != "cache")
    assert after == before, "no file may be created"


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--extractor", "resnet"), 1, ("resnet", "kmeans", "vgg19", "vgg19_16x")),
        (("--start", "nosie"), 2, ("nosie", "recoloured", "content", "noise")),
        (("--colour",), 2, ("--colour",)),
    ],
)
def test_a_misspelt_option_is_refused_with_the_choices(nst, options, status, words):
    found, _, err = nst(*STYLIZE, *options)
    assert found == status
    assert "Traceback" not in err
    assert all(word in err for word in words)


@pytest.mark.usefixtures("make")
def test_a_cell_that_fails_is_a_mistake_with_the_remedy(nst, monkeypatch):
    def fail(extractor, images, cells, **_options):
        yield pair_module.Transfer(0, cells[0], None, {}, {}, {}, 0.1, attempts=2)

    monkeypatch.setattr(pair_module, "make_cells", fail)
    Path("stylized.png").write_bytes(b"of an earlier time")
    line = mistake(nst(*STYLIZE))
    assert "stopped being a finite number, twice. Try other weights" in line
    assert line.endswith("stylized.png is not written.")
    assert Path("stylized.png").read_bytes() == b"of an earlier time"


def test_a_defect_of_the_program_is_not_hidden(monkeypatch):
    def fail(*_arguments: object) -> torch.device:
        raise ZeroDivisionError

    monkeypatch.setattr("nst.system.device.choose_device", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main([str(argument) for argument in STYLIZE])
