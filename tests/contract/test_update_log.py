"""Every update log keeps the UpdateLog contract, judged by a model that forgets nothing."""

import copy
import resource
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import orjson
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from indexer.updates import (
    Change,
    Kind,
    LogUnavailableError,
    Outcome,
    Position,
    Result,
    State,
)
from indexer.updates_redis import RedisLog
from indexer.updates_sqlite import SqliteLog

ALL = 10_000  # more than any test stores


class Place:
    """Where a log is kept: `open()` returns one more object on it, `elsewhere()` a place of another log."""

    def __init__(self, folder, server):
        self._folder, self._server = folder, server
        self._names = count()
        self._name = "first"
        self._opened = ExitStack()

    def open(self):
        if self._server is None:
            log = SqliteLog(self._folder / self._name / "updates.sqlite")
        else:
            log = RedisLog(self._server.url, f"{self._folder.name}-{self._name}")
        self._opened.callback(log.close)
        return log

    def move(self):
        """Let `open` mean another log, which is new."""
        self._name = f"other-{next(self._names)}"

    def close(self):
        self._opened.close()


@pytest.fixture(scope="module")
def start_redis(support, tmp_path_factory):
    """Start a Redis of one's own: `start_redis(durable=True)`."""
    with ExitStack() as stopping:

        def start(**options):
            server = support("redis_server").RedisServer(tmp_path_factory.mktemp("redis"), **options)
            stopping.callback(server.kill)
            server.start()
            return server

        yield start


@pytest.fixture(scope="module")
def shared_redis(start_redis):
    return start_redis()


@pytest.fixture(params=["sqlite", "redis"])
def place(request, tmp_path):
    server = request.getfixturevalue("shared_redis") if request.param == "redis" else None
    place = Place(tmp_path, server)
    yield place
    place.close()


@pytest.fixture
def keep():
    """Close at the end what is kept: `log = keep(SqliteLog(path))`."""
    with ExitStack() as ending:

        def kept(opened):
            ending.callback(opened.close)
            return opened

        yield kept


@pytest.fixture
def log(place):
    return place.open()


def put(product_id, payload=b"{}", if_version=None):
    return Change(product_id, Kind.PUT, payload, if_version)


def patch(product_id, fields, if_version=None):
    return Change(product_id, Kind.PATCH, orjson.dumps(fields), if_version)


def delete(product_id, if_version=None):
    return Change(product_id, Kind.DELETE, if_version=if_version)


def everything(log):
    return log.read(0, ALL)


# --- a model that keeps the whole history, and readers of it ---


def apply(shelf, product_id, kind, payload):
    """Do to the products on `shelf`, as plain JSON, what a change says."""
    if kind == Kind.DELETE:
        shelf.pop(product_id, None)
    elif kind == Kind.PUT:
        shelf[product_id] = orjson.loads(payload)
    else:
        fields = orjson.loads(payload)
        had = shelf.get(product_id, {})
        attributes = had.get("attributes", {}) | fields.get("attributes", {})
        kept = {name: value for name, value in attributes.items() if value is not None}
        shelf[product_id] = had | fields | {"attributes": kept}


