"""The facts about a machine that decide how numbers are rounded."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN, whose convolutions torch uses, from newer instructions.
torch's own variable, ATEN_CPU_CAPABILITY, affects the result of ``get_cpu_capability``."""


def describe_machine(device: torch.device) -> Mapping[str, str]:
    """Return the facts that pixels depend on besides settings and versions.

    Equal facts give equal bytes. The facts are the same at every call on one machine with one
    number of threads. Sums are split among threads and kernels are chosen by instruction set, so
    the same settings round differently elsewhere.
    """
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instructions": _instructions(),
        "threads": str(torch.get_num_threads()),
    }
    if device.type == "cuda":
        cudnn = torch.backends.cudnn.version()
        facts["cuda"] = f"{torch.version.cuda}, cuDNN {cudnn}"
    return facts


def processor() -> str:
    """Return the processor's model, or its architecture if the system does not name a model."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _instructions() -> str:
    """Return the instruction set of torch's kernels, and the limit on oneDNN's if there is one."""
    capability = torch.backends.cpu.get_cpu_capability()
    held = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    return ", ".join([capability, *held])
