"""Files that are no images, or too large, or damaged: refused in one line."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from image_files import (
    AVIF,
    HEIGHT,
    WIDTH,
    chunk,
    encoded,
    picture,
    plain,
    png_header,
    read,
)
from PIL import Image, PngImagePlugin

from nst.errors import ImageError
from nst.imaging import images, opening
from nst.imaging.images import load_image, read_png_text, read_size
from nst.imaging.opening import MAX_MEGAPIXELS

SMALL = [(31, 400), (400, 31), (1, 1), (1, 10_000), (10_000, 1)]

# ---------------------------------------------------------------- refusals


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.png: .* there is no such file\. Check the path"):
        load_image(tmp_path / "absent.png")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"must be an image file; it is a directory\. Name a file"):
        load_image(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"pipe\.png: must be a regular file; .* Save it first"):
        load_image(tmp_path / "pipe.png")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"picture\.bin: .* 0 bytes\. Fetch or export it again"):
        read(tmp_path, b"")


@pytest.mark.parametrize("content", [b"Dear diary", b"\0\1\2", b"GIF"])
def test_what_is_not_an_image_is_refused(tmp_path: Path, content: bytes) -> None:
    rule = r"photo\.jpg: must be one of PNG, JPEG, .*; its content is none, .*\. Export it as PNG\."
    with pytest.raises(ImageError, match=rule):
        read(tmp_path, content * 20, "photo.jpg")


def test_only_listed_formats_are_read(tmp_path: Path) -> None:
    """Pillow could read an icon or an EPS; the latter by running ghostscript."""
    assert not {"EPS", "PSD", "WMF"} & set(opening.FORMATS)
    with pytest.raises(ImageError, match="must be one of PNG"):
        read(tmp_path, encoded(plain("RGBA", 0), "ICO", sizes=[(WIDTH, HEIGHT)]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "JPEG2000", "WEBP", *AVIF])
def test_half_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"half\.img: .*(Fetch or export it again|Export it as)"):
        read(tmp_path, content[: len(content) // 2], "half.img")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    denied = mock.patch.object(Path, "open", side_effect=PermissionError(13, "Permission denied"))
    (tmp_path / "secret.png").write_bytes(encoded(picture(), "PNG"))
    rule = r"secret\.png: cannot be opened \(Permission denied\)\. Make the file readable\."
    with denied, pytest.raises(ImageError, match=rule):
        load_image(tmp_path / "secret.png")


@pytest.mark.parametrize(
    "error", [MemoryError(), EOFError(), SyntaxError("odd\nheader"), struct.error("x"), KeyError(3)]
)
def test_whatever_pillow_raises_is_one_line_about_the_file(
    tmp_path: Path, error: Exception
) -> None:
    broken = mock.patch.object(PngImagePlugin.PngImageFile, "load", side_effect=error)
    with broken, pytest.raises(ImageError, match=r"picture\.bin: cannot be read as") as caught:
        read(tmp_path, encoded(picture(), "PNG"))
    assert "\n" not in str(caught.value)
    assert "()" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("ours", ["check_header", "refuse_scans", "_upright", "to_srgb"])
def test_our_own_defects_are_not_blamed_on_the_file(tmp_path: Path, ours: str) -> None:
    broken = mock.patch.object(images, ours, side_effect=ZeroDivisionError)
    with broken, pytest.raises(ZeroDivisionError):
        read(tmp_path, encoded(picture(), "JPEG"))


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """A PNG with a chunk more, after its header and palette."""
    place = content.index(b"IDAT") - 4
    return content[:place] + chunk(kind, data) + content[place:]


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_text_that_poses_as_transparency_is_refused(tmp_path: Path, mode: str) -> None:
    content = encoded(picture().convert(mode), "PNG")
    forged = with_chunk(content, b"tEXt", b"transparency\0none")
    with pytest.raises(ImageError, match=r"picture\.bin: cannot be read as an image"):
        read(tmp_path, forged)


def test_more_transparency_than_colours_is_refused(tmp_path: Path) -> None:
    content = encoded(picture().quantize(16), "PNG")
    with pytest.raises(ImageError, match=r"picture\.bin: cannot be read as an image"):
        read(tmp_path, with_chunk(content, b"tRNS", bytes(400)))


def test_the_text_of_a_png_is_read_without_its_pixels(tmp_path: Path) -> None:
    images.save_png(picture(), tmp_path / "result.png", {"nst": "{}"})
    whole = (tmp_path / "result.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: whole.index(b"IDAT") + 20])
    assert read_png_text(tmp_path / "cut.png", "nst") == {"nst": "{}"}


def test_a_text_after_the_pixels_is_found_among_others(tmp_path: Path) -> None:
    content = encoded(picture(), "PNG")
    place = content.index(b"IEND") - 4
    text = chunk(b"tEXt", b"nst\0{}")
    content = content[:place] + text + content[place:]
    (tmp_path / "saved anew.png").write_bytes(with_chunk(content, b"tEXt", b"Software\0GIMP"))
    found = read_png_text(tmp_path / "saved anew.png", "nst")
    assert found == {"Software": "GIMP", "nst": "{}"}


def test_a_line_break_in_a_file_name_does_not_break_the_message(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="two lines"):
        load_image(tmp_path / "two\nlines")


@pytest.mark.parametrize("side", [10_001, 30_000])  # ours; Pillow's own limit
@pytest.mark.parametrize("use", [load_image, read_png_text])
def test_an_absurdly_large_image_is_refused_by_its_header(
    tmp_path: Path, side: int, use: Callable[[Path], object]
) -> None:
    (tmp_path / "picture.bin").write_bytes(png_header(side, side))
    rule = rf"picture\.bin: may have at most {MAX_MEGAPIXELS} megapixels; .* Scale it down\."
    with pytest.raises(ImageError, match=rule):
        use(tmp_path / "picture.bin")


@pytest.mark.parametrize(
    ("size", "rule"),
    [
        *(((w, h), "needs at least 32 px per side; got {}. Use a larger one.") for w, h in SMALL),
        ((32, 513), "may be at most 16 times as long as wide; got {}. Crop it."),
        ((10_000, 32), "may be at most 16 times as long as wide; got {}. Crop it."),
    ],
)
@pytest.mark.parametrize("use", [load_image, read_size])
def test_a_strange_size_is_refused(tmp_path: Path, size, rule, use) -> None:
    path = tmp_path / "picture.bin"
    path.write_bytes(encoded(Image.new("RGB", size), "PNG"))
    with pytest.raises(ImageError) as caught:
        use(path)
    assert str(caught.value) == f"{path}: {rule.format('{}x{}'.format(*size))}"


@pytest.mark.parametrize("size", [(32, 32), (32, 512), (512, 32)])
def test_sizes_at_the_limits_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read(tmp_path, encoded(Image.new("RGB", size), "PNG")).size == size


def test_pillows_warnings_go_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The tests turn Python warnings into errors, so one that surfaced would fail here."""
    content = encoded(picture(), "PNG", exif=b"II*\0\x08\0\0\0\xff\xff12345")
    read(tmp_path, content)
    assert "picture.bin: Pillow says: Corrupt EXIF data" in caplog.text
