"""What history is filled from: registers at moments, and who gives them. Must not know the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class SourceError(Exception):
    """A source does not give its readings now; ``reason`` is a key that tells why."""

    def __init__(self, reason: str, text: str) -> None:
        """``text``: for the log."""
        super().__init__(text)
        self.reason = reason


DELTAS = "deltas"
"""Reason: the rows hold what registers moved by; nothing tells what they stood at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Registers at the end of an interval, which began at ``begin_s`` (UTC seconds since 1970).

    Entry numbers rise by time of taking and are never given twice; stamps may go back, where a
    clock was set.
    """

    entry: int
    begin_s: int
    end_s: int
    registers_wh: Mapping[str, int]
    """By register key; one without a value is absent."""


type Base = Callable[[str], float]
"""By register key what is to be added to a register (Wh), where its sensor counts on from an
earlier one's total."""


class ProfileSource(Protocol):
    """Gives the readings that a meter, or whoever listened to it, has kept.

    A reading's end is when its registers stood so: who keeps a list that comes some seconds after
    the hour of which it tells gives the hour.
    """

    async def async_newest(self) -> Reading | None:
        """Return the last one, None where there is none. Raises SourceError."""

    def readings(self, since: int | None) -> AsyncIterator[Sequence[Reading]]:
        """Give all from an entry on, in bounded pieces and in the order of their entries.

        ``since`` None stands for the oldest; one that is not kept any more, for the next that is.
        Raises SourceError.
        """
