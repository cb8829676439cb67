"""BM25 over the words of products: the lexical half of hybrid search.

Every field has its own BM25 (bm25s computes it: Lù, "BM25S", 2024, Lucene's variant), weighted by how much a match in
it tells; their sums are kept for each term and product, so a query costs a few additions for each product that has
its words, and the scores of *all* products are known: filters and fusion need no second search. Words are compared as
stems, without case and accents; a word that no product has stands for those it may have been meant to be. Turning
scores into hits is left to `indexer.ranking`.
"""

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import OSA

from indexer.manifest import BundleError, checked_path
from models.pacing import unhurried
from models.product import SPLIT_ATTRIBUTE, Product
from models.surfaces import tokenize

Scores = NDArray[np.float32]

LANGUAGE: Final = "english"
FIELD_WEIGHTS: Final[Mapping[str, float]] = {
    "title": 3.0,
    "brand": 2.0,
    "category": 2.0,
    "attributes": 1.0,
    "description": 1.0,
}
TERMS: Final = "lexical/terms.json"
STARTS: Final = "lexical/starts.npy"
ROWS: Final = "lexical/rows.npy"
SCORES: Final = "lexical/scores.npy"
FREQUENCIES: Final = "lexical/frequencies.npy"
FILES: Final = (TERMS, STARTS, ROWS, SCORES, FREQUENCIES)

_MOST_WORDS = 64  # of a query; more are prose
_MIN_LETTERS, _TWO_SLIPS = 4, 8
_MOST_MEANT = 3
_MEANT: Final[Mapping[int, float]] = {0: 0.9, 1: 0.8, 2: 0.6}  # what a term counts, by slips; 0: a word being typed


def field_texts(product: Product) -> Mapping[str, str]:
    """Return the words of each of FIELD_WEIGHTS."""
    others = (value for name, value in product.attributes.items() if name != SPLIT_ATTRIBUTE)
    stated = [product.season, product.composition, *others]
    words = [value for value in stated if isinstance(value, str)]
    words += [word for value in stated if isinstance(value, tuple) for word in value]
    return {
        "title": product.title,
        "brand": product.brand or "",
        "category": product.category or "",
        "attributes": " ".join(words),
        "description": product.description,
    }


class Analyzer:
    """Text to stems. Not safe to use from two threads at once: make one for each call."""

    def __init__(self, language: str) -> None:
        self._stemmer = Stemmer.Stemmer(language)

    def words(self, text: str) -> list[tuple[str, str]]:
        """Return the words of `text`, in order, each with its stem."""
        words = [token.norm for token in tokenize(text)]
        return list(zip(words, self._stemmer.stemWords(words), strict=True))


def write_lexical(products: Iterable[Product], folder: Path, language: str = LANGUAGE) -> None:
    """Write the lexical index of `products`, in the order of rows, into the bundle `folder`."""
    analyzer = Analyzer(language)
    known: dict[str, int] = {}
    written: dict[str, Counter[str]] = {}
    fields: dict[str, list[list[int]]] = {name: [] for name in FIELD_WEIGHTS}
    for product in products:
        for name, text in field_texts(product).items():
            words = analyzer.words(text)
            fields[name].append([known.setdefault(stem, len(known)) for _, stem in words])
            if name != "description":
                for word, stem in words:
                    written.setdefault(stem, Counter())[word] += 1
    n = len(fields["title"])
    terms = sorted(known)
    postings = [_field(fields[name], w, len(known)) for name, w in FIELD_WEIGHTS.items()]
    frequencies = np.array([np.bincount(of_field, minlength=len(known)) for of_field, _, _ in postings], np.int32)
    # Terms are numbered as they were met; they are stored in the order of the alphabet.
    order = np.array([known[term] for term in terms], np.int64)
    starts, rows, scores = _reordered(*_summed(postings, n), order)
    (folder / "lexical").mkdir()
    forms = [_commonest(written[term]) if term in written else None for term in terms]
    lengths = [float(np.mean([len(words) for words in fields[name]])) for name in FIELD_WEIGHTS]
    stated = json.dumps({"language": language, "terms": terms, "forms": forms, "lengths": lengths})
    (folder / TERMS).write_text(stated, encoding="utf-8")
    np.save(folder / STARTS, starts)
    np.save(folder / ROWS, rows)
    np.save(folder / SCORES, scores)
    np.save(folder / FREQUENCIES, frequencies[:, order])


