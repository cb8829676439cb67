"""Every update log: readers who wait for news, and many who read and write at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import orjson
import pytest

from indexer.updates import Kind, Outcome, Result, State
from tests.support.update_logs import delete, everything, patch, put, read_on, soon

# --- waiting ---


@pytest.mark.parametrize("same_object", [True, False])
def test_who_waits_is_woken_by_an_append(place, log, same_object):
    writer = log if same_object else place.open()
    writer.append([put("a")])
    after = log.tail().seq
    began = time.monotonic()
    with soon(writer.append, [put("b")]):
        entries = log.read(after, 10, wait_s=5)
        took = time.monotonic() - began
    assert [entry.product_id for entry in entries] == ["b"]
    assert 0.15 < took < 3


@pytest.mark.parametrize("wait_s", [0.3, 1.4])
def test_who_waits_for_nothing_waits_as_long_as_was_said(log, wait_s):
    log.append([put("a")])
    began = time.monotonic()
    assert log.read(log.tail().seq, 10, wait_s=wait_s) == []
    assert wait_s - 0.05 <= time.monotonic() - began < wait_s + 3


def test_a_waiting_reader_keeps_nobody_from_the_log(log):
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(log.read, 0, 10, wait_s=5)
        time.sleep(0.1)
        began = time.monotonic()
        assert log.states(["a"]) == [State()]
        assert log.count() == 0
        log.append([put("a")])
        assert time.monotonic() - began < 3
        assert [entry.product_id for entry in waiting.result()] == ["a"]


# --- sharing ---


def test_two_objects_on_one_log_see_each_other(place):
    one, other = place.open(), place.open()
    one.append([put("a", b"1"), patch("a", {"attributes": {"m": 1}})])
    other.append([patch("a", {"attributes": {"n": 2}})])
    assert everything(one) == everything(other)
    assert orjson.loads(everything(one)[-1].payload) == {"attributes": {"m": 1, "n": 2}}
    assert one.states(["a"]) == other.states(["a"]) == [State(3, Kind.PUT)]
    assert one.append([put("a", if_version=2)]) == [Outcome(Result.CONFLICT, 3)]
    assert one.tail() == other.tail()
    one.trim(time.time() + 1)
    assert other.count() == 0
    assert other.trimmed() == other.tail().seq


def in_threads(works):
    """Run functions at the same time; return what they return, raise what they raise."""
    results, errors = [None] * len(works), []
    ready = threading.Barrier(len(works))

    def run(place, work):
        try:
            ready.wait(30)
            results[place] = work()
        except BaseException as error:  # noqa: BLE001  # raised below, in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if errors:
        raise errors[0]
    return results


def test_patches_from_everywhere_at_once_are_all_kept(place):
    logs = [place.open(), place.open()]
    each, threads = 15, 6

    def writer(n):
        def work():
            outcomes = []
            for i in range(each):
                own = put(f"own-{n}", str(i).encode())
                outcomes += logs[n % 2].append([patch("common", {"attributes": {f"{n}-{i}": i}}), own])
            return outcomes

        return work

    outcomes = [outcome for part in in_threads([writer(n) for n in range(threads)]) for outcome in part]
    assert {outcome.result for outcome in outcomes} == {Result.STORED}
    seqs = [outcome.seq for outcome in outcomes]
    assert len(set(seqs)) == len(seqs) == 2 * each * threads
    assert max(seqs) == logs[0].tail().seq
    assert sorted(outcome.version for outcome in outcomes[0::2]) == list(range(1, each * threads + 1))
    held = {entry.product_id: entry for entry in everything(logs[1])}
    assert held["common"].version == each * threads
    assert orjson.loads(held["common"].payload)["attributes"] == {
        f"{n}-{i}": i for n in range(threads) for i in range(each)
    }
    assert {held[f"own-{n}"].payload for n in range(threads)} == {str(each - 1).encode()}
    assert log_versions(logs[0], [f"own-{n}" for n in range(threads)]) == [each] * threads


def log_versions(log, product_ids):
    return [state.version for state in log.states(product_ids)]


def test_of_those_who_all_change_one_version_one_succeeds(place):
    logs = [place.open() for _ in range(4)]
    for version in range(5):
        changes = [patch("a", {"price": version}, if_version=version)]
        outcomes = [part[0] for part in in_threads([partial(log.append, changes) for log in logs])]
        assert sorted(outcome.result for outcome in outcomes) == ["conflict"] * 3 + ["stored"]
        assert {outcome.version for outcome in outcomes} == {version + 1}


def looked_at_during(changes, writer, look):
    """Return what `look` returned, time and again, while the changes were stored one by one."""
    done = threading.Event()

    def write():
        try:
            for change in changes:
                writer.append([change])
        finally:
            done.set()

    def look_on():
        seen = [look()]
        while not done.is_set():
            seen.append(look())
        return seen

    return in_threads([write, look_on])[1]


def test_a_whole_product_is_found_while_it_is_put_again(place):
    writer, reader = place.open(), place.open()
    writer.append([put("a", b"0")])
    again = [put("a", str(n).encode()) for n in range(1, 300)]
    seen = looked_at_during(again, writer, lambda: reader.whole("a"))
    assert None not in seen
    assert all(entry.payload == str(entry.version - 1).encode() for entry in seen)


def test_a_state_is_of_one_moment(place):
    writer, reader = place.open(), place.open()
    writer.append([put("a")])
    turns = [delete("a"), put("a")] * 150
    for (state,) in looked_at_during(turns, writer, lambda: reader.states(["a"])):
        assert state.kind == (Kind.PUT if state.version % 2 else Kind.DELETE)


def test_a_reader_among_writers_misses_nothing(place):
    writers = [place.open(), place.open()]
    reader, ids = place.open(), [f"p{n}" for n in range(4)]
    done = threading.Event()

    def write(n):
        for i in range(40):
            product_id = ids[(i + n) % 4]
            fields = {"attributes": {f"{n}-{i}": 1}}
            writers[n].append([put(product_id, orjson.dumps(fields)) if i % 10 == 9 else patch(product_id, fields)])

    def write_all():
        in_threads([lambda: write(0), lambda: write(1)])
        done.set()

    def read():
        shelf, after = {}, 0
        while True:
            last = done.is_set()
            entries = reader.read(after, 3, wait_s=0 if last else 0.05)
            if last and not entries:
                return shelf
            after = read_on(entries, shelf, after)

    _, followed = in_threads([write_all, read])
    shelf = {}
    read_on(everything(reader), shelf, 0)
    assert set(shelf) == set(ids)
    assert followed == shelf


def test_a_new_log_may_be_opened_by_many_at_once(place):
    for _ in range(12):
        place.move()
        logs = [place.open() for _ in range(6)]
        found = in_threads([*(log.tail for log in logs), *(log.count for log in logs)])
        assert len({position.epoch for position in found[:6]}) == 1
        assert found[6:] == [0] * 6
        place.move()
        logs = [place.open() for _ in range(6)]
        in_threads([partial(log.append, [patch("a", {})]) for log in logs])
        assert logs[0].states(["a"]) == [State(6)]
