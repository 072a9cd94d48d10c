"""Texts for finding, citing and installing the project agree with the project."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from workflow_runs import ROOT

from nst import __version__

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
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}


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


TWO_RELEASES = """# Changelog

## [Unreleased]

- to come

## [0.2.0] - 2026-02-01

### Added

- two

## [0.1.0] - 2026-01-01

- one
"""


def notes(folder: Path, tag: str) -> subprocess.CompletedProcess[str]:
    (folder / "CHANGELOG.md").write_text(TWO_RELEASES, "utf-8")
    command = [sys.executable, str(ROOT / ".ci" / "release_notes.py"), tag]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_notes_of_a_release_are_its_section(tmp_path):
    assert notes(tmp_path, "v0.2.0").stdout == "### Added\n\n- two\n"
    assert notes(tmp_path, "v0.1.0").stdout == "- one\n"


@pytest.mark.parametrize("tag", ["v0.3.0", "v0.2", "0.2.0", "vUnreleased", "main"])
def test_a_tag_without_a_section_is_no_release(tmp_path, tag):
    done = notes(tmp_path, tag)
    assert done.returncode == 1
    assert f"CHANGELOG.md has no section for {tag}" in done.stderr
    assert not done.stdout


def test_only_a_tag_or_a_person_makes_a_release():
    workflow = read(".github/workflows/release.yml")
    # YAML reads the key "on" as the value true.
    assert workflow[True] == {"push": {"tags": ["v*"]}, "workflow_dispatch": None}
    steps = workflow["jobs"]["release"]["steps"]
    commands = "".join(step.get("run", "") for step in steps)
    assert commands.index("release_notes.py") < commands.index("gh release create")
    assert "--verify-tag" in commands


def test_the_jobs_environment_has_the_package_s_dependencies():
    """The environment does not need Snakemake."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["project"]["dependencies"]
    needed = {re.split(r"[^\w-]", one)[0] for one in listed} - {"snakemake"}
    environment = yaml.safe_load((ROOT / "workflow/envs/nst.yaml").read_text("utf-8"))
    assert set(environment["dependencies"][-1]["pip"]) == needed
