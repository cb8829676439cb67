"""Exact search in torch against brute force in float64: ties, masks, batches of unlike questions, bounds of memory."""

import gc
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.asking import IndexUnavailableError
from indexer.exact_torch import MOST_QUERIES, Ask, ExactScan, TorchIndex, _Halves, _top, free_bytes

N, D = 3_000, 24
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_cuda])]


def rows(n=N, d=D, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def queries(n, d=D, seed=1):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def brute_force(xb, xq, k, among=None):
    """The k best rows, of equal scores the first ones: the sums of whole numbers are exact."""
    scores = xq.astype(np.float64) @ xb.astype(np.float64).T
    if among is not None:
        scores[:, ~among] = -np.inf
    order = np.lexsort((np.broadcast_to(np.arange(len(xb)), scores.shape), -scores), axis=1)[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return best, np.where(np.isneginf(best), -1, order)


def whole_numbers(n, d, seed, most=2):
    """Rows of small whole numbers, whose products float16 and float32 hold exactly; many are equal."""
    return np.random.default_rng(seed).integers(-most, most + 1, (n, d)).astype(np.float16)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    asks=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 70), st.none() | st.floats(0, 1)), min_size=1, max_size=5
    ),
    scratch=st.sampled_from([1, 5_000, 1 << 20]),
    seed=st.integers(0, 1_000),
)
def test_unlike_questions_in_one_batch_get_what_each_would_get(n, asks, scratch, seed):
    xb, rng = whole_numbers(n, 3, seed), np.random.default_rng(seed)
    questions = [
        Ask(
            whole_numbers(nq, 3, seed + 1).astype(np.float32),
            min(k, n),
            None if share is None else rng.random(n) < share,
        )
        for nq, k, share in asks
    ]
    for ask, (scores, found) in zip(questions, ExactScan(xb, "cpu", scratch).answer(questions), strict=True):
        best, order = brute_force(xb, ask.xq, ask.k, ask.among)
        np.testing.assert_array_equal(found, order)
        np.testing.assert_array_equal(scores, best)


@pytest.mark.parametrize("device", DEVICES)
class TestScores:
    @pytest.mark.parametrize("k", [1, 10, 500])
    @pytest.mark.parametrize("share", [None, 0.6, 0.01])
    def test_they_are_those_of_float32_queries(self, device, k, share):
        xb, xq = rows(), queries(7)
        among = None if share is None else np.random.default_rng(3).random(N) < share
        scores, _ = TorchIndex.build(xb, device).search(xq, k, among=among)
        best, _ = brute_force(xb, xq, k, among)
        np.testing.assert_allclose(scores[:, : best.shape[1]], best, atol=3e-6)

    @pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e6, 1e30])
    def test_no_query_is_too_large_or_too_small(self, device, size):
        xb, xq = rows(), queries(3)
        scores, found = TorchIndex.build(xb, device).search((xq * np.float32(size)).astype(np.float32), 5)
        best, order = brute_force(xb, xq, 5)
        np.testing.assert_array_equal(found, order)
        np.testing.assert_allclose(scores / size, best, rtol=1e-5)

    def test_a_query_of_nothing_finds_the_first_rows(self, device):
        scores, found = TorchIndex.build(rows(), device).search(np.zeros((1, D), np.float32), 3)
        assert (scores.tolist(), found.tolist()) == ([[0, 0, 0]], [[0, 1, 2]])

    def test_equal_scores_come_in_the_order_of_rows(self, device):
        xb = np.concatenate([np.repeat(rows(3), 700, axis=0), rows(5, seed=9)])
        xq = xb[[0, 800]].astype(np.float32)
        _, found = TorchIndex.build(xb, device, 1 << 16).search(xq, 20)
        np.testing.assert_array_equal(found, [np.arange(20), np.arange(700, 720)])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_of_equal_scores_the_first_are_taken(k, b, seed):
    scores = np.random.default_rng(seed).integers(0, 3, (4, b)).astype(np.float32)
    values, places = _top(torch.from_numpy(scores), k)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(np.sort(places.numpy(), axis=1), np.sort(order, axis=1))
    np.testing.assert_array_equal(values.numpy(), np.take_along_axis(scores, places.numpy(), axis=1))


