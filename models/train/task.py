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
class Reading:
    """What the texts of a batch say, as the model reads them.

    Attributes:
        tokens: `(n, context) int64`, on the CPU; texts with equal tokens are the same text.
        shown: `(n, context) int64`, on the CPU: the tokens without those that are left out.
        rows: `(n, K) int64`, the entities, on the model's device; 0 where absent or unknown.
        suits: `(n, n) bool`, as in `Batch`, on the model's device.
    """

    tokens: Tensor
    shown: Tensor
    rows: Tensor
    suits: Tensor


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
    """An EI-CLIP model with the losses it is trained by.

    `encode` can be asked for some rows at a time; `losses` wants the features of all. With `low`, the towers
    compute in that precision; features leave them in float32, and all that follows stays in it.
    """

    def __init__(self, model: EiClip, weights: LossConfig, low: torch.dtype | None = None) -> None:
        super().__init__()
        self.model = model
        self._weights = weights
        self._low = low

    def forward(self, batch: Batch) -> Losses:
        """Return the losses of `batch`, whose tensors may lie on any device."""
        reading = self.read(batch)
        return self.losses(*self.encode(batch, reading, slice(None)), reading)

    def read(self, batch: Batch) -> Reading:
        """Return what the texts of `batch` say."""
        tokens, rows = self.model.read(batch.texts, batch.entities)
        device = self.model.backbone.device
        shown = without_some(tokens, batch.left_out, batch.draw) if batch.left_out else tokens
        return Reading(tokens, shown, rows.to(device), batch.suits.to(device))

    def encode(self, batch: Batch, reading: Reading, part: slice) -> tuple[Tensor, Tensor]:
        """Return the features of pictures and of words, `(n, d)` each, not normalised, of the rows `part`."""
        backbone, device = self.model.backbone, self.model.backbone.device
        pixels, zooms, tokens = batch.pixels[part], batch.zooms[part], reading.shown[part]
        with torch.autocast(device.type, dtype=self._low, enabled=self._low is not None):
            images = backbone.image_features(pixels.to(device), zooms.to(device))
            words = backbone.text_features(tokens.to(device))
        return (images, words) if self._low is None else (images.float(), words.float())

    def losses(self, images: Tensor, words: Tensor, reading: Reading) -> Losses:
        """Return the losses of a batch given the features `(n, d)` of its pictures and words."""
        parts, _ = self.model.text_parts(words, reading.rows)
        scale = self.model.backbone.logit_scale.exp()
        views = _Views(F.normalize(images, dim=-1), parts, reading.rows, scale)
        own = _nce(views, parts[:, 0], _token_keys(reading.tokens), reading.suits)
        nothing = own.new_zeros(())
        if self.model.entities is None:
            return Losses(own, nothing, own.detach(), nothing, nothing)
        fused = _nce(views, parts.sum(dim=1), _fused_keys(reading.tokens, reading.rows), reading.suits)
        entities, groups = _entity_loss(views), _group_loss(views)
        w = self._weights
        total = w.fused * fused + w.description * own + w.entities * entities + w.groups * groups
        return Losses(total, fused.detach(), own.detach(), entities.detach(), groups.detach())

    @torch.no_grad()
    def clamp_scale(self) -> None:
        """Hold the logit scale at its maximum; called after every step."""
        self.model.backbone.logit_scale.clamp_(max=math.log(self._weights.max_scale))


def without_some(tokens: Tensor, share: float, draw: int) -> Tensor:
    """Return `(n, context) int64`: `tokens` without `share` of them, drawn from the seed `draw`; the rest close up.

    The first token and the end of the text, which is the highest, stay; behind the end there are zeros.
    """
    ends = tokens.argmax(dim=1)
    places = torch.arange(tokens.shape[1])
    keep = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(draw)) >= share
    keep[:, 0] = True
    keep[torch.arange(len(tokens)), ends] = True
    keep &= places <= ends[:, None]
    order = torch.argsort(~keep, dim=1, stable=True)
    return tokens.gather(1, order) * (places < keep.sum(dim=1, keepdim=True))


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
