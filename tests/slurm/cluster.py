"""A real Slurm on this one machine, with two pretended GPUs, for the tests.

    python tests/slurm/cluster.py install   install Debian's packages, start no services
    python tests/slurm/cluster.py start     configure, start, wait until the node accepts jobs
    python tests/slurm/cluster.py stop      cancel jobs, stop the daemons, remove their files

Run it as root. It needs no systemd, cgroups or GPUs. If the host's name resolves to 127.0.0.1, it
listens on the loopback only. It changes nothing on a machine that has another Slurm.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
GPUS = 2
NODE = "nst1"
# The usual folder: the plugin removes all of SLURM_*, and so SLURM_CONF, from a job's
# environment; the srun inside the job then looks here.
CONFIGURATION = Path("/etc/slurm")
HOME = Path("/run/nst-slurm")  # pid files, sockets, state, logs: all that `stop` removes
MARK = "# Written by the tests of nst: tests/slurm/cluster.py"
PATIENCE = 60  # seconds

DAEMONS = ("slurmd", "slurmctld", "munged")  # in the order in which they are stopped


class ClusterError(RuntimeError):
    """The cluster cannot run on this machine; the message gives the reason and the remedy."""


def missing() -> str | None:
    """Return the reason why no cluster can start here, or None if it can."""
    if os.geteuid():
        return "a Slurm for the tests needs root"
    for program in ("slurmctld", "slurmd", "sbatch", "munged"):
        if not shutil.which(program):
            return f"{program} is not installed; as root: python {Path(__file__)} install"
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        path = CONFIGURATION / name
        if path.exists() and MARK not in path.read_text("utf-8", "replace"):
            return f"{path} is of another Slurm, which is left alone"
    return None


def install() -> None:
    """Install the packages; a policy file keeps their services from starting."""
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        policy.chmod(0o755)
    command = ["apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *PACKAGES]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        if subprocess.run(command, env=quiet, check=False).returncode:
            subprocess.run(["apt-get", "update", "--quiet"], check=True)
            subprocess.run(command, env=quiet, check=True)
    finally:
        if ours:
            policy.unlink()


def start() -> None:
    """Configure and start the cluster, and wait until its node accepts jobs.

    Raises:
        ClusterError: it is not ready after a minute; the message has the ends of the logs.
    """
    if reason := missing():
        raise ClusterError(reason)
    stop()
    for folder in (HOME, HOME / "state", HOME / "spool", HOME / "munge"):
        folder.mkdir(mode=0o755)
    _configure()
    munge = HOME / "munge"
    _daemon("mungekey", "--create", f"--keyfile={munge}/key")
    _daemon(
        *("munged", f"--socket={munge}/socket", f"--key-file={munge}/key"),
        *(f"--seed-file={munge}/seed", f"--log-file={HOME}/munged.log"),
        f"--pid-file={HOME}/munged.pid",
    )
    _daemon("slurmctld")
    _daemon("slurmd", "-N", NODE)
    nodes = ("sinfo", "--noheader", "--Node", "--format=%T")
    _await("the node to become idle", lambda: ask(*nodes).split() == ["idle"] * 2)


def stop() -> None:
    """Cancel the jobs and stop only the daemons that ``start`` started."""
    # Jobs survive the end of slurmd.
    if _pid("slurmctld") and _pid("slurmd") and (running := jobs()):
        ask("scancel", *running)
        await_end()
    for name in DAEMONS:
        if pid := _pid(name):
            os.kill(pid, signal.SIGTERM)
            _await(f"{name} to stop", lambda name=name: not _pid(name))
    shutil.rmtree(HOME, ignore_errors=True)
    for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
        path = CONFIGURATION / name
        if path.exists() and MARK in path.read_text("utf-8", "replace"):
            path.unlink()


def jobs() -> list[str]:
    """Return the numbers of the jobs that wait or run."""
    return ask("squeue", "--noheader", "--format=%A").split()


def await_end() -> None:
    _await("the jobs to end", lambda: not jobs())


def _configure() -> None:
    # slurmd accepts any character devices with different names as GPUs.
    for number in range(GPUS):
        (HOME / f"gpu{number}").symlink_to("/dev/null")
    _write("slurm.conf", _slurm_conf())
    _write("gres.conf", f"NodeName={NODE} Name=gpu File={HOME}/gpu[0-{GPUS - 1}]\n")
    # Nothing here uses cgroups, but slurmd searches for them at its start and fails in some
    # containers. From 24.05 on an option disables the search; before, naming a version avoids it.
    plugin = "disabled" if _version() >= (24, 5) else "cgroup/v1"
    _write("cgroup.conf", f"CgroupPlugin={plugin}\n")


def _slurm_conf() -> str:
    host = socket.gethostname().split(".")[0]
    # The daemons bind to what the host's name resolves to; only 127.0.0.1 itself works for srun.
    local = False
    with suppress(OSError):
        local = socket.gethostbyname(host) == "127.0.0.1"
    bound = "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny" if local else ""
    return f"""
