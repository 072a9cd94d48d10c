"""Pictures to tensors and back, and the shapes of tensors: ``Float[Tensor, "1 3 h w"]``.

Only the tests evaluate the shapes, so the package runs where jaxtyping is not installed.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from nst.errors import ImageError
from nst.imaging.images import WIDER, Levels, widen
from nst.imaging.srgb import check_mode

try:
    from jaxtyping import Bool, Float, Int, UInt8
except ImportError:

    class Float:  # type: ignore[no-redef]
        """Stand-in for jaxtyping's type: ``Float[Tensor, shape]`` is the bare tensor type."""

        def __class_getitem__(cls, item: tuple[type, str]) -> type:
            """Drop the shape."""
            return item[0]

    Bool = Int = UInt8 = Float

__all__ = [
    "Bool",
    "Float",
    "Int",
    "Tensor",
    "UInt8",
    "from_bytes",
    "mask_tensor",
    "to_bytes",
    "to_image",
    "to_levels",
    "to_tensor",
]


def to_tensor(image: Image.Image) -> Float[Tensor, "1 3 h w"]:
    """Turn a picture into a float32 tensor in [0, 1].

    Raises ``ImageError`` for any mode but RGB.
    """
    check_mode(image)
    values = torch.from_numpy(np.array(image))  # h w 3; a copy, as Pillow's own memory is read-only
    return values.permute(2, 0, 1).unsqueeze(0).contiguous().to(torch.float32) / 255


def mask_tensor(
    mask: Image.Image | None, device: torch.device | None = None
) -> Float[Tensor, "1 1 h w"] | None:
    """Turn a mask of mode L into shares in [0, 1]; return None if it is white throughout."""
    if mask is None:
        return None
    shares = torch.from_numpy(np.array(mask)).to(torch.float32) / 255
    return None if bool((shares == 1).all()) else shares[None, None].to(device)


def to_image(tensor: Float[Tensor, "3 h w"] | Float[Tensor, "1 3 h w"]) -> Image.Image:
    """Turn a tensor in [0, 1], on any device, into a picture: clamped, rounded to 8 bits.

    The exact inverse of ``to_tensor``. Raises ``ImageError`` for NaN, which has no colour.
    """
    values = tensor.detach().to("cpu", torch.float32)
    missing = int(values.isnan().sum())
    if missing:
        raise ImageError(
            f"A picture's values must be numbers; got NaN for {missing} of {values.numel()}. "
            "Lower the learning rate or the weights."
        )
    levels = to_bytes(values).reshape(3, *values.shape[-2:]).permute(1, 2, 0)  # h w 3
    return Image.fromarray(levels.contiguous().numpy())


def to_bytes(images: Float[Tensor, "*b 3 h w"]) -> UInt8[Tensor, "*b 3 h w"]:
    """Round images, on any device, to 8 bits on the CPU; values outside [0, 1] are clamped."""
    levels = images.detach().clamp(0, 1).mul(255).round()
    return levels.to(torch.uint8).cpu()


def from_bytes(levels: UInt8[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """Return images of 8 bits as float32 in [0, 1]."""
    return levels.to(torch.float32) / 255


def to_levels(tensor: Float[Tensor, "3 h w"] | Float[Tensor, "1 3 h w"]) -> Levels:
    """Turn a tensor in [0, 1] into a picture of 16 bits a channel: clamped, rounded.

    Rounded to 8 bits, it equals the result of ``to_image``, even where float32 rounds the products
    with 255 and with 65535 to different sides of a half. Raises ``ImageError`` for NaN.
    """
    nearest = widen(to_image(tensor)).astype(np.float32)  # h w 3
    values = tensor.detach().to("cpu", torch.float32).clamp(0, 1).mul(65535).round()
    values = values.reshape(3, *values.shape[-2:]).permute(1, 2, 0)
    half = WIDER // 2
    levels: Levels = values.numpy().clip(nearest - half, nearest + half).astype(np.uint16)
    return levels
