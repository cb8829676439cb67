"""Pictures of any shape fitted into the square that the detector reads, and boxes there and back.

The one preparation of training and serving. The picture keeps its shape, stands in the middle, and is grey around.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Boxes = NDArray[np.float32]
Square = NDArray[np.uint8]

_GREY: Final = (127, 127, 127)
_GAP: Final = 2.0  # large pictures are first halved as a whole until they are so many times too large: 4 times faster


@dataclass(frozen=True, slots=True)
class Fitted:
    """A picture in its square.

    Attributes:
        pixels: `(side, side, 3) uint8`.
        left: pixels of grey on the left.
        top: pixels of grey above.
        width: of the picture within the square.
        height: of the picture within the square.
    """

    pixels: Square
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, picture: Image.Image, side: int) -> Self:
        """Fit the RGB `picture`, its longer side to become `side` pixels."""
        scale = side / max(picture.size)
        width, height = (max(1, round(length * scale)) for length in picture.size)
        small = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=_GAP)
        left, top = (side - width) // 2, (side - height) // 2
        square = Image.new("RGB", (side, side), _GREY)
        square.paste(small, (left, top))
        return cls(np.asarray(square), left, top, width, height)

    def fractions(self, boxes: Boxes) -> Boxes:
        """Return boxes `(n, 4)` in pixels of the square as fractions of the picture, cut off at its edges."""
        corner, extent = self._frame()
        return np.asarray(((boxes - corner) / extent).clip(0, 1), dtype=np.float32)

    def within(self, fractions: Boxes) -> Boxes:
        """Return boxes `(n, 4)` in fractions of the picture as pixels of the square."""
        corner, extent = self._frame()
        return np.asarray(fractions * extent + corner, dtype=np.float32)

    def _frame(self) -> tuple[Boxes, Boxes]:
        corner = np.array([self.left, self.top] * 2, dtype=np.float32)
        return corner, np.array([self.width, self.height] * 2, dtype=np.float32)
