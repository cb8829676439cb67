"""CAPTURE's losses (ICCV 2021, section 4.2) as pure functions. What is hidden and swapped `capture_data` draws."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from models.train.losses import symmetric_info_nce

TEMPERATURE: Final = 0.07


def masked_word_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Return the mean cross-entropy of masked words, a scalar; 0 where none was masked.

    Args:
        logits: `(k, vocabulary)` at the masked places.
        words: `(k,) int64`, what stood there.
    """
    return F.cross_entropy(logits, words) if len(words) else logits.sum()


def masked_region_loss(found: Tensor, true: Tensor) -> Tensor:
    """Return the mean squared distance of hidden regions' vectors to what is said of them, a scalar; 0 for none.

    Args:
        found: `(k, d)` at the hidden regions.
        true: `(k, d)`, unit vectors.
    """
    return (found - true).square().sum(dim=1).mean() if len(true) else found.sum()


def matching_loss(logits: Tensor, matched: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of whether captions belong to their photos, a scalar.

    Args:
        logits: `(n,)`.
        matched: `(n,) bool`.
    """
    return F.binary_cross_entropy_with_logits(logits, matched.to(logits.dtype))


def inter_modal_loss(images: Tensor, texts: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the symmetric InfoNCE of photos and their captions within a batch, a scalar.

    Args:
        images: `(n, w)`, normalised here.
        texts: `(n, w)`, normalised here; row i belongs to photo i.
        temperature: T.
    """
    scale = torch.tensor(1 / temperature, device=images.device)
    own = torch.eye(len(images), dtype=torch.bool, device=images.device)
    return symmetric_info_nce(F.normalize(images, dim=1), F.normalize(texts, dim=1), scale, own)


def instance_loss(queries: Tensor, catalogue: Tensor, products: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the symmetric InfoNCE of instances in photos and catalogue pictures of the same products, a scalar.

    This one is not the paper's: it says what H_IMG * H_TXT is searched with for.

    Args:
        queries: `(n, w)` joint embeddings of instances, rows unit-length.
        catalogue: `(n, w)` joint embeddings of catalogue pictures, rows unit-length; row i shows the product of row i.
        products: `(n,) int64`; those of equal products are all positives.
        temperature: T.
    """
    scale = torch.tensor(1 / temperature, device=queries.device)
    return symmetric_info_nce(queries, catalogue, scale, products[:, None] == products[None, :])
