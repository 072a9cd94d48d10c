"""Losses, networks and recipes of another package, as docs/api.md describes them."""

import hashlib
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from conftest import paint
from workflow_runs import ROOT, run_python

from nst.cells.cell import read_record
from nst.config import registry
from nst.config.settings import Settings
from nst.config.variants import find_recipe
from nst.errors import ConfigError

BLOCKS = re.findall(r"```\w+\n(.*?)```", (ROOT / "docs/api.md").read_text("utf-8"), re.DOTALL)
POINTS, DECLARATIONS, LOSSES = BLOCKS[1:4]
WEIGHTS = b"seed 7"
MORE_POINTS = {
    "nst.content_loss": {"absolute": "painterly:ABSOLUTE"},
    "nst.tv_loss": {"none": "painterly:NONE"},
    "nst.extractor": {
        **{"sketch": "painterly:SKETCH", "bare": "painterly:BARE"},
        "weights": "painterly:WEIGHTS",
    },
    "nst.style_loss": {
        **{"broken": "painterly.missing:LOSS", "wrong": "painterly:RECIPE"},
        **{"nowhere": "painterly:NOWHERE", "scalar": "painterly:SCALAR"},
    },
    "nst.formulation": {
        **{"sketched": "painterly:SKETCHED", "misspelt": "painterly:MISSPELT"},
        "untitled": "painterly:UNTITLED",
    },
}
MORE_DECLARATIONS = f"""
from dataclasses import replace
from nst.config.catalogue import Entry
from nst.config.layers import KMEANS
from nst.config.registry import ContentLoss, Network

ABSOLUTE = ContentLoss(*map(Function, ("painterly.losses:against", "painterly.losses:error")))
NONE = Function("painterly.losses:none")
SHA256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
FILE = Entry("sketch", "", "", "", "", "sketch.txt", SHA256, "https://localhost/sketch.txt")
NOWHERE = Statistic(Function("painterly.losses:nowhere"))
SCALAR = Statistic(Function("painterly.losses:scalar"))
SKETCHED = replace(RECIPE, settings={{**RECIPE.settings, "extractor": "sketch"}})
MISSPELT = replace(RECIPE, settings={{"itterations": 5}})
UNTITLED = replace(RECIPE)
object.__setattr__(UNTITLED, "title", None)  # the tests check types at construction
WEIGHTS = Network(replace(KMEANS, name="weights"), Function("painterly.losses:weights"), FILE)
BARE = Network(replace(KMEANS, name="bare"))
SKETCH = Network(replace(KMEANS, name="sketch"), Function("painterly.losses:read"), FILE)
"""
MORE_LOSSES = """
import torch
from nst.network.extractor import Extractor


def error(generated, target):
    return (generated - target).abs().flatten(1).mean(1)


def against(target):
    return lambda error: error


def none(images):
    return images.new_zeros(len(images))


def scalar(generated, target):
    return (generated.mean - target.mean).square().mean()


def weights(path, architecture):
    return {}


def read(path, architecture):
    torch.manual_seed(int(path.read_text().split()[1]))
    return Extractor(architecture).eval()
"""


