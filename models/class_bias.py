"""What to add to the score of each class, so that classes win as often as they should.

Scores of duels do not know how common a class is, nor that some classes are scored too well throughout. Both are
mended by one number for each class, that with which a softmax of the scores predicts held-out labels best: the biases
of bias-corrected temperature scaling (Alexandari, Kundaje and Shrikumar, ICML 2020).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.logistic import minimised
from models.vector_blocks import NO_CLASS, Labels, Rows

Values = NDArray[np.float64]

L2: Final = 1e-5  # weight of the squared biases, of scores of a standard deviation of 1
_TOLERANCE: Final = 1e-5
_LEAST_STEEPNESS: Final = 0.5  # of scores of a standard deviation of 1: those that tell little are heard all the same
_MOST_VALUES: Final = 50_000_000  # scores learnt from: 400 MB; a number for each class does not need more


def class_bias(scores: Rows, labels: Labels, *, seed: int = 0) -> Rows:
    """Return the `(C,) float32` b with which softmax((scores + b) / T) predicts the labels best, whatever T.

    The mean of -log p(label) is minimised, plus a small weight of the squares that keeps the biases of rare classes
    within bounds. Scores that tell next to nothing would make T, and with it the biases, as large as can be: T is twice
    the standard deviation of the scores at most.

    Args:
        scores: `(n, C)`, of items that had no part in making them; -inf for a class that cannot win.
        labels: `(n,)` classes. Items of none (-1), or of a class that cannot win there, are left out; where none is
            left, all biases are 0.
        seed: of the items drawn, where there are very many.
    """
    known = np.flatnonzero(labels != NO_CLASS)
    known = known[np.isfinite(scores[known, labels[known]])]
    most = max(1, _MOST_VALUES // scores.shape[1])
    if len(known) > most:
        known = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    if not len(known):
        return np.zeros(scores.shape[1], np.float32)
    drawn, y = scores[known].astype(np.float64), labels[known]
    possible = np.isfinite(drawn)
    unit = float(drawn[possible].std()) or 1.0
    drawn = np.where(possible, drawn / unit, -np.inf)
    start = np.concatenate([[1.0], np.zeros(scores.shape[1])])
    found = minimised(lambda at: loss_and_gradient(at, drawn, y, L2), start, _TOLERANCE)
    return np.asarray(found[1:] / max(found[0], _LEAST_STEEPNESS) * unit, np.float32)


def loss_and_gradient(parameters: Values, scores: Values, labels: Labels, l2: float) -> tuple[float, Values]:
    """Return the mean of -log p(label) with its penalty, and the gradient, `(C + 1,)`.

    Args:
        parameters: `(C + 1,)`, a and b of softmax(a scores + b).
        scores: `(n, C)`; -inf for a class that cannot win, never that of the label.
        labels: `(n,)` classes.
        l2: weight of the squared parameters.
    """
    finite = np.where(np.isneginf(scores), 0.0, scores)
    logits = np.where(np.isneginf(scores), -np.inf, parameters[0] * finite + parameters[1:])
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    total = p.sum(axis=1)
    at = (np.arange(len(labels)), labels)
    loss = float((np.log(total) - logits[at]).mean()) + l2 / 2 * float((parameters**2).sum())
    p /= total[:, np.newaxis]
    p[at] -= 1
    slope = np.concatenate([[(p * finite).sum()], p.sum(axis=0)]) / len(labels) + l2 * parameters
    return loss, slope
