"""A real encoder without weights: deterministic, fast, and close things get close vectors.

Texts are hashed bags of words and character trigrams; an entity is one hashed vector of its own, with a
gate, as EI-CLIP has it. Images are a fixed random projection of their pixels at 8 x 8, plus the vectors of
the colour words they show, so that the text "red" finds red pictures. Nothing is learnt and nothing is
canned: it obeys the `Encoder` protocol and its sums, which is what tests of other parts lean on.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from models.encoder import WORDS_TERM, Entities, TextTerms, Vectors

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (10, 10, 10),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "red": (220, 30, 40),
    "green": (40, 160, 60),
    "blue": (40, 70, 200),
    "yellow": (240, 220, 50),
    "purple": (130, 50, 160),
    "orange": (240, 140, 30),
    "brown": (110, 70, 40),
    "pink": (240, 150, 190),
}
_WORD = re.compile(r"\w+")
_SIDE = 8


@lru_cache(maxsize=100_000)
def _direction(key: str, dim: int) -> Vectors:
    """Return the unit vector that `key` hashes to, `(dim,) float32`."""
    seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return _unit(np.random.default_rng(seed).standard_normal(dim).astype(np.float32))


def _unit(vector: NDArray[np.float32]) -> Vectors:
    length = float(np.linalg.norm(vector))
    return (vector / length).astype(np.float32) if length > 0 else vector


class WeightlessEncoder:
    """An `Encoder` whose vectors come from hashes and fixed projections.

    `vocabularies` limits which entities count, as in a trained model: unknown values are masked.
    """

    def __init__(
        self,
        dim: int = 64,
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        *,
        salt: str = "",
        scale: float = 0.5,
    ) -> None:
        self._dim = dim
        self._vocabularies = {group: tuple(values) for group, values in (vocabularies or {}).items()}
        self._known = {group: frozenset(values) for group, values in self._vocabularies.items()}
        self._salt = salt
        self._scale = scale
        seed = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little")
        pixels = 3 * _SIDE * _SIDE
        self._projection = np.random.default_rng(seed).standard_normal((pixels, dim)).astype(np.float32)

    @property
    def fingerprint(self) -> str:
        stated = f"{self._dim}|{self._salt}|{self._scale}|{sorted(self._vocabularies.items())}"
        return hashlib.sha256(stated.encode()).hexdigest()

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def name(self) -> str:
        return f"weightless-{self._dim}{self._salt}"

    @property
    def text_fields(self) -> tuple[str, ...]:
        return ("title", "description")

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        return self._vocabularies

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        terms = self.text_terms(texts, entities)
        return np.stack([t.vector for t in terms]) if terms else np.zeros((0, self._dim), np.float32)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        return np.stack([self._image(i) for i in images]) if images else np.zeros((0, self._dim), np.float32)

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        stated = [{} for _ in texts] if entities is None else entities
        if len(stated) != len(texts):
            msg = f"{len(texts)} texts but {len(stated)} sets of entities"
            raise ValueError(msg)
        return [self._terms(text, row) for text, row in zip(texts, stated, strict=True)]

    def _terms(self, text: str, entities: Entities) -> TextTerms:
        known = {g: v for g, v in entities.items() if v in self._known.get(g, frozenset())}
        gates = {g: 0.3 + 0.1 * (len(g) % 5) for g in known}
        rows = [self._words(text)]
        rows += [self._scale * gates[g] * self._key(f"entity:{g}={v}") for g, v in known.items()]
        terms = np.stack(rows)
        length = float(np.linalg.norm(terms.sum(axis=0)))
        return TextTerms(names=(WORDS_TERM, *known), terms=(terms / max(length, 1e-9)).astype(np.float32), gates=gates)

    def _key(self, key: str) -> Vectors:
        return _direction(self._salt + key, self._dim)

    def _words(self, text: str) -> Vectors:
        words = _WORD.findall(text.casefold())
        total = 0.01 * self._key("nothing")
        for word in words:
            total = total + self._key(f"word:{word}")
            padded = f"^{word}$"
            for start in range(len(padded) - 2):
                total = total + 0.2 * self._key(f"gram:{padded[start : start + 3]}")
        return _unit(total)

    def _image(self, image: Image) -> Vectors:
        small = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), 2), dtype=np.float32).reshape(-1, 3)
        form = _unit(((small - 127.5) / 127.5).reshape(-1) @ self._projection)
        anchors = np.array(list(COLOURS.values()), dtype=np.float32)
        nearest = ((small[:, None, :] - anchors[None]) ** 2).sum(axis=2).argmin(axis=1)
        shares = np.bincount(nearest, minlength=len(anchors)) / len(nearest)
        colours = sum(
            (float(share) * self._key(f"word:{name}") for name, share in zip(COLOURS, shares, strict=True)),
            start=np.zeros(self._dim, np.float32),
        )
        return _unit(form + 0.7 * _unit(colours))
