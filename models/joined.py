"""Several models as one encoder: their vectors side by side, so that a cosine is the mean of theirs.

Models that differ in nothing but the seed make different mistakes, and the mean of their scores makes fewer than any
of them (Lakshminarayanan et al., "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
NeurIPS 2017). It costs as many times the dimensions and the reading of texts; pictures pass a trunk that all members
hold once. Only backbones and terms are used; folders are left to `models.joining` and `models.checkpoint`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL.Image import Image

from models.clip import Backbone, BackboneError
from models.eiclip import EiClipEncoder
from models.encoder import Entities, TextTerms, Vectors
from models.encoding import IMAGES_AT_ONCE, blocks


class JoinedEncoder:
    """Members that read the same fields, as an Encoder; each brings an equal share of every score."""

    def __init__(self, members: Sequence[EiClipEncoder], *, name: str, fingerprint: str) -> None:
        if len({member.text_fields for member in members}) != 1:
            msg = "joined models must be one or more, and read the same text fields"
            raise ValueError(msg)
        self._members = tuple(members)
        self._name = name
        self._fingerprint = fingerprint
        self._share = np.float32(1 / math.sqrt(len(members)))
        self._trunk = _common_trunk([member.backbone for member in members])

    @property
    def fingerprint(self) -> str:
        """Digest of the members' fingerprints, 64 hex digits."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Dimensions of all members together."""
        return sum(member.dim for member in self._members)

    @property
    def name(self) -> str:
        """The name on the card."""
        return self._name

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The product fields the members were trained to read."""
        return self._members[0].text_fields

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """The values of each entity group that any member knows."""
        found: dict[str, dict[str, None]] = {}
        for member in self._members:
            for group, values in member.vocabularies.items():
                found.setdefault(group, {}).update(dict.fromkeys(values))
        return {group: tuple(values) for group, values in found.items()}

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length. What a member does not know is masked in its part.

        Raises:
            ValueError: `texts` and `entities` differ in length.
        """
        return self._side_by_side([member.encode_texts(texts, entities) for member in self._members])

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size."""
        if self._trunk is None:
            return self._side_by_side([member.encode_images(images) for member in self._members])
        pixels, parts = self._trunk.prepare_images(images), []
        for block in blocks(len(pixels), IMAGES_AT_ONCE):
            with torch.inference_mode():
                seen = self._trunk.trunk_features(torch.from_numpy(pixels[block]).to(self._trunk.device)).cpu().numpy()
            parts.append(self._side_by_side([member.backbone.unit_pixels(seen) for member in self._members]))
        return np.concatenate([np.empty((0, self.dim), dtype=np.float32), *parts])

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the same embeddings as `encode_texts`, each as the terms that add up to it.

        A term is its members' side by side, nothing in the place of a member that has none; a gate is their mean.
        """
        read = zip(*(member.text_terms(texts, entities) for member in self._members), strict=True)
        return [self._joined_terms(each) for each in read]

    def _joined_terms(self, each: Sequence[TextTerms]) -> TextTerms:
        names = tuple(dict.fromkeys(name for terms in each for name in terms.names))
        parts = [np.zeros((len(names), terms.terms.shape[1]), dtype=np.float32) for terms in each]
        for part, terms in zip(parts, each, strict=True):
            part[[names.index(name) for name in terms.names]] = terms.terms
        gates = {name: [terms.gates[name] for terms in each if name in terms.gates] for name in names}
        means = {name: sum(values) / len(values) for name, values in gates.items() if values}
        return TextTerms(names=names, terms=self._side_by_side(parts), gates=means)

    def _side_by_side(self, parts: Sequence[Vectors]) -> Vectors:
        joined: Vectors = np.concatenate(parts, axis=1)
        joined *= self._share
        return joined


def _common_trunk(backbones: Sequence[Backbone]) -> Backbone | None:
    """Return a backbone whose trunk is that of all, None where trunks or what they read differ, or there are none."""
    try:
        digests = {backbone.trunk_digest() for backbone in backbones}
    except BackboneError:
        return None
    recipes = {backbone.recipe for backbone in backbones}
    return backbones[0] if len(digests) == len(recipes) == 1 and len(backbones) > 1 else None
