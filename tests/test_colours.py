"""Colours, depths and transparencies of all kinds, as opaque 8-bit sRGB."""

import logging
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    HEIGHT,
    RED,
    WHITE,
    WIDTH,
    cmyk_profile,
    colours,
    encoded,
    grey_profile,
    nearly,
    picture,
    plain,
    png,
    read,
    rgb_profile,
    tiff,
)
from PIL import Image, ImageCms

from nst.errors import ImageError
from nst.imaging.images import (
    pixel_digest,
)

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


@pytest.mark.parametrize(("mode", "colour"), [("RGB", RED), ("L", 90), ("I;16", 400), ("1", 0)])
def test_a_transparent_colour_becomes_white(tmp_path: Path, mode: str, colour: object) -> None:
    content = encoded(plain(mode, colour), "PNG", transparency=colour)
    assert colours(read(tmp_path, content)) == {WHITE}


# ---------------------------------------------------------------- profiles


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
