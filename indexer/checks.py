"""What was found out of a bundle: one check each, with what was measured, the bar, and a sentence that says both.

What is checked is left to `indexer.soundness` and `indexer.against`, what follows from it to `indexer.gate`.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from indexer.manifest import Space

NAMES: dict[Space, str] = {"text": "texts", "image": "pictures"}


class Check(BaseModel):
    """One thing that was looked at.

    Attributes:
        name: what, in one word or two joined by a slash: `rows/text`.
        outcome: `skipped` is neither good nor bad: it could not be looked at.
        says: a sentence with the value, the bar, and by how much it is missed.
        measured: the value, where it is one number.
        bar: what it is held to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    says: str
    measured: float | None = None
    bar: float | None = None

    @property
    def failed(self) -> bool:
        """Whether it speaks against the bundle."""
        return self.outcome == "failed"


def at_least(name: str, what: str, measured: float, bar: float, because: str = "") -> Check:
    """Return whether `measured` reaches `bar`; `because` is told where it does not."""
    if measured >= bar:
        return Check(name=name, outcome="passed", says=f"{what} is {measured:.3f}", measured=measured, bar=bar)
    says = f"{what} is {measured:.3f}, {bar - measured:.3f} below {bar:.3f}{because and f': {because}'}"
    return Check(name=name, outcome="failed", says=says, measured=measured, bar=bar)


def at_most(name: str, what: str, measured: float, bar: float, because: str = "") -> Check:
    """Return whether `measured` stays within `bar`; `because` is told where it does not."""
    if measured <= bar:
        return Check(name=name, outcome="passed", says=f"{what} is {measured:.3f}", measured=measured, bar=bar)
    says = f"{what} is {measured:.3f}, {measured - bar:.3f} above {bar:.3f}{because and f': {because}'}"
    return Check(name=name, outcome="failed", says=says, measured=measured, bar=bar)


def none_of(name: str, fine: str, faults: Sequence[str]) -> Check:
    """Return a check that fails with all `faults` there are, and says what is `fine` without any."""
    if not faults:
        return Check(name=name, outcome="passed", says=fine, measured=0, bar=0)
    return Check(name=name, outcome="failed", says="; ".join(faults), measured=len(faults), bar=0)


def skipped(name: str, why: str) -> Check:
    """Return what stands for a check that could not be made."""
    return Check(name=name, outcome="skipped", says=why)


def listed(things: Sequence[str], most: int = 5) -> str:
    """Return the first of some things, and how many more there are."""
    more = f" and {len(things) - most} more" if len(things) > most else ""
    return ", ".join(things[:most]) + more
