from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from conftest import paint

from nst.config.catalogue import read_catalogue
from nst.config.run import read_run
from nst.errors import ImageError
from nst.imaging.inspection import inspect_run
from nst.system.clock import bring_to_the_present, refuse_future


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


def test_a_picture_of_the_user_s_from_the_future_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(ImageError, match=r"photo.png: .* touch the file"):
        refuse_future(write(tmp_path / "photo.png", 3600))
    refuse_future(write(tmp_path / "now.png", 1))  # machines of a cluster disagree by as much


def test_a_run_with_such_a_picture_is_refused_while_planning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = paint(tmp_path / "photo.png", 1, (64, 64))
    run = read_run({"contents": ["photo.png"], "styles": ["great_wave_study"]}, read_catalogue())
    inspect_run(run)
    os.utime(photo, (time.time() + 3600, time.time() + 3600))
    with pytest.raises(ImageError, match="newer than now"):
        inspect_run(run)
