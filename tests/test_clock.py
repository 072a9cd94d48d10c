from __future__ import annotations

import os
import time
from pathlib import Path

from nst.clock import bring_to_the_present


def write(path: Path, ahead: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")
    os.utime(path, (time.time() + ahead, time.time() + ahead))
    return path


def test_only_files_from_the_future_are_dated_anew_and_all_alike(tmp_path):
    late = [write(tmp_path / "inputs" / f"{hours}.png", 3600 * hours) for hours in (1, 30)]
    old = write(tmp_path / "details" / "a.json", -3600)
    before = old.stat().st_mtime_ns
    assert sorted(bring_to_the_present(tmp_path)) == sorted(late)
    assert len({path.stat().st_mtime_ns for path in late}) == 1
    assert abs(late[0].stat().st_mtime - time.time()) < 10
    assert old.stat().st_mtime_ns == before
    assert bring_to_the_present(tmp_path) == []


def test_what_no_job_is_made_from_is_left_as_it_is(tmp_path):
    for name in ("store/ab/cell.png", "cells/a/b.png"):
        write(tmp_path / name, 3600)
    inner = write(tmp_path / "inputs" / "store" / "a.png", 3600)
    assert bring_to_the_present(tmp_path) == [inner]


def test_links_are_not_followed_and_nothing_to_look_at_is_fine(tmp_path):
    outside = write(tmp_path / "photo.png", 3600)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "link").symlink_to(outside)
    before = outside.stat().st_mtime_ns
    assert bring_to_the_present(tmp_path / "results") == []
    assert outside.stat().st_mtime_ns == before
    assert bring_to_the_present(tmp_path / "not there") == []
