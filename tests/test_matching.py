"""The settings of the recipe nnst: matching, hypercolumns, rotations, finish and pyramid."""

import pytest
import torch
from configurations import settings_of
from conftest import random_image
from torch import Tensor
from torch.nn import functional

from nst.config.composition import Part
from nst.config.octaves import HYPERCOLUMN
from nst.config.prints import print_settings
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method.batches import group_cells
from nst.method.losses import cosine_error
from nst.method.matching import match_style, mix_so_far
from nst.method.optimisers import Adam, Pyramid
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network.tensors import to_image

CONTENT, STYLE = random_image(1, 32, 40), random_image(2, 36, 28)
IMAGES = Images.of(to_image(CONTENT), to_image(STYLE))
LAYER = "relu2_1"
LEFT = torch.cat([torch.ones(1, 1, 32, 20), torch.zeros(1, 1, 32, 20)], dim=3)
MATCHED = {
    **{"content_target": "matched", "content_loss": "cosine", "optimiser": "adam"},
    **{"start": "content", "keep": "last"},
}


def rows(features: Tensor) -> Tensor:
    return features[0].flatten(1).T


def nearest(given: Tensor, styles: Tensor) -> Tensor:
    """Each row replaced by the style's that has the largest cosine, after subtracting the means."""
    found = []
    centred = styles - styles.mean(0)
    for row in given - given.mean(0):
        cosines = functional.cosine_similarity(row[None], centred, dim=1)
        found.append(styles[cosines.argmax()])
    return torch.stack(found)


# ---------------------------------------------------------------- matching


def test_each_feature_is_replaced_by_the_nearest_of_the_style(tiny):
    features = tiny(CONTENT, [LAYER])
    (found,) = match_style(features, tiny, [Region.whole(STYLE)]).values()
    styles = rows(tiny(STYLE, [LAYER])[LAYER])
    assert found.shape == features[LAYER].shape
    torch.testing.assert_close(rows(found), nearest(rows(features[LAYER]), styles))


def test_the_pictures_of_a_batch_are_matched_one_by_one(tiny):
    both = torch.cat([CONTENT, random_image(5, 32, 40)])
    together = match_style(tiny(both, [LAYER]), tiny, [Region.whole(STYLE)])[LAYER]
    for one, image in zip(together, both, strict=True):
        alone = match_style(tiny(image[None], [LAYER]), tiny, [Region.whole(STYLE)])[LAYER]
        torch.testing.assert_close(one, alone[0])


def test_a_region_is_matched_with_its_own_style_and_a_kept_one_stays(tiny):
    features = tiny(CONTENT, [LAYER])
    regions = [Region([Part("style", STYLE)], LEFT), Region([], 1 - LEFT)]
    found = match_style(features, tiny, regions)[LAYER]
    whole = match_style(features, tiny, [Region.whole(STYLE)])[LAYER]
    middle = found.shape[3] // 2
    torch.testing.assert_close(found[..., :middle], whole[..., :middle])
    torch.testing.assert_close(found[..., middle:], features[LAYER][..., middle:])


def test_a_style_of_several_pictures_offers_as_many_features_as_its_weights_say(tiny):
    other = random_image(7, 36, 28)
    parts = [Part("one", STYLE, 0.75), Part("other", other, 0.25)]
    features = tiny(CONTENT, [LAYER])
    found = rows(match_style(features, tiny, [Region(parts)])[LAYER])
    ones, others = (rows(tiny(image, [LAYER])[LAYER]) for image in (STYLE, other))
    of_other = (found[:, None] == others[None]).all(2).any(0).sum()
    assert all((row == torch.cat([ones, others])).all(1).any() for row in found)
    assert 0 < of_other <= round(len(others) / 3)


def test_a_style_s_mask_hides_features(tiny):
    mask = torch.zeros(1, 1, 36, 28)
    mask[..., :14, :] = 1
    region = Region([Part("style", STYLE, mask=mask)])
    found = rows(match_style(tiny(CONTENT, [LAYER]), tiny, [region])[LAYER])
    shown = rows(tiny(STYLE, [LAYER])[LAYER][..., :7, :])
    assert all((row == shown).all(1).any() for row in found)


