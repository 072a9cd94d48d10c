"""The workflow as a module of another workflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import paint
from workflow_runs import PRETENDED, ROOT

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "adopting.md").read_text("utf-8")
SNAKEFILE = GUIDE.partition("```python\n")[2].partition("```")[0]
SOURCE = '"/path/to/nst/workflow/Snakefile"'
CONFIG = {
    **{"contents": ["photos/cat.png"], "styles": ["photos/art.png"], "ratios": [1], "growth": 0},
    **{"layers": {"all": {"content": {"relu2_1": 1}, "style": {"relu1_1": 1}}}, "iterations": 2},
    **{"image_size": 48, "extractor": "kmeans", "kmeans": {"images": ["art"]}},
}
HERE = SOURCE.replace("/path/to/nst", str(ROOT))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that adopts the workflow: pictures, and a configuration with other keys."""
    paint(tmp_path / "photos" / "cat.png", 1)
    paint(tmp_path / "photos" / "art.png", 2)
    config = {"styles": CONFIG, "something_else": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
    return tmp_path


def adopt(folder: Path, source: str = HERE, more: str = "") -> None:
    """Write the guide's Snakefile, with the workflow's location and ``more`` in its module."""
    assert SOURCE in SNAKEFILE
    text = SNAKEFILE.replace(f"{SOURCE}\n", f"{source}\n{more}")
    (folder / "Snakefile").write_text(text, "utf-8")


def snakemake(folder: Path, *options: str, fails: bool = False, **environment: str) -> str:
    """Run Snakemake in a folder; return its output."""
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert bool(run.returncode) == fails, run.stdout
    return run.stdout


def test_another_workflow_makes_the_grid_and_goes_on_with_it(folder):
    adopt(folder)
    snakemake(folder, PYTHONPATH=PRETENDED, PRETENDED_PATCHES="1500")
    assert (folder / "results/cells/cat/art/all/1e0.png").is_file()
    assert (folder / "results/grids/overview.png").is_file()
    table = (folder / "results/summary.csv").read_bytes()
    assert (folder / "best.csv").read_bytes() == table
    assert "Nothing to be done" in snakemake(folder)


def test_the_run_of_another_workflow_takes_the_lock(folder):
    adopt(folder)
    (folder / ".snakemake").mkdir()
    (folder / ".snakemake" / "nst.run").write_text("process 1 of a killed run")
    run = snakemake(folder, "results/inputs/content/cat.png")
    assert "A run was cut off (process 1 of a killed run)" in run
    assert not (folder / ".snakemake" / "nst.run").exists()


@pytest.mark.parametrize("more", ['prefix: "deep"', 'replace_prefix: {"results/": "deep/"}'])
def test_a_prefix_is_refused_in_one_line(folder, more):
    adopt(folder, more=f"    {more}\n")
    run = snakemake(folder, "--dry-run", fails=True)
    assert "prefix and replace_prefix cannot be used with this module" in run
    assert "Traceback" not in run


def test_the_workflow_is_planned_from_a_git_host(folder, tmp_path_factory):
    """The module as snakedeploy writes it, with the package installed and a local repository."""
    hosted = tmp_path_factory.mktemp("hosted")
    shutil.copy(ROOT / "Snakefile", hosted)
    shutil.copytree(ROOT / "workflow", hosted / "workflow")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["init"], ["add", "."], [*author, "commit", "-m", "all"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=hosted, check=True, capture_output=True)
    adopt(folder, 'github("a/nst", path="workflow/Snakefile", tag="v1")')
    run = snakemake(
        folder,
        "--dry-run",
        PYTHONPATH=str(ROOT),
        XDG_CACHE_HOME=str(folder / "cache"),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{hosted.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0="https://github.com/a/nst",
    )
    assert "styles_stylize" in run


def test_both_entries_make_the_same(tmp_path):
    """Snakemake reads Snakefile; the workflow catalogue requires workflow/Snakefile."""
    planned = []
    for name, last in (("Snakefile", "all"), ("workflow/Snakefile", "everything")):
        options = ("--snakefile", str(ROOT / name), "--dry-run", "--quiet", "rules")
        run = snakemake(tmp_path, *options)
        counts = run.partition("Job stats:")[2].partition("total")[0]
        assert last in counts
        planned.append(sorted(line.split() for line in counts.replace(last, "all").splitlines()))
    assert planned[0] == planned[1]
