"""Wrong configurations: each is accepted, or refused in one clear line."""

import copy
import datetime
import itertools
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial, reduce
from glob import glob
from pathlib import Path
from typing import Any

import bounds
import pytest
import yaml
from bounds import bounded, fuzzed
from configurations import WEIGHTS, config
from conftest import paint
from hypothesis import example, given
from hypothesis import strategies as st
from workflow_runs import ROOT, snakemake

from nst.config.catalogue import read_catalogue
from nst.config.documents import MOST_BYTES, load_schema
from nst.config.names import checked_name, find_files
from nst.config.run import read_file, read_run
from nst.errors import LONGEST, ConfigError
from nst.imaging.inspection import inspect_run

CATALOGUE = read_catalogue()
refusal = partial(bounds.refusal, ConfigError)
KEYS = "|".join(load_schema()["properties"])
FORM = re.compile(rf"(the configuration|({KEYS})\b|start: file|unknown setting|style '|content ')")
# A message has a rule, such as what a value must be, and a remedy. A rule that gives the allowed
# values, as "seed must be a whole number from 0 to 2^63 - 1", is also the remedy.
RULE = re.compile(
    r"\b(must|may|needs?|are named|is missing|unknown|twice|again|is there|cannot|"
    r"all weights are 0|neither|does not exist|is not a|is not valid|is nested|has too many|has no|"
    r"no file matches|leave it out|both 0|give both|too narrow)\b"
)
REMEDY = re.compile(
    r"\b(must be|give|use|rename|correct|write|save|remove|check|split|shorten|reword|raise|leave|"
    r"the keys are|did you mean|paths are relative|it has|the recipes are|it is|put it in|name a|"
    r"layers are|needs start_file|put some there)\b",
    re.IGNORECASE,
)


pytestmark = pytest.mark.usefixtures("folder")


def check_form(message: str, start: re.Pattern[str] = FORM) -> None:
    """Check for one printable line of bounded length, with its place, rule and remedy."""
    assert message == message.strip()
    assert message.isprintable(), repr(message)
    assert len(message) <= LONGEST + 100
    assert start.match(message), message
    assert RULE.search(message), message
    assert REMEDY.search(message), message


# ---------------------------------------------------------------- misplaced values

