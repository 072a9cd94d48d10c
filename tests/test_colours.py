"""Colours, depths and transparencies of all kinds are read as opaque 8-bit sRGB."""

import hashlib
import logging
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    AVIF,
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
    white_in_twelve_bits,
)
from PIL import Image, ImageCms

from nst.errors import ImageError
from nst.imaging.images import load_image, save_png
from nst.imaging.srgb import cut_out, on_white, pixel_digest

# ---------------------------------------------------------------- depth

DEEP = 64 * 257  # 64 of 255, in 16 bits


def flat(value: object, kind: str = "<u2") -> np.ndarray:
    """Return the values of a picture of one grey or colour."""
    return np.full((HEIGHT, WIDTH, *np.shape(value)), value).astype(kind)


def planes(values: tuple[int, ...], kind: str) -> bytes:
    bands = np.moveaxis(flat(values, kind), 2, 0)
    return tiff(bands, photometric="rgb", planarconfig="separate")


COLOUR = flat((DEEP, 0, 65535))
DEPTHS = {
    "grey PNG of 16 bits": (png(flat(DEEP)), (64, 64, 64)),
    "dark grey PNG of 16 bits": (png(flat(200)), (1, 1, 1)),
    "grey TIFF of 16 bits": (encoded(Image.fromarray(flat(DEEP)), "TIFF"), (64, 64, 64)),
    "big-endian TIFF": (encoded(Image.fromarray(flat(DEEP, ">u2")), "TIFF"), (64, 64, 64)),
    "TIFF with zero as white": (tiff(flat(DEEP), photometric="miniswhite"), (191, 191, 191)),
    "colour PNG of 16 bits": (png(COLOUR), (64, 0, 255)),
    "colour TIFF of 16 bits": (tiff(COLOUR, photometric="rgb"), (64, 0, 255)),
    "TIFF of 12 bits": (white_in_twelve_bits(), WHITE),
    "TIFF of 8-bit planes": (planes((10, 20, 30), "u1"), (10, 20, 30)),
    "integer TIFF": (encoded(plain("I", DEEP), "TIFF"), (64, 64, 64)),
    "float TIFF": (encoded(plain("F", 0.4), "TIFF"), (102, 102, 102)),
}


@pytest.mark.parametrize(("content", "colour"), DEPTHS.values(), ids=DEPTHS)
def test_levels_are_scaled_by_the_range_of_their_format(tmp_path, content, colour):
    assert colours(read(tmp_path, content)) == {colour}


def test_sixteen_bit_planes_are_refused_because_pillow_misreads_them(tmp_path):
    content = planes((DEEP + 5, DEEP + 5, DEEP + 5), "<u2")
    with pytest.raises(ImageError, match=r"picture\.bin: must hold .* planes\. Export it with"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("mode", "value", "rule"),
    [
        *(("I", value, "integer pixels must lie in 0 to 65535") for value in (-1, 65536)),
        *(("F", value, "float pixels must lie in 0 to 1") for value in (-0.5, 200, float("nan"))),
    ],
)
def test_values_out_of_range_are_refused(tmp_path, mode, value, rule):
    message = rf"picture\.bin: {rule}; got {value:g} to {value:g}\. Rescale them\."
    with pytest.raises(ImageError, match=message):
        read(tmp_path, encoded(plain(mode, value), "TIFF"))


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "HEIF", *AVIF])
def test_an_rgb_profile_is_applied(tmp_path, kind):
    content = encoded(plain("RGB", (0, 0, 255)), kind, icc_profile=rgb_profile(2.2, "bgr"))
    assert nearly(read(tmp_path, content), RED, tolerance=6)


LINEAR = {
    "colour": (plain("RGB", (64, 64, 64)), rgb_profile(1.0)),
    "palette": (plain("RGB", (64, 64, 64)).quantize(2), rgb_profile(1.0)),
    "grey with a profile of colours": (plain("L", 64), rgb_profile(1.0)),
    "grey": (plain("L", 64), grey_profile(1.0)),
    "grey with alpha": (plain("LA", (64, 255)), grey_profile(1.0)),
    "grey of 16 bits": (plain("I;16", DEEP), grey_profile(1.0)),
}


