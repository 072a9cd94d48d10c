"""The promises of SECURITY.md, as far as tests can check them."""

import ast
import io
import os
import pickle
import re
from collections.abc import Iterator
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

import pytest
import torch
import yaml
from packaging.utils import canonicalize_name
from test_architecture import FILES as PACKAGE
from test_architecture import imported, tree
from workflow_runs import ROOT

from nst.config.catalogue import checked_mirror
from nst.config.layers import VGG19
from nst.errors import ConfigError, UserError
from nst.method.checkpoint import Checkpoint
from nst.network.extractor import load_extractor
from nst.network.vgg import vgg19_16x_from_file, vgg_from_file

RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]
CONSTRAINTS = ROOT / "workflow/envs/constraints.txt"

# ---------------------------------------------------------------- weights


class Command:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self._canary}'",)


def saved(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


read_vgg19 = partial(vgg_from_file, architecture=VGG19)
# torch's format before version 1.6 was a sequence of pickles; now it is an archive with a pickle.
MALICIOUS = {
    "pickle": lambda canary: pickle.dumps({"model": Command(canary)}),
    "old": lambda canary: saved({"model": Command(canary)}, _use_new_zipfile_serialization=False),
    "new": lambda canary: saved({"model": Command(canary), "x": torch.zeros(3)}),
}


@pytest.mark.parametrize("make", MALICIOUS.values(), ids=MALICIOUS)
@pytest.mark.parametrize("read", [vgg19_16x_from_file, read_vgg19, load_extractor])
@pytest.mark.parametrize("name", ["weights.pth", "extractor.safetensors"])
def test_code_in_a_weights_file_is_not_run(tmp_path, make, read, name):
    canary = tmp_path / "canary"
    (tmp_path / name).write_bytes(make(canary))
    with pytest.raises(UserError):
        read(tmp_path / name)
    assert not canary.exists()


@pytest.mark.parametrize("make", MALICIOUS.values(), ids=MALICIOUS)
def test_code_in_a_checkpoint_is_not_run(tmp_path, caplog, make):
    canary, path = tmp_path / "canary", tmp_path / "pair.pt"
    path.write_bytes(make(canary))
    assert Checkpoint(path, ["a cell"]).load(torch.device("cpu")) is None
    assert "cannot be read" in caplog.text
    assert not canary.exists()


# ---------------------------------------------------------------- downloads


@pytest.mark.parametrize(
    "mirror",
    [None, "folder", "/mnt/nst", "https://example.org", "http://localhost:8000", "http://[::1]/x"],
)
def test_a_mirror_is_a_folder_or_reached_over_tls_or_on_this_machine(mirror):
    assert checked_mirror(mirror) == mirror


@pytest.mark.parametrize(
    "mirror",
    [
        *("http://example.org", "HTTP://example.org", "ftp://example.org", "file:///etc"),
        *("http://localhost.example.org", "http://localhost@example.org", "http://[x", "://"),
    ],
)
def test_any_other_mirror_is_refused(mirror):
    with pytest.raises(ConfigError, match=r"mirror must be a folder or an https:// address; got"):
        checked_mirror(mirror)


# ---------------------------------------------------------------- code

FORBIDDEN_MODULES = {
    *("pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "codeop", "runpy"),
    *("tarfile", "zipfile", "zipimport", "gzip", "bz2", "lzma", "ctypes", "cffi", "pty", "xml"),
    *("telnetlib", "ftplib", "socketserver", "http.server", "xmlrpc"),
}
# ruff refuses eval, exec, the functions that start a shell, and those that unpickle (its rules S).
FORBIDDEN_CALLS = re.compile(
    r"(compile|__import__|breakpoint|importlib\.import_module|pd\.eval|np\.load|"
    r"torch\.(jit|hub)\.load|yaml\.(unsafe_|full_)?load(_all)?|shutil\.(un|make_a)\w+archive|"
    r"(?!.*SafeConstructor).*Constructor)$"
)
ALLOWED_MODULES = {
    "checkpoint.py": {"zipfile", "pickle"},  # for checksums and an exception class
    "vgg.py": {"zipfile"},  # reads one file of an archive with a known sha256, in memory
    "device.py": {"ctypes"},  # sets the C library's allocator; opens no other library
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.name)
def test_the_package_runs_no_text_and_unpacks_no_archive(path):
    forbidden = FORBIDDEN_MODULES - ALLOWED_MODULES.get(path.name, set())
    for name in imported(tree(path)):
        assert not {name, name.split(".")[0]} & forbidden, name
    for name, call in calls(path):
        assert not FORBIDDEN_CALLS.match(name), name
        if name == "torch.load":
            assert "weights_only=True" in ast.unparse(call)
        if name == "yaml.compose":
            assert ast.unparse(call.args[1]) == "yaml.SafeLoader"
        if name.startswith("ctypes."):
            assert ast.unparse(call) == "ctypes.CDLL(None)", "only the loaded C library"
        if name.startswith("subprocess."):
            assert isinstance(call.args[0], ast.List), "a list needs no quoting"


def test_the_calls_are_found():
    """The tests above would pass for any code if no call were found."""
    found = {name for path in PACKAGE for name, _ in calls(path)}
    assert {"torch.load", "yaml.compose", "yaml.safe_load", "subprocess.run"} <= found
    assert FORBIDDEN_CALLS.match("torch.hub.load")
    assert not FORBIDDEN_CALLS.match("json.load")


def test_what_a_rule_hands_to_a_shell_is_quoted():
    text = "".join(path.read_text("utf-8") for path in RULES)
    (block,) = re.findall(r"^ +shell:\n((?: {8,}.*\n)+)", text, re.MULTILINE)
    names = re.findall(r"(?<!\{)\{([^{}]+)\}", block)
    assert names
    assert all(name.endswith(":q") for name in names)
    assert len(re.findall(r"\bshell\b", text)) == 1, "no other use of a shell"


# ---------------------------------------------------------------- dependencies


def pinned() -> dict[str, str]:
    """The version of each package in the constraints."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_package_that_is_installed_is_pinned():
    installed = {canonicalize_name(one.name) for one in distributions()}
    assert {"torch", "snakemake", "pytest"} <= installed
    missing = installed - set(pinned()) - {"nst", "pip"}
    # torch installs its own CUDA packages and pins their versions; it does not pin setuptools.
    assert {one for one in missing if not re.match(r"nvidia|cuda|triton|setuptools", one)} == set()
    assert all(re.fullmatch(r"[0-9][\w.!+]*", version) for version in pinned().values())


# ---------------------------------------------------------------- CI


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=str)
def test_ci_may_read_the_repository_and_no_more(path):
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    # Only those with write access can start a release: tests/test_release.py.
    rights = {"write"} if path.stem == "release" else {"read"}
    for job in workflow["jobs"].values():
        assert set(job.get("permissions", {}).values()) <= rights
        for step in job["steps"]:
            # The title of a pull request must not become a command.
            assert "${{" not in step.get("run", "")
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
