"""Blends and regions: from masks to pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import paint, random_image
from PIL import Image

from nst.cells.cell import Cell, read_record, style_digest
from nst.cells.measure import Measure
from nst.cells.pair import Pair, stylize_pair
from nst.cells.sources import Given
from nst.cells.verify import verify
from nst.config.composition import Composition, Part
from nst.errors import ImageError
from nst.imaging.images import side_by_side
from nst.imaging.masks import check_masks, split_mask
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.tensors import to_image, to_tensor

OF_STYLE = ("relative_style", "style_distance", "colour_distance")
CPU = torch.device("cpu")
CONTENT, FIRST, LAST = (
    to_image(random_image(seed, *size))
    for seed, size in ((1, (48, 64)), (2, (56, 48)), (3, (48, 60)))
)


def half_mask(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A mask that is white on the left and black on the right."""
    mask = Image.new("RGB", size, "black")
    mask.paste("white", (0, 0, size[0] // 2, size[1]))
    return mask


def blend(first: float, last: float) -> Composition[Image.Image]:
    return Composition({"": (Part("a", FIRST, float(first)), Part("b", LAST, float(last)))})


def halves(left: tuple, right: tuple, mask: Image.Image | None = None) -> Composition[Image.Image]:
    return Composition({"white": left, "black": right}, mask or half_mask())


def made(tiny, cell, style: Composition[Image.Image], content: Image.Image = CONTENT):
    (result,) = make_cells(tiny, Images(content, style), [cell])
    return result.image


@pytest.fixture
def cell(small):
    return small(iterations=4, beta=100, image_size=64)


# ---------------------------------------------------------------- parts of a style


def test_a_blend_has_shares_and_leaves_out_what_has_none():
    parts = blend(2, 6).blended(None).parts
    assert [(one.name, one.weight) for one in parts] == [("a", 0.25), ("b", 0.75)]
    assert [one.name for one in blend(0, 3).blended(None).parts] == ["b"]


@pytest.mark.parametrize(
    ("position", "shares"),
    [
        (0.0, {"a": 1}),
        (0.25, {"a": 0.5, "b": 0.5}),
        (0.5, {"b": 1}),
        (0.875, {"b": 0.25, "c": 0.75}),
        (1.0, {"c": 1}),
    ],
)
def test_a_position_leads_from_part_to_part(position, shares):
    parts = tuple(Part(name, name, 9.0) for name in "abc")
    found = Composition({"": parts}).blended(position)
    assert {one.name: one.weight for one in found.parts} == shares


def test_a_style_is_identified_by_its_pixels_and_shares():
    def digest(*parts: Part[str], mask: str | None = None) -> str:
        return style_digest(Composition({"": parts}, mask).blended(None))

    one, other = Part("a", "1" * 64, 0.7), Part("b", "2" * 64, 0.3)
    assert digest(one, other) == digest(replace(other, name="x"), replace(one, name="y"))
    assert digest(one) == digest(one, replace(other, weight=0.0)) == "1" * 64
    different = [
        digest(one, other),
        digest(one, replace(other, weight=0.4)),
        digest(one, replace(other, mask="3" * 64)),
        digest(replace(one, mask="3" * 64)),
        digest(one, other, mask="4" * 64),
    ]
    assert len({*different, "1" * 64}) == 6


def test_the_strip_that_shows_a_blend_has_its_parts_as_wide_as_their_weights():
    colours = ("red", "lime", "blue")
    shown = side_by_side([Image.new("RGB", (40, 30), one) for one in colours], [2.0, 1.0, 1.0])
    assert shown.size == (40, 30)
    found = [shown.getpixel((x, 15)) for x in (0, 19, 20, 29, 30, 39)]
    red, lime, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert found == [red, red, lime, lime, blue, blue]


# ---------------------------------------------------------------- the method


def test_a_blend_of_one_style_is_that_style_to_the_last_bit(tiny, cell):
    plain = made(tiny, cell, Composition.plain(FIRST))
    assert made(tiny, cell, blend(3, 0)).equal(plain)
    assert made(tiny, replace(cell, blend=0.0), blend(1, 1)).equal(plain)
    assert not made(tiny, cell, blend(1, 1)).equal(plain)


def test_the_order_of_a_blend_does_not_matter(tiny, cell):
    one = Composition({"": (Part("a", FIRST, 0.7), Part("b", LAST, 0.2), Part("c", CONTENT, 0.1))})
    other = Composition({"": tuple(reversed(one.parts))})
    assert made(tiny, cell, one).equal(made(tiny, cell, other))


@pytest.mark.parametrize("colours", ["style", "content", "luminance", "recoloured"])
def test_a_mask_of_ones_is_the_plain_transfer_to_the_last_bit(tiny, cell, colours):
    cell = replace(cell, colours=colours)
    white = Image.new("RGB", CONTENT.size, "white")
    part = Part("a", FIRST, mask=Image.new("RGB", FIRST.size, "white"))
    masked = made(tiny, cell, Composition({"white": (part,)}, white))
    assert masked.equal(made(tiny, cell, Composition.plain(FIRST)))


def test_a_style_s_mask_hides_the_rest_of_it(tiny, cell):
    left = half_mask(FIRST.size)
    other = FIRST.copy()
    other.paste("lime", (FIRST.width // 2 + 12, 0, *FIRST.size))  # beyond the receptive field
    cell = replace(cell, start="content")
    masked = [made(tiny, cell, Composition.plain(one, mask=left)) for one in (FIRST, other)]
    plain = [made(tiny, cell, Composition.plain(one)) for one in (FIRST, other)]
    assert (masked[0] - masked[1]).abs().max() < 1e-3 < (plain[0] - plain[1]).abs().max()


def test_each_region_is_nearer_to_its_own_style(tiny, small):
    cell = small(iterations=40, beta=1000, image_size=64)
    dark, bright = (Image.new("RGB", (64, 48), grey) for grey in ("#303030", "#d0d0d0"))
    result = made(tiny, cell, halves((Part("a", dark),), (Part("b", bright),)))
    assert result[..., :28].mean() < 0.35
    assert result[..., 36:].mean() > 0.65


def test_what_is_kept_stays_as_it_was_but_for_a_soft_edge(tiny, cell):
    cell = replace(cell, image_size=64)
    result = made(tiny, cell, halves((), (Part("a", FIRST),)))
    content = to_tensor(CONTENT)
    assert result[..., :28].equal(content[..., :28])
    assert (result[..., 36:] - content[..., 36:]).abs().mean() > 0.02
    assert 0 < (result[..., 30] - content[..., 30]).abs().mean() < 0.2


def test_regions_grow_and_share_batches(tiny, small):
    cells = [small(iterations=2, growth=2, octaves=2, image_size=128, beta=b) for b in (10, 100)]
    style = halves((), (Part("a", FIRST, 1.0), Part("b", LAST, 1.0)))
    results = list(make_cells(tiny, Images(CONTENT, style), cells, batch_size=2))
    assert len(results) == 2
    assert all(one.image is not None and one.image.isfinite().all() for one in results)


# ---------------------------------------------------------------- masks


def test_a_mask_is_split_into_shares_of_each_pixel():
    mask = half_mask((50, 48))
    found = split_mask(halves((), (), mask), (25, 24))
    shares = {colour: np.asarray(one) for colour, one in found.items()}
    assert np.ptp(shares["white"].astype(int) + shares["black"]) <= 1, "rounding"
    assert set(shares["white"][:, 12]) <= {127, 128}, "half of this column is white"
    assert (shares["white"][:, :12] == 255).all()


def test_soft_edges_are_no_colours_of_their_own():
    """A JPEG or a brush makes such edges."""
    soft = half_mask((640, 480)).resize((320, 240)).resize((640, 480), Image.Resampling.BICUBIC)
    check_masks("cat × two", Image.new("RGB", (640, 480)), halves((), (), soft))


SPOTTED = half_mask()
SPOTTED.paste("red", (0, 0, 20, 20))


@pytest.mark.parametrize(
    ("style", "message"),
    [
        (halves((), (), Image.new("RGB", (64, 48), "white")), "no pixel of the mask is black"),
        (halves((), (), SPOTTED), "also has the colour #ff0000, which is none of white, bl"),
        (halves((), (), half_mask((64, 64))), "shape of its picture, 64x48; got 64x64 px"),
        (Composition({"whyte": (), "black": ()}, half_mask()), "'whyte' is not a colour"),
        (
            Composition.plain(FIRST, "night", Image.new("RGB", FIRST.size)),
            "style 'night': the mask is black throughout",
        ),
        (Composition.plain(FIRST, "night", half_mask()), "style 'night': the mask must have the s"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_in_one_line(style, message):
    with pytest.raises(ImageError, match=message) as caught:
        check_masks("cat × two", CONTENT, style)
    assert str(caught.value).startswith("cat × two")
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- measures


def test_the_measures_of_a_blend_are_the_means_of_its_parts_by_their_weights(tiny):
    picture = to_image(random_image(9, 48, 64))
    alone = [Measure(tiny, CONTENT, Composition.plain(one))(picture) for one in (FIRST, LAST)]
    both = Measure(tiny, CONTENT, blend(3, 1))(picture)
    for name in OF_STYLE:
        assert both[name] == pytest.approx(0.75 * alone[0][name] + 0.25 * alone[1][name])
    assert both["ssim"] == alone[0]["ssim"]


def test_a_region_is_measured_against_its_own_style_alone(tiny):
    left, right = (np.asarray(to_image(random_image(seed, 48, 32))) for seed in (4, 5))
    picture, *styles = (
        Image.fromarray(np.hstack(both)) for both in ((left, right), (left, left), (right, right))
    )
    own, swapped = (
        Measure(tiny, CONTENT, halves((Part("a", one),), (Part("b", other),)))(picture)
        for one, other in (styles, styles[::-1])
    )
    for name in OF_STYLE:
        assert own[name] < swapped[name]


def test_what_is_kept_is_not_measured(tiny):
    picture = to_image(random_image(9, 48, 64))
    kept = Measure(tiny, CONTENT, halves((), (Part("a", FIRST),)))(picture)
    other = picture.copy()
    other.paste("lime", (0, 0, 20, 48))
    changed = Measure(tiny, CONTENT, halves((), (Part("a", FIRST),)))(other)
    assert changed["colour_distance"] == kept["colour_distance"]
    assert changed["style_distance"] == pytest.approx(kept["style_distance"], rel=0.1)


# ---------------------------------------------------------------- files


@pytest.fixture
def pair(tmp_path: Path, tiny_file: Path) -> Pair:
    inputs = tmp_path / "results/inputs"
    (inputs / "content_mask").mkdir(parents=True)
    half_mask().save(inputs / "content_mask/cat.png")
    parts = tuple(
        Part(name, paint(inputs / f"style/{name}.png", seed, size), weight)
        for name, seed, size, weight in (("a", 2, (48, 56), 0.5), ("b", 3, (60, 48), 0.25))
    )
    content, style = paint(inputs / "content/cat.png", 1), paint(inputs / "style/two.png", 7)
    composition = Composition({"white": parts, "black": ()}, inputs / "content_mask/cat.png")
    named = (content, "cat", "cat", style, "two", "two")
    return Pair(*named, extractor=tiny_file, composition=composition)


def test_a_cell_of_regions_says_what_it_was_made_of_and_is_verified(
    pair, cell, tmp_path, tiny_file
):
    path = tmp_path / "results/cells/cat/two/all/1e-2.png"
    stylize_pair(pair, [Cell("all", "1e-2", "relative", cell, path)], CPU)
    regions = read_record(path)["composition"]["regions"]
    assert [one["name"] for one in regions["white"]] == ["a", "b"]
    assert regions["black"] == []
    found = verify(path, Given(extractor=tiny_file))
    assert (found.verdict, found.message) == ("identical", "")
    (tmp_path / "results/inputs/style/b.png").unlink()
    lost = verify(path, Given(extractor=tiny_file))
    assert lost.verdict == "unchecked"
    assert "the ingredient of the style two (" in lost.message
