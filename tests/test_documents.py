"""The documents, held to what they speak of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text("utf-8")
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "config", "results")),
]


def named_tests() -> list[tuple[str, str]]:
    """List the tests that the table of faults names, as file and function."""
    named, file = [], ""
    for before, name in re.findall(r"`([^`]*?)::(test_\w+)[^`]*`", RELIABILITY):
        if before not in ("", "…"):
            file = before.rsplit("/", 1)[-1]
        named.append((file, name))
    return named


def test_the_table_of_faults_names_many_tests():
    assert len(set(named_tests())) > 80


@pytest.mark.parametrize(("file", "name"), sorted(set(named_tests())))
def test_a_fault_s_test_is_there(file: str, name: str):
    tree = ast.parse(TESTS[file].read_text("utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert any(one == name or (name.endswith("_") and one.startswith(name)) for one in names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file_and_a_heading(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = page if not path else page.parent / path
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


def headings(page: Path) -> set[str]:
    """List a page's headings as addresses spell them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
