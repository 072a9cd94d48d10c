import functools

import numpy as np
import pytest
import torch

from nst.config.registry import CONTENT_LOSSES, STATISTICS, Statistic
from nst.method.distributions import (
    directions,
    merged_samples,
    nearest_style_loss,
    sample_features,
    sliced_wasserstein_style_loss,
    style_quantiles,
)
from nst.method.losses import (
    Moments,
    absolute_sum_total_variation,
    covariance_style_loss,
    mean_gram_style_loss,
    mean_plain_gram_per_value_style_loss,
    mean_plain_gram_style_loss,
    mean_square_total_variation,
    moments,
    moments_style_loss,
    scaled_gram_style_loss,
    square_sum_total_variation,
    sum_gram_style_loss,
)


def features(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gram_of_a_known_feature_map_is_the_value_worked_out_by_hand():
    known = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels, one row of two places
    assert moments(known).gram.tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


def test_the_gradient_of_the_moments_is_that_of_finite_differences():
    one = features(0, 2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: moments(value).gram, one)


@pytest.mark.parametrize("places", [(3, 1), (7, 13), (16, 32)])
def test_gram_matrices_of_bfloat16_features_are_summed_more_precisely(places):
    rounded = features(0, 2, 6, *places).relu().bfloat16()
    found = moments(rounded).gram
    exact = moments(rounded.double()).gram
    assert found.dtype is torch.float32
    error = (found - exact).norm() / exact.norm()
    assert error < 2**-9  # the error of one rounding to bfloat16


def test_gram_matrices_of_bfloat16_features_err_less_than_one_product_would():
    rounded = features(0, 1, 32, 64, 64).relu().bfloat16()
    flat = rounded.flatten(2)
    exact = moments(rounded.double()).gram
    at_once = (flat @ flat.transpose(1, 2)).double() / flat.shape[2]
    error = (moments(rounded).gram - exact).norm()
    assert error < 0.6 * (at_once - exact).norm()


def test_the_mean_of_bfloat16_features_is_nearer_than_its_own_rounding():
    rounded = features(0, 2, 6, 33, 47).relu().bfloat16()
    found = moments(rounded).mean
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.double(), rounded.double().mean((2, 3)), rtol=2**-9, atol=0)


def content_loss(name: str, generated: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    loss = CONTENT_LOSSES[name]
    return loss.against(target)(loss.error(generated, target))


CONTENT = [functools.partial(content_loss, name) for name in CONTENT_LOSSES]
relative_content_loss, half_sum_content_loss, mean_content_loss, scaled_content_loss, *_ = CONTENT


# Two channels of two places each: F = (1 2 | 3 4), S = 0, F Fᵀ = (5 11 | 11 25), Σ² = 892.
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (sum_gram_style_loss, 892 / (4 * 2**2 * 2**2)),
        (mean_gram_style_loss, 892 / 2**2 / 4),
        (mean_plain_gram_style_loss, 892 / 4),
        (mean_plain_gram_per_value_style_loss, 892 / 4 / (2 * 2)),
    ],
)
def test_a_style_loss_of_known_features_is_the_value_worked_out_by_hand(loss, expected):
    known = moments(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    nothing = Moments(torch.zeros(1, 2), torch.zeros(1, 2, 2), 2)
    assert loss(known, nothing).item() == pytest.approx(expected)


def test_the_loss_of_moments_of_known_features_is_the_value_worked_out_by_hand():
    # The style's channels, (0 2) and (0 4), have means 1 and 2 and deviations 1 and 2. The average
    # deviation is 1.5: σ' = (2.5, 3.5). The picture's channels have means 2 and 2 and no deviation;
    # each deviation is combined in quadrature with σ'/100.
    style = moments(torch.tensor([[[[0.0, 2.0]], [[0.0, 4.0]]]], dtype=torch.float64))
    generated = moments(torch.full((1, 2, 1, 2), 2.0, dtype=torch.float64))
    shift = (1 / 2.5) ** 2 / 2
    first = (np.hypot(1, 0.025) - 0.025) / 2.5
    second = (np.hypot(2, 0.035) - 0.035) / 3.5
    found = moments_style_loss(generated, style).item()
    assert found == pytest.approx(shift + (first**2 + second**2) / 2)


def test_a_channel_without_deviation_has_a_gradient_by_which_it_gets_one():
    style = moments(features(7, 1, 2, 4, 4))
    flat = (features(8, 1, 2, 4, 4) * 1e-6).requires_grad_()
    (gradient,) = torch.autograd.grad(moments_style_loss(moments(flat), style).sum(), flat)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("size", [256, 1000])
def test_the_colours_of_a_flat_or_striped_style_have_moderate_losses(size):
    """In float32, plain sums of so many positions would err by more than the variance of a hue."""
    cream, dark = (torch.tensor(one).view(3, 1) for one in ([0.94, 0.89, 0.76], [0.16, 0.12, 0.2]))
    stripes = torch.where(torch.arange(size**2) % 7 < 3, dark, cream).view(1, 3, size, size)
    stripes = stripes.contiguous(memory_format=torch.channels_last)  # the layout of features
    exact = moments(stripes.double()).covariance.float()
    torch.testing.assert_close(moments(stripes).covariance, exact, rtol=0, atol=3e-6)
    for style in (stripes, torch.ones(1, 3, size, size), torch.full((1, 3, size, size), 0.5)):
        assert covariance_style_loss(moments(style), moments(style)).item() < 1e-2
        near = style + 0.02 * torch.randn(style.shape, generator=torch.Generator().manual_seed(1))
        near.requires_grad_()
        loss = covariance_style_loss(moments(near), moments(style))
        (gradient,) = torch.autograd.grad(loss.sum(), near)
        assert 1e-3 < loss.item() < 1e5
        assert gradient.isfinite().all()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_style_of_one_colour_has_a_finite_covariance_loss(channels):
    flat = moments(torch.zeros(1, channels, 4, 4))
    assert covariance_style_loss(flat, flat).item() == 0
    near = torch.full((1, channels, 4, 4), 1e-12)
    assert covariance_style_loss(moments(near), flat).isfinite().all()


def test_the_content_losses_of_known_features_are_the_values_worked_out_by_hand():
    known, nothing = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), torch.zeros(1, 2, 1, 2)
    assert half_sum_content_loss(known, nothing).item() == 15
    assert mean_content_loss(known, nothing).item() == 7.5
    assert scaled_content_loss(known, nothing).item() == 3  # 30 / 10


