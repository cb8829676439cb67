"""Model and losses joined: a batch of examples to one number to descend.

Three contrastive losses of EI-CLIP (CVPR 2022, section 3.4): image with fused text, with words, and with
entities alone. A model without entity encoders has the second only.
"""

import math
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
    """The losses of one batch, scalars; `entities` and `fused` are 0 for a model without entity encoders."""

    total: Tensor
    fused: Tensor
    words: Tensor
    entities: Tensor


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
        images = F.normalize(backbone.image_features(batch.pixels.to(device), batch.zooms.to(device)), dim=-1)
        rows = rows.to(device)
        parts, _ = self.model.text_parts(backbone.text_features(tokens.to(device)), rows)  # (n, 1 + K, d)
        scale = backbone.logit_scale.exp()
        words = F.normalize(parts[:, 0], dim=-1)
        loss = symmetric_info_nce(images, words, scale, same(_token_keys(tokens), device))
        if self.model.entities is None:
            return Losses(loss, loss.new_zeros(()), loss.detach(), loss.new_zeros(()))
        fused = self._fused(images, parts, scale, _fused_keys(tokens, rows))
        entities = self._entities(images, parts, scale, rows)
        w = self._weights
        total = w.fused * fused + w.description * loss + w.entities * entities
        return Losses(total, fused.detach(), loss.detach(), entities.detach())

    @staticmethod
    def _fused(images: Tensor, parts: Tensor, scale: Tensor, keys: list[tuple[int, ...]]) -> Tensor:
        texts = F.normalize(parts.sum(dim=1), dim=-1)
        return symmetric_info_nce(images, texts, scale, same(keys, images.device))

    @staticmethod
    def _entities(images: Tensor, parts: Tensor, scale: Tensor, rows: Tensor) -> Tensor:
        """The examples without a known entity have nothing to compare and are left out."""
        stated = (rows != UNKNOWN_ROW).any(dim=1)
        if int(stated.sum()) < 2:
            return parts.sum() * 0
        texts = F.normalize(parts[stated, 1:].sum(dim=1), dim=-1)
        keys = [tuple(row) for row in rows[stated].tolist()]
        return symmetric_info_nce(images[stated], texts, scale, same(keys, images.device))

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Hold the logit scale at its maximum; called after every step."""
        self.model.backbone.logit_scale.clamp_(max=math.log(self._weights.max_scale))


def _token_keys(tokens: Tensor) -> list[tuple[int, ...]]:
    """Texts that read the same to the model are the same text."""
    return [tuple(row) for row in tokens.tolist()]


def _fused_keys(tokens: Tensor, rows: Tensor) -> list[tuple[int, ...]]:
    return [(*text, *row) for text, row in zip(_token_keys(tokens), rows.tolist(), strict=True)]