ClusterName=nst
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=26817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={HOME}/munge/socket
{bound}
StateSaveLocation={HOME}/state
SlurmdSpoolDir={HOME}/spool
SlurmctldPidFile={HOME}/slurmctld.pid
SlurmdPidFile={HOME}/slurmd.pid
SlurmctldLogFile={HOME}/slurmctld.log
SlurmdLogFile={HOME}/slurmd.log
# Without cgroups
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
# GPUs and memory are shared out, and the node may claim more than the machine has
GresTypes=gpu
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
# Quick answers
SchedulerParameters=batch_sched_delay=1,sched_interval=2
KillWait=5
ReturnToService=2
# What is cancelled or lost is Snakemake's to submit again
JobRequeue=0
# How long squeue remembers a job: the default, which the profile relies on
MinJobAge=300
NodeName=DEFAULT CPUs=64 RealMemory=200000
NodeName={NODE} NodeHostname={host} NodeAddr=127.0.0.1 Port=26818 Gres=gpu:{GPUS}
PartitionName=cpu Nodes={NODE} Default=YES MaxTime=2880
PartitionName=gpu Nodes={NODE} MaxTime=2880
"""


def _write(name: str, text: str) -> None:
    CONFIGURATION.mkdir(exist_ok=True)
    (CONFIGURATION / name).write_text(f"{MARK}\n{text}", encoding="utf-8")


def _version() -> tuple[int, int]:
    """Return Slurm's version, as (22, 5)."""
    found = re.search(r"(\d+)\.(\d+)", ask("slurmd", "-V"))
    if not found:
        raise ClusterError("slurmd -V does not say its version")
    return int(found[1]), int(found[2])


def ask(*command: str) -> str:
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=False
    ).stdout


def _daemon(*command: str) -> None:
    log = HOME / "start.log"
    with log.open("ab") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=PATIENCE,
            check=False,
        )
    if done.returncode:
        raise ClusterError(f"{command[0]} does not start: {log.read_text('utf-8', 'replace')}")


def _pid(name: str) -> int | None:
    """Return a daemon's process id if it runs; ignore zombies and other programs with this id."""
    try:
        pid = int((HOME / f"{name}.pid").read_text("ascii"))
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (OSError, ValueError):
        return None
    program, state = stat.partition("(")[2].rpartition(") ")[::2]
    return pid if program == name and state[0] != "Z" else None


def _await(what: str, reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            logs = "".join(
                f"\n{path.name}:\n{path.read_text('utf-8', 'replace')[-2000:]}"
                for path in sorted(HOME.glob("*.log"))
            )
            raise ClusterError(f"waited {PATIENCE} s for {what}{logs}")
        time.sleep(0.1)


if __name__ == "__main__":
    actions = {"install": install, "start": start, "stop": stop}
    if sys.argv[1:] not in [[name] for name in actions]:
        sys.exit(__doc__)
    try:
        actions[sys.argv[1]]()
    except ClusterError as error:
        sys.exit(str(error))
