"""A target for the content loss: the content's features, each replaced by the style's nearest.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich, "Neural neighbor style transfer" (2022).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch.nn import functional

from nst.config.composition import Part
from nst.method.distributions import counted_features, counted_positions, nearest, sampled
from nst.method.observe import content_features
from nst.method.regions import Region, weights_at
from nst.method.start import finest_detail
from nst.network.extractor import Extractor
from nst.network.shapes import Float, Tensor


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
