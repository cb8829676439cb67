"""`python -m indexer updates`, and builds that fold the update log in, as the command line has them."""

import datetime as dt
import json
import os
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

import indexer.build
from indexer.__main__ import main
from indexer.bundle import current_bundle
from indexer.evaluate import measure
from indexer.manifest import read_manifest
from indexer.updates import Change, EncodedProduct, Kind
from indexer.updates_cli import moment
from indexer.updates_sqlite import FILE, SqliteLog
from models.product import Product

N = 12


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("CATALENS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def small_feed(feeds, tmp_path_factory):
    return feeds.write_feed(tmp_path_factory.mktemp("feed"), N)


@pytest.fixture
def run(tmp_path, encoder, monkeypatch):
    """Run the command line in a data folder; builds measure themselves on less."""
    monkeypatch.setattr("indexer.__main__.load", lambda *_: encoder)
    monkeypatch.setattr("indexer.publish_cli.load", lambda *_: encoder)
    monkeypatch.setattr(indexer.build, "measure", partial(measure, sample=10))
    monkeypatch.setattr(indexer.build, "calibrate_lexical_weight", lambda _bundle, _encoder, weights, **_: weights)

    def call(*words, env=None):
        answer = CliRunner().invoke(main, [*map(str, words), "--data-dir", str(tmp_path / "data")], env=env)
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer

    return call


@pytest.fixture
def log(tmp_path):
    log = SqliteLog(tmp_path / "data" / FILE)
    yield log
    log.close()


def store(log, kind, product_id, payload=b""):
    [outcome] = log.append([Change(product_id, kind, payload)])
    return log.read(outcome.seq - 1, 1)[0]


def whole(encoder, product_id):
    product = Product(id=product_id, title="New")
    vectors = np.ones((1, encoder.dim), np.float16)
    return EncodedProduct(product, vectors[0], vectors[:0], (), encoder.fingerprint).to_bytes()


def stored(log, encoder):
    """Store a deletion, a product and a price; return the entries."""
    return [
        store(log, Kind.DELETE, "p1"),
        store(log, Kind.PUT, "new", whole(encoder, "new")),
        store(log, Kind.PATCH, "p2", orjson.dumps({"price": 5})),
    ]


def at(seconds):
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def between(earlier, later):
    """Return a time between two entries, exact to the microsecond."""
    return at((earlier.at + later.at) / 2)


def refusal(answer):
    assert answer.exit_code == 1
    assert answer.stdout == ""
    [line] = answer.stderr.splitlines()
    return line.removeprefix("Error: ")


# --- times ---


@pytest.fixture
def in_tokyo(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-02T00:00:00", 86_400),
        ("2026-11-26T02:00:00+01:00", 1_795_654_800),
        ("2026-11-26 01:00:00.25", 1_795_654_800.25),
        ("1969-12-31T23:00:00-02:00", 3_600),
    ],
)
def test_times(in_tokyo, text, seconds):
    assert moment("--trim-before", text) == seconds