@pytest.mark.parametrize(("image", "profile"), LINEAR.values(), ids=LINEAR)
def test_a_linear_profile_follows_the_srgb_curve(tmp_path, image, profile):
    loaded = read(tmp_path, encoded(image, "PNG", icc_profile=profile))
    assert nearly(loaded, (137, 137, 137)), "64 of linear light, by IEC 61966-2-1"


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_a_cmyk_profile_is_applied(tmp_path, kind):
    for ink, colour, tolerance in ((255, RED, 25), (0, WHITE, 3)):
        content = encoded(plain("CMYK", (ink, 0, 0, 0)), kind, icc_profile=cmyk_profile())
        assert nearly(read(tmp_path, content), colour, tolerance)


def test_a_profile_is_applied_before_transparency(tmp_path):
    """Half black on white is 127 in sRGB; converting 127 as linear light would give 188."""
    content = encoded(plain("RGBA", (0, 0, 0, 128)), "PNG", icc_profile=rgb_profile(1.0))
    assert nearly(read(tmp_path, content), (127, 127, 127))


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile(None, off=0.0005),
    ],
    ids=["exact", "rounded"],
)
def test_an_srgb_profile_leaves_every_byte_alone(tmp_path, profile):
    """Makers round sRGB's primaries; converting from these would shift some colours by a level."""
    loaded = read(tmp_path, encoded(picture(), "PNG", icc_profile=profile))
    assert pixel_digest(loaded) == pixel_digest(picture())


def test_lab_needs_no_profile(tmp_path):
    red = plain("LAB", (138, 209, 198))
    bare = read(tmp_path, encoded(red, "TIFF"))
    tagged = read(tmp_path, encoded(red, "TIFF", icc_profile=rgb_profile(2.2, "bgr")))
    assert pixel_digest(tagged) == pixel_digest(bare)


@pytest.mark.parametrize("profile", [b"not a profile", rgb_profile(1.0)[:150], grey_profile(1.0)])
def test_a_broken_or_foreign_profile_is_announced_and_ignored(tmp_path, caplog, profile):
    loaded = read(tmp_path, encoded(picture(), "PNG", icc_profile=profile))
    assert pixel_digest(loaded) == pixel_digest(picture())
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "picture.bin: its colour profile is broken (" in record.getMessage()


# ---------------------------------------------------------------- transparency


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("RGBA", (255, 0, 0, 51), (255, 204, 204)), ("LA", (0, 51), (204, 204, 204))],
)
def test_partial_transparency_is_mixed_with_white(tmp_path, mode, colour, expected):
    assert colours(read(tmp_path, encoded(plain(mode, colour), "PNG"))) == {expected}


RAMP = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))  # from left to right
HALF = np.where(RAMP < 128, 0, 255).astype(np.uint8)


