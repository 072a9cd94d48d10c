"""The objective to minimise: the weighted losses of a batch of cells of the same pair.

A recipe may replace the content's features by the nearest of the style: Kolkin, Kucera, Paris,
Sýkora, Shechtman and Shakhnarovich, "Neural neighbor style transfer" (2022).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional

from nst.config.composition import Part
from nst.config.geometry import tile_side
from nst.config.layers import Size, Taps
from nst.config.registry import CONTENT_LOSSES, STATISTICS, TV_LOSSES
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method.distributions import counted_features, counted_positions, nearest, sampled
from nst.method.observe import Observer, content_features, for_tiles, measure_style
from nst.method.regions import Region, weights_at
from nst.method.start import finest_detail
from nst.network.extractor import Extractor
from nst.network.tensors import Float, Int, Tensor

SUMS = ("content", "style", "tv", "total")
Role = Literal["content", "style"]
Losses = dict[str, Float[Tensor, " b"]]
"""The losses of each cell by name: those of ``SUMS``, then the unweighted loss of each layer.

``content`` and ``style`` are sums over layers with the layers' weights, before α and β. Layers are
named as ``content relu4_2`` or ``style relu1_1``.
"""


def match_style(
    features: Mapping[str, Float[Tensor, "b _c _h _w"]],
    extractor: Extractor,
    regions: Sequence[Region],
) -> dict[str, Float[Tensor, "b _c _h _w"]]:
    """Replace each feature by the nearest of the style's features, layer by layer.

    The nearest feature has the largest cosine after the subtraction of the means. Each region is
    matched to its own style; a region without a style keeps its features.
    """
    matched = {name: torch.zeros_like(value) for name, value in features.items()}
    for region in regions:
        styles = _features_of(extractor, region.parts, features)
        for name, value in features.items():
            found = _replace(value, styles[name]) if region.parts else value
            weights = weights_at(region.mask, (value.shape[2], value.shape[3]))
            matched[name] += found if weights is None else weights * found
    return matched


def mix_so_far(
    content: Float[Tensor, "1 3 h w"], so_far: Float[Tensor, "b 3 h w"], share: float
) -> Float[Tensor, "b 3 h w"]:
    """Mix a share of the content with the picture so far, enlarged, plus the content's detail.

    The detail is the part of the content that is lost at half its size. Matches then follow the
    picture's colours and large forms, and the content's edges.
    """
    return share * content + (1 - share) * (so_far + finest_detail(content))


def _features_of(
    extractor: Extractor, parts: Sequence[Part[Tensor]], layers: Collection[str]
) -> dict[str, Float[Tensor, "_m _c"]]:
    """Return the features of a style's pictures by layer, in proportion to the pictures' weights.

    The heaviest picture contributes all of its features.
    """
    heaviest = max((part.weight for part in parts), default=1.0)
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    for part in parts:
        for name, value in content_features(extractor, part.image, layers, None).items():
            places = counted_positions(weights_at(part.mask, (value.shape[2], value.shape[3])))
            flat = counted_features(value, places)[0]
            found[name].append(sampled(flat, round(part.weight / heaviest * len(flat))))
    return {name: torch.cat(several) for name, several in found.items() if several}


def _replace(
    features: Float[Tensor, "b c h w"], styles: Float[Tensor, "m c"]
) -> Float[Tensor, "b c h w"]:
    """Replace each feature by the nearest of the style's features."""
    targets = functional.normalize(styles - styles.mean(0), dim=1)
    rows = []
    for one in counted_features(features, None):
        unit = functional.normalize(one - one.mean(0), dim=1)
        rows.append(styles[nearest(unit, targets)].T.unflatten(1, features.shape[-2:]))
    return torch.stack(rows).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Targets:
    """The targets of the losses, measured once for the cells of a pair.

    ``content`` has the content's features by layer. ``style`` has, for each of the ``regions``, the
    measurements of the statistic by layer. Regions that keep the photograph are left out. ``taps``
    has the layers in which each cell is compared. ``halvings`` is the number of halvings from the
    final size to this size. ``side`` is the side of the tiles, or None without tiles.
    """

    content: Mapping[str, Float[Tensor, "_b _c _h _w"]]
    style: Sequence[Mapping[str, Any]]
    regions: Sequence[Region]
    taps: Sequence[Taps]
    halvings: int = 0
    side: int | None = None


def measure_targets(
    extractor: Extractor,
    content: Float[Tensor, "1 3 _h _w"],
    regions: Sequence[Region],
    cells: Sequence[Settings],
    halvings: int = 0,
    *,
    so_far: Float[Tensor, "b 3 _h _w"] | None = None,
) -> Targets:
    """Measure the content's features and the regions' styles, for all the cells' layers.

    ``halvings`` is as in ``Targets``. ``so_far`` has the pictures of the previous size, enlarged.
    They are mixed into the content before it is matched.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
    """
    painted = [region for region in regions if region.parts]
    size = _size(content)
    styles = [_size(part.image) for region in painted for part in region.parts]
    taps = [cell.taps(size, min(styles, key=min, default=size), halvings) for cell in cells]
    side = tile_side(cells[0], content[0, 0].numel())
    statistic = STATISTICS[cells[0].style_loss]
    with torch.no_grad():
        layers = _used(one.content for one in taps)
        matched = cells[0].content_target == "matched"
        if matched and so_far is not None:
            content = mix_so_far(content, so_far, cells[0].match_content)
        features = content_features(extractor, content, layers, side)
        return Targets(
            content=match_style(features, extractor, regions) if matched else features,
            style=[
                measure_style(extractor, region, statistic, _used(one.style for one in taps), side)
                for region in painted
            ],
            regions=painted,
            taps=taps,
            halvings=halvings,
            side=side,
        )


