"""Image files in; 8-bit sRGB pictures and tensors out."""

import io
import logging
import os
import runpy
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from nst.errors import ImageError
from nst.imaging import images
from nst.imaging.images import (
    MAX_MEGAPIXELS,
    fit_long_side,
    load_image,
    pixel_digest,
    read_png_text,
    save_png,
)
from nst.network import shapes
from nst.network.tensors import to_image, to_tensor

WIDTH, HEIGHT = 48, 40
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)

Image.init()
AVIF = ["AVIF"] if "AVIF" in Image.SAVE else []  # not in every build of Pillow

# ---------------------------------------------------------------- files to read


def picture() -> Image.Image:
    """A picture in which no two corners, channels or neighbours agree."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Image.fromarray(np.stack([x * 5, y * 6, (x * y) % 256], axis=-1).astype(np.uint8))


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), colour)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "picture.bin") -> Image.Image:
    path = folder / name
    path.write_bytes(content)
    return load_image(path)


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    """Every colour that occurs."""
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(values: np.ndarray, colour_type: int, *extra: bytes) -> bytes:
    """A 16-bit PNG, which Pillow cannot write in colour."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def tiff(strips: list[bytes], bits: list[int], photometric: int, planar: int = 1) -> bytes:
    """An uncompressed little-endian TIFF, for the layouts that Pillow reads but cannot write."""
    starts = np.cumsum([8, *(len(strip) for strip in strips)]).tolist()
    data, tail = b"".join(strips), b""
    entries = {
        256: [WIDTH],
        257: [HEIGHT],
        258: bits,
        259: [1],
        262: [photometric],
        273: starts[:-1],
        277: [len(bits)],
        278: [HEIGHT],
        279: [len(strip) for strip in strips],
        284: [planar],
    }
    after = starts[-1] + 2 + 12 * len(entries) + 4
    table = struct.pack("<H", len(entries))
    for tag, values in entries.items():
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) == 1:
            table += struct.pack("<HHI", tag, 4, 1) + packed
        else:
            table += struct.pack("<HHII", tag, 4, len(values), after + len(tail))
            tail += packed
    return struct.pack("<2sHI", b"II", 42, starts[-1]) + data + table + bytes(4) + tail


# ---------------------------------------------------------------- colour profiles


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc_profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC version 2 profile, written out by hand so that its effect is known."""
    names, body, table = list(tags), b"", struct.pack(">I", len(tags))
    for name in names:
        start = 128 + 4 + 12 * len(tags) + len(body)
        table += name + struct.pack(">II", start, len(tags[name]))
        body += tags[name] + bytes(-len(tags[name]) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(table + body), b"", 0x02100000, kind, space, connection
    )
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


def curve(gamma: float | None) -> bytes:
    """A power law; ``None``: sRGB's curve as a table, as most sRGB profiles in files have it."""
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    level = np.linspace(0, 1, 1024)
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *np.rint(linear * 65535).astype(int))


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + fixed(*values)