@pytest.mark.parametrize("text", ["yesterday", "", "1795654800", "2026-13-01", "2026-11-26T25:00"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match=r"--feed-as-of '.*': expected a time such as 2026-11-26T02:00:00\+01:00"):
        moment("--feed-as-of", text)


# --- showing the log ---


@pytest.mark.parametrize(
    "flags", [(), ("--update-log", "file"), ("--update-log", "off"), ("--trim-before", "2026-01-01")]
)
def test_no_log(run, flags, tmp_path):
    assert run("updates", *flags).stdout == "no change was ever stored\n"
    assert json.loads(run("updates", *flags, "--json").stdout) == {"log": None}
    assert not (tmp_path / "data" / FILE).exists()


def test_a_log_nobody_wants_is_not_read(run, log):
    store(log, Kind.DELETE, "a")
    assert run("updates", "--update-log", "off").stdout == "no change was ever stored\n"
    assert run("updates", env={"CATALENS_UPDATE_LOG": "off"}).stdout == "no change was ever stored\n"


def test_what_the_log_holds(run, log):
    for product_id in ("a", "b", "a"):  # the last takes the place of the first
        store(log, Kind.PATCH, product_id, b"{}")
    words = "2 changes held, the last is number 3; the published bundle holds up to 0\n"
    assert run("updates").stdout == words
    assert run("updates", "--update-log", "file", env={"CATALENS_REDIS_URL": "redis://127.0.0.1:1"}).stdout == words
    shown = json.loads(run("updates", "--json").stdout)
    assert shown == {"epoch": log.tail().epoch, "last": 3, "entries": 2, "in_bundle": 0}


# --- builds ---


def build(run, feed, *words):
    return run("build", "--catalogue", feed, *words)


def test_a_build_folds_the_log_in(run, small_feed, log, encoder, tmp_path):
    stored(log, encoder)
    said = build(run, small_feed, "--publish").stdout
    assert "update log: 1 products put, 1 changed, 1 deleted; up to change 3\n" in said
    manifest = read_manifest(current_bundle(tmp_path / "data"))
    assert manifest.counts.products == N
    assert manifest.log_position == str(log.tail())
    assert run("updates").stdout == "3 changes held, the last is number 3; the published bundle holds up to 3\n"
    store(log, Kind.DELETE, "p5")
    assert json.loads(run("updates", "--json").stdout)["in_bundle"] == 3


@pytest.mark.parametrize("flags", [(), ("--update-log", "off")])
def test_a_build_without_a_log(run, small_feed, log, encoder, flags, tmp_path):
    if flags:
        stored(log, encoder)
    said = build(run, small_feed, *flags, "--json").stdout
    manifest = json.loads(said)["manifest"]
    assert (manifest["counts"]["products"], manifest["log_position"]) == (N, None)
    assert (tmp_path / "data" / FILE).exists() == bool(flags)


def test_what_the_feed_has_already_is_not_folded_in(run, small_feed, log, encoder):
    entries = stored(log, encoder)
    said = build(run, small_feed, "--feed-as-of", between(*entries[1:])).stdout
    assert "0 products put, 1 changed, 0 deleted; up to change 3\n" in said
    nothing = json.loads(build(run, small_feed, "--feed-as-of", at(entries[2].at + 1), "--json").stdout)["manifest"]
    assert (nothing["counts"]["products"], nothing["log_position"]) == (N, str(log.tail()))


# --- trimming ---


def test_only_what_the_published_bundle_holds_is_removed(run, small_feed, log, encoder):
    entries = stored(log, encoder)
    ahead = at(entries[2].at + 3_600)
    said = refusal(run("updates", "--trim-before", ahead))  # nothing is published
    assert said == "change 1 is older and not in the published bundle: build and publish first"
    built = json.loads(build(run, small_feed, "--json").stdout)["manifest"]["id"]
    assert refusal(run("updates", "--trim-before", ahead)) == said  # it is built, but not published
    run("publish", built)
    later = store(log, Kind.PATCH, "p3", b"{}")
    assert refusal(run("updates", "--trim-before", at(later.at + 1))) == said.replace("change 1", "change 4")
    assert log.count() == 4

    early = run("updates", "--trim-before", between(*entries[:2])).stdout
    assert early == "1 removed; 3 changes held, the last is number 4; the published bundle holds up to 3\n"
    trimmed = json.loads(run("updates", "--trim-before", between(entries[2], later), "--json").stdout)
    assert trimmed == {"removed": 2, "epoch": log.tail().epoch, "last": 4, "entries": 1, "in_bundle": 3}
    assert [entry.seq for entry in log.read(0, 10)] == [4]
    assert log.trimmed() == 3
    assert [state.version for state in log.states(["p1", "new", "p2", "p3"])] == [1, 1, 1, 1]
    again = run("updates", "--trim-before", "1970-01-01").stdout
    assert again.startswith("0 removed; 1 changes held")


def test_clocks_that_differ(run, small_feed, log, encoder, monkeypatch):
    """What the bundle lacks is not removed, though it was stored by a clock that is behind."""
    entries = stored(log, encoder)
    build(run, small_feed, "--publish")
    for i in range(120):  # more than are read at a time
        store(log, Kind.PATCH, f"x{i}", b"{}")
    behind = SimpleNamespace(time=lambda: entries[0].at - 60, monotonic=time.monotonic)
    monkeypatch.setattr("indexer.updates_sqlite.time", behind)
    store(log, Kind.PATCH, "p3", b"{}")
    said = refusal(run("updates", "--trim-before", between(*entries[1:])))
    assert said == "change 124 is older and not in the published bundle: build and publish first"
    assert log.count() == 124


def test_what_is_stored_meanwhile_is_not_removed(run, small_feed, log, encoder, monkeypatch):
    entries = stored(log, encoder)
    build(run, small_feed, "--publish")
    trim = SqliteLog.trim

    def trim_after_another_change(self, through):
        store(log, Kind.PATCH, "p3", b"{}")
        return trim(self, through)

    monkeypatch.setattr(SqliteLog, "trim", trim_after_another_change)
    trimmed = json.loads(run("updates", "--trim-before", at(entries[2].at + 3_600), "--json").stdout)
    assert trimmed["removed"] == 3
    assert [entry.seq for entry in log.read(0, 10)] == [4]


def test_what_the_bundle_holds_of_another_log_is_not_held(run, small_feed, log, encoder, tmp_path):
    stored(log, encoder)
    build(run, small_feed, "--publish")
    log.close()
    for path in (tmp_path / "data").glob(f"{FILE}*"):
        path.unlink()
    entry = store(log, Kind.DELETE, "p1")
    assert run("updates").stdout == "1 changes held, the last is number 1; the published bundle holds up to 0\n"
    assert "not in the published bundle" in refusal(run("updates", "--trim-before", at(entry.at + 1)))
    assert log.count() == 1


# --- what cannot be ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["updates", "--trim-before", "yesterday"], "--trim-before 'yesterday': expected a time such as"),
        (["updates", "--update-log", "nowhere"], "--update-log 'nowhere': expected auto, file, off or an address"),
        (["updates", "--update-log", "http://localhost"], "or an address that begins with redis://"),
        (["build", "--catalogue", "FEED", "--update-log", "nowhere"], "--update-log 'nowhere': expected"),
        (["build", "--catalogue", "FEED", "--feed-as-of", "last night"], "--feed-as-of 'last night': expected a time"),
        (["build", "--catalogue", "FEED", "--max-bad-rows", "some"], "--max-bad-rows 'some'"),
    ],
)
def test_flags_that_say_nothing(run, small_feed, log, words, said, tmp_path):
    store(log, Kind.DELETE, "p1")
    assert said in refusal(run(*[small_feed if word == "FEED" else word for word in words]))
    assert log.count() == 1
    assert not (tmp_path / "data" / "bundles").exists()


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "unix:///nowhere/redis.sock"])
@pytest.mark.parametrize("command", ["updates", "build"])
@pytest.mark.parametrize("named", ["flag", "auto", "env"])
def test_a_redis_that_cannot_be_reached(run, small_feed, command, url, named, tmp_path):
    words = [command, *(["--catalogue", str(small_feed)] if command == "build" else [])]
    flags = {"flag": ["--update-log", url], "auto": ["--redis-url", url], "env": []}[named]
    said = refusal(run(*words, *flags, env={"CATALENS_REDIS_URL": url} if named == "env" else None))
    assert said.startswith("Redis: ")
    assert "secret" not in said
    assert not (tmp_path / "data" / "bundles").exists()


def test_a_file_that_is_no_log(run, small_feed, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / FILE).write_bytes(b"something else" * 1000)
    for words in (["updates"], ["build", "--catalogue", small_feed]):
        assert f"{FILE}: file is not a database" in refusal(run(*words))


def test_a_current_that_is_no_bundle(run, log, tmp_path):
    store(log, Kind.DELETE, "p1")
    (tmp_path / "data" / "current").mkdir()
    for flags in ([], ["--trim-before", "2026-01-01"]):
        assert "not a symbolic link" in refusal(run("updates", *flags))
