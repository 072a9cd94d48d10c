"""Malformed image files: each is read, or refused in one clear line.

The files are damaged copies of valid files and harmful ones: files that expand to far more than
their size, and paths that are not files.
"""

import json
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import bounds
import numpy as np
import pytest
from bounds import GIB, fuzzed
from hypothesis import given
from hypothesis import strategies as st
from image_files import chunk, encoded, orientation_exif, picture, png_header, rgb_profile
from PIL import Image, ImageCms
from workflow_runs import run_python

from nst.cells.cell import TEXT_KEY, read_record
from nst.errors import ImageError
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
}


@pytest.mark.parametrize(("content", "kind"), FOREIGN.values(), ids=FOREIGN)
def test_another_kind_of_file_is_refused_by_its_name(path, content, kind):
    path.write_bytes(content)
    message = refusal(load_image, path)
    check_form(message, path)
    assert f"it is {kind}" in message
    assert "Export it as PNG." in message


def test_a_socket_a_device_a_loop_and_a_dangling_link_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("listening.png")
        os.mkfifo("pipe.png")
        os.symlink("loop.png", "loop.png")
        os.symlink("nowhere", "dangling.png")
        os.symlink("/dev/zero", "endless.png")
        os.symlink("pipe.png", "to a pipe.png")
        os.mkdir("folder.png")
        for name in (*sorted(os.listdir()), "/dev/zero", "/proc/self/mem", "a\0b", "x" * 5000):
            path = Path(name)
            for use in (load_image, read_size, read_png_text):
                message = refusal(use, path)
                assert message.isprintable()
                assert REMEDY.search(message), message


def test_a_name_cannot_give_orders_to_the_terminal(tmp_path, caplog):
    path = tmp_path / "a\x1b[2J\nb.gif"
    path.write_bytes(SOUND["GIF"])
    load_image(path)
    assert r"a\x1b[2J b.gif: has several frames" in caplog.text
    path.write_bytes(b"nothing")
    assert r"a\x1b[2J b.gif: must be one of" in refusal(load_image, path)


# ---------------------------------------------------------------- bombs

READ = r"""
import re, sys
from pathlib import Path
from nst.errors import ImageError
from nst.imaging.images import load_image, save_png
try:
    save_png(load_image(Path(sys.argv[1]), keep_alpha=True), Path(sys.argv[1] + ".prepared"))
    print("read")
except ImageError as error:
    print(error)
# Not getrusage, which counts what the process that started this one had.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(int(peak[1]) * 1024)
"""


def read_elsewhere(path: Path) -> str:
    """Prepare an image as the workflow does, in a separate process; return its output."""
    said, peak = run_python(READ, path).splitlines()
    assert int(peak) < GIB, "it must use less than 1 GiB"
    return said


