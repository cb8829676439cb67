"""Model and losses joined: a batch of examples to one number to descend.

The contrastive losses of EI-CLIP (CVPR 2022, section 3.4): image with fused text, with words, and with entities,
together and one group at a time. A model without entity encoders has the one with words only.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.eiclip import UNKNOWN_ROW, EiClip
from models.train.config import LossConfig
from models.train.data import Batch
from models.train.losses import same, symmetric_info_nce


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one batch, scalars; all but `total` and `words` are 0 for a model without entity encoders."""

    total: Tensor
    fused: Tensor
    words: Tensor
    entities: Tensor
    groups: Tensor


@dataclass(frozen=True, slots=True)
class _Views:
    """What the losses compare, for one batch.

    Attributes:
        images: `(n, d)`, rows unit-length.
        parts: `(n, 1 + K, d)`, the summands of the fused texts, words first.
        rows: `(n, K) int64`, the entities; 0 where absent or unknown.
        scale: the inverse temperature.
    """

    images: Tensor
    parts: Tensor
    rows: Tensor
    scale: Tensor


class ContrastiveTask(nn.Module):
    """An EI-CLIP model with the losses it is trained by."""

    def __init__(self, model: EiClip, weights: LossConfig) -> None:
        super().__init__()
        self.model = model
        self._weights = weights

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of `batch`, whose tensors may lie on any device."""
        backbone, device = self.model.backbone, self.model.backbone.device
        tokens, rows = self.model.read(batch.texts, batch.entities)
        rows, suits = rows.to(device), batch.suits.to(device)
        images = F.normalize(backbone.image_features(batch.pixels.to(device), batch.zooms.to(device)), dim=-1)
        parts, _ = self.model.text_parts(backbone.text_features(tokens.to(device)), rows)
        views = _Views(images, parts, rows, backbone.logit_scale.exp())
        words = _nce(views, parts[:, 0], _token_keys(tokens), suits)
        nothing = words.new_zeros(())
        if self.model.entities is None:
            return Losses(words, nothing, words.detach(), nothing, nothing)
        fused = _nce(views, parts.sum(dim=1), _fused_keys(tokens, rows), suits)
        entities, groups = _entity_loss(views), _group_loss(views)
        w = self._weights
        total = w.fused * fused + w.description * words + w.entities * entities + w.groups * groups
        return Losses(total, fused.detach(), words.detach(), entities.detach(), groups.detach())

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Hold the logit scale at its maximum; called after every step."""
        self.model.backbone.logit_scale.clamp_(max=math.log(self._weights.max_scale))


def _token_keys(tokens: Tensor) -> list[tuple[int, ...]]:
    """Texts that read the same to the model are the same text."""
    return [tuple(row) for row in tokens.tolist()]


def _fused_keys(tokens: Tensor, rows: Tensor) -> list[tuple[int, ...]]:
    return [(*text, *row) for text, row in zip(_token_keys(tokens), rows.tolist(), strict=True)]


def _nce(views: _Views, texts: Tensor, keys: Sequence[Hashable], ignored: Tensor | None = None) -> Tensor:
    """Return the loss of texts `(n, d)`; examples with equal keys are positives of each other."""
    units = F.normalize(texts, dim=-1)
    return symmetric_info_nce(views.images, units, views.scale, same(keys, units.device), ignored)


def _entity_loss(views: _Views) -> Tensor:
    """Image against all entities of its example; examples that state none are left out."""
    stated = (views.rows != UNKNOWN_ROW).any(dim=1)
    if int(stated.sum()) < 2:
        return views.parts.sum() * 0
    texts = F.normalize(views.parts[stated, 1:].sum(dim=1), dim=-1)
    keys = [tuple(row) for row in views.rows[stated].tolist()]
    return symmetric_info_nce(views.images[stated], texts, views.scale, same(keys, texts.device))


def _group_loss(views: _Views) -> Tensor:
    """Image against each entity on its own, the mean over the groups; equal values are positives.

    In a batch of a whole shop a product is told by its category and words alone; this asks for the rest.
    """
    losses = []
    for k in range(views.rows.shape[1]):
        stated = views.rows[:, k] != UNKNOWN_ROW
        if int(stated.sum()) < 2:
            continue
        texts = F.normalize(views.parts[stated, 1 + k], dim=-1)
        positives = same(views.rows[stated, k].tolist(), texts.device)
        losses.append(symmetric_info_nce(views.images[stated], texts, views.scale, positives))
    return torch.stack(losses).mean() if losses else views.parts.sum() * 0
