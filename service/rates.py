"""A rate as people write it: `50/second`."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_RATE: Final = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")


def checked_rate(text: str) -> str:
    """Return `text`.

    Raises:
        ValueError: it is no rate.
    """
    if not _RATE.fullmatch(text):
        msg = "must be a number of requests and a time, such as 50/second (or minute, hour, day)"
        raise ValueError(msg)
    return text


def amount_of(rate: str) -> int:
    """Return how many requests a rate allows in its time."""
    return int(rate.partition("/")[0])


Rate = Annotated[str, AfterValidator(checked_rate)]
