"""Captions as rows of a small vocabulary: the tokens of open_clip's tokenizer that were seen in training."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol, Self, cast

import numpy as np
from numpy.typing import NDArray

from models.importing import open_clip

PAD: Final = 0
UNKNOWN: Final = 1
TEXT: Final = 2
"""[TXT]: stands first; what the text transformer makes of it is the caption's embedding."""
MASK: Final = 3
SPECIAL: Final = 4

Rows = NDArray[np.int64]


class _Tokenizer(Protocol):
    def encode(self, text: str) -> list[int]: ...


@cache
def _tokenizer() -> _Tokenizer:
    return cast("_Tokenizer", open_clip.SimpleTokenizer())


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The vocabulary.

    Attributes:
        tokens: `(v,) int64`, ascending ids of open_clip's tokenizer; token `tokens[i]` is row `SPECIAL + i`.
    """

    tokens: Rows

    @classmethod
    def collect(cls, texts: Sequence[str]) -> Self:
        """Return the vocabulary of all tokens in `texts`."""
        return cls(np.array(sorted({token for text in texts for token in _tokenizer().encode(text)}), np.int64))

    def __len__(self) -> int:
        return SPECIAL + len(self.tokens)

    def rows(self, texts: Sequence[str], most: int) -> Rows:
        """Return `(n, L) int64`: [TXT], then the rows of each text's tokens, cut at `most` in all, then padding."""
        listed = [self._row(text)[: most - 1] for text in texts]
        table = np.full((len(listed), 1 + max(map(len, listed), default=0)), PAD, np.int64)
        table[:, 0] = TEXT
        for target, row in zip(table, listed, strict=True):
            target[1 : 1 + len(row)] = row
        return table

    def _row(self, text: str) -> Rows:
        found = np.array(_tokenizer().encode(text), np.int64)
        places = np.searchsorted(self.tokens, found).clip(max=max(0, len(self.tokens) - 1))
        known = self.tokens[places] == found if len(self.tokens) else np.zeros(len(found), bool)
        return np.where(known, SPECIAL + places, UNKNOWN)
