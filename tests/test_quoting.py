from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest import paint
from hypothesis import given
from hypothesis import strategies as st

from nst.config.catalogue import read_catalogue
from nst.config.pictures import _survives_a_shell
from nst.config.run import Run, read_run
from nst.errors import ConfigError


def run_of(**changes: object) -> Run:
    config = {"contents": ["chelsea"], "styles": ["great_wave_study"], "ratios": [1]}
    config["layers"] = {"all": {"content": {"relu3_1": 1}, "style": {"relu1_1": 1}}}
    return read_run(config | changes, read_catalogue())


@pytest.mark.parametrize(
    "name", ["Monet's garden", "$(touch pwned)", "a;b & c `d`", 'a "b"', "ü 猫"]
)
def test_what_a_cluster_can_be_asked_for_is_taken(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paint(Path(f"{name}.png"))
    run_of(contents=[{"path": f"{name}.png", "name": "a"}])


@pytest.mark.parametrize("name", ["a $(touch pwned) 'b'", "`it`'s", '"it"\'s', "back\\slash"])
@pytest.mark.parametrize("place", ["contents", "styles", "start_file", "vgg19"])
def test_what_a_shell_would_read_otherwise_is_refused(name, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = f"{name}.png"
    paint(Path(path))
    changes = {
        "contents": {"contents": [{"path": path, "name": "a"}]},
        "styles": {"styles": [{"path": path, "name": "a"}]},
        "start_file": {"start": "file", "start_file": path},
        "vgg19": {"extractor": "vgg19", "vgg19": {"weights": path}},
    }
    with pytest.raises(ConfigError, match="Rename the file"):
        run_of(**changes[place])


@given(st.text(st.sampled_from("'\"$`\\ ab!;&|()*?~#éß{}"), min_size=1, max_size=8))
def test_a_shell_agrees(path):
    """What is said to survive does, and a shell is asked."""
    if _survives_a_shell(path):
        said = subprocess.run(["sh", "-c", f"printf %s {path!r}"], capture_output=True, check=True)
        assert said.stdout.decode() == path
