"""Work that rests: how long, when, and only in the thread that stands back."""

import threading

import pytest

from models import pacing
from models.pacing import rest, standing_back, unhurried


class Clock:
    """Time that passes when somebody works or sleeps; others are busy until it is `idle_from`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.idle_from = 1e9
        self.slept: list[float] = []

    def busy(self) -> bool:
        """Whether others work."""
        return self.now < self.idle_from

    def perf_counter(self) -> float:
        """As in `time`."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """As in `time`."""
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time in the module, in hand."""
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_nobody_rests_who_does_not_stand_back(clock: Clock) -> None:
    """The items are handed back as they are, at no cost."""
    items = ["a", "b"]
    assert unhurried(items) is items
    clock.now += 1.0
    rest()
    assert clock.slept == []


def test_rests_are_nine_times_the_work_and_never_long(clock: Clock) -> None:
    """Short pieces add up to one; after a long piece the rest ends."""
    rested: list[float] = []
    with standing_back(clock.busy):
        for worked_s in unhurried([0.0004, 0.0004, 0.0004, 0.003, 1.0, 0.0]):
            rested.append(sum(clock.slept))
            clock.now += worked_s
    assert rested == pytest.approx([0, 0, 0, 9 * 0.0012, 9 * 0.0042, 9 * 0.0042 + 0.1])


def test_a_rest_ends_when_others_are_done(clock: Clock) -> None:
    """It is looked now and then; while nobody works, nobody rests."""
    with standing_back(clock.busy):
        clock.now += 0.01
        clock.idle_from = clock.now + 0.02
        rest()
        assert 0.02 <= sum(clock.slept) < 0.03
        clock.slept.clear()
        clock.now += 0.5
        rest()
    assert clock.slept == []


def test_work_without_the_interpreter_rests_less(clock: Clock) -> None:
    """As often as asked."""
    with standing_back(clock.busy):
        clock.now += 0.01
        rest(1.0)
    assert sum(clock.slept) == pytest.approx(0.01)


def test_standing_back_ends_with_its_context(clock: Clock) -> None:
    """An inner context ends, the outer goes on; outside nobody rests."""
    with standing_back(clock.busy):
        with pytest.raises(ValueError, match="work"), standing_back(clock.busy):
            raise ValueError("work")
        clock.now += 0.002
        rest()
    clock.now += 1.0
    rest()
    assert sum(clock.slept) == pytest.approx(0.018)


def test_other_threads_work_on(clock: Clock) -> None:
    """Standing back is a thread's own affair."""
    found: list[object] = []
    items = [1, 2]
    with standing_back(clock.busy):
        thread = threading.Thread(target=lambda: found.append(unhurried(items)))
        thread.start()
        thread.join()
    assert found[0] is items
    assert clock.slept == []
