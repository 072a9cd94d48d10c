"""The settings of nnst and strotss: matching, hypercolumns, samples and losses."""

import pytest
import torch
from configurations import settings_of
from conftest import CONTENT, IMAGES, LEFT, STYLE, random_image
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from nst.config.composition import Part
from nst.config.layers import SAMPLED, SETS
from nst.config.prints import print_settings
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method.distributions import blended_cloud, relaxed_emd_style_loss, style_cloud
from nst.method.objective import Objective, Targets, match_style, measure_targets, mix_so_far
from nst.method.optimise import State, take_step
from nst.method.optimisers import Adam, Lbfgs, Pyramid
from nst.method.regions import Region
from nst.method.resilience import group_cells, make_cells
from nst.method.stages import Images, prepare_stages
from nst.method.start import finest_detail
from nst.method.transfer import begin_stage, make_optimiser, start_images, transfer
from nst.network.kernels import of_step, sample_columns
from nst.network.tensors import to_image

LAYER = "relu2_1"
MATCHED = {
    **{"content_target": "matched", "content_loss": "cosine", "optimiser": "adam"},
    **{"start": "content", "keep": "last"},
}


def rows(features: Tensor) -> Tensor:
    return features[0].flatten(1).T


# ---------------------------------------------------------------- matching


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
        size = picture.shape[-2:]
        half = [max(1, side // 2) for side in size]
        small = functional.interpolate(picture, half, mode="bilinear")
        levels.append(picture - functional.interpolate(small, size, mode="bilinear"))
        picture = small
    return [*levels, picture]


def picture_of(levels: list[Tensor]) -> Tensor:
    picture = levels[-1]
    for level in reversed(levels[:-1]):
        picture = level + functional.interpolate(picture, level.shape[-2:], mode="bilinear")
    return picture


def test_what_is_matched_has_the_content_s_detail_on_the_picture_so_far():
    finest = levels_of(CONTENT, 1)[0]
    so_far = random_image(3, 32, 40)
    expected = 0.75 * CONTENT + 0.25 * (finest + so_far)
    torch.testing.assert_close(mix_so_far(CONTENT, so_far, 0.75), expected)
    torch.testing.assert_close(mix_so_far(CONTENT, so_far, 1.0), CONTENT)


def test_the_masks_of_a_style_are_rotated_with_it():
    mask = random_image(4, 36, 28)[:, :1]
    region = Region([Part("style", STYLE, 0.5, mask)], LEFT).rotated()
    for part in region.parts:
        assert part.image.shape[-2:] == part.mask.shape[-2:]
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


def test_a_hypercolumn_can_be_compared_in_either_loss_and_at_an_octave(tiny, small):
    layers = {"hypercolumn": 1.0, "hypercolumn@1": 1.0, "relu1_1": 1.0}
    cell = small(content_layers=layers, style_layers=layers, image_size=48, iterations=20)
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert {"content hypercolumn@1", "style hypercolumn"} <= set(result.losses)
    assert result.losses["total"] < result.trace["total"][0]


# ---------------------------------------------------------------- stages


def test_the_content_leads_and_the_style_finishes(tiny, small):
    steps = {"iterations": 5, "coarse_stages": [[32, 3]], "finish": 4, "snapshots": [0, 2, 5]}
    (result,) = make_cells(tiny, IMAGES, [small(**MATCHED, **steps, image_size=40)])
    assert len(result.trace["total"]) == 3 + 5 + 4
    assert all(result.trace["content"][:8])
    assert not any(result.trace["style"][:8])
    assert not any(result.trace["content"][8:])
    assert all(result.trace["style"][8:])
    assert result.trace["style"][11] < result.trace["style"][8]
    assert result.losses["content"] > 0
    assert result.losses["style"] > 0
    assert {f"content {LAYER}", f"style {LAYER}"} <= set(result.losses)
    assert list(result.snapshots) == [0, 2, 5], "of the steps before the finish"


def test_at_a_larger_size_the_picture_so_far_has_a_part_in_what_is_matched(tiny, small):
    def made(share: float) -> Tensor:
        stages = {"coarse_stages": [[32, 8]], "image_size": 40, "iterations": 8}
        cell = small(**MATCHED, **stages, learning_rate=0.1, match_content=share)
        return transfer(tiny, IMAGES, [cell]).images

    assert not torch.equal(made(0.2), made(1.0))


def test_with_finish_the_best_picture_is_the_best_in_style(tiny, small):
    cell = small(finish=6, iterations=6, keep="best")
    (result,) = make_cells(tiny, IMAGES, [cell])
    assert result.losses["style"] <= min(result.trace["style"][6:]) * (1 + 1e-5)


# ---------------------------------------------------------------- the parametrisation


@pytest.mark.parametrize("size", [(32, 40), (33, 47), (9, 70), (64, 64)])
def test_a_pyramid_takes_the_steps_that_torch_s_adam_takes_on_its_levels(size):
    start, target = random_image(1, *size).double(), random_image(2, *size).double()

    def loss(picture: Tensor) -> Tensor:
        return ((picture - target).roll(1, 3) * picture).square().sum()

    state, pyramid = start.clone(), Pyramid(Adam(0.01, (0.9, 0.999)))
    levels = [one.requires_grad_(True) for one in levels_of(start, max(size).bit_length() - 2)]
    theirs = torch.optim.Adam(levels, 0.01, (0.9, 0.999))
    for _ in range(10):
        images = state.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(loss(images), images)
        state = pyramid.step(state, gradient)
        theirs.zero_grad()
        loss(picture_of(levels)).backward()
        theirs.step()
    assert loss(state) < loss(start)
    torch.testing.assert_close(state, picture_of(levels).detach(), atol=1e-9, rtol=0)


# ---------------------------------------------------------------- samples


WIDE_STYLE = random_image(2, 44, 48)
WIDE_IMAGES = Images.of(to_image(CONTENT), to_image(WIDE_STYLE))
SAMPLES = {SAMPLED: 1.0}
STROTSS = {
    **{"content_loss": "self_similarity", "style_loss": "relaxed_emd"},
    **{"content_layers": SAMPLES, "style_layers": SAMPLES},
    **{"optimiser": "rmsprop", "parametrisation": "pyramid", "learning_rate": 2e-3},
    **{"start": "detail", "keep": "last", "clamp": False, "image_size": 40},
}


def test_a_step_has_one_set_and_they_take_turns():
    features = [random_image(3, 32, 40), random_image(4, 16, 20)]
    everything = sample_columns(features)
    for number in (0, 1, SETS - 1, SETS, SETS + 5):
        step = torch.tensor(number)
        one = sample_columns(features, step)
        torch.testing.assert_close(one[:, :, 0], everything[:, :, number % SETS])
        torch.testing.assert_close(one, of_step(everything, step))


def cloud(seed: int, count: int) -> Tensor:
    return random_image(seed, 1, count) - 0.5


def test_a_region_without_a_position_in_this_step_has_no_loss():
    target = blended_cloud([(1.0, style_cloud(cloud(2, 100)))])
    features = cloud(1, 60).requires_grad_()
    loss = relaxed_emd_style_loss(features, torch.zeros(1, 1, 1, 60), target)
    assert loss == 0
    loss.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(400, 0.75, (400 + 133, 133)), (40, 0.5, (80, 40))]
)
def test_a_blend_has_as_many_features_of_each_as_its_weights_say(count, share, expected):
    one, other = style_cloud(cloud(1, count)), style_cloud(cloud(2, 400))
    blend = blended_cloud([(share, one), (1 - share, other)])
    found = (blend.features[:, None] == other.features[None]).all(2).any(1).sum()
    assert (len(blend.features), found) == expected
    torch.testing.assert_close(blend.covariance, torch.cov(blend.features.T, correction=0))


