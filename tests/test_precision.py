from __future__ import annotations

import dataclasses
import logging
import time

import pytest
import torch
from conftest import paint, random_image

from nst.cells.pair import Pair, Wanted, stylize_pair
from nst.imaging.images import load_image
from nst.method.objective import Objective, measure_targets
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network import precision as precision_module
from nst.network.precision import REPEATS, choose_precision
from nst.network.tensors import to_image

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _forget_what_was_chosen():
    precision_module._faster.cache_clear()
    yield
    precision_module._faster.cache_clear()


def pretend(monkeypatch, *, native: bool, gain: float) -> list[torch.device]:
    """Let the timing find bfloat16 ``gain`` times as fast; return what is timed."""
    timed = []

    def seconds(device):
        timed.append(device)
        return {"float32": 1.0, "bfloat16": 1 / gain}

    monkeypatch.setattr(precision_module, "_has_native_bfloat16", lambda device: native)
    monkeypatch.setattr(precision_module, "_seconds", seconds)
    return timed


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_precision_asked_for_by_name_is_taken_without_a_timing(monkeypatch, name):
    timed = pretend(monkeypatch, native=False, gain=0.1)
    assert choose_precision(name, CPU) == name
    assert not timed


@pytest.mark.parametrize(
    ("native", "gain", "chosen"),
    [
        (True, 2.1, "bfloat16"),
        (True, 1.1, "float32"),  # not worth the rounding
        (True, 0.3, "float32"),  # emulated, though the kernels exist
        (False, 9.0, "float32"),
    ],
)
def test_auto_is_bfloat16_where_it_is_native_and_faster(monkeypatch, caplog, native, gain, chosen):
    pretend(monkeypatch, native=native, gain=gain)
    caplog.set_level(logging.INFO, "nst")
    assert choose_precision("auto", CPU) == chosen
    assert f"precision: {chosen}" in caplog.text, "what was chosen is said"


def test_the_timing_is_done_once(monkeypatch):
    timed = pretend(monkeypatch, native=True, gain=2.0)
    assert {choose_precision("auto", CPU) for _ in range(3)} == {"bfloat16"}
    assert len(timed) == 1


def test_the_timing_measures_what_it_says(monkeypatch):
    clock = iter(map(float, range(0, 1000, 3)))
    monkeypatch.setattr(precision_module.time, "thread_time", lambda: next(clock))
    assert precision_module._seconds(CPU) == {"float32": 3, "bfloat16": 3}
    assert next(clock) == 3 * 2 * 2 * (REPEATS + 1)


def test_the_first_of_the_timings_which_also_chooses_kernels_does_not_count(monkeypatch):
    turns = [9.0, 8.0] + [2.0, 1.0] * REPEATS  # float32 and bfloat16, by turns
    clock = iter(reading for seconds in turns for reading in (0.0, seconds))
    monkeypatch.setattr(precision_module.time, "thread_time", lambda: next(clock))
    assert precision_module._seconds(CPU) == {"float32": 2, "bfloat16": 1}


def test_the_timing_leaves_the_threads_as_they_were():
    before = torch.get_num_threads()
    precision_module._seconds(CPU)
    assert torch.get_num_threads() == before


def test_the_time_that_other_programs_take_does_not_count(monkeypatch):
    monkeypatch.setattr(precision_module, "wait_for", lambda device: time.sleep(0.3))
    monkeypatch.setattr(precision_module, "REPEATS", 1)
    before = time.perf_counter()
    worked = precision_module._seconds(CPU)
    assert time.perf_counter() - before > 8 * 0.3, "two waits for each of two, twice"
    assert max(worked.values()) < 0.3, "one of the waits is between the readings"


@pytest.mark.parametrize("tap", ["relu", "conv"])
def test_the_losses_and_gradient_in_bfloat16_are_those_of_float32_but_for_rounding(
    tiny, small, tap
):
    settings = small(
        content_layers={f"{tap}2_1": 1.0},
        style_layers={f"{tap}1_1": 1.0, f"{tap}1_2": 1.0, f"{tap}2_1": 1.0},
    )
    results = {}
    for dtype in (torch.float32, torch.bfloat16):
        network = tiny.adapted("native", "native", dtype)
        targets = measure_targets(network, random_image(0), random_image(1), [settings])
        image = random_image(2).requires_grad_()
        parts = Objective(network, targets, [settings])(image)
        (gradient,) = torch.autograd.grad(parts.total.sum(), image)
        results[dtype] = parts, gradient
    exact, exact_gradient = results[torch.float32]
    found, gradient = results[torch.bfloat16]
    assert found.total.dtype is gradient.dtype is torch.float32
    torch.testing.assert_close(found.total, exact.total, rtol=0.02, atol=0)
    likeness = torch.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0)
    assert likeness > 0.995
    torch.testing.assert_close(gradient.norm(), exact_gradient.norm(), rtol=0.03, atol=0)


def test_a_network_in_another_precision_leaves_the_first_as_it_was(tiny):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    halved = tiny.adapted("native", "native", torch.bfloat16)
    assert halved.dtype is torch.bfloat16
    assert halved.input.weight.dtype is torch.float32, "colours are normalised precisely"
    assert tiny.dtype is torch.float32
    for name, value in tiny.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_picture_made_in_bfloat16_is_as_good_by_a_judge_in_float32(tiny, small, tmp_path):
    files = [paint(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png"))]
    images = Images(*map(load_image, files))
    judged = {}
    for name in ("float32", "bfloat16"):
        settings = small(precision=name, iterations=60, start="content")
        (result,) = transfer(tiny, images, [settings])
        cell = dataclasses.replace(settings, precision="float32", iterations=1, start="file")
        again = dataclasses.replace(images, start=to_image(result.image))
        (judged[name],) = transfer(tiny, again, [cell])
    first = {name: one.trace["total"][0] for name, one in judged.items()}
    assert first["bfloat16"] == pytest.approx(first["float32"], rel=0.1)


def test_a_cell_says_the_precision_it_was_made_in(monkeypatch, tiny_file, small, tmp_path):
    pretend(monkeypatch, native=True, gain=2.0)
    content, style = paint(tmp_path / "a.png"), paint(tmp_path / "b.png", seed=1)
    pair = Pair(content, "a", "A", style, "b", "B", tiny_file)
    wanted = [
        Wanted("all", label, "relative", small(precision=name), tmp_path / f"{label}.png")
        for label, name in (("1e0", "auto"), ("1e-1", "bfloat16"), ("1e-2", "float32"))
    ]
    cells = stylize_pair(pair, wanted, CPU)
    found = {cell.ratio: cell.settings.precision for cell in cells}
    assert found == {"1e0": "bfloat16", "1e-1": "bfloat16", "1e-2": "float32"}
    prints = {cell.ratio: cell.fingerprint for cell in cells}
    assert prints["1e0"] == prints["1e-1"] != prints["1e-2"]