def _commonest(counts: Counter[str]) -> str:
    return min(counts, key=lambda word: (-counts[word], word))


_Postings = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]


def _field(documents: Sequence[list[int]], weight: float, terms: int) -> _Postings:
    """Return terms, rows and weighted BM25 scores of one field, `(m,)` each."""
    if not any(documents):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    found: dict[str, Any] = bm25s.BM25(method="lucene").build_index_from_ids(
        list(range(terms)), documents, show_progress=False
    )
    per_term = np.diff(found["indptr"])
    return np.repeat(np.arange(terms), per_term), found["indices"].astype(np.int64), weight * found["data"]


def _summed(fields: Sequence[_Postings], n: int) -> tuple[NDArray[np.int64], NDArray[np.int32], Scores]:
    """Return the fields' scores added up for each term and product, by term, then by row."""
    terms, rows, scores = (np.concatenate(parts) for parts in zip(*fields, strict=True))
    keys, places = np.unique(terms * n + rows, return_inverse=True)
    sums = np.bincount(places, weights=scores, minlength=len(keys))
    term, row = np.divmod(keys, n)
    starts = np.searchsorted(term, np.arange(int(term.max(initial=-1)) + 2))
    return starts.astype(np.int64), row.astype(np.int32), sums.astype(np.float32)


def _reordered(
    starts: NDArray[np.int64], rows: NDArray[np.int32], scores: Scores, order: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], Scores]:
    lengths = np.diff(starts)[order]
    ends = np.cumsum(lengths)
    places = np.arange(int(lengths.sum())) + np.repeat(starts[order] - (ends - lengths), lengths)
    return np.concatenate([[0], ends]).astype(np.int64), rows[places], scores[places]


@dataclass(frozen=True)
class Vocabulary:
    """The terms of a catalogue, and what BM25 knows of them.

    Attributes:
        language: whose stems they are.
        terms: stems, in the order of the alphabet.
        forms: of each term the word that stands for it most often, None if only descriptions have it.
        frequencies: `(F, terms) int32`, how many products have each term in each of FIELD_WEIGHTS.
        lengths: of each field how many words it has on average.
    """

    language: str
    terms: Sequence[str]
    forms: Sequence[str | None]
    frequencies: NDArray[np.int32]
    lengths: Sequence[float]


