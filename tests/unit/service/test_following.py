"""The follower on a real log: what it applies and how soon, who waits for it, and logs that go, change or lose some."""

import asyncio
import shutil
import statistics
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import numpy as np
import orjson
import pytest

from indexer.build import BuildOptions, build
from indexer.bundle import Bundle
from indexer.live import LiveCatalogue
from indexer.updates import Change, EncodedProduct, Kind, LogUnavailableError
from indexer.updates_sqlite import SqliteLog
from indexer.view import View
from models.product import Product
from service.following import Follower
from service.telemetry import Metrics

DIM = 16
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def built(tmp_path_factory, weightless, support):
    """A bundle of p0 to p5, which no log was folded into."""
    feed = tmp_path_factory.mktemp("feed")
    support("feeds").write_feed(feed, 6, pictures=1)
    return build(weightless(DIM), BuildOptions(catalogue=feed, data_dir=tmp_path_factory.mktemp("data"))).path


@pytest.fixture(scope="module")
def bundle(built):
    with Bundle.open(built) as opened:
        yield opened


class Gated(SqliteLog):
    """A log that can be out of reach."""

    down = False

    def _reached(self):
        if self.down:
            msg = "out of reach"
            raise LogUnavailableError(msg)

    def tail(self):
        self._reached()
        return super().tail()

    def trimmed(self):
        self._reached()
        return super().trimmed()

    def read(self, after, limit, wait_s=0.0):
        self._reached()
        entries = super().read(after, limit, wait_s)
        self._reached()
        return entries


@pytest.fixture
def path(tmp_path):
    return tmp_path / "updates.sqlite"


@pytest.fixture
def log(path):
    """The log as another process has it open."""
    with closing(SqliteLog(path)) as opened:
        yield opened


@dataclass
class Followed:
    """A follower, the log it has open, and all views that it showed."""

    follower: Follower
    log: Gated
    shown: list[View]
    metrics: Metrics = field(default_factory=Metrics)

    def sees(self, product_id, **fields):
        """Return whether the product is there and has these values."""
        view = self.follower.view
        row = view.products.row_of(product_id)
        return row is not None and all(getattr(view.products[row], name) == value for name, value in fields.items())


@pytest.fixture
def follow(path, bundle):
    """Start a follower of the log: `follow(bundle, down=True)`."""
    with ExitStack() as ending:

        def start(of=bundle, *, down=False):
            log, shown, metrics = Gated(path), [], Metrics()
            log.down = down
            follower = Follower(log, LiveCatalogue(of, pytest.fail), shown.append, metrics)
            ending.callback(follower.close)
            follower.start()
            return Followed(follower, log, shown, metrics)

        yield start


@pytest.fixture
def put(bundle):
    """Make the put of a product: `put("new", title="Lamp", price=3)`."""

    def make(product_id, title="Lamp", **fields):
        vector = np.eye(1, DIM, dtype=np.float16)[0]
        encoded = EncodedProduct(
            Product(id=product_id, title=title, **fields),
            vector,
            np.zeros((0, DIM), np.float16),
            (),
            bundle.manifest.encoder.fingerprint,
        )
        return Change(product_id, Kind.PUT, encoded.to_bytes())

    return make


def patch(product_id, **fields):
    return Change(product_id, Kind.PATCH, orjson.dumps(fields))


def delete(product_id):
    return Change(product_id, Kind.DELETE)


def until(condition):
    """Wait for the condition; return the seconds that took."""
    began = time.perf_counter()
    while not condition():
        assert time.perf_counter() - began < PATIENCE_S
        time.sleep(0.001)
    return time.perf_counter() - began


def replaced(followed, path, make):
    """Put another file in the place of a log that is followed: `make(path)` makes it."""
    followed.log.down = True
    until(lambda: not followed.follower.available)
    followed.log.close()
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    make(path)
    followed.log.down = False


# --- what is applied, and how soon ---


def test_what_is_there_is_applied_when_it_has_started(log, follow, put):
    log.append([put("new", price=5.0), patch("p0", price=1.5), delete("p1"), patch("new", in_stock=True)])
    followed = follow()
    assert followed.sees("new", title="Lamp", price=5.0, in_stock=True)
    assert followed.sees("p0", price=1.5)
    assert not followed.sees("p1")
    assert followed.follower.view.count == 6
    assert followed.follower.applied == 4
    assert followed.shown == [followed.follower.view]
    assert followed.follower.available