def blank_png(width: int, height: int, colour_type: int = 2, *extra: bytes) -> bytes:
    """Return a whole PNG of one colour (1-bit grey, RGB or RGBA) without holding its rows."""
    bits = {0: 1, 2: 24, 6: 32}[colour_type]
    squeeze = zlib.compressobj(1)
    row = b"\0" * (1 + (width * bits + 7) // 8)
    rows = b"".join(squeeze.compress(row) for _ in range(height)) + squeeze.flush()
    head = struct.pack(">IIBBBBB", width, height, min(bits, 8), colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", head), *extra, chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    )


def zipped_chunk(kind: bytes) -> bytes:
    """Return a PNG with a chunk of 256 MiB of zeros, compressed."""
    squeeze = zlib.compressobj(9)
    zeros = b"".join(squeeze.compress(b"\0" * 2**20) for _ in range(256)) + squeeze.flush()
    return blank_png(64, 64, 2, chunk(kind, b"x\0\0" + zeros))


def frames_of_gif(count: int) -> bytes:
    """Return a GIF that repeats its second frame ``count`` times."""
    one = encoded(picture(), "GIF", **FRAMES)
    end = one.rindex(b"\x21\xf9\x04")
    return one[:end] + one[end:-1] * count + b";"


def pages_of_tiff(count: int, *, loop: bool = False) -> bytes:
    """Return a TIFF with ``count`` more directories, each pointing to the next, or a loop."""
    content = bytearray(encoded(picture(), "TIFF"))
    (first,) = struct.unpack("<I", content[4:8])
    (entries,) = struct.unpack("<H", content[first : first + 2])
    at = first + 2 + 12 * entries
    body = bytes(content[first:at])
    for _ in range(count):
        content[at : at + 4] = struct.pack("<I", len(content))
        content += body + b"\0\0\0\0"
        at = len(content) - 4
    if loop:
        content[at : at + 4] = content[4:8]
    return bytes(content)


def tiff_of_strips(count: int) -> bytes:
    """Return a TIFF that lists ``count`` strips for a picture of 40 rows."""
    tags = [
        *((256, 3, 1, 48), (257, 3, 1, 40), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)),
        *((273, 4, count, 200), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, count, 200)),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    return head.ljust(200, b"\0") + struct.pack("<I", 200) * count


EXIF_OF_MANY = b"II*\0\x08\0\0\0\xff\xff" + b"\x0e\x01\2\0\1\0\0\0x\0\0\0" * 65535
GIF_COMMENT = b"\x21\xfe" + (b"\xff" + b"x" * 255) * 400_000 + b"\0;"
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a declared size": (lambda: png_header(2**31 - 1, 2**31 - 1), f"have at most {MAX_MEGAPIXELS}"),
    "a zipped profile": (lambda: zipped_chunk(b"iCCP"), "read as an image (Decompressed"),
    "a zipped text": (lambda: zipped_chunk(b"zTXt"), "read as an image (Decompressed"),
    "large EXIF": (
        lambda: blank_png(64, 64, 2, chunk(b"eXIf", b"II*\0" + b"\0" * 2**27)),
        "bytes of metadata; got",
    ),
    "many EXIF tags": (lambda: encoded(picture(), "PNG", exif=EXIF_OF_MANY), "read"),
    "JPEG of 100,000 scans": (
        lambda: encoded(picture(), "JPEG") + b"\xff\xda" * 100_000,
        "at most 1000 scans; got 100001",
    ),
    "GIF of 5,000 frames": (lambda: frames_of_gif(5000), "read"),
    "TIFF of 50,000 pages": (lambda: pages_of_tiff(50_000), "read"),
    "TIFF that loops": (lambda: pages_of_tiff(0, loop=True), "read"),
    "TIFF of 40 million strips": (lambda: tiff_of_strips(4 * 10**7), ""),
    "a long GIF comment": (lambda: encoded(picture(), "GIF")[:-1] + GIF_COMMENT, ""),
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
    assert "has no record of nst; only pictures that nst wrote have one" in refusal(
        read_record, path
    )
    save_png(picture(), path, {TEXT_KEY: r'{"title": "\ud800 \u001b[2J"}'})
    status, out, _ = nst("show", path)
    assert (status, json.loads(out)) == (0, {"title": "\ud800 \x1b[2J"})


# ---------------------------------------------------------------- the largest readable files


def largest(kind: str, mode: str, **options: object) -> bytes:
    """Return a blank picture of the most megapixels that a format may have."""
    most = MAX_MEGAPIXELS_OF.get(kind, MAX_MEGAPIXELS)
    side = int((most * 1e6) ** 0.5)
    return encoded(
        Image.new(mode, (side, side), 77 if mode == "L" else (90, 80, 70, 60)[: len(mode)]),
        kind,
        **options,
    )


def turned_png() -> bytes:
    """Return a PNG with opacity, a profile and an orientation, which needs every conversion."""
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile(1.0)))
    return blank_png(8600, 8600, 6, profile, chunk(b"eXIf", orientation_exif(6).tobytes()[6:]))


LARGEST: dict[str, Callable[[], bytes]] = {
    "PNG": turned_png,
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
