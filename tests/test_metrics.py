"""The measures that no cell optimises: values computed by hand, and invariances."""

import numpy as np
import pytest
import torch
from conftest import paint, random_image, random_network
from formulas import SHAPED_AS_VGG19, halved, relative_gram, weights
from PIL import Image
from skimage.color import rgb2lab
from torch.nn import functional

from nst.cells.measure import Measure
from nst.cells.metrics import (
    PATCH,
    POSITIONS,
    SEED,
    colour_quantiles,
    feature_distance,
    measure_patches,
    patch_distance,
    sliced_wasserstein,
    structural_similarity,
)
from nst.config.composition import Composition
from nst.errors import ImageError
from nst.imaging.images import fit_long_side, load_image
from nst.method.distributions import directions, sampled
from nst.network.extractor import Extractor
from nst.network.tensors import to_image, to_tensor
from nst.reports.summary import MEASURES


def picture(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    return to_image(random_image(seed, height, width))


def colour_distance(one: Image.Image, other: Image.Image) -> float:
    return sliced_wasserstein(*(colour_quantiles(to_tensor(each)) for each in (one, other))).item()


# ---------------------------------------------------------------- structure


def reference_ssim(one: Image.Image, other: Image.Image) -> float:
    """Equation 13 of Wang et al. (2004)."""
    x, y = (torch.tensor(np.asarray(image.convert("L"), float)) for image in (one, other))
    row = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = torch.outer(row, row)[None, None] / row.sum() ** 2
    values = torch.stack([x, y, x**2, y**2, x * y])[:, None]
    mean_x, mean_y, squares_x, squares_y, products = functional.conv2d(values, window)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    variances = squares_x - mean_x**2 + squares_y - mean_y**2
    structure = (2 * (products - mean_x * mean_y) + c2) / (variances + c2)
    return (luminance * structure).mean().item()


@pytest.mark.parametrize("size", [(64, 48), (11, 40), (33, 12)])
def test_ssim_is_the_paper_s(size):
    one, other = picture(1, *size), picture(2, *size)
    assert structural_similarity(one, other) == pytest.approx(reference_ssim(one, other), abs=1e-6)


def test_ssim_needs_pictures_of_one_size_and_as_large_as_its_window():
    assert structural_similarity(picture(1, 40, 10), picture(2, 40, 10)) is None
    with pytest.raises(ImageError, match=r"of one size; got \(64, 48\) and \(48, 64\) px. Stretch"):
        structural_similarity(picture(1), picture(1, 48, 64))


# ---------------------------------------------------------------- features at a position


def test_the_feature_distance_is_worked_out_by_hand():
    # Two positions: (3, 4) against (4, 3), and (0, 2) against (5, 0), which is orthogonal.
    generated = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]])
    target = torch.tensor([[[[4.0, 5.0]], [[3.0, 0.0]]]])
    first = (0.6 - 0.8) ** 2 + (0.8 - 0.6) ** 2
    expected = (first + 2) / 2
    assert feature_distance(generated, target).item() == pytest.approx(expected)


def test_places_without_features_are_compared_too():
    nothing = torch.zeros(1, 3, 2, 2)
    something = torch.ones(1, 3, 2, 2)
    assert feature_distance(nothing, nothing).item() == 0
    assert feature_distance(nothing, something).item() == pytest.approx(1)


# ---------------------------------------------------------------- distributions


def test_the_directions_are_fixed_and_orthonormal_as_far_as_they_go():
    for dimensions, count in ((3, 12), (64, 16), (5, 7), (1, 4)):
        along = directions(dimensions, count)
        assert along.shape == (count, dimensions)
        torch.testing.assert_close(along.norm(dim=1), torch.ones(count))
        first = along[:dimensions]
        torch.testing.assert_close(first @ first.T, torch.eye(len(first)), atol=1e-6, rtol=0)
    before = directions(64, 16)
    directions.cache_clear()
    assert torch.equal(before, directions(64, 16))


