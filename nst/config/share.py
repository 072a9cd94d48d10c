"""The folder of the package's data files: presets, schema, catalogue."""

from __future__ import annotations

import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "nst"  # see data-files in pyproject.toml
SHARE = CHECKOUT if (CHECKOUT / "config" / "presets").is_dir() else INSTALLED
