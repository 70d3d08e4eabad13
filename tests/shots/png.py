"""Small PNG files: pages have few colours."""

import io

from PIL import Image

COLOURS = 192


def smaller(png: bytes) -> bytes:
    """The picture with a palette, as small as PNG makes it."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    few = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = io.BytesIO()
    few.save(out, "PNG", optimize=True)
    return out.getvalue()
