"""Which way each search goes, with what is not at hand done by the CPU: torch on it, and copies FAISS makes there."""

import logging
import time

import faiss
import numpy as np
import pytest
import torch

from indexer import faiss_gpu, standby
from indexer.asking import IndexUnavailableError
from indexer.exact_torch import SCRATCH_BYTES, TorchIndex, free_bytes
from indexer.index import FaissIndex
from indexer.parts import IndexFileError
from indexer.placing import Way, place, way
from indexer.standby import StandbyIndex

N, D, K = 3_000, 16, 10
GIB = 1 << 30


@pytest.fixture(scope="module")
def xb():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((30, D))[rng.integers(0, 30, N)] + 0.5 * rng.standard_normal((N, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def xq():
    return np.random.default_rng(1).standard_normal((20, D)).astype(np.float32)


@pytest.fixture(scope="module")
def exact(xb):
    return FaissIndex.build(xb, "exact")


class Copies:
    """Copies FAISS indexes as `index_cpu_to_gpu` does, but on the CPU, and counts the searches of the copies."""

    def __init__(self):
        self.made, self.searches = [], 0

    def __call__(self, index):
        copy = faiss.clone_index(index)
        self.made.append(copy.ntotal)
        real = copy.search

        def search(*args, **kwargs):
            self.searches += 1
            return real(*args, **kwargs)

        copy.search = search
        return copy


class TestTheWay:
    def test_without_a_device_it_is_the_cpu(self):
        assert way(1, None, lists_bytes=None) is Way.CPU
        assert way(1, None, lists_bytes=1) is Way.CPU

    def test_what_does_not_fit_stays_on_the_cpu(self):
        assert way(91, 100, lists_bytes=None) is Way.CPU
        assert way(90, 100, lists_bytes=None) is Way.EXACT

    def test_lists_are_a_guest_where_there_is_room(self):
        assert way(50, 100, lists_bytes=41) is Way.EXACT
        assert way(50, 100, lists_bytes=40) is Way.LISTS


class TestPlacing:
    def test_an_index_larger_than_the_card_is_searched_as_the_bundle_has_it(self, xb, exact, caplog):
        free = xb.nbytes + SCRATCH_BYTES
        with caplog.at_level(logging.WARNING, "catalens.index"):
            assert place(exact, xb, "cpu", free) is exact
        assert [record.getMessage() for record in caplog.records] == [
            f"{N} vectors need {free} bytes of the {free} free on cpu: searched on the CPU"
        ]

    def test_a_card_that_turns_out_to_be_full_is_no_reason_to_fail(self, xb, exact, caplog, monkeypatch):
        def full(*_, **__):
            raise torch.OutOfMemoryError("no room")

        monkeypatch.setattr(torch, "empty", full)
        assert place(exact, xb, "cpu", GIB) is exact
        assert "no room for 3000 vectors" in caplog.text

    def test_without_a_device_or_rows_nothing_changes(self, xb, exact, caplog):
        assert place(exact, xb, "cuda", None) is exact
        nothing = FaissIndex.build(xb[:0])
        assert place(nothing, xb[:0], "cpu", GIB) is nothing
        assert caplog.text == ""

    @pytest.mark.parametrize("recipe", ["exact", "hnsw", "rabitq"])
    def test_on_a_device_every_search_is_exact(self, xb, xq, exact, recipe):
        copies = Copies()
        placed = place(FaissIndex.build(xb, recipe), xb, "cpu", GIB, copies)
        among = np.random.default_rng(2).random(N) < 0.3
        for mask in (None, among):
            found = placed.search(xq, K, width=1, among=mask)
            np.testing.assert_array_equal(found[1], exact.search(xq, K, among=mask)[1])
        assert copies.made == []
        assert placed.available

    def test_lists_answer_without_a_filter_and_never_with_one(self, xb, xq, exact):
        copies, ivf = Copies(), FaissIndex.build(xb, "IVF32,SQfp16")
        placed = place(ivf, xb, "cpu", GIB, copies)
        among = np.random.default_rng(2).random(N) < 0.3
        for width in (1, 4):
            np.testing.assert_array_equal(placed.search(xq, K, width=width)[1], ivf.search(xq, K, width=width)[1])
        assert copies.searches == 2
        np.testing.assert_array_equal(
            placed.search(xq, K, width=1, among=among)[1], exact.search(xq, K, among=among)[1]
        )
        np.testing.assert_array_equal(placed.search(xq, K, width=N)[1], exact.search(xq, K)[1])
        assert copies.searches == 2
        assert placed.search(xq[:0], K)[1].shape == (0, K)
        with pytest.raises(ValueError, match="queries must be"):
            placed.search(xq[:, 1:], K)

    def test_where_both_do_not_fit_all_is_exact(self, xb, exact, xq):
        copies, ivf = Copies(), FaissIndex.build(xb, "IVF32,SQfp16")
        needed = xb.nbytes + SCRATCH_BYTES
        placed = place(ivf, xb, "cpu", int(needed / 0.9) + 100, copies)
        np.testing.assert_array_equal(placed.search(xq, K, width=1)[1], exact.search(xq, K)[1])
        assert copies.made == []

    def test_what_the_bundle_has_is_what_it_says_it_is(self, xb, exact, tmp_path):
        placed = place(exact, xb, "cpu", GIB)
        placed.save(tmp_path / "index")
        assert (placed.recipe, placed.memory_bytes, placed.d, placed.ntotal) == ("SQfp16", exact.memory_bytes, D, N)
        assert FaissIndex.load(tmp_path / "index").ntotal == N


@pytest.mark.parametrize(
    ("recipe", "copied"),
    [("ivf", True), ("sq8", True), ("IVF32,Flat", True), ("exact", False), ("hnsw", False), ("ivfpq", False),
     ("rabitq", False), ("PCA8,IVF16,Flat", False)],
)  # fmt: skip
def test_only_plain_lists_are_searched_on_a_card(xb, recipe, copied):
    assert faiss_gpu.cloneable(FaissIndex.build(xb, recipe)) is copied


class TestBuilding:
    @pytest.mark.parametrize("recipe", ["ivf", "sq8", "ivfpq", "rabitq", "PCA8,IVF16,Flat", "IVF32_HNSW8,SQfp16"])
    def test_with_help_the_same_index_comes_out(self, xb, xq, recipe, tmp_path):
        copies = Copies()
        helped = FaissIndex.build(xb, recipe, seed=3, moved=copies)
        lists = faiss.extract_index_ivf(helped.inner).nlist
        assert copies.made == [0, lists]  # for k-means, and for finding each row's list
        alone = FaissIndex.build(xb, recipe, seed=3)
        assert helped.recipe == alone.recipe
        for one, name in ((helped, "helped"), (alone, "alone")):
            one.save(tmp_path / name)
        if "HNSW" not in recipe:  # whose graph finds a few lists less well than the copy does
            assert (tmp_path / "helped").read_bytes() == (tmp_path / "alone").read_bytes()
        np.testing.assert_array_equal(helped.search(xq, K, width=N)[1], alone.search(xq, K, width=N)[1])

    def test_without_a_card_it_is_built_here(self, xb, xq):
        assert faiss_gpu.cards() == 0
        assert not faiss_gpu.has_cagra()
        built = faiss_gpu.build(xb, "ivf", 3, "cuda")
        np.testing.assert_array_equal(built.search(xq, K)[1], FaissIndex.build(xb, "ivf", 3).search(xq, K)[1])

    def test_a_card_that_fails_is_no_reason_to_build_nothing(self, xb, xq, monkeypatch, caplog):
        def broken(_):
            raise RuntimeError("Error in cudaMalloc\nError: out of memory")

        monkeypatch.setattr(faiss_gpu, "cards", lambda: 1)
        monkeypatch.setattr(faiss_gpu, "on_card", broken)
        built = faiss_gpu.build(xb, "ivf", 3, "auto")
        np.testing.assert_array_equal(built.search(xq, K)[1], FaissIndex.build(xb, "ivf", 3).search(xq, K)[1])
        assert "SQfp16 is built on the CPU, for the card failed" in caplog.text
        with pytest.raises(IndexFileError, match="unknown index recipe"):
            faiss_gpu.build(xb, "nonsense", 3, "auto")

    def test_links_of_another_graph_are_taken_over(self, xb, xq, exact, tmp_path):
        graph = faiss.IndexHNSWFlat(D, 32, faiss.METRIC_INNER_PRODUCT)
        graph.add(xb.astype(np.float32))
        built = FaissIndex(faiss_gpu.with_graph(graph, xb, "HNSW32,SQfp16"), "HNSW32,SQfp16")
        built.save(tmp_path / "index")
        del graph
        loaded = FaissIndex.load(tmp_path / "index")
        assert loaded.recipe == built.recipe
        for index in (built, loaded):
            found = index.search(xq, K, width=200)[1]
            truth = exact.search(xq, K)[1]
            assert np.mean([len({*a} & {*b}) / K for a, b in zip(found, truth, strict=True)]) >= 0.98


@pytest.mark.gpu
@pytest.mark.skipif(not faiss_gpu.cards(), reason="needs a CUDA device and FAISS for GPUs")
class TestOnACard:
    @pytest.mark.parametrize("recipe", ["exact", "ivf", "sq8", "ivfpq", "rabitq", "hnsw"])
    def test_what_is_built_there_is_an_index_of_the_cpu(self, xb, xq, exact, recipe, tmp_path):
        faiss_gpu.build(xb, recipe, 3, "cuda").save(tmp_path / "index")
        loaded, here = FaissIndex.load(tmp_path / "index"), FaissIndex.build(xb, recipe, 3)
        assert faiss_gpu.build(xb, recipe, 3, "cuda").recipe == here.recipe
        truth = exact.search(xq, K)[1]
        both = [np.mean([len({*a} & {*b}) / K for a, b in zip(one.search(xq, K, width=64)[1], truth, strict=True)])
                for one in (loaded, here)]  # fmt: skip
        assert both[0] >= both[1] - 0.03

    def test_lists_are_searched_there_and_filters_obeyed(self, xb, xq, exact):
        ivf, among = FaissIndex.build(xb, "IVF32,SQfp16"), np.random.default_rng(2).random(N) < 0.3
        placed = place(ivf, xb, "cuda", free_bytes("cuda"))
        alike = placed.search(xq, K, width=4)[1] == ivf.search(xq, K, width=4)[1]
        assert alike.mean() > 0.98
        np.testing.assert_array_equal(placed.search(xq, K, among=among)[1], exact.search(xq, K, among=among)[1])
        assert placed.available


class TestStandby:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch):
        monkeypatch.setattr(standby, "RETRY_S", 0.02)

    class Loose:
        """An exact index that can be unplugged."""

        def __init__(self, xb):
            self._index, self.plugged, self.asked = TorchIndex.build(xb), True, 0
            self.d, self.ntotal = self._index.d, self._index.ntotal

        def search(self, xq, k, *, width=None, among=None):
            self.asked += 1
            if not self.plugged:
                raise IndexUnavailableError("unplugged")
            return self._index.search(xq, k, width=width, among=among)

    def test_another_answers_until_it_is_back(self, xb, xq, exact, caplog):
        first = self.Loose(xb)
        index = StandbyIndex(first, exact, "the card")
        truth = exact.search(xq, K)[1]
        first.plugged = False
        for _ in range(3):
            np.testing.assert_array_equal(index.search(xq, K)[1], truth)
        assert not index.available
        assert caplog.text.count("the card does not answer, the bundle's own index does instead: unplugged") == 1
        first.plugged = True
        wait_until(lambda: index.available)
        asked = first.asked
        np.testing.assert_array_equal(index.search(xq, K)[1], truth)
        assert first.asked == asked + 1
        assert "the card answers again" in caplog.text

    def test_a_question_that_is_wrong_is_no_failure(self, xb, xq, exact):
        index = StandbyIndex(self.Loose(xb), exact, "the card")
        with pytest.raises(ValueError, match="finite"):
            index.search(np.full((1, D), np.nan, np.float32), 1)
        assert index.available

    def test_nobody_tries_what_nobody_wants(self, xb, xq, exact):
        first = self.Loose(xb)
        first.plugged = False
        index = StandbyIndex(first, exact, "the card")
        index.search(xq, 1)
        wait_until(lambda: first.asked > 2)
        del index
        wait_until(lambda: settled(first))


def settled(first):

    before = first.asked
    time.sleep(0.1)
    return first.asked == before


def wait_until(condition):

    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
