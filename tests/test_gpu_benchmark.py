"""The parts of benchmarks/gpu.py run on a machine without a GPU, and compare correctly."""

import sys
from dataclasses import replace

import pytest
from workflow_runs import ROOT

from nst.config.settings import Settings
from nst.config.variants import read_presets


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("common", "limit", "gpu"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import gpu  # noqa: PLC0415

    return gpu


def test_its_recipe_is_the_preset_at_one_size(gpu):
    preset = read_presets()["relative"].settings
    wanted = Settings.from_mapping({**preset, "growth": 0, "precision": "float32"})
    assert Settings.from_mapping(gpu.RECIPE) == wanted


@pytest.mark.slow
def test_the_cpu_agrees_with_itself_in_regions_and_tiles(gpu, monkeypatch):
    real = gpu.agreement

    def few(settings, images):  # comparing all of them takes a minute
        return real(settings, images) if images.style.mask or settings.tile_size == 64 else {}

    monkeypatch.setattr(gpu, "agreement", few)
    *_, regions, tiles = gpu.agreements()
    for row in (regions, tiles):
        assert (row["losses"], row["gradient"], row["picture after 5 steps"]) == (0, 0, 0)
        assert row["passed"]


def test_a_device_that_computes_something_else_does_not_pass(gpu, monkeypatch):
    scales = iter([1.0, 1.1])
    real = gpu.transfer

    def drifting(*arguments, **options):
        outcome = real(*arguments, **options)
        return replace(outcome, images=outcome.images * next(scales))

    monkeypatch.setattr(gpu, "transfer", drifting)
    changes = {"image_size": 64, "iterations": 2, "keep": "last"}
    row = gpu.agreement(
        Settings.from_mapping({**gpu.RECIPE, **changes}), gpu.pictures(regions=False)
    )
    assert row["passed"] is False
    assert row["picture after 5 steps"] > 0.01


def test_an_error_in_one_part_is_a_row_and_the_others_go_on(gpu):
    def broken():
        yield {"what": "first"}
        raise ZeroDivisionError

    first, stopped = gpu.as_long_as_it_works(broken())
    assert first == {"what": "first"}
    assert stopped == {"what": "stopped", "reason": "ZeroDivisionError()", "passed": False}


@pytest.mark.slow
def test_without_a_gpu_it_says_so_and_runs_what_a_cpu_can(gpu, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--minutes", "0", "--sizes", "64"])
    monkeypatch.setattr(gpu, "save_report", lambda name, facts: facts)
    gpu.main()
    printed = capsys.readouterr()
    assert "no GPU: torch sees only cpu" in printed.err
    assert "resumes bit-identically" in printed.out
    assert "passed True" in printed.out
    assert "time is up; skipping the rest of: throughput" in printed.err
