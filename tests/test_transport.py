"""The settings of the recipe strotss: sampled positions, its two losses, RMSprop, coarse sizes."""

import pytest
import torch
from configurations import settings_of
from conftest import random_image
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

from nst.config.composition import Part
from nst.config.octaves import SAMPLED, SET_POSITIONS, SETS
from nst.config.prints import print_settings
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method import distributions
from nst.method.batches import group_cells
from nst.method.distributions import blended_cloud, relaxed_emd_style_loss, style_cloud
from nst.method.losses import self_similarity_error
from nst.method.objective import Objective, Parts, Targets, measure_targets
from nst.method.optimise import Outcome, Plan, State, take_step
from nst.method.optimisers import Adam, Lbfgs, Pyramid
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images, prepare_stages
from nst.method.start import finest_detail
from nst.method.transfer import begin_stage, make_optimiser, start_images
from nst.network.sampling import of_step, sample_columns
from nst.network.tensors import to_image

CONTENT, STYLE = random_image(1, 32, 40), random_image(2, 44, 48)
IMAGES = Images.of(to_image(CONTENT), to_image(STYLE))
LAYER = {SAMPLED: 1.0}
STROTSS = {
    **{"content_loss": "self_similarity", "style_loss": "relaxed_emd"},
    **{"content_layers": LAYER, "style_layers": LAYER},
    **{"optimiser": "rmsprop", "parametrisation": "pyramid", "learning_rate": 2e-3},
    **{"start": "detail", "keep": "last", "clamp": False, "image_size": 40},
}


PARTS = Parts(*[torch.zeros(1)] * 4, layers={})


def ramps(height: int, width: int, scale: float = 1.0) -> Tensor:
    """A picture whose values are its own rows and columns, in px of a larger one."""
    down = scale * torch.arange(height, dtype=torch.float32)[:, None].expand(height, width)
    across = scale * torch.arange(width, dtype=torch.float32).expand(height, width)
    return torch.stack([down, across])[None]


@pytest.fixture
def few_features(monkeypatch) -> None:
    """Keep few of a style's features, so that a step takes little time."""
    monkeypatch.setattr(distributions, "CLOUD", 300)


def step(number: int) -> Tensor:
    return torch.tensor(number)


# ---------------------------------------------------------------- positions


def test_positions_are_spread_evenly_in_each_step_and_in_all():
    places = sample_columns([ramps(512, 512)])[0].flatten(1).T
    for chosen, side in ((places[:SET_POSITIONS], 16), (places[-SET_POSITIONS:], 16), (places, 64)):
        cells = (chosen / 512 * side).long()
        number = (side * cells[:, 0] + cells[:, 1]).bincount(minlength=side**2)
        assert number.min() >= 1
        assert number.max() <= 3 * len(chosen) / side**2


def test_a_smaller_layer_is_read_at_the_same_places():
    columns = sample_columns([ramps(64, 48), ramps(32, 24, 2.0), ramps(16, 12, 4.0)])
    assert columns.shape == (1, 6, SETS, SET_POSITIONS)
    picture, half, quarter = columns.split(2, 1)
    # The last rows and columns of a smaller layer lie before the picture's.
    inside = (picture < torch.tensor([60.0, 44.0]).view(1, 2, 1, 1)).all(1, keepdim=True)
    for one in (half, quarter):
        torch.testing.assert_close(one * inside, picture * inside, atol=1e-4, rtol=0)


def test_a_step_has_one_set_and_they_take_turns():
    features = [random_image(3, 32, 40), random_image(4, 16, 20)]
    everything = sample_columns(features)
    for number in (0, 1, SETS - 1, SETS, SETS + 5):
        one = sample_columns(features, step(number))
        torch.testing.assert_close(one[:, :, 0], everything[:, :, number % SETS])
        torch.testing.assert_close(one, of_step(everything, step(number)))


def test_the_layer_has_colours_and_every_part(tiny):
    found = tiny(CONTENT, [SAMPLED, "relu1_2"], step(2))
    assert set(found) == {SAMPLED, "relu1_2"}
    plain = tiny(CONTENT, ["relu1_1", "relu1_2", "relu2_1"])
    expected = sample_columns([CONTENT, *plain.values()], step(2))
    torch.testing.assert_close(found[SAMPLED], expected)


# ---------------------------------------------------------------- losses


def test_self_similarity_does_not_see_what_keeps_directions_and_sees_a_change():
    features = random_image(1, 1, 50).expand(2, -1, -1, -1) - 0.5
    lengths = random_image(5, 1, 50)[:, :1] + 0.1
    torch.testing.assert_close(
        self_similarity_error(features * lengths, features[:1]), torch.zeros(2), atol=1e-5, rtol=0
    )
    moved = features.clone()
    moved[1, :, :, :5] += 1
    error = self_similarity_error(moved, features)
    assert error[0] < 1e-5
    assert error[1] > 1e-2


