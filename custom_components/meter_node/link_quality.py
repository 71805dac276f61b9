"""What share of a meter's pushes came and were good: arithmetic alone.

Must not know a clock, a channel or a meter: times, counters and intervals come in as arguments.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

WINDOW_MIN = 60
"""What is older does not count any more."""
_MINUTE_S = 60
_WINDOW_S = WINDOW_MIN * _MINUTE_S
_WIDEST_COUNT = 2
"""Counters that went on by more than so many times what the time allows tell of a meter that began
anew, which leaves numbers out, and not of frames that were lost."""


@dataclass(slots=True)
class _Minute:
    number: int
    came: int = 0
    lost: int = 0


def lost_between(gap_s: float, interval_s: float | None, counted: int | None) -> int:
    """Return how many pushes were lost between two that came one after the other.

    ``gap_s``: from one to the other, ``interval_s``: of the meter's pushes (None: not known yet),
    ``counted``: how far its invocation counter went on (None: it has none). The counter knows of
    pushes beside those of the interval, and of intervals that were changed.
    """
    if interval_s is None:
        return 0
    by_time = max(round(gap_s / interval_s), 1)
    if counted is not None and 1 <= counted <= _WIDEST_COUNT * by_time:
        return counted - 1
    return by_time - 1


class LinkQuality:
    """Counts by the minute what came and what was lost in the last hour, or since the start."""

    def __init__(self) -> None:
        """Begin to listen."""
        self._minutes: deque[_Minute] = deque()
        self._counter: int | None = None

    def take(
        self, at: datetime, gap_s: float | None, interval_s: float | None, counter: int | None
    ) -> None:
        """Count a good push that came now.

        ``gap_s``: since the last good one, None for the first; ``counter``: its invocation counter,
        None where it has none.
        """
        at_s = at.timestamp()
        self._forget(int(at_s // _MINUTE_S))
        if gap_s is not None:
            counted = None
            if counter is not None and self._counter is not None:
                counted = counter - self._counter
            self._lose(at_s, gap_s, lost_between(gap_s, interval_s, counted))
        self._counter = counter
        self._minute(at_s).came += 1

    @property
    def percent(self) -> int | None:
        """The share of what came, rounded down: 100 where nothing was lost. None before a push."""
        came = sum(minute.came for minute in self._minutes)
        lost = sum(minute.lost for minute in self._minutes)
        return 100 * came // (came + lost) if came + lost else None

    def _lose(self, at_s: float, gap_s: float, lost: int) -> None:
        """Count what was lost as if it had been sent at even times, the oldest first."""
        for number in range(1, lost + 1):
            lost_at_s = at_s - gap_s + gap_s * number / (lost + 1)
            if at_s - lost_at_s < _WINDOW_S:
                self._minute(lost_at_s).lost += 1

    def _forget(self, now: int) -> None:
        """Drop the minutes that are too old; all of them after this machine's clock went back."""
        if self._minutes and self._minutes[-1].number > now:
            self._minutes.clear()
        while self._minutes and self._minutes[0].number <= now - WINDOW_MIN:
            self._minutes.popleft()

    def _minute(self, at_s: float) -> _Minute:
        """Return the minute of a time that is no earlier than the last one."""
        number = int(at_s // _MINUTE_S)
        if not self._minutes or self._minutes[-1].number < number:
            self._minutes.append(_Minute(number))
        return self._minutes[-1]