@dataclass
class History:
    """A log as simple as can be: every stored change with its number, and the numbers of those that were trimmed."""

    stored: list = field(default_factory=list)  # (number, change)
    trimmed: set = field(default_factory=set)

    def of(self, product_id):
        return [(seq, change) for seq, change in self.stored if change.product_id == product_id]

    def version(self, product_id):
        return len(self.of(product_id))

    def held(self, product_id):
        """Return what a log must hold of a product, as (numbers of the changes that are joined, kind)."""
        own = self.of(product_id)
        bases = [place for place, (_, change) in enumerate(own) if change.kind != Kind.PATCH]
        patches = own[bases[-1] + 1 :] if bases else own
        parts = [([own[bases[-1]][0]], own[bases[-1]][1].kind)] if bases else []
        parts += [([seq for seq, _ in patches if seq not in self.trimmed], Kind.PATCH)]
        return [(numbers, kind) for numbers, kind in parts if numbers and numbers[-1] not in self.trimmed]

    def trim(self, entries):
        """Forget entries, given by their numbers, with all that was joined into them."""
        ids = {change.product_id for _, change in self.stored}
        held = [numbers for product_id in ids for numbers, _ in self.held(product_id)]
        self.trimmed |= {number for numbers in held if numbers[-1] in entries for number in numbers}

    def state(self, product_id):
        kinds = [kind for _, kind in self.held(product_id) if kind != Kind.PATCH]
        return State(self.version(product_id), kinds[0] if kinds else None)

    def expected(self, change):
        version = self.version(change.product_id)
        if change.if_version not in {None, version}:
            return Result.CONFLICT, version
        if change.kind != Kind.PUT and self.state(change.product_id).kind == Kind.DELETE:
            return Result.GONE, version
        return Result.STORED, version + 1

    def entries(self):
        """Return number, product, kind and version of every entry that must be held, in order."""
        ids = {change.product_id for _, change in self.stored}
        return sorted(
            (numbers[-1], product_id, kind, [seq for seq, _ in self.of(product_id)].index(numbers[-1]) + 1)
            for product_id in ids
            for numbers, kind in self.held(product_id)
        )

    def shelf(self, bundle):
        """Return the products after all changes, one after the other, to those of a bundle."""
        shelf = copy.deepcopy(bundle)
        for _, change in self.stored:
            apply(shelf, change.product_id, change.kind, change.payload)
        return shelf


def applied_to_nothing(fields):
    shelf = {}
    apply(shelf, "", Kind.PATCH, orjson.dumps(fields))
    return shelf[""]


BUNDLE = {
    "in bundle": {"title": "old", "price": 1, "attributes": {"size": "M", "colour": "red"}},
    "there too": {"title": "old", "attributes": {}},
}
IDS = st.sampled_from([*BUNDLE, "new", "új"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from("abc"),
        "price": st.none() | st.integers(0, 3),
        "attributes": st.dictionaries(
            st.sampled_from(["size", "colour", "fit"]), st.none() | st.sampled_from([1, True, "L", ["x", "y"]])
        ),
    },
)
WHOLE = FIELDS.map(applied_to_nothing)
VERSIONS = st.none() | st.none() | st.integers(0, 4)
CHANGES = st.one_of(
    st.builds(lambda i, fields, v: put(i, orjson.dumps(fields), v), IDS, WHOLE, VERSIONS),
    st.builds(patch, IDS, FIELDS, VERSIONS),
    st.builds(patch, IDS, FIELDS, st.none()),
    st.builds(delete, IDS, VERSIONS),
)
STEPS = st.lists(
    st.one_of(
        st.lists(CHANGES, min_size=1, max_size=3),
        st.lists(CHANGES, min_size=1, max_size=3),
        st.sampled_from(["reopen", "page", "page", "remember"]),
        st.tuples(st.just("trim"), st.integers(0, 5)),
    ),
    max_size=25,
)


