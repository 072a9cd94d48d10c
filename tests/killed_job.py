"""Runs the job of a pair in processes that kill themselves, for the tests of checkpoints.

    python killed_job.py job.json

Runs the job's ``runs`` one after the other, each in its own process. A run with ``kill_after``
ends by SIGKILL after this number of steps. Prints each exit status and log.
"""

import json
import logging
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from nst.cells.cell import Cell, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.settings import Settings
from nst.method import checkpoint


def make(job: dict[str, Any], run: dict[str, Any]) -> None:
    """Render the pair's cells as a job of the workflow does."""
    torch.set_num_threads(1)
    checkpoint.SHORTEST_GAP, checkpoint.SHARE = 0.0, float("inf")
    folder = Path(run["folder"])
    log = folder / "log.txt"
    logging.basicConfig(level=logging.INFO, filename=log, format="%(message)s", force=True)
    files = {one.name for one in fields(Pair) if one.type in {"Path", "Path | None"}}
    pair = Pair(**{name: Path(one) if name in files else one for name, one in job["pair"].items()})
    wanted = [
        Cell("all", str(number), "relative", Settings.from_mapping(one), folder / f"{number}.png")
        for number, one in enumerate(job["settings"])
    ]
    taken = 0

    def count(*_: object) -> None:
        nonlocal taken
        taken += 1
        if taken == run.get("kill_after"):
            os.kill(os.getpid(), signal.SIGKILL)

    store = CellStore(folder / "store")
    kept = folder / "store" / "checkpoint.pt"
    cells = stylize_pair(pair, wanted, torch.device("cpu"), store, count, checkpoint=kept)
    write_details(dict(zip((one.path for one in wanted), cells, strict=True)), folder / "all.json")
    (folder / "taken").write_text(str(taken))


def main() -> None:
    """Fork for each run, before this process has started torch's threads."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    ends = []
    for run in job["runs"]:
        Path(run["folder"]).mkdir(exist_ok=True)
        child = os.fork()
        if child == 0:
            make(job, run)
            logging.shutdown()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        log = Path(run["folder"]) / "log.txt"
        ends.append({"status": os.waitstatus_to_exitcode(status), "log": log.read_text("utf-8")})
        log.unlink()
    print(json.dumps(ends))


if __name__ == "__main__":
    main()
