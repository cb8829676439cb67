"""One product laid on a picture: resized, turned, its edge softened, its shadow cast."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image, ImageFilter

from models.capture.placing import VISIBLE, Mask

_SHADOWS_AT = 4  # shadows are soft: they are made at a quarter of the size
_MOST_ENLARGED = 1.6


@dataclass(frozen=True, slots=True)
class Piece:
    """A product as it will be seen, RGBA.

    Attributes:
        image: as large as what is visible of the product.
        visible: `(h, w) bool`, where it is opaque enough to be seen.
    """

    image: Image.Image
    visible: Mask

    @property
    def width(self) -> int:
        """In pixels."""
        return self.image.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self.image.height


@dataclass(frozen=True, slots=True)
class Look:
    """What all products of a picture share.

    Attributes:
        darkness: of shadows, 0..1; 0 for none.
        across: how far shadows fall to the right, as a share of the product's longer side.
        down: how far they fall down, likewise.
        blur: of the shadows, likewise.
        feather: radius of the softening of edges, in pixels.
    """

    darkness: float
    across: float
    down: float
    blur: float
    feather: float

    @classmethod
    def draw(cls, rng: np.random.Generator, *, shadow: float, feather: float) -> Self:
        """Draw a look; `shadow` is how probable shadows are, `feather` the largest radius."""
        darkness = rng.uniform(0.15, 0.6) if rng.random() < shadow else 0.0
        return cls(
            darkness, rng.uniform(-0.07, 0.07), rng.uniform(0, 0.08), rng.uniform(0.02, 0.07), rng.uniform(0, feather)
        )


def piece(image: Image.Image, side: float, turn: float, room: tuple[float, float]) -> Piece:
    """Return the product of `image`, RGBA.

    Args:
        image: RGBA.
        side: its longer side, in pixels; cut-outs are not enlarged by more than about half.
        turn: counter-clockwise, in degrees.
        room: width and height it stays within.
    """
    angle = np.deg2rad(turn)
    cosine, sine = abs(np.cos(angle)), abs(np.sin(angle))
    extent = (image.width * cosine + image.height * sine, image.width * sine + image.height * cosine)
    scale = min(side / max(image.size), _MOST_ENLARGED, room[0] / extent[0], room[1] / extent[1])
    size = (max(4, round(image.width * scale)), max(4, round(image.height * scale)))
    shown = image.resize(size, Image.Resampling.BILINEAR)
    if turn:
        shown = shown.rotate(turn, Image.Resampling.BILINEAR, expand=True)
    visible = np.asarray(shown.getchannel("A")) >= VISIBLE
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    if not len(rows):
        return Piece(shown, visible)
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    return Piece(shown.crop(box), visible[box[1] : box[3], box[0] : box[2]])


def lay(canvas: Image.Image, part: Piece, left: int, top: int, look: Look) -> None:
    """Paint `part` on `canvas` at `left`, `top`, and its shadow under it."""
    alpha = part.image.getchannel("A")
    if look.darkness:
        _cast(canvas, alpha, left, top, look)
    if look.feather > 0.2:
        alpha = alpha.filter(ImageFilter.GaussianBlur(look.feather))
    canvas.paste(part.image.convert("RGB"), (left, top), alpha)


def _cast(canvas: Image.Image, alpha: Image.Image, left: int, top: int, look: Look) -> None:
    longer = max(alpha.size)
    reach = look.blur * longer
    room = int(3 * reach) + _SHADOWS_AT
    size = tuple(max(1, round((side + 2 * room) / _SHADOWS_AT)) for side in alpha.size)
    sheet = Image.new("L", (size[0], size[1]))
    inner = tuple(max(1, round(side / _SHADOWS_AT)) for side in alpha.size)
    levels = (np.arange(256) * look.darkness).astype(int).tolist()
    darkened = alpha.resize((inner[0], inner[1]), Image.Resampling.BOX).point(levels)
    sheet.paste(darkened, (round(room / _SHADOWS_AT), round(room / _SHADOWS_AT)))
    soft = sheet.filter(ImageFilter.GaussianBlur(reach / _SHADOWS_AT))
    whole = soft.resize((alpha.width + 2 * room, alpha.height + 2 * room), Image.Resampling.BILINEAR)
    at = (left - room + round(look.across * longer), top - room + round(look.down * longer))
    canvas.paste((0, 0, 0), (*at, at[0] + whole.width, at[1] + whole.height), whole)
