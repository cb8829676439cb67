"""Requests at a fixed rate, whatever becomes of the earlier ones: a Poisson process in a process of its own.

Latency counts from the moment a request was due, not from when it was sent, so a server that stalls is charged for
everyone who waited meanwhile (no coordinated omission). The generator measures its own lag, due to sent; where that
is not small, the run says nothing of the server and is thrown away. It runs at a higher priority where it may, since
it stands for callers who would not share the server's cores; the processor seconds it took of them are stated.
"""

import gc
import os
import select
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from benchmarks.wire import Address, Connection

PRIORITY = -10
GRACE_S = 2.0  # after the last deadline, until what is not answered counts as lost
NOBODY = -1
AT_ONCE = 16  # answers taken before it is looked whether a request is due
SOONEST_S = 0.2  # from the generator's start to the first request
LAG_S = 0.005
"""The most that 99 of 100 requests may leave late."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """What is asked of a server.

    Attributes:
        address: where it listens.
        requests: whole requests as bytes, sent one after the other and again from the first.
        per_second: mean rate.
        seconds: for how long requests become due.
        deadline_s: from due to answered; a later answer is late, and none is waited for much longer.
        seed: of the times between requests.
        keep_bodies: whether to keep what the answers say.
        connections: opened beforehand; a request that finds none free waits for one, and is charged for it.
        cores: that the generator is held to; none: all.
        begins: the first moment, by `time.perf_counter`, which all processes of a Linux machine share; 0: soon.
    """

    address: Address
    requests: Sequence[bytes]
    per_second: float
    seconds: float
    deadline_s: float
    seed: int
    keep_bodies: bool = False
    connections: int = 512
    cores: frozenset[int] = frozenset()
    begins: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """What an offer came to; `(n,)` each, in the order of being due.

    Attributes:
        offer: what was asked, without the requests; it says when it really began.
        due_s: when each request was due, from the first moment.
        lag_s: from due to sent.
        latency_s: from due to answered; infinite where no answer came.
        status: of HTTP; 0 where no answer came.
        bodies: of the answers, where they are kept.
        cpu_s: processor seconds that the generator took.
    """

    offer: Offer
    due_s: Floats
    lag_s: Floats
    latency_s: Floats
    status: NDArray[np.int16]
    bodies: list[bytes]
    cpu_s: float

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which requests were answered with 200 within the deadline."""
        good: NDArray[np.bool_] = (self.status == 200) & (self.latency_s <= self.offer.deadline_s)
        return good

    @property
    def late(self) -> int:
        """Answers of status 200 that came after their deadline."""
        return int(((self.status == 200) & (self.latency_s > self.offer.deadline_s)).sum())

    @property
    def goodput(self) -> float:
        """Good answers for each second of the offer."""
        return float(self.good.sum() / self.offer.seconds)

    @property
    def offered(self) -> float:
        """Requests that became due, for each second."""
        return len(self.due_s) / self.offer.seconds

    @property
    def kept_up(self) -> bool:
        """Whether the generator itself sent requests in time."""
        return bool(np.percentile(self.lag_s, 99) <= LAG_S)


