"""F1 scores of decisions among classes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class F1Scores:
    """F1 of decisions among classes, 2 right / (stated + true), averaged over the classes that truly occur.

    Attributes:
        macro: every class counts the same.
        weighted: every class by how often it truly occurs.
    """

    macro: float
    weighted: float


def f1_scores(true: NDArray[np.integer], stated: NDArray[np.integer], classes: int) -> F1Scores:
    """Return the F1 scores of `stated (n,)` classes, given the `true (n,)` ones, each in 0..classes-1.

    Raises:
        ValueError: shapes differ, there is nothing, or a class is none.
    """
    if true.shape != stated.shape or true.ndim != 1 or not len(true):
        msg = f"true and stated must be (n,) with n >= 1, not {true.shape} and {stated.shape}"
        raise ValueError(msg)
    both = np.concatenate([true, stated])
    if both.min() < 0 or both.max() >= classes:
        msg = f"classes must lie in 0..{classes - 1}, not {both.min()}..{both.max()}"
        raise ValueError(msg)
    right = np.bincount(true[true == stated], minlength=classes)
    occurs = np.bincount(true, minlength=classes)
    scores = 2 * right / np.maximum(1, occurs + np.bincount(stated, minlength=classes))
    return F1Scores(float(scores[occurs > 0].mean()), float((scores * occurs).sum() / occurs.sum()))
