"""How much is measured, and on which cores."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        port: for the service; peers take those behind it.
        turns: how often every measurement is repeated.
        seconds: of one.
        seed: of what is asked and when.
    """

    port: int
    turns: int
    seconds: float
    seed: int


def split_cores() -> tuple[frozenset[int], frozenset[int]]:
    """Return the cores of the service and that of the generator; none of either where there is only one core."""
    cores = sorted(os.sched_getaffinity(0))
    return (frozenset(cores[:-1]), frozenset(cores[-1:])) if len(cores) > 1 else (frozenset(), frozenset())