class Walk:
    """Takes a log and its model through the same steps, with readers who come and go."""

    def __init__(self, place):
        place.move()
        self.place, self.log, self.history = place, place.open(), History()
        self.remembered = [(0, copy.deepcopy(BUNDLE))]  # readers who stopped somewhere
        self.paging = (0, copy.deepcopy(BUNDLE))  # a reader who takes two entries at a time

    def step(self, step):
        if step == "reopen":
            self.log = self.place.open()
        elif step == "page":
            self.page()
        elif step == "remember":
            self.remembered.append((self.log.tail().seq, self.history.shelf(BUNDLE)))
        elif isinstance(step, tuple):
            self.trim(step[1])
        else:
            self.append(step)
        self.check()

    def append(self, changes):
        outcomes = self.log.append(changes)
        assert len(outcomes) == len(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            last = self.history.stored[-1][0] if self.history.stored else 0
            assert (outcome.result, outcome.version) == self.history.expected(change)
            if outcome.result == Result.STORED:
                assert outcome.seq > last
                self.history.stored.append((outcome.seq, change))
            else:
                assert outcome.seq is None

    def page(self):
        after, shelf = self.paging
        entries = self.log.read(after, 2)
        assert len(entries) <= 2
        self.paging = (read_on(entries, shelf, after), shelf)

    def trim(self, place):
        entries = everything(self.log)
        if place >= len(entries):
            return
        through = entries[place].at
        gone = {entry.seq for entry in entries if entry.at <= through}
        assert self.log.trim(through) == len(gone)
        self.history.trim(gone)
        if self.paging[0] < max(gone):  # it has missed some, and takes a bundle that has them
            self.paging = (self.log.tail().seq, self.history.shelf(BUNDLE))

    def check(self):
        entries = everything(self.log)
        held = [(entry.seq, entry.product_id, entry.kind, entry.version) for entry in entries]
        assert held == self.history.entries()
        assert self.log.count() == len(held)
        assert self.log.trimmed() == max(self.history.trimmed, default=0)
        assert self.log.tail().seq == (self.history.stored[-1][0] if self.history.stored else 0)
        ids = [*BUNDLE, "new", "új", "never"]
        assert self.log.states(ids) == [self.history.state(product_id) for product_id in ids]
        puts = {entry.product_id: entry for entry in entries if entry.kind == Kind.PUT}
        assert {product_id: self.log.whole(product_id) for product_id in ids} == dict.fromkeys(ids) | puts

    def catch_up(self):
        """Let every reader read on, and compare what each then has."""
        now = self.history.shelf(BUNDLE)
        for after, shelf in [*self.remembered, self.paging]:
            if after >= self.log.trimmed():
                read_on(self.log.read(after, ALL), shelf, after)
                assert shelf == now


def read_on(entries, shelf, after):
    for entry in entries:
        assert entry.seq > after
        after = entry.seq
        apply(shelf, entry.product_id, entry.kind, entry.payload)
    return after


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_any_course_of_changes_leaves_what_a_whole_history_says(kind, shared_redis, tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("walk"), shared_redis if kind == "redis" else None)

    @settings(max_examples=80, deadline=None)
    @given(STEPS)
    def walk(steps):
        going = Walk(place)
        for step in steps:
            going.step(step)
        going.catch_up()
        place.close()

    walk()


# --- the same by example, where a reader wants to see it ---


def test_versions_grow_by_one_and_survive_delete_and_trim(log):
    changes = [put("a"), patch("a", {"price": 1}), delete("a"), put("b"), put("a")]
    assert [outcome.version for outcome in log.append(changes)] == [1, 2, 3, 1, 4]
    log.trim(time.time() + 1)
    assert log.states(["a", "b", "c", "a"]) == [State(4), State(1), State(0), State(4)]
    assert log.append([patch("a", {}), delete("b")])[0].version == 5
    assert log.states(["a", "b"]) == [State(5), State(2, Kind.DELETE)]


@pytest.mark.parametrize("change", [put("a", b"{}", 1), patch("a", {"price": 2}, 3), delete("a", 0)])
def test_a_change_for_another_version_leaves_everything_as_it_was(log, change):
    log.append([put("a", b'{"title":"x"}'), patch("a", {"price": 1})])
    before = everything(log), log.tail(), log.states(["a"])
    assert log.append([change]) == [Outcome(Result.CONFLICT, 2)]
    assert (everything(log), log.tail(), log.states(["a"])) == before


def test_version_zero_means_that_nobody_has_changed_it(log):
    assert log.append([put("a", if_version=0)])[0].result == Result.STORED
    assert log.append([put("a", if_version=0)]) == [Outcome(Result.CONFLICT, 1)]
    assert log.append([put("b", if_version=1)]) == [Outcome(Result.CONFLICT, 0)]


def test_what_is_deleted_is_gone_until_it_is_put(log):
    log.append([put("a"), delete("a")])
    assert log.states(["a"]) == [State(2, Kind.DELETE)]
    before = everything(log), log.tail()
    assert log.append([patch("a", {"price": 1}), delete("a")]) == [Outcome(Result.GONE, 2)] * 2
    assert log.append([patch("a", {"price": 1}, if_version=1)]) == [Outcome(Result.CONFLICT, 2)]
    assert (everything(log), log.tail()) == before
    assert log.append([put("a"), patch("a", {"price": 1})])[-1].version == 4
    assert log.states(["a"]) == [State(4, Kind.PUT)]


def test_a_refused_change_keeps_none_of_the_others_back(log):
    outcomes = log.append([put("a"), put("a", if_version=7), delete("b"), patch("b", {}), patch("a", {"price": 1})])
    assert [outcome.result for outcome in outcomes] == ["stored", "conflict", "stored", "gone", "stored"]
    assert [(entry.product_id, entry.kind) for entry in everything(log)] == [
        ("a", "put"),
        ("b", "delete"),
        ("a", "patch"),
    ]


def test_patches_are_joined_and_null_stays(log):
    log.append([put("a", b"whole"), patch("a", {"title": "x", "price": 1, "attributes": {"m": "1", "n": 2}})])
    log.append([patch("a", {"price": None, "attributes": {"n": None, "o": ["p", "q"]}})])
    entries = everything(log)
    assert [(entry.kind, entry.version) for entry in entries] == [("put", 1), ("patch", 3)]
    assert entries[0].payload == b"whole"
    assert orjson.loads(entries[1].payload) == {
        "title": "x",
        "price": None,
        "attributes": {"m": "1", "n": None, "o": ["p", "q"]},
    }


def test_a_put_and_a_delete_leave_nothing_of_what_was_before(log):
    log.append([put("a"), patch("a", {"price": 1}), put("b"), patch("b", {"price": 2}), patch("c", {"price": 3})])
    assert log.count() == 5
    log.append([put("a", b"again"), delete("b")])
    assert log.count() == 3
    assert [(entry.product_id, entry.payload) for entry in everything(log)] == [
        ("c", b'{"price":3}'),
        ("a", b"again"),
        ("b", b""),
    ]
    log.append([patch("a", {"price": 4})])
    assert everything(log)[-1].payload == b'{"price":4}'  # joined to nothing from before the put


def test_a_whole_product_is_found_until_it_is_deleted_or_trimmed(log):
    assert log.whole("a") is None
    log.append([patch("a", {"price": 1})])
    assert log.whole("a") is None
    log.append([put("a", b"\x00old"), put("a", b"\x00new"), patch("a", {"price": 2}), put("b")])
    assert log.whole("a") == everything(log)[0]
    assert (log.whole("a").payload, log.whole("a").version) == (b"\x00new", 3)
    log.append([delete("a")])
    assert log.whole("a") is None
    log.trim(time.time() + 1)
    assert log.whole("b") is None


def test_entries_come_in_order_a_few_at_a_time(log):
    began = time.time()
    seqs = [outcome.seq for outcome in log.append([put(f"p{n}", str(n).encode()) for n in range(25)])]
    got, after = [], 0
    while page := log.read(after, 10):
        assert len(page) == min(10, 25 - len(got))
        got += page
        after = page[-1].seq
    assert [entry.seq for entry in got] == seqs == sorted(set(seqs))
    assert [entry.payload for entry in got] == [str(n).encode() for n in range(25)]
    assert all(began - 1 <= entry.at <= time.time() + 1 for entry in got)
    assert log.read(seqs[9], 1)[0].seq == seqs[10]
    assert log.read(seqs[-1], 10) == log.read(seqs[-1] + 100, 10) == []
    assert log.read(seqs[9], 3, wait_s=5) == got[10:13]


def test_nothing_is_stored_of_no_changes(log):
    assert log.append([]) == []
    assert log.states([]) == []
    assert (log.count(), log.trimmed(), log.tail().seq, everything(log)) == (0, 0, 0, [])


# --- waiting ---


@contextmanager
def soon(work, *arguments):
    """Let `work` be done 0.2 s from now, in another thread."""
    later = threading.Timer(0.2, work, arguments)
    later.start()
    try:
        yield
    finally:
        later.join()


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


# --- positions ---


def test_an_epoch_stays_and_is_one_logs_own(place):
    log = place.open()
    first = log.tail()
    assert first.seq == 0
    seq = log.append([put("a")])[0].seq
    log.close()
    again = place.open()
    assert again.tail() == Position(first.epoch, seq)
    again.trim(time.time() + 1)
    assert again.tail() == Position(first.epoch, seq)
    place.move()
    other = place.open()
    other.append([put("a")])
    epoch = other.tail().epoch
    assert epoch != first.epoch
    assert place.open().tail().epoch == epoch


def test_a_position_is_found_again_in_its_text(log):
    log.append([put("a"), put("b")])
    tail = log.tail()
    assert Position.parse(str(tail)) == tail
    assert tail.after(str(tail)) == tail.seq
    assert log.read(tail.after(str(tail)), 10) == []
    assert len(log.read(tail.after(None), 10)) == 2


# --- trimming ---


def test_trimming_takes_the_oldest_and_leaves_the_rest(log):
    log.append([put("a", b"1"), delete("b"), patch("c", {"price": 1})])
    time.sleep(0.01)
    through = everything(log)[-1].at
    rest = log.append([put("d", b"2"), patch("a", {"price": 3})])
    assert log.trim(through - 3600) == 0
    assert (log.trimmed(), log.count()) == (0, 5)
    assert log.trim(through) == 3
    assert (log.trimmed(), log.count()) == (rest[0].seq - 1, 2)
    assert [(entry.seq, entry.payload) for entry in everything(log)] == [
        (rest[0].seq, b"2"),
        (rest[1].seq, b'{"price":3}'),
    ]
    assert log.trim(through) == 0
    assert log.trimmed() == rest[0].seq - 1
    assert log.append([put("e")])[0].seq > rest[1].seq


def test_a_clock_that_was_put_back_hides_no_gap_from_readers(log, monkeypatch):
    for at, product_id in ((1_000.0, "a"), (500.0, "b"), (2_000.0, "c")):
        monkeypatch.setattr(time, "time", lambda at=at: at)
        log.append([put(product_id)])
    first, second, third = everything(log)
    assert (first.at, second.at, third.at) == (1_000.0, 500.0, 2_000.0)
    assert (log.trim(600.0), log.trimmed()) == (1, second.seq)
    assert everything(log) == [first, third]
    assert (log.trim(1_000.0), log.trimmed()) == (1, second.seq)
    assert everything(log) == [third]


def test_what_a_trimmed_delete_said_is_not_known_any_more(log):
    log.append([put("a"), delete("a")])
    assert log.append([patch("a", {"price": 1})])[0].result == Result.GONE
    assert log.trim(time.time() + 1) == 1
    assert log.states(["a"]) == [State(2)]
    assert log.append([patch("a", {"price": 1})]) == [Outcome(Result.STORED, 3, log.tail().seq)]
    assert everything(log)[0].payload == b'{"price":1}'


def test_a_patch_after_a_trimmed_one_is_on_its_own(log):
    log.append([put("a"), patch("a", {"price": 1, "attributes": {"m": 1}})])
    log.trim(time.time() + 1)
    log.append([patch("a", {"attributes": {"n": 2}})])
    assert [entry.payload for entry in everything(log)] == [b'{"attributes":{"n":2}}']
    assert log.count() == 1


def test_more_is_trimmed_than_fits_a_page(log):
    log.append([put(f"p{n}") for n in range(250)])
    through = everything(log)[229].at
    assert log.trim(through) == 230
    assert [entry.product_id for entry in everything(log)] == [f"p{n}" for n in range(230, 250)]


# --- what comes through ---


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", bytes(range(256)), b"\xff\xfe\x00\x00", b"\r\n$-1\r\n", b"x" * 3_000_000]
)
def test_a_payload_is_any_bytes(log, payload):
    log.append([put("a", payload)])
    got = everything(log)[0].payload
    assert isinstance(got, bytes)
    assert got == payload


