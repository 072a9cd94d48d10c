"""The statistics of the style losses: measured once per style, blended, compared at each step.

To add a style loss, add a row to ``STATISTICS``, and its name to the type in
``nst.config.settings``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nst.method import distributions, losses
from nst.network.shapes import Float, Tensor

Weights = Float[Tensor, "1 1 _h _w"] | None
"""How much each position counts; None if all count alike."""


@dataclass(frozen=True)
class Statistic:
    """One way to compare features with a style's.

    ``places`` turns weights into the places that count, once for all steps. ``measure`` takes the
    features of one style and the places that count; ``blend`` averages the measurements of several
    styles by their shares. ``look`` takes the features of a batch and the places that count;
    ``compare`` takes what ``look`` and ``blend`` return, and returns a loss for each picture.
    ``merge`` combines what ``look`` returns for the tiles of a picture; ``measure`` then returns
    the same type. ``merge`` is None if the statistic needs all positions at once. ``of_shares`` is
    as in ``ContentLoss``.
    """

    measure: Callable[[Tensor, Any], Any]
    blend: Callable[[Sequence[tuple[float, Any]]], Any]
    look: Callable[[Tensor, Any], Any]
    compare: Callable[[Any, Any], Tensor]
    places: Callable[[Weights], Any]
    merge: Callable[[Sequence[Any]], Any] | None = None
    of_shares: bool = False


def _as_given(weights: Weights) -> Weights:
    """Return the weights themselves as the places that count."""
    return weights


def _of_moments(
    loss: Callable[[losses.Moments, losses.Moments], Tensor], *, of_shares: bool = False
) -> Statistic:
    """Return the statistic that compares moments by a loss."""
    return Statistic(
        measure=losses.moments,
        blend=losses.blended_moments,
        look=losses.moments,
        compare=loss,
        places=_as_given,
        merge=losses.merged_moments,
        of_shares=of_shares,
    )


def _of_features(
    measure: Callable[[Tensor, Any], Any],
    blend: Callable[[Sequence[tuple[float, Any]]], Any],
    loss: Callable[[Tensor, Any, Any], Tensor],
    places: Callable[[Weights], Any] = distributions.counted_positions,
) -> Statistic:
    """Return the statistic whose loss needs the features themselves, at all positions."""
    return Statistic(
        measure,
        blend,
        look=lambda features, found: (features, found),
        compare=lambda seen, target: loss(seen[0], seen[1], target),
        places=places,
        of_shares=True,
    )


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "covariance": _of_moments(losses.covariance_style_loss, of_shares=True),
        "moments": _of_moments(losses.moments_style_loss, of_shares=True),
        "relative": _of_moments(losses.relative_style_loss, of_shares=True),
        "sum_gram": _of_moments(losses.sum_gram_style_loss),
        "mean_gram": _of_moments(losses.mean_gram_style_loss),
        "mean_plain_gram": _of_moments(losses.mean_plain_gram_style_loss),
        "mean_plain_gram_per_value": _of_moments(losses.mean_plain_gram_per_value_style_loss),
        "scaled_gram": _of_moments(losses.scaled_gram_style_loss),
        "sliced_wasserstein": _of_features(
            distributions.style_quantiles,
            distributions.blended_quantiles,
            distributions.sliced_wasserstein_style_loss,
        ),
        "nearest": _of_features(
            distributions.sample_features,
            distributions.merged_samples,
            distributions.nearest_style_loss,
        ),
        "relaxed_emd": _of_features(
            distributions.style_cloud,
            distributions.blended_cloud,
            distributions.relaxed_emd_style_loss,
            places=_as_given,
        ),
    }
)
