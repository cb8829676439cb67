"""How much is measured."""

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
