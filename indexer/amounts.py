"""Amounts as people write them: `100M` products, `8GiB` of memory; and back."""

import math
import re
from typing import Any, Final

import click

_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([a-zA-Z]*)\s*")
_COUNTS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
_SIZES: Final = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12} | {
    f"{letter}ib": 2**power for letter, power in (("k", 10), ("m", 20), ("g", 30), ("t", 40))
}
_STEPS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def count_of(text: str) -> int:
    """Return the number that `2000`, `1.5k`, `100M` or `2G` means.

    Raises:
        ValueError: it means none.
    """
    return _parsed(text, _COUNTS, "a number such as 2000, 50k or 100M")


def bytes_of(text: str) -> int:
    """Return the bytes that `8GiB`, `512MB` or `1000000` means.

    Raises:
        ValueError: it means none.
    """
    return _parsed(text, _SIZES, "a size such as 8GiB, 512MiB or 64GB")


def size(bytes_: float) -> str:
    """Return bytes in words: `1.4 GiB`."""
    step = 0
    while bytes_ >= 1024 and step + 1 < len(_STEPS):
        bytes_, step = bytes_ / 1024, step + 1
    return f"{bytes_:.0f} {_STEPS[step]}" if step == 0 else f"{bytes_:.1f} {_STEPS[step]}"


def _parsed(text: str, units: dict[str, int], wanted: str) -> int:
    found = _AMOUNT.fullmatch(text)
    unit = units.get(found[2].lower()) if found else None
    if found is None or unit is None:
        msg = f"{text!r}: expected {wanted}"
        raise ValueError(msg)
    value = float(found[1]) * unit
    if not 1 <= value < math.inf:
        msg = f"{text!r}: expected {wanted}, more than nothing"
        raise ValueError(msg)
    return round(value)


class Count(click.ParamType[int]):
    """A flag's number of things."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Return the number."""
        try:
            return value if isinstance(value, int) else count_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Size(click.ParamType[int]):
    """A flag's number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:  # noqa: ANN401 - click's
        """Return the bytes."""
        try:
            return value if isinstance(value, int) else bytes_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