IDS_OF_ALL_KINDS = [
    "a",
    "A",
    " a",
    "a ",
    "a b",
    "é",  # one letter
    "e\u0301",  # the same to the eye
    "товар №1",
    "製品",
    "🛍️",
    "a:b{c}*?%2F/\\'\"--",
    "0",
    "00",
    "x" * 256,
    "é" * 256,
]


def test_ids_are_kept_apart_and_come_as_they_went(log):
    log.append([put(product_id, product_id.encode()) for product_id in IDS_OF_ALL_KINDS])
    log.append([patch(product_id, {"price": n}) for n, product_id in enumerate(IDS_OF_ALL_KINDS)])
    entries = everything(log)
    n = len(IDS_OF_ALL_KINDS)
    assert [(entry.product_id, entry.payload) for entry in entries[:n]] == [(i, i.encode()) for i in IDS_OF_ALL_KINDS]
    assert [entry.product_id for entry in entries[n:]] == IDS_OF_ALL_KINDS
    assert log.states(IDS_OF_ALL_KINDS) == [State(2, Kind.PUT)] * n


# --- a log that cannot be reached ---


def calls(log):
    """Return every method that needs the log, ready to be called."""
    return [
        log.tail,
        log.trimmed,
        log.count,
        lambda: log.states(["a"]),
        lambda: log.whole("a"),
        lambda: log.append([put("a")]),
        lambda: log.append([patch("a", {})]),
        lambda: log.read(0, 1),
        lambda: log.read(0, 1, wait_s=0.05),
        lambda: log.trim(0),
    ]


