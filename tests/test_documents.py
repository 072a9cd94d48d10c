"""The documents, held to what they speak of."""

from __future__ import annotations

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


def test_the_tests_that_the_faults_name_are_there():
    named = re.findall(r"`(?:slurm/)?(test_\w+\.py)`", RELIABILITY)
    assert len(named) > 15
    assert set(named) <= set(TESTS)


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
