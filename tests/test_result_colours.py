"""The colours of a result: those of the style or of the content."""

import pytest
import torch
from conftest import LEFT, random_image

from nst.method import colours as colours_module
from nst.method.colours import (
    colour_statistics,
    from_oklab,
    luma,
    prepare_content,
    prepare_style,
    recolour_chroma,
    restore_colours,
    to_oklab,
)
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.tensors import from_bytes, to_image

CONTENT = 0.3 + 0.4 * random_image(1, 32, 40)
STYLE = 0.2 + 0.5 * random_image(2, 36, 28)
IMAGES = Images.of(to_image(CONTENT), to_image(STYLE))


def made(tiny, cell, images: Images = IMAGES) -> torch.Tensor:
    (result,) = make_cells(tiny, images, [cell])
    return result.image


def prepare(content: torch.Tensor, style: torch.Tensor, colours: str) -> tuple[torch.Tensor, ...]:
    return prepare_content(content, colours), prepare_style(style, content, colours)


def chroma(image: torch.Tensor) -> torch.Tensor:
    """How far each pixel is from grey, from 0 to 1."""
    return image.amax(1) - image.amin(1)


def test_rgb_among_the_style_s_layers_keeps_hues_out_that_the_style_lacks(tiny, small):
    grey = Images.of(to_image(CONTENT), to_image(luma(STYLE).expand(-1, 3, -1, -1)))
    layers = {"relu1_1": 1.0, "relu1_2": 1.0}
    settings = {"style_loss": "covariance", "start": "content", "content_target": "recoloured"}
    drifted, kept = (
        made(tiny, small(beta=100, style_layers=one, iterations=40, **settings), grey)
        for one in (layers, {**layers, "rgb": 0.2})
    )
    assert chroma(drifted).mean() > 0.03
    assert chroma(kept).mean() < 0.01


def test_the_style_takes_the_content_s_mean_and_covariance():
    content, style = prepare(CONTENT, STYLE, "content")
    assert content is CONTENT
    for found, wanted in zip(colour_statistics(style), colour_statistics(CONTENT), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)  # clipped pixels differ


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
    assert (chroma * inside).abs().max() < 0.01  # the content has 8 bits
    assert (luma(result) - luma(content)).abs().mean() > 0.01, "the luma has changed"


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
    torch.testing.assert_close(last, result.image, atol=1.5 / 255, rtol=0)  # two roundings
    restored = restore_colours(first, CONTENT, [], "luminance")
    torch.testing.assert_close(restored, first, atol=0.01, rtol=0)


# ---------------------------------------------------------------- recoloured


def test_oklab_has_no_chroma_for_grey_and_leads_back():
    grey = torch.linspace(0, 1, 12).view(1, 1, 3, 4).expand(-1, 3, -1, -1)
    found = to_oklab(grey)
    assert found[:, 1:].abs().max() < 1e-3
    torch.testing.assert_close(found[:, 0].pow(3), grey[:, 0], atol=1e-3, rtol=0)
    torch.testing.assert_close(from_oklab(to_oklab(CONTENT)), CONTENT, atol=1e-4, rtol=0)
    # https://bottosson.github.io/posts/oklab/: the values of linear blue
    blue = to_oklab(torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(blue, torch.tensor([0.452, -0.032, -0.312]), atol=2e-3, rtol=0)


def test_only_the_lightness_of_a_result_remains_and_the_chroma_are_the_content_s():
    result = 0.3 + 0.3 * random_image(5, 32, 40)
    chroma = to_oklab(result)
    other = from_oklab(torch.cat([chroma[:, :1], 0.5 * chroma[:, 1:].flip(1)], 1))
    found = recolour_chroma(torch.cat([result, other]), CONTENT, STYLE)
    torch.testing.assert_close(found[0], found[1], atol=5e-3, rtol=0)
    torch.testing.assert_close(
        to_oklab(found)[:, 0], chroma[:, 0].expand(2, -1, -1), atol=5e-3, rtol=0
    )
    moved = recolour_chroma(result, CONTENT.roll(9, 3), STYLE)
    assert (moved - found[:1]).abs().mean() > 0.01


def test_the_content_s_chroma_gets_the_style_s_mean_and_covariance(monkeypatch):
    monkeypatch.setattr(colours_module, "SMOOTHINGS", 0)
    monkeypatch.setattr(colours_module, "LEAST_VARIANCE", 1e-9)
    flat = torch.full((1, 3, 32, 40), 0.5)
    given, wanted = (0.4 + 0.2 * random_image(seed, 32, 40) for seed in (1, 2))
    # The same lightness as the result keeps all colours in RGB.
    wanted = from_oklab(torch.cat([to_oklab(flat)[:, :1], to_oklab(wanted)[:, 1:]], 1))
    found = to_oklab(recolour_chroma(flat, given, wanted))[:, 1:]
    both = [colour_statistics(one, 0.0) for one in (found, to_oklab(wanted)[:, 1:])]
    for one, other in zip(*both, strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=2e-5)


def test_a_grey_style_makes_a_grey_result(tiny, small):
    grey = Images.of(to_image(CONTENT), to_image(luma(STYLE).expand(-1, 3, -1, -1)))
    cell = small(colours="recoloured", iterations=5, image_size=40)
    assert chroma(made(tiny, cell, grey)).max() < 0.03


def test_each_region_has_the_chroma_of_its_own_style():
    one, other = Region.whole(STYLE), Region.whole(1 - STYLE)
    regions = [Region(one.parts, LEFT), Region(other.parts, 1 - LEFT)]
    found = restore_colours(CONTENT, CONTENT, regions, "recoloured")
    first, last = (recolour_chroma(CONTENT, CONTENT, style) for style in (STYLE, 1 - STYLE))
    torch.testing.assert_close(found[..., :20], first[..., :20])
    torch.testing.assert_close(found[..., 20:], last[..., 20:])
