"""Freed memory back to the system: a bundle or a model that is no longer used is gigabytes that another may need."""

import ctypes
from contextlib import suppress


def give_back() -> None:
    """Return freed memory to the system, where the C library can (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
