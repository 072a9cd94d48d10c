#!/usr/bin/env python3
"""Say whether a job is running, success or failed, as Snakemake asks: status.py SYSTEM JOB.

A job that the scheduler does not know any more is failed, and that is said: Snakemake then tries it
again, where it would otherwise wait without end. A scheduler that does not answer is asked again:
the job is taken to be running.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

# When a job was first seen to have left Grid Engine's queue, a file for each.
GONE = Path(".snakemake/nst-gone")
ACCOUNTED = 300  # s after which the accounts have it, if they ever will

# What the schedulers say of a job that they do not know.
UNKNOWN = re.compile(
    r"invalid job id|unknown job|is not found|do not exist|not found", re.IGNORECASE
)
SLURM_GOES_ON = {
    *("PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "STOPPED", "SIGNALING"),
    *("REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "RESIZING", "STAGE_OUT"),
}


def slurm(job):
    """Ask squeue, which knows a job until MinJobAge, 300 s by default, after its end."""
    state = ask("squeue", "--noheader", "--states=all", "--format=%T", "--jobs", job).strip()
    if state in SLURM_GOES_ON:
        return "running"
    return "success" if state == "COMPLETED" else "failed"


def pbs(job):
    """Ask qstat, of which -x has the jobs that ended as well, if the server keeps them.

    It does with ``job_history_enable``, which is off unless the administrator turned it on.
    """
    (known,) = json.loads(ask("qstat", "-x", "-f", "-F", "json", job))["Jobs"].values()
    if known["job_state"] not in ("F", "X"):
        return "running"
    return "success" if known.get("Exit_status") == 0 else "failed"


def lsf(job):
    """Ask bjobs, which knows a job until CLEAN_PERIOD, an hour by default, after its end."""
    state = ask("bjobs", "-noheader", "-o", "stat", job).strip()
    if state in ("EXIT", "ZOMBI"):
        return "failed"
    return "success" if state == "DONE" else "running"


def sge(job):
    """Ask qstat while the job waits or runs, then the accounts, where it appears a bit later."""
    gone = GONE / job
    try:
        ask("qstat", "-j", job)
        gone.unlink(missing_ok=True)  # of another job, before the numbers began again
        return "running"
    except LookupError:
        pass
    try:
        accounts = ask("qacct", "-j", job)
    except LookupError:
        if not gone.exists():
            gone.parent.mkdir(parents=True, exist_ok=True)
            gone.touch()
        if time.time() - gone.stat().st_mtime > ACCOUNTED:
            raise
        return "running"
    gone.unlink(missing_ok=True)
    ended = dict(re.findall(r"^(failed|exit_status)\s+(\d+)", accounts, re.MULTILINE))
    return "success" if ended == {"failed": "0", "exit_status": "0"} else "failed"


def ask(*command):
    """Return what a command says.

    Raises LookupError if it does not know the job, and OSError if it fails for another reason.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 0 and done.stdout.strip():
        return done.stdout
    if done.returncode == 0 or UNKNOWN.search(done.stderr + done.stdout):
        raise LookupError(" ".join(command))
    raise OSError(done.stderr)


HINTS = {
    "pbs": "; it forgets a job at its end unless the server has job_history_enable=True",
    "sge": "; qacct has to see the accounting file from here",
}
SYSTEMS = {"slurm": slurm, "pbs": pbs, "lsf": lsf, "sge": sge}


def main(arguments):
    """Answer Snakemake."""
    if len(arguments) != 2 or arguments[0] not in SYSTEMS or "/" in arguments[1]:
        sys.exit(f"usage: status.py {'|'.join(SYSTEMS)} JOB; got {' '.join(arguments)!r}")
    try:
        print(SYSTEMS[arguments[0]](arguments[1]))
    except LookupError as error:
        hint = HINTS.get(arguments[0], "")
        print(f"{arguments[0]} does not know job {arguments[1]} ({error}){hint}", file=sys.stderr)
        print("failed")
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{arguments[0]} does not answer: {error}", file=sys.stderr)
        print("running")


if __name__ == "__main__":
    main(sys.argv[1:])
