"""How likely a listed class is wrong, given what judges that never saw the listing say of the product.

A listing is evidence too: most are right, however odd the product. So the chance that one is wrong is weighed against
how many are, which nobody has counted: both the share of wrong listings and how much a judge's chances are to be
trusted are where the listings as a whole are likeliest (class-conditional label noise, as of Natarajan et al. 2013,
fitted by expectation and maximisation). A wrong listing is taken to name a class as often as the root of how common it
is, between all alike and as often as it is listed: of the three this found most planted mistakes and told best how many
there were, since it keeps classes of two or three products, which no judge knows well, from seeming all wrong.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.vector_blocks import NO_CLASS, check_labels

Values = NDArray[np.float64]

SHARPNESS: Final = tuple(2 ** (step / 4) for step in range(-8, 21))  # tried: 0.25..32
_STEPS: Final = 500
_ENOUGH: Final = 1e-9  # change of the share at which it is found
_START: Final = 0.01
_TINY: Final = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, slots=True, eq=False)
class Mislabelled:
    """A share of listings is wrong, and these name other classes as `named` says.

    Attributes:
        share: of all listings, in [0, 1).
        sharpness: more than 0, multiplies log chances; judges that learnt from wrong listings too are less sure than
            they should be.
        named: `(C,) float64`, the probability that a listing made blindly names each class.
    """

    share: float
    sharpness: float
    named: Values

    @classmethod
    def fit(cls, logs: Values, listed: NDArray[np.integer]) -> Self:
        """Return the likeliest model.

        Args:
            logs: `(n, C)`, log chances of every class by judges that had no part of the listing.
            listed: `(n,)`, classes in 0..C-1, of which two occur or more.

        Raises:
            ValueError: fewer classes are listed, or something that is no class.
        """
        known = check_labels(listed, len(logs), logs.shape[1])
        if (known == NO_CLASS).any() or len(np.unique(known)) < 2:
            msg = "there must be listings, all of classes, and of two classes or more"
            raise ValueError(msg)
        named = np.sqrt(np.bincount(known, minlength=logs.shape[1]))
        named /= named.sum()
        found = []
        for sharpness in SHARPNESS:
            right, wrong = _explained(logs, known, sharpness, named)
            share = _share(right, wrong)
            found.append((float(np.log((1 - share) * right + share * wrong).mean()), share, sharpness))
        _, share, sharpness = max(found)
        return cls(share, sharpness, named)

    def probability(self, logs: Values, listed: NDArray[np.integer]) -> Values:
        """Return how likely each listing is wrong, `(n,) float64`; arguments as of `fit`."""
        right, wrong = _explained(logs, listed, self.sharpness, self.named)
        return _wrong(right, wrong, self.share)


def _explained(logs: Values, listed: NDArray[np.integer], sharpness: float, named: Values) -> tuple[Values, Values]:
    """Return how likely each listing is if it is right, and if it is wrong; at least the smallest float.

    Wrong, it names class l instead of the true k with probability named_l / (1 - named_k).
    """
    chances = np.exp(sharpness * (logs - logs.max(axis=1, keepdims=True)))
    chances /= chances.sum(axis=1, keepdims=True)
    rows = np.arange(len(listed))
    right = chances[rows, listed].copy()
    chances[rows, listed] = 0
    wrong = named[listed] * (chances @ (1 / (1 - named)))
    return np.maximum(right, _TINY), np.maximum(wrong, _TINY)


def _wrong(right: Values, wrong: Values, share: float) -> Values:
    return np.asarray(share * wrong / ((1 - share) * right + share * wrong), dtype=np.float64)


def _share(right: Values, wrong: Values) -> float:
    share = _START
    for _ in range(_STEPS):
        before, share = share, float(_wrong(right, wrong, share).mean())
        if abs(share - before) < _ENOUGH:
            break
    return share
