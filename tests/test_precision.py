import logging

import pytest
import torch
from conftest import random_image

from nst.cells.pair import stylize_pair
from nst.errors import ConfigError
from nst.method.objective import Losses, Objective, measure_targets
from nst.method.regions import Region
from nst.network import extractor as extractor_module
from nst.network.extractor import choose_precision, read_precision

CPU = torch.device("cpu")


def pretend(monkeypatch, **instructions: bool) -> None:
    """Pretend that the processor has only these instructions."""
    for name in extractor_module.LIMITS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions, raising=False)


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


@pytest.mark.parametrize("kept_from", [*extractor_module.LIMITS, "torch"])
def test_instructions_that_torch_or_onednn_does_not_report_do_not_count(
    monkeypatch, caplog, kept_from
):
    pretend(monkeypatch, avx512_bf16=True)
    if kept_from == "torch":
        monkeypatch.delattr(torch.cpu, "get_capabilities")
    else:
        monkeypatch.setenv(kept_from, "AVX2")
    caplog.set_level(logging.INFO, "nst")
    assert choose_precision("auto", CPU) == "float32"
    assert ("cannot report" if kept_from == "torch" else kept_from) in caplog.text


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

    def computed(dtype: torch.dtype) -> tuple[Losses, torch.Tensor]:
        network = tiny.adapted("native", "native", dtype)
        regions = [Region.whole(random_image(1))]
        targets = measure_targets(network, random_image(0), regions, [settings])
        image = random_image(2).requires_grad_()
        parts = Objective(network, targets, [settings])(image)
        (gradient,) = torch.autograd.grad(parts["total"].sum(), image)
        return parts, gradient

    (exact, exact_gradient), (found, gradient) = map(computed, (torch.float32, torch.bfloat16))
    assert found["total"].dtype is gradient.dtype is tiny.dtype is torch.float32
    torch.testing.assert_close(found["total"], exact["total"], rtol=0.02, atol=0)
    likeness = torch.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0)
    assert likeness > 0.995
    torch.testing.assert_close(gradient.norm(), exact_gradient.norm(), rtol=0.03, atol=0)


def test_a_cell_is_made_in_the_precision_asked_for_and_says_it(monkeypatch, pair, wanted):
    pretend(monkeypatch, avx512_bf16=False)
    names = ("auto", "bfloat16", "float32")
    cells = stylize_pair(pair, [wanted(1.0, folder=one, precision=one)[0] for one in names], CPU)
    assert [cell.settings.precision for cell in cells] == ["float32", "bfloat16", "float32"]
    auto, bfloat16, float32 = (cell.fingerprint for cell in cells)
    assert auto == float32 != bfloat16
