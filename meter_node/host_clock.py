"""Whether this machine's clock is synchronised, as its kernel says. Must not know the time."""

from __future__ import annotations

import ctypes
import sys

_ERROR = 5
"""TIME_ERROR of adjtimex(2): the clock is not synchronised."""
_LENGTH = 512
"""More than a struct timex takes on any architecture; zeros mean that nothing is to be set."""


def is_synchronised() -> bool:
    """Ask the kernel; False where it does not say."""
    if sys.platform != "linux":
        return False
    try:
        state: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_LENGTH))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _ERROR