@pytest.mark.parametrize("size", [1e-20, 1.0, 3e30])
def test_two_halves_hold_a_query_to_a_four_millionth(size):
    xq = (queries(50, 300) * np.float32(size)).astype(np.float32)
    unit = torch.eye(300, dtype=torch.float16)
    held = _Halves(xq, torch.device("cpu")).scores(unit).numpy()
    largest = np.abs(xq).max(axis=1, keepdims=True)
    assert (np.abs(held - xq) <= largest * 2.0**-22).all()


class TestMemory:
    @pytest.mark.parametrize("scratch", [1 << 16, 1 << 20])
    def test_a_scan_asks_for_no_more_than_it_may(self, monkeypatch, scratch):
        """What is allocated for scores is seen in the shapes that are asked of the matrix product."""
        taken = []
        product = torch.Tensor.__matmul__

        def watched(a, b):
            taken.append(4 * a.shape[0] * b.shape[1] + 4 * b.shape[0] * b.shape[1])
            return product(a, b)

        monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
        scan = ExactScan(rows(), "cpu", scratch)
        scan.answer([Ask(queries(600), 10, None), Ask(queries(2), 2_000, np.random.default_rng(0).random(N) < 0.1)])
        assert max(taken) <= scratch / 2

    def test_a_device_without_room_says_so(self, monkeypatch):
        def full(*_, **__):
            raise torch.OutOfMemoryError("no room")

        monkeypatch.setattr(torch, "empty", full)
        with pytest.raises(IndexUnavailableError, match="cpu has no room for 3000 vectors of 24 dimensions"):
            TorchIndex.build(rows())

    def test_a_device_that_fails_says_so_and_goes_on(self, monkeypatch):
        index, product, fails = TorchIndex.build(rows()), torch.Tensor.__matmul__, [True]

        def broken(a, b):
            if fails.pop() if fails else False:
                raise torch.OutOfMemoryError("Tried to allocate 2 GiB\nof nothing")
            return product(a, b)

        monkeypatch.setattr(torch.Tensor, "__matmul__", broken)
        with pytest.raises(IndexUnavailableError, match=r"exact search on cpu failed: Tried to allocate 2 GiB$"):
            index.search(queries(1), 3)
        assert index.search(queries(1), 3)[1].min() >= 0

    def test_what_there_is_is_asked_of_gpus_alone(self):
        assert free_bytes("cpu") is None
        assert free_bytes("mps") is None
        assert (free_bytes("cuda") is not None) == torch.cuda.is_available()


def test_vectors_are_checked():
    with pytest.raises(ValueError, match=r"\(n, d\)"):
        TorchIndex.build(np.zeros(5, np.float32))
    assert TorchIndex.build(np.zeros((0, D), np.float16)).search(queries(2), 3)[1].tolist() == [[-1] * 3] * 2


def test_many_callers_share_scans():
    """While one scan runs the others wait, and what waits is read for at once."""
    xb, sizes = rows(), []
    scan = ExactScan(xb, "cpu")
    real, gate = scan.answer, threading.Event()

    def held(asks):
        sizes.append(len(asks))
        gate.wait(10)
        return real(asks)

    scan.answer = held
    index, answers = TorchIndex(scan), {}
    one = [queries(1, seed=n) for n in range(9)]
    masks = [None if n % 2 else np.random.default_rng(n).random(N) < 0.5 for n in range(9)]

    def ask(n):
        answers[n] = index.search(one[n], 5, among=masks[n])[1]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(9)]
    threads[0].start()
    while not sizes:
        time.sleep(0.001)
    for thread in threads[1:]:
        thread.start()
    while index._owner._waiting.qsize() < 8:
        time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert sizes == [1, 8]
    assert MOST_QUERIES >= 8
    for n in range(9):
        np.testing.assert_array_equal(answers[n], brute_force(xb, one[n], 5, masks[n])[1])


def test_an_index_nobody_holds_ends_its_thread():
    index = TorchIndex.build(rows())
    thread = index._owner._thread
    index.search(queries(1), 1)
    del index
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()


def test_closed_it_answers_no_more():
    index = TorchIndex.build(rows())
    index.close()
    with pytest.raises(IndexUnavailableError, match="closed"):
        index.search(queries(1), 1)
