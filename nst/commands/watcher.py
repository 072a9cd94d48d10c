"""Starts and ends the process that watches a run, ``nst.commands.watch``.

A process of its own, so that Snakemake and its jobs neither wait for it nor fail with it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR
from nst.config.watched import Watched

SECONDS_TO_END = 10.0
_running: list[subprocess.Popen[str]] = []


def start_watcher(watched: Watched, tell: Callable[[str], object]) -> None:
    """Watch a run from a process that ends when ``stop_watcher`` is called, or this one is gone.

    What an earlier run left to look at meanwhile is removed. ``tell`` gets a line if the process
    cannot be started.
    """
    _remove_pages()
    if not watched.missing:
        return
    program = "from nst.commands.watch import main; main()"
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, and the line above
            # -P: what lies in the run's folder is not to be imported.
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            text=True,
        )
        _running.append(process)
        assert process.stdin is not None
        process.stdin.write(f"{watched.to_json()}\n")
        process.stdin.flush()  # and left open: its end is the end of the run
    except OSError as error:
        tell(f"Progress will not be shown: the progress watcher cannot be started ({error}).")


def stop_watcher(*, finished: bool = True) -> None:
    """End the process, and remove its pages if the run is ``finished``: there are better now."""
    while _running:
        process = _running.pop()
        assert process.stdin is not None
        with suppress(OSError):  # it ended before
            process.stdin.close()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if finished:
        _remove_pages()


def _remove_pages() -> None:
    """Remove the gallery and the overview of a run that goes on."""
    for path in (GALLERY_SO_FAR, OVERVIEW_SO_FAR):
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)
