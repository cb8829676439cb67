"""EI-CLIP: entities as whole units beside the words, weighted by gates, in one text embedding.

Ma et al., "EI-CLIP: Entity-aware Interventional Contrastive Learning for E-commerce Cross-modal Retrieval",
CVPR 2022: entity encoders (EA-learner) h_k = MLP_k(Embedding_k(a_k)), gates (CE-selector)
w_k = sigmoid(MLP(h_k)), and the fused text E_T = normalise(normalise(E_D) + s * sum_k w_k h_k). The same class
also is the baselines the paper argues against: entities pasted into the words, or no entities at all.
Losses are left to `models.train`, reading and writing to `models.checkpoint`.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from models.clip import Backbone, Tower, TowerReader
from models.encoder import WORDS_TERM, Entities, TextTerms, Vectors
from models.encoding import TEXTS_AT_ONCE, blocks, check_lengths, resolve_device
from models.product import DEFAULT_ENTITY_GROUPS, paste_entities

UNKNOWN_ROW = 0
LOOKUP_BYTES = 128 << 20  # of what `EntityLookup` keeps; larger vocabularies are worked out for each text


class EntityMode(StrEnum):
    """How entities reach the text embedding."""

    ENCODED = "encoded"  # entity encoders: systems 4 and 5 of the paper
    PASTED = "pasted"  # as words in front of the text: system 3
    NONE = "none"  # not at all: systems 1 and 2


class Weighting(StrEnum):
    """The weight w_k of each entity."""

    GATES = "gates"  # sigmoid(MLP(h_k)): system 5
    MEAN = "mean"  # 1/K for K groups: system 4
    SUM = "sum"  # 1: system 4, without the mean


class Fusion(StrEnum):
    """How words and entities are added."""

    NORMALISED = "normalised"  # normalise(E_D) + s * sum w_k h_k, with a learnable s
    LITERAL = "literal"  # E_D + sum w_k h_k, as the paper prints it


class EntityDesign(BaseModel):
    """The part of an EI-CLIP model that is not its backbone.

    Attributes:
        mode: how entities reach the text embedding.
        groups: the entity groups, in the order they are pasted and summed.
        weighting: the weight of each entity; only read when `mode` is `encoded`.
        fusion: how words and entities are added; only read when `mode` is `encoded`.
        embedding_dim: dimensions of Embedding_k.
        hidden_dim: of MLP_k and of the gate.
        min_count: values seen less often in training have no row of their own and are masked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: EntityMode = EntityMode.ENCODED
    groups: Annotated[tuple[str, ...], Field(min_length=1)] = DEFAULT_ENTITY_GROUPS
    weighting: Weighting = Weighting.GATES
    fusion: Fusion = Fusion.NORMALISED
    embedding_dim: Annotated[int, Field(ge=1, le=4096)] = 64
    hidden_dim: Annotated[int, Field(ge=1, le=8192)] = 128
    min_count: Annotated[int, Field(ge=1)] = 2


def entity_key(value: str) -> str:
    """Return the form under which spellings of one value meet: NFKC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


class EntityTable:
    """The values each group knows and their rows; row 0 stands for every value it does not know.

    Attributes:
        counts: group -> value -> how often training saw it; row r holds the value at position r - 1.
    """

    def __init__(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        self.counts = {group: dict(values) for group, values in counts.items()}
        self._rows = {
            group: {entity_key(value): row for row, value in enumerate(values, start=1)}
            for group, values in self.counts.items()
        }

    @classmethod
    def collect(cls, entities: Iterable[Entities], groups: Sequence[str], min_count: int = 1) -> Self:
        """Count the values of `groups`; spellings that share a key count as the commonest of them.

        Values come in falling order of count, then by key, so the same data gives the same rows.
        """
        seen: dict[str, dict[str, Counter[str]]] = {group: {} for group in groups}
        for stated in entities:
            for group in seen.keys() & stated.keys():
                seen[group].setdefault(entity_key(stated[group]), Counter())[stated[group]] += 1
        return cls({group: _kept(spellings, min_count) for group, spellings in seen.items()})

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups, in the order of the columns of `rows`."""
        return tuple(self.counts)

    @property
    def vocabularies(self) -> dict[str, tuple[str, ...]]:
        """The known values of each group, in the order of their rows."""
        return {group: tuple(values) for group, values in self.counts.items()}

    def rows(self, entities: Sequence[Entities]) -> Tensor:
        """Return `(n, K) int64`: the row of each text's value in each group, 0 where absent or unknown."""
        table = [
            [known.get(entity_key(stated[group]), UNKNOWN_ROW) if group in stated else UNKNOWN_ROW
             for group, known in self._rows.items()]
            for stated in entities
        ]  # fmt: skip
        return torch.tensor(table, dtype=torch.int64).reshape(len(table), len(self._rows))


