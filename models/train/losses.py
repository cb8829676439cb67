"""Contrastive losses as pure functions of embeddings. Where the embeddings come from is left to `task`.

Every loss is the symmetric InfoNCE of CLIP with any number of positives: the target of a row is spread evenly
over its positives, so with one positive each it is CLIP's cross-entropy, and with equal logits log B.
"""

from collections.abc import Hashable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_NEVER = -1e4  # finite, so that a target of zero times it is zero; its exponential is zero too


def symmetric_info_nce(
    images: Tensor, texts: Tensor, scale: Tensor, positives: Tensor, ignored: Tensor | None = None
) -> Tensor:
    """Return the mean of image-to-text and text-to-image cross-entropy against `positives`, a scalar.

    Args:
        images: `(n, d)`, rows unit-length.
        texts: `(m, d)`, rows unit-length.
        scale: the inverse temperature, a scalar.
        positives: `(n, m) bool`, every row and every column with at least one True.
        ignored: `(n, m) bool`, pairs that are neither drawn together nor pushed apart; positives stay.
    """
    logits = scale * images @ texts.T  # (n, m)
    if ignored is not None:
        logits = logits.masked_fill(ignored & ~positives, _NEVER)
    return 0.5 * (_cross_entropy(logits, positives) + _cross_entropy(logits.T, positives.T))


def _cross_entropy(logits: Tensor, positives: Tensor) -> Tensor:
    mask = positives.to(logits.dtype)
    return F.cross_entropy(logits, mask / mask.sum(dim=1, keepdim=True))


def same(keys: Sequence[Hashable], device: torch.device | None = None) -> Tensor:
    """Return `(n, n) bool`, True where two keys are equal."""
    numbers: dict[Hashable, int] = {}
    rows = torch.tensor([numbers.setdefault(key, len(numbers)) for key in keys], device=device)
    return rows[:, None] == rows[None, :]