def test_of_an_empty_log_the_bundle_is_left(follow, bundle):
    followed = follow()
    assert (followed.follower.applied, followed.shown) == (0, [])
    assert followed.follower.view.count == len(bundle.products) == 6
    assert followed.follower.available


@pytest.mark.clock
@pytest.mark.parametrize("whose", ["its own object", "another process"])
def test_a_change_is_shown_long_before_a_second_is_over(follow, log, whose):
    followed = follow()
    stored = followed.log if whose == "its own object" else log
    waits = []
    for price in range(1, 13):
        time.sleep(0.06 if price % 5 else 0.6)  # soon after the one before, or long
        stored.append([patch("p0", price=float(price))])
        waits.append(until(lambda price=price: followed.sees("p0", price=price)))
    assert max(waits) < 1
    assert statistics.median(waits) < 0.15


@pytest.mark.clock
def test_waiting_for_news_is_no_reason_for_a_pause(follow, log):
    followed = follow()
    waits = []
    for number in range(5):
        time.sleep(0.45)
        for price in (2.0 * number + 1, 2.0 * number + 2):
            log.append([patch("p0", price=price)])
            waits.append(until(lambda price=price: followed.sees("p0", price=price)))
    assert statistics.median(waits[1::2]) < 0.15


def test_many_entries_are_applied_a_thousand_at_a_time_in_order(log, follow, put):
    changes = [patch(f"none{n}", price=1) for n in range(2_500)]
    changes[10:10] = [put("new", title="First"), delete("new"), put("p0", title="Before"), patch("p0", price=1)]
    changes[1_500:1_500] = [put("new", title="Second"), patch("new", price=1), delete("p1")]
    changes[2_400:2_400] = [put("p0", title="After"), put("p1", title="Again")]
    log.append(changes)
    followed = follow()
    assert len(followed.shown) == 3
    assert followed.sees("new", title="Second", price=1)
    assert followed.sees("p0", title="After", price=None)
    assert followed.sees("p1", title="Again")
    seqs = [outcome.seq for outcome in log.append([patch("p2", price=7)])]
    assert until(lambda: followed.follower.applied == seqs[0]) < 1
    assert f"catalens_updates_applied_total {float(log.count())}" in followed.metrics.render().decode()


def test_views_come_in_the_order_of_changes_and_none_comes_twice(log, follow):
    followed = follow()
    for price in range(1, 101):
        log.append([patch("p0", price=float(price)), patch("p1", price=-float(price))])
    until(lambda: followed.sees("p1", price=-100))
    prices = [[view.products[row].price for row in (0, 1)] for view in followed.shown]
    assert all(first == -second for first, second in prices)
    assert [first for first, _ in prices] == sorted({first for first, _ in prices})
    assert prices[-1] == [100, -100]


def test_a_view_that_was_shown_stays_as_it_was(log, follow, put):
    log.append([put("new", title="First")])
    followed = follow()
    [first] = followed.shown
    log.append([put("new", title="Second"), delete("p0")])
    until(lambda: followed.sees("new", title="Second"))
    assert first.products[first.products.row_of("new")].title == "First"
    assert first.products.row_of("p0") is not None


def test_an_entry_that_cannot_be_applied_holds_none_up_and_is_told(log, follow, put):
    log.append([patch("p0", price=1), Change("bad", Kind.PUT, b"{}"), put("new"), Change("p1", Kind.PATCH, b"[")])
    followed = follow()
    assert followed.sees("p0", price=1)
    assert followed.sees("new")
    assert not followed.follower.available
    [stored] = log.append([patch("p2", price=2)])
    asyncio.run(asyncio.wait_for(followed.follower.reach(stored.seq), PATIENCE_S))
    assert followed.sees("p2", price=2)
    assert not followed.follower.available


# --- waiting for an entry ---


@pytest.mark.clock
def test_what_is_applied_already_is_not_waited_for(log, follow):
    log.append([patch("p0", price=1), patch("p1", price=1)])
    followed = follow()

    async def scenario():
        began = time.perf_counter()
        for seq in (0, 1, 2):
            await followed.follower.reach(seq)
        assert time.perf_counter() - began < 0.1

    asyncio.run(scenario())


