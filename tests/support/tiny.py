"""A backbone small enough for tests, EI-CLIP models on it, and a shop of coloured shapes to train them on."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw

from models.clip import Backbone, open_backbone
from models.eiclip import EiClip, EntityDesign, EntityTable

SIZE = 32
DIM = 24
CONFIG = {
    "model_cfg": {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 4, "head_width": 32},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {"size": [SIZE, SIZE], "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]},
}
COUNTS = {"brand": {"Nike": 5, "Diesel": 3}, "category": {"top": 4}, "season": {"Summer": 9, "Winter": 2}}
GROUPS = tuple(COUNTS)

COLOURS = {"red": (220, 30, 40), "green": (40, 160, 60), "blue": (40, 70, 200), "black": (20, 20, 20)}
SHAPES = ("circle", "square", "bar")
BRANDS = ("Diesel", "Golden Fox", "Nike")
_CORNERS = {"Diesel": (0, 0), "Golden Fox": (40, 0), "Nike": (0, 40)}


def backbone_folder(parent: Path, **text: object) -> Path:
    """Write the tiny backbone's config into `parent/tiny`, its text tower changed by `text`."""
    folder = parent / "tiny"
    folder.mkdir(exist_ok=True)
    model = {**CONFIG["model_cfg"], "text_cfg": {**CONFIG["model_cfg"]["text_cfg"], **text}}
    (folder / "open_clip_config.json").write_text(json.dumps({**CONFIG, "model_cfg": model}))
    return folder


def backbone(parent: Path, seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return open_backbone(str(backbone_folder(parent)))


def eiclip(parent: Path, seed: int = 0, **design: object) -> EiClip:
    """Return a model with random weights that knows `COUNTS`."""
    opened = backbone(parent, seed)
    return EiClip(
        opened, EntityDesign(**{"groups": GROUPS, "hidden_dim": 8, "embedding_dim": 6, **design}), EntityTable(COUNTS)
    ).eval()


def photos(count: int, seed: int = 0) -> list[Image.Image]:
    """Return noise pictures of different sizes and shapes."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(20, 90, size=(count, 2))
    return [Image.fromarray(rng.integers(0, 256, size=(h, w, 3), dtype=np.uint8)) for h, w in sizes]


def draw(colour: str, shape: str, brand: str, *, turn: int = 0) -> bytes:
    """Return a 64-pixel PNG: a shape in a colour, the brand as a white mark whose corner is the brand's."""
    image = Image.new("RGB", (64, 64), (235, 235 - turn, 230))
    pen = ImageDraw.Draw(image)
    box = {"circle": (12, 12, 52, 52), "square": (14, 14, 50, 50), "bar": (6, 26, 58, 38)}[shape]
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=COLOURS[colour])
    x, y = _CORNERS[brand]
    pen.rectangle((x + 4, y + 4, x + 20, y + 20), fill=(255, 255, 255), outline=(90, 0, 90), width=3)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def shop_rows(count: int, split: str, start: int = 0) -> list[dict[str, object]]:
    """Return catalogue rows: every product a colour, a shape, a brand, and one or two pictures."""
    rows = []
    for n in range(start, start + count):
        colour, shape = list(COLOURS)[n % 4], SHAPES[n // 4 % 3]
        brand = BRANDS[n // 12 % 3]
        views = [draw(colour, shape, brand, turn=v) for v in range(1 + n % 2)]
        rows.append(
            {
                "id": f"p{n}",
                "title": f"{brand} {colour} {shape}",
                "description": f"A {colour} {shape} to look at.",
                "brand": brand,
                "category": shape,
                "season": "Summer" if n % 2 else None,
                "split": split,
                "image_bytes": views,
            }
        )
    return rows


def write_shop(folder: Path, *, train: int = 72, val: int = 36, test: int = 36) -> Path:
    """Write `catalogue.parquet` with that many products of each split into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = shop_rows(train, "train") + shop_rows(val, "val", 1000 * 36) + shop_rows(test, "test", 2000 * 36)
    pq.write_table(pa.Table.from_pylist(rows), folder / "catalogue.parquet")
    return folder