def _kept(spellings: Mapping[str, Counter[str]], min_count: int) -> dict[str, int]:
    totals = sorted(((key, forms.total()) for key, forms in spellings.items()), key=lambda kt: (-kt[1], kt[0]))
    return {
        min(spellings[key], key=lambda form: (-spellings[key][form], form)): total
        for key, total in totals
        if total >= min_count
    }


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


class EntityEncoders(nn.Module):
    """h_k of each group, and the weight of each h_k.

    Attributes:
        sizes: rows of each group, the unknown one among them.
    """

    def __init__(self, design: EntityDesign, table: EntityTable, dim: int) -> None:
        super().__init__()
        self.weighting = design.weighting
        self.sizes = sizes = [len(values) + 1 for values in table.counts.values()]
        self.embeddings = nn.ModuleList(
            nn.Embedding(size, design.embedding_dim, padding_idx=UNKNOWN_ROW) for size in sizes
        )
        self.mlps = nn.ModuleList(_mlp(design.embedding_dim, design.hidden_dim, dim) for _ in sizes)
        self.gate = _mlp(dim, design.hidden_dim, 1) if design.weighting is Weighting.GATES else None

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return h `(n, K, d)` and w `(n, K)`, w being 0 where `rows` `(n, K)` is 0."""
        pairs = zip(self.embeddings, self.mlps, strict=True)
        h = torch.stack([mlp(table(rows[:, k])) for k, (table, mlp) in enumerate(pairs)], dim=1)
        return h, self._weights(h) * (rows != UNKNOWN_ROW)

    def _weights(self, h: Tensor) -> Tensor:
        if self.gate is not None:
            return torch.sigmoid(self.gate(h)).squeeze(-1)
        return h.new_full(h.shape[:2], 1 / h.shape[1] if self.weighting is Weighting.MEAN else 1.0)


class EntityLookup:
    """h and w of every value, worked out once, of encoders that learn no more."""

    def __init__(self, encoders: EntityEncoders, device: torch.device) -> None:
        rows = torch.arange(max(encoders.sizes))[:, None]
        sizes = torch.tensor(encoders.sizes)
        with torch.inference_mode():
            self._h, self._w = encoders((rows * (rows < sizes)).to(device))

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `EntityEncoders` returns."""
        groups = torch.arange(rows.shape[1], device=rows.device)
        return self._h[rows, groups], self._w[rows, groups]


class EiClip(nn.Module):
    """A backbone with entity encoders; without them when the mode is `pasted` or `none`."""

    def __init__(self, backbone: Backbone, design: EntityDesign, table: EntityTable) -> None:
        super().__init__()
        self.backbone = backbone
        self.design = design
        self.table = table
        encoded = design.mode is EntityMode.ENCODED
        self.entities = EntityEncoders(design, table, backbone.dim) if encoded else None
        learnt = encoded and design.fusion is Fusion.NORMALISED
        self.scale = nn.Parameter(torch.ones(())) if learnt else None

    def read(self, texts: Sequence[str], entities: Sequence[Entities]) -> tuple[Tensor, Tensor]:
        """Return the tokens `(n, context) int64` and entity rows `(n, K) int64` of texts, on the CPU."""
        if self.design.mode is EntityMode.PASTED:
            groups = self.design.groups
            texts = [
                paste_entities(text, {group: stated[group] for group in groups if group in stated})
                for text, stated in zip(texts, entities, strict=True)
            ]
        return self.backbone.tokenize(texts), self.table.rows(entities)

    def lookup(self) -> EntityLookup | None:
        """Return what `text_parts` may take for the entity encoders while they stay as they are; None: too large."""
        if (
            self.entities is None
            or 4 * max(self.entities.sizes) * len(self.entities.sizes) * self.backbone.dim > LOOKUP_BYTES
        ):
            return None
        return EntityLookup(self.entities, self.backbone.device)

    def text_parts(self, words: Tensor, rows: Tensor, lookup: EntityLookup | None = None) -> tuple[Tensor, Tensor]:
        """Take the unnormalised text apart, given the words' features `(n, d)` and entity rows `(n, K)`.

        Returns:
            The summands `(n, 1 + K, d)`, words first (K = 0 without entity encoders), whose sum is the fused
            text before its normalisation; and the weights w `(n, K)`, 0 where masked.
        """
        literal = self.design.fusion is Fusion.LITERAL
        if self.entities is None:
            return F.normalize(words, dim=-1)[:, None, :], words.new_zeros(len(words), 0)
        h, w = (lookup or self.entities)(rows)
        base = words if literal else F.normalize(words, dim=-1)
        scale = 1.0 if self.scale is None else self.scale
        return torch.cat([base[:, None, :], scale * w[..., None] * h], dim=1), w