HOSTILE = [
    *("", " ", "~", "null", "yes", "No", "1e-3", "1_000", "0x1F", "1:30:00", "2020-01-01", "<<"),
    *("../x", "/etc/passwd", "..", ".", "-rf", "--help", "$(touch canary)", "`id`", "a;b", "a|b"),
    *('a"b', "a'b", "a\nb", "a\rb", "a\tb", "a\0b", "a\x1b[2Jb", "\u202eabc", "\ud800", "~\ud800"),
    *("🎨", "é", "e\u0301", "\ufb01", "CON", "nul.txt", "com¹", "con .x", "a.", "a ", "LPT9"),
    *("{content}", "{{}}", "{", "}", "%s", "%(x)s", "*", "**", "?", "[a]", "**/*", "a" * 300),
    *("</script>", "<b>", "$x^2$", "=1+1", "@cmd", "x" * 5000, "𠀀" * 80, "~root/x.png", "~\0"),
    *("chelsea", "relu4_2", "conv1_1", "vgg19", "kmeans", "tensorflow", "photos/cat.png", "cuda:9"),
    *("http://example.org/x", "https://example.org/x", "ftp://x", "http://[x", "file:///etc"),
]
NUMBERS = [
    *(0, -1, 1, 31, 32, 8192, 8193, 10**6, 2**63, 2**64, -(2**63), 10**400, True, False),
    *(0.0, -0.0, 5e-324, 1e-13, 1e-12, 1e12, 1e13, 1e308, float("nan"), float("inf"), 0.1, 64.0),
]
ONLY_YAML: list[object] = [
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), b"bytes"),
    *((1, 2), 1 + 2j, {1, 2}, os.system, Decimal("NaN"), Path("x"), range(3), object()),
]
scalars = (
    st.sampled_from(HOSTILE)
    | st.sampled_from(NUMBERS)
    | st.sampled_from(ONLY_YAML)
    | st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Mn"]), max_size=5)
)
keys = st.sampled_from([*HOSTILE, *KEYS.split("|"), "path", "name", "title", "alpha", "every"])
nested = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(keys | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


LOOP: list[object] = []
LOOP += [LOOP] * 10  # holds itself
LARGE: dict[str, object] = {
    "900 deep": reduce(lambda inner, _: [inner], range(900), "chelsea"),
    "a number of 4,000 digits": 10**3999,
    "a loop": LOOP,
    "many numbers": list(range(500)),
    "many keys": {f"k{number}": 1 for number in range(500)},
    "many empty mappings": [{}] * 300,
    "much text": ["x" * 4000] * 300,
    "too many numbers": [1e-3] * 100_000,
    "many ratios": [f"1.{number}" for number in range(1000, 1300)],
    "many images": [{"path": "photos/cat.png", "name": f"n{number}"} for number in range(100)],
    "many weightings": {f"w{number}": WEIGHTS for number in range(50)},
}


class Large(str):
    """Names an item of ``LARGE``, because Hypothesis would write out the item itself."""


def filled(value: Any) -> Any:
    """Replace each name of a large value by the value."""
    if isinstance(value, Large):
        return LARGE[value]
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


anything = nested | st.sampled_from(sorted(LARGE)).map(Large)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """List the path of every item in a nested value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [((*path, key), one) for key, one in items]
    below = (places(one, key) for key, one in inner if isinstance(one, dict | list))
    return [*(key for key, _ in inner), *itertools.chain(*below)]


PLACES = places(config())
CHANGES = ["put", "put", "put", "again", "move", "rename", "drop"]


@st.composite
def mutations(draw: st.DrawFn) -> dict[str, object]:
    """Replace, repeat, rename or drop one to three values of a valid configuration."""
    changed = config()

    def at(path: Sequence[object]) -> Any:
        return reduce(lambda inner, step: inner[step], path, changed)  # type: ignore[index]

    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(PLACES))
        with suppress(LookupError, TypeError, AttributeError):  # an earlier change removed it
            inner = at(above)
            match draw(st.sampled_from(CHANGES)):
                case "put":
                    inner[last] = draw(anything)
                case "again":
                    one = inner[last] if isinstance(inner[last], list) else [inner[last]]
                    inner[last] = one * draw(st.sampled_from([2, 3, 50]))
                case "move":
                    inner[last] = copy.deepcopy(at(draw(st.sampled_from(PLACES))))
                case "rename":
                    inner[draw(keys | scalars)] = inner.pop(last)
                case "drop":
                    del inner[last]
    return changed


@pytest.mark.slow
@fuzzed(1500)
@given(mutations())
@example(config(iterations_scale=float("nan")))
@example(config(style_scale=1 + 2j))
@example(config(seed=Large("a number of 4,000 digits")))
@example(config(ratios=[Large("a number of 4,000 digits")]))
@example(config(contents=["~\ud800/x.png"]))
@example(config(contents=["~\0.png"]))
@example(config(snapshots={"every": 1}, iterations=100_000))
@example(config(contents=Large("a loop")))
@example(config(mirror="http://[x"))
def test_any_configuration_is_used_or_refused_in_one_clear_line(changed):
    if message := refusal(lambda: read_run(filled(changed), CATALOGUE)):
        check_form(message)


# ---------------------------------------------------------------- files

FRAGMENTS = [
    *("&a ", "*a", "<<: *a", "<<: [*a, *a]", "!!python/object/apply:os.system [touch canary]"),
    *("!!python/name:os.system", "!!python/tuple [1]", "!!binary x", "!!set {a}", "!!float ."),
    *("---\n", "...\n", "%YAML 9.9\n", "%TAG ! x\n", "? ", ": ", "- ", "[", "]", "{", "}", "|"),
    *("\t", "\r\n", "\0", "\x85", "\u2028", "\ufeff", "'", '"', '"\\ud800"', "#", "!!timestamp x"),
    *("__use_yte__: true\n", "?open('canary', 'w')\n", "2020-13-45", "1e-3", ".nan", "0o9", "1:99"),
    *("seed: 1\nseed: 2\n", "0x" + "f" * 3000, "[" * 200, "{a: " * 200, "a" * 5000, "- " * 300),
]
DUMPED = yaml.safe_dump(config(), allow_unicode=True)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Return the text of a valid configuration with a part inserted or removed."""
    text = DUMPED
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 0, 1, 10]))
        put = draw(st.sampled_from(FRAGMENTS) | st.text(max_size=5))
        text = text[:place] + put + text[place + cut :]
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=2)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content)


