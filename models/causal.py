"""A causal text tower run on the used part of its context: the same features at a fraction of the cost.

A causal tower reads nothing behind the token it is pooled at, so a text may be cut there, and its last block
need only be computed at that token. Which towers allow it is decided here by what they say of themselves;
opening them is left to `models.clip`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_TEXTS_OF_A_LENGTH = 32

Read = Callable[[Tensor, Tensor], Tensor]


class _Block(Protocol):
    """What is used of open_clip's `ResidualAttentionBlock`."""

    ln_1: Callable[[Tensor], Tensor]
    attn: Callable[..., tuple[Tensor, None]]
    ls_1: Callable[[Tensor], Tensor]
    ln_2: Callable[[Tensor], Tensor]
    mlp: Callable[[Tensor], Tensor]
    ls_2: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor, *, attn_mask: Tensor) -> Tensor: ...


class _Transformer(Protocol):
    """What is used of open_clip's `Transformer`."""

    resblocks: Sequence[_Block]


class _TextTower(Protocol):
    """What is used of open_clip's own text transformer."""

    token_embedding: nn.Embedding
    positional_embedding: Tensor
    attn_mask: Tensor
    transformer: _Transformer
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
            and _plain_blocks(tower)
        )
        return cls(cast("_TextTower", tower)) if exact else None

    def __call__(self, tokens: Tensor) -> Tensor:
        """Return the features `(n, d)` of tokens `(n, context)`."""
        return self.features(tokens, self.read)

    def features(self, tokens: Tensor, read: Read) -> Tensor:
        """Return the features `(n, d)` of tokens `(n, context)`, the work done by `read`, which is as `self.read`.

        Texts of similar length are read together.
        """
        if len(tokens) < 2 * _TEXTS_OF_A_LENGTH:
            return read(*self.embedded(tokens))
        order = torch.argsort(tokens.argmax(dim=-1), stable=True)
        x, ends = self.embedded(tokens[order])  # once for all: its gradient is as large as the vocabulary
        groups = zip(torch.split(x, _TEXTS_OF_A_LENGTH), torch.split(ends, _TEXTS_OF_A_LENGTH), strict=True)
        parts = [read(x[:, : int(ends.max()) + 1], ends) for x, ends in groups]
        return torch.cat(parts)[torch.argsort(order)]

    def embedded(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return words `(n, length, width)` of tokens `(n, context)`, cut behind the last end, and the ends `(n,)`."""
        ends = tokens.argmax(dim=-1)  # the end-of-text token is the highest
        t, length = self._tower, int(ends.max()) + 1
        embedded: Tensor = t.token_embedding(tokens[:, :length])
        return embedded + t.positional_embedding[:length], ends

    def read(self, x: Tensor, ends: Tensor) -> Tensor:
        """Return the features `(n, d)` of embedded texts `(n, length, width)` pooled at `ends` `(n,)`.

        Nothing in it depends on the values of `ends`, so that it can be traced and captured.
        """
        t, length = self._tower, x.shape[1]
        mask = t.attn_mask[:length, :length]
        *blocks, last = t.transformer.resblocks
        for block in blocks:
            x = block(x, attn_mask=mask)
        x = t.ln_final(_at_ends(last, x, ends))  # (n, width)
        if t.text_projection is None:
            return x
        if isinstance(t.text_projection, Tensor):
            return x @ t.text_projection
        return t.text_projection(x)


def _plain_blocks(tower: nn.Module) -> bool:
    """Tell whether the tower's blocks are those `_at_ends` computes: open_clip's own, batch first."""
    transformer = getattr(tower, "transformer", None)
    blocks = getattr(transformer, "resblocks", ())
    return bool(blocks) and all(
        type(block).__name__ == "ResidualAttentionBlock" and block.attn.batch_first for block in blocks
    )


def _at_ends(block: _Block, x: Tensor, ends: Tensor) -> Tensor:
    """Return what `block` makes of `x` `(n, length, width)` at the tokens `ends`, `(n, width)`."""
    rows = torch.arange(x.shape[0], device=x.device)
    read = block.ln_1(x)
    behind = torch.arange(x.shape[1], device=x.device) > ends[:, None]  # (n, length)
    y = x[rows, ends] + block.ls_1(_seen(block.attn, read[rows, ends], read, behind))
    return y + block.ls_2(block.mlp(block.ln_2(y)))


def _seen(attention: Callable[..., tuple[Tensor, None]], asking: Tensor, read: Tensor, hidden: Tensor) -> Tensor:
    """Return what `attention` makes of one query a text, `(n, width)`.

    With one query it is cheaper to bring the query to the words than every word to the query: for a head with the
    weights Q, K and V, the products (x Q) (r K)' = (x Q K') r' and softmax(...) (r V) = (softmax(...) r) V need two
    vectors of each text projected, where keys and values are two of each word. A key's bias changes nothing.

    Args:
        attention: of the block; one that is not torch's own is called as it is.
        asking: `(n, width)`, the words that ask.
        read: `(n, length, width)`, all words.
        hidden: `(n, length) bool`, the words that are not to be seen.
    """
    if not isinstance(attention, nn.MultiheadAttention) or attention.in_proj_bias is None:
        seen, _ = attention(asking[:, None], read, read, need_weights=False, key_padding_mask=hidden)
        return seen[:, 0]
    n, width, heads = *asking.shape, attention.num_heads
    q, k, v = attention.in_proj_weight.view(3, heads, width // heads, width)
    q_bias, _, v_bias = attention.in_proj_bias.view(3, heads, width // heads)
    queries = torch.einsum("nw,hdw->nhd", asking, q) + q_bias
    brought = torch.einsum("nhd,hdw->nhw", queries, k) * (width // heads) ** -0.5
    scores = (brought @ read.transpose(1, 2)).masked_fill(hidden[:, None], -torch.inf)  # (n, heads, length)
    values = torch.einsum("nhw,hdw->nhd", scores.softmax(dim=-1) @ read, v) + v_bias
    return F.linear(values.reshape(n, width), attention.out_proj.weight, attention.out_proj.bias)