def rgb_profile(gamma: float | None, order: str = "rgb", off: float = 0) -> bytes:
    """sRGB's primaries (adapted to D50): in some order, under a gamma, red a little ``off``."""
    primaries = {
        "r": xyz(0.4361 + off, 0.2225, 0.0139),
        "g": xyz(0.3851, 0.7169, 0.0971),
        "b": xyz(0.1431, 0.0606, 0.7141),
    }
    tags = {f"{c}TRC".encode(): curve(gamma) for c in "rgb"}
    tags |= {f"{c}XYZ".encode(): primaries[p] for c, p in zip("rgb", order, strict=True)}
    return icc_profile(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc_profile(b"GRAY", b"XYZ ", {b"wtpt": xyz(0.9642, 1, 0.8249), b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """A press whose cyan ink is red: paper white, full cyan red, all else black."""
    grid = {(0, 0, 0, 0): (255, 128, 128), (1, 0, 0, 0): (138, 209, 198)}  # L a b
    corners = [tuple(int(bit) for bit in f"{index:04b}") for index in range(16)]
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += ramp * 4 + b"".join(bytes(grid.get(c, (0, 128, 128))) for c in corners) + ramp * 3
    return icc_profile(b"CMYK", b"Lab ", {b"A2B0": lut})


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_a_lossless_file_is_read_exactly(tmp_path: Path, kind: str) -> None:
    assert pixel_digest(read(tmp_path, encoded(picture(), kind))) == pixel_digest(picture())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000", *AVIF])
def test_a_lossy_file_is_read_closely(tmp_path: Path, kind: str) -> None:
    smooth = plain("RGB", (30, 120, 200))
    loaded = np.asarray(read(tmp_path, encoded(smooth, kind))).astype(int)
    assert np.abs(loaded - np.asarray(smooth)).max() <= 4


def test_a_lying_extension_does_not_matter(tmp_path: Path) -> None:
    assert colours(read(tmp_path, encoded(plain("RGB", RED), "PNG"), "photo.jpg")) == {RED}


def test_a_picture_carries_no_metadata(tmp_path: Path) -> None:
    content = encoded(picture(), "PNG", icc_profile=rgb_profile(1.0), dpi=(300, 300))
    loaded = read(tmp_path, content)
    assert (loaded.mode, loaded.info, dict(loaded.getexif())) == ("RGB", {}, {})


@pytest.mark.parametrize(("mode", "value"), [("L", 90), ("1", 1), ("I;16", 90 * 257)])
def test_grey_becomes_equal_channels(tmp_path: Path, mode: str, value: int) -> None:
    grey = 255 if mode == "1" else 90
    assert colours(read(tmp_path, encoded(plain(mode, value), "PNG"))) == {(grey, grey, grey)}


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    assert colours(read(tmp_path, encoded(plain("RGB", RED).quantize(4), "GIF"))) == {RED}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_subtracted_from_white(tmp_path: Path, kind: str) -> None:
    """A JPEG from Pillow is inverted, as Adobe's are; a TIFF is not. Both must read as cyan."""
    content = encoded(plain("CMYK", (255, 0, 0, 0)), kind)
    assert colours(read(tmp_path, content)) == {(0, 255, 255)}


def test_lab_is_converted(tmp_path: Path) -> None:
    ((red, green, blue),) = colours(read(tmp_path, encoded(plain("LAB", (138, 209, 198)), "TIFF")))
    assert red > 245
    assert max(green, blue) < 25


def test_a_phone_photograph_with_a_second_picture_gives_the_first_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = plain("RGB", (0, 0, 0)), plain("RGB", (255, 255, 255))
    content = encoded(first, "MPO", save_all=True, append_images=[second])
    assert colours(read(tmp_path, content)) == {BLACK}
    assert not caplog.records


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", *AVIF])
def test_an_animation_gives_its_first_frame_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    first, second = plain("RGB", (0, 0, 0)), plain("RGB", (255, 255, 255))
    content = encoded(first, kind, save_all=True, append_images=[second])
    assert colours(read(tmp_path, content)) == {BLACK}
    assert "picture.bin: has several frames; only the first is used." in caplog.text


# ---------------------------------------------------------------- orientation

STORED = {  # how a camera stores an upright scene under each EXIF orientation
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_turned_upright_once(
    tmp_path: Path, orientation: int, kind: str
) -> None:
    method = STORED[orientation]
    stored = picture() if method is None else picture().transpose(method)
    loaded = read(tmp_path, encoded(stored, kind, exif=orientation_exif(orientation)))
    assert loaded.size == (WIDTH, HEIGHT)
    assert pixel_digest(loaded) == pixel_digest(picture())


def test_a_rotated_phone_photograph_is_turned_upright(tmp_path: Path) -> None:
    """Held upright, most phones store the scene lying on its left side: orientation 6."""
    stored = plain("RGB", "white")
    ImageDraw.Draw(stored).rectangle(
        (0, 0, WIDTH // 2 - 1, HEIGHT), fill="black"
    )  # sky at the left
    loaded = read(tmp_path, encoded(stored, "JPEG", exif=orientation_exif(6)))
    assert loaded.size == (HEIGHT, WIDTH)
    assert loaded.getpixel((HEIGHT // 2, 2)) == BLACK
    assert loaded.getpixel((HEIGHT // 2, WIDTH - 3)) == WHITE


def test_a_turned_photograph_keeps_its_profile(tmp_path: Path) -> None:
    content = encoded(
        plain("RGB", RED), "PNG", exif=orientation_exif(6), icc_profile=rgb_profile(2.2, "bgr")
    )
    loaded = read(tmp_path, content)
    assert loaded.size == (HEIGHT, WIDTH)
    assert nearly(loaded, (0, 0, 255))


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff12345"])
def test_broken_exif_is_announced_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, exif: bytes
) -> None:
    content = encoded(picture(), "PNG", exif=exif)
    assert pixel_digest(read(tmp_path, content)) == pixel_digest(picture())
    assert "picture.bin" in caplog.text
    assert "EXIF" in caplog.text


# ---------------------------------------------------------------- depth


def test_sixteen_bit_grey_is_scaled_by_its_range_and_not_by_its_maximum(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), 64 * 257)
    values[0, 0] = 200  # rounds to 1; clipping would make it, like everything, 200 or white
    assert colours(read(tmp_path, png(values, 0))) == {(64, 64, 64), (1, 1, 1)}


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_grey_tiff_is_scaled_in_either_byte_order(tmp_path: Path, order: str) -> None:
    values = np.full((HEIGHT, WIDTH), 64 * 257).astype(order)
    assert colours(read(tmp_path, encoded(Image.fromarray(values), "TIFF"))) == {(64, 64, 64)}


def test_sixteen_bit_colour_png_is_scaled(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH, 3), (64 * 257, 0, 65535))
    assert colours(read(tmp_path, png(values, 2))) == {(64, 0, 255)}


def test_sixteen_bit_colour_tiff_is_scaled(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH, 3), (64 * 257, 0, 65535)).astype("<u2")
    content = tiff([values.tobytes()], bits=[16, 16, 16], photometric=2)
    assert colours(read(tmp_path, content)) == {(64, 0, 255)}


def test_sixteen_bit_planes_are_refused_because_pillow_misreads_them(tmp_path: Path) -> None:
    plane = np.full((HEIGHT, WIDTH), 64 * 257 + 5).astype("<u2").tobytes()
    content = tiff([plane] * 3, bits=[16, 16, 16], photometric=2, planar=2)
    with pytest.raises(ImageError, match=r"picture\.bin: must hold .* planes\. Export it with"):
        read(tmp_path, content)


def test_eight_bit_planes_are_read(tmp_path: Path) -> None:
    planes = [bytes([level]) * (WIDTH * HEIGHT) for level in (10, 20, 30)]
    content = tiff(planes, bits=[8, 8, 8], photometric=2, planar=2)
    assert colours(read(tmp_path, content)) == {(10, 20, 30)}


def test_twelve_bit_white_is_white(tmp_path: Path) -> None:
    content = tiff([b"\xff" * (WIDTH * HEIGHT * 3 // 2)], bits=[12], photometric=1)
    assert colours(read(tmp_path, content)) == {WHITE}


def test_sixteen_bit_grey_with_zero_as_white_is_inverted(tmp_path: Path) -> None:
    values = np.full((HEIGHT, WIDTH), 64 * 257).astype("<u2")
    content = tiff([values.tobytes()], bits=[16], photometric=0)
    assert colours(read(tmp_path, content)) == {(191, 191, 191)}


def test_integer_pixels_in_the_sixteen_bit_range_are_scaled(tmp_path: Path) -> None:
    assert colours(read(tmp_path, encoded(plain("I", 64 * 257), "TIFF"))) == {(64, 64, 64)}


@pytest.mark.parametrize("value", [-1, 65536])
def test_integer_pixels_out_of_range_are_refused(tmp_path: Path, value: int) -> None:
    rule = rf"picture\.bin: integer pixels must lie in 0 to 65535; got {value} to {value}\. Rescale"
    with pytest.raises(ImageError, match=rule):
        read(tmp_path, encoded(plain("I", value), "TIFF"))


def test_float_pixels_from_zero_to_one_are_scaled(tmp_path: Path) -> None:
    assert colours(read(tmp_path, encoded(plain("F", 0.4), "TIFF"))) == {(102, 102, 102)}


@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (200, "200"), (float("nan"), "nan")])
def test_float_pixels_out_of_range_are_refused(tmp_path: Path, value: float, shown: str) -> None:
    rule = (
        rf"picture\.bin: float pixels must lie in 0 to 1; got {shown} to {shown}\. Rescale them\."
    )
    with pytest.raises(ImageError, match=rule):
        read(tmp_path, encoded(plain("F", value), "TIFF"))


# ---------------------------------------------------------------- transparency


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (255, 0, 0, 0)), ("LA", (90, 0))])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_full_transparency_becomes_white_whatever_is_under_it(
    tmp_path: Path, mode: str, colour: tuple[int, ...], kind: str
) -> None:
    assert colours(read(tmp_path, encoded(plain(mode, colour), kind))) == {WHITE}


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("RGBA", (255, 0, 0, 51), (255, 204, 204)), ("LA", (0, 51), (204, 204, 204))],
)
def test_partial_transparency_is_mixed_with_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert colours(read(tmp_path, encoded(plain(mode, colour), "PNG"))) == {expected}


def test_a_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    indexed = plain("P", 1)
    indexed.putpalette([0, 0, 0, 255, 0, 0])
    assert colours(read(tmp_path, encoded(indexed, "PNG"))) == {RED}
    assert colours(read(tmp_path, encoded(indexed, "PNG", transparency=1))) == {WHITE}
    assert colours(read(tmp_path, encoded(indexed, "GIF", transparency=1))) == {WHITE}


def test_partly_transparent_palette_entries_are_mixed_with_white(tmp_path: Path) -> None:
    indexed = plain("P", 1)
    indexed.putpalette([0, 0, 0, 255, 0, 0])
    content = encoded(indexed, "PNG", transparency=bytes([255, 51]))
    assert colours(read(tmp_path, content)) == {(255, 204, 204)}


@pytest.mark.parametrize(("mode", "colour"), [("RGB", RED), ("L", 90), ("I;16", 400), ("1", 0)])
def test_a_transparent_colour_becomes_white(tmp_path: Path, mode: str, colour: object) -> None:
    content = encoded(plain(mode, colour), "PNG", transparency=colour)
    assert colours(read(tmp_path, content)) == {WHITE}


# ---------------------------------------------------------------- profiles


def nearly(image: Image.Image, colour: tuple[int, ...], tolerance: int = 3) -> bool:
    return bool(np.abs(np.asarray(image).astype(int) - colour).max() <= tolerance)


def linear_to_srgb(level: int) -> int:
    """The sRGB level (IEC 61966-2-1) of a linear 8-bit level."""
    value = level / 255
    return round(
        255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055)
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_an_rgb_profile_is_applied(tmp_path: Path, kind: str) -> None:
    content = encoded(plain("RGB", (0, 0, 255)), kind, icc_profile=rgb_profile(2.2, "bgr"))
    assert nearly(read(tmp_path, content), RED, tolerance=6)


def test_a_linear_profile_follows_the_srgb_curve(tmp_path: Path) -> None:
    content = encoded(plain("RGB", (64, 64, 64)), "PNG", icc_profile=rgb_profile(1.0))
    assert nearly(read(tmp_path, content), (linear_to_srgb(64),) * 3)


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_is_applied_to_every_kind_of_grey(tmp_path: Path, mode: str) -> None:
    value = {"L": 64, "LA": (64, 255), "I;16": 64 * 257}[mode]
    content = encoded(plain(mode, value), "PNG", icc_profile=grey_profile(1.0))
    assert nearly(read(tmp_path, content), (linear_to_srgb(64),) * 3)


def test_an_rgb_profile_on_a_grey_image_is_applied(tmp_path: Path) -> None:
    content = encoded(plain("L", 64), "PNG", icc_profile=rgb_profile(1.0))
    assert nearly(read(tmp_path, content), (linear_to_srgb(64),) * 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_cmyk_profile_is_applied(tmp_path: Path, kind: str) -> None:
    red = encoded(plain("CMYK", (255, 0, 0, 0)), kind, icc_profile=cmyk_profile())
    assert nearly(read(tmp_path, red), RED, tolerance=25)
    paper = encoded(plain("CMYK", (0, 0, 0, 0)), kind, icc_profile=cmyk_profile())
    assert nearly(read(tmp_path, paper), WHITE)


def test_a_profile_is_applied_before_transparency(tmp_path: Path) -> None:
    """Half black on white is 127 in sRGB; were 127 converted as linear light, it would be 188."""
    content = encoded(plain("RGBA", (0, 0, 0, 128)), "PNG", icc_profile=rgb_profile(1.0))
    assert nearly(read(tmp_path, content), (127, 127, 127))


def test_a_palette_is_looked_up_before_its_profile(tmp_path: Path) -> None:
    indexed = plain("P", 1)
    indexed.putpalette([0, 0, 0, 64, 64, 64])
    content = encoded(indexed, "PNG", icc_profile=rgb_profile(1.0))
    assert nearly(read(tmp_path, content), (linear_to_srgb(64),) * 3)


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(None, off=0.0005),
    ],
    ids=["exact", "rounded"],
)
def test_an_srgb_profile_leaves_every_byte_alone(tmp_path: Path, profile: bytes) -> None:
    """Makers round sRGB's primaries; to convert from those would move some colours by a level."""
    loaded = read(tmp_path, encoded(picture(), "PNG", icc_profile=profile))
    assert pixel_digest(loaded) == pixel_digest(picture())


