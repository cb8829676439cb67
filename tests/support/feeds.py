"""Small catalogues on disk for tests: products that differ, with pictures drawn for them, in Parquet."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

COLOURS = {
    "black": (10, 10, 10),
    "red": (220, 30, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "yellow": (240, 220, 50),
    "purple": (130, 50, 160),
}
CATEGORIES = ("top", "dress", "sneaker", "watch", "mug", "bag")
BRANDS = ("Diesel Lane", "Golden Goat", "Canada Geese", "Ruby", "Northmost")


def picture(seed: int, colour: str = "red", size: tuple[int, int] = (120, 160)) -> Image.Image:
    """Return a picture of shapes of `colour` on white, different for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, (245, 245, 245))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        x, y = rng.integers(0, size[0] - 30), rng.integers(0, size[1] - 40)
        w, h = rng.integers(25, size[0] // 2), rng.integers(25, size[1] // 2)
        shade = tuple(int(np.clip(c + rng.integers(-25, 26), 0, 255)) for c in COLOURS[colour])
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=shade)
    return image


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Return `image` as JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def products(n: int, *, pictures: int = 2) -> list[dict[str, object]]:
    """Return n flat product rows; product i has `pictures` pictures, `images/p<i>-<v>.jpg`."""
    rows: list[dict[str, object]] = []
    for i in range(n):
        colour = list(COLOURS)[i % len(COLOURS)]
        brand, category = BRANDS[i % len(BRANDS)], CATEGORIES[(i // 2) % len(CATEGORIES)]
        rows.append(
            {
                "id": f"p{i}",
                "title": f"{brand} {colour} {category} no {i}",
                "description": f"A {colour} {category} for every day, model {i * 7919 % 1000}",
                "brand": brand,
                "category": category,
                "season": ("summer", "winter")[i % 2],
                "composition": "cotton",
                "price": 10.0 + i,
                "currency": "EUR",
                "in_stock": i % 5 != 0,
                "url": f"https://shop.example/p{i}",
                "group": None,
                "images": [f"images/p{i}-{v}.jpg" for v in range(pictures)],
                "colour": colour,
                "split": ("train", "val", "test")[i % 3],
            }
        )
    return rows


def write_pictures(folder: Path, rows: list[dict[str, object]]) -> None:
    """Draw the pictures of `rows` under `folder`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(rows):
        for v, name in enumerate(row["images"]):
            image = picture(i, str(row["colour"]))
            if v % 2:
                image = image.rotate(8, fillcolor=(245, 245, 245))
            (folder / str(name)).write_bytes(jpeg(image))


def write_feed(folder: Path, n: int = 40, *, pictures: int = 2) -> Path:
    """Write `catalogue.parquet` and its pictures into `folder`; return the feed's path."""
    rows = products(n, pictures=pictures)
    write_pictures(folder, rows)
    path = folder / "catalogue.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path
