"""Every update log: what changes, versions, positions and trimming leave in it, by example."""

import time

import orjson
import pytest

from indexer.updates import Change, Kind, Outcome, Position, Result, State
from tests.support.update_logs import delete, everything, patch, put


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
