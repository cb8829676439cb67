"""Multinomial logistic regression on unit vectors, by L-BFGS: the usual way to learn classes from embeddings.

The loss is convex, so where it ends depends on nothing but the data: no seed, no learning rate. It is minimised here,
in float64 and a block of rows at a time, so that a comparison does not need scikit-learn or torch.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.baselines import stacked
from models.vector_blocks import NO_CLASS, ROWS, Labels, Rows, Vectors, check_labels, check_vectors, unit_blocks

Values = NDArray[np.float64]
Objective = Callable[[Values], tuple[float, Values]]

_HISTORY = 20
_HALVINGS = 30
_SUFFICIENT = 1e-4  # of the decrease that the slope promises (Nocedal and Wright, Numerical Optimization, eq. 3.4)


class NotConvergedError(RuntimeError):
    """The minimum was not reached in the iterations allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class LogisticScorer:
    """Linear scores of C classes.

    Attributes:
        weights: `(C, d) float32`.
        bias: `(C,) float32`; -inf for a class without samples.
        centre: `(d,)`, subtracted from the items before they are scaled to unit length; none when None.
    """

    weights: Rows
    bias: Rows
    centre: Rows | None = None

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        labels: NDArray[np.integer],
        classes: int,
        *,
        centre: Rows | None = None,
        l2: float = 1e-5,
        tolerance: float = 1e-6,
    ) -> Self:
        """Minimise the mean of -log p(label) plus l2 / 2 times the squared weights, not the biases.

        Args:
            vectors: `(n, d)`, finite; a float32 copy of the labelled ones is held.
            labels: `(n,)` classes, or -1 for a row to leave out.
            classes: how many, C.
            centre: `(d,)` of the vectors.
            l2: more than 0; scikit-learn's C is 1 / (n l2).
            tolerance: of the largest slope at the end.

        Raises:
            ValueError: a value is NaN, a label is no class, there are no labels, or `l2` is not positive.
            NotConvergedError: the slope is still larger after 2,000 steps.
        """
        check_vectors(vectors)
        known = check_labels(labels, len(vectors), classes)
        if not (known != NO_CLASS).any() or not 0 < l2 < np.inf:
            msg = f"there must be labels, and l2 must be positive, not {l2}"
            raise ValueError(msg)
        x = np.concatenate([block[known[where] != NO_CLASS] for where, block in unit_blocks(vectors, centre)])
        present, y = np.unique(known[known != NO_CLASS], return_inverse=True)
        d = vectors.shape[1]
        flat = minimised(
            lambda at: loss_and_gradient(at.reshape(-1, d + 1), x, y.astype(np.int32), l2),
            np.zeros(len(present) * (d + 1)),
            tolerance,
        )
        found = flat.reshape(-1, d + 1).astype(np.float32)
        weights, bias = np.zeros((classes, d), np.float32), np.full(classes, -np.inf, np.float32)
        weights[present], bias[present] = found[:, :d], found[:, d]
        return cls(weights, bias, centre)

    def scores(self, vectors: Vectors) -> Rows:
        """See `models.baselines.Scorer`; logits: their softmax is the model's probability."""
        check_vectors(vectors, self.weights.shape[1])

        def parts() -> Iterator[tuple[slice, Rows]]:
            for where, block in unit_blocks(vectors, self.centre):
                yield where, block @ self.weights.T + self.bias

        return stacked(len(vectors), len(self.bias), parts())


def loss_and_gradient(parameters: Values, x: Rows, y: Labels, l2: float) -> tuple[float, Values]:
    """Return the loss of `LogisticScorer.fit` and its gradient, flat.

    Args:
        parameters: `(C, d + 1) float64`, weights and, last, the biases.
        x: `(n, d)` items.
        y: `(n,)` their classes.
        l2: weight of the squared weights.
    """
    weights, bias = parameters[:, :-1], parameters[:, -1]
    loss, slope = 0.0, np.zeros_like(parameters)
    for start in range(0, len(x), ROWS):
        block, right = x[start : start + ROWS].astype(np.float64), y[start : start + ROWS]
        logits = block @ weights.T + bias
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        at = (np.arange(len(right)), right)
        loss += float((np.log(total[:, 0]) - logits[at]).sum())
        p /= total
        p[at] -= 1
        slope[:, :-1] += p.T @ block
        slope[:, -1] += p.sum(axis=0)
    slope /= len(x)
    slope[:, :-1] += l2 * weights
    return loss / len(x) + l2 / 2 * float((weights**2).sum()), slope.ravel()


def minimised(objective: Objective, start: Values, tolerance: float, steps: int = 2_000) -> Values:
    """Return where the convex `objective`, which gives its value and slope, is smallest, `(k,) float64`.

    L-BFGS with halved steps (Nocedal and Wright, Numerical Optimization, algorithms 3.1 and 7.5).

    Raises:
        NotConvergedError: the largest slope is above `tolerance` after so many `steps`, or no step leads down.
    """
    at, (value, slope) = start, objective(start)
    moves: deque[tuple[Values, Values]] = deque(maxlen=_HISTORY)
    for _ in range(steps):
        if np.abs(slope).max() <= tolerance:
            return at
        new, new_value, new_slope = _step_down(objective, at, value, slope, _direction(slope, moves))
        moved, turned = new - at, new_slope - slope
        if moved @ turned > 0:
            moves.append((moved, turned))
        at, value, slope = new, new_value, new_slope
    msg = f"the largest slope is {np.abs(slope).max():.1e} after {steps} steps, not {tolerance:.1e}"
    raise NotConvergedError(msg)


def _direction(slope: Values, moves: deque[tuple[Values, Values]]) -> Values:
    """Return minus the slope times the inverse curvature that `moves` saw; of unit length before any."""
    if not moves:
        return -slope / np.sqrt(slope @ slope)
    down = -slope
    shares = []
    for moved, turned in reversed(moves):
        share = (moved @ down) / (moved @ turned)
        shares.append(share)
        down = down - share * turned
    moved, turned = moves[-1]
    down = down * ((moved @ turned) / (turned @ turned))
    for (moved, turned), share in zip(moves, reversed(shares), strict=True):
        down = down + (share - (turned @ down) / (moved @ turned)) * moved
    return np.asarray(down, dtype=np.float64)


def _step_down(
    objective: Objective, at: Values, value: float, slope: Values, direction: Values
) -> tuple[Values, float, Values]:
    promised, length = float(slope @ direction), 1.0
    for _ in range(_HALVINGS):
        new = at + length * direction
        new_value, new_slope = objective(new)
        if new_value <= value + _SUFFICIENT * length * promised:
            return new, new_value, new_slope
        length /= 2
    msg = f"no step leads down from a slope of {np.abs(slope).max():.1e}"
    raise NotConvergedError(msg)
