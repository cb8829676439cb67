"""Work that rests: how long, when, and only in the thread that stands back."""

import threading

import pytest

from models import pacing
from models.pacing import rest, standing_back, unhurried


class Clock:
    """Time that passes when somebody works or sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

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


def test_rests_are_four_times_the_work_and_never_long(clock: Clock) -> None:
    """Short pieces add up to one; after a long piece the rest ends."""
    with standing_back():
        for worked_s in unhurried([0.0004, 0.0004, 0.0004, 0.003, 1.0]):
            clock.now += worked_s
        rest()
    assert clock.slept == pytest.approx([4 * 0.0012, 4 * 0.003, 0.1])


def test_work_without_the_interpreter_rests_less(clock: Clock) -> None:
    """As often as asked."""
    with standing_back():
        clock.now += 0.01
        rest(1.0)
    assert clock.slept == pytest.approx([0.01])


def test_standing_back_ends_with_its_context(clock: Clock) -> None:
    """An inner context ends, the outer goes on; outside nobody rests."""
    with standing_back():
        with pytest.raises(ValueError, match="work"), standing_back():
            raise ValueError("work")
        clock.now += 0.002
        rest()
    clock.now += 1.0
    rest()
    assert clock.slept == pytest.approx([0.008])


def test_other_threads_work_on(clock: Clock) -> None:
    """Standing back is a thread's own affair."""
    found: list[object] = []
    items = [1, 2]
    with standing_back():
        thread = threading.Thread(target=lambda: found.append(unhurried(items)))
        thread.start()
        thread.join()
    assert found[0] is items
    assert clock.slept == []
