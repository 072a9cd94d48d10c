"""Grids run through a real Slurm on one machine with two pretended GPUs, for a few minutes.

Each test checks what Slurm reports about the jobs and what a user would see.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cluster
import pytest
import yaml
from conftest import paint
from workflow_runs import (
    LAYERS,
    ROOT,
    cluster_python,
    details,
    finish,
    unavailable,
    write_config,
)

from nst.config.catalogue import read_catalogue
from nst.config.geometry import allocate_pair
from nst.config.run import read_run

LONGEST = 300  # seconds for a run: several times its duration on two idle cores
SLURM = ROOT / "profiles" / "slurm"
DETAILS = "results/details/{}/{}.json"
TARGET = DETAILS.format("a cat", "wave")

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    """Start a cluster for the tests of this file. In CI, failing to start it is a failure."""
    cluster_python()
    if reason := cluster.missing():
        unavailable(reason)
    with Path("/run/nst-slurm.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail("another run of these tests uses the cluster; wait for its end")
        try:
            cluster.start()
            yield
        finally:
            cluster.stop()


@dataclass(frozen=True)
class Job:
    """A Slurm job: its rule, its requested resources, its start and end, and its final state."""

    number: str
    name: str
    rule: str
    state: str
    gpus: int
    memory: int
    """MB"""
    minutes: int
    partition: str
    began: datetime
    ended: datetime


def jobs_of(output: str) -> list[Job]:
    """List a run's jobs in the order of their submission, from the run's output."""
    if "SLURM run ID" in output:
        return [one for one in all_jobs() if one.name == run_of(output)]
    # The generic profile does not name runs.
    submitted = re.findall(r"Submitted job \d+ with external jobid '(\d+)'", output)
    return [one for one in all_jobs() if one.number in submitted]


def all_jobs() -> list[Job]:
    """Read all jobs that Slurm knows."""
    listed = cluster.ask("scontrol", "--oneliner", "show", "jobs")
    known = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in listed.splitlines()]
    jobs = [as_job(one) for one in known if "JobId" in one]
    return sorted(jobs, key=lambda one: int(one.number))


def as_job(known: Mapping[str, str]) -> Job:
    """Parse one job from Slurm's output."""
    gpus = re.search(r"gpu[:=](\d+)", known.get("TresPerJob", ""))
    hours, minutes, _ = map(int, known["TimeLimit"].rpartition("-")[2].split(":"))
    # The Slurm plugin puts the rule into the comment; the generic profile puts it into the name.
    said = known.get("Comment", known["JobName"])
    return Job(
        number=known["JobId"],
        name=known["JobName"],
        rule=re.sub(r"^rule_|^nst\.|_wildcards_.*", "", said),
        state=known["JobState"],
        gpus=int(gpus[1]) if gpus else 0,
        memory=megabytes(known["MinMemoryNode"]),
        minutes=60 * hours + minutes,
        partition=known["Partition"],
        began=moment(known["StartTime"]),
        ended=moment(known["EndTime"]),
    )


def megabytes(text: str) -> int:
    """Parse a size: Slurm prints 4096 MB as 4G, and 4097 as 4097M."""
    return int(text.removesuffix("M")) if text[-1] != "G" else 1024 * int(text[:-1])


def moment(text: str) -> datetime:
    return datetime.max if text == "Unknown" else datetime.fromisoformat(text)


def run_of(output: str) -> str:
    """Return the name that the plugin gave a run and all of its jobs."""
    (name,) = set(re.findall(r"SLURM run ID: (\S+)", output))
    return name


