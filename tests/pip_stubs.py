"""A pip that is not one: it says and does what a test asks for."""

import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest


def replace_pip(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """Have a shell script run as ``PYTHON -m pip``; return the file with its arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, program = folder / "asked", folder / "python"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(asked))}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(
        "nst.system.pip_download.sys", SimpleNamespace(executable=str(program), argv=[])
    )
    return asked


def saying(words: str, status: int = 1) -> str:
    """A script that fails with some words, after the warnings that pip has for everybody."""
    warning = (
        "WARNING: Location 'file:///opt/simple/' is ignored: it is neither a file nor a directory."
    )
    return f"printf '%s\\n' {shlex.quote(warning)} {shlex.quote(words)} >&2\nexit {status}"


def bringing(wheel: Path) -> str:
    """A script that puts a wheel where pip is to put it."""
    return (
        'while [ "$1" != --dest ]; do shift; done\n'
        f'mkdir -p "$2" && cp {shlex.quote(str(wheel))} "$2"'
    )
