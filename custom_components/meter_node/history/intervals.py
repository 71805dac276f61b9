"""Whole intervals of a capacity tariff, from the readings at their begin and end.

One that was dark in part is told to nobody: its energy is some other interval's, too. Must not
know tariffs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ..capacity_window import ClosedWindow
from .readings import Reading


class Intervals:
    """Finds them in readings that come in the order of their entries."""

    def __init__(self, register: str, interval_min: int) -> None:
        """Of a register, aligned to the hour of UTC."""
        self._register = register
        self._interval_s = interval_min * 60
        self._begun: tuple[int, int] | None = None
        self._end_s: int | None = None

    def take(self, readings: Iterable[Reading]) -> list[ClosedWindow]:
        """Return the intervals that these readings end; no reading in one may be missing."""
        found = []
        for reading in readings:
            if reading.begin_s != self._end_s:
                self._begun = None
            self._end_s = reading.end_s
            wh = reading.registers_wh.get(self._register)
            if wh is None or reading.end_s % self._interval_s:
                continue
            if self._begun is not None:
                begin_s, before_wh = self._begun
                if reading.end_s - begin_s == self._interval_s and wh >= before_wh:
                    start = datetime.fromtimestamp(begin_s, UTC)
                    found.append(ClosedWindow(start, wh - before_wh))
            self._begun = reading.end_s, wh
        return found