class LexicalIndex:
    """The lexical index of a bundle, memory-mapped. Safe to use from threads.

    Attributes:
        n: products.
        vocabulary: its terms; `forms` are the words that stand for them, `numbers` their places.
    """

    def __init__(
        self, vocabulary: Vocabulary, starts: NDArray[np.int64], rows: NDArray[np.int32], scores: Scores, n: int
    ) -> None:
        self.vocabulary = vocabulary
        self.forms = vocabulary.forms
        self.n = n
        terms = vocabulary.terms
        self.numbers: Mapping[str, int] = {term: number for number, term in enumerate(unhurried(terms))}
        self._starts = starts
        self._rows = rows
        self._scores = scores
        self._shelves: dict[str, list[str]] = {}
        for term in unhurried(terms):
            self._shelves.setdefault(term[0], []).append(term)

    @classmethod
    def open(cls, folder: Path, n: int) -> Self:
        """Open the index in the bundle `folder` of n products.

        Raises:
            BundleError: a file is missing or damaged, or does not fit.
        """
        path = folder / TERMS
        try:
            stated = json.loads(checked_path(folder, TERMS).read_bytes())
            starts, rows, scores, frequencies = (
                np.asarray(np.load(checked_path(folder, name), mmap_mode="r", allow_pickle=False))
                for name in (STARTS, ROWS, SCORES, FREQUENCIES)
            )
            terms = [str(term) for term in stated["terms"]]
            forms = [None if form is None else str(form) for form in stated["forms"]]
            lengths = [float(length) for length in stated["lengths"]]
            vocabulary = Vocabulary(str(stated["language"]), terms, forms, frequencies, lengths)
            fits = len(starts) == len(terms) + 1 == len(forms) + 1 and len(rows) == len(scores) == int(starts[-1])
            fits = fits and frequencies.shape == (len(lengths), len(terms)) and len(lengths) == len(FIELD_WEIGHTS)
        except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
            msg = f"{path}: not a readable lexical index: {error}"
            raise BundleError(msg) from error
        if not fits:
            msg = f"{path}: {len(terms)} terms do not fit the scores beside it"
            raise BundleError(msg)
        return cls(vocabulary, starts, rows, scores, n)

    def scores(self, text: str) -> Scores:
        """Return BM25 of every product for the words of `text`, `(n,) float32`; 0: it has none of them."""
        return self.scores_of(self.meant(text))

    def scores_of(self, meant: Mapping[str, float]) -> Scores:
        """Return BM25 of every product for terms, each with what it counts, `(n,) float32`; unknown terms: 0."""
        scores = np.zeros(self.n, np.float32)
        for term, weight in meant.items():
            number = self.numbers.get(term)
            if number is not None:
                part = slice(int(self._starts[number]), int(self._starts[number + 1]))
                scores[self._rows[part]] += np.float32(weight) * self._scores[part]  # a product is in it once
        return scores

    def __contains__(self, term: object) -> bool:
        """Return whether any product has the term."""
        return term in self.numbers

    def rows(self, number: int) -> NDArray[np.int32]:
        """Return the products that have the term of this number, ascending."""
        return self._rows[int(self._starts[number]) : int(self._starts[number + 1])]

    def read(self, text: str) -> list[tuple[str, int | None, int | None]]:
        """Return the words of `text`, each with the number of its term, and of the term it may be a slip of."""
        read: list[tuple[str, int | None, int | None]] = []
        for word, stem in Analyzer(self.vocabulary.language).words(text)[:_MOST_WORDS]:
            known = self.numbers.get(stem)
            guesses = [] if known is not None else self._guesses(stem, last=False)
            read.append((word, known, self.numbers[guesses[0][0]] if guesses else None))
        return read

    def meant(self, text: str, others: Sequence[Container[str]] = ()) -> dict[str, float]:
        """Return the terms that the words of `text` are or may have been meant to be, and what each counts.

        A word that one of `others` has is meant as it is written, although this index may not have it.
        """
        stems = [stem for _, stem in Analyzer(self.vocabulary.language).words(text)[:_MOST_WORDS]]
        meant: dict[str, float] = {}
        for place, stem in enumerate(stems):
            last = place == len(stems) - 1
            known = stem in self.numbers or any(stem in other for other in others)
            for term, weight in {stem: 1.0}.items() if known else self._guesses(stem, last=last):
                meant[term] = max(weight, meant.get(term, 0.0))
        return meant

    def _guesses(self, stem: str, *, last: bool) -> list[tuple[str, float]]:
        """Return what an unknown word may be: the beginning of a last word, or a word of one slip or two."""
        shelf = self._shelves.get(stem[0], [])
        if last and len(stem) >= 2:
            begun = [term for term in shelf if term.startswith(stem)]
            if begun:
                return [(term, _MEANT[0]) for term in sorted(begun, key=self._frequency, reverse=True)[:_MOST_MEANT]]
        if len(stem) < _MIN_LETTERS:
            return []
        slips = 2 if len(stem) >= _TWO_SLIPS else 1
        near = process.extract(stem, shelf, scorer=OSA.distance, score_cutoff=slips, limit=None)
        near.sort(key=lambda found: (found[1], -self._frequency(found[0])))
        return [(term, _MEANT[int(distance)]) for term, distance, _ in near[:_MOST_MEANT] if distance == near[0][1]]

    def _frequency(self, term: str) -> int:
        number = self.numbers[term]
        return int(self._starts[number + 1] - self._starts[number])
