"""Files for print: real 16-bit levels, an sRGB profile, a resolution, reproducible bytes."""

import io
from datetime import datetime

import numpy as np
import pytest
import torch
from conftest import random_image
from deep_files import deep_levels, eight_bits
from PIL import Image, ImageCms

from nst.errors import ImageError
from nst.imaging.images import (
    load_image,
    read_description,
    read_png_text,
    save_deep,
    save_png,
    with_alpha_of,
)
from nst.imaging.srgb import srgb_profile
from nst.network.tensors import to_image, to_levels

FORMATS = ("print.png", "print.tif")
SMOOTH = random_image(1, 48, 64)
ALPHA = Image.fromarray(np.linspace(0, 255, 48 * 64).reshape(48, 64).astype(np.uint8))


def cut_out_levels() -> np.ndarray:
    """Return levels with an alpha channel that resembles no colour channel."""
    image = to_image(SMOOTH)
    image.putalpha(ALPHA)
    return with_alpha_of(image, to_levels(SMOOTH))


# ---------------------------------------------------------------- levels


def test_a_picture_has_more_levels_than_eight_bits_have():
    levels = to_levels(SMOOTH)
    assert (levels.dtype, levels.shape) == (np.uint16, (48, 64, 3))
    assert min(len(np.unique(levels[..., channel])) for channel in range(3)) > 1000
    assert np.abs(levels / 65535 - SMOOTH[0].permute(1, 2, 0).numpy()).max() <= 0.502 / 65535


def test_levels_are_clamped_and_rounded():
    values = [-1.0, 0.0, 0.4 / 65535, 0.6 / 65535, 65534.6 / 65535, 1.0, 2.0]
    found = to_levels(torch.tensor(values).repeat(3, 1, 1))
    assert found[0, :, 1].tolist() == [0, 0, 0, 1, 65535, 65535, 65535]


def test_rounded_to_eight_bits_a_picture_is_as_it_was_even_beside_a_half():
    """There, float32 can round the products with 255 and 65535 in opposite directions."""
    halves = ((np.arange(255) + 0.5) / 255).astype(np.float32)
    near = np.stack([halves.view(np.int32) + step for step in range(-40, 41)]).view(np.float32)
    tensor = torch.from_numpy(near).repeat(3, 1, 1)
    assert np.array_equal(eight_bits(to_levels(tensor)), to_image(tensor))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("levels", [to_levels(SMOOTH), cut_out_levels()], ids=["RGB", "RGBA"])
def test_other_programs_read_the_same_levels(tmp_path, name, levels):
    save_deep(levels, tmp_path / name, dpi=300)
    assert np.array_equal(deep_levels(tmp_path / name), levels)
    with Image.open(tmp_path / name) as image:
        assert image.mode == ("RGBA" if levels.shape[2] == 4 else "RGB")
    load_image(tmp_path / name)


def test_the_alpha_is_that_of_the_picture():
    levels = cut_out_levels()
    assert np.array_equal(levels[..., :3], to_levels(SMOOTH))
    assert np.array_equal(eight_bits(levels[..., 3]), ALPHA)
    assert (levels[..., 3].min(), levels[..., 3].max()) == (0, 65535)
    assert with_alpha_of(to_image(SMOOTH), levels) is levels, "opaque"


@pytest.mark.parametrize("dpi", [30, 2400])
@pytest.mark.parametrize("name", [*FORMATS, "8 bits"])
def test_a_file_has_its_resolution_and_a_profile(tmp_path, name, dpi):
    path = tmp_path / name
    if name == "8 bits":
        save_png(to_image(SMOOTH), path, dpi=dpi)
    else:
        save_deep(to_levels(SMOOTH), path, dpi=dpi)
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((dpi, dpi), abs=0.02)  # PNG stores 1/m
        assert image.info["icc_profile"] == srgb_profile()
        if image.format == "TIFF":
            tags = {key: image.tag_v2[key] for key in (282, 296, 259, 317)}
            # Resolution, inches, deflated, horizontal predictor
            assert tags == {282: dpi, 296: 2, 259: 8, 317: 2}
        else:
            assert b"sRGB\0\xae\xce\x1c\xe9" not in path.read_bytes(), "PNG allows one of them"


def test_the_profile_is_srgb_and_bears_the_date_of_the_standard():
    profile = ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile()))
    assert "sRGB" in ImageCms.getProfileDescription(profile)
    assert profile.profile.creation_date == datetime(1999, 10, 18)


def test_the_same_picture_gives_the_same_bytes_and_its_text_is_found(tmp_path):
    for name in FORMATS:
        for folder in ("one", "two"):
            save_deep(to_levels(SMOOTH), tmp_path / folder / name, text=("nst", '{"a": 1}'))
        content = (tmp_path / "one" / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes()
        assert b"numpngw" not in content
        assert b"tifffile" not in content
    assert read_png_text(tmp_path / "one/print.png") == {"nst": '{"a": 1}'}
    assert read_description(tmp_path / "one/print.tif") == '{"a": 1}'
    with pytest.raises(ImageError, match="must be one of TIFF"):
        read_description(tmp_path / "one/print.png")