def test_the_scaled_losses_of_equal_features_are_0_and_have_a_finite_gradient():
    one = features(4, 1, 3, 4, 4).requires_grad_()
    content = scaled_content_loss(one, one.detach())
    style = scaled_gram_style_loss(moments(one), moments(one.detach()))
    assert (content.item(), style.item()) == (0, 0)
    (gradient,) = torch.autograd.grad((content + style).sum(), one)
    assert gradient.isfinite().all()


def test_a_flat_target_has_a_finite_loss():
    flat = torch.zeros(1, 3, 4, 4)
    assert relative_content_loss(flat + 1e-3, flat).isfinite().all()


def test_total_variation_of_a_checkerboard_is_the_value_worked_out_by_hand():
    board = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert mean_square_total_variation(board).tolist() == [2.0]
    assert absolute_sum_total_variation(board).tolist() == [4.0]
    assert square_sum_total_variation(3 * board).tolist() == [36.0]
    assert mean_square_total_variation(torch.full((1, 3, 4, 4), 0.3)).tolist() == [0.0]


@pytest.mark.parametrize("loss", CONTENT)
def test_the_gradient_of_a_content_loss_is_that_of_finite_differences(loss):
    target = features(8, 1, 2, 3, 4)
    start = features(10, 2, 2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), start)


def test_the_gradient_of_the_total_variation_is_that_of_finite_differences():
    start = features(10, 2, 3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(mean_square_total_variation, start)


# ---------------------------------------------------------------- losses beyond moments


NEW = ("sliced_wasserstein", "nearest")
EXACT = sorted(set(STATISTICS) - {"relaxed_emd"})  # relaxed_emd takes samples, in float32


def loss_of(statistic: Statistic, features: torch.Tensor, weights, target) -> torch.Tensor:
    """Compute statistics of features and compare them, as an objective does."""
    return statistic.compare(statistic.look(features, statistic.places(weights)), target)


def loss(name: str, one: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
    statistic = STATISTICS[name]
    return loss_of(statistic, one, None, statistic.measure(style, None))


@pytest.mark.parametrize("name", EXACT)
def test_the_style_itself_has_no_loss_wherever_its_features_are(name):
    style = features(0, 1, 6, 8, 9)
    order = torch.randperm(72, generator=torch.Generator().manual_seed(1))
    moved = style.flatten(2)[:, :, order].view_as(style)
    for one in (style, moved):
        assert loss(name, one, style).item() == pytest.approx(0, abs=2e-5)
    assert loss(name, features(1, 1, 6, 8, 9) + 1, style).item() > 1e-3


@pytest.mark.parametrize("name", NEW)
def test_a_style_of_another_size_with_the_same_features_is_the_same_style(name):
    style = features(0, 1, 5, 12, 16)
    assert loss(name, style.repeat(1, 1, 2, 3), style).item() == pytest.approx(0, abs=2e-3)


@pytest.mark.parametrize("name", EXACT)
def test_the_losses_of_a_batch_are_those_of_its_pictures(name):
    batch, style = features(0, 3, 5, 6, 7), features(1, 1, 5, 9, 8)
    alone = torch.cat([loss(name, one[None], style) for one in batch])
    torch.testing.assert_close(loss(name, batch, style), alone)


@pytest.mark.parametrize("name", EXACT)
def test_the_gradient_is_that_of_finite_differences(name):
    one, style = features(0, 2, 3, 3, 4).requires_grad_(), features(1, 1, 3, 5, 4)
    assert torch.autograd.gradcheck(lambda value: loss(name, value, style), one)


def test_the_directions_of_a_loss_keep_the_layout_on_which_rounding_depends():
    """Cells of the same fingerprint must keep their bytes."""
    assert directions(6, 6).stride() == (1, 6)


def test_the_sliced_wasserstein_loss_is_that_of_sorted_projections():
    one, style = features(0, 1, 6, 4, 5), features(1, 1, 6, 4, 5)
    along = directions(6, 6, dtype=torch.float64).numpy()
    ours, theirs = (np.sort(along @ value[0].flatten(1).numpy()) for value in (one, style))
    expected = ((ours - theirs) ** 2).mean() / theirs.var(axis=1).mean()
    found = sliced_wasserstein_style_loss(one, None, style_quantiles(style))
    # The style is stored as quantiles, which lie between its values.
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


# ---------------------------------------------------------------- blends and masks, for all


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


def test_guided_moments_are_weighted_means():
    one, weights = features(0, 1, 3, 4, 5), features(1, 1, 1, 4, 5).abs()
    found = moments(one, weights)
    flat, of_position = one[0].flatten(1).numpy(), weights.flatten().numpy()
    np.testing.assert_allclose(found.mean[0], np.average(flat, axis=1, weights=of_position))
    products = np.einsum("in,jn->ijn", flat, flat)
    np.testing.assert_allclose(found.gram[0], np.average(products, axis=2, weights=of_position))
