"""Run the commands of docs/tutorial.md step by step, for its test and its pictures."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
ADDRESS = "https://example.org/nst.git"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Step:
    """A block of commands, the files to save before it, and the page's text after it."""

    commands: str
    files: dict[str, str]
    expected: list[str] = field(default_factory=list)  # lines of output; … matches any text
    said: str = ""
    output: str = ""


def read_steps(text: str) -> list[Step]:
    """Read the page. A file's name precedes its block; a block of text is expected output."""
    steps: list[Step] = []
    files: dict[str, str] = {}
    before, *parts = BLOCK.split(text)
    for kind, body, after in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        match kind:
            case "sh":
                steps.append(Step(body, files))
                files = {}
            case "text":
                steps[-1].expected = body.splitlines()
            case "yaml" | "json":
                files[re.findall(r"`([^`]+)`", before)[-1]] = body
            case _:
                raise ValueError(f"the tutorial has a block of {kind}; it may be sh, yaml or text")
        if not files:
            steps[-1].said += after.partition("\n## ")[0]
        before = after
    return steps


def follow(folder: Path, page: str = PAGE) -> Iterator[Step]:
    """Run the page's commands in a folder, from the clone on; the clone is its subfolder `nst`.

    The clone is of this working tree, and this Python's environment replaces the
    installation.
    """
    environment = {**os.environ, **_publish(folder / "published.git")}
    environment.pop("MAKEFLAGS", None)  # set if `make images` started this
    checkout = folder / "nst"
    for step in read_steps(page):
        here = checkout if checkout.exists() else folder
        for name, text in step.files.items():
            (here / name).write_text(text, "utf-8")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step.commands],  # noqa: S607
            cwd=here,
            env={**environment, "PYTHONPATH": str(checkout)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{step.commands} failed:\n{done.stdout}")
        step.output = done.stdout
        if here == folder:
            _install(checkout / ".venv")
        yield step


def _publish(repository: Path) -> dict[str, str]:
    """Commit the working tree to a repository; return variables that redirect the page's URL."""
    git = ["git", f"--git-dir={repository}", f"--work-tree={ROOT}"]
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run([*git, "init"], cwd=ROOT, check=True, capture_output=True)
    (repository / "info" / "exclude").write_text(".venv*\n")  # .gitignore ignores the folder only
    for command in (["add", "--all"], [*author, "commit", "--message", "all"]):
        subprocess.run([*git, *command], cwd=ROOT, check=True, capture_output=True)
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf",
        "GIT_CONFIG_VALUE_0": ADDRESS,
    }


def _install(environment: Path) -> None:
    """Link this Python's environment to the path that `make` uses, and mark it as installed."""
    environment.mkdir()
    for one in Path(sys.prefix).iterdir():
        if not one.name.startswith("."):
            (environment / one.name).symlink_to(one)
    for mark in (".created", ".installed", ".fetched"):
        (environment / mark).touch()
