"""Composites on disk, for people to look at: pictures, their labels, and a sheet of all with boxes drawn."""

import json
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw
from pydantic import ValidationError

from models.capture.composites import Composer, Composite, CompositeDesign

LABELS_FILE = "labels.jsonl"
SHEET_FILE = "contact.png"
_ON_SHEET = 48
_COLUMNS = 6
_CELL = 260
_RED = (220, 20, 20)


class DesignError(ValueError):
    """A design of composites that cannot be used; the message names the key."""


def read_design(path: Path | None) -> CompositeDesign:
    """Return the design in the TOML file at `path`, or the usual one.

    Raises:
        DesignError: the file cannot be read or holds something else.
    """
    if path is None:
        return CompositeDesign()
    try:
        return CompositeDesign.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DesignError(f"cannot read {path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise DesignError(f"{path}: {'.'.join(map(str, first['loc'])) or 'design'}: {first['msg']}") from error


def write_composites(composer: Composer, numbers: Iterable[int], out: Path) -> dict[str, int]:
    """Write composites of these `numbers` to the folder `out`; return how many pictures and products there are.

    `labels.jsonl` has a line for each: `scene_id`, `image`, `width`, `height` and `objects` with `id` and `box`
    (left, top, right, bottom in pixels, right and bottom exclusive), as the scenes of the generated shop.

    Raises:
        OSError: something cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    shown: list[Image.Image] = []
    counts = {"pictures": 0, "products": 0}
    with (out / LABELS_FILE).open("w", encoding="utf-8") as labels:
        for number in numbers:
            made = composer.composite(number)
            name = f"c{number:06}.png"
            made.picture.save(out / name)
            labels.write(json.dumps(_label(made, name)) + "\n")
            counts["pictures"] += 1
            counts["products"] += len(made.products)
            if len(shown) < _ON_SHEET:
                shown.append(_drawn(made))
    _sheet(shown).save(out / SHEET_FILE)
    return counts


def _label(made: Composite, name: str) -> dict[str, object]:
    pairs = zip(made.products, made.boxes.astype(int).tolist(), strict=True)
    return {
        "scene_id": Path(name).stem,
        "image": name,
        "width": made.picture.width,
        "height": made.picture.height,
        "objects": [{"id": product, "box": box} for product, box in pairs],
    }


def _drawn(made: Composite) -> Image.Image:
    """Return the picture, small, with the boxes drawn."""
    picture = made.picture.copy()
    draw = ImageDraw.Draw(picture)
    for left, top, right, bottom in made.boxes.astype(int).tolist():
        draw.rectangle((left, top, right - 1, bottom - 1), outline=_RED)
    picture.thumbnail((_CELL - 4, _CELL - 4))
    return picture


def _sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    height = max(picture.height for picture in pictures) + 4
    sheet = Image.new("RGB", (_COLUMNS * _CELL, -(-len(pictures) // _COLUMNS) * height), "white")
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % _COLUMNS * _CELL + 2, number // _COLUMNS * height + 2))
    return sheet
