"""Pictures in tiles: the same features, losses and gradients as without tiles."""

import itertools
from dataclasses import replace

import pytest
import torch
from conftest import random_image, random_network
from torch.autograd.graph import saved_tensors_hooks

from nst.config.composition import Part
from nst.config.geometry import fitting_side, remembered_pairs, tile_side
from nst.config.layers import VGG19, VGG19_16X
from nst.config.registry import NETWORKS, STATISTICS
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.method.objective import SUMS, Objective, measure_targets
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.tensors import to_image
from nst.network.tiles import cut, see_in_tiles

THIN = {  # as deep as the real networks
    name: replace(one, widths=tuple((6,) * len(block) for block in one.widths))
    for name, one in ((name, network.architecture) for name, network in NETWORKS.items())
}
THIN["symmetric"] = replace(THIN["vgg16"], padding="symmetric")
ADDED_UP = sorted(name for name, one in STATISTICS.items() if one.merge)


def double_image(seed: int, height: int, width: int) -> torch.Tensor:
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return (random_image(seed, height, width) + noise).double() / 2


# ---------------------------------------------------------------- features


@pytest.mark.parametrize(
    "layers",
    [["relu1_1"], ["relu2_1", "conv3_1"], ["relu1_2", "relu5_1"], ["rgb"], ["rgb", "relu2_1"]],
)
@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("name", sorted(THIN))
def test_features_of_tiles_are_those_of_the_whole(name, pooling, layers):
    network = random_network(replace(THIN[name], pooling=pooling)).double()
    image = double_image(1, 141, 120)
    whole = network(image, layers)
    covered = {layer: torch.zeros(whole[layer].shape[2:]) for layer in layers}
    tiles = list(see_in_tiles(network, image, layers, 64))
    assert len(tiles) > 3
    for tile, features in tiles:
        for layer, value in features.items():
            torch.testing.assert_close(
                value, tile.of_whole(whole[layer], layer), rtol=1e-10, atol=1e-12
            )
            tile.of_whole(covered[layer][None, None], layer).add_(1)
    for layer, times in covered.items():
        assert (times == 1).all(), f"each position of {layer} must belong to one tile"


