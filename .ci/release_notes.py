"""Print the section of CHANGELOG.md for a tag such as v0.1.0; fail if there is none."""

import re
import sys
from pathlib import Path

tag = sys.argv[1]
sections = re.split(
    r"^## \[(.+?)\].*\n", Path("CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE
)
texts = dict(zip(sections[1::2], sections[2::2], strict=True))
if not re.fullmatch(r"v\d.*", tag) or tag[1:] not in texts:
    sys.exit(f"CHANGELOG.md has no section for {tag}: write ## [{tag.removeprefix('v')}] - DATE")
print(texts[tag[1:]].strip())
