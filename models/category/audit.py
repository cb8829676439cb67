"""Where a catalogue contradicts itself: products ranked by how likely the category they are listed under is wrong.

Texts and pictures are judged apart by judges that saw neither the product nor its variants, and the two are combined.
A product is suspicious as far as its listed class is unlikely. What was tried besides, and found no more on catalogues
that had been spoilt on purpose: the lead of the best class over the listed one, the sum of both judges' log-odds, the
less sure of the two, weights for the two; asking that both name the same other class found fewer. Files and page are
left to `models.category.audit_report` and `audit_page`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.category.judge import Judge, Judgement, combined, fit_judge
from models.category.mislabelled import Mislabelled
from models.class_statistics import class_statistics
from models.subdimensions import cross_score, scoring_variances
from models.vector_blocks import NO_CLASS, Labels, Vectors, check_labels

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST: Final = 2  # products a class needs that are not variants of one another
_SMALLEST: Final = 1e-12  # chance that a logarithm is taken of


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Products as a catalogue lists them.

    Attributes:
        vectors: by kind, text and image, `(n, d)`; row i of both is product i.
        labels: `(n,)`, the listed class, or -1 for one that lists none.
        names: of the C classes.
        groups: `(n,)`, equal for variants of one product.
    """

    vectors: Mapping[str, Vectors]
    labels: Labels
    names: tuple[str, ...]
    groups: NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class PairDimensions:
    """What tells two classes apart in one kind of vectors.

    Attributes:
        scores: `(d,) float64`, the cross-variance scores of the dimensions, after the spread is evened out.
        kept: `(d,)`, which of them the judge compares by.
    """

    scores: Values
    kept: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """What judges make of listings.

    Attributes:
        listed: the n products that were audited, and their classes.
        rows: `(n,)`, which of the products given they are.
        rare: classes left out, as fewer than two products list them, variants of one counting once.
        judges: by kind, fitted on all n.
        text: the judgement of texts, cross-fitted.
        image: of pictures.
        both: of the two combined; its classes are what is suggested.
        model: how many listings are wrong.
        wrong: `(n,) float64`, how likely each listing is wrong.
        order: `(n,)`, products from the likeliest to be wrong to the least.
    """

    listed: Listed
    rows: Counts
    rare: tuple[str, ...]
    judges: Mapping[str, Judge]
    text: Judgement
    image: Judgement
    both: Judgement
    model: Mislabelled
    wrong: Values
    order: Counts

    @property
    def confusion(self) -> Counts:
        """How many products listed under class i are judged class j, `(C, C)`."""
        classes = len(self.listed.names)
        cells = self.listed.labels.astype(np.int64) * classes + self.both.classes
        return np.bincount(cells, minlength=classes**2).reshape(classes, classes)

    def confused(self, most: int) -> list[tuple[int, int]]:
        """Return the pairs of classes a < b that most products are listed under one of and judged the other."""
        either = np.triu(self.confusion + self.confusion.T, 1)
        best = np.argsort(-either, axis=None, kind="stable")[:most]
        pairs = [divmod(int(cell), len(either)) for cell in best]
        return [(a, b) for a, b in pairs if either[a, b]]

    def dimensions(self, kind: str, a: int, b: int) -> PairDimensions:
        """Return what tells class `a` from class `b` in the vectors of `kind`."""
        judge, labels = self.judges[kind], self.listed.labels
        either = np.flatnonzero((labels == a) | (labels == b))
        evened = judge.whitening.apply(self.listed.vectors[kind][either])
        found = class_statistics(evened, (labels[either] == b).astype(np.int32), 2)
        means, variances = found.means, scoring_variances(found)
        scores = cross_score(means[0], variances[0], means[1], variances[1])
        return PairDimensions(scores, judge.classifier.masks.between(a, b))

    def precision(self, spoilt: NDArray[np.bool_]) -> tuple[float, int]:
        """Return how many of the first m of `order` are spoilt, as a share, and m, how many there are in all.

        Args:
            spoilt: `(N,)`, which of the products given have a class that is known to be wrong.
        """
        known = spoilt[self.rows]
        count = int(known.sum())
        return (float(known[self.order[:count]].mean()) if count else 0.0), count


def audit(listed: Listed, *, seed: int = 0) -> Audit:
    """Judge every product that lists a class by its texts and its pictures.

    Args:
        listed: N products.
        seed: of the folds.

    Raises:
        ValueError: fewer than two classes are listed by two products, or a value is NaN.
    """
    kept, rows, rare = without_rare(listed)
    judged = {kind: fit_judge(x, kept.labels, kept.names, kept.groups, seed=seed) for kind, x in kept.vectors.items()}
    text, image = judged["text"][1], judged["image"][1]
    both = combined([text, image])
    logs = np.log(np.maximum(both.chances, _SMALLEST))
    model = Mislabelled.fit(logs, kept.labels)
    wrong = model.probability(logs, kept.labels)
    own = logs[np.arange(len(rows)), kept.labels]
    return Audit(
        listed=kept,
        rows=rows,
        rare=rare,
        judges={kind: judge for kind, (judge, _) in judged.items()},
        text=text,
        image=image,
        both=both,
        model=model,
        wrong=wrong,
        order=np.lexsort((own, -wrong)),
    )


def without_rare(listed: Listed) -> tuple[Listed, Counts, tuple[str, ...]]:
    """Return the products whose class others list too, which they are, and the names of the classes left out.

    Raises:
        ValueError: fewer than two classes are left.
    """
    labels = check_labels(listed.labels, len(listed.groups), len(listed.names))
    known = labels != NO_CLASS
    members = np.unique(np.stack([labels[known], listed.groups[known]]), axis=1)[0]  # variants once in a class
    counts = np.bincount(members, minlength=len(listed.names))
    common = np.flatnonzero(counts >= LEAST)
    if len(common) < 2:
        msg = f"fewer than two classes are listed by {LEAST} products or more: there is nothing to tell apart"
        raise ValueError(msg)
    number = np.full(len(listed.names) + 1, NO_CLASS, np.int32)  # the last is that of no class
    number[common] = np.arange(len(common))
    rows = np.flatnonzero(number[labels] != NO_CLASS)
    kept = Listed(
        {kind: vectors[rows] for kind, vectors in listed.vectors.items()},
        number[labels][rows],
        tuple(listed.names[place] for place in common),
        listed.groups[rows],
    )
    return kept, rows, tuple(listed.names[place] for place in np.flatnonzero((counts > 0) & (counts < LEAST)))


def corrupted(labels: Labels, share: float, seed: int = 0) -> Labels:
    """Return `labels (n,)` with `share` of those that are classes, drawn by `seed`, changed to any other that occurs.

    Every other class is as likely. For measuring what an audit finds.

    Raises:
        ValueError: the share lies outside of 0..1, or there is no other class.
    """
    known = np.flatnonzero(labels != NO_CLASS)
    occur = np.unique(labels[known])
    if not 0 <= share <= 1 or len(occur) < 2:
        msg = f"the share must lie in 0..1 and there must be two classes, not {share} and {len(occur)}"
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    rows = rng.choice(known, round(share * len(known)), replace=False)
    moved = np.searchsorted(occur, labels[rows]) + rng.integers(1, len(occur), len(rows))
    changed = labels.copy()
    changed[rows] = occur[moved % len(occur)]
    return changed
