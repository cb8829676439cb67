"""BM25 of products that were changed since their catalogue was indexed, comparable with the others' scores.

They are scored with what the bundle knows of its terms (how many products have them, how long fields are): a product
that is stated again as it was scores as it did. Lucene's BM25 as bm25s has it, k1 = 1.5, b = 0.75.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from indexer.lexical import FIELD_WEIGHTS, Analyzer, LexicalIndex, Vocabulary, field_texts
from models.product import Product

_K1, _B = 1.5, 0.75


def index_products(base: LexicalIndex, products: Sequence[Product]) -> LexicalIndex:
    """Return the lexical index of `products`, in the order of rows, scored as if `base` held each of them."""
    vocabulary = base.vocabulary
    analyzer = Analyzer(vocabulary.language)
    numbers = base.numbers
    postings: dict[str, dict[int, float]] = {}
    for row, product in enumerate(products):
        texts = field_texts(product)
        for field, (name, weight) in enumerate(FIELD_WEIGHTS.items()):
            counts = Counter(stem for _, stem in analyzer.words(texts[name]))
            length = sum(counts.values())
            for stem, times in counts.items():
                score = weight * _bm25(vocabulary, field, numbers.get(stem), base.n, times, length)
                having = postings.setdefault(stem, {})
                having[row] = having.get(row, 0.0) + score
    terms = sorted(postings)
    starts = np.cumsum([0, *(len(postings[term]) for term in terms)])
    rows = np.array([row for term in terms for row in postings[term]], np.int32)
    scores = np.array([score for term in terms for score in postings[term].values()], np.float32)
    own = Vocabulary(vocabulary.language, terms, [None] * len(terms), np.zeros((0, 0), np.int32), ())
    return LexicalIndex(own, starts.astype(np.int64), rows, scores, len(products))


def _bm25(vocabulary: Vocabulary, field: int, term: int | None, n: int, times: int, length: int) -> float:
    frequency = 0 if term is None else int(vocabulary.frequencies[field, term])
    idf = math.log(1 + (n - frequency + 0.5) / (frequency + 0.5))
    mean = vocabulary.lengths[field] or 1.0  # of a field that no product had
    return idf * times / (_K1 * (1 - _B + _B * length / mean) + times)
