"""Malformed image files: each is read, or refused in one clear line.

The files are damaged copies of valid files and harmful ones: files that expand to far more than
their size, and paths that are not files.
"""

import json
import os
import re
import socket
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import bounds
import numpy as np
import pytest
from bounds import GIB, fuzzed, run_and_measure
from hypothesis import given
from hypothesis import strategies as st
from image_files import encoded, orientation_exif, picture, rgb_profile
from PIL import Image, ImageCms

from nst.cells.cell import TEXT_KEY, read_record
from nst.errors import CellError, ImageError
from nst.imaging import opening
from nst.imaging.images import load_image, read_png_text, read_size, save_png
from nst.imaging.opening import MAX_MEGAPIXELS, MAX_MEGAPIXELS_OF

Image.init()
refusal = partial(bounds.refusal, ImageError)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RULE = re.compile(r"\b(must|may|needs at least|cannot)\b")
REMEDY = re.compile(
    r"(Export it|Fetch or export it again|Scale it down|Use a larger one|Crop it|Check the path|"
    r"Name a file in it|Save it first|Make the file readable|Rescale them)"
)


def check_form(message: str, path: Path) -> None:
    """Check for one printable line that begins with the file and ends with the remedy."""
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    assert RULE.search(message), message
    assert REMEDY.search(message), message


# ---------------------------------------------------------------- damage

