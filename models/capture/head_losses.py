"""The head's contrastive loss as a pure function of vectors."""

import torch.nn.functional as F
from torch import Tensor


def bank_info_nce(queries: Tensor, bank: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """Return the mean cross-entropy of finding each query's product among those of a bank, a scalar.

    A product is as near as the nearest of its pictures, as it is when searched for; all others of the bank, the hardest
    included, are negatives (InfoNCE, van den Oord et al. 2018).

    Args:
        queries: `(n, d)`, rows unit-length.
        bank: `(p, v, d)`, unit vectors of the pictures of p products; one with fewer than v repeats its own.
        targets: `(n,) int64`, row of each query's product in `bank`.
        scale: the inverse temperature, a scalar.
    """
    p, v, d = bank.shape
    similar = (queries @ bank.reshape(p * v, d).T).view(len(queries), p, v)  # (n, p, v)
    return F.cross_entropy(scale * similar.amax(dim=2), targets)
