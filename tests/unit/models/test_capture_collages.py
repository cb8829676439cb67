"""Collages: each product in its cell, its box around what is not white, and every bad line named."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from models.capture.collages import CELL, product_mask, read_collages
from models.train.feed import DataError, Feed

RED, BLUE = (200, 30, 30), (30, 30, 200)


def jpeg_free(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def photo(box, colour, size=CELL):
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill=colour)
    return picture


@pytest.fixture
def feed(tmp_path):
    photos = [photo((20, 30, 100, 200), RED), photo((0, 0, 84, 112), BLUE, (84, 112))]
    rows = {
        "id": ["1", "2"],
        "title": ["red", "blue"],
        "split": ["val", "val"],
        "image_bytes": [[jpeg_free(one)] for one in photos],
    }
    pq.write_table(pa.table(rows), tmp_path / "catalogue.parquet")
    return Feed.open(tmp_path)


@pytest.fixture
def written(tmp_path):
    def write(*lines):
        path = tmp_path / "collages.jsonl"
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return path

    return write


def test_products_stand_in_their_cells(feed, written):
    path = written({"cid": "a", "ids": [1, "2"], "cells": [1, 2]}, {"cid": "b", "ids": [2], "cells": [0]})
    first, second = read_collages(path, feed, "val")
    assert (first.name, first.products, first.picture.size) == ("a", ("1", "2"), (336, 448))
    assert first.boxes.tolist() == [[188, 30, 268, 200], [0, 224, 168, 448]]  # the small picture is twice as large
    assert first.cells.tolist() == [[168, 0, 336, 224], [0, 224, 168, 448]]
    pixels = np.asarray(first.picture)
    assert (pixels[30:200, 188:268] == RED).all()
    assert (pixels[250:420, 20:150] == BLUE).all()
    assert (pixels[:224, :168] == 255).all()
    assert (second.name, second.boxes.tolist()) == ("b", [[0, 0, 168, 224]])


def test_on_another_background_only_the_product_is_pasted(feed, written):
    path = written({"cid": "a", "ids": [1], "cells": [3]}, {"cid": "b", "ids": [1], "cells": [3]})
    asked = []

    def green(number, size):
        asked.append(number)
        return Image.new("RGB", size, (0, 128, 0))

    collage = next(iter(read_collages(path, feed, "val", green)))
    pixels = np.asarray(collage.picture)
    left, top, right, bottom = collage.boxes[0].astype(int)
    assert (pixels[top + 4 : bottom - 4, left + 4 : right - 4] == RED).all()
    rest = np.ones(pixels.shape[:2], np.bool_)
    rest[top - 4 : bottom + 4, left - 4 : right + 4] = False
    assert (pixels[rest] == (0, 128, 0)).all()
    assert asked == [0]
    assert [one.name for one in read_collages(path, feed, "val", green)] == ["a", "b"]
    assert asked == [0, 0, 1]


def test_white_within_a_product_is_part_of_it():
    picture = photo((10, 10, 40, 40), RED, (60, 50))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([20, 20, 29, 29], fill="white")  # a hole
    mask = product_mask(picture)
    assert mask.sum() == 900
    draw.rectangle([20, 5, 22, 25], fill="white")  # a way into it from above
    assert product_mask(picture).sum() == 900 - 100 - 3 * 10
    assert product_mask(Image.new("RGB", (5, 4), "white")).all()
    assert product_mask(Image.new("RGB", (5, 4), (244, 255, 255))).all()


def flooded(white):
    """White pixels reached from the edge, one step at a time."""
    height, width = white.shape
    edge = [(r, c) for r in range(height) for c in range(width) if r in {0, height - 1} or c in {0, width - 1}]
    waiting, seen = [cell for cell in edge if white[cell]], set()
    while waiting:
        row, column = waiting.pop()
        if (row, column) in seen or not (0 <= row < height and 0 <= column < width) or not white[row, column]:
            continue
        seen.add((row, column))
        waiting += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_is_that_of_a_naive_flood(seed):
    rng = np.random.default_rng(seed)
    white = rng.random((18, 23)) < 0.62  # near where white pixels join up: winding ways
    picture = Image.fromarray(np.where(white[..., None], 255, 0).repeat(3, 2).astype(np.uint8))
    reached = flooded(white)
    expected = np.array([[(r, c) not in reached for c in range(23)] for r in range(18)])
    assert (product_mask(picture) == expected).all()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: "),
        ({"cid": "a", "ids": [1]}, "line 1: "),
        ({"cid": "a", "ids": [], "cells": []}, "line 1: "),
        ({"cid": "a", "ids": [1, 2], "cells": [0]}, "line 1: cells must say"),
        ({"cid": "a", "ids": [1], "cells": [4]}, "line 1: cells must say"),
        ({"cid": "a", "ids": [1, 2], "cells": [1, 1]}, "line 1: two products in one cell"),
        ({"cid": "a", "ids": [9], "cells": [0]}, "no product 9 with a picture"),
    ],
)
def test_a_bad_line_is_named(feed, written, line, says):
    with pytest.raises(DataError, match=says):
        list(read_collages(written(line), feed, "val"))


def test_a_missing_file_is_named(feed, tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        list(read_collages(tmp_path / "none.jsonl", feed, "val"))