@pytest.mark.parametrize("layer", ["relu1_2", "relu5_1"])
@pytest.mark.parametrize("size", [(65, 64), (64, 640), (333, 517), (1000, 32), (700, 2000)])
@pytest.mark.parametrize("side", [64, 100, 512, None])
def test_tiles_are_of_about_one_size_and_no_larger_than_asked(size, side, layer):
    tiles = cut(size, side, VGG19, [layer])
    for axis, length in enumerate(size):
        spans = sorted({(one.own[axis].start, one.own[axis].stop) for one in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
        lengths = [stop - start for start, stop in spans]
        assert min(lengths) > 0
        assert max(lengths) - min(lengths) <= 32, "borders lie on the deepest layer's positions"
        if side is None:
            assert lengths == [length]
    high, wide = (max(len(one.own[axis]) for one in tiles) for axis in (0, 1))
    assert side is None or high * wide <= (side + 16) ** 2


def test_tiles_are_bands_where_the_margin_leaves_room_for_that():
    shallow, deep = (cut((3072, 4096), 1024, VGG19, [layer]) for layer in ("relu2_1", "relu5_1"))
    assert {(one.own[1].start, one.own[1].stop) for one in shallow} == {(0, 4096)}
    assert len({one.own[1].start for one in deep}) == 4


def test_the_picture_itself_needs_no_margin():
    tiles = cut((3000, 5000), 64, VGG19, ["rgb"])
    sides = [(len(one.own[0]), len(one.own[1])) for one in tiles]
    assert sum(high * wide for high, wide in sides) == 3000 * 5000


# ---------------------------------------------------------------- losses and gradients

RECIPE = {
    "content_layers": {"relu1_2": 1.0, "relu3_1@1": 0.5},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 0.5, "relu4_1": 0.25, "rgb": 0.1},
    "octaves": 2,
    "tv_weight": 3.0,
}


def regions_of(kind: str) -> list[Region]:
    first, last = double_image(7, 170, 120), double_image(8, 90, 140)
    if kind == "whole":
        return [Region.whole(first)]
    if kind == "blend":
        return [Region([Part("a", first, 0.75), Part("b", last, 0.25)])]
    left = torch.zeros(1, 1, 150, 190).double()
    left[..., :50] = 1  # the tiles on the right do not contain this region
    masked = torch.ones(1, 1, 170, 120).double()
    masked[..., 100:, :] = 0
    return [Region([Part("a", first, 1.0, masked)], left), Region([Part("b", last)], 1 - left)]


def evaluated(settings: Settings, side: int | str, kind: str) -> tuple:
    network = random_network(THIN["vgg19_16x"]).double()
    content, images = double_image(5, 150, 190), double_image(6, 150, 190)
    images = torch.cat([images, images.flip(3)]).requires_grad_(True)
    cells = [replace(settings, tile_size=side, beta=beta) for beta in (1.0, 30.0)]
    objective = Objective(
        network, measure_targets(network, content, regions_of(kind), cells), cells
    )
    parts = objective(images)
    (gradient,) = torch.autograd.grad(parts["total"].sum(), images)
    return parts, gradient


CONTENT_LOSSES = ("relative", "half_sum", "mean", "scaled")
IN_REGIONS = [
    pytest.param(style_loss, content_loss, "regions", marks=[pytest.mark.slow] * (index >= 4))
    for index, (style_loss, content_loss) in enumerate(
        zip(ADDED_UP, itertools.cycle(CONTENT_LOSSES), strict=False)
    )
]


@pytest.mark.parametrize(
    ("style_loss", "content_loss", "kind"),
    [*(("covariance", "relative", kind) for kind in ("whole", "blend")), *IN_REGIONS],
)
def test_losses_and_gradients_in_tiles_are_those_of_the_whole(style_loss, content_loss, kind):
    settings = Settings(style_loss=style_loss, content_loss=content_loss, **RECIPE)
    whole, expected = evaluated(settings, "auto", kind)
    tiled, found = evaluated(settings, 64, kind)
    assert whole.keys() == tiled.keys()
    for name, loss in whole.items():
        # The sums agree only to float32, the type of α, β and the weights.
        exact = 1e-6 if name in SUMS else 1e-9
        assert (loss > 1e-6).all() or name in SUMS, "the losses must not be zero"
        torch.testing.assert_close(tiled[name], loss, rtol=exact, atol=0)
    assert (found - expected).norm() <= 1e-7 * expected.norm()


def test_in_tiles_hardly_any_features_are_kept_for_the_gradient():
    network = random_network(VGG19_16X).double()
    image = double_image(5, 160, 160).requires_grad_(True)

    def kept(side: int | str) -> int:
        cells = [Settings(style_loss="covariance", tile_size=side, **RECIPE)]
        targets = measure_targets(network, image.detach(), [Region.whole(image.detach())], cells)
        objective, seen = Objective(network, targets, cells), {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with saved_tensors_hooks(pack, lambda tensor: tensor):
            parts = objective(image)
        assert parts["total"].requires_grad
        return sum(seen.values())

    assert kept(64) < 0.5 * kept("auto")


def test_a_cell_in_tiles_looks_like_one_without(tiny, small):
    images = Images.of(to_image(random_image(1, 90, 120)), to_image(random_image(2, 100, 80)))
    settings = small(image_size=120, iterations=5, beta=100, style_loss="covariance")
    pictures = []
    for side in ("auto", 64):
        (result,) = make_cells(tiny, images, [replace(settings, tile_size=side)])
        pictures.append(result.image)
    torch.testing.assert_close(*pictures, rtol=0, atol=2e-3)
    assert not torch.equal(*pictures), "different rounding shows that tiles were used"


# ---------------------------------------------------------------- use of tiles


def test_the_size_of_the_picture_and_the_network_decide():
    small, large = 1024 * 1024, 4096 * 3072
    for architecture in (one.architecture for one in NETWORKS.values()):
        assert fitting_side(architecture, small) is None
        side = fitting_side(architecture, large)
        assert side is not None
        assert side % 64 == 0
    assert fitting_side(VGG19, large) < fitting_side(VGG19_16X, large)
    settings = Settings(extractor="vgg19", style_loss="covariance")
    assert tile_side(settings, large) == fitting_side(VGG19, large)
    shallow = replace(settings, style_layers={"relu1_1": 1.0}, content_layers={"relu1_1": 1.0})
    assert tile_side(shallow, large) == tile_side(settings, large), "cells share their batch"


def test_a_side_that_is_asked_for_is_taken():
    settings = Settings.from_mapping({"tile_size": 256})
    assert tile_side(settings, 256 * 256) is None
    assert tile_side(settings, 256 * 257) == 256


@pytest.mark.parametrize("style_loss", sorted(set(STATISTICS) - set(ADDED_UP)))
def test_statistics_that_need_all_positions_are_never_cut_and_refuse_to_be(style_loss):
    sampled = {"style_layers": {"sampled_hypercolumn": 1}, "optimiser": "adam"}
    others = sampled if style_loss == "relaxed_emd" else {}
    settings = Settings.from_mapping({"style_loss": style_loss, **others})
    assert tile_side(settings, 8192 * 8192) is None
    with pytest.raises(ConfigError, match=r"tile_size must be auto with style_loss: \w+, which"):
        Settings.from_mapping({"style_loss": style_loss, "tile_size": 512, **others})


def test_large_pictures_are_remembered_less_often():
    assert remembered_pairs(2048 * 2048) == 10
    assert 3 < remembered_pairs(3072 * 2304) < 10
    assert remembered_pairs(8192 * 8192) == 3
