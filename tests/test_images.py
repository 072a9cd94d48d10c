"""Read image files as 8-bit sRGB pictures, and write them."""

import os
import re
import runpy
import struct
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_files import (
    AVIF,
    BLACK,
    HEIGHT,
    RED,
    WIDTH,
    chunk,
    colours,
    encoded,
    nearly,
    orientation_exif,
    picture,
    plain,
    png_header,
    read,
    rgb_profile,
)
from PIL import Image, PngImagePlugin
from workflow_runs import run_python

from nst.errors import ImageError
from nst.imaging import images
from nst.imaging.images import fit_long_side, load_image, read_png_text, read_size, save_png
from nst.imaging.opening import MAX_MEGAPIXELS
from nst.imaging.srgb import pixel_digest
from nst.network import tensors
from nst.network.tensors import to_image, to_tensor

# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_a_lossless_file_is_read_exactly(tmp_path, kind):
    assert pixel_digest(read(tmp_path, encoded(picture(), kind))) == pixel_digest(picture())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "JPEG2000", "HEIF", *AVIF])
def test_a_lossy_file_is_read_closely(tmp_path, kind):
    smooth = plain("RGB", (30, 120, 200))
    loaded = np.asarray(read(tmp_path, encoded(smooth, kind))).astype(int)
    assert np.abs(loaded - np.asarray(smooth)).max() <= 4


def test_a_picture_carries_no_metadata(tmp_path):
    content = encoded(picture(), "PNG", icc_profile=rgb_profile(1.0), dpi=(300, 300))
    loaded = read(tmp_path, content)
    assert (loaded.mode, loaded.info, dict(loaded.getexif())) == ("RGB", {}, {})


@pytest.mark.parametrize(("mode", "value"), [("L", 90), ("1", 1), ("I;16", 90 * 257)])
def test_grey_becomes_equal_channels(tmp_path, mode, value):
    grey = 255 if mode == "1" else 90
    assert colours(read(tmp_path, encoded(plain(mode, value), "PNG"))) == {(grey, grey, grey)}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_subtracted_from_white(tmp_path, kind):
    """A JPEG from Pillow is inverted, as Adobe's are; a TIFF is not. Both must read as cyan."""
    content = encoded(plain("CMYK", (255, 0, 0, 0)), kind)
    assert colours(read(tmp_path, content)) == {(0, 255, 255)}


def test_lab_is_converted(tmp_path):
    ((red, green, blue),) = colours(read(tmp_path, encoded(plain("LAB", (138, 209, 198)), "TIFF")))
    assert red > 245
    assert max(green, blue) < 25


@pytest.mark.parametrize("kind", ["MPO", "GIF", "PNG", "WEBP", "TIFF", *AVIF])
def test_of_several_frames_the_first_is_read_and_an_animation_says_so(tmp_path, caplog, kind):
    first, second = plain("RGB", (0, 0, 0)), plain("RGB", (255, 255, 255))
    content = encoded(first, kind, save_all=True, append_images=[second])
    assert colours(read(tmp_path, content)) == {BLACK}
    said = [f"{tmp_path}/picture.bin: has several frames; only the first is used."]
    assert caplog.messages == ([] if kind == "MPO" else said), "phones add a second photograph"


# ---------------------------------------------------------------- orientation


