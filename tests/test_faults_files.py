"""Power cuts while a file or a store entry is being written, and the parts of killed writers."""

import errno
import os
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from disks import part_of_another
from made_cells import make_cell, make_image
from workflow_runs import start_python

from nst.cells.cell import Pictures
from nst.cells.store import CellStore
from nst.system.files import (
    explain_disk_trouble,
    part_folder,
    part_of,
    remove_parts,
    write_atomically,
)

# ---------------------------------------------------------------- power cuts


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, str]]:
    """Record the calls of the system in order: the call and the name of its file or folder.

    Files survive a power cut only if their content is on the disk before their final name.
    """
    asked: list[tuple[str, str]] = []

    def call(name: str, real: Callable[..., object], subject: object, *others: str) -> object:
        path = os.readlink(f"/proc/self/fd/{subject}") if name == "fsync" else others[0]
        asked.append((name, os.path.basename(path)))
        return real(subject, *others)

    for name in ("fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, partial(call, name, getattr(os, name)))
    return asked


def test_new_folders_then_a_file_then_its_name_are_on_the_disk_when_the_call_ends(calls, tmp_path):
    (tmp_path / "a").mkdir()
    write_atomically(tmp_path / "a" / "b" / "c" / "cell.png", b"x")
    assert set(calls[:2]) == {("fsync", "a"), ("fsync", "b")}
    (synced, part), *named = calls[2:]
    assert (synced, part.endswith(".part")) == ("fsync", True)
    assert named == [("replace", "cell.png"), ("fsync", "c")]


def test_every_file_of_a_store_entry_is_on_the_disk_before_the_entry_has_its_name(calls, tmp_path):
    cell = make_cell()
    CellStore(tmp_path).add(cell, Pictures(make_image()))
    renamed = calls.index(("rename", cell.fingerprint))
    before = calls[:renamed]
    for name in ("cell.png", "cell.json", "cell.sha256"):
        place = before.index(("replace", name))
        assert before[place - 1][0] == "fsync", "the file must be synced before"
        assert before[place + 1][0] == "fsync", "the name must be synced after"
    assert calls[renamed + 1 :] == [("fsync", cell.fingerprint[:2])]


# ---------------------------------------------------------------- remains of killed processes


def age(path: Path, days: float) -> None:
    then = time.time() - days * 24 * 3600
    os.utime(path, (then, then))


def test_the_part_of_a_process_stays_until_it_is_dead_though_not_buried(tmp_path):
    other = start_python("import time; time.sleep(60)")
    mine, theirs = part_of(tmp_path / "a"), part_of_another(tmp_path / "b", other.pid)
    for part in (mine, theirs):
        part.write_bytes(b"half")
        age(part, 30)
    assert remove_parts(tmp_path) == []
    other.kill()
    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # leave it a zombie
    assert remove_parts(tmp_path) == [theirs]
    assert list(tmp_path.iterdir()) == [mine]
    other.communicate()


@pytest.mark.parametrize("name", [".a-00000000-1-12345678.part", ".a-12345678.part"])
def test_the_part_of_another_machine_is_left_alone_for_a_day(tmp_path, name):
    part = tmp_path / name
    part.write_bytes(b"half")
    age(part, 0.9)
    assert remove_parts(tmp_path) == []
    age(part, 1.1)
    assert remove_parts(tmp_path) == [part]


def test_a_folder_that_was_being_filled_goes_with_all_that_is_in_it(tmp_path):
    part = part_of_another(tmp_path / "deep" / "entry", 2**22 + 1)  # no process has this number
    write_atomically(part / "inside" / "cell.png", b"x")
    with part_folder(tmp_path / "deep" / "other") as mine:
        assert remove_parts(tmp_path) == [part]
        assert mine.is_dir()
    assert list((tmp_path / "deep").iterdir()) == []


def test_nothing_but_parts_is_removed(tmp_path):
    kept = ["cell.png", ".part", "a.part", ".hidden", "some.part/x", ".x.part.txt", ".x.part"]
    for name in kept:
        write_atomically(tmp_path / name, b"x")
        age(tmp_path / name, 9)
    outside = tmp_path.with_name("outside")
    write_atomically(outside / ".a-00000000-1-12345678.part", b"x")
    age(outside / ".a-00000000-1-12345678.part", 9)
    (tmp_path / "link").symlink_to(outside)
    remove_parts(tmp_path)
    assert all((tmp_path / name).exists() for name in kept)
    assert any(outside.iterdir())


# ---------------------------------------------------------------- other trouble


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO]
)
def test_trouble_with_the_disk_is_reported_with_file_and_remedy(number):
    message = explain_disk_trouble(OSError(number, os.strerror(number), "results/a b\n.png"))
    assert message is not None
    assert message.startswith(f"results/a b .png: {os.strerror(number)}. ")
    assert "run the same command again; the cells that are finished are kept" in message


def test_a_store_entry_can_be_checked_with_sha256sum(tmp_path):
    CellStore(tmp_path).add(make_cell(), Pictures(make_image()))
    (entry,) = tmp_path.glob("*/*")
    command = ["sha256sum", "--check", "cell.sha256"]
    said = subprocess.run(command, cwd=entry, check=True, capture_output=True, text=True).stdout
    assert set(said.splitlines()) == {"cell.png: OK", "cell.json: OK"}
