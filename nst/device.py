"""Where to compute, and what to call it."""

from __future__ import annotations

import os
import platform

import torch

from nst.errors import ConfigError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called ``name``; ``auto`` is a CUDA GPU where there is one, else the CPU.

    Also asks for the same bytes on every run, which CUDA does not give by itself.

    Raises:
        ConfigError: the device is not there.
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
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.allow_tf32 = False  # float32 is to be what it says
    return device


def describe_device(device: torch.device) -> str:
    """Return a device's name for the reader of a result."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu: {platform.machine()}, {torch.get_num_threads()} threads"
    return device.type
