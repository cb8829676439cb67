"""The closed loop: callers that ask again as soon as they are answered."""

import pytest

from benchmarks.closed_loop import rush, rush_here
from benchmarks.wire import get


def test_callers_wait_for_their_answers(server):
    """Four callers whose answers take 0.1 s get at most 40 of them a second."""
    rushed = rush_here(server, [get("/slow")], callers=4, seconds=0.5, warm_up_s=0.05)
    assert rushed.answered in {12, 16, 20}  # all four by turns, and later than they should where the machine is busy
    assert rushed.per_second == pytest.approx(rushed.answered / 0.5)


@pytest.mark.clock
def test_only_answers_of_status_200_count(server):
    rushed = rush(server, [get("/ok"), get("/busy")], callers=2, seconds=0.3, warm_up_s=0.1)
    assert rushed.statuses[200] == rushed.answered > 0
    assert rushed.statuses[503] == pytest.approx(rushed.answered, abs=2)
    assert 0 < rushed.client_cpu_s < 2 * rushed.seconds