def unit_texts(
    model: EiClip,
    texts: Sequence[str],
    entities: Sequence[Entities],
    tower: Tower | None = None,
    lookup: EntityLookup | None = None,
) -> Vectors:
    """Return `(n, d) float32`, rows unit-length: the fused text embeddings, words read by `tower` if one is given."""
    read = _text_blocks(model, texts, entities, tower, lookup)
    parts = [terms.sum(axis=1, dtype=np.float32) for terms, _, _ in read]
    return np.concatenate([np.empty((0, model.backbone.dim), dtype=np.float32), *parts])


def _text_blocks(
    model: EiClip,
    texts: Sequence[str],
    entities: Sequence[Entities],
    tower: Tower | None,
    lookup: EntityLookup | None,
) -> Iterator[tuple[Vectors, Vectors, NDArray[np.bool_]]]:
    """Yield, block by block, terms `(n, 1 + K, d)` with unit sums, weights `(n, K)`, and what is known `(n, K)`."""
    device, read = model.backbone.device, tower or model.backbone.text_features
    for block in blocks(len(texts), TEXTS_AT_ONCE):
        with torch.inference_mode():
            tokens, rows = model.read(texts[block], entities[block])
            rows = rows.to(device)
            words = read(tokens.to(device))
            terms, weights = model.text_parts(words, rows, lookup)
            length = terms.sum(dim=1).norm(dim=-1).clamp_min(1e-12)
            unit = terms / length[:, None, None]
            known = rows[:, : weights.shape[1]] != UNKNOWN_ROW
        yield unit.cpu().numpy(), weights.cpu().numpy(), known.cpu().numpy()


class EiClipEncoder(TowerReader):
    """A trained EI-CLIP model, or one of its baselines, as an Encoder."""

    def __init__(
        self, model: EiClip, *, name: str, fingerprint: str, text_fields: tuple[str, ...], device: str = "auto"
    ) -> None:
        self._model = model.eval().requires_grad_(requires_grad=False).to(resolve_device(device))
        self._name = name
        self._fingerprint = fingerprint
        self._text_fields = text_fields
        self._towers = self._model.backbone.towers
        self._lookup = self._model.lookup()

    @property
    def backbone(self) -> Backbone:
        """The model under the entities, in torch."""
        return self._model.backbone

    @property
    def fingerprint(self) -> str:
        """Digest of card and weights, 64 hex digits."""
        return self._fingerprint

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return self._model.backbone.dim

    @property
    def name(self) -> str:
        """The name on the card."""
        return self._name

    @property
    def text_fields(self) -> tuple[str, ...]:
        """The product fields it was trained to read."""
        return self._text_fields

    @property
    def vocabularies(self) -> Mapping[str, Sequence[str]]:
        """The values of each entity group seen in training; empty for a model that reads no entities."""
        return {} if self._model.design.mode is EntityMode.NONE else self._model.table.vocabularies

    def encode_texts(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> Vectors:
        """Return `(n, d) float32`, rows unit-length. Unknown groups and values are masked.

        Raises:
            ValueError: `texts` and `entities` differ in length.
        """
        return unit_texts(self._model, texts, check_lengths(texts, entities), self._towers.text, self._lookup)

    def encode_images(self, images: Sequence[Image]) -> Vectors:
        """Return `(n, d) float32`, rows unit-length, of RGB images of any size."""
        return self._model.backbone.unit_images(images, self._towers.image)

    def text_terms(self, texts: Sequence[str], entities: Sequence[Entities] | None = None) -> list[TextTerms]:
        """Return the same embeddings as `encode_texts`, each as the terms that add up to it."""
        stated = check_lengths(texts, entities)
        return [
            self._terms(terms, weights, known)
            for block in _text_blocks(self._model, texts, stated, self._towers.text, self._lookup)
            for terms, weights, known in zip(*block, strict=True)
        ]

    def _terms(self, terms: Vectors, weights: Vectors, known: NDArray[np.bool_]) -> TextTerms:
        used = np.flatnonzero(known)
        groups = [self._model.table.groups[k] for k in used]
        return TextTerms(
            names=(WORDS_TERM, *groups),
            terms=terms[[0, *(used + 1)]],
            gates={group: float(weights[k]) for group, k in zip(groups, used, strict=True)},
        )
