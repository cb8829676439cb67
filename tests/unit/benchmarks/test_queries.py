"""What is asked: new to every cache, and still what a shopper would ask."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmarks.queries import fresh_pictures, fresh_texts, text_requests

TITLES = [
    f"{colour} {pattern} {thing}"
    for colour in ("red", "blue")
    for pattern in ("plain", "dotted")
    for thing in ("dress", "shirt", "scarf")
]


def test_fresh_texts_are_different_words_of_titles():
    texts = fresh_texts(TITLES, 60, seed=1)
    assert len(set(texts)) == 60
    assert {word for text in texts for word in text.split()} <= {word for title in TITLES for word in title.split()}
    assert texts == fresh_texts(TITLES, 60, seed=1)
    assert texts != fresh_texts(TITLES, 60, seed=2)


def test_titles_that_hold_too_few_texts_are_refused():
    with pytest.raises(ValueError, match="1 titles make"):
        fresh_texts(["red dress"], 1_000, seed=0)


def test_fresh_pictures_are_other_files_with_the_same_pixels():
    file = BytesIO()
    pixels = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    first, second = (base64.b64decode(text) for text in fresh_pictures([file.getvalue()], 2, seed=0))
    assert first != second
    assert Image.open(BytesIO(first)).tobytes() == Image.open(BytesIO(second)).tobytes()


def test_what_else_is_asked_stands_in_the_body():
    (request,) = text_requests(["red"], {"x-deadline": "1"}, limit=3)
    assert request.endswith(b'{"q":"red","limit":3}')
    assert b"x-deadline: 1\r\n" in request
