import dataclasses
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from deep_files import deep_levels
from disks import cut, flip
from made_cells import make_cell, make_image
from PIL import Image

from nst.cells.cell import Pictures, Source, read_record
from nst.cells.store import CellStore
from nst.config.prints import PrintFile
from nst.imaging.images import widen

CELL, IMAGE = make_cell(), make_image()
RENAMED = make_cell(
    content=Source("tom", "Tom the cat", CELL.content.digest),
    style=Source("stars", "Stars", CELL.style.digest),
    layers="balanced",
    ratio="1.5e-2",
    losses={},
    trace={},
    seconds=0.0,
)


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "store")


def entry_of(tmp_path: Path) -> Path:
    """The folder of the only cell in the store."""
    (entry,) = (tmp_path / "store").glob("*/*")
    return entry


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# ---------------------------------------------------------------- restoring and finding


def test_an_empty_store_has_nothing(store, tmp_path, caplog):
    assert store.find(CELL.fingerprint) is None
    assert not caplog.records
    assert not (tmp_path / "store").exists(), "looking up a cell creates no folder"


def restored(store: CellStore, wanted=CELL, path: Path | None = None):
    return store.restore(dataclasses.replace(wanted, path=path))


def test_a_restored_picture_is_the_stored_one_to_the_last_byte(store, tmp_path):
    store.add(CELL, Pictures(IMAGE))
    path = tmp_path / "results" / "cell.png"
    returned = restored(store, CELL, path)
    assert path.read_bytes() == (entry_of(tmp_path) / "cell.png").read_bytes()
    assert returned.reused
    assert {**returned.details(), "reused": False} == CELL.details()
    assert list(path.parent.iterdir()) == [path], "the pair writes the details, not the store"


def test_a_restored_picture_is_as_new(store, tmp_path):
    """Snakemake would consider a result with the old time outdated."""
    store.add(CELL, Pictures(IMAGE))
    source = entry_of(tmp_path) / "cell.png"
    os.utime(source, (1e9, 1e9))
    path = tmp_path / "cell.png"
    before = time.time() - 5
    restored(store, CELL, path)
    assert path.stat().st_mtime > before
    assert not path.samefile(source), "changing the result must not change the store"


def test_a_restored_cell_has_the_names_of_this_run(store, tmp_path):
    store.add(CELL, Pictures(IMAGE))
    path = tmp_path / "cell.png"
    returned = restored(store, RENAMED, path)
    for record in (read_record(path), returned.record()):
        assert record["content"]["name"] == "tom"
        assert record["style"]["title"] == "Stars"
        assert (record["layers"], record["ratio"]) == ("balanced", "1.5e-2")
        assert record["losses"] == CELL.losses, "measurements stay"
        assert record["fingerprint"] == CELL.fingerprint
    assert np.array_equal(np.asarray(Image.open(path)), np.asarray(IMAGE))
    assert returned.details()["trace"] == CELL.details()["trace"]
    assert store.find(CELL.fingerprint).details() == CELL.details(), "the store is unchanged"


def test_a_title_alone_is_a_new_name_too(store, tmp_path):
    store.add(CELL, Pictures(IMAGE))
    content = dataclasses.replace(CELL.content, title="The cat")
    restored(store, make_cell(content=content), tmp_path / "cell.png")
    assert read_record(tmp_path / "cell.png")["content"]["title"] == "The cat"


def cut_out() -> Image.Image:
    image = make_image()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize("image", [make_image(64, 4), make_image(1, 16), cut_out()])
def test_a_picture_that_is_narrow_or_cut_out_is_restored_under_other_names(store, tmp_path, image):
    """A result may be narrower than any accepted input."""
    store.add(CELL, Pictures(image))
    restored(store, RENAMED, tmp_path / "cell.png")
    assert np.array_equal(Image.open(tmp_path / "cell.png"), image)


# ---------------------------------------------------------------- prints

LEVELS = widen(IMAGE) ^ 1  # unlike the 8-bit picture widened


