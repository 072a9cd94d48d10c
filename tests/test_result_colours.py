"""Whose colours a result has."""

from __future__ import annotations

import pytest
import torch
from conftest import random_image

from nst.method.colours import (
    colour_statistics,
    luma,
    prepare_content,
    prepare_style,
    restore_colours,
)
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.tensors import from_bytes, to_image

CONTENT = 0.3 + 0.4 * random_image(1, 32, 40)
STYLE = 0.2 + 0.5 * random_image(2, 36, 28)
IMAGES = Images.of(to_image(CONTENT), to_image(STYLE))


def made(tiny, cell) -> torch.Tensor:
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert result.image is not None
    return result.image


def prepare(content: torch.Tensor, style: torch.Tensor, colours: str) -> tuple[torch.Tensor, ...]:
    return prepare_content(content, colours), prepare_style(style, content, colours)


def test_the_style_takes_the_content_s_mean_and_covariance():
    content, style = prepare(CONTENT, STYLE, "content")
    assert content is CONTENT
    for found, wanted in zip(colour_statistics(style), colour_statistics(CONTENT), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)  # but for clipped pixels


def test_the_style_s_luma_takes_the_content_s_mean_and_deviation():
    content, style = prepare(CONTENT, STYLE, "luminance")
    for one in (content, style):
        torch.testing.assert_close(one[:, 0], one[:, 2])
    torch.testing.assert_close(style[:, 0].mean(), luma(CONTENT).mean(), atol=2e-3, rtol=0)
    torch.testing.assert_close(style[:, 0].std(), luma(CONTENT).std(), atol=4e-3, rtol=0)


@pytest.mark.parametrize("colours", ["content", "luminance"])
def test_grey_pictures_do_not_fail(colours):
    grey = torch.full((1, 3, 8, 8), 0.5)
    for pair in ((grey, STYLE), (CONTENT, grey), (grey, grey)):
        assert all(one.isfinite().all() for one in prepare(*pair, colours))


def test_a_result_with_its_luma_redrawn_has_the_content_s_chroma(tiny, small):
    cell = small(colours="luminance", iterations=20, image_size=40, beta=100)
    result = made(tiny, cell)
    inside = ((result > 0) & (result < 1)).all(1, keepdim=True)  # the others were clipped
    assert inside.float().mean() > 0.8
    content = torch.nn.functional.interpolate(CONTENT, result.shape[-2:])
    chroma = (result - luma(result)) - (content - luma(content))
    assert (chroma * inside).abs().max() < 0.01  # 8 bits of the content's picture
    assert (luma(result) - luma(content)).abs().mean() > 0.01, "the luma is another"


def test_a_result_in_the_content_s_colours_has_its_palette(tiny, small):
    def distance(result: torch.Tensor, picture: torch.Tensor) -> float:
        pairs = zip(colour_statistics(result), colour_statistics(picture), strict=True)
        return sum(float((one - other).abs().max()) for one, other in pairs)

    options = {"iterations": 30, "image_size": 40, "beta": 100, "content_target": "recoloured"}
    kept = made(tiny, small(colours="content", **options))
    taken = made(tiny, small(colours="style", **options))
    assert distance(kept, CONTENT) < 0.3 * distance(taken, CONTENT)


def test_the_pictures_on_the_way_have_the_colours_too(tiny, small):
    cell = small(colours="luminance", iterations=4, snapshots=[0, 4], image_size=40)
    (result,) = make_cells(tiny, IMAGES, [cell])
    last, first = (from_bytes(result.snapshots[number]) for number in (4, 0))
    torch.testing.assert_close(last, result.image, atol=1.5 / 255, rtol=0)  # rounded twice
    restored = restore_colours(first, CONTENT, "luminance")
    torch.testing.assert_close(restored, first, atol=0.01, rtol=0)
