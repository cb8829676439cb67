"""Stored float16 vectors to float32, several times faster than numpy's own conversion of single values."""

import numpy as np
from numpy.typing import NDArray

_SIGN = np.uint32(0x8000)
_REST = np.uint32(0x7FFF)
_REBIAS = np.float32(2.0**112)  # float16 has an exponent bias of 15, float32 of 127


def widened(half: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return `half` as float32, exactly, subnormal numbers too; values must be finite.

    The bits are moved to where float32 has them, and one multiplication corrects the exponent.
    """
    bits = np.ascontiguousarray(half).view(np.uint16).astype(np.uint32)
    sign = bits & _SIGN
    sign <<= np.uint32(16)
    bits &= _REST
    bits <<= np.uint32(13)
    bits |= sign
    wide = bits.view(np.float32)
    wide *= _REBIAS
    return wide