def test_lab_needs_no_profile(tmp_path: Path) -> None:
    red = plain("LAB", (138, 209, 198))
    bare = read(tmp_path, encoded(red, "TIFF"))
    tagged = read(tmp_path, encoded(red, "TIFF", icc_profile=rgb_profile(2.2, "bgr")))
    assert pixel_digest(tagged) == pixel_digest(bare)


@pytest.mark.parametrize("profile", [b"not a profile", rgb_profile(1.0)[:150], grey_profile(1.0)])
def test_a_broken_or_foreign_profile_is_announced_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes
) -> None:
    loaded = read(tmp_path, encoded(picture(), "PNG", icc_profile=profile))
    assert pixel_digest(loaded) == pixel_digest(picture())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "picture.bin: its colour profile is broken (" in record.getMessage()


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
    assert not {"EPS", "PSD", "WMF"} & set(images.FORMATS)
    with pytest.raises(ImageError, match="must be one of PNG"):
        read(tmp_path, encoded(plain("RGBA", 0), "ICO", sizes=[(WIDTH, HEIGHT)]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "JPEG2000", "WEBP", *AVIF])
def test_half_a_file_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError, match=r"half\.img: .*(Fetch or export it again|Export it as)"):
        read(tmp_path, content[: len(content) // 2], "half.img")


def test_the_reason_for_a_refusal_is_kept(tmp_path: Path) -> None:
    content = encoded(picture(), "JPEG")
    with pytest.raises(ImageError, match="image file is truncated") as caught:
        read(tmp_path, content[:-200])
    assert isinstance(caught.value.__cause__, OSError)


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


@pytest.mark.parametrize("size", [(31, 400), (400, 31), (1, 1)])
def test_an_absurdly_small_image_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    rule = rf"picture\.bin: needs at least 32 px per side; got {size[0]}x{size[1]}\. Use a larger"
    with pytest.raises(ImageError, match=rule):
        read(tmp_path, encoded(Image.new("RGB", size), "PNG"))


def test_an_absurdly_long_image_is_refused(tmp_path: Path) -> None:
    rule = r"picture\.bin: may be at most 16 times as long as wide; got 32x513\. Crop it\."
    with pytest.raises(ImageError, match=rule):
        read(tmp_path, encoded(Image.new("RGB", (32, 513)), "PNG"))


@pytest.mark.parametrize("size", [(32, 32), (32, 512), (512, 32)])
def test_sizes_at_the_limits_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read(tmp_path, encoded(Image.new("RGB", size), "PNG")).size == size


# ---------------------------------------------------------------- damage

INTACT = {
    "PNG": encoded(picture(), "PNG", icc_profile=rgb_profile(1.0), exif=orientation_exif(6)),
    "JPEG": encoded(picture(), "JPEG", icc_profile=rgb_profile(1.0), exif=orientation_exif(6)),
    "WebP": encoded(picture(), "WEBP", icc_profile=rgb_profile(1.0), exif=orientation_exif(6)),
    "TIFF": encoded(picture(), "TIFF", icc_profile=rgb_profile(1.0), exif=orientation_exif(6)),
    "LZW TIFF": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "GIF": encoded(picture(), "GIF", save_all=True, append_images=[plain("RGB", RED)]),
}


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A file with some bytes changed, most often in the header, and perhaps its end cut off."""
    content = bytearray(INTACT[draw(st.sampled_from(sorted(INTACT)))])
    last = len(content) - 1
    places = st.integers(0, 200) | st.integers(0, last)
    for place in draw(st.lists(places, max_size=6)):
        content[min(place, last)] = draw(st.sampled_from([0, 1, 127, 255]) | st.integers(0, 255))
    return bytes(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])


@pytest.fixture(scope="module")
def damaged_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "damaged.img"


def complaint(use: Callable[[Path], object], path: Path) -> str:
    """What an ``ImageError`` said, or nothing; any other exception fails the test."""
    try:
        use(path)
    except ImageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", INTACT)
def test_the_files_to_be_damaged_are_sound(tmp_path: Path, kind: str) -> None:
    assert sorted(read(tmp_path, INTACT[kind]).size) == [HEIGHT, WIDTH]


@settings(max_examples=300, deadline=None)
@given(content=damaged_files())
def test_a_damaged_file_gives_a_picture_or_an_image_error(
    damaged_path: Path, content: bytes
) -> None:
    damaged_path.write_bytes(content)
    with mock.patch.object(images, "MAX_MEGAPIXELS", 1):  # a forged size should not cost time here
        said = complaint(load_image, damaged_path)
    assert said == "" or said.startswith(f"{damaged_path}: ")
    assert "\n" not in said


@settings(max_examples=50, deadline=None)
@given(content=damaged_files())
def test_a_damaged_file_gives_its_text_or_an_image_error(
    damaged_path: Path, content: bytes
) -> None:
    damaged_path.write_bytes(content)
    said = complaint(read_png_text, damaged_path)
    assert said == "" or said.startswith(f"{damaged_path}: ")


def test_pillows_warnings_go_to_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The tests turn Python warnings into errors, so one that surfaced would fail here."""
    content = encoded(picture(), "PNG", exif=b"II*\0\x08\0\0\0\xff\xff12345")
    read(tmp_path, content)
    assert "picture.bin: Pillow says: Corrupt EXIF data" in caplog.text


# ---------------------------------------------------------------- sizes


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_the_long_side_fits_and_the_short_side_keeps_the_proportion(
    width: int, height: int, size: int
) -> None:
    fitted = fit_long_side(Image.new("RGB", (width, height)), size)
    assert max(fitted.size) == size
    assert min(fitted.size) >= 1
    for before, after in zip((width, height), fitted.size, strict=True):
        assert abs(after - before * size / max(width, height)) <= 0.5 or after == 1


def test_a_fitted_picture_that_already_fits_is_unchanged() -> None:
    fitted = fit_long_side(picture(), WIDTH)
    assert pixel_digest(fitted) == pixel_digest(picture())
    assert fitted is not picture()


def test_fitting_uses_lanczos() -> None:
    expected = picture().resize((24, 20), Image.Resampling.LANCZOS)
    assert pixel_digest(fit_long_side(picture(), 24)) == pixel_digest(expected)


def test_fitting_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size must be at least 1 px; got 0\."):
        fit_long_side(picture(), 0)


# ---------------------------------------------------------------- tensors

PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(PICTURES)
def test_a_picture_survives_the_round_trip_exactly(values: np.ndarray) -> None:
    restored = to_image(to_tensor(Image.fromarray(values)))
    assert np.array_equal(np.asarray(restored), values)


def test_all_levels_survive_the_round_trip_exactly() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2))
    assert pixel_digest(to_image(to_tensor(ramp))) == pixel_digest(ramp)


