"""So many callers, each asking again as soon as it is answered: what a server can do at most.

Latency under a closed loop is `callers / rate` and says nothing of its own; `benchmarks.open_loop` measures that.
"""

import select
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks.wire import Address, Connection


@dataclass(frozen=True, slots=True)
class Rush:
    """What a closed loop came to.

    Attributes:
        answered: answers of status 200 in the measured time.
        seconds: of the measured time.
        statuses: all answers in the measured time, by status.
        client_cpu_s: processor seconds that the callers took of the cores they share with the server.
    """

    answered: int
    seconds: float
    statuses: dict[int, int]
    client_cpu_s: float

    @property
    def per_second(self) -> float:
        """Answers of status 200 a second."""
        return self.answered / self.seconds


def rush(address: Address, requests: Sequence[bytes], callers: int, seconds: float, warm_up_s: float = 1.0) -> Rush:
    """Let `callers` ask `requests`, one after the other and again from the first, in a process of their own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(rush_here, address, requests, callers, seconds, warm_up_s).result()


def rush_here(address: Address, requests: Sequence[bytes], callers: int, seconds: float, warm_up_s: float) -> Rush:
    """Let `callers` ask from this very process."""
    waiting = select.epoll()
    connections = {one.fileno(): one for one in (Connection(address) for _ in range(callers))}
    sent = 0
    for number, connection in connections.items():
        waiting.register(number, select.EPOLLIN)
        connection.send(requests[sent % len(requests)])
        sent += 1
    statuses: Counter[int] = Counter()
    began = time.perf_counter() + warm_up_s
    end, cpu_began = began + seconds, None
    while (left := end - time.perf_counter()) > 0:
        for number, _ in waiting.poll(left):
            answer = connections[number].receive()
            if answer is None:
                continue
            connections[number].send(requests[sent % len(requests)])
            sent += 1
            if began <= answer.at < end:
                cpu_began = cpu_began if cpu_began is not None else time.process_time()
                statuses[answer.status] += 1
    spent = time.process_time() - (cpu_began or 0.0)
    for connection in connections.values():
        connection.close()
    return Rush(statuses[200], seconds, dict(statuses), spent)