def offer(asked: Offer) -> Run:
    """Send what is asked from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_offer, asked).result()


def arrivals(per_second: float, seconds: float, seed: int) -> Floats:
    """Return the times of a Poisson process of a rate, from 0 to `seconds`, in order."""
    rng = np.random.default_rng(seed)
    times: Floats = np.zeros(0)
    while not len(times) or times[-1] < seconds:
        gaps = rng.exponential(1 / per_second, size=max(16, int(per_second * seconds * 1.1)))
        times = np.concatenate([times, (times[-1] if len(times) else 0.0) + np.cumsum(gaps)])
    return times[times < seconds]


def _offer(asked: Offer) -> Run:
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    if asked.cores:
        os.sched_setaffinity(0, asked.cores)
    gc.disable()
    return send(asked)


def send(asked: Offer) -> Run:
    """Send what is asked from this very process."""
    generator = _Generator(asked)
    cpu_began = time.process_time()
    generator.run()
    return generator.result(time.process_time() - cpu_began)


class _Generator:
    """One loop that sleeps until a request is due or an answer comes."""

    def __init__(self, asked: Offer) -> None:
        self._asked = asked
        self._due = arrivals(asked.per_second, asked.seconds, asked.seed)
        n = len(self._due)
        self._lag, self._latency = np.zeros(n), np.full(n, np.inf)
        self._status = np.zeros(n, np.int16)
        self._bodies = [b""] * n if asked.keep_bodies else []
        self._epoll = select.epoll()
        self._idle: list[Connection] = []
        self._waiting: deque[int] = deque()  # requests that are due and have no connection yet
        self._asking: dict[int, tuple[int, Connection]] = {}  # of a socket: the request it carries, and its connection
        self._began = 0.0

    def run(self) -> None:
        """Send everything, and wait for the answers."""
        for _ in range(self._asked.connections):
            self._open()
        self._began = max(self._asked.begins, time.perf_counter() + SOONEST_S)
        for number, due in enumerate(self._due.tolist()):
            self._receive_until(self._began + due)
            self._lag[number] = time.perf_counter() - self._began - due
            self._waiting.append(number)
            self._send()
        end = self._began + self._asked.seconds + self._asked.deadline_s + GRACE_S
        while self._asking and time.perf_counter() < end:
            self._receive_until(min(end, time.perf_counter() + 0.01))
        for connection in [*self._idle, *(connection for _, connection in self._asking.values())]:
            connection.close()

    def _open(self) -> None:
        connection = Connection(self._asked.address)
        self._epoll.register(connection.fileno(), select.EPOLLIN)
        self._idle.append(connection)

    def _receive_until(self, moment: float) -> None:
        """Take answers until `moment`; `select` waits for microseconds, epoll for milliseconds."""
        self._take_all()
        while (left := moment - time.perf_counter()) > 0:
            if select.select([self._epoll], [], [], left)[0]:
                self._take_all()

    def _take_all(self) -> None:
        for socket, _ in self._epoll.poll(0, AT_ONCE):
            self._take(socket)

    def _send(self) -> None:
        """Send what is due while there are connections; what has missed its deadline is not sent any more."""
        while self._waiting and self._idle:
            number = self._waiting.popleft()
            if time.perf_counter() - self._began - self._due[number] > self._asked.deadline_s:
                continue
            connection = self._idle.pop()
            self._asking[connection.fileno()] = number, connection
            with suppress(OSError):  # the server has closed it, and epoll says so
                connection.send(self._asked.requests[number % len(self._asked.requests)])

    def _take(self, socket: int) -> None:
        """Take what came through a socket: an answer, a part of one, or the end of the connection."""
        number, connection = self._asking.get(socket) or (NOBODY, self._idle_one(socket))
        try:
            answer = connection.receive()
        except OSError:
            self._replace(socket, connection)
            return
        if answer is None or number == NOBODY:
            return
        self._latency[number] = answer.at - self._began - self._due[number]
        self._status[number] = answer.status
        if self._bodies:
            self._bodies[number] = answer.body
        if answer.keeps:
            del self._asking[socket]
            self._idle.append(connection)
        else:
            self._replace(socket, connection)
        self._send()

    def _idle_one(self, socket: int) -> Connection:
        return next(connection for connection in self._idle if connection.fileno() == socket)

    def _replace(self, socket: int, connection: Connection) -> None:
        """Open another connection for one that has ended; a request that it carried stays without an answer."""
        self._asking.pop(socket, None)
        self._idle = [one for one in self._idle if one is not connection]
        self._epoll.unregister(socket)
        connection.close()
        with suppress(OSError):  # a server that is gone answers nothing, which is what is measured
            self._open()

    def result(self, cpu_s: float) -> Run:
        """Return what came of it."""
        asked = replace(self._asked, requests=(), begins=self._began)
        return Run(asked, self._due, self._lag, self._latency, self._status, self._bodies, cpu_s)