def with_alpha(image: Image.Image, alpha: np.ndarray = RAMP) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def indexed() -> Image.Image:
    """Return a palette image: entry 1 on the left, 2 on the right."""
    image = Image.fromarray(np.where(HALF == 0, 1, 2).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    return image


def deep_rgba() -> bytes:
    values = np.dstack([np.asarray(picture()), RAMP]).astype(np.uint16)
    return png(values * 257)


def black_is_transparent(mode: str) -> bytes:
    """Return a PNG without alpha, black on the left and white on the right."""
    grey = Image.fromarray(HALF)
    image = Image.fromarray(HALF.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    return encoded(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)


FILES = {
    "RGBA PNG": (encoded(with_alpha(picture()), "PNG"), RAMP),
    "LA PNG": (encoded(with_alpha(picture().convert("L")), "PNG"), RAMP),
    "RGBA PNG of 16 bits": (deep_rgba(), RAMP),
    "palette PNG": (encoded(indexed(), "PNG", transparency=1), HALF),
    "palette PNG, partly": (
        encoded(indexed(), "PNG", transparency=bytes([255, 51])),
        np.where(HALF == 0, 51, 255),
    ),
    **{
        f"PNG of mode {mode}": (black_is_transparent(mode), HALF)
        for mode in ("RGB", "L", "I;16", "1")
    },
    "GIF": (encoded(indexed(), "GIF", transparency=1), HALF),
    "WebP": (encoded(with_alpha(picture()), "WEBP"), RAMP),
    "TIFF": (encoded(with_alpha(picture()), "TIFF", compression="tiff_lzw"), RAMP),
    "grey TIFF": (encoded(with_alpha(picture().convert("L")), "TIFF"), RAMP),
    **{kind: (encoded(with_alpha(picture()), kind, quality=100), RAMP) for kind in ("HEIF", *AVIF)},
}


def read_both(folder: Path, content: bytes) -> tuple[Image.Image, Image.Image]:
    """Read a file's picture with its alpha and without."""
    path = folder / "picture.bin"
    path.write_bytes(content)
    return load_image(path, keep_alpha=True), load_image(path)


def alpha_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.getchannel("A")).astype(int)


@pytest.mark.parametrize(("content", "alpha"), FILES.values(), ids=FILES)
def test_the_alpha_of_every_kind_of_file_is_kept(tmp_path, content, alpha):
    kept, opaque = read_both(tmp_path, content)
    assert (kept.mode, kept.info) == ("RGBA", {})
    tolerance = 3 if content[4:8] == b"ftyp" else 0
    assert np.abs(alpha_of(kept) - alpha).max() <= tolerance
    assert opaque.mode == "RGB"
    assert np.array_equal(on_white(kept), opaque)


def test_what_is_opaque_throughout_has_no_alpha(tmp_path):
    image = with_alpha(picture(), np.full_like(RAMP, 255))
    kept, opaque = read_both(tmp_path, encoded(image, "PNG"))
    assert kept.mode == "RGB"
    assert pixel_digest(kept) == pixel_digest(opaque) == pixel_digest(picture())


def test_one_transparent_pixel_in_the_last_band_is_enough(tmp_path):
    image = Image.new("RGBA", (1024, 1200), "red")  # taller than a band
    image.putpixel((1023, 1199), (0, 0, 0, 254))
    kept, _ = read_both(tmp_path, encoded(image, "PNG"))
    assert kept.getpixel((1023, 1199)) == (0, 0, 0, 254)
    assert kept.getpixel((0, 0)) == (255, 0, 0, 255)


def test_a_picture_saved_with_its_alpha_and_read_again_is_the_same(tmp_path):
    """Lay soft edges on white only once, after the profile is applied."""
    content = encoded(with_alpha(picture()), "PNG", icc_profile=rgb_profile(1.0))
    kept, opaque = read_both(tmp_path, content)
    save_png(kept, tmp_path / "prepared.png")
    again, opaque_again = read_both(tmp_path, (tmp_path / "prepared.png").read_bytes())
    assert np.array_equal(again, kept)
    assert np.array_equal(opaque_again, opaque)


# ---------------------------------------------------------------- identity


def test_the_digest_of_a_cut_out_is_that_of_its_bytes_on_white_and_its_alpha():
    image = with_alpha(picture())
    content = b"48x40:" + on_white(image).tobytes() + RAMP.tobytes()
    assert pixel_digest(image) == hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------- cutting out


def test_a_picture_gets_the_alpha_at_its_own_size_and_keeps_its_colours():
    original, smaller = with_alpha(plain("RGB", RED)), picture().resize((24, 20))
    made = cut_out(smaller, original)
    assert np.array_equal(made.convert("RGB"), smaller)
    expected = np.asarray(original.getchannel("A").resize((24, 20), Image.Resampling.LANCZOS))
    assert np.array_equal(alpha_of(made), expected)
    assert smaller.mode == "RGB", "the copy must be RGB"
