import gc

import pytest
import torch
from conftest import CONTENT, IMAGES, STYLE
from torch.nn import functional

from nst.config.geometry import content_size
from nst.errors import UserError
from nst.method import resilience
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.method.resilience import is_out_of_memory, make_cells
from nst.method.stages import prepare_stages
from nst.method.start import start_image
from nst.network.kernels import MomentsOf
from nst.network.tensors import to_bytes

# Measured: 12 steps on the tiny network differ by at most 3e-6 (a level of 8 bits is 4e-3).
BATCH_TOLERANCE = 5e-5


def run(extractor, cells, **options):
    return sorted(make_cells(extractor, IMAGES, cells, **options), key=lambda one: one.index)


def test_more_weight_on_the_style_takes_more_style_and_keeps_less_content(tiny, small):
    careful, bold = run(tiny, [small(beta=beta, iterations=40) for beta in (0.1, 100.0)])
    assert bold.losses["style"] < careful.losses["style"]
    assert bold.losses["content"] > careful.losses["content"]


def test_a_cell_does_not_depend_on_its_batch(tiny, small):
    # Few steps, as each one amplifies the rounding in which batches differ.
    cells = [
        small(beta=1.0, iterations=6),
        small(beta=50.0, style_layers={"relu1_1@1": 1.0}, iterations=6),
        small(beta=5.0, content_layers={"relu1_2": 2.0}, seed=3, start="noise", iterations=6),
    ]
    together = run(tiny, cells, batch_size=3)
    reversed_order = run(tiny, cells[::-1], batch_size=2)[::-1]
    alone = run(tiny, cells, batch_size=1)
    for one, other, third in zip(together, reversed_order, alone, strict=True):
        torch.testing.assert_close(one.image, third.image, atol=BATCH_TOLERANCE, rtol=0)
        torch.testing.assert_close(other.image, third.image, atol=BATCH_TOLERANCE, rtol=0)
        assert one.losses.keys() == other.losses.keys() == third.losses.keys()


def test_on_a_cpu_a_cell_is_the_same_to_the_last_bit_whatever_the_grid(tiny, small):
    cells = [small(beta=beta) for beta in (1.0, 5.0, 50.0)]
    full = run(tiny, cells)
    (alone,) = run(tiny, cells[1:2])
    assert torch.equal(full[1].image, alone.image)
    assert full[1].losses == alone.losses


def test_grey_is_the_mean_colour_of_imagenet_with_noise(small):
    grey = start_image(small(start="grey", start_noise=0.01), CONTENT, STYLE)
    assert 255 * grey.mean((2, 3))[0] == pytest.approx((123.68, 116.779, 103.939), abs=0.3)
    assert grey.std(dim=(2, 3))[0] == pytest.approx((0.01,) * 3, rel=0.1)


def test_a_batch_that_does_not_fit_is_halved_with_the_same_result(tiny, small, monkeypatch, caplog):
    # Few steps, as each one amplifies the rounding in which batches differ.
    cells = [small(beta=float(beta), iterations=6) for beta in range(1, 6)]
    whole = run(tiny, cells, batch_size=1)
    real = Objective.__call__

    def crowded(objective, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError
        return real(objective, images)

    monkeypatch.setattr(Objective, "__call__", crowded)
    split = run(tiny, cells, batch_size=5)
    assert "5 cells do not fit into the memory; continuing with 2" in caplog.text
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one.image, other.image, atol=BATCH_TOLERANCE, rtol=0)


def test_a_batch_that_fails_in_its_gradient_leaves_nothing_in_the_memory(tiny, small, monkeypatch):
    real, graphs = resilience.halved, []

    def full(*_):
        raise torch.OutOfMemoryError

    def halved(size):
        graphs.append(_parts_of_graphs())
        smaller = real(size)
        graphs.append(_parts_of_graphs())
        return smaller

    monkeypatch.setattr(MomentsOf, "backward", full)
    monkeypatch.setattr(resilience, "halved", halved)
    with pytest.raises(UserError, match="does not fit into the device's memory"):
        run(tiny, [small(), small(beta=3.0)], batch_size=2)
    before, after, *_ = graphs
    assert before > after == 0


def _parts_of_graphs():
    """Count the gradient functions in memory, which hold features."""
    return sum(type(one) is MomentsOf._backward_cls for one in gc.get_objects())


@pytest.mark.parametrize(
    "words",
    [
        "MPS backend out of memory (MPS allocated: 8.00 GB)",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuFFT error: CUFFT_ALLOC_FAILED",
    ],
)
def test_memory_that_is_full_is_understood_in_all_the_words_there_are(words):
    assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))


def test_a_cpu_s_way_of_saying_that_memory_is_full_is_understood_too(tiny, small, monkeypatch):
    def full(*_):
        torch.empty(2**60)

    monkeypatch.setattr(Objective, "__call__", full)
    with pytest.raises(UserError, match=r"does not fit into the .* memory; lower image_size"):
        run(tiny, [small()])


def test_a_picture_is_enlarged_after_a_coarse_stage_as_it_was_published(tiny, small):
    """The picture is only enlarged: these recipes lack the detail that ``growth`` adds."""
    (coarse,) = run(tiny, [small(image_size=32, iterations=4)])
    staged = small(coarse_stages=[[32, 4]], image_size=48, iterations=1, snapshots=[0])
    (result,) = run(tiny, [staged])
    enlarged = functional.interpolate(coarse.image, size=(38, 48), mode="bicubic").clamp(0, 1)
    assert torch.equal(result.snapshots[0], to_bytes(enlarged))


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"image_size": 40}, (40, 32)),
        ({"image_size": 40, "size": "short_side"}, (50, 40)),
        ({"image_size": [36, 44], "size": "exact"}, (36, 44)),
    ],
)
def test_the_result_has_the_size_that_is_asked_for(tiny, small, changes, size):
    cell = small(iterations=1, **changes)
    assert content_size(IMAGES.content.size, cell, cell.image_size) == size
    (result,) = run(tiny, [cell])
    assert result.image.shape[-2:] == size[::-1]


@pytest.mark.parametrize(("scale", "side"), [(0.5, 20), (1, 40), (2.5, 100)])
def test_the_style_scale_sets_the_size_at_which_the_style_is_looked_at(small, scale, side):
    settings = small(image_size=40, style_scale=scale)
    (stage,) = prepare_stages(IMAGES, settings, torch.device("cpu"))
    assert max(stage.content.shape) == 40
    assert max(stage.regions[0].parts[0].image.shape) == side


def test_a_layer_of_weight_zero_changes_nothing_to_the_last_bit(tiny, small):
    cell = small(style_layers={"relu1_1": 1.0})
    other = small(style_layers={"relu2_1": 1.0})
    totals = []
    for cells in ([cell, other], [cell, cell]):
        targets = measure_targets(tiny, CONTENT, [Region.whole(STYLE)], cells)
        totals.append(Objective(tiny, targets, cells)(CONTENT.repeat(2, 1, 1, 1))["total"][0])
    assert totals[0] == totals[1]