def assert_unavailable(log, match):
    for call in calls(log):
        with pytest.raises(LogUnavailableError, match=match):
            call()


def test_a_folder_that_cannot_be_made(tmp_path, keep):
    (tmp_path / "file").write_text("in the way")
    log = keep(SqliteLog(tmp_path / "file" / "below" / "updates.sqlite"))
    assert_unavailable(log, "updates.sqlite")
    (tmp_path / "file").unlink()
    assert log.count() == 0


def test_who_opens_a_new_file_waits_for_another_who_is_at_it(tmp_path, keep):
    path = tmp_path / "updates.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE of_another (n)")
        with soon(other.rollback):
            assert keep(SqliteLog(path)).count() == 0


def test_a_file_that_is_no_database(tmp_path, keep):
    path = tmp_path / "updates.sqlite"
    path.write_bytes(b"a shopping list" * 500)
    log = keep(SqliteLog(path))
    assert_unavailable(log, "not a database")
    assert path.read_bytes() == b"a shopping list" * 500


def test_a_folder_in_the_place_of_the_file(tmp_path, keep):
    log = keep(SqliteLog(tmp_path))
    assert_unavailable(log, "unable to open")


def test_a_redis_that_was_never_there(tmp_path, keep):
    log = keep(RedisLog(f"unix://{tmp_path}/none.sock"))
    assert_unavailable(log, "Redis")


