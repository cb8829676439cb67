"""Catalogues of any size, and an encoder without weights that stands for a model where encoding all would take days.

Products have titles of six words, descriptions of a dozen, brands and categories; pictures, if any, are small JPEGs out
of a few hundred. A text's vector is its category's direction with the text's own noise, so that neighbours exist.
"""

import hashlib
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from models.encoder import WORDS_TERM, Entities, TextTerms, Vectors

BRANDS = tuple(f"{first} {second}" for first in ("Alder", "Birch", "Cedar", "Dune", "Ember") for second in
               ("Goods", "Works", "House", "Field", "Lane", "Row"))  # fmt: skip
CATEGORIES = (
    "backpack",
    "blouse",
    "boots",
    "cap",
    "dress",
    "jacket",
    "jeans",
    "mug",
    "ring",
    "sandals",
    "scarf",
    "watch",
)
SEASONS = ("spring", "summer", "autumn", "winter")
COLOURS = ("black", "blue", "brown", "green", "grey", "orange", "pink", "purple", "red", "white", "yellow")
WORDS = tuple(f"{a}{b}{c}" for a in ("bra", "cor", "del", "fen", "gal", "hor", "lim", "mar", "nor", "pel")
              for b in ("do", "li", "ma", "ne", "so", "ti") for c in ("n", "r", "sk", "th", "vel"))  # fmt: skip
PICTURES = 256
SIDE = 48  # pixels of a picture
_ROWS = 20_000  # written at a time
_NOISE = 0.8
_SLIGHT = 3e-3  # by how much company changes a vector


def write_feed(path: Path, products: int, seed: int, *, pictures: int = 0, side: int = SIDE, changed: int = 0) -> None:
    """Write a Parquet feed; of the first `changed` products in a seeded order, the title is another."""
    other = np.zeros(products, np.bool_)
    other[np.random.default_rng([seed, 1]).permutation(products)[:changed]] = True
    small = [picture(number, seed, side) for number in range(PICTURES)] if pictures else []
    with pq.ParquetWriter(path, _table(range(1), other, seed, pictures, small).schema) as writer:
        for start in range(0, products, _ROWS):
            rows = range(start, min(products, start + _ROWS))
            writer.write_table(_table(rows, other, seed, pictures, small), row_group_size=1_000)


def _table(rows: range, changed: NDArray[np.bool_], seed: int, pictures: int, small: Sequence[bytes]) -> pa.Table:
    made = [_product(number, seed, changed=bool(changed[number])) for number in rows]
    if pictures:
        for number, row in zip(rows, made, strict=True):
            row["image_bytes"] = [small[(number * 31 + n * 7) % PICTURES] for n in range(pictures)]
    return pa.Table.from_pylist(made)


def _product(number: int, seed: int, *, changed: bool) -> dict[str, object]:
    rng = np.random.default_rng([seed, 2, number])
    brand, category = BRANDS[int(rng.integers(len(BRANDS)))], CATEGORIES[int(rng.integers(len(CATEGORIES)))]
    colour = COLOURS[int(rng.integers(len(COLOURS)))]
    words = [WORDS[int(at)] for at in rng.integers(len(WORDS), size=12)]
    title = f"{brand} {colour} {category} {words[0]} {number}"
    return {
        "id": f"made-{number}",
        "title": f"{title} new" if changed else title,
        "description": f"A {colour} {category}: {' '.join(words[1:])}",
        "brand": brand,
        "category": category,
        "season": SEASONS[int(rng.integers(len(SEASONS)))],
        "price": round(float(rng.uniform(5, 500)), 2),
        "currency": "EUR",
        "in_stock": bool(rng.random() < 0.9),
    }


def picture(number: int, seed: int, side: int = SIDE) -> bytes:
    """Return a JPEG of coloured squares."""
    rng = np.random.default_rng([seed, 3, number])
    coarse = rng.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.NEAREST).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class MadeEncoder:
    """An `Encoder` whose vectors are drawn from the digests of what it is given.

    Args:
        dim: of its vectors.
        pace_s: seconds that a picture or text takes, spent asleep as a CPU does while a GPU works.
        groups: of entities that it reads, whatever their values.
        fickle: whether a vector depends a little on what is encoded together with it, as a GPU's last bits do.
    """

    def __init__(
        self, dim: int = 128, pace_s: float = 0.0, *, groups: Sequence[str] = (), fickle: bool = False
    ) -> None:
        self._dim = dim
        self._pace_s = pace_s
        self._groups = tuple(groups)
        self._fickle = fickle

    @property
    def fingerprint(self) -> str:
        """Of all that its vectors depend on."""
        return hashlib.sha256(f"made {self._dim} {self._groups} {self._fickle}".encode()).hexdigest()

    @property
    def dim(self) -> int:
        """Dimensions."""
        return self._dim

    @property
    def name(self) -> str:
        """Says that it is none."""
        return f"made-{self._dim}"

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Title and description."""
        return ("title", "description")

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """Its groups; which values there are is of no concern."""
        return dict.fromkeys(self._groups, ())

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, unit rows."""
        kinds = [next((c for c in CATEGORIES if c in text), "") for text in texts]
        stated = [{}] * len(texts) if entities is None else entities
        read = ([given.get(group, "") for group in self._groups] for given in stated)
        return self._made(["|".join([text, *own]).encode() for text, own in zip(texts, read, strict=True)], kinds)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return `(n, d) float32`, unit rows."""
        return self._made([image.tobytes() for image in images], [""] * len(images))

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the vectors as terms of one."""
        return [TextTerms((WORDS_TERM,), v[None], {}) for v in self.encode_texts(texts, entities)]

    def _made(self, contents: Sequence[bytes], kinds: Sequence[str]) -> Vectors:
        if self._pace_s:
            time.sleep(self._pace_s * len(contents))
        if not contents:
            return np.zeros((0, self._dim), np.float32)
        made = np.stack([_direction(kind, self._dim) for kind in kinds])
        made = made + _NOISE * np.stack(list(self._noise(contents)))
        if self._fickle:
            made = made + _SLIGHT * next(self._noise([b"".join(contents)]))
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)

    def _noise(self, contents: Sequence[bytes]) -> Iterator[Vectors]:
        for content in contents:
            digest = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
            noise = np.random.Generator(np.random.PCG64(digest)).standard_normal(self._dim, np.float32)
            yield noise / np.float32(np.sqrt(self._dim))


@lru_cache(maxsize=64)
def _direction(kind: str, dim: int) -> Vectors:
    seed = int.from_bytes(hashlib.blake2b(kind.encode(), digest_size=8).digest(), "little")
    made = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made), np.float32)