def cloud(seed: int, count: int) -> Tensor:
    return random_image(seed, 1, count) - 0.5


def test_a_style_is_nearest_to_itself():
    target = blended_cloud([(1.0, style_cloud(cloud(1, 300)))])
    own = relaxed_emd_style_loss(cloud(1, 300), None, target)
    other = relaxed_emd_style_loss(cloud(1, 300) * 0.5 + 0.3, None, target)
    assert own < 0.02
    assert other > 0.2


def test_what_lies_outside_a_region_does_not_count():
    target = blended_cloud([(1.0, style_cloud(cloud(2, 100)))])
    inside, outside = cloud(1, 60), 5 + cloud(3, 40)
    weights = torch.cat([torch.ones(60), torch.zeros(40)]).view(1, 1, 1, 100)
    both = relaxed_emd_style_loss(torch.cat([inside, outside], 3), weights, target)
    torch.testing.assert_close(both, relaxed_emd_style_loss(inside, None, target))
    hidden = style_cloud(torch.cat([inside, outside], 3), weights)
    torch.testing.assert_close(hidden.features, style_cloud(inside).features)


def test_a_region_without_a_position_in_this_step_has_no_loss():
    target = blended_cloud([(1.0, style_cloud(cloud(2, 100)))])
    features = cloud(1, 60).requires_grad_()
    loss = relaxed_emd_style_loss(features, torch.zeros(1, 1, 1, 60), target)
    assert loss == 0
    loss.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


def test_a_small_part_of_a_blend_keeps_its_share():
    one, other = style_cloud(cloud(1, 40)), style_cloud(cloud(2, 400))
    blend = blended_cloud([(0.5, one), (0.5, other)])
    found = (blend.features[:, None] == other.features[None]).all(2).any(1).sum()
    assert (len(blend.features), found) == (80, 40)


def test_a_blend_has_as_many_features_of_each_as_its_weights_say():
    one, other = style_cloud(cloud(1, 400)), style_cloud(cloud(2, 400))
    blend = blended_cloud([(0.75, one), (0.25, other)])
    found = (blend.features[:, None] == other.features[None]).all(2).any(1).sum()
    assert (len(blend.features), found) == (400 + 133, 133)
    torch.testing.assert_close(blend.covariance, torch.cov(blend.features.T, correction=0))


# ---------------------------------------------------------------- steps


def targets_of(tiny, cell: Settings, halvings: int = 0) -> Targets:
    return measure_targets(tiny, CONTENT, [Region.whole(STYLE)], [cell], halvings)


@pytest.mark.usefixtures("few_features")
def test_each_step_looks_at_other_positions(tiny, small):
    cell = small(**STROTSS | {"learning_rate": 1e-9, "iterations": SETS + 2})
    (made,) = make_cells(tiny, IMAGES, [cell])
    losses = made.trace["style"]
    assert len({round(one, 5) for one in losses[:SETS]}) > SETS / 2
    assert losses[SETS:] == pytest.approx(losses[:2], rel=1e-4)


@pytest.mark.usefixtures("few_features")
def test_a_recorded_step_looks_at_other_positions_when_it_is_replayed(tiny, small):
    cell = small(**STROTSS)
    targets = targets_of(tiny, cell)

    def begun() -> tuple[State, Objective]:
        state = State.at(CONTENT, make_optimiser(cell, 1.0, coarse=False))
        objective = Objective(tiny, targets, [cell], step=state.step_number)
        for _ in range(2):
            take_step(state, objective, Plan(1))
        return state, objective

    (eager, objective), (replayed, other) = begun(), begun()
    recorded = make_fx(lambda: take_step(replayed, other, Plan(1)))()
    take_step(eager, objective, Plan(1))
    for _ in range(4):
        recorded()
        take_step(eager, objective, Plan(1))
        assert torch.equal(replayed.images, eager.images)
    assert replayed.step_number == eager.step_number == 7


def test_rmsprop_takes_the_steps_that_torch_s_takes():
    start = random_image(1, 8, 8)
    ours, images = Adam(0.01, (0.9, 0.99), 1e-8, "rmsprop"), start
    parameter = start.clone().requires_grad_()
    theirs = torch.optim.RMSprop([parameter], 0.01)
    for seed in range(10):
        gradient = random_image(seed, 8, 8) - 0.5
        images = ours.step(images, gradient)
        parameter.grad = gradient.clone()
        theirs.step()
        torch.testing.assert_close(images, parameter.detach(), atol=1e-6, rtol=1e-6)


def test_alpha_and_the_learning_rate_are_others_at_coarse_sizes(tiny, small):
    cell = small(**STROTSS, coarse_alpha=3.0, coarse_learning_rate=0.5)
    for halvings in (0, 1, 2):
        parts = Objective(tiny, targets_of(tiny, cell, halvings), [cell])(CONTENT + 0.1)
        alpha = (parts.total - cell.beta * parts.style) / parts.content
        assert alpha.item() == pytest.approx(cell.alpha * 3.0**halvings, rel=1e-3)
    gradient = random_image(5, 8, 8)
    coarse, last = (
        make_optimiser(cell, 1.0, coarse=one).step(gradient, gradient) - gradient
        for one in (True, False)
    )
    assert isinstance(make_optimiser(cell, 1.0, coarse=True), Pyramid)
    torch.testing.assert_close(coarse, last * 0.5 / 2e-3, rtol=1e-3, atol=1e-5)


