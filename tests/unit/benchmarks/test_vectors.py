"""Made vectors, the true nearest ones among them, and the width that finds them."""

import numpy as np
import pytest

from benchmarks import scaling, vectors
from benchmarks.vectors import Structured, nearest
from indexer.index import FaissIndex


@pytest.fixture(scope="module")
def made():
    return Structured(d=16, seed=1)


def test_rows_are_of_unit_length_and_the_same_however_many(made):
    rows = made.rows(vectors.BLOCK + 50)
    assert (rows.shape, rows.dtype) == ((vectors.BLOCK + 50, 16), np.float16)
    assert np.linalg.norm(rows.astype(np.float32), axis=1) == pytest.approx(1, abs=2e-3)
    assert np.array_equal(rows[:300], made.rows(300))
    assert np.array_equal(rows[-50:], Structured(d=16, seed=1).rows(vectors.BLOCK + 50)[-50:])


def test_queries_are_no_rows(made):
    assert (made.queries(50) @ made.rows(2_000).astype(np.float32).T).max() < 0.9999


def test_the_nearest_rows_are_found_across_blocks(made):
    xb, xq = made.rows(vectors.BLOCK + 50), made.queries(20)
    scores = xq @ xb.astype(np.float32).T
    found = np.take_along_axis(scores, nearest(xb, xq, 10), axis=1)
    assert np.allclose(np.sort(found, axis=1), np.sort(scores, axis=1)[:, -10:])


def test_the_smallest_width_that_finds_enough_is_taken(made):
    xb, xq = made.rows(5_000), made.queries(100)
    truth = nearest(xb, xq, scaling.K)
    index = FaissIndex.build(xb, "IVF64,SQfp16")
    width, recall = scaling.smallest_width(index, xq, truth)
    narrower = scaling.WIDTHS[scaling.WIDTHS.index(width) - 1]
    found = index.search(xq, scaling.K, width=narrower)[1]
    assert recall >= scaling.TARGET
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, truth, strict=True)]) < scaling.TARGET