def test_a_tensor_has_channels_rows_columns_and_values_from_zero_to_one() -> None:
    image = plain("RGB", BLACK)
    image.putpixel((3, 1), (255, 51, 0))  # column 3, row 1
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, HEIGHT, WIDTH)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor[0, :, 1, 3].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert tensor.sum().item() == pytest.approx(1.2)


def test_a_tensor_may_come_without_its_batch_axis() -> None:
    tensor = to_tensor(picture())
    assert pixel_digest(to_image(tensor[0])) == pixel_digest(to_image(tensor))


def test_values_out_of_range_are_clamped_and_others_rounded() -> None:
    values = [-1.0, 2.0, float("inf"), 0.4 / 255, 0.6 / 255, 254.6 / 255]
    tensor = torch.tensor(values, dtype=torch.float64).repeat(3, 1, 1).requires_grad_()
    assert np.asarray(to_image(tensor))[0, :, 0].tolist() == [0, 255, 255, 0, 1, 255]


def test_not_a_number_is_refused() -> None:
    tensor = torch.zeros(1, 3, 2, 2)
    tensor[0, 0, 0, 0] = torch.nan
    with pytest.raises(ImageError, match=r"got NaN for 1 of 12\. Lower the learning rate"):
        to_image(tensor)


@pytest.mark.parametrize("use", [to_tensor, pixel_digest])
def test_other_modes_are_refused_rather_than_misread(use: Callable[..., object]) -> None:
    with pytest.raises(ImageError, match=r"must have mode RGB; got RGBA\. Read it by load_image"):
        use(plain("RGBA", 0))


