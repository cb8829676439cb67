"""When a bundle does harm, on signals whose figures are known."""

import math

import pytest

from service.errors import DeadlineError, InvalidRequestError, OverloadedError
from service.watching import Limits, Reason, Signals, Watch

LIMITS = Limits(watch_s=600, least=20, errors=0.05, fruitless=0.2, slowdown=3.0)
NOTED = [
    (DeadlineError("late"), 1),
    (IndexError("row 9"), 1),
    (TimeoutError(), 1),
    (InvalidRequestError("the caller's", path="q"), 0),
    (OverloadedError("too much"), 0),
]


class Clock:
    def __init__(self):
        self.at = 1_000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def signals(clock):
    return Signals(clock)


@pytest.fixture
def watch(signals, clock):
    return Watch(signals, LIMITS, clock)


def searched(signals, bundle, count, *, failed=0, fruitless=0, seconds=0.01):
    """Note so many searches, of which the first failed and the next found nothing."""
    for n in range(count):
        signals.note(bundle, failed=n < failed, fruitless=failed <= n < failed + fruitless, seconds=seconds)


def test_figures_are_those_of_the_searches(signals, clock):
    searched(signals, "one", 7)
    clock.at += 10
    since = clock.at
    for n in range(1, 101):
        signals.note("one", seconds=n / 100)
    searched(signals, "one", 25, failed=25)
    searched(signals, "two", 3)
    figures = signals.of("one", since)
    assert (figures.searches, figures.failures, figures.errors, figures.fruitless) == (125, 25, 0.2, 0.0)
    assert figures.p95_s == pytest.approx(0.9505)
    assert signals.of("two", 0).searches == 3
    assert math.isnan(signals.of("nobody", 0).p95_s)


@pytest.mark.parametrize(("error", "failures"), NOTED, ids=lambda value: type(value).__name__)
def test_errors_are_ours_or_the_callers(signals, error, failures):
    signals.failed("one", error)
    assert signals.of("one", 0).failures == failures


def test_only_the_latest_bundles_are_remembered(signals):
    for name in "abcdef":
        searched(signals, name, 1)
    assert [signals.of(name, 0).searches for name in "abcdef"] == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({}, {}, None),
        ({}, {"failed": 4}, None),  # too few to be sure
        ({}, {"failed": 6}, Reason.ERRORS),
        ({"failed": 4}, {"failed": 8}, None),  # 4% before, 8% now
        ({"failed": 4}, {"failed": 10}, Reason.ERRORS),
        ({"fruitless": 10}, {"fruitless": 30}, None),
        ({"fruitless": 10}, {"fruitless": 31}, Reason.ZERO_RESULTS),
        ({"seconds": 0.010}, {"seconds": 0.109}, None),  # eleven times, but not by a tenth of a second
        ({"seconds": 0.010}, {"seconds": 0.111}, Reason.SLOW),
        ({"seconds": 0.200}, {"seconds": 0.590}, None),
        ({"seconds": 0.200}, {"seconds": 0.610}, Reason.SLOW),
    ],
)
def test_harm_is_what_is_worse_than_before_by_more_than_it_may_be(signals, watch, clock, before, after, reason):
    searched(signals, "old", 100, **before)
    clock.at += 60
    watch.begin("new", "old")
    clock.at += 1
    searched(signals, "new", 100, **after)
    harm = watch.harm()
    assert (harm and harm.reason) is reason


def test_the_figures_are_told(signals, watch):
    searched(signals, "old", 100, fruitless=2)
    watch.begin("new", "old")
    searched(signals, "new", 40, fruitless=30)
    assert watch.harm().says == "75.0% of 40 searches found nothing, 2.0% before"


def test_nothing_is_concluded_from_few_searches(signals, watch):
    searched(signals, "old", 100)
    watch.begin("new", "old")
    searched(signals, "new", 19, failed=19)
    assert watch.harm() is None
    searched(signals, "new", 1)
    assert watch.harm().reason is Reason.ERRORS


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({"fruitless": 80}, None),
        ({"fruitless": 95}, Reason.ZERO_RESULTS),
        ({"seconds": 9.0}, None),
        ({"failed": 10}, Reason.ERRORS),
    ],
)
def test_where_little_is_known_of_before_only_the_worst_counts(signals, watch, after, reason):
    searched(signals, "old", 5)
    watch.begin("new", "old")
    searched(signals, "new", 100, **after)
    harm = watch.harm()
    assert (harm and harm.reason) is reason


def test_what_came_long_before_or_of_a_share_before_the_swap_is_left_out(signals, watch, clock):
    searched(signals, "old", 100, fruitless=100)
    searched(signals, "new", 100, failed=100)
    clock.at += 601
    searched(signals, "old", 100)
    clock.at += 1
    watch.begin("new", "old")
    assert watch.harm() is None
    clock.at += 1
    searched(signals, "new", 100, fruitless=50)
    assert watch.harm().reason is Reason.ZERO_RESULTS


def test_after_its_time_a_bundle_is_watched_no_more(signals, watch, clock):
    watch.begin("new", "old")
    clock.at += 600
    assert watch.harm() is None
    assert watch.watched == "new"
    clock.at += 1
    assert watch.harm() is None
    assert watch.watched is None
    searched(signals, "new", 100, failed=100)
    assert watch.harm() is None


def test_it_may_be_off(signals, clock):
    watch = Watch(signals, Limits(0, 1, 0.0, 0.0, 1.0), clock)
    watch.begin("new", "old")
    assert watch.watched is None
