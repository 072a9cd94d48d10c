"""What is cut out: read with its alpha, and given to what is made of it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    AVIF,
    HEIGHT,
    RED,
    WHITE,
    WIDTH,
    encoded,
    orientation_exif,
    picture,
    plain,
    png,
    rgb_profile,
)
from PIL import Image
from test_images import STORED

from nst.imaging.images import load_image, pixel_digest, save_png
from nst.imaging.transparency import cut_out, on_white

RAMP = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))  # from left to right
HALF = np.where(RAMP < 128, 0, 255).astype(np.uint8)


def with_alpha(image: Image.Image, alpha: np.ndarray = RAMP) -> Image.Image:
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def indexed() -> Image.Image:
    """A palette's entry 1 on the left, and 2 on the right."""
    image = Image.fromarray(np.where(HALF == 0, 1, 2).astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    return image


def deep_rgba() -> bytes:
    values = np.dstack([np.asarray(picture()), RAMP]).astype(np.uint16)
    return png(values * 257, 6)


def two_colours(mode: str) -> Image.Image:
    """Black on the left and white on the right, in a mode without alpha."""
    grey = Image.fromarray(HALF)
    return Image.fromarray(HALF.astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)


FILES = {
    "RGBA PNG": (encoded(with_alpha(picture()), "PNG"), RAMP),
    "LA PNG": (encoded(with_alpha(picture().convert("L")), "PNG"), RAMP),
    "RGBA PNG of 16 bits": (deep_rgba(), RAMP),
    "palette PNG": (encoded(indexed(), "PNG", transparency=1), HALF),
    "palette PNG, partly": (
        encoded(indexed(), "PNG", transparency=bytes([255, 51])),
        np.where(HALF == 0, 51, 255),
    ),
    "PNG with a transparent colour": (
        encoded(two_colours("RGB"), "PNG", transparency=(0, 0, 0)),
        HALF,
    ),
    "PNG with a transparent grey": (encoded(two_colours("L"), "PNG", transparency=0), HALF),
    "PNG with a transparent deep grey": (
        encoded(two_colours("I;16"), "PNG", transparency=0),
        HALF,
    ),
    "GIF": (encoded(indexed(), "GIF", transparency=1), HALF),
    "WebP": (encoded(with_alpha(picture()), "WEBP"), RAMP),
    "TIFF": (encoded(with_alpha(picture()), "TIFF", compression="tiff_lzw"), RAMP),
    "grey TIFF": (encoded(with_alpha(picture().convert("L")), "TIFF"), RAMP),
    **{kind: (encoded(with_alpha(picture()), kind, quality=100), RAMP) for kind in AVIF},
}


def read_both(folder: Path, content: bytes) -> tuple[Image.Image, Image.Image]:
    """A file's picture with its alpha, and without."""
    path = folder / "picture.bin"
    path.write_bytes(content)
    return load_image(path, keep_alpha=True), load_image(path)


def alpha_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.getchannel("A")).astype(int)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(("content", "alpha"), FILES.values(), ids=FILES)
def test_the_alpha_of_every_kind_of_file_is_kept(
    tmp_path: Path, content: bytes, alpha: np.ndarray
) -> None:
    kept, opaque = read_both(tmp_path, content)
    assert (kept.mode, kept.info) == ("RGBA", {})
    tolerance = 3 if content[4:12] == b"ftypavif" else 0
    assert np.abs(alpha_of(kept) - alpha).max() <= tolerance
    assert opaque.mode == "RGB"
    assert np.array_equal(on_white(kept), opaque)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_opaque_throughout_has_no_alpha(tmp_path: Path, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    image = with_alpha(picture(), np.full_like(RAMP, 255))
    kept, opaque = read_both(tmp_path, encoded(image, kind, **options))
    assert kept.mode == "RGB"
    assert pixel_digest(kept) == pixel_digest(opaque) == pixel_digest(picture())


def test_one_transparent_pixel_in_the_last_band_is_enough(tmp_path: Path) -> None:
    image = Image.new("RGBA", (1024, 1200), "red")  # more than fits into a band
    image.putpixel((1023, 1199), (0, 0, 0, 254))
    kept, _ = read_both(tmp_path, encoded(image, "PNG"))
    assert kept.getpixel((1023, 1199)) == (0, 0, 0, 254)
    assert kept.getpixel((0, 0)) == (255, 0, 0, 255)


@pytest.mark.parametrize("orientation", STORED)
def test_the_alpha_is_turned_upright_with_its_picture(tmp_path: Path, orientation: int) -> None:
    method, upright = STORED[orientation], with_alpha(picture())
    stored = upright if method is None else upright.transpose(method)
    kept, _ = read_both(tmp_path, encoded(stored, "PNG", exif=orientation_exif(orientation)))
    assert np.array_equal(kept, upright)


def test_a_picture_saved_with_its_alpha_and_read_again_is_the_same(tmp_path: Path) -> None:
    """Soft edges are laid on white once, and not twice; the profile counts before that."""
    content = encoded(with_alpha(picture()), "PNG", icc_profile=rgb_profile(1.0))
    kept, opaque = read_both(tmp_path, content)
    save_png(kept, tmp_path / "prepared.png")
    again, opaque_again = read_both(tmp_path, (tmp_path / "prepared.png").read_bytes())
    assert np.array_equal(again, kept)
    assert np.array_equal(opaque_again, opaque)


# ---------------------------------------------------------------- identity


def test_the_digest_sees_the_alpha_but_not_what_is_hidden() -> None:
    soft = np.dstack([np.asarray(picture()), RAMP])
    hidden, softer = soft.copy(), soft.copy()
    hidden[RAMP == 0, :3] = 7
    softer[0, -1, 3] -= 1
    digests = [pixel_digest(Image.fromarray(one)) for one in (soft, hidden, softer)]
    assert digests[0] == digests[1] != digests[2]
    white = plain("RGB", WHITE)
    assert pixel_digest(white) != pixel_digest(with_alpha(white)), "they look the same on white"


def test_the_digest_of_a_cut_out_is_that_of_its_bytes_on_white_and_its_alpha() -> None:
    image = with_alpha(picture())
    content = b"48x40:" + on_white(image).tobytes() + RAMP.tobytes()
    assert pixel_digest(image) == hashlib.sha256(content).hexdigest()


# ---------------------------------------------------------------- cutting out


def test_a_picture_of_an_opaque_one_stays_as_it_is() -> None:
    made = picture()
    assert cut_out(made, plain("RGB", RED)) is made


def test_a_picture_gets_the_alpha_at_its_own_size_and_keeps_its_colours() -> None:
    original, smaller = with_alpha(plain("RGB", RED)), picture().resize((24, 20))
    made = cut_out(smaller, original)
    assert np.array_equal(made.convert("RGB"), smaller)
    expected = np.asarray(original.getchannel("A").resize((24, 20), Image.Resampling.LANCZOS))
    assert np.array_equal(alpha_of(made), expected)
    assert smaller.mode == "RGB", "it is a copy"
