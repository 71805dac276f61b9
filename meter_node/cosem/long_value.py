"""A value that may be too long to be made at once: its A-XDR in pieces, each soon made.

Must not know what it is a value of, nor in which blocks it travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LongValue:
    """One value; each time that it is iterated its pieces are made anew."""

    pieces: Callable[[], Iterator[bytes]]
    """Raises AccessError where what it is made of was changed meanwhile."""

    def __iter__(self) -> Iterator[bytes]:
        """Make the pieces, one when it is asked for."""
        return self.pieces()


type Data = bytes | LongValue
"""A-XDR, of a value that is short or of one that may be long."""


def pieces(data: Data) -> Iterator[bytes]:
    """Return the pieces of either."""
    return iter(data) if isinstance(data, LongValue) else iter((data,))
