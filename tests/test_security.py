"""The promises of SECURITY.md, as far as tests can check them."""

import ast
import io
import os
import pickle
import re
import tomllib
import zipfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from workflow_runs import ROOT

from nst.config.catalogue import checked_mirror, read_catalogue
from nst.config.layers import VGG19
from nst.errors import ConfigError, UserError
from nst.method.checkpoint import Checkpoint
from nst.network.extractor import load_extractor
from nst.network.vgg import vgg19_16x_from_file, vgg_from_file

PACKAGE = sorted((ROOT / "nst").rglob("*.py"))
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


def archive_of_code(canary: Path) -> bytes:
    """A file that looks like TorchScript."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Command(canary)))
        archive.writestr("archive/constants.pkl", pickle.dumps(Command(canary)))
        archive.writestr("archive/code/__torch__.py", "import os\n")
        archive.writestr("archive/version", "6\n")
    return content.getvalue()


read_vgg19 = partial(vgg_from_file, architecture=VGG19)
# torch's format before version 1.6 was a sequence of pickles; now it is an archive with a pickle.
MALICIOUS = {
    "pickle": lambda canary: pickle.dumps({"model": Command(canary)}),
    "old": lambda canary: saved({"model": Command(canary)}, _use_new_zipfile_serialization=False),
    "new": lambda canary: saved({"model": Command(canary), "x": torch.zeros(3)}),
    "TorchScript": archive_of_code,
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


@pytest.mark.filterwarnings("ignore:.*looks like a TorchScript archive")
@pytest.mark.parametrize("make", MALICIOUS.values(), ids=MALICIOUS)
def test_code_in_a_checkpoint_is_not_run(tmp_path, caplog, make):
    canary, path = tmp_path / "canary", tmp_path / "pair.pt"
    path.write_bytes(make(canary))
    assert Checkpoint(path, ["a cell"]).load(torch.device("cpu")) is None
    assert "cannot be read" in caplog.text
    assert not canary.exists()


# ---------------------------------------------------------------- downloads


def test_everything_is_fetched_over_tls_and_held_to_a_digest():
    entries = read_catalogue().values()
    assert entries
    for entry in entries:
        kinds = ("https://", "pip:", "scikit-image:", "resources:")
        assert entry.source.startswith(kinds), entry.name
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256), entry.name
        assert re.fullmatch(r"\w[\w.-]*\.(jpg|png|pth|whl)", entry.file), "a name, not a path"


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
FORBIDDEN_CALLS = re.compile(
    r"(eval|exec|compile|__import__|breakpoint|os\.(system|popen|exec\w*|spawn\w*)|"
    r"subprocess\.(getoutput|getstatusoutput)|shutil\.(unpack_archive|make_archive)|"
    r"yaml\.(unsafe_|full_)?load(_all)?|(?!.*SafeConstructor).*Constructor|"
    r"np\.load|torch\.jit\.load|torch\.hub\.load|"
    r"importlib\.import_module|pd\.(read_pickle|eval)|joblib\.load|.*\.unpack)$"
)
# These unpack only numbers:
ALLOWED_CALLS = {(file, "struct.unpack") for file in ("opening.py", "locks.py")}
ALLOWED_MODULES = {
    "checkpoint.py": {"zipfile", "pickle"},  # for checksums and an exception class
    "vgg.py": {"zipfile"},  # reads one file of an archive with a known sha256, in memory
    "device.py": {"ctypes"},  # sets the C library's allocator; opens no other library
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: path.name)
def test_the_package_runs_no_text_unpacks_no_archive_and_starts_no_shell(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            forbidden = FORBIDDEN_MODULES - ALLOWED_MODULES.get(path.name, set())
            assert not {name, name.split(".")[0]} & forbidden, name
    for name, call in calls(path):
        assert (path.name, name) in ALLOWED_CALLS or not FORBIDDEN_CALLS.match(name), name
        given = {one.arg: ast.unparse(one.value) for one in call.keywords}
        assert given.get("shell", "False") == "False", name
        if name == "torch.load":
            assert given["weights_only"] == "True"
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
    assert FORBIDDEN_CALLS.match("os.system")
    assert FORBIDDEN_CALLS.match("tarfile.TarFile.unpack")
    assert not FORBIDDEN_CALLS.match("json.load")


def shell_commands(text: str) -> list[str]:
    """The shell commands of a rule file: the strings after each ``shell:``."""
    blocks = re.findall(r"^ +shell:\n((?: {8,}.*\n)+)", text, re.MULTILINE)
    return ["".join(re.findall(r'"((?:[^"\\]|\\.)*)"', block)) for block in blocks]


def test_what_a_rule_hands_to_a_shell_is_quoted():
    commands = [one for path in RULES for one in shell_commands(path.read_text("utf-8"))]
    assert commands, "the pattern finds commands"
    for command in commands:
        for name in re.findall(r"(?<!\{)\{([^{}]+)\}", command):
            assert name.endswith(":q"), command
    text = "".join(path.read_text("utf-8") for path in RULES)
    assert len(re.findall(r"\bshell\b", text)) == len(commands), "no other use of a shell"


# ---------------------------------------------------------------- dependencies


def pinned() -> dict[str, str]:
    """The version of each package in the constraints."""
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, version in pairs}


def required(start: str) -> set[str]:
    """A package and all its dependencies on this system and this Python."""
    found: set[str] = set()
    first = Requirement(start)
    waiting = [(first.name, extra) for extra in ("", *first.extras)]
    for name, extra in waiting:
        try:
            inner = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # for another system
            continue
        found.add(canonicalize_name(name))
        for one in inner:
            if not one.marker or one.marker.evaluate({"extra": extra}):
                new = {(one.name, each) for each in ("", *one.extras)}
                waiting += new.difference(waiting)
    return found


def project_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["test"]]


def test_every_package_that_is_installed_is_pinned():
    wanted = set().union(*map(required, project_requirements()))
    assert len(wanted) > 80, "the requirements are found"
    # torch installs its own CUDA packages and pins their versions.
    missing = {
        name for name in wanted - set(pinned()) if not re.match(r"(nvidia|cuda|triton)", name)
    }
    assert missing <= {"setuptools"}, "only setuptools, which torch requires, may be unpinned"
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
