"""The open-loop generator: when requests are due, and what they are charged."""

import numpy as np
import pytest

from benchmarks.open_loop import Offer, arrivals, offer, send
from benchmarks.wire import get, post


def test_arrivals_are_a_poisson_process():
    times = arrivals(1_000, 20, seed=1)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.03)  # of an exponential distribution, both are 1 / rate
    assert (gaps >= 0).all()
    assert times[-1] < 20


def test_arrivals_are_those_of_their_seed():
    assert np.array_equal(arrivals(100, 2, seed=3), arrivals(100, 2, seed=3))
    assert not np.array_equal(arrivals(100, 2, seed=3)[:50], arrivals(100, 2, seed=4)[:50])


def _offer(server, requests, *, per_second=200.0, seconds=0.5, deadline_s=1.0, **stated):
    return Offer(server, requests, per_second, seconds, deadline_s, seed=0, connections=32, **stated)


@pytest.mark.clock
def test_a_stall_is_charged_to_all_who_were_due_meanwhile(server):
    """One request stalls the server for 0.3 s: at 200 a second, that is 60 which wait, by 0.15 s on average."""
    run = send(_offer(server, [get("/stall"), *[get("/ok")] * 999], seconds=0.6))
    assert (run.status == 200).all()
    waited = run.latency_s[run.latency_s > 0.03]
    assert len(waited) >= 0.6 * 54  # those that are due in the last 0.03 s wait less; a busy machine stalls others, too
    assert waited.max() >= 0.29
    assert np.median(waited) >= 0.1


def test_late_answers_and_refusals_are_not_good(server):
    run = send(_offer(server, [get("/ok"), get("/slower"), get("/busy")], deadline_s=0.25))
    kinds = np.arange(len(run.due_s)) % 3
    assert run.good.tolist() == (kinds == 0).tolist()
    assert run.late == (kinds == 1).sum()
    assert set(run.status[kinds == 2]) == {503}
    assert run.goodput == 2 * (kinds == 0).sum()
    assert run.offered == 2 * len(run.due_s)


@pytest.mark.clock
@pytest.mark.parametrize("path", ["/gone", "/last"])
def test_a_connection_that_ends_is_replaced(server, path):
    run = send(_offer(server, [get("/ok"), get(path)]))
    ended = np.arange(len(run.due_s)) % 2 == 1
    assert len(run.due_s) > 2 * 32  # more than there were connections to begin with
    assert set(run.status[~ended]) == {200}
    assert set(run.status[ended]) == {0 if path == "/gone" else 200}
    assert np.isinf(run.latency_s[ended]).all() == (path == "/gone")


@pytest.mark.clock
def test_who_finds_no_connection_waits_and_pays(server):
    run = send(Offer(server, [get("/slow")], 40.0, 0.25, 5.0, seed=0, connections=1))
    n = len(run.due_s)
    assert (run.status == 200).all()
    whole = run.due_s[-1] + run.latency_s[-1] - run.due_s[0]
    assert 0.1 * n <= whole < 0.2 * n  # one after the other
    assert np.median(run.lag_s) < 0.02  # that is no lag of the generator


def test_a_generator_of_its_own_process_keeps_bodies_and_the_time(server):
    run = offer(_offer(server, [post("/ok", {"q": n}) for n in range(10)], keep_bodies=True))
    assert run.bodies[:3] == [b'{"q":0}', b'{"q":1}', b'{"q":2}']
    assert run.cpu_s > 0
    assert run.offer.requests == ()