def test_of_many_places_the_same_ones_are_drawn_each_time():
    many = torch.arange(POSITIONS + 1000)[:, None].float()
    few = sampled(many, POSITIONS)
    assert len(few) == len(few.unique()) == POSITIONS
    assert torch.equal(few, sampled(many, POSITIONS))
    assert few.mean().item() == pytest.approx(many.mean().item(), rel=0.02)
    assert torch.equal(sampled(many[:POSITIONS], POSITIONS), many[:POSITIONS])


# ---------------------------------------------------------------- patches


def style_distance(one: Image.Image, other: Image.Image) -> float:
    return patch_distance(to_tensor(one), measure_patches(to_tensor(other))).item()


def reference_patch_distance(one: Image.Image, other: Image.Image, octaves: int) -> float:
    """The patch distance, from explicitly cut patches."""
    pictures, distances = [to_tensor(image).double() for image in (one, other)], []
    along = directions(3 * PATCH * PATCH, 64, SEED).double().numpy()
    for _ in range(octaves):
        style = pictures[1].numpy()
        mean, deviation = (getattr(style, name)((2, 3), keepdims=True) for name in ("mean", "std"))
        projected = []
        for value in pictures:
            windows = np.lib.stride_tricks.sliding_window_view(
                (value.numpy() - mean) / deviation, (1, 3, PATCH, PATCH)
            )
            projected.append(along @ windows.reshape(-1, 3 * PATCH * PATCH).T)
        ours, theirs = (np.sort(each / projected[1].std(1, keepdims=True)) for each in projected)
        distances.append(np.mean((ours - theirs) ** 2) ** 0.5)  # as many patches in both
        pictures = [halved(picture) for picture in pictures]
    return float(np.mean(distances))


@pytest.mark.parametrize(("size", "octaves"), [((40, 36), 1), ((90, 80), 2)])
def test_the_patch_distance_is_that_of_patches_cut_out_one_by_one(size, octaves):
    one, other = picture(1, *size), picture(2, *size)
    expected = reference_patch_distance(one, other, octaves)
    assert style_distance(one, other) == pytest.approx(expected, rel=0.01)


def test_a_style_s_own_patches_are_at_no_distance_wherever_they_are():
    tiles = np.tile(np.asarray(picture(1, 32, 32)), (4, 4, 1))
    tiled, moved = map(Image.fromarray, (tiles, np.roll(tiles, (16, 8), axis=(0, 1))))
    assert style_distance(tiled, tiled) == 0
    assert style_distance(moved, tiled) < 0.25 * style_distance(picture(2, 128, 128), tiled)


# ---------------------------------------------------------------- colours


def flat(*colour: int) -> Image.Image:
    return Image.new("RGB", (40, 32), colour)


def test_two_flat_colours_are_as_far_apart_as_in_cielab():
    assert colour_distance(flat(0, 0, 0), flat(255, 255, 255)) == pytest.approx(100, abs=0.1)
    one, other = (220, 40, 90), (30, 160, 200)
    lab = rgb2lab(np.array([one, other]) / 255)
    expected = np.linalg.norm(lab[0] - lab[1])
    assert colour_distance(flat(*one), flat(*other)) == pytest.approx(expected, rel=1e-4)


def test_colours_are_compared_wherever_they_are_and_whatever_the_size():
    one = picture(1, 90, 60)
    shuffled = np.random.default_rng(0).permutation(np.asarray(one).reshape(-1, 3))
    elsewhere = Image.fromarray(shuffled.reshape(60, 90, 3))
    assert colour_distance(elsewhere, one) == pytest.approx(0, abs=1e-4)
    larger = one.resize((180, 120), Image.Resampling.NEAREST)
    assert colour_distance(larger, one) < 0.5


# ---------------------------------------------------------------- the results of a pair


