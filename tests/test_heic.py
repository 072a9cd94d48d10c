"""Photographs as phones write them: HEIC, and AVIF."""

import numpy as np
import pytest
from image_files import AVIF, HEIGHT, WIDTH, encoded, orientation_exif, read, rgb_profile
from PIL import Image
from workflow_runs import run_python

from nst.errors import ImageError
from nst.imaging.images import load_image, read_size

KINDS = ["HEIF", *AVIF]
BEST = {"quality": 100}


def picture() -> Image.Image:
    """A smooth one: colours are kept at half the resolution."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Image.fromarray(np.stack([x * 5, y * 6, 255 - x * 2 - y * 3], axis=-1).astype(np.uint8))


def apart(one: Image.Image, other: Image.Image) -> float:
    """How far the colours of two pictures are apart, in levels, on average."""
    assert (one.size, one.mode) == (other.size, other.mode)
    return float(np.abs(np.asarray(one).astype(int) - np.asarray(other)).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_photograph_is_read(tmp_path, kind):
    assert apart(read(tmp_path, encoded(picture(), kind, **BEST)), picture()) < 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright_once(tmp_path, kind, orientation):
    content = encoded(picture(), kind, exif=orientation_exif(orientation).tobytes(), **BEST)
    as_jpeg = encoded(picture(), "JPEG", exif=orientation_exif(orientation), quality=100)
    wanted = read(tmp_path, as_jpeg, "wanted.jpg")
    assert apart(read(tmp_path, content), wanted) < 5
    assert sorted(read_size(tmp_path / "picture.bin")) == [HEIGHT, WIDTH]


@pytest.mark.parametrize("kind", KINDS)
def test_its_colour_profile_counts(tmp_path, kind):
    swapped = rgb_profile(2.2, order="bgr")
    shown = read(tmp_path, encoded(picture(), kind, icc_profile=swapped, **BEST))
    wanted = read(tmp_path, encoded(picture(), "PNG", icc_profile=swapped), "wanted.png")
    assert apart(shown, wanted) < 5 < apart(shown, picture())


@pytest.mark.parametrize("kind", KINDS)
def test_it_may_be_cut_out(tmp_path, kind):
    cut = picture()
    cut.putalpha(Image.new("L", cut.size, 0))
    left = (0, 0, WIDTH // 2, HEIGHT)
    cut.paste(picture().crop(left), left)
    (tmp_path / "cut.bin").write_bytes(encoded(cut, kind, **BEST))
    shown = load_image(tmp_path / "cut.bin", keep_alpha=True)
    assert shown.mode == "RGBA"
    alpha = np.asarray(shown.getchannel("A"))
    assert (alpha[:, : WIDTH // 2 - 4].min(), alpha[:, WIDTH // 2 + 4 :].max()) == (255, 0)


def test_a_damaged_one_is_refused(tmp_path):
    content = encoded(picture(), "HEIF")
    for broken in (content[: len(content) // 2], content[:40], content[:24]):
        with pytest.raises(ImageError, match=r"broken\.heic: .*(Fetch or export|Export)"):
            read(tmp_path, broken, "broken.heic")


def test_without_its_package_the_refusal_names_it(tmp_path):
    """As on a machine of which the image has torch and little else."""
    path = tmp_path / "photo.heic"
    path.write_bytes(encoded(picture(), "HEIF"))
    script = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pathlib import Path; from nst.imaging.images import load_image\n"
        f"try: load_image(Path({str(path)!r}))\n"
        "except ValueError as error: print(error)"
    )
    told = "it is HEIC, which cannot be read without the package pillow-heif"
    assert told in run_python(script)


def test_another_picture_does_not_load_the_package(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(), "PNG"))
    script = (
        "import sys; from pathlib import Path; from nst.imaging.images import load_image\n"
        f"load_image(Path({str(path)!r}))\n"
        "assert 'pillow_heif' not in sys.modules"
    )
    run_python(script)
