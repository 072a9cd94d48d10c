import dataclasses
import logging

import pytest
import torch
from conftest import paint, random_image

from nst.cells.cell import Cell
from nst.cells.pair import Pair, stylize_pair
from nst.errors import ConfigError
from nst.imaging.images import load_image
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network import extractor as extractor_module
from nst.network.extractor import choose_precision, read_precision
from nst.network.tensors import to_image

CPU = torch.device("cpu")


def pretend(monkeypatch, **instructions: bool) -> None:
    """Pretend that the processor has only these instructions."""
    for name in extractor_module.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_precision_asked_for_by_name_is_taken_whatever_the_processor(monkeypatch, name):
    pretend(monkeypatch)
    assert choose_precision(name, CPU) == name


@pytest.mark.parametrize(
    ("instructions", "chosen"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "bfloat16"),  # Sapphire Rapids
        ({"amx_bf16": False, "avx512_bf16": True}, "bfloat16"),  # Zen 4
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),  # Skylake: emulated
        ({"neon": True, "bf16": True}, "bfloat16"),  # Graviton 3
        ({"neon": True, "bf16": False}, "float32"),
    ],
)
def test_auto_is_what_the_processor_computes_natively(monkeypatch, caplog, instructions, chosen):
    pretend(monkeypatch, **instructions)
    caplog.set_level(logging.INFO, "nst")
    assert choose_precision("auto", CPU) == chosen
    assert f"precision: {chosen}, because" in caplog.text


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_auto_is_bfloat16_on_a_gpu_from_ampere_on(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda")) == chosen


@pytest.mark.parametrize("name", extractor_module.LIMITS)
def test_instructions_that_onednn_is_kept_from_do_not_count(monkeypatch, caplog, name):
    pretend(monkeypatch, avx512_bf16=True)
    monkeypatch.setenv(name, "AVX2")
    caplog.set_level(logging.INFO, "nst")
    assert choose_precision("auto", CPU) == "float32"
    assert name in caplog.text


def test_a_torch_that_cannot_say_is_given_what_works_everywhere(monkeypatch, caplog):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    caplog.set_level(logging.INFO, "nst")
    assert choose_precision("auto", CPU) == "float32"
    assert f"torch {torch.__version__} cannot report" in caplog.text


def test_a_precision_that_was_written_down_is_read_and_another_text_refused(tmp_path):
    path = tmp_path / "precision.txt"
    path.write_text("bfloat16\n")
    assert read_precision(path) == "bfloat16"
    path.write_text("float16\n")
    with pytest.raises(
        ConfigError, match=r"precision\.txt must hold one of float32, bfloat16; got"
    ):
        read_precision(path)


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
        targets = measure_targets(
            network, random_image(0), [Region.whole(random_image(1))], [settings]
        )
        image = random_image(2).requires_grad_()
        parts = Objective(network, targets, [settings])(image)
        (gradient,) = torch.autograd.grad(parts["total"].sum(), image)
        results[dtype] = parts, gradient
    exact, exact_gradient = results[torch.float32]
    found, gradient = results[torch.bfloat16]
    assert found["total"].dtype is gradient.dtype is torch.float32
    torch.testing.assert_close(found["total"], exact["total"], rtol=0.02, atol=0)
    likeness = torch.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0)
    assert likeness > 0.995
    torch.testing.assert_close(gradient.norm(), exact_gradient.norm(), rtol=0.03, atol=0)


def test_a_picture_made_in_bfloat16_is_as_good_by_a_judge_in_float32(tiny, small, tmp_path):
    files = [paint(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png"))]
    images = Images.of(*map(load_image, files))
    judged = {}
    for name in ("float32", "bfloat16"):
        settings = small(precision=name, iterations=60, start="content")
        (result,) = make_cells(tiny, images, [settings])
        cell = dataclasses.replace(settings, precision="float32", iterations=1, start="file")
        again = dataclasses.replace(images, start=to_image(result.image))
        (judged[name],) = make_cells(tiny, again, [cell])
    first = {name: one.trace["total"][0] for name, one in judged.items()}
    assert first["bfloat16"] == pytest.approx(first["float32"], rel=0.1)


def test_a_cell_says_the_precision_it_was_made_in(monkeypatch, tiny_file, small, tmp_path):
    pretend(monkeypatch, avx512_bf16=True)
    content, style = paint(tmp_path / "a.png"), paint(tmp_path / "b.png", seed=1)
    pair = Pair(content, "a", "A", style, "b", "B", tiny_file)
    wanted = [
        Cell("all", label, "relative", small(precision=name), tmp_path / f"{label}.png")
        for label, name in (("1e0", "auto"), ("1e-1", "bfloat16"), ("1e-2", "float32"))
    ]
    cells = stylize_pair(pair, wanted, CPU)
    found = {cell.ratio: cell.settings.precision for cell in cells}
    assert found == {"1e0": "bfloat16", "1e-1": "bfloat16", "1e-2": "float32"}
    prints = {cell.ratio: cell.fingerprint for cell in cells}
    assert prints["1e0"] == prints["1e-1"] != prints["1e-2"]


def test_a_network_in_another_precision_leaves_the_first_as_it_was(tiny):
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    halved = tiny.adapted("native", "native", torch.bfloat16)
    assert halved.dtype is torch.bfloat16
    assert tiny.dtype is torch.float32
    for name, value in tiny.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
