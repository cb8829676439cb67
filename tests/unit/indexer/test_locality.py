"""Rows of a graph moved to where they are looked for: the same is found, of rows that lie near each other."""

import re
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest

from benchmarks.vectors import Structured
from indexer import locality
from indexer.index import FaissIndex

N, D, K, NQ = 3_000, 32, 10, 50
FACTORIES = ("HNSW16,SQfp16", "HNSW8,Flat", "HNSW8,SQ8", "HNSW8,PQ8x4")
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.fixture(scope="module")
def made():
    made = Structured(D, 3)
    return SimpleNamespace(xb=made.rows(N), xq=made.queries(NQ))


def unmoved(factory, xb):
    """FAISS's own index of the rows, as they come."""
    faiss.omp_set_num_threads(1)
    index = faiss.index_factory(D, factory, faiss.METRIC_INNER_PRODUCT)
    rows = xb.astype(np.float32)
    index.train(rows)
    index.add(rows)
    return index


def best_first(scores, rows):
    """Sort equal scores by row: FAISS leaves them in the order in which it came upon them."""
    order = np.lexsort((rows, -scores), axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1)


def assert_found_alike(found, expected):
    scores, rows = best_first(*found)
    np.testing.assert_allclose(scores, best_first(*expected)[0], rtol=1e-6)
    # Codes make ties, and which of a tie comes last is anybody's guess.
    assert np.mean(rows == best_first(*expected)[1]) > 0.99


def stretch(index):
    """How far apart rows lie that are linked in the lowest layer: the mean over all links."""
    hnsw = index.hnsw
    links = faiss.vector_to_array(hnsw.neighbors)
    begins = faiss.vector_to_array(hnsw.offsets)[:-1].astype(np.int64)
    lowest = links[begins[:, None] + np.arange(hnsw.cum_nb_neighbors(1))]
    apart = np.abs(lowest - np.arange(len(lowest))[:, None])
    return apart[lowest >= 0].mean()


@pytest.mark.parametrize("factory", FACTORIES)
def test_the_same_is_found_as_in_rows_that_were_not_moved(made, factory):
    index = FaissIndex.build(made.xb, factory)
    plain = unmoved(factory, made.xb)
    for width in (K, 40):
        expected = plain.search(made.xq, K, params=faiss.SearchParametersHNSW(efSearch=width))
        assert_found_alike(index.search(made.xq, K, width=width), expected)


@pytest.mark.parametrize("factory", FACTORIES[:3])
def test_rows_are_admitted_and_scanned_by_their_own_numbers(made, factory):
    index = FaissIndex.build(made.xb, factory)
    among = np.arange(N) % 3 == 1
    assert (index.search(made.xq, K, width=400, among=among)[1] % 3 == 1).all()
    scores, rows = index.search(made.xq, K, width=N)
    exact = made.xq @ made.xb.astype(np.float32).T
    np.testing.assert_allclose(scores, np.take_along_axis(exact, rows, 1), atol=0.05)
    few = np.zeros(N, bool)
    few[[5, 17]] = True
    scores, rows = index.search(made.xq, K, width=N, among=few)
    assert (np.sort(rows[:, :2], axis=1) == [5, 17]).all()
    assert (rows[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()


def test_linked_rows_lie_nearer_each_other(made):
    index = FaissIndex.build(made.xb, "HNSW16,SQfp16")
    assert stretch(index.inner) < 0.7 * stretch(unmoved("HNSW16,SQfp16", made.xb))


def test_moved_rows_keep_their_numbers_in_a_file(made, tmp_path):
    index = FaissIndex.build(made.xb, "HNSW16,SQfp16")
    index.save(tmp_path / "index.faiss")
    back = FaissIndex.load(tmp_path / "index.faiss")
    assert (back.recipe, back.ntotal, back.d) == ("HNSW16,SQfp16", N, D)
    assert back.memory_bytes == index.memory_bytes
    for kept, expected in zip(back.search(made.xq, K), index.search(made.xq, K), strict=True):
        np.testing.assert_array_equal(kept, expected)


def test_a_file_of_rows_that_were_not_moved_is_read_as_it_is(made, tmp_path):
    plain = unmoved("HNSW16,SQfp16", made.xb)
    faiss.write_index(plain, str(tmp_path / "index.faiss"))
    index = FaissIndex.load(tmp_path / "index.faiss")
    expected = plain.search(made.xq, K, params=faiss.SearchParametersHNSW(efSearch=40))
    assert_found_alike(index.search(made.xq, K, width=40), expected)


def test_rows_that_no_walk_reaches_are_kept():
    xb = np.eye(D, dtype=np.float16)[np.zeros(300, int)]  # so many copies that some lose every link
    index = FaissIndex.build(xb, "HNSW4,SQfp16")
    scores, rows = index.search(np.eye(D, dtype=np.float32)[:1], 300, width=300)
    assert sorted(rows[0]) == list(range(300))
    assert scores[0] == pytest.approx(1.0)


@pytest.mark.parametrize("factory", ["SQfp16", "IVF8,SQfp16", "NSG8,Flat"])
def test_what_is_no_graph_of_links_stays_as_it_is(made, factory):
    index = unmoved(factory, made.xb)
    assert locality.in_walking_order(index) is index


def test_an_empty_graph_stays_as_it_is():
    empty = faiss.index_factory(D, "HNSW8", faiss.METRIC_INNER_PRODUCT)
    assert locality.in_walking_order(empty) is empty


def test_rows_that_cannot_be_moved_stay_where_they_are(made, monkeypatch):
    def refuse(*_):
        raise RuntimeError("don't know how to permute this index")

    monkeypatch.setattr(faiss.IndexHNSW, "permute_entries", refuse)
    index = unmoved("HNSW8,Flat", made.xb)
    assert locality.in_walking_order(index) is index


def large_page_kib():
    return int(re.search(r"AnonHugePages:\s+(\d+)", Path("/proc/self/smaps_rollup").read_text())[1])


@pytest.mark.skipif(
    not LARGE_PAGES.is_file() or "[never]" in LARGE_PAGES.read_text(), reason="needs a system with large pages"
)
def test_rows_lie_on_large_pages(made):
    before = large_page_kib()
    index = FaissIndex.build(np.tile(made.xb, (100, 1)), "exact")  # 18 MiB
    assert large_page_kib() - before > 12 << 10
    assert index.ntotal == 100 * N


def test_a_system_without_large_pages_is_not_asked(made, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(locality, "_libc", lambda: pytest.fail("asked"))
    assert FaissIndex.build(made.xb, "exact").ntotal == N