RGBA = Image.merge("RGBA", [*picture().split(), picture().getchannel("R")])
FRAMES: dict[str, object] = {
    "save_all": True,
    "append_images": [picture().rotate(90 * i) for i in range(3)],
}
SOUND = {
    "PNG": encoded(RGBA, "PNG", icc_profile=SRGB, exif=orientation_exif(6)),
    "palette PNG": encoded(picture().quantize(16), "PNG", transparency=3),
    "16-bit PNG": encoded(Image.fromarray(np.arange(1920, dtype=np.uint16).reshape(40, 48)), "PNG"),
    "animated PNG": encoded(picture(), "PNG", **FRAMES),
    "JPEG": encoded(picture(), "JPEG", icc_profile=SRGB, exif=orientation_exif(6)),
    "progressive JPEG": encoded(picture(), "JPEG", progressive=True),
    "CMYK JPEG": encoded(picture().convert("CMYK"), "JPEG"),
    "WebP": encoded(RGBA, "WEBP", icc_profile=SRGB, exif=orientation_exif(6)),
    "lossless WebP": encoded(picture(), "WEBP", lossless=True),
    "animated WebP": encoded(picture(), "WEBP", **FRAMES),
    "TIFF": encoded(RGBA, "TIFF", icc_profile=SRGB, exif=orientation_exif(6)),
    "LZW TIFF": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "deflated TIFF": encoded(picture(), "TIFF", compression="tiff_adobe_deflate"),
    "JPEG TIFF": encoded(picture(), "TIFF", compression="jpeg"),
    "pages of TIFF": encoded(picture(), "TIFF", **FRAMES),
    "float TIFF": encoded(picture().convert("F").point(lambda level: level / 255), "TIFF"),
    "GIF": encoded(picture(), "GIF", **FRAMES),
    "BMP": encoded(picture(), "BMP"),
    "PPM": encoded(picture(), "PPM"),
    "JPEG 2000": encoded(picture(), "JPEG2000"),
    "HEIC": encoded(picture(), "HEIF", icc_profile=SRGB, exif=orientation_exif(6).tobytes()),
    "HEIC with alpha": encoded(RGBA, "HEIF"),
    **({"AVIF": encoded(picture(), "AVIF", speed=10)} if "AVIF" in Image.SAVE else {}),
}
MARKS = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xd8\xff\xda"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return a valid file with bytes changed, cut out, inserted, repeated, or from another file."""
    content = bytearray(SOUND[draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, 200) | st.integers(0, len(content)))
        length = draw(st.sampled_from([1, 2, 4, 4, 30]))
        other = SOUND[draw(st.sampled_from(sorted(SOUND)))]
        put = draw(
            st.binary(min_size=1, max_size=length)
            | st.sampled_from([*MARKS, b"", other[place : place + 30], bytes(content[:200])])
        )
        content[place : place + length] = put
    return bytes(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "strange.img"


@pytest.mark.parametrize("kind", SOUND)
def test_the_files_to_be_damaged_are_sound(path, kind):
    path.write_bytes(SOUND[kind])
    assert sorted(load_image(path).size) == sorted(read_size(path)) == [40, 48]


@pytest.mark.slow
@fuzzed(1500)
@given(damaged())
def test_a_damaged_file_gives_a_picture_or_one_clear_line(path, content):
    path.write_bytes(content)
    with mock.patch.object(opening, "MAX_MEGAPIXELS", 4):  # so that a forged size costs no time
        for use in (load_image, read_size, read_png_text):
            message = refusal(use, path)
            if message:
                check_form(message, path)


# ---------------------------------------------------------------- kinds

FOREIGN = {
    "SVG": (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9"/>', "SVG"),
    "bare SVG": (b'\n <svg width="9"/>', "SVG"),
    "PSD": (b"8BPS\0\x01" + b"\0" * 100, "PSD"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 50, "JPEG XL"),
    "bare JPEG XL": (b"\xff\x0a" + b"\x55" * 50, "JPEG XL"),
    "a film": (b"\0\0\0\x18ftypisom\0\0\0\0", "a film"),
    "a film of Matroska": (b"\x1a\x45\xdf\xa3" + b"\0" * 50, "a film"),
    "an archive": (b"PK\x03\x04" + b"\0" * 50, "an archive"),
    "a page": (b"<!DOCTYPE html><html><svg></svg>", "a web page"),
    "PDF": (b"%PDF-1.7\n" + b"\0" * 50, "a document"),
    "EPS, which ghostscript would run": (
        b"%!PS-Adobe EPSF-3.0\n%%BoundingBox: 0 0 48 40",
        "a document",
    ),
    "an icon": (encoded(RGBA, "ICO", sizes=[RGBA.size]), "of another format, or damaged"),
    "a text": (b"Dear diary" * 20, "of another format, or damaged"),
    "the name of a format": (b"GIF" * 20, "of another format, or damaged"),
}


@pytest.mark.parametrize(("content", "kind"), FOREIGN.values(), ids=FOREIGN)
def test_another_kind_of_file_is_refused_by_its_name(path, content, kind):
    path.write_bytes(content)
    message = refusal(load_image, path)
    check_form(message, path)
    assert "must be one of PNG, JPEG, " in message
    assert f"it is {kind}" in message
    assert "Export it as PNG." in message


NO_FILES = {
    **dict.fromkeys(("absent.png", "dangling.png"), "there is no such file. Check the path"),
    **dict.fromkeys(
        ("pipe.png", "to a pipe.png", "listening.png", "endless.png", "/dev/zero"),
        "must be a regular file; it is a device or a pipe. Save it first",
    ),
    "folder.png": "must be an image file; it is a directory. Name a file",
    "empty.png": "it has 0 bytes. Fetch or export it again",
    "/proc/self/mem": "it has 0 bytes",
    **dict.fromkeys(("loop.png", "a\0b", "x" * 5000), ""),
}


def test_what_is_no_file_with_content_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("pipe.png")
    os.symlink("loop.png", "loop.png")
    os.symlink("nowhere", "dangling.png")
    os.symlink("/dev/zero", "endless.png")
    os.symlink("pipe.png", "to a pipe.png")
    os.mkdir("folder.png")
    Path("empty.png").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("listening.png")
        for name, rule in NO_FILES.items():
            for use in (load_image, read_size, read_png_text):
                message = refusal(use, Path(name))
                assert message.isprintable()
                assert rule in message
                assert REMEDY.search(message), message


def test_a_name_cannot_give_orders_to_the_terminal(tmp_path, caplog):
    path = tmp_path / "a\x1b[2J\nb.gif"
    path.write_bytes(SOUND["GIF"])
    load_image(path)
    assert r"a\x1b[2J b.gif: has several frames" in caplog.text
    path.write_bytes(b"nothing")
    assert r"a\x1b[2J b.gif: must be one of" in refusal(load_image, path)


# ---------------------------------------------------------------- bombs

READ = """
import sys
from pathlib import Path
from nst.errors import ImageError
from nst.imaging.images import load_image, save_png
try:
    save_png(load_image(Path(sys.argv[1]), keep_alpha=True), Path(sys.argv[1] + ".prepared"))
    print("read")
except ImageError as error:
    print(error)
"""


def read_elsewhere(path: Path) -> str:
    """Prepare an image as the workflow does, in a separate process; return its output."""
    said, peak = run_and_measure(READ, path)
    assert peak < GIB, "it must use less than 1 GiB"
    return said.strip()


pack = struct.Struct("<I").pack
STRIPS = struct.pack("<HH", 273, 4)  # the tag of a TIFF, and the type of its values
EXIF_OF_MANY = b"II*\0\x08\0\0\0\xff\xff" + b"\x0e\x01\2\0\1\0\0\0x\0\0\0" * 65535
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "large EXIF": (
        lambda: encoded(picture(), "PNG", exif=b"II*\0" + bytes(2**27)),
        "bytes of metadata; got",
    ),
    "many EXIF tags": (lambda: encoded(picture(), "PNG", exif=EXIF_OF_MANY), "read"),
    "JPEG of 100,000 scans": (
        lambda: encoded(picture(), "JPEG") + b"\xff\xda" * 100_000,
        "at most 1000 scans; got 100001",
    ),
    "TIFF of 40 million strips": (
        lambda: encoded(picture(), "TIFF").replace(STRIPS + pack(1), STRIPS + pack(4 * 10**7)),
        "may have at most 150000 values in tag 273; got 40000000",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("make", "told"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_does_no_harm(tmp_path, make, told):
    path = tmp_path / "bomb.img"
    path.write_bytes(make())
    said = read_elsewhere(path)
    assert told in said, said
    if said != "read":
        check_form(said, path)


def test_the_settings_in_a_strange_picture_do_no_harm_either(tmp_path, nst):
    path = tmp_path / "strange.png"
    save_png(picture(), path, {TEXT_KEY: "[" * 100_000})
    with pytest.raises(CellError, match="no record of nst; only pictures that nst wrote have one"):
        read_record(path)
    save_png(picture(), path, {TEXT_KEY: r'{"title": "\ud800 \u001b[2J"}'})
    status, out, _ = nst("show", path)
    assert (status, json.loads(out)) == (0, {"title": "\ud800 \x1b[2J"})


# ---------------------------------------------------------------- the largest readable files


def largest(kind: str, mode: str, **options: object) -> bytes:
    """Return a blank picture of the most megapixels that a format may have."""
    most = MAX_MEGAPIXELS_OF.get(kind, MAX_MEGAPIXELS)
    side = int((most * 1e6) ** 0.5)
    return encoded(Image.new(mode, (side, side), (90, 80, 70, 60)), kind, **options)


TURNED = {"icc_profile": rgb_profile(1.0), "exif": orientation_exif(6), "compress_level": 1}
LARGEST: dict[str, Callable[[], bytes]] = {
    "PNG that needs every conversion": lambda: largest("PNG", "RGBA", **TURNED),
    "progressive JPEG": lambda: largest("JPEG", "CMYK", progressive=True, quality=5),
    "WebP": lambda: largest("WEBP", "RGBA", method=0, quality=5),
    "JPEG 2000": lambda: largest("JPEG2000", "RGBA"),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", LARGEST.values(), ids=LARGEST)
def test_the_largest_pictures_are_prepared_in_less_than_a_gibibyte(tmp_path, make):
    path = tmp_path / "large.img"
    path.write_bytes(make())
    assert read_elsewhere(path) == "read"