class Objective:
    """The weighted sum of the losses: α · content + β · style + total variation.

    Gatys et al. (2016), equation 7, for each cell of a batch with its own α, β and layer weights.
    A layer that a cell leaves out has the weight 0 in this cell, so the cells can share features.
    The cells are those of the targets, and share the kinds of losses. With ``only``, the other loss
    is 0. ``step`` selects the positions of sampled layers. The caller may increment it in place.
    """

    def __init__(
        self,
        extractor: Extractor,
        targets: Targets,
        cells: Sequence[Settings],
        only: Role | None = None,
        step: Int[Tensor, ""] | None = None,
    ) -> None:
        self._targets = targets
        content_loss = CONTENT_LOSSES[cells[0].content_loss]
        self._content_losses = {
            layer: content_loss.against(target) for layer, target in targets.content.items()
        }
        self._statistic = STATISTICS[cells[0].style_loss]
        self._tv_loss = for_tiles(TV_LOSSES[cells[0].tv_loss], targets.side)
        device = next(extractor.parameters()).device
        column = functools.partial(torch.tensor, dtype=torch.float32, device=device)

        def columns(
            weightings: Sequence[Mapping[str, float]], of_shares: bool
        ) -> dict[str, Float[Tensor, " b"]]:
            if of_shares:
                weightings = [
                    {layer: weight / sum(weights.values()) for layer, weight in weights.items()}
                    for weights in weightings
                ]
            return {
                layer: column([weights.get(layer, 0.0) for weights in weightings])
                for layer in _used(weightings)
            }

        self._alpha = column([cell.alpha * cell.coarse_alpha**targets.halvings for cell in cells])
        self._beta = column([cell.beta for cell in cells])
        self._tv_weight = column([cell.tv_weight for cell in cells])
        contents = [one.content for one in targets.taps] if only != "style" else []
        styles = [one.style for one in targets.taps] if only != "content" else []
        self._content_weights = columns(contents, content_loss.of_shares)
        self._style_weights = columns(styles, self._statistic.of_shares)
        self._observe = Observer(
            extractor,
            self._statistic,
            content={layer: targets.content[layer] for layer in self._content_weights},
            error=content_loss.error,
            style_layers=self._style_weights,
            regions=targets.regions,
            side=targets.side,
            step=torch.zeros((), dtype=torch.int64, device=device) if step is None else step,
        )

    def __call__(self, images: Float[Tensor, "b 3 _h _w"]) -> Losses:
        """Evaluate the losses of ``images``, RGB in [0, 1], one row per cell."""
        seen = self._observe(images)
        content = {
            layer: self._checked("content_loss", self._content_losses[layer](seen.errors[layer]))
            for layer in self._content_weights
        }
        style = {layer: self._style(layer, seen.styles[layer]) for layer in self._style_weights}
        content_sum = self._sum(content, self._content_weights)
        style_sum = self._sum(style, self._style_weights)
        tv = self._checked("tv_loss", self._tv_loss(images))
        return {
            "content": content_sum,
            "style": style_sum,
            "tv": tv,
            "total": self._alpha * content_sum + self._beta * style_sum + self._tv_weight * tv,
            **{f"content {layer}": loss for layer, loss in content.items()},
            **{f"style {layer}": loss for layer, loss in style.items()},
        }

    def _sum(self, losses: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Tensor:
        """Add up the layers' losses, each cell with its own weights; 0 if this loss is left out.

        The losses are added one after another, not stacked. A layer of weight 0 then leaves every
        bit of the sum unchanged, and a cell's result does not depend on the layers of other cells
        in its batch.
        """
        if not losses:
            return torch.zeros_like(self._alpha)
        return functools.reduce(torch.add, [weights[name] * one for name, one in losses.items()])

    def _style(self, layer: str, seen: Sequence[Any]) -> Float[Tensor, " b"]:
        """Return a layer's style loss: the regions' losses, weighted by their shares of area."""
        losses: list[Tensor] = [
            region.share
            * self._checked("style_loss", self._statistic.compare(found, target[layer]))
            for region, found, target in zip(
                self._targets.regions, seen, self._targets.style, strict=True
            )
        ]
        return functools.reduce(torch.add, losses)

    def _checked(self, kind: str, loss: object) -> Float[Tensor, " b"]:
        """Return the result of a loss, which a package may define; refuse any other shape."""
        if isinstance(loss, Tensor) and loss.shape == self._alpha.shape:
            return loss
        got = f"the shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{loss!r}"
        raise ConfigError(
            f"the function of {kind} must return a tensor with one value for each picture, the "
            f"shape {tuple(self._alpha.shape)}; got {got}. Correct it."
        )


def _size(images: Float[Tensor, "b 3 _h _w"]) -> Size:
    """Return width and height in px."""
    height, width = images.shape[-2:]
    return width, height


def _used(weightings: Iterable[Mapping[str, float]]) -> list[str]:
    """List the layers of any of ``weightings``, in a fixed order."""
    return sorted(set().union(*weightings))