def command(folder: Path, *options: str, profile: Path = SLURM) -> list[str]:
    """Return the command that a user types, with faster status checks and a time limit."""
    sooner = ["--slurm-init-seconds-before-status-checks", "2"]
    return [
        # Without --foreground, timeout would send a signal twice; the second would stop Snakemake
        # from cancelling its jobs.
        *("timeout", "--foreground", "--signal=INT", "--kill-after=30", str(LONGEST)),
        *(str(cluster_python()), "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "my config.yaml")),
        *("--workflow-profile", str(profile)),
        *([] if profile.name == "cluster-generic" else sooner),
        *options,
    ]


def through_slurm(folder: Path, *options: str, **changes: Path) -> tuple[int, str]:
    """Run to the end, and return the exit status and the output."""
    done = subprocess.run(
        command(folder, *options, **changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.returncode, done.stdout


class Running:
    """A run that the tests watch and disturb from outside."""

    def __init__(self, folder: Path, *options: str, profile: Path = SLURM) -> None:
        self._said = folder / "said.txt"
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                command(folder, *options, profile=profile),
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    @property
    def output(self) -> str:
        return self._said.read_text("utf-8")

    @property
    def jobs(self) -> list[Job]:
        return jobs_of(self.output)

    def await_job(self, rule: str, state: str, also: Callable[[], bool] = lambda: True) -> Job:
        """Wait until a job of this rule is in this state and ``also`` is true."""
        deadline = time.monotonic() + LONGEST
        while True:
            found = [one for one in self.jobs if (one.rule, one.state) == (rule, state)]
            if found and also():
                return found[0]
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)

    def kill(self) -> None:
        """Send SIGKILL, so that Snakemake cannot clean up."""
        # The process group has timeout, Snakemake, and its local child processes.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


# The content's file name contains commands that a shell would run.
CONTENT = "photos/a $(touch pwned); `touch pwned` cat.png"
STYLES = ("nuit étoilée", "wave", "nude")


def configure(folder: Path, **changes: object) -> None:
    config = {
        "contents": [{"path": CONTENT, "name": "a cat"}],
        "styles": [f"paintings/{style}.png" for style in STYLES],
        "ratios": ["1e0", "1e-2"],
        "layers": {"all": LAYERS["all"]},
        "image_size": 48,
        "iterations": 3,
        "extractor": "kmeans",
        "kmeans": {"images": ["a cat", "wave"]},
        "precision": "float32",  # the same on every machine
    }
    write_config(folder, config | changes)


def pictures(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every cell by its name."""
    cells = folder / "results" / "cells"
    return {str(one.relative_to(cells)): one.read_bytes() for one in sorted(cells.rglob("*.png"))}


def allocation(folder: Path) -> tuple[int, int]:
    """Return the memory and the minutes that the job of a pair first requests."""
    config = yaml.safe_load((folder / "my config.yaml").read_text("utf-8"))
    config["contents"] = [{**one, "path": str(folder / one["path"])} for one in config["contents"]]
    config["styles"] = [str(folder / style) for style in config["styles"]]
    run = read_run(config, read_catalogue())
    asked = allocate_pair([one.settings for one in run.variants], run.device)
    return asked.mem_mb, asked.runtime


# ---------------------------------------------------------------- a grid without faults


@dataclass(frozen=True)
class Finished:
    folder: Path
    jobs: list[Job]


@pytest.fixture(scope="module")
def finished(slurm: None, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run a grid through Slurm, in a folder whose name has a space.

    Skip most of the plots and pages: they would repeat the same check, and each job takes ten
    seconds of a core.
    """
    folder = tmp_path_factory.mktemp("slurm") / "ma grille"
    paint(folder / CONTENT, 1, (64, 48))
    for seed, style in enumerate(STYLES, start=2):
        paint(folder / f"paintings/{style}.png", seed, (90, 60))
    configure(folder)
    status, output = through_slurm(folder, "results/grids/overview.png", "results/summary.csv")
    assert status == 0, output
    return Finished(folder, jobs_of(output))


@pytest.fixture
def prepared(finished: Finished, tmp_path: Path) -> Path:
    """Return a copy of the grid with its images and its extractor but without cells."""
    folder = Path(shutil.copytree(finished.folder, tmp_path / "ma grille"))
    for made in ("cells", "details", "store", "grids"):
        shutil.rmtree(folder / "results" / made)
    return folder


def test_every_step_of_the_grid_is_a_job_of_slurm(finished):
    assert Counter(one.rule for one in finished.jobs) == {
        "prepare_image": 4,
        "make_extractor": 1,
        "stylize": 3,
        "overview_grid": 1,
        "summarise": 1,
    }
    assert {one.state for one in finished.jobs} == {"COMPLETED"}
    assert len(details(finished.folder)) == 6


def test_the_pairs_take_a_gpu_each_and_two_run_at_a_time(finished):
    on_gpus = [one for one in finished.jobs if one.gpus]
    assert {(one.rule, one.gpus) for one in on_gpus} == {("stylize", 1)}
    at_once = [sum(other.began <= one.began < other.ended for other in on_gpus) for one in on_gpus]
    assert max(at_once) == 2, on_gpus


def test_a_job_asks_for_the_memory_and_the_time_of_its_size(finished):
    (asked,) = {(one.memory, one.minutes) for one in finished.jobs if one.rule == "stylize"}
    assert asked == allocation(finished.folder)
    (least,) = {(one.memory, one.minutes) for one in finished.jobs if one.rule == "overview_grid"}
    assert least == (2000, 15)


def test_the_pictures_are_those_of_a_local_run_byte_for_byte(finished, prepared):
    """Start from the original images, with the cluster's extractor, because fitting takes long."""
    shutil.rmtree(prepared / "results" / "inputs")
    targets = [DETAILS.format("a cat", style) for style in STYLES]
    run = finish(prepared, "--cores", "all", *targets)
    assert "Redraw a cat in the style of wave" in run
    assert len(pictures(prepared)) == 6
    assert pictures(prepared) == pictures(finished.folder)


def test_what_a_shell_would_run_in_a_name_is_not_run(finished):
    assert not list(finished.folder.rglob("pwned"))
    assert not (Path.cwd() / "pwned").exists()


# ---------------------------------------------------------------- faults


def test_a_cancelled_job_is_seen_and_tried_again_with_more(prepared):
    """The plugin chooses the partition from a file of the partitions' limits."""
    configure(prepared, iterations=200)
    store = prepared / "results" / "store"
    limits = {"cpu": {"max_runtime": 2880}, "gpu": {"max_runtime": 2880, "max_gpu": 2}}
    (prepared / "partitions.yaml").write_text(yaml.safe_dump({"partitions": limits}), "utf-8")
    chosen = ("--slurm-partition-config", str(prepared / "partitions.yaml"))
    with Running(prepared, *chosen, TARGET) as run:
        first = run.await_job("stylize", "RUNNING", lambda: any(store.glob("??/[!.]*")))
        cluster.ask("scancel", first.number)
        assert run.process.wait(LONGEST) == 0, run.output
    assert f"SLURM-job '{first.number}' failed, SLURM status is: 'CANCELLED'" in run.output
    cancelled, again = [one for one in run.jobs if one.rule == "stylize"]
    assert (cancelled.state, again.state) == ("CANCELLED", "COMPLETED")
    assert {one.partition for one in run.jobs} == {"gpu"}, "the plugin must not use the default"
    memory, minutes = allocation(prepared)
    assert (cancelled.memory, cancelled.minutes) == (memory, minutes)
    assert (again.memory, again.minutes) == (2 * memory, 2 * minutes)
    reused = [cell.reused for cell in details(prepared).values()]
    assert sorted(reused) == [False, True], "the finished cell must be reused"


def test_a_failing_job_is_reported_with_its_log_and_the_other_pairs_are_made(prepared, tmp_path):
    """Set the partitions as a user does: by uncommenting their lines."""
    whole = (prepared / "paintings" / "nude.png").read_bytes()
    (prepared / "paintings" / "broken.png").write_bytes(whole[:200])
    configure(prepared, styles=["paintings/broken.png", "paintings/wave.png"])
    targets = [DETAILS.format("a cat", "broken"), TARGET]
    mine = profile_with_partitions(tmp_path / "mine")
    status, output = through_slurm(prepared, "--retries", "0", *targets, profile=mine)
    assert status != 0
    assert "Error in rule prepare_image" in output
    assert "paintings/broken.png: cannot be read as an image" in output
    assert "Traceback" not in output
    jobs = jobs_of(output)
    assert {(one.rule, one.state, one.partition) for one in jobs} == {
        ("prepare_image", "FAILED", "cpu"),
        ("stylize", "COMPLETED", "gpu"),
    }
    assert set(details(prepared)) == {"a cat/wave/all/1e0", "a cat/wave/all/1e-2"}


def profile_with_partitions(folder: Path) -> Path:
    """Write the profile of a user who names partitions."""
    named = r"^( *)# ( *(?:slurm_partition|set-resources|stylize|precision):)"
    text = (SLURM / "config.yaml").read_text("utf-8")
    text, count = re.subn(named, r"\1\2", text, flags=re.MULTILINE)
    assert count == 5
    folder.mkdir()
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    return folder


def test_an_interrupted_run_leaves_no_jobs_and_a_killed_one_can_be_taken_up(prepared):
    configure(prepared, iterations=200)
    with Running(prepared, TARGET) as run:
        run.await_job("stylize", "RUNNING")
        run.process.send_signal(signal.SIGINT)  # timeout forwards it
        assert run.process.wait(60) != 0
        cluster.await_end()
        assert [one.state for one in run.jobs] == ["CANCELLED"]

    with Running(prepared, TARGET) as killed:
        killed.await_job("stylize", "RUNNING")
        killed.kill()
    # The procedure of docs/clusters.md
    left = cluster.ask("squeue", "--noheader", "--format=%j").split()
    assert left == [run_of(killed.output)], "the job must outlive Snakemake"
    cluster.ask("scancel", f"--name={left[0]}")
    status, output = through_slurm(prepared, TARGET)
    assert status == 0, output
    assert "A run was cut off (process" in output
    assert len(pictures(prepared)) == 2


# ---------------------------------------------------------------- the profile for any scheduler


def test_the_generic_profile_submits_watches_and_retries(prepared):
    """Use the same Slurm, through its commands alone."""
    configure(prepared, iterations=200)
    status_command = f"{ROOT / 'profiles/cluster-generic/status.py'} slurm"
    with Running(
        prepared,
        *("--seconds-between-status-checks", "1"),
        *("--cluster-generic-status-cmd", status_command),
        TARGET,
        profile=ROOT / "profiles/cluster-generic",
    ) as run:
        first = run.await_job("stylize", "RUNNING")
        assert (first.gpus, first.memory, first.minutes) == (1, *allocation(prepared))
        cluster.ask("scancel", first.number)
        assert run.process.wait(LONGEST) == 0, run.output
    cancelled, again = [one for one in run.jobs if one.rule == "stylize"]
    assert (cancelled.state, again.state) == ("CANCELLED", "COMPLETED")
    assert again.memory == 2 * cancelled.memory
    assert len(pictures(prepared)) == 2