def test_the_content_s_detail_is_there_at_all_sizes_but_the_last(small):
    cell = small(**STROTSS | {"image_size": 128}, coarse_stages=[[0.25, 1], [0.5, 1]])
    first, second, last = prepare_stages(IMAGES, cell, torch.device("cpu"))
    mean = first.regions[0].parts[0].image.mean((2, 3), keepdim=True)
    torch.testing.assert_close(start_images(first, [cell]), mean + finest_detail(first.content))
    before = Outcome(random_image(5, 26, 32), PARTS, [], torch.ones(1, dtype=torch.bool), {}, 0.0)
    for stage, share in ((second, 1), (last, 0)):
        size = stage.content.shape[-2:]
        enlarged = functional.interpolate(before.images, size=size, mode="bicubic").clamp(0, 1)
        expected = enlarged + share * finest_detail(stage.content)
        torch.testing.assert_close(start_images(stage, [cell], before), expected)


@pytest.mark.usefixtures("few_features")
def test_cells_of_samples_do_not_depend_on_their_batch(tiny, small):
    stages = {"coarse_stages": [[40, 4]], "iterations": 4}
    cells = [
        small(**STROTSS | {"image_size": 48, "start": "noise", "seed": seed}, **stages)
        for seed in (0, 1)
    ]
    together = sorted(make_cells(tiny, IMAGES, cells, batch_size=2), key=lambda one: one.index)
    for cell, one in zip(cells, together, strict=True):
        (alone,) = make_cells(tiny, IMAGES, [cell])
        # A step is 2e-3, and rounding can turn a gradient near 0. Measured: 1.1e-3.
        torch.testing.assert_close(one.image, alone.image, atol=5e-3, rtol=0)
    assert (together[0].image - together[1].image).abs().max() > 0.1


def test_only_cells_that_start_from_detail_get_it_again_on_the_way(small):
    cells = [small(**STROTSS | {"start": start}) for start in ("detail", "noise", "content")]
    assert [sorted(group) for group in group_cells(cells)] == [[0], [1, 2]]


def test_a_detailed_start_is_clamped_where_all_pictures_are(tiny, small):
    for clamp in (True, False):
        cell = small(**STROTSS | {"clamp": clamp, "learning_rate": 1e-9, "iterations": 1})
        stage = next(prepare_stages(IMAGES, cell, torch.device("cpu")))
        start = stage.content + finest_detail(stage.content).sign()
        before = Outcome(start, PARTS, [], torch.ones(1, dtype=torch.bool), {}, 0.0)
        images = begin_stage(stage, [cell], Lbfgs(), None, before).images
        assert (images.max() <= 1) == clamp


def test_a_region_keeps_to_its_own_style(tiny, small):
    left = torch.cat([torch.ones(1, 1, 32, 20), torch.zeros(1, 1, 32, 20)], dim=3)
    cell = small(**STROTSS)
    regions = [Region([Part("style", STYLE)], left), Region([Part("other", 1 - STYLE)], 1 - left)]
    targets = measure_targets(tiny, CONTENT, regions, [cell])
    halves = torch.cat([STYLE[..., :20], 1 - STYLE[..., 20:40]], dim=3)[:, :, :32]
    swapped = torch.cat([1 - STYLE[..., :20], STYLE[..., 20:40]], dim=3)[:, :, :32]
    right, wrong = (Objective(tiny, targets, [cell])(one).style for one in (halves, swapped))
    assert right < 0.8 * wrong


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"style_loss": "relaxed_emd"}, "and no other layer; got relu1_1, relu2_1, .*formulations"),
        ({"content_layers": LAYER}, "needs content_loss: self_similarity; got relative"),
        ({**STROTSS, "optimiser": "lbfgs", "parametrisation": "pixels"}, "positions in each step;"),
        ({"tile_size": 512, **STROTSS}, "with style_loss: relaxed_emd"),
        ({"content_target": "matched", **STROTSS}, "cannot be used with content_loss: self_simil"),
        ({"coarse_alpha": 0}, "coarse_alpha must be a number from 0.001 to 1000; got 0"),
        ({"coarse_learning_rate": 0}, "coarse_learning_rate must be a number from .*, or null"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, reason):
    with pytest.raises(ConfigError, match=reason):
        Settings.from_mapping(changes)


def test_a_print_has_the_weight_and_the_rate_of_the_last_size():
    printed = print_settings(settings_of("strotss", image_size=256), 1024)
    assert (printed.coarse_alpha, printed.coarse_learning_rate) == (1, None)