def test_a_redis_that_comes_back_is_used_again(start_redis, keep):
    server = start_redis(durable=True)
    log = keep(RedisLog(server.url))
    log.append([put("a", b"1"), patch("a", {"attributes": {"m": 1}})])
    position, entries = log.tail(), everything(log)
    server.kill()
    assert_unavailable(log, "Redis")
    server.start()
    assert log.append([patch("a", {"attributes": {"n": 2}})]) == [Outcome(Result.STORED, 3, position.seq + 1)]
    assert everything(log)[0] == entries[0]
    assert orjson.loads(everything(log)[1].payload) == {"attributes": {"m": 1, "n": 2}}
    assert log.tail().epoch == position.epoch


def test_who_waits_is_told_when_redis_goes(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url))
    log.append([put("a")])
    after = log.tail().seq
    began = time.monotonic()
    with soon(server.kill), pytest.raises(LogUnavailableError):
        log.read(after, 10, wait_s=5)
    assert time.monotonic() - began < 3


def test_a_redis_that_kept_nothing_is_another_log(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url))
    log.append([put("a")])
    before = log.tail()
    server.kill()
    server.start()
    log.append([put("b")])
    assert log.tail().epoch != before.epoch
    assert log.tail().after(str(before)) == 0


def test_a_frozen_redis_is_given_up_after_a_while(start_redis, keep):
    server = start_redis()
    log = keep(RedisLog(server.url, timeout_s=0.2))
    log.append([put("a")])
    server.freeze()
    began = time.monotonic()
    for call in (lambda: log.append([put("a")]), lambda: log.read(0, 1)):
        with pytest.raises(LogUnavailableError):
            call()
    assert time.monotonic() - began < 5
    server.thaw()
    assert log.append([put("a")])[0].result == Result.STORED


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
def test_a_redis_that_may_evict_the_log_is_refused(start_redis, policy, keep):
    server = start_redis(arguments=("--maxmemory", "100mb", "--maxmemory-policy", policy))
    log = keep(RedisLog(server.url))
    assert_unavailable(log, policy)
    with redis.Redis(unix_socket_path=str(server.socket)) as direct:
        assert direct.dbsize() == 0
        direct.config_set("maxmemory-policy", "volatile-lru")
    assert log.append([put("a")])[0].result == Result.STORED


