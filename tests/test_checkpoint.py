"""The checkpoints of killed jobs, and how the next job resumes from them."""

import dataclasses
import logging
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import random_image
from hypothesis import given
from hypothesis import strategies as st

from nst.cells.cell import PIXELS, Cell, read_details, read_record, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.settings import Settings
from nst.method import checkpoint as checkpoint_module
from nst.method import transfer as transfer_module
from nst.method.checkpoint import Batch, Checkpoint
from nst.method.optimise import State
from nst.method.optimisers import Adam, Lbfgs
from nst.method.resilience import Transfer, make_cells
from nst.method.stages import Images
from nst.network.tensors import to_image

CPU = torch.device("cpu")
IMAGES = Images.of(to_image(random_image(1, 32, 40)), to_image(random_image(2, 36, 28)))
RECIPES: dict[str, dict] = {
    "L-BFGS": {"iterations": 14, "snapshots": [0, 3, 8, 14]},  # more steps than its history holds
    "Adam of Keras": {
        **{"iterations": 10, "optimiser": "keras_adam", "adam_epsilon": 0.1, "adam_beta2": 0.999},
        **{"keep": "last", "clamp": False, "start": "noise"},
    },
    "coarse to fine": {
        **{"iterations": 4, "coarse_stages": [[32, 4], [36, 3]], "image_size": 40},
        **{"precision": "bfloat16"},  # the choice of `auto` on many machines
    },
    "matched and finished": {
        **{"iterations": 3, "coarse_stages": [[32, 4]], "finish": 4, "image_size": 40},
        **{"content_target": "matched", "content_loss": "cosine", "style_rotations": True},
        **{"optimiser": "adam", "parametrisation": "pyramid", "snapshots": [0, 3]},
    },
    "sampled": {
        **{"iterations": 6, "coarse_stages": [[44, 5]], "image_size": 48, "coarse_alpha": 2},
        **{"content_loss": "self_similarity", "content_layers": {"sampled_hypercolumn": 1}},
        **{"style_loss": "relaxed_emd", "style_layers": {"sampled_hypercolumn": 1}},
        **{"optimiser": "rmsprop", "start": "detail"},
    },
}


class Killed(BaseException):
    """Replaces a signal where a separate process for each kill would take too long."""


@pytest.fixture
def always_kept(monkeypatch) -> None:
    """Write a checkpoint after every step."""
    monkeypatch.setattr(checkpoint_module, "SHORTEST_GAP", 0.0)
    monkeypatch.setattr(checkpoint_module, "SHARE", float("inf"))


# ---------------------------------------------------------------- jobs that are killed


def made(folder: Path) -> tuple[dict[str, bytes], list[dict]]:
    """Return the bytes of a job's pictures, and its details without the times."""
    cells = read_details(folder / "all.json").values()
    details = [cell.details() | {"seconds": 0, "reused": False} for cell in cells]
    stored = (folder / "store").rglob("*.png")
    pictures = [*folder.glob("*.png"), *stored]
    return {str(one.relative_to(folder)): one.read_bytes() for one in pictures}, details


def run_job(pair: Pair, settings: list[Settings], folder: Path, kill_after: int = 0) -> int:
    """Render the pair's cells as a job of the workflow does; return the number of steps taken."""
    wanted = [
        Cell("all", str(number), "relative", one, folder / f"{number}.png")
        for number, one in enumerate(settings)
    ]
    store, kept = CellStore(folder / "store"), folder / "store" / "checkpoints"
    taken = 0

    def count(*_: object) -> None:
        nonlocal taken
        taken += 1
        if taken == kill_after:
            raise Killed

    with suppress(Killed):
        cells = stylize_pair(pair, wanted, CPU, store, count, checkpoints=kept)
        paths = (one.path for one in wanted)
        write_details(dict(zip(paths, cells, strict=True)), folder / "all.json")
    return taken


