"""The checkpoints of killed jobs, and how the next job resumes from them."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import IMAGES
from disks import cut, flip, mounted
from hypothesis import given
from hypothesis import strategies as st
from snakemake.iocontainers import Namedlist

from nst.cells.cell import Cell
from nst.cells.pair import FORGOTTEN, stylize_by_rule, stylize_pair
from nst.config.paths import STORE
from nst.config.variants import Variant
from nst.method import checkpoint as checkpoint_module
from nst.method import transfer as transfer_module
from nst.method.checkpoint import Batch, Checkpoint
from nst.method.optimise import State
from nst.method.optimisers import Adam, Lbfgs
from nst.method.resilience import Transfer, make_cells

CPU = torch.device("cpu")
RECIPES: dict[str, dict] = {
    "L-BFGS": {"iterations": 14, "snapshots": [0, 3, 8, 14]},  # more steps than its history holds
    "Adam of Keras": {
        **{"iterations": 13, "optimiser": "keras_adam", "adam_epsilon": 0.1, "adam_beta2": 0.999},
        **{"keep": "last", "clamp": False, "start": "noise", "averaging": 0.9},
    },
    "coarse to fine": {
        **{"iterations": 6, "coarse_stages": [[32, 4], [36, 3]], "image_size": 40},
        **{"precision": "bfloat16"},  # the choice of `auto` on many machines
    },
    "matched and finished": {
        **{"iterations": 3, "coarse_stages": [[32, 4]], "finish": 6, "image_size": 40},
        **{"content_target": "matched", "content_loss": "cosine", "style_rotations": True},
        **{"optimiser": "adam", "parametrisation": "pyramid", "snapshots": [0, 3]},
    },
    "sampled": {
        **{"iterations": 8, "coarse_stages": [[44, 5]], "image_size": 48, "coarse_alpha": 2},
        **{"content_loss": "self_similarity", "content_layers": {"sampled_hypercolumn": 1}},
        **{"style_loss": "relaxed_emd", "style_layers": {"sampled_hypercolumn": 1}},
        **{"optimiser": "rmsprop", "start": "detail"},
    },
}


class Killed(BaseException):
    """Replaces the signal that ends a process."""


@pytest.fixture
def always_kept(monkeypatch) -> None:
    """Write a checkpoint after every step."""
    monkeypatch.setattr(checkpoint_module, "SHORTEST_GAP", 0.0)
    monkeypatch.setattr(checkpoint_module, "SHARE", float("inf"))


# ---------------------------------------------------------------- batches


@pytest.fixture
def start(tiny, tmp_path, always_kept, few_features) -> Callable[..., Iterator[Transfer]]:
    """Begin to render cells, in one batch if they fit, with a checkpoint after every step."""

    def begin(cells, size=8, kill_after=None, names=None, made_by=None):
        names = names or [f"fingerprint {cell.beta:g}" for cell in cells]
        kept = Checkpoint(tmp_path / "kept.pt", names, made_by or {"torch": "1"})
        begin.taken = 0

        def count(*_):
            begin.taken += 1
            if begin.taken == kill_after:
                raise Killed

        return make_cells(tiny, IMAGES, cells, batch_size=size, progress=count, checkpoint=kept)

    return begin


def by_beta(results) -> dict[float, Transfer]:
    return {one.settings.beta: one for one in results}


def assert_same(one: Transfer, other: Transfer) -> None:
    """Check that all results except the time are equal in every bit."""
    assert torch.equal(one.image, other.image)
    assert (one.losses, one.trace, one.attempts) == (other.losses, other.trace, other.attempts)
    assert one.snapshots.keys() == other.snapshots.keys()
    assert all(torch.equal(one.snapshots[n], other.snapshots[n]) for n in one.snapshots)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_job_that_is_killed_again_and_again_makes_the_same_cells(recipe, start, small, caplog):
    caplog.set_level(logging.INFO)
    cells = [small(beta=beta, **RECIPES[recipe]) for beta in (1.0, 30.0)]
    whole = list(start(cells, names=["another", "other"]))
    left = start.taken
    for kill in (5, 2, 8):
        with pytest.raises(Killed):
            list(start(cells, kill_after=kill))
        left -= kill - 1  # only the last step of each is repeated
    resumed = list(start(cells))
    assert start.taken == left
    assert [line for line in caplog.messages if "continuing" in line] == [
        f"cell 1, 2: continuing at step {step}" for step in (4, 5, 12)
    ]
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


def test_a_batch_killed_while_it_is_stored_keeps_what_it_had_optimised(start, small):
    cells = [small(beta=beta) for beta in (1.0, 5.0, 30.0, 31.0)]
    whole = by_beta(start(cells))
    interrupted = start(cells)
    first = next(interrupted)  # this cell is stored, then the process dies
    interrupted.close()
    rest = [cell for cell in cells if cell.beta != first.settings.beta]
    resumed = by_beta(start(rest))
    assert start.taken == 0
    for cell in rest:
        assert_same(resumed[cell.beta], whole[cell.beta])


def test_an_interrupted_batch_is_finished_first_and_with_all_its_cells(start, small, tmp_path):
    """It also finishes unwanted cells, because a batch of another size may round differently."""
    first = [small(beta=beta) for beta in (1.0, 7.0, 5.0)]
    with pytest.raises(Killed):
        list(start(first, kill_after=9))
    more = [small(beta=beta) for beta in (2.0, 5.0, 3.0, 1.0)]
    results = list(start(more))
    assert [one.settings.beta for one in results] == [1, 5, 2, 3]
    assert start.taken == 4 + 12
    whole = by_beta(start(first, names=["other 1", "other 2", "other 3"]))
    for one in results[:2]:
        assert_same(one, whole[one.settings.beta])


def test_the_seconds_of_all_processes_are_added_up(start, small, monkeypatch):
    clock = [0.0]

    def tick() -> float:
        clock[0] += 1
        return clock[0]

    monkeypatch.setattr("nst.method.optimise.time.monotonic", tick)
    cells = [small(beta=beta) for beta in (1.0, 2.0)]
    (whole, _) = start(cells)
    with pytest.raises(Killed):
        list(start(cells, kill_after=9))
    clock[0] = -1000.0  # another process or machine has a clock with another origin
    (resumed, other) = start(cells)
    assert resumed.seconds == other.seconds
    assert resumed.seconds == pytest.approx(whole.seconds, rel=0.4)


def test_a_second_attempt_goes_on_where_it_was_killed(start, small, monkeypatch, caplog):
    def begin(_settings, caution):
        return Adam(float("nan")) if caution == 1.0 else Lbfgs(caution)

    monkeypatch.setattr(transfer_module, "make_optimiser", begin)
    cells = [small(), small(beta=2.0)]
    whole = list(start(cells, names=["another", "other"]))
    assert [one.attempts for one in whole] == [2, 2]
    assert start.taken == 12 + 12 + 12, "both together, then each alone"
    with pytest.raises(Killed):
        list(start(cells, kill_after=12 + 5))
    caplog.set_level(logging.INFO)
    resumed = list(start(cells))
    assert "cell 1: continuing at step 4" in caplog.text
    assert start.taken == 8 + 12 + 12, "the first alone from step 4, then the other from its start"
    for one, other in zip(resumed, whole, strict=True):
        assert_same(one, other)


# ---------------------------------------------------------------- unusable files


# A damage to the file, a change of the next job, and the expected log.
UNUSABLE = [
    *((partial(flip, place=place), {}, "cannot be read") for place in (0, 20_000, -30)),
    (cut, {}, "cannot be read"),
    (str, {"made_by": {"torch": "2"}}, "was written by other versions or for another device"),
    (str, {"names": ["another cell"]}, ""),
]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_an_unusable_checkpoint_is_not_used(start, small, tmp_path, caplog, unusable):
    damage, changes, told = unusable
    with pytest.raises(Killed):
        list(start([small()], kill_after=7))
    file = tmp_path / "kept.pt"
    damage(file)
    (result,) = start([small()], **changes)
    assert start.taken == 12
    message = f"the checkpoint {file} {told}"
    assert (message in caplog.text and "starting its cells again" in caplog.text) == bool(told)
    (whole,) = start([small()], names=["new"])
    assert_same(result, whole)


# ---------------------------------------------------------------- checkpoints of a pair


@pytest.fixture
def wanted(wanted) -> list[Cell]:
    return wanted(1.0, 2.0, iterations=6)


@pytest.fixture
def run_job(pair, small, tmp_path, monkeypatch) -> Callable[[str, int], None]:
    """Compute two cells of the pair as the job that writes these details."""
    monkeypatch.chdir(tmp_path)

    def run(details: str, seed: int) -> None:
        variants = [
            Variant("all", f"{beta:.0e}", "relative", small(beta=beta, iterations=6, seed=seed))
            for beta in (1.0, 2.0)
        ]
        pictures = [f"{details}/{one.ratio}.png" for one in variants]
        names = {name: one for name, one in vars(pair).items() if name.endswith(("name", "title"))}
        stylize_by_rule(
            SimpleNamespace(
                input=Namedlist(fromdict=vars(pair)),
                output=Namedlist(fromdict={"pictures": pictures, "details": f"{details}.json"}),
                params=SimpleNamespace(names=names, composition=None),
                rule="stylize",
                wildcards=[details],
                config={"device": "cpu"},
                threads=1,
            ),
            variants,
        )

    return run


@pytest.mark.usefixtures("always_kept")
def test_jobs_of_a_pair_do_not_touch_each_other_s_checkpoints(run_job, monkeypatch, caplog):
    def kill(places, evaluation, *_rest) -> None:
        if (places[0], evaluation) == (1, 4):
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("nst.cells.pair._reporter", lambda *_: kill)
        with pytest.raises(Killed):
            run_job("results/details/cat/night", 0)
    folder = STORE / "checkpoints"
    (file,) = folder.glob("*")
    forgotten = folder / "forgotten.pt"
    forgotten.touch()
    os.utime(forgotten, times=(0, time.time() - FORGOTTEN - 60))
    run_job("results/prints/details/cat/night/all/1e0", 1)
    assert list(folder.glob("*")) == [file]
    caplog.set_level(logging.INFO)
    run_job("results/details/cat/night", 0)
    assert "cell 1: continuing at step 3" in caplog.text, "finished cells are not counted"
    assert not list(folder.glob("*"))
    file.touch()  # a kill after the last cell was stored leaves a file
    run_job("results/details/cat/night", 0)
    assert not list(folder.glob("*"))


@pytest.mark.usefixtures("always_kept")
@pytest.mark.parametrize(("folder", "reason"), [("file", "File exists"), ("disk", "No space left")])
def test_where_no_checkpoint_can_be_written_the_job_goes_on(pair, wanted, caplog, folder, reason):
    tmp_path = pair.extractor.parent
    (tmp_path / "file").write_text("a file where the folder should be")
    with mounted(tmp_path / "disk", "16k"):
        cells = stylize_pair(pair, wanted, CPU, checkpoint=tmp_path / folder / "kept.pt")
    assert [cell.status for cell in cells] == ["finished"] * 2
    assert re.search(rf"kept.pt cannot be written: .*{reason}.*; continuing", caplog.text)


def test_a_short_job_writes_nothing(pair, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_module.torch, "save", None)
    stylize_pair(pair, wanted, CPU, checkpoint=tmp_path / "folder" / "kept.pt")
    assert not (tmp_path / "folder").exists()


# ---------------------------------------------------------------- lost work


def lost(step: float, cost: float, steps: int) -> tuple[float, float]:
    """Return the most work that a kill loses, and the share of time spent on writing."""
    now, kept = [100.0], []

    def save(*_) -> None:
        now[0] += cost
        kept.append(now[0])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
        patch.setattr(checkpoint_module, "atomic_file", lambda _: nullcontext())
        patch.setattr(checkpoint_module.torch, "save", save)
        checkpoint = Checkpoint(Path("unused"), ["a cell"])
        state = State.at(torch.zeros(1, 3, 2, 2), Adam())
        unkept = worst = 0.0
        for _ in range(steps):
            now[0] += step
            unkept += step
            worst = max(worst, unkept)  # a kill before the write or during it loses this work
            before = len(kept)
            checkpoint.offer(Batch({}), state)
            unkept = unkept if len(kept) == before else 0.0
    return worst, len(kept) * cost / (now[0] - 100.0)


@given(step=st.floats(1e-3, 200), cost=st.floats(0, 100), steps=st.integers(1, 3000))
def test_at_most_a_minute_of_work_is_lost_or_one_step_that_is_longer(step, cost, steps):
    worst, _ = lost(step, cost, steps)
    assert worst <= max(60.0, step * 1.001)


@pytest.mark.parametrize("cost", [0.02, 0.5, 0.9, 1.5])
def test_writing_takes_no_more_than_its_share(cost):
    _, share = lost(0.3, cost, 20000)
    assert share <= 0.035