# ---------------------------------------------------------------- identity


def test_the_digest_is_the_same_in_every_lossless_format(tmp_path: Path) -> None:
    digests = {
        pixel_digest(read(tmp_path, encoded(picture(), kind))) for kind in ("PNG", "BMP", "TIFF")
    }
    assert digests == {pixel_digest(picture())}


def test_the_digest_sees_the_size_and_every_level() -> None:
    nearly_black = plain("RGB", BLACK)
    nearly_black.putpixel((0, 0), (0, 0, 1))
    turned = Image.new("RGB", (HEIGHT, WIDTH))
    assert len({pixel_digest(i) for i in (plain("RGB", BLACK), nearly_black, turned)}) == 3


# ---------------------------------------------------------------- saving


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_saved_picture_and_its_text_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "result.png"
    text = {"config": '{"style": "Große Welle 神奈川沖浪裏"}', "lines": "one\ntwo", "empty": ""}
    save_png(picture(), path, text)
    assert read_png_text(path) == text
    assert pixel_digest(load_image(path)) == pixel_digest(picture())
    assert names(path.parent) == ["result.png"]


def test_a_picture_may_be_saved_without_text(tmp_path: Path) -> None:
    save_png(picture(), tmp_path / "result.png")
    assert read_png_text(tmp_path / "result.png") == {}


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(st.dictionaries(st.sampled_from("abcdef"), TEXTS))
@settings(deadline=None, max_examples=50)
def test_any_text_survives(damaged_path: Path, text: dict[str, str]) -> None:
    path = damaged_path.with_name("text.png")
    save_png(plain("RGB", RED), path, text)
    assert read_png_text(path) == text


