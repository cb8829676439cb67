"""One vector for every class, and labels where there are none: from prompts, from labels, from confident guesses.

Zero-shot, as in the article "Pairwise Cross-Variance Classification" (doc1000/pairwise_classification): the encoder
turns "a photo of a shirt" into the class's vector, items take the class of the nearest, and those that are sure enough
stand in for labelled samples. Pseudo-labels are guesses: fit on them, never judge by them. Encoding prompts is left to
the caller.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.class_statistics import ClassStatistics, class_statistics
from models.tournaments import decide
from models.vector_blocks import NO_CLASS, Labels, Rows, Vectors, check_row, cosine_blocks, unit_blocks, unit_rows


def prompt_prototypes(prompts: Vectors, centre: Rows | None = None) -> Rows:
    """Return `prompts (C, d)` as unit rows about `centre (d,)`, float32.

    Args:
        prompts: the vector of each class's prompt, or the mean of several; zeros for a class without one.
        centre: of the texts, not of what they will be compared with; none when None.

    Raises:
        ValueError: a value is NaN or infinite, or shapes differ.
    """
    prototypes = np.zeros(prompts.shape, np.float32)
    for where, block in unit_blocks(prompts, centre):
        prototypes[where] = block
    prototypes[~np.any(prompts, axis=1)] = 0
    return prototypes


def mean_prototypes(statistics: ClassStatistics, centre: Rows | None = None) -> Rows:
    """Return the class means about `centre (d,)` as unit rows, `(C, d) float32`; zeros for an empty class."""
    if centre is not None:
        check_row("centre", centre, statistics.means.shape[1])
    about = statistics.means if centre is None else statistics.means - centre
    return np.where((statistics.counts > 0)[:, np.newaxis], unit_rows(about), np.float32(0))


def label_prototypes(vectors: Vectors, labels: NDArray[np.integer], classes: int, centre: Rows | None = None) -> Rows:
    """Return `mean_prototypes` of `vectors (n, d)` by `labels (n,)`; -1 is left out.

    Raises:
        ValueError: as `class_statistics`.
    """
    return mean_prototypes(class_statistics(vectors, labels, classes), centre)


@dataclass(frozen=True, slots=True)
class Sure:
    """When a guess counts as a label.

    Attributes:
        cosine: least cosine to the best prototype, in -1..1.
        margin: least lead of the best cosine over the second, 0 or more; the article's "undecided" is below 0.02.
            Without a second class it is not asked for.
        most: kept of a class at most, those with the largest lead, then the earliest; 1,500 samples in the article.
    """

    cosine: float = 0.0
    margin: float = 0.02
    most: int = 1_500

    def __post_init__(self) -> None:
        if not -1 <= self.cosine <= 1 or not 0 <= self.margin <= 2 or self.most < 1:
            msg = f"cosine must lie in -1..1, margin in 0..2 and most be at least 1, not {self}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True, eq=False)
class PseudoLabels:
    """Guesses at the classes of n items.

    Attributes:
        labels: `(n,) int32`, the class, or -1 where the guess is not sure enough or its class has enough.
        cosines: `(n,) float32`, to the best prototype.
        margins: `(n,) float32`, the lead over the second; 0 where there is none.
    """

    labels: Labels
    cosines: NDArray[np.float32]
    margins: NDArray[np.float32]


def pseudo_labels(
    vectors: Vectors, prototypes: Rows, centre: Rows | None = None, sure: Sure | None = None
) -> PseudoLabels:
    """Guess the class of each of `vectors (n, d)` by its cosine to every prototype.

    Args:
        vectors: finite; read in blocks.
        prototypes: `(C, d)`; a row of zeros is no class.
        centre: `(d,)` of the vectors; the prototypes are about their own already.
        sure: what counts.

    Raises:
        ValueError: a value is NaN or infinite, shapes differ, or no class has a prototype.
    """
    rule = sure or Sure()
    n, contested = len(vectors), prototypes.any(axis=1).sum() > 1
    guessed, cosines, margins = np.zeros(n, np.int32), np.zeros(n, np.float32), np.zeros(n, np.float32)
    for where, block in cosine_blocks(vectors, prototypes, centre):
        decided = decide(block)
        guessed[where], margins[where] = decided.classes, decided.margins
        cosines[where] = block.max(axis=1)
    certain = (cosines >= rule.cosine) & ((margins >= rule.margin) | ~contested)
    labels = np.full(n, NO_CLASS, np.int32)
    kept = _most_of_each(guessed, margins if contested else cosines, np.flatnonzero(certain), rule.most)
    labels[kept] = guessed[kept]
    return PseudoLabels(labels, cosines, margins)


def _most_of_each(
    classes: Labels, confidence: NDArray[np.float32], rows: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """Return those of `rows` that are among the `most` most confident of their class."""
    order = rows[np.lexsort((rows, -confidence[rows], classes[rows]))]
    _, starts, sizes = np.unique(classes[order], return_index=True, return_counts=True)
    return np.asarray(order[np.arange(len(order)) - np.repeat(starts, sizes) < most], dtype=np.int64)
