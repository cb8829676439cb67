"""The Encoder protocol: queries and products to unit vectors, with the terms a text vector is made of.

Implementations live in `models.clip_encoder` (a plain open_clip model) and `models.eiclip` (with entities).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

Vectors = NDArray[np.float32]
Entities = Mapping[str, str]

WORDS_TERM = "words"


@dataclass(frozen=True, slots=True)
class TextTerms:
    """A text embedding taken apart: `vector == terms.sum(axis=0)`, so every inner product splits exactly.

    For EI-CLIP the rows are E_D/|E_T| and s * w_k * h_k / |E_T| (CVPR 2022, eq. 4-6).

    Attributes:
        names: `words` first, then the entity groups in use.
        terms: `(len(names), d) float32`.
        gates: w_k in (0, 1) of each entity group in use.
    """

    names: tuple[str, ...]
    terms: Vectors
    gates: Mapping[str, float]

    @property
    def vector(self) -> Vectors:
        """The embedding itself, `(d,) float32`, unit length."""
        return np.asarray(self.terms.sum(axis=0), dtype=np.float32)


@runtime_checkable
class Encoder(Protocol):
    """Maps texts with entities, and images, into one space of `dim` dimensions. Safe to call from threads."""

    @property
    def fingerprint(self) -> str:
        """Digest of card and weights, 64 hex digits: equal fingerprints give equal vectors."""
        ...

    @property
    def dim(self) -> int:
        """Dimensions d of the shared space."""
        ...

    @property
    def name(self) -> str:
        """A name a person recognises, for reports and answers."""
        ...

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The product fields whose words this encoder was trained to read."""
        ...

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """The known values of each entity group, as trained; empty for a model without entities."""
        ...

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length. Unknown groups and values are masked, never an error.

        Raises:
            ValueError: `texts` and `entities` differ in length.
        """
        ...

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size."""
        ...

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the same embeddings as `encode_texts`, each as the terms that add up to it."""
        ...
