"""What is minimised: the weighted losses of a batch of cells of the same pair."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nst.config.octaves import Size, Taps
from nst.config.settings import Settings
from nst.method.losses import TV_LOSSES, content_loss_against
from nst.method.regions import Region, weights_at
from nst.method.statistics import LOSSES_OF_SHARES, STATISTICS, Statistic
from nst.network.extractor import Extractor
from nst.network.pyramid import see
from nst.network.shapes import Float, Tensor

SUMS = ("content", "style", "tv", "total")


@dataclass(frozen=True)
class Targets:
    """What the features of a result are compared with; measured once for a pair.

    ``content`` has features by layer; ``style``, for each of the ``regions``, what the statistic
    measured, by layer; those that keep the photograph are left out. ``sizes`` are those of content
    and style, (width, height) in px, and ``halvings`` says how often they were halved against those
    in the end: together, which octaves there are.
    """

    content: Mapping[str, Float[Tensor, "1 _c _h _w"]]
    style: Sequence[Mapping[str, Any]]
    regions: Sequence[Region]
    sizes: tuple[Size, Size]
    halvings: int = 0

    def taps(self, cell: Settings) -> Taps:
        """Return the layers in which a cell is compared."""
        return cell.taps(*self.sizes, self.halvings)


@dataclass(frozen=True)
class Parts:
    """The losses of each cell, and what they are made of.

    ``content`` and ``style`` are sums over layers with the layers' weights, before α and β.
    ``layers`` has the unweighted loss of each layer, as ``content relu4_2`` or ``style relu1_1``.
    """

    content: Float[Tensor, " b"]
    style: Float[Tensor, " b"]
    tv: Float[Tensor, " b"]
    total: Float[Tensor, " b"]
    layers: Mapping[str, Float[Tensor, " b"]]


def measure_targets(
    extractor: Extractor,
    content: Float[Tensor, "1 3 _h _w"],
    regions: Sequence[Region],
    cells: Sequence[Settings],
    halvings: int = 0,
) -> Targets:
    """Measure the content's features and the regions' styles, for all the cells' layers.

    ``halvings`` is as in ``Targets``.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
    """
    painted = [region for region in regions if region.parts]
    styles = [_size(part.image) for region in painted for part in region.parts]
    sizes = _size(content), min(styles, key=min, default=_size(content))
    taps = [cell.taps(*sizes, halvings) for cell in cells]
    statistic = STATISTICS[cells[0].style_loss]
    style_layers = _used(one.style for one in taps)
    # Against a target in float32, the features' error is one in float32 too.
    at_least = torch.promote_types(extractor.dtype, torch.float32)
    with torch.no_grad():
        content_features = see(extractor, content, _used(one.content for one in taps))
        return Targets(
            content={layer: features.to(at_least) for layer, features in content_features.items()},
            style=[_measure_region(extractor, one, statistic, style_layers) for one in painted],
            regions=painted,
            sizes=sizes,
            halvings=halvings,
        )


def _measure_region(
    extractor: Extractor, region: Region, statistic: Statistic, layers: Sequence[str]
) -> dict[str, Any]:
    """Measure a region's style by layer: that of each of its parts, blended by their weights."""
    at_least = torch.promote_types(extractor.dtype, torch.float32)
    measured: dict[str, list[tuple[float, Any]]] = {layer: [] for layer in layers}
    for part in region.parts:
        for layer, features in see(extractor, part.image, layers).items():
            looked_at = weights_at(part.mask, features)
            found = statistic.measure(features.to(at_least), looked_at)
            measured[layer].append((part.weight, found))
    return {layer: statistic.blend(parts) for layer, parts in measured.items()}


class Objective:
    """The weighted sum of the losses: α · content + β · style + total variation.

    Gatys et al. (2016), equation 7, for each cell of a batch with its own α, β and layer weights.
    A layer that one cell leaves out has the weight 0 there, so the cells can share the features.
    The cells must share the kinds of losses.
    """

    def __init__(self, extractor: Extractor, targets: Targets, cells: Sequence[Settings]) -> None:
        self._extractor = extractor
        self._targets = targets
        kinds = cells[0]
        self._content_losses = {
            layer: content_loss_against(kinds.content_loss, target)
            for layer, target in targets.content.items()
        }
        self._statistic = STATISTICS[kinds.style_loss]
        self._tv_loss = TV_LOSSES[kinds.tv_loss]
        device = next(extractor.parameters()).device

        def column(values: Iterable[float]) -> Float[Tensor, " b"]:
            return torch.tensor(list(values), dtype=torch.float32, device=device)

        def columns(
            weightings: Sequence[Mapping[str, float]], kind: str
        ) -> dict[str, Float[Tensor, " b"]]:
            if kind in LOSSES_OF_SHARES:
                weightings = [_shares(weights) for weights in weightings]
            return {
                layer: column(weights.get(layer, 0.0) for weights in weightings)
                for layer in _used(weightings)
            }

        self._alpha = column(cell.alpha for cell in cells)
        self._beta = column(cell.beta for cell in cells)
        self._tv_weight = column(cell.tv_weight for cell in cells)
        taps = [targets.taps(cell) for cell in cells]
        self._content_weights = columns([one.content for one in taps], kinds.content_loss)
        self._style_weights = columns([one.style for one in taps], kinds.style_loss)

    def __call__(self, images: Float[Tensor, "b 3 _h _w"]) -> Parts:
        """Evaluate the losses of ``images``, RGB in [0, 1], one row per cell."""
        features = see(self._extractor, images, {*self._content_weights, *self._style_weights})
        content = {
            layer: self._content_losses[layer](features[layer]) for layer in self._content_weights
        }
        style = {layer: self._style(layer, features[layer]) for layer in self._style_weights}
        content_sum = _weighted_sum(content, self._content_weights)
        style_sum = _weighted_sum(style, self._style_weights)
        tv = self._tv_loss(images)
        return Parts(
            content=content_sum,
            style=style_sum,
            tv=tv,
            total=self._alpha * content_sum + self._beta * style_sum + self._tv_weight * tv,
            layers={
                **{f"content {layer}": loss for layer, loss in content.items()},
                **{f"style {layer}": loss for layer, loss in style.items()},
            },
        )

    def _style(self, layer: str, features: Float[Tensor, "b _c _h _w"]) -> Float[Tensor, " b"]:
        """Return the style loss of a layer: the regions', each by its share of the picture."""
        losses = [
            region.share
            * self._statistic.loss(features, weights_at(region.mask, features), target[layer])
            for region, target in zip(self._targets.regions, self._targets.style, strict=True)
        ]
        return functools.reduce(torch.add, losses)


def _size(images: Float[Tensor, "b 3 _h _w"]) -> Size:
    """Return width and height in px."""
    height, width = images.shape[-2:]
    return width, height


def _used(weightings: Iterable[Mapping[str, float]]) -> list[str]:
    """List the layers that have a weight in any of ``weightings``, in a fixed order."""
    return sorted({layer for weights in weightings for layer, value in weights.items() if value})


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Scale weights to sum to 1."""
    total = sum(weights.values())
    return {layer: weight / total for layer, weight in weights.items()}


def _weighted_sum(
    losses: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> Float[Tensor, " b"]:
    """Add up the layers' losses, each cell with its own weights.

    One after the other, not stacked: a layer of weight 0 then leaves the sum as it was to the last
    bit, and a cell's result does not depend on the layers that others in its batch use.
    """
    terms = [weights[layer] * loss for layer, loss in losses.items()]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
