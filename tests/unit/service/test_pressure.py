"""The forecast of waits: right in closed form, blind to idle time, and what follows from it."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import OverloadedError
from service.pressure import Level, Pressure

MOST_WAIT_S = 2.0
ALWAYS = 8  # requests that are answered whatever is forecast


class Clock:
    """A time that passes when it is told to."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Desk:
    """A pressure on a clock, and the requests that are being answered."""

    def __init__(self, most_wait_s=MOST_WAIT_S):
        self.clock = Clock()
        self.pressure = Pressure(most_wait_s, self.clock)
        self.running = []

    def begin(self, due=math.inf):
        answering = self.pressure.answering(due)
        answering.__enter__()
        self.running.append(answering)

    def end(self):
        self.running.pop(0).__exit__(None, None, None)

    def answer(self, count, each_s):
        """Answer requests one after the other."""
        for _ in range(count):
            self.begin()
            self.clock.now += each_s
            self.end()

    def fill(self, count):
        while self.pressure.running < count:
            self.begin()


@pytest.fixture
def desk():
    return Desk()


def test_nothing_is_forecast_before_the_first_answer(desk):
    assert desk.pressure.wait_s == 0
    desk.fill(100)
    assert (desk.pressure.running, desk.pressure.wait_s, desk.pressure.level) == (100, 0, Level.CALM)


@pytest.mark.parametrize("each_s", [0.001, 0.05, 3.0])
def test_alone_a_request_takes_as_long_as_those_before_it(desk, each_s):
    desk.answer(20, each_s)
    assert desk.pressure.wait_s == pytest.approx(each_s)


def test_idle_time_does_not_count(desk):
    for _ in range(20):
        desk.answer(1, 0.05)
        desk.clock.now += 3_600
    assert desk.pressure.wait_s == pytest.approx(0.05)


@pytest.mark.parametrize("together", [2, 5, 40])
def test_littles_law_holds_however_many_are_answered_together(together):
    """With L requests being answered and one answer every s seconds, each of them takes L s seconds."""
    desk, every_s = Desk(most_wait_s=math.inf), 0.01
    desk.fill(together)
    for _ in range(1_000):
        desk.clock.now += every_s
        desk.end()
        desk.begin()
    assert desk.pressure.wait_s == pytest.approx((together + 1) * every_s, rel=1e-6)


def test_the_latest_answers_count_most(desk):
    """After k answers of f seconds, an old mean s is worth (1 - w) f + w s, with w near 0.98^k."""
    desk.answer(2_000, 1.0)
    desk.answer(100, 0.1)
    assert desk.pressure.wait_s == pytest.approx(0.1 + 0.9 * 0.98**100, rel=1e-3)
    desk.answer(1_000, 0.1)
    assert desk.pressure.wait_s == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(
    ("running", "each_s", "level"),
    [
        (0, 1.0, Level.CALM),
        (ALWAYS, 1.0, Level.CALM),
        (ALWAYS + 1, 0.049, Level.CALM),
        (ALWAYS + 1, 0.051, Level.NO_RERANK),
        (ALWAYS + 1, 0.099, Level.NO_RERANK),
        (ALWAYS + 1, 0.101, Level.NARROW),
        (99, 0.0049, Level.CALM),
        (99, 0.0051, Level.NO_RERANK),
        (99, 0.0101, Level.NARROW),
    ],
)
def test_from_a_quarter_of_the_longest_wait_on_less_is_done(desk, running, each_s, level):
    desk.answer(1, each_s)
    desk.fill(running)
    assert desk.pressure.wait_s == pytest.approx((running + 1) * each_s)
    assert desk.pressure.level is level


def test_each_level_leaves_out_what_the_one_before_does():
    assert Level.CALM < Level.NO_RERANK < Level.NARROW


def test_a_request_that_would_wait_too_long_is_refused_and_told_when_to_come_back(desk):
    desk.answer(1, 0.5)
    desk.fill(ALWAYS)
    with pytest.raises(
        OverloadedError, match=r"8 searches are being answered; one more would take 4\.5 s\."
    ) as refused:
        desk.begin()
    assert refused.value.retry_after_s == 5
    assert desk.pressure.running == ALWAYS
    desk.end()
    desk.begin()


def test_some_are_answered_whatever_is_forecast(desk):
    desk.answer(1, 3_600.0)
    for _ in range(ALWAYS):
        desk.begin(due=desk.clock.now + 0.001)
    with pytest.raises(OverloadedError):
        desk.begin()


@pytest.mark.parametrize(("left_s", "begun"), [(1.9, True), (1.7, False), (0.0, False), (-5.0, False)])
def test_what_is_not_likely_to_be_done_in_half_its_time_is_not_begun(desk, left_s, begun):
    desk.answer(1, 0.1)
    desk.fill(ALWAYS)
    due = desk.clock.now + left_s
    if begun:
        desk.begin(due)
    else:
        with pytest.raises(OverloadedError) as refused:
            desk.begin(due)
        assert refused.value.retry_after_s == 1


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_one_that_fails_is_answered_too(desk, failure):
    with contextlib.suppress(failure), desk.pressure.answering(math.inf):
        desk.clock.now += 0.3
        raise failure
    assert desk.pressure.running == 0
    assert desk.pressure.wait_s == pytest.approx(0.3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=60))
def test_whatever_comes_and_goes_the_forecast_is_a_time_and_nobody_is_lost(steps):
    desk, begun, ended = Desk(), 0, 0
    for begins, pause_s in steps:
        desk.clock.now += pause_s
        if begins:
            try:
                desk.begin()
            except OverloadedError:
                assert desk.pressure.running >= ALWAYS
            else:
                begun += 1
        elif desk.running:
            desk.end()
            ended += 1
        assert desk.pressure.running == begun - ended
        assert 0 <= desk.pressure.wait_s < math.inf
