"""The package as a wheel, installed without a checkout."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from workflow_runs import ROOT

from nst import __version__
from nst.config.catalogue import read_catalogue
from nst.config.variants import read_presets

pytestmark = pytest.mark.slow

PARTS = ("nst", "config", "workflow", "resources", "pyproject.toml", "README.md", "LICENSE")


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [str(one) for one in command],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A separate Python with the wheel, on top of the installed packages."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    alone = ("--quiet", "--no-deps", "--no-index")
    # A copy, since setuptools builds in the folder and includes leftovers of earlier builds.
    run("cp", "-r", *(ROOT / name for name in PARTS), folder, cwd=folder)
    run(*pip, "wheel", *alone, "--no-build-isolation", "--wheel-dir", "dist", ".", cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    beneath = Path(run(python, "-c", purelib, cwd=folder).strip()) / "beneath.pth"
    beneath.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    (wheel,) = (folder / "dist").iterdir()
    assert wheel.name.startswith(f"nst-{__version__}-")
    run(*pip, "--python", python, "install", *alone, wheel, cwd=folder)
    return python


def test_an_installed_package_checks_a_grid(python, tmp_path):
    where = run(python, "-c", "import nst; print(nst.__file__)", cwd=tmp_path)
    assert str(python.parents[1]) in where, "the wheel is imported, not the checkout"
    (tmp_path / "my.yaml").write_text("contents: [astronaut]\nstyles: [great_wave_study]\n")
    told = run(python.parent / "nst", "check", "my.yaml", cwd=tmp_path)
    assert "1 content × 1 style × " in told


def test_an_installed_package_has_every_preset_and_every_picture_of_this_project(python):
    share = python.parents[1] / "share" / "nst"
    sources = [entry.source.partition(":") for entry in read_catalogue().values()]
    pictures = {f"resources/{rest}" for kind, _, rest in sources if kind == "resources"}
    presets = {f"config/presets/{name}.yaml" for name in read_presets()}
    assert len(pictures) > 3
    assert {one for one in pictures | presets if not (share / one).is_file()} == set()
