"""Rejected rows of a build: written down as they are met, and too many of them end it.

Finding what is wrong with a row is left to `indexer.catalogue` and `indexer.encode`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from indexer.catalogue import RejectedRow

REJECTS = "rejects.jsonl"


class BuildError(RuntimeError):
    """A build that cannot go on; nothing was left behind that could be taken for a bundle."""


@dataclass(frozen=True, slots=True)
class BadRowLimit:
    """How many rows of a catalogue may be rejected before the build is refused.

    Attributes:
        rows: a number of rows; None: any number.
        share: a share of all rows, known only at the catalogue's end; None: not limited so.
    """

    rows: int | None = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0`, `25`, `-1` (any number) or `5%`.

        Raises:
            ValueError: it is none of these.
        """
        stripped = text.strip()
        if stripped.endswith("%"):
            share = float(stripped[:-1]) / 100
            if not 0 <= share <= 1:
                msg = f"a share of rows lies between 0% and 100%: {text}"
                raise ValueError(msg)
            return cls(rows=None, share=share)
        rows = int(stripped)
        return cls(rows=None if rows < 0 else rows)

    def problem(self, rejected: int, rows: int, *, at_end: bool) -> str | None:
        """Return why `rejected` of `rows` rows are too many, None if they are not."""
        if self.rows is not None and rejected > self.rows:
            return f"{rejected} bad row{'' if rejected == 1 else 's'}, {self.rows} allowed"
        if at_end and self.share is not None and rejected > self.share * rows:
            return f"{rejected} of {rows} rows are bad, {self.share:.1%} allowed"
        return None


class RejectWriter:
    """Writes rejected rows as they are met and raises when there are too many; a context manager."""

    def __init__(self, path: Path, limit: BadRowLimit) -> None:
        self._file = path.open("wb")
        self._path = path
        self._limit = limit
        self.count = 0

    def add(self, rejected: RejectedRow, accepted: int) -> None:
        """Note a rejected row.

        Raises:
            BuildError: it is one too many.
        """
        self.count += 1
        row = {name: getattr(rejected, name) for name in ("row", "line", "id", "field", "reason")}
        self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
        problem = self._limit.problem(self.count, accepted + self.count, at_end=False)
        if problem:
            msg = f"{problem}; the last: {rejected} (--max-bad-rows allows more; all in {self._path})"
            raise BuildError(msg)

    def check_share(self, accepted: int) -> None:
        """Judge the whole catalogue.

        Raises:
            BuildError: too large a share of its rows is bad.
        """
        problem = self._limit.problem(self.count, accepted + self.count, at_end=True)
        if problem:
            msg = f"{problem} (--max-bad-rows allows more; all in {self._path})"
            raise BuildError(msg)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
