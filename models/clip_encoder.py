"""A plain open_clip model behind the Encoder protocol: words and pictures, no entities.

Opening and running the model is left to `models.clip`.
"""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from models.clip import Backbone, TowerReader
from models.encoder import WORDS_TERM, Entities, TextTerms, Vectors
from models.encoding import TEXTS_AT_ONCE, blocks, check_lengths, resolve_device, weights_digest
from models.product import DEFAULT_TEXT_FIELDS


class ClipEncoder(TowerReader):
    """A plain open_clip model as an Encoder: reads words only and ignores entities."""

    def __init__(
        self,
        backbone: Backbone,
        *,
        device: str = "auto",
        text_fields: tuple[str, ...] = DEFAULT_TEXT_FIELDS,
    ) -> None:
        self._fingerprint = _digest(backbone, text_fields)
        self._backbone = backbone.eval().requires_grad_(requires_grad=False).to(resolve_device(device))
        self._text_fields = text_fields
        self._towers = self._backbone.towers

    @property
    def backbone(self) -> Backbone:
        """The model itself, in torch."""
        return self._backbone

    @property
    def fingerprint(self) -> str:
        """Digest of the config, the preprocessing and every weight, 64 hex digits."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return self._backbone.dim

    @property
    def name(self) -> str:
        """The source the model was opened from."""
        return self._backbone.source

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The product fields it reads."""
        return self._text_fields

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """Empty: a plain model knows no entities."""
        return {}

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length; `entities` are checked for length and ignored."""
        check_lengths(texts, entities)
        parts = [np.empty((0, self.dim), dtype=np.float32)]
        with torch.inference_mode():
            for block in blocks(len(texts), TEXTS_AT_ONCE):
                tokens = self._backbone.tokenize(texts[block]).to(self._backbone.device)
                parts.append(F.normalize(self._towers.text(tokens), dim=-1).cpu().numpy())
        return np.concatenate(parts)

    def encode_images(self, images: Sequence[Image.Image]) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size."""
        return self._backbone.unit_images(images, self._towers.image)

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the embeddings with the one term they have."""
        rows = self.encode_texts(texts, entities)
        return [TextTerms(names=(WORDS_TERM,), terms=row[None, :], gates={}) for row in rows]


def _digest(backbone: Backbone, text_fields: tuple[str, ...]) -> str:
    head = {"model": backbone.config, "pixels": backbone.recipe.model_dump(mode="json"), "text": list(text_fields)}
    return weights_digest(backbone, json.dumps(head, sort_keys=True))
