"""What is asked of servers under test: words as shoppers type them, and pictures; each new to any cache, or not."""

import base64
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from benchmarks.wire import post

SEARCH = "/v1/search"


def fresh_texts(titles: Sequence[str], count: int, seed: int) -> list[str]:
    """Return `count` different texts: two to five words of a title, and one word of another.

    Raises:
        ValueError: the titles do not hold as many.
    """
    texts = list(dict.fromkeys(islice(_texts(titles, seed), 50 * count)))[:count]
    if len(texts) < count:
        msg = f"{len(titles)} titles make {len(texts)} different texts, {count} are wanted"
        raise ValueError(msg)
    return texts


def _texts(titles: Sequence[str], seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    while True:
        words, others = rng.choice(titles).split(), rng.choice(titles).split()
        chosen = rng.sample(words, min(len(words), rng.randint(2, 5)))
        yield " ".join([*chosen, rng.choice(others)])


def fresh_pictures(pictures: Sequence[bytes], count: int, seed: int) -> list[str]:
    """Return `count` pictures in base64, all different files: bytes behind the end of a picture change no pixel."""
    rng = random.Random(seed)
    return [base64.b64encode(rng.choice(pictures) + rng.randbytes(8)).decode() for _ in range(count)]


def text_requests(texts: Sequence[str], headers: Mapping[str, str] | None = None, **asked: object) -> list[bytes]:
    """Return searches for texts, with what else is asked."""
    return [post(SEARCH, {"q": text, **asked}, headers) for text in texts]


def picture_requests(pictures: Sequence[str], headers: Mapping[str, str] | None = None) -> list[bytes]:
    """Return searches for pictures in base64."""
    return [post(SEARCH, {"image": {"data": data}}, headers) for data in pictures]
