"""Regions of a picture: what a detector returns, and how one is cut out for an encoder.

Boxes are fractions of the upright picture's width and height, so that they hold at whatever scale the picture was
decoded.
"""

import math
from dataclasses import dataclass
from typing import Final

from PIL import Image

MARGIN: Final = 0.08
"""Of a box's longer side, added around it before it is cut out: encoders know products with some room."""
_WHITE: Final = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Detection:
    """A product that was found in a picture.

    Attributes:
        box: left, top, right, bottom, each within 0..1 of the picture's width or height; left < right, top < bottom.
        confidence: that there is one product, just there; 0..1.
    """

    box: tuple[float, float, float, float]
    confidence: float


def cut_region(picture: Image.Image, box: tuple[float, float, float, float], margin: float = MARGIN) -> Image.Image:
    """Return what is in `box` and a little around it as a square RGB picture, white where the photo ends.

    The square keeps the product's shape whatever an encoder does to oblong pictures, and white is what catalogue
    photos have around the product.
    """
    left, top, right, bottom = (fraction * side for fraction, side in zip(box, picture.size * 2, strict=True))
    room = margin * max(right - left, bottom - top)
    area = (
        max(0, math.floor(left - room)),
        max(0, math.floor(top - room)),
        min(picture.width, math.ceil(right + room)),
        min(picture.height, math.ceil(bottom + room)),
    )
    cut = picture.crop((*area[:2], max(area[2], area[0] + 1), max(area[3], area[1] + 1)))
    side = max(cut.size)
    square = Image.new("RGB", (side, side), _WHITE)
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return square
