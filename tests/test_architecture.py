"""Rules for the code as a whole: allowed imports, and the length of functions."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from workflow_runs import ROOT

from nst.config.settings import ExtractorName, PublishedName

PACKAGE = ROOT / "nst"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in FILES
    if path.stem != "__init__"
}
RULES = [ROOT / "Snakefile", ROOT / "workflow/Snakefile", *(ROOT / "workflow").rglob("*.smk")]
SCRIPTS = sorted((ROOT / "workflow" / "scripts").glob("*.py"))
SOURCES = [*FILES, *SCRIPTS]

# A module imports only from modules above it, and a package only from packages above it. Place a
# new module so that this stays true.
PACKAGES = {
    "": ("errors",),
    "system": ("files", "locks", "download", "device"),
    "config": (
        *("layers", "settings", "documents", "catalogue", "composition", "names", "pictures"),
        *("variants", "prints", "geometry", "votes", "run", "paths"),
    ),
    "imaging": ("opening", "srgb", "images", "masks", "inspection"),
    "network": ("tensors", "kernels", "extractor", "tiles", "kmeans", "vgg", "provision"),
    "method": (
        *("losses", "distributions", "regions", "spectrum", "colours", "start", "observe"),
        *("objective", "optimisers", "optimise", "stages", "transfer", "checkpoint", "resilience"),
    ),
    "cells": ("metrics", "measure", "cell", "store", "pair", "sources", "verify"),
    "figures": ("lettering", "layout", "painting", "grids", "pages"),
    "reports": ("ranking", "summary", "tables", "plots"),
    "gallery": ("data", "page", "so_far"),
    "commands": ("job", "by_hand", "plan", "watch"),
}
ORDER = (
    *(f"{package}.{name}".lstrip(".") for package, names in PACKAGES.items() for name in names),
    "cli",
)
LONGEST_BODY = 40
LONGEST_SCRIPT = 30

Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> set[str]:
    """Return all names imported anywhere below a node, the package's as ``nst.cells.cell``."""
    names: set[str] = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Import):
            names |= {alias.name for alias in one.names}
        elif isinstance(one, ast.ImportFrom):
            assert not one.level, "imports must be absolute"
            names.add(str(one.module))
            if str(one.module).split(".")[0] == "nst":  # these may be modules of the package
                names |= {f"{one.module}.{alias.name}" for alias in one.names}
    return names


def siblings(path: Path) -> set[str]:
    """Return the package's own modules that a file imports."""
    return {name.removeprefix("nst.") for name in imported(tree(path))} & set(MODULES)


def functions(path: Path) -> Iterator[Function]:
    return (one for one in ast.walk(tree(path)) if isinstance(one, Function))


def body_length(function: Function) -> int:
    """Count the lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


# ---------------------------------------------------------------- imports


def test_every_module_has_its_place():
    assert set(ORDER) == set(MODULES)
    assert len(set(ORDER)) == len(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_upstream(name):
    upstream = set(ORDER[: ORDER.index(name)])
    assert siblings(MODULES[name]) <= upstream


def test_the_imports_are_found_wherever_they_stand():
    """If no import were found, the check above would always pass."""
    assert {"config.settings", "errors"} <= siblings(MODULES["config.run"])
    assert "cells.pair" in siblings(MODULES["commands.by_hand"]), "an import inside a function"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_rules_have_no_code_of_their_own_and_do_not_import_torch(path):
    """Rule files are not valid Python, so search their lines."""
    text = path.read_text(encoding="utf-8")
    assert "lambda" not in text
    assert not re.search(r"^\s*run:", text, re.MULTILINE)
    assert not re.search(r"^\s*(import|from) (torch|numpy|pandas|skimage)", text, re.MULTILINE)
    found = re.findall(r"^\s*from nst\.([\w.]+) import (\w+)", text, re.MULTILINE)
    used = {f"{module}.{name}" if module in PACKAGES else module for module, name in found}
    loads_torch = {name for name, module in MODULES.items() if "torch" in heavy(module)}
    assert {"network.tensors", "cells.pair"} <= loads_torch
    assert used <= set(MODULES)
    assert not used & loads_torch


@functools.cache
def heavy(path: Path) -> set[str]:
    """Return the modules that a module loads on import, directly or indirectly."""
    top = [one for one in tree(path).body if isinstance(one, ast.Import | ast.ImportFrom)]
    found: set[str] = set()
    for name in {name for one in top for name in imported(one)}:
        found.add(name.split(".")[0])
        sibling = name.removeprefix("nst.")
        if name.startswith("nst.") and sibling in MODULES:
            found |= heavy(MODULES[sibling])
    return found


PLANNING = frozenset({"torch", "torchvision", "numpy", "pandas", "skimage", "PIL"})
BESIDE_TORCH = frozenset({"skimage", "scipy", "matplotlib", "pyarrow"})
UNLOADED = {
    **dict.fromkeys(("config.geometry", "config.catalogue", "config.run"), PLANNING),
    **dict.fromkeys(("config.settings", "errors", "system.files"), PLANNING),
    **dict.fromkeys(("imaging.inspection", "commands.job", "commands.watch"), PLANNING),
    "figures.grids": {"torch", "matplotlib"},
    # A machine with a GPU may have little more than torch.
    **dict.fromkeys(("method.transfer", "cells.pair"), BESIDE_TORCH),
    "network.provision": {"h5py"},
}


@pytest.mark.parametrize("name", UNLOADED)
def test_a_module_is_quick_to_load_for_what_starts_often(name):
    assert not heavy(MODULES[name]) & UNLOADED[name]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_only_connects_the_package_to_snakemake(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_SCRIPT
    assert not list(functions(path)), "testable code belongs in the package"
    outside = {name for name in imported(tree(path)) if not name.startswith("nst")}
    assert outside <= {"pathlib", "torch"}
    assert "commands.job" in siblings(path), "it reports a mistake in one line, also in the log"


def test_every_script_belongs_to_a_rule():
    text = "".join(path.read_text(encoding="utf-8") for path in RULES)
    used = set(re.findall(r'"\.\./scripts/(\w+\.py)"', text))
    assert used == {path.name for path in SCRIPTS}


def test_the_workflow_knows_every_extractor():
    text = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    assert 'fetched="|".join(PUBLISHED)' in text
    assert set(get_args(PublishedName)) == set(get_args(ExtractorName)) - {"kmeans"}


# ---------------------------------------------------------------- form


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_function_is_longer_than_a_screen(path):
    lengths = {function.name: body_length(function) for function in functions(path)}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_BODY} == {}


def test_no_module_is_a_drawer_for_everything():
    names = {part for name in MODULES for part in name.split(".")}
    assert not names & {"utils", "util", "misc", "helpers", "helper", "common", "tools"}


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda path: path.name)
def test_only_the_entry_points_leave_the_process(path):
    if path.stem in ("cli", "job"):
        return
    for one in ast.walk(tree(path)):
        if isinstance(one, ast.Call):
            assert ast.unparse(one.func) not in ("sys.exit", "exit", "quit", "os._exit", "print")
