"""Shared fixtures: tiny networks, small pictures, and the folder of the real ones."""

import gc
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from bounds import CI
from downloads import pauses, serve
from hypothesis import settings as hypothesis_settings
from PIL import Image
from workflow_runs import FITTED, PRETENDED, finish, small_config, write_config

from nst import cli
from nst.cells.cell import Cell
from nst.cells.pair import Pair
from nst.config.layers import Architecture
from nst.config.settings import Settings
from nst.method import distributions
from nst.method import transfer as transfer_module
from nst.method.stages import Images
from nst.network.extractor import Extractor, save_extractor
from nst.network.tensors import to_image

__all__ = ["pauses", "serve"]  # fixtures

torch.set_num_threads(1)
# Bypass any proxy for servers on this machine.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1")))
# Some tests run jobs side by side. Threads that spin while they wait for one another
# make two such jobs take five times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A shared machine can be slow for a moment, and the tests do not check speed.
hypothesis_settings.register_profile("patient", deadline=None)
# bounds.py sets how many cases the fuzz tests try in CI; a failure prints how to repeat it.
hypothesis_settings.register_profile("ci", deadline=None, print_blob=True)
hypothesis_settings.load_profile("ci" if CI else "patient")

TINY = Architecture(
    name="tiny",
    widths=((4, 4), (6,)),
    padding="reflect",
    pooling="average",
    origin="random, for tests",
)

POISON = 1e12  # a weight that `poisoned` turns into NaN

LONGEST = (
    *("test_slurm.py", "test_workflow.py", "test_workflow_engine.py", "test_faults_runs.py"),
    *("test_documents.py", "test_presets.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files that take longest, so that no worker is still running one at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


def pytest_collection_finish() -> None:
    """Leave the imported modules out of garbage collections, which would take a second each."""
    gc.freeze()


def random_network(architecture: Architecture) -> Extractor:
    """A network of random weights whose features do not vanish with depth."""
    extractor = Extractor(architecture).eval()
    generator = torch.Generator().manual_seed(3)
    for convolution in extractor.convolutions.values():
        torch.nn.init.kaiming_normal_(convolution.weight, generator=generator)
        torch.nn.init.normal_(convolution.bias, std=0.1, generator=generator)
    return extractor


@pytest.fixture
def tiny() -> Extractor:
    """A network of three convolutions."""
    return random_network(TINY)


@pytest.fixture
def tiny_file(tiny: Extractor, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_extractor(tiny, path)
    return path


def small_settings(**changes: object) -> Settings:
    """Settings that fit the tiny network."""
    defaults: dict[str, object] = {
        "content_layers": {"relu2_1": 1.0},
        "style_layers": {"relu1_1": 1.0, "relu1_2": 1.0, "relu2_1": 1.0},
        "image_size": 32,
        "iterations": 12,
        "precision": "float32",  # independent of the machine
    }
    return Settings.from_mapping(defaults | changes)


@pytest.fixture
def small() -> Callable[..., Settings]:
    return small_settings


def random_image(seed: int, height: int = 32, width: int = 32) -> torch.Tensor:
    """Return a smooth random picture in [0, 1], 1 x 3 x height x width."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 5, generator=generator)
    size = (height, width)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


CONTENT, STYLE = random_image(1, 32, 40), random_image(2, 36, 28)
IMAGES = Images.of(to_image(CONTENT), to_image(STYLE))
LEFT = torch.cat([torch.ones(1, 1, 32, 20), torch.zeros(1, 1, 32, 20)], dim=3)  # a mask


def paint(path: Path, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    """Write a small random picture, as PNG unless the suffix names another format."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def cut(path: Path) -> Path:
    """Make the left half of a picture fade to transparent towards its left side."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
    ramp = np.linspace(-255, 510, picture.width).clip(0, 255).astype(np.uint8)
    picture.putalpha(Image.fromarray(np.tile(ramp, (picture.height, 1))))
    picture.save(path)
    return path


@pytest.fixture
def pair(tiny_file, tmp_path) -> Pair:
    """Return two small random pictures and the tiny network as a pair."""
    content = paint(tmp_path / "in" / "cat.png", seed=1, size=(64, 48))
    style = paint(tmp_path / "in" / "night.jpg", seed=2, size=(40, 50))
    named = (content, "cat", "Chelsea the cat", style, "night", "The Starry Night")
    return Pair(*named, extractor=tiny_file)


@pytest.fixture
def wanted(small, tmp_path) -> Callable[..., list[Cell]]:
    """Make a list of wanted cells, one for each beta."""

    def make(*betas: float, folder: str = "out", **changes: object) -> list[Cell]:
        return [
            Cell(
                "all",
                f"{1 / beta:.0e}",
                "relative",
                small(**{"beta": beta, "iterations": 4, **changes}),
                tmp_path / folder / f"{beta:g}.png",
            )
            for beta in betas
        ]

    return make


@pytest.fixture
def poisoned(monkeypatch) -> None:
    """Make the loss of a cell with the weight `POISON` NaN."""
    real = transfer_module.Objective

    class Poisoned(real):
        def __call__(self, images):
            parts = super().__call__(images)
            bad = torch.where(self._beta == POISON, torch.nan, 0.0)
            return {**parts, "total": parts["total"] + bad}

    monkeypatch.setattr(transfer_module, "Objective", Poisoned)


@pytest.fixture
def few_features(monkeypatch) -> None:
    """Keep few of a style's sampled features, so that a step takes little time."""
    monkeypatch.setattr(distributions, "CLOUD", 300)


@pytest.fixture
def nst(capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the command here; return exit status, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return int(left.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Create a working directory with photographs, like a user's."""
    for number, name in enumerate(["photos/cat.png", "photos/dog.jpg", "other/cat.png"]):
        paint(tmp_path / name, seed=number)
    for name in ("{name}.png", "<name>.png", "two\nlines.png"):
        paint(tmp_path / "strange" / name)
    (tmp_path / "photos/notes.txt").write_text("not a picture")
    (tmp_path / "photos/album.png").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NST_MIRROR", raising=False)
    return tmp_path


@pytest.fixture(scope="session")
def take_fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], object]:
    """Copy the extractor that ``FITTED`` selects into a folder, so that a run need not fit it."""
    folder = tmp_path_factory.mktemp("fitted")
    paint(folder / "any.png")
    any_pair = {"contents": ["any.png"], "styles": ["any.png"]}
    write_config(folder, {**small_config(), **any_pair, **FITTED})
    quick = {"PYTHONPATH": PRETENDED, "PRETENDED_PATCHES": "1500"}
    finish(folder, "--", "results/extractors/kmeans.safetensors", **quick)
    # Copy time stamps and Snakemake's records, or Snakemake would fit it again.
    return lambda to: shutil.copytree(folder, to, dirs_exist_ok=True)


@pytest.fixture
def mirror() -> Path:
    """Return the folder with the real paintings and weights, which the project does not ship."""
    folder = os.environ.get("NST_MIRROR")
    if not folder:
        pytest.skip("needs the real paintings and weights: set NST_MIRROR to their folder")
    return Path(folder).resolve()
