"""Pictures that are cut out: of mode RGBA, with colours that are not multiplied by the alpha."""

from __future__ import annotations

from PIL import Image


def on_white(image: Image.Image) -> Image.Image:
    """Return a copy of an image as it looks on white paper, of mode RGB."""
    colours = image.convert("RGB")
    if image.mode != "RGBA":
        return colours
    white = Image.new("RGB", image.size, "white")
    return Image.composite(colours, white, image.getchannel("A"))


def cut_out(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Give a picture of mode RGB the alpha of the one that it was made from, at its own size.

    The colours stay, also where they do not show. An opaque original, of mode RGB, leaves the
    picture as it is.
    """
    if original.mode != "RGBA":
        return picture
    cut = picture.copy()
    cut.putalpha(original.getchannel("A").resize(picture.size, Image.Resampling.LANCZOS))
    return cut
