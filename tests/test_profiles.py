"""The profiles: Snakemake accepts every key, and the scripts parse the schedulers' output."""

import os
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from workflow_runs import ROOT, cluster_python

pytestmark = pytest.mark.slow

PROFILES = ROOT / "profiles"
CLUSTERS = ("slurm", "kubernetes", "cluster-generic")


def read(name: str) -> dict:
    return yaml.safe_load((PROFILES / name / "config.yaml").read_text("utf-8"))


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_profile_for_a_cluster_has_what_it_takes_the_place_of(name):
    """Everything except the number of GPUs, which the cluster manages."""
    default = read("default")
    assert default.pop("resources") == ["gpu=1"]
    profile = read(name)
    assert {key: profile[key] for key in default} == default
    assert "resources" not in profile
    assert profile["executor"] == name
    assert profile["retries"] == 2


@pytest.mark.parametrize("name", CLUSTERS)
def test_snakemake_plans_the_default_grid_with_each_profile(name):
    run = subprocess.run(
        [
            *(str(cluster_python()), "-m", "snakemake", "--dry-run", "--nolock"),
            *("--workflow-profile", str(PROFILES / name)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert "stylize" in run.stdout


# ---------------------------------------------------------------- cluster-generic's status.py

PBS = '{{"Jobs": {{"7.head": {{"job_state": "{}"{}}}}}}}\n'
ENDED = "qname        gpu.q\nfailed       {}\nexit_status  {}\n"
LEFT = {"qstat": ("Following jobs do not exist: 7\n", 1)}

# System, the output and exit status of its commands, and the answer for Snakemake.
ANSWERS = [
    ("slurm", {"squeue": ("PENDING\n", 0)}, "running"),
    ("slurm", {"squeue": ("COMPLETED\n", 0)}, "success"),
    ("slurm", {"squeue": ("CANCELLED\n", 0)}, "failed"),
    ("slurm", {"squeue": ("slurm_load_jobs error: Invalid job id specified\n", 1)}, "failed"),
    ("slurm", {"squeue": ("slurm_load_jobs error: Unable to contact controller\n", 1)}, "running"),
    ("pbs", {"qstat": (PBS.format("R", ""), 0)}, "running"),
    ("pbs", {"qstat": (PBS.format("F", ', "Exit_status": 0'), 0)}, "success"),
    ("pbs", {"qstat": (PBS.format("F", ', "Exit_status": 271'), 0)}, "failed"),
    ("pbs", {"qstat": (PBS.format("F", ""), 0)}, "failed"),
    ("pbs", {"qstat": ("Connection refused\n", 111)}, "running"),
    ("lsf", {"bjobs": ("PEND\n", 0)}, "running"),
    ("lsf", {"bjobs": ("DONE\n", 0)}, "success"),
    ("lsf", {"bjobs": ("EXIT\n", 0)}, "failed"),
    ("lsf", {"bjobs": ("Job <7> is not found\n", 255)}, "failed"),
    ("sge", {"qstat": ("job_number: 7\n", 0)}, "running"),
    ("sge", LEFT | {"qacct": ("x", 3)}, "running"),
    ("sge", LEFT | {"qacct": (ENDED.format(0, 0), 0)}, "success"),
    ("sge", LEFT | {"qacct": (ENDED.format(0, 137), 0)}, "failed"),
    ("sge", LEFT | {"qacct": (ENDED.format(100, 0), 0)}, "failed"),
]


@pytest.mark.parametrize(("system", "commands", "answer"), ANSWERS)
def test_what_a_scheduler_says_of_a_job_is_understood(system, commands, answer, tmp_path):
    """The outputs are those in the manuals; only Slurm was available."""
    said = status_of(system, commands, tmp_path)
    assert said.stdout == f"{answer}\n", said.stderr


def status_of(
    system: str, commands: dict[str, tuple[str, int]], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Query job 7 in a folder in which the scheduler's commands print these texts."""
    for name, (text, status) in commands.items():
        program = folder / name
        output = "&1" if status == 0 else "&2"
        program.write_text(f"#!/bin/sh\ncat >{output} <<'END'\n{text}END\nexit {status}\n", "utf-8")
        program.chmod(0o755)
    return subprocess.run(
        [PROFILES / "cluster-generic" / "status.py", system, "7"],
        cwd=folder,
        env=os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_job_that_grid_engine_s_accounts_never_get_is_not_waited_for_without_end(tmp_path):
    commands = LEFT | {"qacct": ("error: job id 7 not found\n", 1)}
    assert status_of("sge", commands, tmp_path).stdout == "running\n", "the accounts may be late"
    (gone,) = (tmp_path / ".snakemake/nst-gone").iterdir()
    os.utime(gone, (time.time() - 301,) * 2)
    said = status_of("sge", commands, tmp_path)
    assert said.stdout == "failed\n"
    assert "qacct has to see the accounting file" in said.stderr
    commands["qacct"] = (ENDED.format(0, 0), 0)
    assert status_of("sge", commands, tmp_path).stdout == "success\n"
    assert not gone.exists()


def test_a_job_that_pbs_has_forgotten_is_reported_with_the_remedy(tmp_path):
    said = status_of("pbs", {"qstat": ("qstat: Unknown Job Id 7\n", 153)}, tmp_path)
    assert said.stdout == "failed\n"
    assert "job_history_enable=True" in said.stderr


def test_a_system_that_is_none_is_refused_with_those_that_are(tmp_path):
    said = status_of("torque", {}, tmp_path)
    assert said.returncode == 1
    assert "slurm|pbs|lsf|sge" in said.stderr