def targets_of(tiny, cell: Settings, halvings: int = 0) -> Targets:
    return measure_targets(tiny, CONTENT, [Region.whole(WIDE_STYLE)], [cell], halvings)


@pytest.mark.usefixtures("few_features")
def test_each_step_looks_at_other_positions(tiny, small):
    cell = small(**STROTSS | {"learning_rate": 1e-9, "iterations": SETS + 2})
    (made,) = make_cells(tiny, WIDE_IMAGES, [cell])
    losses = made.trace["style"]
    assert len({round(one, 5) for one in losses[:SETS]}) > SETS / 2
    assert losses[SETS:] == pytest.approx(losses[:2], rel=1e-4)


@pytest.mark.usefixtures("few_features")
def test_a_recorded_step_looks_at_other_positions_when_it_is_replayed(tiny, small):
    cell = small(**STROTSS)
    targets = targets_of(tiny, cell)

    def begun() -> tuple[State, Objective]:
        state = State.at(CONTENT, make_optimiser(cell))
        objective = Objective(tiny, targets, [cell], step=state.step_number)
        for _ in range(2):
            take_step(state, objective, Settings(iterations=1))
        return state, objective

    (eager, objective), (replayed, other) = begun(), begun()
    recorded = make_fx(lambda: take_step(replayed, other, Settings(iterations=1)))()
    take_step(eager, objective, Settings(iterations=1))
    for _ in range(4):
        recorded()
        take_step(eager, objective, Settings(iterations=1))
        assert torch.equal(replayed.images, eager.images)
    assert replayed.step_number == eager.step_number == 7