def test_the_same_picture_and_text_give_the_same_bytes(tmp_path: Path) -> None:
    tagged = picture()
    tagged.info = {"icc_profile": rgb_profile(1.0), "transparency": RED}
    save_png(picture(), tmp_path / "one.png", {"a": "1", "b": "2"})
    save_png(tagged, tmp_path / "two.png", {"b": "2", "a": "1"})
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert set(tagged.info) == {"icc_profile", "transparency"}


def test_a_saved_picture_says_that_it_is_srgb(tmp_path: Path) -> None:
    save_png(picture(), tmp_path / "result.png")
    with Image.open(tmp_path / "result.png") as image:
        assert image.info == {"srgb": 0}


def test_a_saved_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    (tmp_path / "ordinary").touch()
    save_png(picture(), tmp_path / "result.png")
    assert (tmp_path / "result.png").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    path = tmp_path / "result.png"
    save_png(picture(), path, {"run": "old"})
    killed = mock.patch.object(os, step, side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        save_png(plain("RGB", RED), path, {"run": "new"})
    assert read_png_text(path) == {"run": "old"}
    assert pixel_digest(load_image(path)) == pixel_digest(picture())
    assert names(tmp_path) == ["result.png"]


def test_the_new_file_is_whole_and_beside_the_old_one_before_the_rename(tmp_path: Path) -> None:
    path = tmp_path / "result.png"
    with mock.patch.object(os, "replace") as replace, mock.patch.object(os, "fsync") as fsync:
        save_png(picture(), path)
    ((part, target), _) = replace.call_args
    assert target == path
    assert part.parent == path.parent
    assert pixel_digest(load_image(part)) == pixel_digest(picture())
    assert fsync.call_count == 2, "the file, and the name that it has in its folder"


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    full = mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device"))
    rule = r"result\.png: cannot be written \(No space left on device\)\. Check the folder's"
    with full, pytest.raises(ImageError, match=rule):
        save_png(picture(), tmp_path / "result.png")
    assert names(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match=r"result\.png: cannot be written \(.*\)\. Check the"):
        save_png(picture(), tmp_path / "file" / "result.png")


def test_text_is_only_read_from_png(tmp_path: Path) -> None:
    (tmp_path / "result.png").write_bytes(encoded(picture(), "JPEG"))
    with pytest.raises(ImageError, match=r"result\.png: must be one of PNG; .* Export it as PNG\."):
        read_png_text(tmp_path / "result.png")


# ---------------------------------------------------------------- shapes


def test_shapes_are_checked_while_testing() -> None:
    with pytest.raises(Exception, match="Type-check error") as caught:
        to_image(torch.zeros(2, 3, 4, 4))
    assert type(caught.value).__name__ == "TypeCheckError"


def test_without_jaxtyping_a_shaped_type_is_the_bare_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jaxtyping", None)
    bare = runpy.run_path(str(Path(shapes.__file__)))
    assert bare["Float"][torch.Tensor, "1 3 h w"] is torch.Tensor
