"""Pictures as tensors, and tensors whose shapes are checked."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import BLACK, HEIGHT, WIDTH, picture, plain
from PIL import Image

from nst.errors import ImageError
from nst.imaging.images import (
    pixel_digest,
)
from nst.network import shapes
from nst.network.tensors import to_image, to_tensor

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


def test_a_tensor_may_come_without_its_batch_axis():
    tensor = to_tensor(picture())
    assert pixel_digest(to_image(tensor[0])) == pixel_digest(to_image(tensor))


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
    bare = runpy.run_path(str(Path(shapes.__file__)))
    assert bare["Float"][torch.Tensor, "1 3 h w"] is torch.Tensor