@pytest.mark.slow
@pytest.mark.usefixtures("always_kept")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_job_that_is_killed_again_and_again_ends_with_the_same_bytes(
    recipe, pair, small, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "nst")
    settings = [small(beta=beta, **RECIPES[recipe]) for beta in (1.0, 30.0)]
    steps = sum(steps for _, steps in settings[0].stages)
    assert run_job(pair, settings, tmp_path / "whole") == 2 * steps
    assert "continuing" not in caplog.text
    broken = tmp_path / "broken"
    kills = [5, 2, 4, steps, 3]  # the fourth run starts the second picture
    assert [run_job(pair, settings, broken, kill) for kill in kills] == kills
    assert "cell 1: continuing at step 4" in caplog.text
    # Each run was killed within its last step, so only that step is repeated.
    assert run_job(pair, settings, broken) == 2 * steps - sum(kill - 1 for kill in kills)
    assert made(broken) == made(tmp_path / "whole")
    assert not list((broken / "store" / "checkpoints").rglob("*.*")), "none is left"


# ---------------------------------------------------------------- batches


@pytest.fixture
def start(tiny, tmp_path, always_kept) -> Callable[..., Iterator[Transfer]]:
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


def overwritten(content: bytes, share: float) -> bytes:
    at = round(share * len(content))
    return content[:at] + b"\xff" * 100 + content[at + 100 :]  # the history begins with zeros


DAMAGES = [
    *(partial(overwritten, share=share) for share in (0.0, 0.6, 0.9)),
    lambda content: content[:-1000],
]
# A change of the file (`bytes` makes none), a change of the next job, and the expected log.
UNUSABLE = [
    *((damage, {}, "cannot be read") for damage in DAMAGES),
    (bytes, {"made_by": {"torch": "2"}}, "was written by other versions or for another device"),
    (bytes, {"names": ["another cell"]}, ""),
]


@pytest.mark.parametrize("unusable", UNUSABLE)
def test_an_unusable_checkpoint_is_not_used(start, small, tmp_path, caplog, unusable):
    damage, changes, told = unusable
    with pytest.raises(Killed):
        list(start([small()], kill_after=7))
    file = tmp_path / "kept.pt"
    file.write_bytes(damage(file.read_bytes()))
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


@pytest.mark.usefixtures("always_kept")
def test_pairs_do_not_touch_each_other_s_checkpoints(pair, wanted, tmp_path, caplog):
    folder = tmp_path / "checkpoints"

    def kill(places, evaluation, *_) -> None:
        if (places[0], evaluation) == (1, 4):
            raise Killed

    with pytest.raises(Killed):
        stylize_pair(pair, wanted, CPU, CellStore(tmp_path / "s"), kill, checkpoints=folder)
    (file,) = folder.glob("*")
    other = dataclasses.replace(pair, content_name="tom")
    elsewhere = [dataclasses.replace(one, path=one.path.with_suffix(".b.png")) for one in wanted]
    stylize_pair(other, elsewhere, CPU, checkpoints=folder)
    assert list(folder.glob("*")) == [file]
    caplog.set_level(logging.INFO)
    stylize_pair(pair, wanted, CPU, CellStore(tmp_path / "s"), checkpoints=folder)
    assert "cell 1: continuing at step 3" in caplog.text, "finished cells are not counted"
    assert not list(folder.glob("*"))
    for one, again in zip(wanted, elsewhere, strict=True):
        assert read_record(one.path)[PIXELS] == read_record(again.path)[PIXELS]
    assert len({read_record(one.path)[PIXELS] for one in wanted}) == 2


@pytest.mark.usefixtures("always_kept")
def test_where_no_checkpoint_can_be_written_the_job_goes_on(pair, wanted, tmp_path, caplog):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    cells = stylize_pair(pair, wanted, CPU, checkpoints=tmp_path / "checkpoints")
    assert [cell.status for cell in cells] == ["finished"] * 2
    assert "the checkpoint cannot be written: " in caplog.text
    assert "continuing without it" in caplog.text


def test_a_short_job_writes_nothing(pair, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_module.torch, "save", None)
    stylize_pair(pair, wanted, CPU, checkpoints=tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()


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