def smooth() -> Image.Image:
    """Return a smooth picture: HEIC and AVIF store colours at half the resolution."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Image.fromarray(np.stack([x * 5, y * 6, 255 - x * 2 - y * 3], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [("PNG", 0), ("TIFF", 0), ("HEIF", 4), *((kind, 4) for kind in AVIF)],
)
def test_a_photograph_is_turned_upright_once(tmp_path, kind, tolerance):
    stored = smooth().transpose(Image.Transpose.ROTATE_90)
    exif = orientation_exif(6).tobytes()
    loaded = read(tmp_path, encoded(stored, kind, exif=exif, quality=100))
    assert np.abs(np.asarray(loaded).astype(int) - np.asarray(smooth())).mean() <= tolerance
    assert read_size(tmp_path / "picture.bin") in {stored.size, smooth().size}


def test_exif_is_not_written_anew_to_turn_a_photograph(tmp_path, caplog):
    """Pillow could not write the width, which is a text; a long EXIF would take minutes."""
    fields = struct.pack("<HHI4sHHIHH", 0x0100, 2, 4, b"wid\0", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + fields + bytes(4)
    stored = picture().transpose(Image.Transpose.ROTATE_90)
    loaded = read(tmp_path, encoded(stored, "PNG", exif=exif))
    assert pixel_digest(loaded) == pixel_digest(picture())
    assert not caplog.records


def test_a_turned_photograph_keeps_its_profile(tmp_path):
    content = encoded(
        plain("RGB", RED), "PNG", exif=orientation_exif(6), icc_profile=rgb_profile(2.2, "bgr")
    )
    loaded = read(tmp_path, content)
    assert loaded.size == (HEIGHT, WIDTH)
    assert nearly(loaded, (0, 0, 255))


@pytest.mark.parametrize(
    ("exif", "told"),
    [
        (b"garbage", "EXIF"),
        (b"II*\0\x08\0\0\0\xff\xff12345", "Pillow says: Corrupt EXIF data"),
    ],
)
def test_broken_exif_is_announced_and_ignored(tmp_path, caplog, exif, told):
    """Tests turn Python's warnings into errors: one of Pillow's that is not logged would fail."""
    content = encoded(picture(), "PNG", exif=exif)
    assert pixel_digest(read(tmp_path, content)) == pixel_digest(picture())
    assert "picture.bin" in caplog.text
    assert told in caplog.text


# ---------------------------------------------------------------- sizes


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64))
def test_the_long_side_fits_and_the_short_side_keeps_the_proportion(width, height, size):
    fitted = fit_long_side(Image.new("RGB", (width, height)), size)
    assert max(fitted.size) == size
    assert min(fitted.size) >= 1
    for before, after in zip((width, height), fitted.size, strict=True):
        assert abs(after - before * size / max(width, height)) <= 0.5 or after == 1


def test_fitting_uses_lanczos():
    expected = picture().resize((24, 20), Image.Resampling.LANCZOS)
    assert pixel_digest(fit_long_side(picture(), 24)) == pixel_digest(expected)


# ---------------------------------------------------------------- identity


def test_the_digest_sees_the_size_and_every_level():
    nearly_black = plain("RGB", BLACK)
    nearly_black.putpixel((0, 0), (0, 0, 1))
    turned = Image.new("RGB", (HEIGHT, WIDTH))
    assert len({pixel_digest(i) for i in (plain("RGB", BLACK), nearly_black, turned)}) == 3


# ---------------------------------------------------------------- saving


def test_a_saved_picture_and_its_text_are_read_back(tmp_path):
    path = tmp_path / "new" / "folder" / "result.png"
    text = {"config": '{"style": "Große Welle 神奈川沖浪裏"}', "lines": "one\ntwo", "empty": ""}
    save_png(picture(), path, text)
    assert read_png_text(path) == text
    assert pixel_digest(load_image(path)) == pixel_digest(picture())
    assert list(path.parent.iterdir()) == [path]


def test_the_same_picture_and_text_give_the_same_bytes(tmp_path):
    tagged = picture()
    tagged.info = {"icc_profile": rgb_profile(1.0), "transparency": RED}
    save_png(picture(), tmp_path / "one.png", {"a": "1", "b": "2"})
    save_png(tagged, tmp_path / "two.png", {"b": "2", "a": "1"})
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert set(tagged.info) == {"icc_profile", "transparency"}


def test_a_saved_picture_says_that_it_is_srgb(tmp_path):
    save_png(picture(), tmp_path / "result.png")
    with Image.open(tmp_path / "result.png") as image:
        assert image.info == {"srgb": 0}


def test_a_saved_file_is_readable_by_whom_the_umask_allows(tmp_path):
    (tmp_path / "ordinary").touch()
    save_png(picture(), tmp_path / "result.png")
    assert (tmp_path / "result.png").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_full_disk_is_reported_in_one_line(tmp_path):
    full = mock.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device"))
    rule = r"result\.png: cannot be written \(No space left on device\)\. Check the folder's"
    with full, pytest.raises(ImageError, match=rule):
        save_png(picture(), tmp_path / "result.png")
    assert not list(tmp_path.iterdir())


def test_text_is_only_read_from_png(tmp_path):
    (tmp_path / "result.png").write_bytes(encoded(picture(), "JPEG"))
    with pytest.raises(ImageError, match=r"result\.png: must be one of PNG; .* Export it as PNG\."):
        read_png_text(tmp_path / "result.png")


# ---------------------------------------------------------------- unreadable files


FORMATS = ["PNG", "JPEG", "TIFF", "GIF", "BMP", "JPEG2000", "WEBP", "HEIF", *AVIF]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("end", ["half", 40, 24])
def test_a_part_of_a_file_is_refused(tmp_path, kind, end):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    end = len(content) // 2 if end == "half" else end
    with pytest.raises(ImageError, match=r"part\.img: .*(Fetch or export it again|Export it as)"):
        read(tmp_path, content[:end], "part.img")


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    denied = mock.patch.object(Path, "open", side_effect=PermissionError(13, "Permission denied"))
    (tmp_path / "secret.png").write_bytes(encoded(picture(), "PNG"))
    rule = r"secret\.png: cannot be opened \(Permission denied\)\. Make the file readable\."
    with denied, pytest.raises(ImageError, match=rule):
        load_image(tmp_path / "secret.png")


@pytest.mark.parametrize(
    "error", [MemoryError(), EOFError(), SyntaxError("odd\nheader"), struct.error("x"), KeyError(3)]
)
def test_whatever_pillow_raises_is_one_line_about_the_file(tmp_path, error):
    broken = mock.patch.object(PngImagePlugin.PngImageFile, "load", side_effect=error)
    with broken, pytest.raises(ImageError, match=r"picture\.bin: cannot be read as") as caught:
        read(tmp_path, encoded(picture(), "PNG"))
    assert "\n" not in str(caught.value)
    assert "()" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("ours", ["check_header", "refuse_scans", "to_srgb"])
def test_our_own_defects_are_not_blamed_on_the_file(tmp_path, ours):
    broken = mock.patch.object(images, ours, side_effect=ZeroDivisionError)
    with broken, pytest.raises(ZeroDivisionError):
        read(tmp_path, encoded(picture(), "JPEG"))


def with_chunk(content: bytes, kind: bytes, data: bytes) -> bytes:
    """Return a PNG with one more chunk after its header and palette."""
    place = content.index(b"IDAT") - 4
    return content[:place] + chunk(kind, data) + content[place:]


@pytest.mark.parametrize(
    ("image", "kind", "forged"),
    [
        (picture(), b"tEXt", b"transparency\0none"),  # a text that poses as transparency
        (picture().quantize(16), b"tEXt", b"transparency\0none"),
        (picture().quantize(16), b"tRNS", bytes(400)),  # more transparency than colours
    ],
)
def test_forged_transparency_is_refused(tmp_path, image, kind, forged):
    with pytest.raises(ImageError, match=r"picture\.bin: cannot be read as an image"):
        read(tmp_path, with_chunk(encoded(image, "PNG"), kind, forged))


def test_the_text_of_a_png_is_read_without_its_pixels(tmp_path):
    images.save_png(picture(), tmp_path / "result.png", {"nst": "{}"})
    whole = (tmp_path / "result.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: whole.index(b"IDAT") + 20])
    assert read_png_text(tmp_path / "cut.png", "nst") == {"nst": "{}"}


def test_a_text_after_the_pixels_is_found_among_others(tmp_path):
    content = encoded(picture(), "PNG")
    place = content.index(b"IEND") - 4
    text = chunk(b"tEXt", b"nst\0{}")
    content = content[:place] + text + content[place:]
    (tmp_path / "saved anew.png").write_bytes(with_chunk(content, b"tEXt", b"Software\0GIMP"))
    found = read_png_text(tmp_path / "saved anew.png", "nst")
    assert found == {"Software": "GIMP", "nst": "{}"}


@pytest.mark.parametrize("side", [10_001, 30_000])  # our limit; Pillow's own limit
@pytest.mark.parametrize("use", [load_image, read_png_text])
def test_an_absurdly_large_image_is_refused_by_its_header(tmp_path, side, use):
    (tmp_path / "picture.bin").write_bytes(png_header(side, side))
    rule = rf"picture\.bin: may have at most {MAX_MEGAPIXELS} megapixels; .* Scale it down\."
    with pytest.raises(ImageError, match=rule):
        use(tmp_path / "picture.bin")


@pytest.mark.parametrize(
    ("size", "rule"),
    [
        ((31, 400), "needs at least 32 px per side; got {}. Use a larger one."),
        ((10_000, 1), "needs at least 32 px per side; got {}. Use a larger one."),
        ((32, 513), "may be at most 16 times as long as wide; got {}. Crop it."),
        ((10_000, 32), "may be at most 16 times as long as wide; got {}. Crop it."),
    ],
)
@pytest.mark.parametrize("use", [load_image, read_size])
def test_a_strange_size_is_refused(tmp_path, size, rule, use):
    path = tmp_path / "picture.bin"
    path.write_bytes(encoded(Image.new("RGB", size), "PNG"))
    with pytest.raises(ImageError) as caught:
        use(path)
    assert str(caught.value) == f"{path}: {rule.format('{}x{}'.format(*size))}"


@pytest.mark.parametrize("size", [(32, 32), (32, 512), (512, 32)])
def test_sizes_at_the_limits_are_read(tmp_path, size):
    assert read(tmp_path, encoded(Image.new("RGB", size), "PNG")).size == size


# ---------------------------------------------------------------- tensors


def test_all_levels_survive_the_round_trip_exactly():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2))
    assert pixel_digest(to_image(to_tensor(ramp))) == pixel_digest(ramp)


def test_a_tensor_has_channels_rows_columns_and_values_from_zero_to_one():
    image = plain("RGB", BLACK)
    image.putpixel((3, 1), (255, 51, 0))  # column 3, row 1
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, HEIGHT, WIDTH)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    assert tensor[0, :, 1, 3].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert tensor.sum().item() == pytest.approx(1.2)


def test_values_out_of_range_are_clamped_and_others_rounded():
    values = [-1.0, 2.0, float("inf"), 0.4 / 255, 0.6 / 255, 254.6 / 255]
    tensor = torch.tensor(values, dtype=torch.float64).repeat(3, 1, 1).requires_grad_()
    assert np.asarray(to_image(tensor))[0, :, 0].tolist() == [0, 255, 255, 0, 1, 255]


def test_not_a_number_is_refused():
    tensor = torch.zeros(1, 3, 2, 2)
    tensor[0, 0, 0, 0] = torch.nan
    with pytest.raises(ImageError, match=r"got NaN for 1 of 12\. Lower the learning rate"):
        to_image(tensor)


@pytest.mark.parametrize(
    ("use", "mode", "needed"),
    [(to_tensor, "RGBA", "RGB"), (pixel_digest, "LA", "RGB or RGBA")],
)
def test_other_modes_are_refused_rather_than_misread(use, mode, needed):
    message = f"A picture must have mode {needed}; got {mode}. Read it by load_image."
    with pytest.raises(ImageError, match=f"^{re.escape(message)}$"):
        use(plain(mode, 0))


# ---------------------------------------------------------------- shapes


def test_shapes_are_checked_while_testing():
    with pytest.raises(Exception, match="Type-check error") as caught:
        to_image(torch.zeros(2, 3, 4, 4))
    assert type(caught.value).__name__ == "TypeCheckError"


def test_without_jaxtyping_a_shaped_type_is_the_bare_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxtyping", None)
    bare = runpy.run_path(str(Path(tensors.__file__)))
    assert bare["Float"][torch.Tensor, "1 3 h w"] is torch.Tensor


# ---------------------------------------------------------------- without pillow-heif


def test_without_its_package_the_refusal_names_it_and_other_pictures_are_read(tmp_path):
    """Some GPU machines have a container image with torch and few other packages."""
    path, other = tmp_path / "photo.heic", tmp_path / "photo.png"
    path.write_bytes(encoded(smooth(), "HEIF"))
    other.write_bytes(encoded(smooth(), "PNG"))
    script = (
        "import sys; from pathlib import Path; from nst.imaging.images import load_image\n"
        f"load_image(Path({str(other)!r}))\n"
        "assert 'pillow_heif' not in sys.modules; sys.modules['pillow_heif'] = None\n"
        f"try: load_image(Path({str(path)!r}))\n"
        "except ValueError as error: print(error)"
    )
    told = "it is HEIC, which cannot be read without the package pillow-heif"
    assert told in run_python(script)