def test_a_print_is_restored_in_any_format_and_resolution(store, tmp_path):
    store.add(CELL, Pictures(IMAGE, levels=LEVELS))
    assert files_in(entry_of(tmp_path)) == ["cell.json", "cell.png", "cell.sha256", "levels.tif"]
    for wanted in (CELL, RENAMED):
        for print_file in (PrintFile(), PrintFile("png16", 600), PrintFile("tiff16", 240)):
            path = tmp_path / f"{print_file.format}.png"
            store.restore(dataclasses.replace(wanted, path=path, print_file=print_file))
            with Image.open(path) as image:
                assert round(image.info["dpi"][0]) == print_file.dpi
                assert np.array_equal(image, IMAGE)
            assert read_record(path)["layers"] == wanted.layers
            if deep := print_file.deep(path):
                assert np.array_equal(deep_levels(deep), LEVELS)
                assert read_record(deep)["layers"] == wanted.layers


# ---------------------------------------------------------------- damage


DAMAGES = {
    "a flipped bit at the picture's start": lambda entry: flip(entry / "cell.png", 0),
    "a flipped bit in the pixels": lambda entry: flip(entry / "cell.png", -200),
    "half a picture": lambda entry: cut(entry / "cell.png"),
    "no picture": lambda entry: (entry / "cell.png").unlink(),
    "a flipped bit in the details": lambda entry: flip(entry / "cell.json", 9),
    "another number in the details": lambda entry: (entry / "cell.json").write_text(
        json.dumps({**CELL.details(), "seconds": 9.0})
    ),
    "half the details": lambda entry: cut(entry / "cell.json"),
    "details that are none": lambda entry: (entry / "cell.json").write_text("{}"),
    "settings of another kind": lambda entry: (entry / "cell.json").write_text(
        json.dumps({**CELL.details(), "settings": [1]})
    ),
    "no details": lambda entry: (entry / "cell.json").unlink(),
    "a digest that is no text": lambda entry: (entry / "cell.sha256").write_bytes(b"\xff"),
    "no levels": lambda entry: (entry / "levels.tif").unlink(),
    "half the levels": lambda entry: cut(entry / "levels.tif"),
    "a flipped bit in the levels": lambda entry: flip(entry / "levels.tif", 9),
    "no digest": lambda entry: (entry / "cell.sha256").unlink(),
    "nothing": lambda entry: [path.unlink() for path in entry.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_dropped_with_a_warning_and_can_be_made_again(
    store, tmp_path, caplog, damage
):
    store.add(CELL, Pictures(IMAGE, levels=LEVELS))
    damage(entry_of(tmp_path))
    assert store.find(CELL.fingerprint) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"{CELL.fingerprint} is damaged; recomputing it" in record.getMessage()
    assert files_in(tmp_path / "store") == []
    store.add(CELL, Pictures(IMAGE))
    assert store.find(CELL.fingerprint) is not None


def test_an_entry_under_another_s_fingerprint_is_dropped(store, tmp_path, caplog):
    store.add(CELL, Pictures(IMAGE))
    other = make_cell(extractor_digest="0" * 64).fingerprint
    elsewhere = tmp_path / "store" / other[:2] / other
    elsewhere.parent.mkdir(exist_ok=True)
    entry_of(tmp_path).rename(elsewhere)
    assert store.find(other) is None
    assert "is damaged" in caplog.text


# ---------------------------------------------------------------- concurrent and failed writers


def test_the_second_writer_of_a_cell_does_no_harm(store, tmp_path):
    store.add(CELL, Pictures(IMAGE))
    before = (entry_of(tmp_path) / "cell.png").read_bytes()
    store.add(dataclasses.replace(CELL, seconds=9.0), Pictures(IMAGE))
    assert (entry_of(tmp_path) / "cell.png").read_bytes() == before
    assert store.find(CELL.fingerprint).seconds == CELL.seconds, "the first entry stays"
    assert len(files_in(tmp_path / "store")) == 3, "the second leaves no files"


@pytest.mark.parametrize(
    "interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("step", ["rename", "replace", "fsync"])
def test_an_interrupted_writer_leaves_nothing(store, tmp_path, monkeypatch, interruption, step):
    def stop(*_arguments: object) -> None:
        raise interruption

    with monkeypatch.context() as patch:
        patch.setattr(os, step, stop)
        with pytest.raises((OSError, KeyboardInterrupt, ValueError)):
            store.add(CELL, Pictures(IMAGE))
    assert files_in(tmp_path / "store") == []
    assert not list((tmp_path / "store").glob("*/*")), "no partial entry is left"
    assert store.find(CELL.fingerprint) is None
    store.add(CELL, Pictures(IMAGE))
    assert store.find(CELL.fingerprint) is not None


def test_a_file_in_the_way_of_the_store_is_an_error(store, tmp_path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(OSError, match="store"):
        store.add(CELL, Pictures(IMAGE))