def test_a_full_disk_stores_all_of_a_batch_or_nothing(tmp_path, keep):
    log = keep(SqliteLog(tmp_path / "updates.sqlite"))
    log.append([put("a", b"small"), patch("b", {"price": 1})])
    before = everything(log), log.tail(), log.states(["a", "b"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # of any file that this process writes
    try:
        with pytest.raises(LogUnavailableError, match=r"full|I/O"):
            log.append([put("b"), put("a", b"x" * 1_000_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (everything(log), log.tail(), log.states(["a", "b"])) == before
    assert log.append([put("b"), put("a", b"x" * 1_000_000)])[1].version == 2


def fill(log, prefix, size):
    for n in range(10_000):
        log.append([put(f"{prefix}{n}", b"x" * size)])


def test_a_full_redis_refuses_until_it_is_trimmed(start_redis, keep):
    server = start_redis(arguments=("--maxmemory", "3000000", "--maxmemory-policy", "noeviction"))
    log = keep(RedisLog(server.url))
    for prefix, size in (("large", 100_000), ("small", 10)):
        with pytest.raises(LogUnavailableError, match="maxmemory"):
            fill(log, prefix, size)
    stored = log.count()
    assert stored > 10
    assert log.tail().seq == stored == everything(log)[-1].seq
    assert log.states(["large0", "never"]) == [State(1, Kind.PUT), State()]
    assert log.trim(time.time() + 1) == log.trimmed() == stored
    assert log.append([put("large0", b"x" * 100_000)])[0].version == 2


class LossyWire:
    """A socket before a Redis that, once told, lets one question through and loses the answer with the connection."""

    def __init__(self, folder, server):
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / "wire.sock"))
        self._listener.listen()
        self.url = f"unix://{folder}/wire.sock"
        self.lose, self.lost = None, 0  # a word of the question whose answer gets lost
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self._threads.append(threading.Thread(target=self._carry, args=[near], daemon=True))
                self._threads[-1].start()

    def _carry(self, near):
        with near, socket.socket(socket.AF_UNIX) as far, suppress(OSError):
            far.connect(str(self._server.socket))
            while asked := near.recv(1 << 16):
                far.sendall(asked)
                answer = far.recv(1 << 16)
                if self.lose is not None and self.lose in asked:
                    self.lose, self.lost = None, self.lost + 1
                    return
                near.sendall(answer)

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.mark.parametrize("change", [put("a"), patch("a", {"price": 2}), delete("a")])
def test_a_change_whose_answer_is_lost_is_not_stored_twice(start_redis, tmp_path, change, keep):
    server = start_redis()
    wire = keep(LossyWire(tmp_path, server))
    log, direct = keep(RedisLog(wire.url)), keep(RedisLog(server.url))
    assert log.append([put("a"), patch("a", {"price": 1})])[1].version == 2
    wire.lose = b"EVALSHA"
    with pytest.raises(LogUnavailableError):
        log.append([change])
    assert wire.lost == 1
    assert direct.states(["a"])[0].version == 3  # it was stored, but that was not acknowledged
    assert log.append([put("a", if_version=3)])[0].version == 4


def test_a_question_whose_answer_is_lost_is_asked_again(start_redis, tmp_path, keep):
    server = start_redis()
    wire = keep(LossyWire(tmp_path, server))
    log = keep(RedisLog(wire.url))
    log.append([put("a"), put("b")])
    for word, ask in (
        (b"XRANGE", lambda: len(everything(log))),
        (b"HMGET", lambda: log.tail().seq),
        (b"XLEN", log.count),
    ):
        wire.lose = word
        assert ask() == 2
    wire.lose = b"EVALSHA"
    assert log.trim(time.time() + 1) == 2
    assert wire.lost == 4
    assert (log.count(), log.trimmed()) == (0, 2)


def test_several_logs_share_a_redis(shared_redis, keep):
    one, other = (keep(RedisLog(shared_redis.url, name)) for name in ("shop one", "shop two"))
    one.append([put("a")])
    assert other.count() == 0
    assert other.states(["a"]) == [State()]
    assert one.tail().epoch != other.tail().epoch


def test_a_patch_that_cannot_be_joined_leaves_the_log_usable(place):
    log, other = place.open(), place.open()
    log.append([patch("a", {"price": 1})])
    with pytest.raises(ValueError, match=r"JSON|unexpected"):
        log.append([Change("a", Kind.PATCH, b"{")])
    began = time.monotonic()
    assert log.append([patch("a", {"title": "x"})])[0].version == 2
    assert other.append([patch("a", {"title": "y"})])[0].version == 3
    assert time.monotonic() - began < 5
    assert [entry.payload for entry in everything(other)] == [b'{"price":1,"title":"y"}']
