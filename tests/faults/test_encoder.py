"""An encoder that fails: raises, runs out of memory, gives what is no vector. Its caller is told, and nobody else."""

import concurrent.futures
import time

import pytest

# What the words of a query do to the encoder. It is the process's own, with faults put into it.
PREPARE = """
import numpy as np
import models.eiclip as clip
from models.encoder import TextTerms

whole = clip.EiClipEncoder.text_terms
pictured = clip.EiClipEncoder.encode_images

def fault(words, terms):
    if "raise" in words:
        raise RuntimeError("a fault of the model")
    if "memory" in words:
        raise MemoryError
    if "system" in words:
        raise OSError(28, "No space left on device")
    changed = terms.terms.copy()
    if "nan" in words:
        changed[:] = np.nan
    if "infinite" in words:
        changed[:] = np.inf
    if "short" in words:
        changed = changed[:, :-1]
    return TextTerms(terms.names, changed, terms.gates)

def text_terms(self, texts, entities=None):
    made = whole(self, texts, entities)
    if any("few" in words for words in texts):
        return made[:-1]
    return [fault(words, terms) for words, terms in zip(texts, made, strict=True)]

def encode_images(self, images):
    vectors = pictured(self, images)
    for row, image in enumerate(images):
        if image.size == (13, 13):
            raise RuntimeError("a fault of the model")
        if image.size == (14, 14):
            vectors[row] = np.nan
    return vectors

clip.EiClipEncoder.text_terms, clip.EiClipEncoder.encode_images = text_terms, encode_images
"""
FAULTS = ["raise", "memory", "system", "nan", "infinite", "short", "few"]
AT_ONCE = 24
SOON_S = 10.0


@pytest.fixture(scope="module")
def service(nursery, published, unharmed):
    flags = ("--data-dir", published / "data", "--update-log", "off", "--ready-cache-ms", 0)
    started = nursery.start(*flags, prepare=PREPARE)
    unharmed.check(started)
    return started


@pytest.fixture
def attacked(service, unharmed):
    """The service, whose log lines of the faults are wanted here."""
    yield service
    errors = [line for line in service.lines if line["event"] == "unexpected_error"]
    unharmed.forgive(service)
    unharmed.check(service)
    assert errors


def assert_fails(answer):
    assert 500 <= answer.status_code <= 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text
    assert "fault of the model" not in answer.text


@pytest.mark.parametrize("fault", FAULTS)
def test_a_query_whose_encoding_fails_is_told_so_and_nothing_of_it_is_remembered(attacked, fault):
    for _ in range(2):  # the second might come from the cache
        began = time.monotonic()
        assert_fails(attacked.client.post("/v1/search", json={"q": f"red {fault}", "mode": "vector"}))
        assert_fails(attacked.client.post("/v1/search", json={"query": [{"text": "mug"}, {"text": f"a {fault}"}]}))
        assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize("side", [13, 14])
def test_a_picture_whose_encoding_fails_is_told_so(attacked, support, side):
    picture = support("attack_pictures").plain(side, side, "PNG")
    for _ in range(2):
        assert_fails(attacked.client.post("/v1/search/image", files={"image": picture}))


@pytest.mark.parametrize("fault", ["raise", "nan", "few"])
def test_who_is_encoded_with_it_is_answered_all_the_same(attacked, fault):
    """Every fourth of those who come at once fails."""
    right = {n: attacked.found(q=f"red mug no {n}") for n in range(AT_ONCE) if n % 4}

    def ask(n):
        words = f"red mug no {n}" if n % 4 else f"red {fault} {n}"
        return attacked.client.post("/v1/search", json={"q": words, "limit": 20, "lexical_weight": None})

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, range(AT_ONCE)))
    for n, answer in enumerate(answers):
        if n % 4:
            assert [hit["id"] for hit in answer.json()["hits"]] == right[n]
        else:
            assert_fails(answer)