def test_each_waits_for_the_entry_it_named(log, follow):
    followed = follow()

    async def scenario():
        waiting = [asyncio.ensure_future(followed.follower.reach(seq)) for seq in (3, 1, 2, 1)]
        await asyncio.sleep(0.2)
        assert not any(one.done() for one in waiting)
        for seq in (1, 2, 3):
            await asyncio.to_thread(log.append, [patch(f"p{seq}", price=float(seq))])
            await asyncio.wait_for(asyncio.gather(*(waiting[at] for at in {1: (1, 3), 2: (2,), 3: (0,)}[seq])), 5)
            assert followed.sees(f"p{seq}", price=seq)
            assert sum(one.done() for one in waiting) == {1: 2, 2: 3, 3: 4}[seq]

    asyncio.run(scenario())


def test_whoever_waits_in_many_threads_and_loops_is_let_go_on(log, follow):
    followed = follow()
    arrived = []

    def wait(seq):
        asyncio.run(asyncio.wait_for(followed.follower.reach(seq), PATIENCE_S))
        arrived.append(followed.follower.applied >= seq)

    threads = [threading.Thread(target=wait, args=(seq,)) for seq in range(1, 41)]
    for thread in threads:
        thread.start()
    for seq in range(1, 41):
        log.append([patch(f"none{seq}", price=1)])
    for thread in threads:
        thread.join()
    assert arrived == [True] * 40


def test_closing_lets_everyone_go_on_and_leaves_no_thread(follow):
    followed = follow()
    before = threading.active_count()

    async def scenario():
        waiting = [asyncio.ensure_future(followed.follower.reach(seq)) for seq in (1, 10**9)]
        await asyncio.sleep(0.05)
        assert not any(one.done() for one in waiting)
        await asyncio.to_thread(followed.follower.close)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        await asyncio.wait_for(followed.follower.reach(10**9), 5)

    asyncio.run(scenario())
    assert threading.active_count() == before - 1
    followed.follower.close()


def test_one_who_gave_up_waiting_stops_nothing(log, follow):
    followed = follow()
    with pytest.raises(TimeoutError):  # its loop has ended when the entry comes
        asyncio.run(asyncio.wait_for(followed.follower.reach(1), 0.05))
    log.append([patch("p0", price=1)])
    until(lambda: followed.sees("p0", price=1))
    log.append([patch("p0", price=2)])
    until(lambda: followed.sees("p0", price=2))


# --- logs that cannot be reached, or are other ones ---


def test_a_log_that_goes_and_comes_back_is_caught_up_with(log, follow, put):
    log.append([patch("p0", price=1)])
    followed = follow()
    followed.log.down = True
    assert until(lambda: not followed.follower.available) < 2
    log.append([put("new"), delete("p1"), patch("p0", price=2)])
    time.sleep(0.3)
    assert followed.sees("p0", price=1)
    assert followed.sees("p1")
    followed.log.down = False
    assert until(lambda: followed.sees("p0", price=2)) < 2
    assert followed.sees("new")
    assert not followed.sees("p1")
    assert followed.follower.available


def test_a_log_that_is_not_there_at_first_keeps_nobody_from_starting(log, follow):
    log.append([patch("p0", price=1)])
    began = time.perf_counter()
    followed = follow(down=True)
    assert time.perf_counter() - began < 1
    assert not followed.follower.available
    assert followed.follower.view.count == 6
    assert (followed.follower.applied, followed.shown) == (0, [])
    followed.log.down = False
    until(lambda: followed.sees("p0", price=1))
    assert followed.follower.available


def test_another_log_is_followed_from_its_beginning(log, follow, path, put):
    log.append([put("old"), patch("p0", price=1), patch("p1", price=1)])
    followed = follow()
    assert followed.follower.applied == 3

    def another(at):
        with closing(SqliteLog(at)) as fresh:
            fresh.append([put("new", title="Of the other log")])

    replaced(followed, path, another)
    until(lambda: followed.sees("new", title="Of the other log"))
    assert followed.follower.applied == 1
    assert followed.follower.available


