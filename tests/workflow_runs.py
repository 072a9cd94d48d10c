"""Small grids for the tests of the workflow, and functions that run Snakemake on them."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from nst.cells.cell import Cell, read_details

ROOT = Path(__file__).resolve().parents[1]
LAYERS = {
    "all": {"content": {"relu3_1": 1}, "style": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1}},
    "fine": {"content": {"relu3_1": 1}, "style": {"relu1_1": 1}},
}

# Jobs with this folder on their path pretend what their environment says.
PRETENDED = str(ROOT / "tests" / "pretended")

# Fitting takes about a third of a small run; the fixture ``take_fitted`` avoids it.
FITTED = {"extractor": "kmeans", "kmeans": {"images": ["great_wave_study"]}}


def small_config() -> dict:
    return {
        "contents": [{"path": "photos/a cat.png", "title": "A cat"}],
        "styles": ["paintings/nuit étoilée.png", "great_wave_study"],
        "ratios": ["1e0", "1e-2"],
        "layers": LAYERS,
        "image_size": 48,
        "iterations": 3,
        "extractor": "kmeans",
        "kmeans": {"images": ["a cat", "great_wave_study"]},
    }


def write_config(folder: Path, config: dict) -> None:
    text = yaml.safe_dump(config, allow_unicode=True)
    (folder / "my config.yaml").write_text(text, encoding="utf-8")


def command(folder: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "my config.yaml")),
        *("--cores", "1", "--resources", "gpu=1", *options),
    ]


def snakemake(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *options),
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def finish(folder: Path, *options: str, **environment: str) -> str:
    """Run Snakemake, assert that it succeeds, and return its output."""
    run = snakemake(folder, *options, **environment)
    assert run.returncode == 0, run.stdout
    return run.stdout


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python with code that uses the package."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def killed_soon(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start Python with code that prints "ready", and kill it half a second after it does."""
    process = start_python(code, *arguments)
    assert process.stdout.readline() == "ready\n", process.communicate()
    threading.Timer(0.5, process.kill).start()
    yield process
    process.communicate()


def run_python(code: str, *arguments: object, **environment: str) -> str:
    """Run code that uses the package in a separate process; return its output."""
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def wait_until(
    happened: Callable[[], object], process: subprocess.Popen[str] | None = None
) -> None:
    """Poll until ``happened`` is true; fail if the process ends first."""
    deadline = time.monotonic() + 300
    while not happened():
        assert process is None or process.poll() is None, "the process must not end first"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def cluster_python() -> Path:
    """Return the Python that has the executor plugins, which is not the tests' own.

    An installed Slurm plugin queries the controller at each start, even of local runs.
    """
    path = ROOT / ".venv-clusters" / "bin" / "python"
    if not path.exists():
        unavailable("the executor plugins are not there: make clusters")
    return path


def unavailable(reason: str) -> None:
    """Skip a test that lacks a requirement; fail it in CI, which must provide all of them."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def details(folder: Path) -> dict[str, Cell]:
    """Return every cell by its picture's path below results/cells, without the suffix."""
    results = folder / "results"
    return {
        picture.relative_to(results / "cells").with_suffix("").as_posix(): cell
        for path in sorted(results.glob("details/*/*.json"))
        for picture, cell in read_details(path).items()
    }
