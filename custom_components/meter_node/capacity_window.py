"""A counter cut into whole intervals on the meter's clock, and what the running one comes to.

An interval whose begin or end was missed is told to nobody: what was counted in the dark must not
be dumped into the next one, or it falsifies the month's peak. Must not know rules, months or a
clock: readings come in with the meter's time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

EDGE = timedelta(seconds=30)
"""A reading so near to a boundary stands for it: 30 s are 3 % of a quarter-hour at most, and what
one interval gains by it the other loses. Meters that send totals hourly do so just after the hour.
"""
STRADDLE = timedelta(minutes=2)
"""Between two readings no further apart the counter is taken to have run evenly."""
_HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ClosedWindow(NamedTuple):
    """A whole interval: when it began (UTC), and its energy."""

    start: datetime
    energy_wh: float


@dataclass(frozen=True, slots=True)
class RunningWindow:
    """The interval that runs, as of the last reading."""

    start: datetime
    end: datetime
    at: datetime
    energy_wh: float
    """Since its begin."""

    @property
    def mean_w(self) -> float | None:
        """The mean power so far; None in its first instant."""
        elapsed = self.at - self.start
        return self.energy_wh / (elapsed / _HOUR) if elapsed else None

    def projected_w(self, power_w: float | None) -> float | None:
        """Return the mean of the whole interval if it goes on with a power, or as so far."""
        going_on_w = self.mean_w if power_w is None else power_w
        if going_on_w is None:
            return None
        energy_wh = self.energy_wh + going_on_w * ((self.end - self.at) / _HOUR)
        return energy_wh / ((self.end - self.start) / _HOUR)

    def energy_left_wh(self, limit_w: float) -> float:
        """Return what may still be used while its mean stays under a limit, nothing at least."""
        return max(limit_w * ((self.end - self.start) / _HOUR) - self.energy_wh, 0.0)


class _Reading(NamedTuple):
    at: datetime
    total_wh: float


class Windows:
    """Intervals aligned to the hour of UTC, as the meter's own are."""

    def __init__(self, interval_min: int) -> None:
        """Begin with the first reading."""
        self._interval = timedelta(minutes=interval_min)
        self._last: _Reading | None = None
        self._start: datetime | None = None
        self._begin_wh: float | None = None  # None: its begin was missed
        self._since: datetime | None = None  # up to where the power was counted
        self._since_wh = 0.0  # by the power, since the last reading of the counter
        self._lost = False  # powers were missed since then

    @classmethod
    def from_state(cls, interval_min: int, kept: list[float | None]) -> Self:
        """Go on from a `state` of the same interval."""
        windows = cls(interval_min)
        match kept:
            case [float() | int() as at_s, float() | int() as total_wh, begin_wh]:
                at = _EPOCH + timedelta(seconds=at_s)
                windows._last = _Reading(at, total_wh)
                windows._start = windows._floor(at)
                windows._begin_wh = begin_wh
                windows._since = at
        return windows

    def state(self) -> list[float | None]:
        """Return what goes on after a restart; empty before the first reading."""
        if self._last is None:
            return []
        return [(self._last.at - _EPOCH).total_seconds(), self._last.total_wh, self._begin_wh]

    def advance(self, at: datetime, total_wh: float) -> list[ClosedWindow]:
        """Take a reading of the counter; return the interval that it closed, if it was whole."""
        at = at.astimezone(UTC)
        now, last = _Reading(at, total_wh), self._last
        if last is not None and at == last.at:
            return []
        self._since, self._since_wh, self._lost = at, 0.0, False
        self._last = now
        if last is None or self._start is None or total_wh < last.total_wh:
            self._begin(now, None)  # the first one, or the counter began anew
            return []
        if at < last.at:  # the clock was set back
            if at < max(self._start, last.at - EDGE):
                self._begin(now, None)
            return []
        end = self._start + self._interval
        if at < end:
            return []
        closed = []
        end_wh = _at_boundary(end, last, now)
        if end_wh is not None and self._begin_wh is not None:
            closed = [ClosedWindow(self._start, end_wh - self._begin_wh)]
        self._begin(now, last)
        return closed

    def shift(self, by_wh: float) -> None:
        """Raise the counter's level, by which nothing was used."""
        if self._last is not None:
            self._last = self._last._replace(total_wh=self._last.total_wh + by_wh)
        if self._begin_wh is not None:
            self._begin_wh += by_wh

    def estimate(self, at: datetime, power_w: float) -> None:
        """Count on by the power where a frame brings no counter; nothing is closed by it."""
        at = at.astimezone(UTC)
        if self._since is None or at <= self._since:
            return
        if at - self._since > STRADDLE:
            self._lost = True  # nobody knows what was used meanwhile
        self._since_wh += power_w * ((at - self._since) / _HOUR)
        self._since = at

    @property
    def running(self) -> RunningWindow | None:
        """The running interval; None where its begin was missed, or it ended unseen."""
        if self._last is None or self._start is None or self._begin_wh is None or self._lost:
            return None
        assert self._since is not None
        at = self._since
        end = self._start + self._interval
        if at >= end:
            return None
        used_wh = self._last.total_wh - self._begin_wh + self._since_wh
        return RunningWindow(self._start, end, at, max(used_wh, 0.0))

    def _begin(self, now: _Reading, last: _Reading | None) -> None:
        self._start = self._floor(now.at)
        self._begin_wh = _at_boundary(self._start, last, now)

    def _floor(self, at: datetime) -> datetime:
        return at - (at - _EPOCH) % self._interval


def _at_boundary(boundary: datetime, last: _Reading | None, now: _Reading) -> float | None:
    """Return where the counter stood at a boundary between two readings; None: not known."""
    if now.at == boundary:
        return now.total_wh
    if last is not None and last.at <= boundary and now.at - last.at <= STRADDLE:
        share = (boundary - last.at) / (now.at - last.at)
        return last.total_wh + share * (now.total_wh - last.total_wh)
    if now.at - boundary <= EDGE:
        return now.total_wh
    if last is not None and timedelta() <= boundary - last.at <= EDGE:
        return last.total_wh
    return None
