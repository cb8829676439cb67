"""From duels to one class for every item: a round robin, single elimination, or several eliminations that vote.

`margin_sum` lets every class meet every other and adds up the margins. `brackets` is the article's tournament
("Pairwise Cross-Variance Classification", doc1000/pairwise_classification): single elimination in random order, so
its winner depends on the draw. `voting_brackets` plays it several times. Here every class plays; which classes may is
left to `models.pairwise`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.duels import Classes, Duels
from models.subdimensions import Indices, pair_count, pair_index
from models.vector_blocks import Rows

VOTES = 15

_TABLE_VALUES = 32_000_000  # margins held at once: 128 MB

Margin = Callable[[Classes, Classes], Rows]
"""The margins `(n, k)` of classes `a (n, k)` over `b (n, k)`, row i for item i."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What was decided of n items among C classes.

    Attributes:
        classes: `(n,) int32`, the winner.
        scores: `(n, C) float32`, the winner's being the highest; -inf for a class that cannot win.
        margins: `(n,) float32`, best score minus second best, >= 0; 0 where only one class can win, as nothing was
            compared.
    """

    classes: Classes
    scores: Rows
    margins: Rows


def decide(scores: NDArray[np.float32] | NDArray[np.float64]) -> Decisions:
    """Return the decision for the highest of `scores (n, C)`, the first among equals.

    Raises:
        ValueError: a score is NaN, there are no classes, or a row has none that can win.
    """
    if scores.ndim != 2 or not scores.shape[1]:
        msg = f"scores must be (n, C) with C >= 1, not {scores.shape}"
        raise ValueError(msg)
    best = scores.max(axis=1)
    if not np.isfinite(best).all():
        msg = f"scores: row {int(np.isfinite(best).argmin())} holds NaN, or no class that can win"
        raise ValueError(msg)
    return Decisions(scores.argmax(axis=1).astype(np.int32), scores.astype(np.float32), _leads(scores))


def _leads(scores: NDArray[np.float32] | NDArray[np.float64]) -> Rows:
    if scores.shape[1] == 1:
        return np.zeros(len(scores), np.float32)
    second, best = np.partition(scores, -2, axis=1)[:, -2:].T
    return np.where(np.isneginf(second), 0.0, best - second).astype(np.float32)


def margin_sum(duels: Duels, x: Rows) -> Decisions:
    """Return for each item of a block `x (n, d) float32` the class with the largest sum of margins over all others.

    Scores are those sums, in -2 (C - 1)..2 (C - 1), added in float64. The order of the classes matters to nothing but
    exact ties, which the first class wins.
    """
    return decide(_sums(duels, x))


def _sums(duels: Duels, x: Rows) -> NDArray[np.float64]:
    sums = np.zeros((len(x), len(duels)))
    for where, weights in duels.blocks():
        margins = weights.margins(x)
        for a, first, run in _runs(where, len(duels)):
            against = margins[:, run]
            sums[:, a] += against.sum(axis=1, dtype=np.float64)
            sums[:, first : first + against.shape[1]] -= against
    return sums


def _runs(pairs: slice, classes: int) -> Iterator[tuple[int, int, slice]]:
    """Split consecutive `pairs` by their class a: yield a, the first b, and which of the pairs they are."""
    offset = 0
    for a in range(classes - 1):
        start, stop = max(offset, pairs.start), min(offset + classes - 1 - a, pairs.stop)
        if start < stop:
            yield a, a + 1 + start - offset, slice(start - pairs.start, stop - pairs.start)
        offset += classes - 1 - a


def brackets(duels: Duels, x: Rows, seed: int = 0) -> Decisions:
    """Return the winner of single elimination in an order drawn by `seed`, the same order for every item.

    With an odd number the last class has a bye, and plays first in the next round. A duel without a margin goes to the
    first class. Scores are 1 for the winner and 0 for the rest: one bracket does not say how sure it is.
    """
    return voting_brackets(duels, x, seed, count=1)


def voting_brackets(duels: Duels, x: Rows, seed: int = 0, *, count: int = VOTES) -> Decisions:
    """Return the class that wins most of `count` brackets; ties go to the larger sum of margins.

    Scores are the share of brackets won. Brackets with the same seed are the same, and the first is that of `brackets`.

    Raises:
        ValueError: `count` is less than 1.
    """
    if count < 1:
        msg = f"there must be at least 1 bracket, not {count}"
        raise ValueError(msg)
    orders = [np.random.default_rng([seed, number]).permutation(len(duels)) for number in range(count)]
    votes = _votes(duels, x, orders)
    leading = votes == votes.max(axis=1, keepdims=True)
    classes = leading.argmax(axis=1)
    tied = np.flatnonzero(leading.sum(axis=1) > 1)
    if len(tied):
        classes[tied] = np.where(leading[tied], _sums(duels, x[tied]), -np.inf).argmax(axis=1)
    shares = votes.astype(np.float32) / np.float32(count)
    return Decisions(classes.astype(np.int32), shares, _leads(shares))


def _votes(duels: Duels, x: Rows, orders: Sequence[Indices]) -> Classes:
    """Return how many brackets each class wins, `(n, C) int32`, one bracket for each of `orders`."""
    rows = _rows_of_a_table(duels, len(x), len(orders))
    if not rows:
        return _played(lambda a, b: duels.between(x, a, b), len(x), orders)
    votes = np.zeros((len(x), len(duels)), np.int32)
    for start in range(0, len(x), rows):
        table = duels.table(x[start : start + rows])
        votes[start : start + rows] = _played(_looked_up(table, len(duels)), len(table), orders)
    return votes


def _rows_of_a_table(duels: Duels, n: int, count: int) -> int:
    """Return for how many items at once to work all margins out, 0 to work out only those asked for.

    What takes time is to make weights: for each duel asked for, or for each pair and table. To multiply with weights
    that are there takes about 1/128 of that.
    """
    pairs = pair_count(len(duels))
    rows = max(1, _TABLE_VALUES // max(1, pairs))
    made = 0 if duels.are_held else -(-n // rows)
    return rows if pairs * (made + n / 128) <= n * count * (len(duels) - 1) else 0


def _looked_up(table: Rows, classes: int) -> Margin:
    def margin(a: Classes, b: Classes) -> Rows:
        found = np.take_along_axis(table, pair_index(a, b, classes), axis=1)
        return np.where(a < b, found, -found)

    return margin


def _played(margin: Margin, n: int, orders: Sequence[Indices]) -> Classes:
    votes = np.zeros((n, len(orders[0])), np.int32)
    for order in orders:
        votes[np.arange(n), _winners(margin, np.tile(order.astype(np.int32), (n, 1)))] += 1
    return votes


def _winners(margin: Margin, standing: Classes) -> Classes:
    """Return who is left of `standing (n, C)` when neighbours have met, round by round."""
    while standing.shape[1] > 1:
        even = standing.shape[1] // 2 * 2
        a, b = standing[:, :even:2], standing[:, 1:even:2]
        margins = margin(a, b)
        won = np.where(margins > 0, a, np.where(margins < 0, b, np.minimum(a, b)))
        standing = np.concatenate([standing[:, even:], won], axis=1)
    return standing[:, 0]
