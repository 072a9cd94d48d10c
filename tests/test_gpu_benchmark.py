"""benchmarks/gpu.py on a machine without a GPU: its parts run, and compare what they are to."""

import sys

import pytest
from workflow_runs import ROOT

from nst.config.presets import read_presets
from nst.config.settings import Settings


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
def test_the_cpu_agrees_with_itself_in_regions_and_tiles(gpu):
    *_, regions, tiles = gpu.agreements()
    for row in (regions, tiles):
        assert (row["losses"], row["gradient"], row["picture after 5 steps"]) == (0, 0, 0)
        assert row["passed"]


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
