"""Tensor shapes for annotations: ``Float[Tensor, "1 3 h w"]``.

Only the tests evaluate them, so the package runs where jaxtyping is not installed.
"""

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, UInt8
else:
    try:
        from jaxtyping import Bool, Float, Int, UInt8
    except ImportError:

        class Float:
            """Stand-in for jaxtyping's type: ``Float[Tensor, shape]`` is the bare tensor type."""

            def __class_getitem__(cls, item: tuple[type, str]) -> type:
                """Drop the shape."""
                return item[0]

        Bool = Int = UInt8 = Float


__all__ = ["Bool", "Float", "Int", "Tensor", "UInt8"]