@pytest.fixture(scope="module")
def network() -> Extractor:
    """A network with all five blocks."""
    return random_network(SHAPED_AS_VGG19)


NAMES = set(MEASURES)


def test_the_relative_measures_are_the_losses_of_relative_gram(network):
    pictures = picture(3), picture(1), picture(2, 36, 48)
    fitted = (fit_long_side(one, 64) for one in pictures)
    generated, content, style = (to_tensor(one).double() for one in fitted)
    expected = relative_gram(weights(network), generated, content, style)
    found = Measure(network, pictures[1], Composition.plain(pictures[2]))(pictures[0])
    assert found["relative_content"] == pytest.approx(expected.content.item(), rel=1e-5)
    assert found["relative_style"] == pytest.approx(expected.style.item() / 10, rel=1e-5)


def test_the_measures_go_one_way_from_the_content_to_the_style(network):
    content, style = picture(1, 96, 64), picture(2, 96, 64)
    measure = Measure(network, content, Composition.plain(style))
    way = [measure(Image.blend(content, style, t)) for t in (0, 0.25, 0.5, 0.75, 1)]
    kept, taken = way[0], way[-1]
    assert all(set(one) == NAMES for one in way)
    assert kept["content_distance"] == pytest.approx(0, abs=1e-10)
    assert kept["ssim"] == pytest.approx(1)
    assert taken["style_distance"] == taken["colour_distance"] == 0
    assert taken["content_distance"] > 0.1
    assert kept["style_distance"] > 0.1
    assert kept["colour_distance"] > 1
    values = {name: [one[name] for one in way] for name in NAMES}
    assert values["content_distance"] == sorted(values["content_distance"])
    for name in ("colour_distance", "ssim"):
        assert values[name] == sorted(values[name], reverse=True), name
    # A blend has less contrast than either picture, so it may be further from the style than both.
    mixed = values["style_distance"][2:]
    assert mixed == sorted(mixed, reverse=True)


@pytest.mark.parametrize("size", [(32, 32), (32, 20), (34, 8), (8, 34), (32, 2), (97, 33)])
@pytest.mark.parametrize("style_size", [(50, 50), (64, 4)])
def test_small_and_narrow_pictures_are_measured_by_the_layers_they_have(network, size, style_size):
    content, style = picture(1, 64, 48), picture(2, *style_size)
    values = Measure(network, content, Composition.plain(style))(picture(3, *size))
    assert set(values) == NAMES - ({"ssim"} if min(size) < 11 else set())
    assert all(np.isfinite(value) for value in values.values())


@pytest.mark.parametrize("level", [0, 128, 255])
def test_grey_and_flat_pictures_have_measures(network, level):
    grey = picture(1).convert("L").convert("RGB")
    even = Image.new("RGB", (64, 48), (level,) * 3)
    for content, style, result in ((grey, even, even), (even, grey, grey), (even, even, grey)):
        values = Measure(network, content, Composition.plain(style))(result)
        assert set(values) == NAMES
        assert all(np.isfinite(value) for value in values.values())
    assert Measure(network, grey, Composition.plain(even))(even)["style_distance"] == 0


def test_an_extractor_without_the_usual_layers_is_measured_by_what_it_has(tiny):
    values = Measure(tiny, picture(1), Composition.plain(picture(2)))(picture(3))
    assert set(values) == NAMES


def test_the_measures_do_not_depend_on_what_was_measured_before(network, tmp_path):
    content, style = (load_image(paint(tmp_path / f"{seed}.png", seed)) for seed in (1, 2))
    measure = Measure(network, content, Composition.plain(style))
    results = [fit_long_side(picture(3), 64), fit_long_side(picture(4), 40)]
    first = [measure(one) for one in results]
    assert [measure(one) for one in reversed(results)] == first[::-1]
    assert Measure(network, content, Composition.plain(style))(results[1]) == first[1]
