"""Choose, reserve and describe the device to compute on, and the machine that it is in."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from nst.errors import ConfigError
from nst.system.locks import hold_one

logger = logging.getLogger(__name__)

# Parameters of glibc's mallopt, in bytes: how much memory must be free at the heap's end before it
# is returned to the system, and from which size on a block is allocated outside the heap. Larger
# values are faster, and take more memory.
M_TRIM_THRESHOLD, TRIMMED = -1, 256 * 2**20
M_MMAP_THRESHOLD, APART = -3, 64 * 2**20
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
"""Environment variables that keep oneDNN, whose convolutions torch uses, from newer instructions.
torch's own variable, ATEN_CPU_CAPABILITY, affects the result of ``get_cpu_capability``."""


@contextmanager
def reserve_device(name: str = "auto") -> Iterator[torch.device]:
    """Reserve the device called ``name`` for one job, until the end of the block.

    ``auto`` and ``cuda`` take a visible GPU that no other job of this machine has reserved. All
    GPUs are visible, or only those in ``CUDA_VISIBLE_DEVICES``. ``cuda:1`` is the second visible
    GPU. While all of them are taken, the job waits and logs this. A CPU is shared between jobs.

    Raises:
        ConfigError: the device is not available.
        UserError: the device cannot be locked.
    """
    device = choose_device(name)
    if device.type != "cuda":
        logger.info("computing on %s", describe_device(device))
        if name == "auto" and (sign := _sign_of_gpu()):
            logger.warning(
                "%s, but torch %s cannot use a CUDA GPU here: a driver that is too old or missing, "
                "or a torch without CUDA. Set device: cuda to refuse the CPU.",
                *(sign, torch.__version__),
            )
        yield device
        return
    wanted = range(torch.cuda.device_count()) if device.index is None else [device.index]
    devices = {f"cuda:{index}": _identify(index) for index in wanted}
    with hold_one(devices) as held:
        torch.cuda.set_device(held)  # so that nothing is allocated on the first GPU by default
        logger.info("computing on %s, %s, %s", held, torch.cuda.get_device_name(), devices[held])
        yield torch.device(held)


def _sign_of_gpu() -> str:
    """Return a sign that the job was meant for a GPU, or "" if there is none."""
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_GPUS"):
        value = os.environ.get(name, "")
        if value not in ("", "-1", "NoDevFiles"):
            return f"{name} is {value}"
    driver = Path("/proc/driver/nvidia/version")
    return f"there is {driver}" if driver.exists() else ""


def _identify(index: int) -> str:
    """Return the machine-wide identity of a visible GPU, or of its MIG partition."""
    uuid = str(torch.cuda.get_device_properties(index).uuid)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    # For a partitioned GPU, CUDA may return the identity of the whole GPU.
    part = visible[index].strip() if index < len(visible) else ""
    return f"{uuid} {part}" if part.startswith("MIG-") else uuid


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is a CUDA GPU if there is one, else the CPU.

    Also makes CUDA compute the same bytes on every run, which it does not do by default. On a CPU,
    freed memory is kept for reuse.

    Raises:
        ConfigError: the device is unknown or not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda", "mps"):  # torch has names for many more
        raise ConfigError(f"device must be auto, cpu, cuda, cuda:1 or mps; got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {name} is not there: torch sees {torch.cuda.device_count()} CUDA devices. "
            "Set device to auto or cpu."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device mps is not there; set device to auto or cpu")
    if device.type == "cpu":
        _keep_freed_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Otherwise torch would fill all new memory with NaN, to expose reads before writes.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        # Compute float32 in full precision, and sum products of bfloat16 without reduced precision,
        # whatever the environment sets.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    return device


def _keep_freed_memory() -> None:
    """Keep the memory that a step frees for the next step.

    The C library would return these hundreds of MB to the kernel, which clears each page before it
    hands it out again: a cell of 1024 px took 1.1 times as long. This needs glibc.
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_TRIM_THRESHOLD, TRIMMED)
        mallopt(M_MMAP_THRESHOLD, APART)
    # torch reads this variable at its first tensor. Features of large pictures then lie in pages of
    # 2 MiB, where Linux has them: clearing small pages took up to a third of a step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Let torch compute on ``count`` threads, but on no more threads than there are cores.

    Two threads that share a core take tens of times as long as one thread.
    """
    torch.set_num_threads(min(count, count_cores()))


def describe_device(device: torch.device) -> str:
    """Return a readable name of a device."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"
    return device.type


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished its queued work, so that a time can be measured."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_machine(device: torch.device) -> Mapping[str, str]:
    """Return the facts that pixels depend on besides settings and versions.

    Equal facts give equal bytes. The facts are the same at every call on one machine with one
    number of threads. Sums are split among threads and kernels are chosen by instruction set, so
    the same settings round differently elsewhere.
    """
    limits = (f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name))
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "instructions": ", ".join([torch.backends.cpu.get_cpu_capability(), *limits]),
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
