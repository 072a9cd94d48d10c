"""The device that a job computes on, and how many threads it takes."""

import logging
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nst.errors import ConfigError
from nst.system.device import choose_device, describe_device, reserve_device, use_threads

CPU = torch.device("cpu")


def test_there_is_always_a_device():
    assert choose_device().type in ("cpu", "cuda")
    assert choose_device("cpu") == CPU
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1", "large pictures in large pages"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu\n", "xla"])
def test_an_unknown_device_is_refused_with_the_choices(name):
    with pytest.raises(ConfigError, match="device must be auto, cpu, cuda, cuda:1 or mps; got"):
        choose_device(name)


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"device cuda:99 is not there: .* Set device to auto"):
        choose_device("cuda:99")


@pytest.mark.parametrize(
    ("name", "variable", "warned"),
    [("auto", "0", True), ("auto", "", False), ("auto", "-1", False), ("cpu", "0", False)],
)
def test_a_cpu_in_the_place_of_a_gpu_is_announced(monkeypatch, caplog, name, variable, warned):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    monkeypatch.delenv("SLURM_JOB_GPUS", raising=False)
    caplog.set_level(logging.INFO)
    with reserve_device(name) as device:
        assert device == CPU
    assert f"computing on {describe_device(CPU)}" in caplog.text
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a GPU")
    assert [one.startswith("CUDA_VISIBLE_DEVICES is 0, but torch") for one in warnings] == (
        [True] if warned else []
    )


def test_a_cpu_is_described_by_its_kind_and_threads():
    assert describe_device(CPU).startswith("cpu: ")
    assert describe_device(CPU).endswith(f"{torch.get_num_threads()} threads")


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (2, 2), (64, 2)])
def test_there_are_no_more_threads_than_cores(monkeypatch, asked, used):
    """With more, they wait for each other: a fit of seconds took three minutes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    before = torch.get_num_threads()
    try:
        use_threads(asked)
        assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(before)


FAULTS = """
import resource, sys
import torch
from nst.system.device import reserve_device

def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        torch.ones(2**23)  # 32 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with reserve_device("cpu"):
    faults(20)  # the heap grows until it holds what is kept
    print(faults(10))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_memory_that_one_evaluation_freed_is_there_for_the_next():
    pages = subprocess.run(
        [sys.executable, "-c", FAULTS],
        cwd=Path(__file__).resolve().parents[1],
        # Pages of 4 kB, so that a new tensor cannot do with a few large ones.
        env=os.environ | {"THP_MEM_ALLOC_ENABLE": "0"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(pages) < 100
