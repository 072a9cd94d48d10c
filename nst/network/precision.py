"""The precision that the network computes in.

Where the hardware supports bfloat16, the convolutions take about half the time in it. The picture,
the losses, the Gram matrices' sums and the optimiser stay in float32.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal

import torch

from nst.config.settings import PrecisionName
from nst.errors import ConfigError
from nst.system.machine import LIMITS

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# As torch.cpu.get_capabilities names them: of x86, and of ARM.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
AMPERE = (8, 0)  # the first compute capability of NVIDIA with bfloat16


def choose_precision(name: PrecisionName, device: torch.device) -> Precision:
    """Return the precision called ``name``; ``auto`` is bfloat16 where it is native.

    On other devices bfloat16 is emulated, far slower than float32. The choice does not depend on
    timings: it decides pixels, so it must be the same each time.
    """
    if name != "auto":
        return name
    native, reason = _native_bfloat16(device)
    chosen: Precision = "bfloat16" if native else "float32"
    logger.info("precision: %s, because %s", chosen, reason)
    return chosen


def read_precision(path: Path) -> Precision:
    """Read the precision that was recorded for a run.

    Raises:
        ConfigError: the file holds something else.
    """
    text = path.read_text("utf-8", "replace").strip()
    if text not in DTYPES:
        raise ConfigError(f"{path} must hold one of {', '.join(DTYPES)}; got {text!r}")
    return text


def _native_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Return whether the device computes bfloat16 natively, and the reason for this answer."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return capability >= AMPERE, "the compute capability is {}.{}".format(*capability)
    if device.type != "cpu":
        return False, f"bfloat16 is untested on {device.type}"
    if not hasattr(torch.cpu, "get_capabilities"):
        return False, f"torch {torch.__version__} cannot report the processor's instructions"
    if limited := [name for name in LIMITS if os.environ.get(name)]:
        return False, f"{limited[0]} keeps oneDNN from some instructions"
    if not torch.backends.mkldnn.is_available():
        return False, "this torch has no oneDNN"
    capabilities = torch.cpu.get_capabilities()
    found = [name for name in BFLOAT16_INSTRUCTIONS if capabilities.get(name)]
    return bool(found), f"the processor has {found[0] if found else 'no bfloat16 instructions'}"
