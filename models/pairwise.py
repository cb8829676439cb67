"""A category for every item by pairwise sub-dimensions: fit on labelled vectors, classify, save as arrays.

From the article "Pairwise Cross-Variance Classification" (doc1000/pairwise_classification). Its reference fitted and
judged on the same items, and took pictures for texts: so fit here on one split and judge on another, each kind of
vector about its own centre. Where labels come from is left to `models.prototypes`, how sure a decision is to
`models.calibration`, and what to compare with to `models.baselines`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.class_statistics import class_statistics
from models.duels import Duels
from models.prototypes import mean_prototypes
from models.subdimensions import CutOff, SubDimensions, pairwise_subdimensions
from models.tournaments import VOTES, Decisions, brackets, margin_sum, voting_brackets
from models.vector_blocks import ROWS, Rows, Vectors, check_row, check_vectors, unit_blocks, unit_rows


class Tournament(StrEnum):
    """How the winner of all duels is found."""

    MARGIN_SUM = "margin-sum"
    BRACKET = "bracket"
    VOTING = "voting"


@dataclass(frozen=True, eq=False)
class PairwiseClassifier:
    """Decides between C classes by their duels.

    For vectors of another kind (texts, where this was fitted on pictures) use `dataclasses.replace` with their centre.

    Attributes:
        names: of the classes, all different.
        prototypes: `(C, d) float32`, unit rows, after centring; a row of zeros for a class that never wins.
        centre: `(d,) float32`, subtracted from every vector to be classified; zeros for none.
        masks: the dimensions that tell each pair of classes apart.
    """

    names: tuple[str, ...]
    prototypes: Rows
    centre: Rows
    masks: SubDimensions

    def __post_init__(self) -> None:
        _check_prototypes(self.prototypes, self.names)
        classes, d = self.prototypes.shape
        check_row("centre", self.centre, d)
        if (self.masks.classes, self.masks.dimensions) != (classes, d):
            msg = (
                f"masks of {self.masks.classes} classes and {self.masks.dimensions} dimensions do not fit {classes, d}"
            )
            raise ValueError(msg)
        if not len(self.players):
            msg = "no class has a prototype"
            raise ValueError(msg)

    @classmethod
    def fit(
        cls,
        vectors: Vectors,
        labels: NDArray[np.integer],
        names: Sequence[str],
        *,
        prototypes: Rows | None = None,
        centre: Rows | None = None,
        cutoff: CutOff | None = None,
    ) -> Self:
        """Learn the sub-dimensions of every pair, and prototypes where none are given.

        Scores of dimensions do not move with the centre; prototypes and cosines do.

        Args:
            vectors: `(n, d)`, finite; read in blocks.
            labels: `(n,)` classes in 0..C-1, or -1 for rows to leave out.
            names: of the C classes.
            prototypes: `(C, d)`, already about the centre of their own kind (texts, for prompts); the means of the
                classes about `centre` when None. A class without samples gets none either way.
            centre: `(d,)` of these vectors, as by `modality_centre`; none when None.
            cutoff: of the dimensions' scores.

        Raises:
            ValueError: a value is NaN, a label is no class, names repeat, shapes differ, or no class has a prototype.
        """
        check_vectors(vectors)
        middle = np.zeros(vectors.shape[1], np.float32) if centre is None else centre.astype(np.float32)
        check_row("centre", middle, vectors.shape[1])
        statistics = class_statistics(vectors, labels, len(names))
        found = mean_prototypes(statistics, middle) if prototypes is None else prototypes
        _check_prototypes(found, names)
        unit = np.where((statistics.counts > 0)[:, np.newaxis], unit_rows(found), np.float32(0))
        return cls(tuple(names), unit, middle, pairwise_subdimensions(statistics, cutoff))

    @cached_property
    def players(self) -> NDArray[np.int64]:
        """The classes that have a prototype."""
        return np.flatnonzero(self.prototypes.any(axis=1))

    @cached_property
    def duels(self) -> Duels:
        """The duels between `players`, which number them anew."""
        return Duels(self.prototypes[self.players], self.masks.among(self.players))

    def classify(
        self,
        vectors: Vectors,
        tournament: Tournament = Tournament.MARGIN_SUM,
        *,
        seed: int = 0,
        count: int = VOTES,
        rows: int = ROWS,
    ) -> Decisions:
        """Return the class of each of `vectors (n, d)`, with scores and margins as the tournament defines them.

        What is decided of an item does not depend on the others, beyond rounding. Besides the result this takes memory
        for `rows` items: with 2,048 rows 60 MB for 64 classes of 512 dimensions, under 500 MB for any number of them.

        Args:
            vectors: finite, of d dimensions; may be memory-mapped.
            tournament: how the winner is found.
            seed: of the draws; `margin-sum` has none.
            count: brackets that vote, for `voting`.
            rows: items at once.

        Raises:
            ValueError: a value is NaN (the message names the row), or d differs.
        """
        check_vectors(vectors, len(self.centre))
        play = self._player(tournament, seed, count)
        n, classes = len(vectors), len(self.names)
        found = Decisions(np.zeros(n, np.int32), np.full((n, classes), -np.inf, np.float32), np.zeros(n, np.float32))
        for where, block in unit_blocks(vectors, self.centre, rows):
            decided = play(self.duels, block)
            found.classes[where] = self.players[decided.classes]
            found.scores[where, self.players] = decided.scores
            found.margins[where] = decided.margins
        return found

    @staticmethod
    def _player(tournament: Tournament, seed: int, count: int) -> Callable[[Duels, Rows], Decisions]:
        if tournament is Tournament.MARGIN_SUM:
            return margin_sum
        if tournament is Tournament.BRACKET:
            return lambda duels, block: brackets(duels, block, seed)
        return lambda duels, block: voting_brackets(duels, block, seed, count=count)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return everything as plain arrays, for `numpy.savez` and `numpy.load` without pickle."""
        return {
            "names": np.array(self.names),
            "prototypes": self.prototypes,
            "centre": self.centre,
            "masks": self.masks.bits,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """Return the classifier of which `arrays` are the arrays.

        Raises:
            ValueError: one is missing, or of another type or shape; the message names it.
        """
        for key, kind in (("names", np.str_), ("prototypes", np.float32), ("centre", np.float32), ("masks", np.uint8)):
            if key not in arrays or not np.issubdtype(arrays[key].dtype, kind):
                msg = f"{key} must be there, as {kind.__name__}"
                raise ValueError(msg)
        prototypes = np.asarray(arrays["prototypes"], dtype=np.float32)
        names = tuple(str(name) for name in np.ravel(arrays["names"]))
        _check_prototypes(prototypes, names)
        classes, d = prototypes.shape
        masks = SubDimensions(classes, d, np.asarray(arrays["masks"], dtype=np.uint8))
        return cls(names, prototypes, np.asarray(arrays["centre"], dtype=np.float32), masks)


def _check_prototypes(prototypes: Vectors, names: Sequence[str]) -> None:
    if len(set(names)) != len(names) or not all(names):
        msg = "names must be different, and none empty"
        raise ValueError(msg)
    if prototypes.ndim != 2 or len(prototypes) != len(names) or not np.isfinite(prototypes).all():
        msg = f"prototypes must be {len(names)} finite rows, one for each name, not {prototypes.shape}"
        raise ValueError(msg)
