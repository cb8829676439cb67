"""A causal text tower run on the used part of its context: the same features at a fraction of the cost.

A causal tower reads nothing behind the token it is pooled at, so a text may be cut there. Which towers allow
it is decided here by what they say of themselves; opening them is left to `models.clip`.
"""

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

_TEXTS_OF_A_LENGTH = 32


class _TextTower(Protocol):
    """What is used of open_clip's own text transformer."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor
    attn_mask: Tensor
    transformer: Callable[..., Tensor]
    ln_final: Callable[[Tensor], Tensor]
    text_projection: Tensor | Callable[[Tensor], Tensor] | None


class CausalTower:
    """open_clip's text tower, cut to the texts it reads. Holds no parameters of its own."""

    def __init__(self, tower: _TextTower) -> None:
        self._tower = tower

    @classmethod
    def of(cls, model: nn.Module) -> "CausalTower | None":
        """Return the cut form of the text tower of a CLIP model where it is exact, else None."""
        tower = getattr(model, "text", model)
        pool = getattr(tower, "pool_type", getattr(tower, "text_pool_type", None))
        exact = (
            isinstance(getattr(tower, "attn_mask", None), Tensor)
            and getattr(tower, "cls_emb", None) is None
            and not getattr(tower, "use_pad_mask", False)
            and pool == "argmax"
        )
        return cls(cast("_TextTower", tower)) if exact else None

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the features `(n, d)` of tokens `(n, context)`; texts of similar length are read together."""
        ends = tokens.argmax(dim=-1)  # the end-of-text token is the highest
        if len(tokens) < 2 * _TEXTS_OF_A_LENGTH:
            return self._read(tokens, ends)
        order = torch.argsort(ends, stable=True)
        groups = torch.split(order, _TEXTS_OF_A_LENGTH)
        parts = [self._read(tokens[rows], ends[rows]) for rows in groups]
        return torch.cat(parts)[torch.argsort(order)]

    def _read(self, tokens: Tensor, ends: Tensor) -> Tensor:
        t, length = self._tower, int(ends.max()) + 1
        x = t.token_embedding(tokens[:, :length]) + t.positional_embedding[:length]  # (n, l, width)
        x = t.transformer(x, attn_mask=t.attn_mask[:length, :length])
        x = t.ln_final(x[torch.arange(len(x), device=x.device), ends])  # (n, width)
        if t.text_projection is None:
            return x
        if isinstance(t.text_projection, Tensor):
            return x @ t.text_projection
        return t.text_projection(x)
