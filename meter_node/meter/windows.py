"""Intervals on the meter's clock: when they begin and end, and what they have seen.

Demand, profiles and interval means all close by these, so that they agree. Must not know what is
counted in an interval, nor who sets the clock.

Intervals are aligned to the hour of UTC. Local offsets are multiples of 15 min, so this is the
hour on the wall wherever the zone is a whole number of hours from UTC; elsewhere intervals of 5 and
15 min are aligned on the wall as well, longer ones to the hour of UTC. As stamps are UTC, the
nights of daylight saving come out with 92 and 100 quarters by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from meter_node.channel.profile_status import (
    CLOCK_ADJUSTED,
    CLOCK_INVALID,
    DATA_NOT_VALID,
    DAYLIGHT_SAVING,
    ERROR,
    POWER_DOWN,
)
from meter_node.meter.local_time import MINUTE_S, LocalTime
from meter_node.meter.step import Step


@dataclass(frozen=True, slots=True)
class Window:
    """One interval that has ended (UTC seconds), of which `measured_s` were measured.

    It ends at a boundary, or where a step of the clock cut it. `status` has the bits of
    `channel.profile_status`.
    """

    begin_s: int
    end_s: int
    measured_s: int
    status: int


_NOTHING: tuple[Window, ...] = ()


class Windows:
    """The running interval. It is fed with every step; intervals without any are never told.

    Whoever owns one asks `follows` first and calls `resume` where the answer is no.
    """

    __slots__ = ("_dark_s", "_local", "_status", "begin_s", "end_s", "interval_s", "last_s")

    def __init__(
        self, interval_min: int, local: LocalTime, kept: Mapping[str, Any] | None = None
    ) -> None:
        """Begin anew, or go on from a `state` of the same interval."""
        self._local = local
        self.interval_s = interval_min * MINUTE_S
        self.begin_s = 0
        self.end_s = 0
        self.last_s: int | None = None
        """Up to where has been measured; None until the first step."""
        self._dark_s = 0
        self._status = 0
        if kept is not None:
            self.begin_s = kept["begin_s"]
            self.end_s = kept["end_s"]
            self.last_s = kept["last_s"]
            self._dark_s = kept["dark_s"]
            self._status = kept["status"]

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "last_s": self.last_s,
            "dark_s": self._dark_s,
            "status": self._status,
        }

    @property
    def measured_s(self) -> int:
        """Seconds of the running interval that were measured."""
        return 0 if self.last_s is None else self.last_s - self.begin_s - self._dark_s

    def is_whole(self, window: Window) -> bool:
        """Whether every second of a full interval was measured."""
        return window.measured_s >= self.interval_s

    def follows(self, step: Step) -> bool:
        """Whether the step begins where the one before ended, nothing missing in between."""
        return step.start_s == self.last_s and not step.gap

    def resume(self, start_s: int) -> tuple[Window, ...]:
        """Go on at `start_s` after a time without measurement; give the interval that it ended.

        What lies in the dark is flagged where a part of the interval was measured, else absent.
        To call it twice does nothing more. A clock that has gone back without `clock_changed` is
        taken for one that was set.
        """
        last_s = self.last_s
        if last_s is None:
            self._begin_within(start_s)
            return _NOTHING
        if start_s < last_s:
            return self.clock_changed(last_s, start_s)
        if start_s < self.end_s:
            # A cut of less than half a second darkens no whole second, but energy is missing.
            if start_s > last_s or self.measured_s:
                self._status |= POWER_DOWN
            self._dark_s += start_s - last_s
            self.last_s = start_s
            return _NOTHING
        closed = _NOTHING
        if self.measured_s:
            self._dark_s += self.end_s - last_s
            self._status |= POWER_DOWN
            self.last_s = self.end_s
            closed = (self._closed(self.end_s),)
        self._begin_within(start_s)
        return closed

    def advance(self, step: Step, fault: bool = False) -> tuple[Window, ...]:
        """Count a step that `follows`; give the intervals that end with it.

        A step across a boundary is measured time of both intervals; what it measured belongs to
        the first. `fault`: a self-test has failed.
        """
        end_s = step.end_s
        self.last_s = end_s
        if fault:
            self._status |= ERROR
        if not step.clock_valid:
            self._status |= CLOCK_INVALID
        for phase in step.measurement.phases:
            if phase.clipped:
                self._status |= DATA_NOT_VALID
        if end_s < self.end_s:
            return _NOTHING
        closed: list[Window] = []
        while end_s >= self.end_s:
            self.last_s = self.end_s
            closed.append(self._closed(self.end_s))
            self._begin(self.end_s, 0)
        self.last_s = end_s
        return tuple(closed)

    def clock_changed(self, old_s: int, new_s: int) -> tuple[Window, ...]:
        """The clock was set: the running interval ends at the old time, a new one begins.

        Both are flagged, and the new one runs to its next boundary. Of the old one nothing is told
        where nothing was measured in it.
        """
        if self.last_s is None:
            return _NOTHING
        closed = self.resume(old_s) if old_s > self.last_s else _NOTHING
        if self.measured_s:
            self._status |= CLOCK_ADJUSTED
            closed = (*closed, self._closed(self.last_s))
        self._begin(new_s, CLOCK_ADJUSTED)
        return closed

    def _closed(self, end_s: int) -> Window:
        summer = DAYLIGHT_SAVING if self._local.is_summer(self.begin_s) else 0
        return Window(self.begin_s, end_s, self.measured_s, self._status | summer)

    def _begin(self, begin_s: int, status: int) -> None:
        self.begin_s = self.last_s = begin_s
        self.end_s = begin_s - begin_s % self.interval_s + self.interval_s
        self._dark_s = 0
        self._status = status

    def _begin_within(self, start_s: int) -> None:
        """Begin the interval in which `start_s` lies, as dark until then."""
        self._begin(start_s - start_s % self.interval_s, 0)
        self._dark_s = start_s - self.begin_s
        self.last_s = start_s
        if self._dark_s:
            self._status = POWER_DOWN


def check_interval(interval_min: int, possible: tuple[int, ...]) -> int:
    """Return the interval (min). Raises ValueError for one that is not possible."""
    if interval_min not in possible:
        raise ValueError(
            f"an interval of {interval_min} min; possible are {', '.join(map(str, possible))} min"
        )
    return interval_min


def month_of(local: LocalTime, utc_s: int) -> int:
    """The month on the wall as a number that grows by one a month."""
    day = local.day(utc_s)
    return day.year * 12 + day.month - 1


def next_midnight_s(local: LocalTime, utc_s: int) -> int:
    """The first local midnight after this moment, in UTC seconds."""
    return _midnight_s(local, local.day(utc_s) + timedelta(days=1))


def next_month_s(local: LocalTime, utc_s: int) -> int:
    """The next local midnight that begins a month, in UTC seconds."""
    following = month_of(local, utc_s) + 1
    return _midnight_s(local, date(following // 12, following % 12 + 1, 1))


def _midnight_s(local: LocalTime, day: date) -> int:
    return round(datetime.combine(day, time(), tzinfo=local.zone).timestamp())
