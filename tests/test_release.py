"""The wheel, and the texts for finding, citing and installing the project."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml
from workflow_runs import ROOT

from nst import __version__
from nst.config.catalogue import read_catalogue
from nst.config.variants import read_presets

CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


# ---------------------------------------------------------------- found


def test_the_catalogue_of_workflows_finds_what_it_asks_for():
    for name in ("workflow/Snakefile", "config/README.md", "config/config.yaml"):
        assert (ROOT / name).is_file()
    readme = (ROOT / "README.md").read_text("utf-8").lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    usage = read(".snakemake-workflow-catalog.yml")["usage"]
    assert {key: set(usage[key]) for key in usage if key != "report"} == {
        "mandatory-flags": {"desc", "flags"},
        "software-stack-deployment": {"conda", "apptainer", "apptainer+conda"},
    }


def test_a_container_is_given_what_is_there_and_no_root():
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    taken = [line[1:] for line in lines if line.startswith("!")]
    assert lines[0] == "*"
    assert {"nst", "workflow", "Snakefile", "pyproject.toml"} <= set(taken)
    assert [name for name in taken if not (ROOT / name).exists()] == []
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    (user,) = re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)
    assert int(user) > 0
    (pins,) = re.findall(r"--constraint /opt/nst/(\S+)", dockerfile)
    assert (ROOT / pins).is_file()


# ---------------------------------------------------------------- cited and released


def test_the_citation_has_the_version_and_the_day_of_the_last_release():
    citation = read("CITATION.cff")
    assert citation["version"] == __version__
    releases = re.findall(r"^## \[(\d.*?)\] - (\S+)$", CHANGELOG, re.MULTILINE)
    dated = "date-released" in citation
    assert releases[:1] == ([(__version__, str(citation["date-released"]))] if dated else [])


def test_every_section_of_the_changelog_is_one_that_tools_read():
    heads = re.findall(r"^## .*$", CHANGELOG, re.MULTILINE)
    assert heads[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", one) for one in heads[1:])
    kinds = set(re.findall(r"^### (.*)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


TWO_RELEASES = (
    "# Changelog\n\n## [Unreleased]\n\n- to come\n\n"
    "## [0.2.0] - 2026-02-01\n\n### Added\n\n- two\n\n"
    "## [0.1.0] - 2026-01-01\n\n- one\n"
)


@pytest.mark.parametrize(
    ("tag", "notes"),
    [
        *(("v0.2.0", "### Added\n\n- two\n"), ("v0.1.0", "- one\n")),
        *((tag, "") for tag in ("v0.3.0", "v0.2", "0.2.0", "vUnreleased", "main")),
    ],
)
def test_the_notes_of_a_release_are_its_section_and_another_tag_is_none(tmp_path, tag, notes):
    (tmp_path / "CHANGELOG.md").write_text(TWO_RELEASES, "utf-8")
    command = [sys.executable, str(ROOT / ".ci" / "release_notes.py"), tag]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (notes, 0 if notes else 1)
    assert (f"CHANGELOG.md has no section for {tag}" in done.stderr) == (not notes)


def test_only_a_tag_or_a_person_makes_a_release():
    workflow = read(".github/workflows/release.yml")
    # YAML reads the key "on" as the value true.
    assert workflow[True] == {"push": {"tags": ["v*"]}, "workflow_dispatch": None}
    commands = "".join(step.get("run", "") for step in workflow["jobs"]["release"]["steps"])
    assert commands.index("release_notes.py") < commands.index("gh release create")
    assert "--verify-tag" in commands


def test_the_jobs_environment_has_the_package_s_dependencies():
    """The environment does not need Snakemake."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]} - {"snakemake"}
    assert set(read("workflow/envs/nst.yaml")["dependencies"][-1]["pip"]) == needed


# ---------------------------------------------------------------- the wheel, without a checkout

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


@pytest.mark.slow
def test_an_installed_package_checks_a_grid(python, tmp_path):
    where = run(python, "-c", "import nst; print(nst.__file__)", cwd=tmp_path)
    assert str(python.parents[1]) in where, "the wheel is imported, not the checkout"
    (tmp_path / "my.yaml").write_text("contents: [astronaut]\nstyles: [great_wave_study]\n")
    told = run(python.parent / "nst", "check", "my.yaml", cwd=tmp_path)
    assert "1 content × 1 style × " in told


@pytest.mark.slow
def test_an_installed_package_has_every_preset_and_every_picture_of_this_project(python):
    share = python.parents[1] / "share" / "nst"
    sources = [entry.source.partition(":") for entry in read_catalogue().values()]
    pictures = {f"resources/{rest}" for kind, _, rest in sources if kind == "resources"}
    presets = {f"config/presets/{name}.yaml" for name in read_presets()}
    assert len(pictures) > 3
    assert {one for one in pictures | presets if not (share / one).is_file()} == set()
