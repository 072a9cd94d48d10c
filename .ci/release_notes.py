"""Print what CHANGELOG.md says of the release with a tag, as v0.1.0; fail if it says nothing."""

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