@pytest.fixture(autouse=True)
def painterly(tmp_path, monkeypatch) -> None:
    """Install the package of docs/api.md, with more rows, and enter a folder with its weights."""
    package, facts = tmp_path / "site/painterly", tmp_path / "site/painterly-1.0.dist-info"
    for folder in (package, facts):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(DECLARATIONS + MORE_DECLARATIONS)
    (package / "losses.py").write_text(LOSSES + MORE_LOSSES)
    groups = tomllib.loads(POINTS)["project"]["entry-points"]
    lines = [
        f"[{group}]\n{name} = {place}"
        for points in (groups, MORE_POINTS)
        for group, rows in points.items()
        for name, place in rows.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines))
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: painterly\nVersion: 1.0\n")
    (tmp_path / "sketch.txt").write_bytes(WEIGHTS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("NST_MIRROR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    registry._added.cache_clear()
    yield
    for name in [one for one in sys.modules if one.partition(".")[0] == "painterly"]:
        del sys.modules[name]


def test_a_cell_is_computed_and_verified_with_losses_network_and_recipe_of_a_package(nst):
    photo, painting = paint(Path("photo.png"), 1), paint(Path("painting.png"), 2)
    chosen = {"content_loss": "absolute", "tv_loss": "none", "image_size": "48", "iterations": "2"}
    options = [part for name, value in chosen.items() for part in ("--set", f"{name}={value}")]
    named = ("--recipe", "sketched", "-o", "out.png")
    assert nst("stylize", photo, painting, *named, *options)[0] == 0
    record = read_record(Path("out.png"))
    assert record["formulation"] == "sketched"
    assert record["settings"]["style_loss"] == "deviations"
    assert record["settings"]["extractor"] == "sketch"
    assert record["losses"]["style"] > 0
    found = nst("verify", "out.png", "--content", photo, "--style", painting)
    assert found == (0, "out.png: identical\n", "")


def test_the_loss_of_a_package_is_what_its_function_computes():
    loss = registry.STATISTICS["deviations"]
    picture, style = (torch.rand(1, 3, 4, 5, generator=torch.manual_seed(one)) for one in (1, 2))
    found = loss.compare(loss.look(picture, None), loss.measure(style, None))
    deviations = [(one.var((2, 3), correction=0) + 1e-6).sqrt() for one in (picture, style)]
    torch.testing.assert_close(found, (deviations[0] - deviations[1]).square().mean(1))


def test_a_run_with_the_rows_of_a_package_is_planned_without_torch(tmp_path):
    paint(Path("photo.png"))
    config = {
        "contents": ["photo.png"],
        "styles": ["starry_night_study"],
        "formulations": ["painterly", "gatys2016"],
        "extractor": "sketch",
    }
    script = (
        "import sys; from nst.config.run import read_run\n"
        "from nst.config.catalogue import read_catalogue\n"
        f"run = read_run({config}, read_catalogue())\n"
        "print([one.settings.style_loss for one in run.variants], run.recipes[0].title)\n"
        "assert 'torch' not in sys.modules, 'slow'"
    )
    found = run_python(script, PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}")
    assert found == "['deviations', 'sum_gram'] Painterly\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deviation", '^style_loss must be one of covariance, .*, relaxed_emd; got "deviation".$'),
        ("broken", "^the entry point 'broken' of nst.style_loss cannot be loaded .Mod.* package.$"),
        ("wrong", "^the entry point 'wrong' .* must be a Statistic of .*a Preset. Correct it.$"),
    ],
)
def test_a_row_that_is_missing_or_broken_is_refused_in_one_line(name, message):
    with pytest.raises(ConfigError, match=message):
        Settings.from_mapping({"style_loss": name})


def test_a_function_that_a_package_lacks_is_a_mistake_of_one_line():
    with pytest.raises(
        ConfigError, match=r"^the function painterly.losses:nowhere cannot be loade"
    ):
        registry.STATISTICS["nowhere"].loss(None, None)


def test_a_function_whose_module_fails_is_a_mistake_of_one_line(tmp_path):
    (tmp_path / "site/painterly/losses.py").write_text("1 / 0")
    with pytest.raises(
        ConfigError, match=r"cannot be loaded \(ZeroDivisionError: division by zero"
    ):
        registry.STATISTICS["scalar"].loss(None, None)


def test_a_loss_has_one_value_for_each_picture(nst):
    images = (paint(Path("photo.png"), 1), paint(Path("painting.png"), 2))
    options = ("--set", "style_loss=scalar", "-s", "48", "-n", "1")
    told = nst("stylize", *images, "--recipe", "sketched", *options)[2]
    assert (
        "the function of style_loss must return a tensor with one value for each picture, " in told
    )
    assert "the shape (1,); got the shape ()" in told


def test_two_packages_that_add_one_name_are_refused(tmp_path):
    facts = tmp_path / "site/rival-1.0.dist-info"
    facts.mkdir()
    (facts / "entry_points.txt").write_text("[nst.style_loss]\ndeviations = rival:LOSS")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    message = "two packages add 'deviations' to nst.style_loss: painterly:DEVIATIONS and rival:LOSS"
    with pytest.raises(ConfigError, match=message):
        Settings.from_mapping({"style_loss": "deviations"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bare", "the network 'bare' of a package must have the entry of its weights"),
        ("weights", "the function that reads weights must return an Extractor of nst"),
    ],
)
def test_a_network_that_cannot_be_read_is_a_mistake_of_one_line(nst, name, message):
    assert nst("fetch", name)[2].startswith(f"nst: {message}")


def test_a_recipe_has_the_name_of_its_entry_point():
    found = find_recipe("sketched")
    assert (found.name, found.title) == ("sketched", "Painterly")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("painterley", "unknown recipe 'painterley'; the recipes are c"),
        ("misspelt", "'misspelt' of nst.formulation is not a recipe .*'itterations'"),
        ("untitled", "'untitled' of nst.formulation is not a recipe .title must be a text; got"),
    ],
)
def test_what_is_no_recipe_is_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        find_recipe(name)
