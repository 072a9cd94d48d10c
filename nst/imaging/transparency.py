"""Cut-out pictures: of mode RGBA, with colours that are not multiplied by the alpha."""

from __future__ import annotations

from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """Return a copy of an image in mode RGB, composited on white."""
    colours = image.convert("RGB")
    if image.mode != "RGBA":
        return colours
    white = Image.new("RGB", image.size, "white")
    return Image.composite(colours, white, image.getchannel("A"))


def cut_out(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Give a picture of mode RGB the alpha of its original, resized to the picture.

    The colours are kept, even where they are invisible. If the original is opaque, of mode RGB, the
    picture is returned unchanged.
    """
    if original.mode != "RGBA":
        return picture
    cut = picture.copy()
    cut.putalpha(original.getchannel("A").resize(picture.size, Image.Resampling.LANCZOS))
    return cut
