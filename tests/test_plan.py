import dataclasses
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from conftest import paint
from workflow_runs import ROOT, snakemake

from nst.cli import main
from nst.commands import plan as plan_module
from nst.commands.plan import plan_run
from nst.commands.probe import Calibration, calibrate
from nst.config.allocation import FINISHING, pixels
from nst.config.catalogue import read_catalogue
from nst.config.run import read_file, read_run
from nst.config.settings import Settings
from nst.errors import ConfigError
from nst.imaging.images import load_image
from nst.method.objective import Objective
from nst.method.stages import picture_size

LAYERS = {
    "all": {"content": {"relu4_2": 1}, "style": {"relu1_1": 1, "relu5_1": 1}},
    "fine": {"content": {"relu2_1": 1}, "style": {"relu1_1": 1}},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paint(Path("wide.png"), size=(96, 64))
    paint(Path("tall.png"), size=(64, 128))
    paint(Path("style.png"), size=(64, 64))

    def make(**changes):
        config = {
            "contents": ["wide.png", "tall.png"],
            "styles": ["style.png"],
            "ratios": ["1e0", "1e-1"],
            "layers": LAYERS,
            "image_size": 64,
            "iterations": 10,
            "growth": 0,
            "device": "cpu",
        }
        return read_run(config | changes, read_catalogue())

    return make


@pytest.fixture
def priced(monkeypatch):
    """Every evaluation costs a microsecond per pixel, and starts cost nothing."""
    asked = []

    def pretend(run, variants, largest):
        asked.append(largest)
        seconds = {side**2: 1e-6 * side**2 for side in (32, 64)}
        memory = {side**2: 1_000_000 + 100 * side**2 for side in (32, 64)}
        kinds = len(plan_module._kinds(variants))
        return Calibration([seconds] * kinds, memory, "cpu", "float32")

    monkeypatch.setattr(plan_module, "_calibrate", pretend)
    monkeypatch.setattr(plan_module, "_seconds_around", lambda *_: 0.0)
    return asked


def test_cells_that_are_there_are_left_out_of_the_time_and_the_disk(run, priced):
    before = plan_run(run())
    for layers in LAYERS:
        for ratio in ("1e0", "1e-1"):
            paint(Path(f"results/cells/tall/style/{layers}/{ratio}.png"))
    after = plan_run(run())
    assert (before.cells, before.made, before.jobs) == (8, 0, 2)
    assert (after.cells, after.made, after.jobs) == (8, 4, 1)
    # Long sides of 64: wide has 64 x 43 px, tall 32 x 64.
    steps = 10 + FINISHING
    assert after.seconds == pytest.approx(4 * steps * 1e-6 * 64 * 43)
    assert before.seconds - after.seconds == pytest.approx(4 * steps * 1e-6 * 32 * 64)
    assert after.disk < before.disk


def test_the_time_grows_with_the_steps_of_all_stages(run, priced):
    once = plan_run(run(iterations=100)).seconds
    twice = plan_run(run(iterations=200)).seconds
    assert twice - once == pytest.approx(4 * 100e-6 * (64 * 43 + 32 * 64))
    staged = plan_run(run(iterations=100, coarse_stages=[[32, 40]])).seconds
    assert staged - once == pytest.approx(4 * 40e-6 * (32 * 21 + 16 * 32))


def test_the_memory_is_that_of_the_largest_picture(run, priced):
    estimate = plan_run(run(image_size=640))
    assert priced[-1] == 640 * 427
    assert estimate.memory == 1_000_000 + 100 * 640 * 427


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 90},
        {"image_size": 90, "size": "short_side"},
        {"image_size": [70, 50], "size": "exact"},
    ],
)
@pytest.mark.parametrize("name", ["wide.png", "tall.png"])
def test_the_pixels_are_those_of_the_picture_that_will_be_made(run, settings, name):
    run()
    picture = load_image(Path(name))
    made = Settings.from_mapping(settings)
    width, height = picture_size(picture, made)
    assert pixels(made, made.image_size, picture.size) == width * height


def test_a_cost_is_read_off_the_line_through_two_and_never_falls():
    assert plan_module._at({100: 1.0, 400: 4.0}, 1000) == pytest.approx(10)
    assert plan_module._at({100: 2.0, 400: 1.0}, 1000) == 1.0


def test_a_content_that_is_yet_to_be_fetched_has_the_usual_shape(run, priced):
    plan_run(run(contents=["chelsea"], image_size=300))
    assert priced[-1] == 300 * 200


def test_a_calibration_measures_each_kind_at_each_size():
    kind = Settings.from_mapping({"precision": "float32"})
    shallow = dataclasses.replace(
        kind, content_layers={"relu1_1": 1.0}, style_layers={"relu1_1": 1.0}
    )
    found = calibrate([kind.to_dict(), shallow.to_dict()], [32, 64], 1, "cpu")
    assert (found.device.startswith("cpu"), found.precision) == (True, "float32")
    for costs in (*found.seconds, found.memory):
        assert list(costs) == [32**2, 64**2]
    assert min(found.memory.values()) > 50e6
    deep, few = (costs[64**2] for costs in found.seconds)
    assert 0 < few < deep, "fewer layers take less time"


@pytest.mark.slow
def test_a_calibration_whose_batch_did_not_fit_counts_the_half_that_did(monkeypatch):
    """Else the costs would be those of half as many cells."""
    real, sizes = Objective.__call__, []

    def crowded(objective, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError
        sizes.append(len(images))
        time.sleep(0.2)
        return real(objective, images)

    monkeypatch.setattr("nst.commands.probe.best_batch_size", lambda _: 4)
    monkeypatch.setattr("nst.method.resilience.best_batch_size", lambda _: 4)
    monkeypatch.setattr(Objective, "__call__", crowded)
    kind = Settings.from_mapping({"precision": "float32"})
    (seconds,) = calibrate([kind.to_dict()], [32], 4, "cpu").seconds
    assert set(sizes) == {2}
    assert seconds[32**2] > 0.09, "0.2 s for the two of them"


@pytest.mark.slow
def test_the_command_measures_this_machine_and_says_what_a_run_takes(run, capsys):
    run()
    Path("my.yaml").write_text(
        "contents: [wide.png]\nstyles: [style.png]\nratios: [1e0]\nimage_size: 64\niterations: 5\n"
        "layers: {all: {content: {relu2_1: 1}, style: {relu1_1: 1}}}\n",
        encoding="utf-8",
    )
    with pytest.raises(SystemExit) as left:
        main(["plan", "my.yaml"])
    assert not left.value.code
    out = capsys.readouterr().out
    assert "cells   1: 1 content × 1 style × 1 variant\n" in out
    for line in (
        "to do   1, in 1 job\n",
        "time    about ",
        " s on cpu",
        "GiB a job",
        "MiB for the",
    ):
        assert line in out


def test_a_device_that_is_not_there_is_a_line_from_the_calibration_too(run):
    with pytest.raises(ConfigError, match="cuda:99 is not there"):
        plan_run(run(device="cuda:99"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config", "formulations"])
def test_the_jobs_are_counted_as_snakemake_counts_them(name, tmp_path):
    path = ROOT / "config" / f"{name}.yaml"
    shutil.copy(path, tmp_path / "my config.yaml")
    planned = snakemake(tmp_path, "--dry-run", "--quiet", "rules").stdout
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    others = ("stylize", "make_extractor", "fetch_extractor", "fetch", "all")
    heavy = sum(int(jobs.pop(rule, 0)) for rule in others)
    assert plan_module._light_jobs(read_run(read_file(path), read_catalogue())) == (
        int(jobs["total"]) - heavy
    )
