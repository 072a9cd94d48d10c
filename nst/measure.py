"""Measures that mean the same for every cell, whatever its own losses were.

The relative losses of ``nst.losses``, under one fixed definition: the run's extractor with its own
pooling and input; content at relu4_2; style at relu1_1 to relu5_1 with equal shares, the style
image at the longer side of the result. 0 is the content, or the style, itself; 1 is as far from it
as a picture without features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from PIL import Image

from nst.extractor import Extractor
from nst.images import fit_long_side, stretch
from nst.objective import Objective, Targets, measure_targets
from nst.settings import CONTENT_LAYERS, STYLE_LAYERS, Settings
from nst.shapes import Float, Tensor
from nst.tensors import to_tensor


class Measure:
    """The fixed measures of a pair's results."""

    def __init__(self, extractor: Extractor, content: Image.Image, style: Image.Image) -> None:
        self._extractor = extractor
        self._content = content
        self._style = style
        known = extractor.architecture.layers
        # An extractor without a fifth block is measured by what it has.
        self._settings = Settings(
            content_layers={n: w for n, w in CONTENT_LAYERS.items() if n in known}
            or {known[-1]: 1.0},
            style_layers={n: w for n, w in STYLE_LAYERS.items() if n in known},
        )
        self._targets: dict[tuple[int, int], Targets] = {}

    def __call__(self, result: Float[Tensor, "1 3 h w"]) -> Mapping[str, float]:
        """Return ``relative_content`` and ``relative_style`` of a result, RGB in [0, 1]."""
        height, width = result.shape[-2:]
        if (width, height) not in self._targets:
            self._targets[width, height] = self._measure_targets(width, height)
        targets = self._targets[width, height]
        with torch.no_grad():
            parts = Objective(self._extractor, targets, [self._settings])(result)
        return {
            "relative_content": parts.content.item(),
            "relative_style": parts.style.item(),
        }

    def _measure_targets(self, width: int, height: int) -> Targets:
        """Measure the pair's targets for results of one size."""
        device = next(self._extractor.parameters()).device
        content = to_tensor(stretch(self._content, (width, height))).to(device)
        style = to_tensor(fit_long_side(self._style, max(width, height))).to(device)
        return measure_targets(self._extractor, content, style, [self._settings])
