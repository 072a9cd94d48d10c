"""Pretends devices, clocks and other speeds for processes with this folder on their path.

``PRETENDED_DEVICES`` lists the UUIDs of the machine's GPUs; their computations run on the CPU.
``PRETENDED_LOCKS`` is the folder of their locks. With ``PRETENDED_MEETING``, a folder and a
number as ``FOLDER:2``, a job that has its device waits until this number of jobs have theirs.

``PRETENDED_GAP`` is the number of seconds between two checkpoints. After ``PRETENDED_CLOCK``
seconds of a process, the wall clock goes back by a day. ``PRETENDED_HASTE`` is the factor by
which time runs faster in the process that watches a run. With ``PRETENDED_STOP``, every cell takes
no time, so that two runs write the same bytes. ``PRETENDED_PATCHES`` is the number of patches that
a network is fitted to, which shortens the fit.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class Pretender(MetaPathFinder):
    """Patches a module when it is imported; other processes start as fast as before."""

    def __init__(self, module: str, pretend: Callable[[], None]) -> None:
        self._module = module
        self._pretend = pretend

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None):
        if name == self._module:
            sys.meta_path.remove(self)
            self._pretend()


def pretend_devices() -> None:
    """Replace CUDA's devices by the pretended ones."""
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_map

    from nst.system import locks

    class OnTheCpu(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None) -> Any:
            def moved(value: Any) -> Any:
                on_gpu = isinstance(value, torch.device) and value.type == "cuda"
                return torch.device("cpu") if on_gpu else value

            return func(*tree_map(moved, args), **tree_map(moved, kwargs or {}))

    uuids = [one.removeprefix("GPU-") for one in os.environ["PRETENDED_DEVICES"].split(",")]
    torch.cuda.device_count = lambda: len(uuids)
    torch.cuda.is_available = lambda: True
    made = [SimpleNamespace(uuid=one, major=8, minor=0) for one in uuids]
    torch.cuda.get_device_properties = made.__getitem__
    torch.cuda.get_device_name = lambda *_: "Pretended GPU"
    torch.cuda.is_bf16_supported = lambda **_: False
    torch.cuda.set_device = lambda name: meet(uuids[int(name.removeprefix("cuda:"))])
    locks.DEVICE_LOCKS = Path(os.environ["PRETENDED_LOCKS"])
    OnTheCpu().__enter__()


def meet(device: str) -> None:
    """Wait until the required number of devices are held at the same time."""
    folder, _, count = os.environ["PRETENDED_MEETING"].rpartition(":")
    (Path(folder) / device).touch(exist_ok=False)
    deadline = time.monotonic() + 250
    while len(list(Path(folder).iterdir())) < int(count):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{device} waited for the others in vain")
        time.sleep(0.05)


def pretend_haste() -> None:
    """Write checkpoints more often than any user would."""
    from nst.method import checkpoint

    checkpoint.SHORTEST_GAP, checkpoint.SHARE = float(os.environ["PRETENDED_GAP"]), float("inf")


def fit_sooner() -> None:
    """Fit a network to fewer patches."""
    from nst.network import kmeans

    kmeans.fit_kmeans = partial(kmeans.fit_kmeans, patches=int(os.environ["PRETENDED_PATCHES"]))


def stop_the_clock() -> None:
    """Let every cell take no time."""
    from nst.method import optimise

    optimise.time = SimpleNamespace(monotonic=lambda: 0.0)


def hasten_the_watcher() -> None:
    """Speed up the clock of the process that watches a run."""
    haste, seconds, sleep = float(os.environ["PRETENDED_HASTE"]), time.monotonic, time.sleep
    time.monotonic = lambda: haste * seconds()
    time.sleep = lambda pause: sleep(pause / haste)


def turn_back_the_clock() -> None:
    """Set the wall clock back by a day, once."""
    seconds, nanoseconds, begin = time.time, time.time_ns, time.monotonic()

    def back() -> int:
        late = time.monotonic() - begin > float(os.environ["PRETENDED_CLOCK"])
        return 86400 if late else 0

    time.time = lambda: seconds() - back()
    time.time_ns = lambda: nanoseconds() - back() * 10**9


# What each variable changes, once this module is imported.
CHANGES = {
    "PRETENDED_DEVICES": ("nst.system.device", pretend_devices),
    "PRETENDED_GAP": ("nst.cells.pair", pretend_haste),
    "PRETENDED_PATCHES": ("nst.network.provision", fit_sooner),
    "PRETENDED_STOP": ("nst.cells.pair", stop_the_clock),
}
for variable in CHANGES.keys() & os.environ.keys():
    sys.meta_path.insert(0, Pretender(*CHANGES[variable]))
if "PRETENDED_HASTE" in os.environ and "nst.commands.watch" in " ".join(sys.orig_argv):
    hasten_the_watcher()
if "PRETENDED_CLOCK" in os.environ:
    turn_back_the_clock()
