"""What history is filled from: registers at moments, and who gives them. Must not know the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
    """By register key, as the meter said it; one without a value is absent."""


type Shown = Callable[[str, int, float], float]
"""By register key, moment (UTC seconds) and what it stood at then (Wh): what its sensor showed,
which counts on from an earlier total where the register once went back."""


def as_shown(reading: Reading, shown: Shown) -> Reading:
    """Return a reading as sensors showed it."""
    registers_wh = {
        key: round(shown(key, reading.end_s, wh)) for key, wh in reading.registers_wh.items()
    }
    return replace(reading, registers_wh=registers_wh)


class ProfileSource(Protocol):
    """Gives the readings that a meter, or whoever listened to it, has kept.

    A reading's end is when its registers stood so: who keeps a list that comes some seconds after
    the hour of which it tells gives the hour.
    """

    async def async_newest(self) -> Reading | None:
        """Return the last one, None where there is none. Raises SourceError."""

    def readings(self, since: int | None) -> AsyncIterator[Sequence[Reading]]:
        """Give all from an entry on, in bounded pieces and in the order of their entries.

        ``since`` None stands for the oldest; one that is not kept any more, for the next that is;
        from one above the newest on there are none. Raises SourceError.
        """
