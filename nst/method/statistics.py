"""What a style is to be compared by: measured once of the style, blended, compared at each step.

Adding a statistic is adding a row to ``STATISTICS``, and its name in ``nst.config.settings``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nst.method.distributions import (
    blended_quantiles,
    counted_positions,
    merged_samples,
    nearest_style_loss,
    sample_features,
    sliced_wasserstein_style_loss,
    style_quantiles,
)
from nst.method.losses import STYLE_LOSSES, StyleLoss, blended_moments, merged_moments, moments
from nst.method.transport import blended_cloud, relaxed_emd_style_loss, style_cloud
from nst.network.shapes import Float, Tensor

Weights = Float[Tensor, "1 1 _h _w"] | None
"""How much each position counts; None for all alike."""


@dataclass(frozen=True)
class Statistic:
    """One way to compare features with a style's.

    ``places`` turns weights into the places that count, once for all steps. ``measure`` takes the
    features of one style and the places that count; ``blend`` averages the measurements of several
    styles by their shares. ``look`` takes the features of a batch and the places that count;
    ``compare`` takes what ``look`` and ``blend`` return, and returns a loss for each picture.
    ``merge`` combines what ``look`` returns for the tiles of a picture; ``measure`` then returns
    the same type. It is None where the statistic needs all positions at once.
    """

    measure: Callable[[Tensor, Any], Any]
    blend: Callable[[Sequence[tuple[float, Any]]], Any]
    look: Callable[[Tensor, Any], Any]
    compare: Callable[[Any, Any], Tensor]
    places: Callable[[Weights], Any]
    merge: Callable[[Sequence[Any]], Any] | None = None


def _of_moments(loss: StyleLoss) -> Statistic:
    """Return the statistic that compares moments by a loss."""
    return Statistic(
        moments, blended_moments, moments, loss, lambda weights: weights, merged_moments
    )


def _of_features(
    measure: Callable[[Tensor, Any], Any],
    blend: Callable[[Sequence[tuple[float, Any]]], Any],
    loss: Callable[[Tensor, Any, Any], Tensor],
) -> Statistic:
    """Return the statistic that needs the features themselves, of all positions, for its loss."""
    return Statistic(
        measure,
        blend,
        lambda features, positions: (features, positions),
        lambda seen, target: loss(seen[0], seen[1], target),
        counted_positions,
    )


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        **{name: _of_moments(loss) for name, loss in STYLE_LOSSES.items()},
        "sliced_wasserstein": _of_features(
            style_quantiles, blended_quantiles, sliced_wasserstein_style_loss
        ),
        "nearest": _of_features(sample_features, merged_samples, nearest_style_loss),
        "relaxed_emd": Statistic(
            style_cloud,
            blended_cloud,
            lambda features, weights: (features, weights),
            lambda seen, target: relaxed_emd_style_loss(seen[0], seen[1], target),
            lambda weights: weights,
        ),
    }
)
# Under these, layer weights are scaled to sum to 1, so that taking more layers does not shift the
# balance of content and style. The published recipes take their weights as given.
LOSSES_OF_SHARES = frozenset(
    {"covariance", "moments", "relative", "sliced_wasserstein", "nearest", "relaxed_emd"}
)