def test_alpha_and_the_learning_rate_are_others_at_coarse_sizes(tiny, small):
    cell = small(**STROTSS, coarse_alpha=3.0, coarse_learning_rate=0.5)
    for halvings in (0, 1, 2):
        parts = Objective(tiny, targets_of(tiny, cell, halvings), [cell])(CONTENT + 0.1)
        alpha = (parts["total"] - cell.beta * parts["style"]) / parts["content"]
        assert alpha.item() == pytest.approx(cell.alpha * 3.0**halvings, rel=1e-3)
    cell = small(**STROTSS, coarse_stages=[[32, 1]], coarse_learning_rate=0.5)
    stages = prepare_stages(WIDE_IMAGES, cell, torch.device("cpu"))
    assert isinstance(make_optimiser(cell), Pyramid)
    gradient = random_image(5, 8, 8)
    coarse, last = (
        make_optimiser(stage.settings).step(gradient, gradient) - gradient for stage in stages
    )
    torch.testing.assert_close(coarse, last * 0.5 / 2e-3, rtol=1e-3, atol=1e-5)


def test_the_content_s_detail_is_there_at_all_sizes_but_the_last(small):
    cell = small(**STROTSS | {"image_size": 128}, coarse_stages=[[0.25, 1], [0.5, 1]])
    first, second, last = prepare_stages(WIDE_IMAGES, cell, torch.device("cpu"))
    mean = first.regions[0].parts[0].image.mean((2, 3), keepdim=True)
    torch.testing.assert_close(start_images(first, [cell]), mean + finest_detail(first.content))
    before = random_image(5, 26, 32)
    for stage, share in ((second, 1), (last, 0)):
        size = stage.content.shape[-2:]
        enlarged = functional.interpolate(before, size=size, mode="bicubic").clamp(0, 1)
        expected = enlarged + share * finest_detail(stage.content)
        torch.testing.assert_close(start_images(stage, [cell], before), expected)


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ([{}, {"iterations": 5}, {"beta": 3.0}, {"optimiser": "adam"}], [[0, 2], [1], [3]]),
        ([{}, {"content_layers": {"hypercolumn": 1.0}}, {"beta": 3.0}], [[0, 2], [1]]),
        ([STROTSS | {"start": one} for one in ("detail", "noise", "content")], [[0], [1, 2]]),
    ],
    ids=["of one recipe", "of all positions", "with detail at each size"],
)
def test_cells_share_a_batch_with_their_like(small, changes, groups):
    assert [sorted(group) for group in group_cells([small(**one) for one in changes])] == groups