@pytest.mark.slow
@fuzzed(500)
@given(texts())
def test_any_file_is_used_or_refused_in_one_clear_line(folder, content):
    path = folder / "any.yaml"
    path.write_bytes(content)
    if message := refusal(lambda: read_run(read_file(path), CATALOGUE)):
        check_form(message, re.compile(rf"{re.escape(str(path))}|{FORM.pattern}"))
    assert not (folder / "canary").exists(), "nothing in a file may be executed"


def many_aliases(first: str, level: str) -> str:
    """Return ten levels that each refer to the previous level nine times."""
    lines = [f"- &a {first}"]
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        lines.append(f"- &{name} {level.format(', '.join([f'*{before}'] * 9))}")
    return "\n".join(["contents:", *lines])


BOMBS = {
    "aliases of aliases": many_aliases("[x]", "[{}]"),
    "merges of merges": many_aliases("{k: 1}", "{{<<: [{}]}}"),
    "a mapping merged with itself": "contents: &a {<<: *a}",
    "a list in itself": f"contents: &a [{'a,' * 100_000}*a]",
    "aliases in a key": many_aliases("[x]", "[{}]") + "\n? *j\n: 1",
    "a number of many digits": "seed: 0x" + "f" * 400_000,
    "brackets": "contents: " + "[" * 20_000,
    "brackets of JSON": '{"contents": ' + "[" * 400_000,
    "a long file": "contents: " + "a" * MOST_BYTES,
    "many keys": "\n".join(f"k{i}: 1" for i in range(5000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_file_that_stands_for_much_more_is_refused_in_time(folder, text):
    path = folder / "bomb.yaml"
    path.write_text(text)
    message = refusal(lambda: read_run(read_file(path), CATALOGUE))
    check_form(message, re.compile(rf"{re.escape(str(path))}|{FORM.pattern}"))


def test_what_is_no_file_is_refused_without_waiting_for_its_end(folder):
    os.mkfifo(folder / "pipe.yaml")
    for path in (folder / "pipe.yaml", Path("/dev/zero"), folder):
        assert refusal(read_file, path).startswith(f"{path} must be a regular file; save it")


# ---------------------------------------------------------------- patterns and names


@pytest.mark.slow
def test_a_pattern_does_not_search_the_whole_machine(folder):
    message = refusal(find_files, "contents", "/**/*.no-such-kind")
    assert "has too many files and folders to look at" in message
    assert "name a deeper folder" in message


def test_links_in_a_circle_are_entered_once(tmp_path):
    """Unlike ``glob``, which would take far too long here."""
    paint(tmp_path / "round/a/one.png")
    for place, to in (("round/a/up", ".."), ("round/b", "a"), ("round/self", "self")):
        (tmp_path / place).symlink_to(to)
    with bounded(seconds=10):
        found = find_files("contents", "round/**/*.png")
    assert {Path(one).resolve() for one in found} == {tmp_path / "round/a/one.png"}
    assert len(found) <= 4


def test_patterns_find_what_glob_finds(tmp_path):
    for name in (".hidden/x.png", "p/.x.png", "p/q/r/x.png", "p/q/[1].png", "p/x.jpg"):
        paint(tmp_path / name)
    patterns = ("p/*", "p/**/*.png", "**/x.*", "p/**", "p/.*", "*/q/*", "p/q/[1].png", "p/?.jpg")
    for pattern in patterns:
        wanted = {str(Path(one)) for one in glob(pattern.replace("[", "[[]"), recursive=True)}
        assert {str(Path(one)) for one in find_files("contents", pattern)} == wanted, pattern


@given(st.text(st.characters(categories=["L", "N", "P", "Z", "M"]), min_size=1, max_size=90))
def test_a_name_that_is_accepted_fits_into_a_path_everywhere(name):
    try:
        normal = checked_name("contents", name)
    except ConfigError as error:
        check_form(str(error))
        return
    assert len(f".{normal}-12345678.part".encode()) <= 255
    assert not set(normal) & set('<>:"/\\|?*{}$`;&\n\r\t\0')
    assert normal[0] not in ".- "
    assert normal[-1] not in ". "


# ---------------------------------------------------------------- the user's view


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("contents: [chelsea]\nsead: 1", "did you mean 'seed'?"),
        ("contents: [chelsea]\nseed: 1\nseed: 2", "line 4: the key"),
        (
            "contents: [narrow.png]\nimage_size: 64",
            "becomes 64x4 px, which is too narrow: relu3_1@1",
        ),
    ],
)
def test_snakemake_reports_a_mistake_in_one_line_and_fails(folder, text, expected):
    paint(folder / "narrow.png", size=(512, 32))
    (folder / "my config.yaml").write_text(f"styles: [rocket]\n{text}")
    run = snakemake(folder, "--dry-run")
    lines = [line for line in run.stdout.splitlines() if "workflow specific profile" not in line]
    assert run.returncode == 1
    assert len(lines) == 1, run.stdout
    assert lines[0].startswith("The configuration cannot be used. ")
    assert expected in lines[0]
    assert not (folder / "results").exists()


def test_a_configuration_is_checked_without_running_what_is_in_it(folder, nst):
    """Snakemake evaluates templates while it reads a configuration; `nst check` must not."""
    text = "__use_yte__: true\ncontents: [chelsea]\nstyles:\n- ?open('canary', 'w').name\n"
    (folder / "strange.yaml").write_text(text)
    status, _, err = nst("check", "strange.yaml")
    assert status == 1
    assert err.startswith("nst: the configuration: unknown key '__use_yte__'")
    assert not (folder / "canary").exists()


def test_a_sound_configuration_is_checked_without_starting_anything(folder, nst):
    before = list(folder.iterdir())
    status, out, _ = nst("check", ROOT / "config/config.yaml")
    assert status == 0
    assert "config.yaml is in order: 2 contents × 4 styles × 6 variants = 48 cells" in out
    assert list(folder.iterdir()) == before


# ---------------------------------------------------------------- too narrow for a layer


def weighted(**weights: float) -> dict[str, object]:
    """Return a weighting of this name for each weight of relu3_1."""
    return {
        name: {key: {"relu1_1": 1, "relu3_1": weight} for key in ("content", "style")}
        for name, weight in weights.items()
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"contents": ["narrow.png"], "image_size": 48}, "content 'narrow' becomes 48x4 px"),
        ({"styles": ["narrow.png"], "image_size": 48}, "style 'narrow' becomes 48x4 px"),
        ({"styles": ["narrow.png"], "image_size": 48, "size": "short_side"}, "becomes 48x4 px"),
        ({"contents": ["narrow.png"], "coarse_stages": [[48, 2]]}, "becomes 48x4 px"),
        ({"styles": ["narrow.png"], "image_size": 96, "style_scale": 0.5}, "becomes 48x4 px"),
        ({"styles": ["narrow.png"], "image_size": 48, "layers": weighted(a=1, b=0)}, "48x4 px"),
        ({"styles": ["narrow.png"], "image_size": 48, "layers": weighted(a=0, b=1)}, "48x4 px"),
        ({"contents": ["narrow.png"], "image_size": 48, "size": "short_side"}, ""),
        ({"styles": ["narrow.png"], "image_size": 48, "style_fit": "content"}, ""),
        ({"contents": ["narrow.png"], "image_size": [48, 48], "size": "exact"}, ""),
    ],
)
def test_an_image_too_narrow_for_a_layer_is_found_while_planning(folder, changes, expected):
    paint(folder / "narrow.png", size=(512, 40))
    paint(folder / "square.png", size=(100, 100))
    values = {"contents": ["square.png"], "styles": ["square.png"], "ratios": [1]}
    run = read_run({**values, "layers": weighted(a=1), **changes}, CATALOGUE)
    message = refusal(inspect_run, run)
    assert bool(message) == bool(expected)
    if expected:
        assert expected in message
        assert "relu3_1 needs at least 8 px per side; got 4" in message
        check_form(message)
