"""What is told to those who find, cite and install the project, held to what the project is."""

from __future__ import annotations

import re

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


# ---------------------------------------------------------------- cited


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
