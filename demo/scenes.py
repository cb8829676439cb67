"""Photos with two to five products on one background, with the box and the id of each.

All products of a photo come from one split and from different styles.
"""

import random
from dataclasses import dataclass

from PIL import Image

from demo.items import Item, generator, item
from demo.moods import MOOD_VARIANTS, SIDE
from demo.picture import background, cast_shadow, cutout
from demo.taxonomy import SEASONS
from demo.text import title

WIDTH, HEIGHT = 480, 360
_SLOTS = {
    2: ((0.27, 0.52), (0.73, 0.52)),
    3: ((0.2, 0.56), (0.5, 0.42), (0.8, 0.56)),
    4: ((0.27, 0.27), (0.73, 0.27), (0.27, 0.74), (0.73, 0.74)),
    5: ((0.18, 0.27), (0.5, 0.27), (0.82, 0.27), (0.33, 0.74), (0.67, 0.74)),
}
_SIZES = {2: 218, 3: 178, 4: 172, 5: 160}


@dataclass(frozen=True, slots=True)
class Scene:
    """A photo and what is on it.

    Attributes:
        picture: `(360, 480)` RGB.
        split: of all its products.
        items: the products.
        boxes: `(left, top, right, bottom)` pixels of each product, right and bottom exclusive.
    """

    picture: Image.Image
    split: str
    items: tuple[Item, ...]
    boxes: tuple[tuple[int, int, int, int], ...]

    @property
    def caption(self) -> str:
        """The titles of the products, in order."""
        return "; ".join(title(one) for one in self.items)


def _choose(rng: random.Random, seed: int, products: int) -> list[Item]:
    wanted = rng.choices((2, 3, 4, 5), (0.3, 0.3, 0.25, 0.15))[0]
    first = item(seed, rng.randrange(products))
    chosen, styles = [first], {first.group or first.id}
    for _ in range(400):
        if len(chosen) == wanted:
            break
        other = item(seed, rng.randrange(products))
        if other.split == first.split and (other.group or other.id) not in styles:
            chosen.append(other)
            styles.add(other.group or other.id)
    return chosen


def _placed(one: Item, rng: random.Random, size: int, middle: tuple[float, float]) -> Image.Image:
    """Return the product on a transparent sheet as large as the photo, its visible middle near `middle`."""
    sheet = cutout(one)
    edge = round(size * rng.uniform(0.88, 1.06))
    small = sheet.crop(sheet.getbbox()).resize(_fit(sheet.getbbox() or (0, 0, 1, 1), edge), Image.Resampling.BICUBIC)
    small = small.rotate(rng.uniform(-9, 9), Image.Resampling.BICUBIC, expand=True)
    layer = Image.new("RGBA", (WIDTH, HEIGHT))
    x = middle[0] * WIDTH + rng.uniform(-12, 12) - small.width / 2
    y = middle[1] * HEIGHT + rng.uniform(-8, 8) - small.height / 2
    place = (_inside(x, WIDTH - small.width), _inside(y, HEIGHT - small.height))
    layer.paste(small, place)
    return layer


def _fit(box: tuple[int, int, int, int], edge: int) -> tuple[int, int]:
    width, height = box[2] - box[0], box[3] - box[1]
    scale = edge / max(width, height) * 0.92
    return max(1, round(width * scale)), max(1, round(height * scale))


def _inside(value: float, most: int) -> int:
    return round(min(max(value, 2), max(most - 2, 2)))


def scene(seed: int, number: int, products: int) -> Scene:
    """Return photo `number` of the shop with this seed and number of products.

    With fewer than two products in a split a photo shows one product only.
    """
    rng = generator(seed, "scene", number, products)
    items = _choose(rng, seed, products)
    canvas = background(rng.choice(SEASONS), "mood", rng.randrange(MOOD_VARIANTS))
    top = round(SIDE * rng.uniform(0.1, 0.2))
    canvas = canvas.crop((0, top, SIDE, top + SIDE * HEIGHT // WIDTH)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    slots = _SLOTS[max(2, len(items))]
    boxes: list[tuple[int, int, int, int]] = []
    for one, middle in zip(items, slots, strict=False):
        layer = _placed(one, rng, _SIZES[max(2, len(items))], middle)
        alpha = layer.getchannel("A")
        boxes.append(alpha.point([0] * 64 + [255] * 192).getbbox() or (0, 0, 1, 1))
        cast_shadow(canvas, alpha, (8, 8), 0.4)
        canvas.paste(layer, (0, 0), layer)
    return Scene(canvas, items[0].split, tuple(items), tuple(boxes))