STAGES = {"coarse_stages": [[40, 4]], "image_size": 48, "iterations": 4, "start": "noise"}


# A step of the second recipe is 2e-3, and rounding can turn a gradient near 0. Measured: 1.1e-3.
@pytest.mark.parametrize(
    ("changes", "style", "tolerance"),
    [(MATCHED | STAGES | {"finish": 3}, STYLE, 1e-3), (STROTSS | STAGES, WIDE_STYLE, 5e-3)],
    ids=["matched", "sampled"],
)
@pytest.mark.usefixtures("few_features")
def test_a_cell_does_not_depend_on_its_batch(tiny, small, changes, style, tolerance):
    images = Images.of(to_image(CONTENT), to_image(style))
    cells = [small(**changes | {"seed": seed}) for seed in (0, 1)]
    together = sorted(make_cells(tiny, images, cells, batch_size=2), key=lambda one: one.index)
    for cell, one in zip(cells, together, strict=True):
        (alone,) = make_cells(tiny, images, [cell])
        torch.testing.assert_close(one.image, alone.image, atol=tolerance, rtol=0)
    assert (together[0].image - together[1].image).abs().max() > 0.1


def test_a_detailed_start_is_clamped_where_all_pictures_are(tiny, small):
    for clamp in (True, False):
        cell = small(**STROTSS | {"clamp": clamp, "learning_rate": 1e-9, "iterations": 1})
        stage = next(prepare_stages(WIDE_IMAGES, cell, torch.device("cpu")))
        start = stage.content + finest_detail(stage.content).sign()
        images = begin_stage(stage, [cell], Lbfgs(), State.at(start, Lbfgs())).images
        assert (images.max() <= 1) == clamp


def test_a_region_keeps_to_its_own_style(tiny, small):
    cell = small(**STROTSS)
    regions = [
        Region([Part("style", WIDE_STYLE)], LEFT),
        Region([Part("other", 1 - WIDE_STYLE)], 1 - LEFT),
    ]
    targets = measure_targets(tiny, CONTENT, regions, [cell])
    halves = torch.cat([WIDE_STYLE[..., :20], 1 - WIDE_STYLE[..., 20:40]], dim=3)[:, :, :32]
    swapped = torch.cat([1 - WIDE_STYLE[..., :20], WIDE_STYLE[..., 20:40]], dim=3)[:, :, :32]
    right, wrong = (Objective(tiny, targets, [cell])(one)["style"] for one in (halves, swapped))
    assert right < 0.8 * wrong


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parametrisation": "pyramid"}, "needs optimiser: adam, keras_adam or rmsprop; got lbfgs"),
        ({"tile_size": 512, "content_target": "matched"}, "with content_target: matched"),
        ({"tile_size": 512, "style_layers": {"hypercolumn": 1.0}}, "with layer hypercolumn"),
        ({"style_loss": "relaxed_emd"}, "needs optimiser: adam"),
        (
            {"style_loss": "relaxed_emd", "optimiser": "adam"},
            "need each other; got relaxed_emd and relu1_1, relu2_1, .*formulations",
        ),
        ({"content_layers": SAMPLES}, "need each other; got relative and sampled_hypercolumn"),
        ({"content_target": "matched", **STROTSS}, "needs content_loss: .* got self_similarity"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Settings.from_mapping(changes)


def test_a_print_minimises_both_losses_with_the_weight_and_the_rate_of_the_last_size():
    assert print_settings(settings_of("relative", image_size=256, finish=50), 1024).finish == 0
    printed = print_settings(settings_of("strotss", image_size=256), 1024)
    assert (printed.coarse_alpha, printed.coarse_learning_rate) == (1, None)
    with pytest.raises(ConfigError, match="cannot be printed"):
        print_settings(settings_of("nnst", image_size=256, coarse_stages=[]), 1024)
