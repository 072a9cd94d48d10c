"""The style losses that see more than moments: sliced Wasserstein and nearest neighbours."""

from typing import get_args

import numpy as np
import pytest
import torch

from nst.config.settings import StyleLossName
from nst.method.distributions import (
    directions,
    merged_samples,
    nearest_style_loss,
    sample_features,
    sliced_wasserstein_style_loss,
    style_quantiles,
)
from nst.method.losses import moments
from nst.method.statistics import STATISTICS, Statistic

NEW = ("sliced_wasserstein", "nearest")


def loss_of(statistic: Statistic, features: torch.Tensor, weights, target) -> torch.Tensor:
    """Look at features and compare them, as an objective does."""
    return statistic.compare(statistic.look(features, statistic.places(weights)), target)


def features(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(name: str, one: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    statistic = STATISTICS[name]
    return loss_of(statistic, one, None, statistic.measure(style, None))


def test_every_name_of_the_settings_is_a_statistic():
    assert set(STATISTICS) == set(get_args(StyleLossName))


@pytest.mark.parametrize("name", NEW)
def test_the_style_itself_has_no_loss_wherever_its_features_are(name):
    style = features(0, 1, 6, 8, 9)
    order = torch.randperm(72, generator=torch.Generator().manual_seed(1))
    moved = style.flatten(2)[:, :, order].view_as(style)
    for one in (style, moved):
        assert loss(name, one, style).item() == pytest.approx(0, abs=2e-5)
    assert loss(name, features(1, 1, 6, 8, 9) + 1, style).item() > 0.1


@pytest.mark.parametrize("name", NEW)
def test_a_style_of_another_size_with_the_same_features_is_the_same_style(name):
    style = features(0, 1, 5, 12, 16)
    assert loss(name, style.repeat(1, 1, 2, 3), style).item() == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("name", NEW)
def test_the_loss_has_no_unit(name):
    one, style = features(0, 2, 5, 6, 7), features(1, 1, 5, 9, 8)
    torch.testing.assert_close(loss(name, 1000 * one, 1000 * style), loss(name, one, style))


@pytest.mark.parametrize("name", NEW)
def test_the_losses_of_a_batch_are_those_of_its_pictures(name):
    batch, style = features(0, 3, 5, 6, 7), features(1, 1, 5, 9, 8)
    alone = torch.cat([loss(name, one[None], style) for one in batch])
    torch.testing.assert_close(loss(name, batch, style), alone)


@pytest.mark.parametrize("name", NEW)
def test_the_gradient_is_that_of_finite_differences(name):
    one, style = features(0, 2, 3, 3, 4).requires_grad_(), features(1, 1, 3, 5, 4)
    assert torch.autograd.gradcheck(lambda value: loss(name, value, style), one)


def test_the_sliced_wasserstein_loss_is_that_of_sorted_projections():
    one, style = features(0, 1, 6, 4, 5), features(1, 1, 6, 4, 5)
    along = directions(6, torch.float64, torch.device("cpu")).numpy()
    ours, theirs = (np.sort(along @ value[0].flatten(1).numpy()) for value in (one, style))
    expected = ((ours - theirs) ** 2).mean() / theirs.var(axis=1).mean()
    found = sliced_wasserstein_style_loss(one, None, style_quantiles(style))
    # The style is kept by its quantiles, which are between its values.
    assert found.item() == pytest.approx(expected, rel=0.02)


def test_the_nearest_loss_is_that_of_the_best_of_all_pairs():
    one, style = features(0, 1, 4, 3, 5).numpy(), features(1, 1, 4, 4, 3).numpy()
    ours, theirs = (value[0].reshape(4, -1).T for value in (one, style))
    distances = [
        min(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in theirs - theirs.mean(axis=0))
        for a in ours - ours.mean(axis=0)
    ]
    shift = ((ours.mean(axis=0) - theirs.mean(axis=0)) ** 2).mean() / theirs.var(axis=0).mean()
    found = loss("nearest", torch.from_numpy(one), torch.from_numpy(style))
    assert found.item() == pytest.approx(np.mean(distances) + shift)


def test_many_features_are_compared_as_few_are(monkeypatch):
    one, style = features(0, 1, 4, 9, 9), sample_features(features(1, 1, 4, 6, 6))
    whole = nearest_style_loss(one, None, style)
    monkeypatch.setattr("nst.method.distributions.AT_ONCE", 7 * 36)
    torch.testing.assert_close(nearest_style_loss(one, None, style), whole)


# ---------------------------------------------------------------- blends and masks, of all of them


@pytest.fixture(params=sorted(STATISTICS))
def statistic(request) -> Statistic:
    return STATISTICS[request.param]


def test_one_style_with_all_the_weight_is_that_style_to_the_last_bit(statistic):
    one, style = features(0, 1, 4, 6, 5), features(1, 1, 4, 7, 5)
    alone = statistic.measure(style, None)
    blended = statistic.blend([(1.0, alone)])
    assert loss_of(statistic, one, None, blended).equal(loss_of(statistic, one, None, alone))


def test_a_blend_lies_between_its_styles(statistic):
    first, last = features(0, 1, 4, 9, 8), 2 + 3 * features(1, 1, 4, 9, 8)
    measured = [statistic.measure(one, None) for one in (first, last)]
    losses = [
        loss_of(
            statistic,
            first,
            None,
            statistic.blend([(1 - share, measured[0]), (share, measured[1])]),
        ).item()
        for share in (0.25, 0.5, 0.75)
    ]
    assert 0 < losses[0] < losses[1] < losses[2]


def test_features_of_a_region_are_compared_as_if_they_were_all(statistic):
    picture, style = features(0, 2, 4, 6, 8), features(1, 1, 4, 6, 8)
    left = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    left[..., :4] = 1
    found = loss_of(statistic, picture, left, statistic.measure(style, statistic.places(left)))
    cropped = statistic.measure(style[..., :4], None)
    torch.testing.assert_close(found, loss_of(statistic, picture[..., :4], None, cropped))


def test_what_lies_outside_a_region_has_no_gradient(statistic):
    picture = features(0, 1, 4, 6, 8).requires_grad_()
    left = torch.zeros(1, 1, 6, 8, dtype=torch.float64)
    left[..., :4] = 1
    target = statistic.measure(features(1, 1, 4, 6, 8), None)
    (gradient,) = torch.autograd.grad(loss_of(statistic, picture, left, target).sum(), picture)
    assert gradient[..., :4].abs().max() > 0
    assert gradient[..., 4:].abs().max() == 0


def test_merged_samples_are_as_many_of_each_style_as_its_share():
    parts = [sample_features(value + features(0, 1, 3, 10, 10)) for value in (0, 5)]
    merged = merged_samples([(0.25, parts[0]), (0.75, parts[1])])
    assert len(merged.features) == 100
    torch.testing.assert_close(merged.mean, 0.25 * parts[0].mean + 0.75 * parts[1].mean)


@pytest.mark.parametrize("part", ["mean", "gram"])
def test_the_gradient_of_guided_moments_is_that_of_their_definition(part):
    one = features(0, 2, 3, 4, 5).requires_grad_()
    weights = features(1, 1, 1, 4, 5).abs()
    assert torch.autograd.gradcheck(lambda value: getattr(moments(value, weights), part), one)


def test_guided_moments_are_weighted_means():
    one, weights = features(0, 1, 3, 4, 5), features(1, 1, 1, 4, 5).abs()
    found = moments(one, weights)
    flat, of_position = one[0].flatten(1).numpy(), weights.flatten().numpy()
    np.testing.assert_allclose(found.mean[0], np.average(flat, axis=1, weights=of_position))
    products = np.einsum("in,jn->ijn", flat, flat)
    np.testing.assert_allclose(found.gram[0], np.average(products, axis=2, weights=of_position))
