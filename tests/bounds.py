"""Limits of time and memory for code that reads hostile input."""

import datetime
import os
import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from workflow_runs import run_python

GIB = 2**30
CI = os.environ.get("CI") == "true"


def fuzzed(number: int) -> settings:
    """Try ``number`` cases in CI, a tenth of them elsewhere, each under a time limit."""
    return settings(
        max_examples=number if CI else max(1, number // 10),
        deadline=datetime.timedelta(seconds=20),
        suppress_health_check=list(HealthCheck),
        # Not Phase.shrink: shrinking a large example can exceed CI's time limit.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
    )


def run_and_measure(code: str, *arguments: object) -> tuple[str, int]:
    """Run code in a separate process; return its output and its peak of memory in bytes."""
    # Not getrusage, which counts what the process that started this one had.
    report = "\nprint(open('/proc/self/status').read())"
    said = run_python(code + report, *arguments, OMP_NUM_THREADS="1")
    output, status = said.split("Name:", 1)
    return output, int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


class OutOfTimeError(BaseException):
    """Passes through every ``except Exception``, so that nothing can swallow it."""


@contextmanager
def bounded(seconds: int = 60, memory: int = GIB) -> Iterator[None]:
    """Fail if the body exceeds this time or allocates more than this additional memory."""

    def stop(number: int, frame: object) -> None:
        raise OutOfTimeError(f"still at it after {seconds} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(kind: type[Exception], use: Callable[..., object], *arguments: object) -> str:
    """Return the message of an error of this kind, or an empty text; fail on any other error."""
    with bounded():
        try:
            use(*arguments)
        except kind as error:
            return str(error)
    return ""
