"""The site of the documents: ``make site`` collects the pages and builds ``.site/html``.

Pages and linked files keep their relative paths, so a link works both in the repository and on the
site. A broken link fails the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / ".site"


def main() -> None:
    """Build the site; fail on warnings."""
    shutil.rmtree(SITE, ignore_errors=True)
    for page in pages():
        for file in (page, *linked(page)):
            copy = SITE / "pages" / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    shutil.copy(ROOT / "docs" / "zensical.toml", SITE)
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict"]
    sys.exit(subprocess.run(command, cwd=SITE, check=False).returncode)


def pages() -> list[Path]:
    """List the documents."""
    folders = [ROOT / one for one in ("", "docs", "config", "results", "benchmarks")]
    return [page for folder in folders for page in sorted(folder.glob("*.md"))]


def linked(page: Path) -> Iterator[Path]:
    """Yield the files that a page links to or shows."""
    text = page.read_text("utf-8")
    for target in re.findall(r'\]\(([^)#\s]+)|src="([^"]+)"', text):
        file = (page.parent / "".join(target)).resolve()
        if file.is_file():
            yield file


if __name__ == "__main__":
    main()