def test_what_the_bundle_holds_is_not_applied_again(log, follow, built, bundle, put):
    log.append([put("held"), patch("p0", price=1), patch("p1", price=1)])
    held = bundle.manifest.model_copy(update={"log_position": f"{log.tail().epoch}:2"})
    with Bundle(built, held) as later:
        followed = follow(later)
        assert not followed.sees("held")
        assert not followed.sees("p0", price=1)
        assert followed.sees("p1", price=1)
        followed.follower.close()


def test_of_another_log_what_the_bundle_holds_is_not_applied_again(log, follow, path, tmp_path, built, bundle, put):
    with closing(SqliteLog(tmp_path / "other.sqlite")) as other:
        other.append([patch("p0", price=1), patch("p1", price=1)])
        held = bundle.manifest.model_copy(update={"log_position": f"{other.tail().epoch}:1"})
    log.append([put(f"n{n}") for n in range(3)])
    with Bundle(built, held) as later:
        followed = follow(later)
        assert followed.follower.applied == 3
        replaced(followed, path, lambda at: shutil.copy(tmp_path / "other.sqlite", at))
        until(lambda: followed.sees("p1", price=1))
        assert not followed.sees("p0", price=1)
        assert followed.follower.applied == 2
        followed.follower.close()


def test_a_log_that_lost_its_last_entries_is_followed_from_where_it_is(log, follow, path, tmp_path):
    log.append([patch("p0", price=1)])
    epoch = log.tail().epoch
    log.close()
    shutil.copy(path, tmp_path / "backup")
    log.append([patch("p1", price=1), patch("p2", price=1)])
    followed = follow()
    assert followed.follower.applied == 3
    replaced(followed, path, lambda at: shutil.copy(tmp_path / "backup", at))
    with closing(SqliteLog(path)) as restored:
        until(lambda: followed.follower.available and followed.follower.applied == 1)
        [stored] = restored.append([patch("p3", price=1)])
        assert (stored.seq, restored.tail().epoch) == (2, epoch)  # the number of one that was lost
    until(lambda: followed.sees("p3", price=1))


def test_a_bundle_that_lacks_trimmed_entries_is_told_until_the_end(log, follow):
    log.append([patch("p0", price=1), patch("p1", price=1)])
    log.trim(time.time())
    log.append([patch("p2", price=1)])
    followed = follow()
    assert followed.sees("p2", price=1)
    assert not followed.follower.available
    log.append([patch("p3", price=1)])
    until(lambda: followed.sees("p3", price=1))
    time.sleep(1.2)  # it has looked at the log again
    assert not followed.follower.available


def test_a_bundle_that_holds_what_was_trimmed_lacks_nothing(log, follow, built, bundle):
    log.append([patch("p0", price=1), patch("p1", price=1)])
    held = bundle.manifest.model_copy(update={"log_position": str(log.tail())})
    log.trim(time.time())
    log.append([patch("p2", price=1)])
    with Bundle(built, held) as later:
        followed = follow(later)
        assert followed.sees("p2", price=1)
        assert followed.follower.available
        followed.follower.close()


def test_trimming_what_is_applied_lacks_nothing(log, follow):
    log.append([patch("p0", price=1)])
    followed = follow()
    log.trim(time.time())
    time.sleep(1.2)  # it has looked at the log again
    assert followed.follower.available
    assert followed.sees("p0", price=1)


def test_what_was_trimmed_while_the_log_was_out_of_reach_is_missed_and_told(log, follow):
    log.append([patch("p0", price=1)])
    followed = follow()
    followed.log.down = True
    until(lambda: not followed.follower.available)
    log.append([patch("p1", price=1)])
    log.trim(time.time())
    log.append([patch("p2", price=1)])
    followed.log.down = False
    until(lambda: followed.sees("p2", price=1))
    assert not followed.sees("p1", price=1)
    assert not followed.follower.available


def test_how_far_it_is_behind_is_measured(log, follow):
    log.append([patch(f"none{n}", price=1) for n in range(7)])
    followed = follow(down=True)
    followed.log.down = False
    until(lambda: followed.follower.applied == 7)
    until(lambda: "catalens_updates_behind 0.0" in followed.metrics.render().decode())
    assert "catalens_updates_applied_total 7.0" in followed.metrics.render().decode()