def levels_of(picture: Tensor, count: int) -> list[Tensor]:
    """The levels of a Laplacian pyramid, the finest first."""
    levels = []
    for _ in range(count):
        height, width = picture.shape[-2:]
        small = functional.interpolate(picture, (height // 2, width // 2), mode="bilinear")
        levels.append(picture - functional.interpolate(small, (height, width), mode="bilinear"))
        picture = small
    return [*levels, picture]


def picture_of(levels: list[Tensor]) -> Tensor:
    picture = levels[-1]
    for level in reversed(levels[:-1]):
        picture = level + functional.interpolate(picture, level.shape[-2:], mode="bilinear")
    return picture


def test_what_is_matched_has_the_content_s_detail_on_the_picture_so_far():
    finest = levels_of(CONTENT, 1)[0]
    small = random_image(3, 16, 20)
    so_far = functional.interpolate(small, (32, 40), mode="bilinear")
    expected = 0.75 * CONTENT + 0.25 * picture_of([finest, small])
    torch.testing.assert_close(mix_so_far(CONTENT, so_far, 0.75), expected)
    torch.testing.assert_close(mix_so_far(CONTENT, so_far, 1.0), CONTENT)


def test_rotations_are_four_parts_of_equal_weight():
    mask = random_image(4, 36, 28)[:, :1]
    region = Region([Part("style", STYLE, 0.5, mask)], LEFT).rotated()
    assert [part.weight for part in region.parts] == [0.125] * 4
    assert [part.image.shape[-2:] for part in region.parts] == [(36, 28), (28, 36)] * 2
    assert torch.equal(region.parts[2].image, STYLE.flip(2, 3))
    assert torch.equal(region.parts[1].image, STYLE.transpose(2, 3).flip(2))
    assert torch.equal(region.parts[1].mask, mask.transpose(2, 3).flip(2))
    assert region.mask is LEFT


def test_a_style_and_the_same_turned_are_one_with_rotations(tiny, small):
    turned = Images.of(to_image(CONTENT), to_image(torch.rot90(STYLE, 1, (2, 3)).contiguous()))
    plain, rotated = (
        small(iterations=1, start="content", style_rotations=one) for one in (False, True)
    )

    def style_loss(images: Images, cell: Settings) -> float:
        (result,) = make_cells(tiny, images, [cell])
        return result.trace["style"][0]

    assert style_loss(turned, rotated) == pytest.approx(style_loss(IMAGES, rotated), rel=5e-3)
    assert style_loss(turned, plain) != pytest.approx(style_loss(IMAGES, plain), rel=1e-2)


# ---------------------------------------------------------------- hypercolumns


def test_a_hypercolumn_has_every_relu_at_a_quarter_of_the_size(tiny):
    names = ("relu1_1", "relu1_2", "relu2_1")
    found = tiny(CONTENT, [HYPERCOLUMN, "relu1_2"])
    assert set(found) == {HYPERCOLUMN, "relu1_2"}
    plain = tiny(CONTENT, names)
    expected = [
        functional.interpolate(plain[name], (8, 10), mode="bilinear", align_corners=True)
        / plain[name].shape[1]
        for name in names
    ]
    torch.testing.assert_close(found[HYPERCOLUMN], torch.cat(expected, 1))
    assert torch.equal(found["relu1_2"], plain["relu1_2"])


def test_the_cosine_error_is_0_for_the_same_directions_and_2_for_opposite_ones():
    features = random_image(1, 6, 7) - 0.5
    both = torch.cat([3 * features, -features])
    torch.testing.assert_close(cosine_error(both, features), torch.tensor([0.0, 2.0]))
    assert cosine_error(torch.zeros_like(features), features).item() == 1


def test_a_hypercolumn_can_be_compared_in_either_loss_and_at_an_octave(tiny, small):
    layers = {"hypercolumn": 1.0, "hypercolumn@1": 1.0, "relu1_1": 1.0}
    cell = small(content_layers=layers, style_layers=layers, image_size=48, iterations=20)
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert {"content hypercolumn@1", "style hypercolumn"} <= set(result.losses)
    assert result.losses["total"] < result.trace["total"][0]


# ---------------------------------------------------------------- stages


def test_the_content_leads_and_the_style_finishes(tiny, small):
    cell = small(**MATCHED, iterations=5, coarse_stages=[[32, 3]], image_size=40, finish=4)
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert len(result.trace["total"]) == 3 + 5 + 4
    assert all(result.trace["content"][:8])
    assert not any(result.trace["style"][:8])
    assert not any(result.trace["content"][8:])
    assert all(result.trace["style"][8:])
    assert result.trace["style"][11] < result.trace["style"][8]
    assert result.losses["content"] > 0
    assert result.losses["style"] > 0
    assert {f"content {LAYER}", f"style {LAYER}"} <= set(result.losses)


def test_snapshots_are_of_the_steps_before_the_finish(tiny, small):
    cell = small(**MATCHED, iterations=4, finish=3, snapshots=[0, 2, 4])
    outcome = transfer(tiny, IMAGES, [cell])
    assert list(outcome.snapshots) == [0, 2, 4]


def test_at_a_larger_size_the_picture_so_far_has_a_part_in_what_is_matched(tiny, small):
    def made(share: float) -> Tensor:
        stages = {"coarse_stages": [[32, 8]], "image_size": 40, "iterations": 8}
        cell = small(**MATCHED, **stages, learning_rate=0.1, match_content=share)
        return transfer(tiny, IMAGES, [cell]).images

    assert not torch.equal(made(0.2), made(1.0))


def test_matched_cells_do_not_depend_on_their_batch(tiny, small):
    stages = {"coarse_stages": [[32, 4]], "image_size": 40, "iterations": 4, "finish": 3}
    cells = [small(**MATCHED | {"start": "noise", "seed": seed}, **stages) for seed in (0, 1)]
    together = sorted(make_cells(tiny, IMAGES, cells, batch_size=2), key=lambda one: one.index)
    for cell, one in zip(cells, together, strict=True):
        (alone,) = make_cells(tiny, IMAGES, [cell])
        torch.testing.assert_close(one.image, alone.image, atol=1e-3, rtol=0)
    assert not torch.equal(together[0].image, together[1].image)


def test_with_finish_the_best_picture_is_the_best_in_style(tiny, small):
    cell = small(finish=6, iterations=6, keep="best")
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert result.losses["style"] <= min(result.trace["style"][6:]) * (1 + 1e-5)


def test_cells_that_need_all_positions_share_no_batch_with_others(small):
    cells = [small(), small(content_layers={"hypercolumn": 1.0}), small(beta=3.0)]
    assert [sorted(group) for group in group_cells(cells)] == [[0, 2], [1]]


def test_a_print_minimises_both_losses():
    cell = settings_of("relative", image_size=256, finish=50)
    assert print_settings(cell, 1024).finish == 0


# ---------------------------------------------------------------- the parametrisation


@pytest.mark.parametrize("size", [(32, 40), (33, 47), (9, 70), (64, 64)])
def test_a_pyramid_takes_the_steps_that_torch_s_adam_takes_on_its_levels(size):
    start, target = random_image(1, *size).double(), random_image(2, *size).double()
    rate, count = 0.01, max(size).bit_length() - 2

    def loss(picture: Tensor) -> Tensor:
        return ((picture - target).roll(1, 3) * picture).square().sum()

    state, pyramid = start.clone(), Pyramid(Adam(rate, (0.9, 0.999)))
    narrow = min(size) >> count == 0
    levels = [] if narrow else [one.requires_grad_(True) for one in levels_of(start, count)]
    theirs = torch.optim.Adam(levels or [torch.zeros(1, requires_grad=True)], rate, (0.9, 0.999))
    for _ in range(10):
        images = state.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(images), images)
        state = pyramid.step(state, gradient)
        if narrow:
            continue
        theirs.zero_grad()
        loss(picture_of(levels)).backward()
        theirs.step()
    assert loss(state) < loss(start)
    if not narrow:
        torch.testing.assert_close(state, picture_of(levels).detach(), atol=1e-9, rtol=0)


def test_a_pyramid_moves_a_flat_area_as_one():
    gradient = torch.ones(1, 3, 64, 64) + 0.1 * torch.randn(1, 3, 64, 64)
    images = torch.full_like(gradient, 0.5)
    moved = Pyramid(Adam(0.01)).step(images, gradient) - images
    pixels = Adam(0.01).step(images, gradient) - images
    assert moved.mean() < 3 * pixels.mean() < 0


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parametrisation": "pyramid"}, "needs optimiser: adam, keras_adam or rmsprop; got lbfgs"),
        ({"tile_size": 512, "content_target": "matched"}, "with content_target: matched"),
        ({"tile_size": 512, "style_layers": {"hypercolumn": 1.0}}, "with layer hypercolumn"),
        ({"match_content": 1.5}, "match_content must be a number from 0 to 1; got 1.5"),
        ({"style_rotations": 1}, "style_rotations must be true or false; got 1"),
        ({"finish": -1}, "finish must be a whole number from 0 to 100000; got -1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Settings.from_mapping(changes)


def test_a_matched_cell_cannot_be_printed():
    with pytest.raises(ConfigError, match="cannot be printed"):
        print_settings(settings_of("nnst", image_size=256, coarse_stages=[]), 1024)
