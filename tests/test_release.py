"""What is told to those who find, cite and install the project, held to what the project is."""

from __future__ import annotations

import yaml
from workflow_runs import ROOT


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
