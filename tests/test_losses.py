from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nst.losses import (
    gram_matrix,
    relative_content_loss,
    relative_style_loss,
    total_variation,
)


def features(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_gram_of_a_known_feature_map_is_the_value_worked_out_by_hand():
    known = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # two channels, one row of two places
    assert gram_matrix(known).tolist() == [[[2.5, 5.5], [5.5, 12.5]]]


@given(seed=st.integers(0, 1000))
def test_gram_ignores_where_a_feature_occurs(seed: int):
    one = features(seed, 2, 3, 4, 5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    moved = one.flatten(2)[:, :, order].view_as(one)
    torch.testing.assert_close(gram_matrix(moved), gram_matrix(one))


@given(seed=st.integers(0, 1000))
def test_gram_is_symmetric_and_has_no_negative_eigenvalue(seed: int):
    gram = gram_matrix(features(seed, 1, 4, 3, 5))[0]
    torch.testing.assert_close(gram, gram.T)
    assert torch.linalg.eigvalsh(gram).min() > -1e-9


def test_gram_does_not_depend_on_the_size_of_a_repeated_pattern():
    tile = features(0, 1, 3, 4, 4)
    torch.testing.assert_close(gram_matrix(tile.repeat(1, 1, 2, 3)), gram_matrix(tile))


@pytest.mark.parametrize("loss", [relative_content_loss, relative_style_loss])
def test_a_relative_loss_is_zero_for_the_target_itself(loss):
    target = features(1, 2, 3, 4, 4) if loss is relative_content_loss else features(1, 2, 3, 3)
    assert loss(target, target).tolist() == [0, 0]


def test_relative_content_loss_is_one_for_the_target_s_mean():
    target = features(2, 1, 3, 5, 5)
    flat = torch.full_like(target, target.mean().item())
    assert relative_content_loss(flat, target).item() == pytest.approx(1)


def test_relative_style_loss_is_one_for_a_picture_without_features():
    target = features(3, 1, 4, 4)
    assert relative_style_loss(torch.zeros_like(target), target).item() == pytest.approx(1)


@given(scale=st.floats(1e-3, 1e3))
def test_relative_losses_do_not_depend_on_the_scale_of_the_features(scale: float):
    for loss, shape in ((relative_content_loss, (1, 3, 4, 4)), (relative_style_loss, (1, 4, 4))):
        one, two = features(4, *shape), features(5, *shape)
        expected = loss(one, two).item()
        assert loss(scale * one, scale * two).item() == pytest.approx(expected, rel=1e-9)


def test_a_flat_target_has_a_finite_loss():
    flat = torch.zeros(1, 3, 4, 4)
    assert relative_content_loss(flat + 1e-3, flat).isfinite().all()


def test_losses_of_a_batch_are_those_of_its_rows():
    rows, target = features(6, 3, 2, 4, 4), features(7, 1, 2, 4, 4)
    together = relative_content_loss(rows, target)
    apart = torch.cat([relative_content_loss(row[None], target) for row in rows])
    torch.testing.assert_close(together, apart)


def test_total_variation_of_a_checkerboard_is_the_value_worked_out_by_hand():
    board = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert total_variation(board).tolist() == [2.0]
    assert total_variation(torch.full((1, 3, 4, 4), 0.3)).tolist() == [0.0]


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (lambda x: relative_content_loss(x, features(8, 1, 2, 3, 4)), (2, 2, 3, 4)),
        (lambda x: relative_style_loss(gram_matrix(x), features(9, 1, 2, 2)), (2, 2, 3, 4)),
        (total_variation, (2, 3, 3, 4)),
    ],
)
def test_the_gradients_are_those_of_finite_differences(loss, shape):
    assert torch.autograd.gradcheck(loss, features(10, *shape).requires_grad_())
