"""The meter's own clock: stamps of the source in, times of the meter out.

The source's stamps are the oscillator; this clock adds what it was set by. Must not know where the
right time comes from, nor local time beyond whether daylight saving is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.refused import RefusedError

NANO = 10**9
_PPM = 10**6
EARLIEST_NS = 1_577_836_800 * NANO
LATEST_NS = 4_102_444_800 * NANO
"""From 2020 on and before 2100: any other time is a mistake."""


class ClockSettings(BaseModel):
    """How the clock is set: up to `slew_limit_s` it is slewed, beyond it steps.

    `slew_ppm` is how fast it is slewed: 500 ppm, as time daemons do, move a second in 33 minutes.
    `reserve_h`: after a longer time without power the time is only believed when it is set or
    confirmed (the maker's reserve is 48 h at least).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    slew_limit_s: float = Field(2.0, ge=0, le=60)
    slew_ppm: int = Field(500, ge=1, le=10_000)
    reserve_h: int = Field(48, ge=1, le=24 * 366)


@dataclass(frozen=True, slots=True)
class Placed:
    """One measurement's time by the meter: UTC in ns, and what is to be known about it.

    `gap`: nothing was measured before it. `turned_back`: the source's own time went back, which
    nobody commanded here.
    """

    start_ns: int
    end_ns: int
    gap: bool
    turned_back: bool


class MeterClock:
    """Time by the meter. A clock that was lost is not `valid` until it is set or confirmed."""

    # The pieces of a stream follow each other within this; more is a gap, or a step backwards.
    TOLERANCE_NS = NANO // 2

    def __init__(
        self,
        settings: ClockSettings,
        local: LocalTime,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        kept = kept or {}
        self.settings = settings
        self._local = local
        self._offset_ns: int = kept.get("offset_ns", 0)
        self._slew_ns: int = kept.get("slew_ns", 0)
        self._source_ns: int = kept.get("source_ns", 0)
        self._end_ns: int = kept.get("end_ns", 0)
        self._summer: bool | None = kept.get("summer")
        self._step_ns: int = kept.get("step_ns", 0)
        self.valid: bool = kept.get("valid", True)

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "offset_ns": self._offset_ns,
            "slew_ns": self._slew_ns,
            "source_ns": self._source_ns,
            "end_ns": self._end_ns,
            "summer": self._summer,
            "step_ns": self._step_ns,
            "valid": self.valid,
        }

    @property
    def now_ns(self) -> int:
        """The end of what was placed last; 0 before anything was."""
        return self._end_ns + self._step_ns

    @property
    def now_s(self) -> int:
        """The same to the nearest second."""
        return round(self.now_ns / NANO)

    @property
    def deviation_ns(self) -> int:
        """What is still to be slewed: the right time less the meter's."""
        return self._slew_ns

    def place(self, start_ns: int, end_ns: int) -> Placed:
        """Return when a measurement with these stamps of its source was, by the meter."""
        before_ns = self._source_ns
        first = not before_ns
        back = not first and start_ns < before_ns - self.TOLERANCE_NS
        gap = first or start_ns > before_ns + self.TOLERANCE_NS
        self._offset_ns += self._step_ns
        self._step_ns = 0
        at_ns = start_ns + self._offset_ns
        # A slew is part of how long the step lasts; its pieces still meet.
        if self._slew_ns:
            most_ns = (end_ns - start_ns) * self.settings.slew_ppm // _PPM
            moved_ns = max(-most_ns, min(most_ns, self._slew_ns))
            self._offset_ns += moved_ns
            self._slew_ns -= moved_ns
        self._source_ns, self._end_ns = end_ns, end_ns + self._offset_ns
        return Placed(at_ns, self._end_ns, gap, back)

    def wake(self, start_ns: int, trusted: bool) -> list[Event]:
        """Judge the time after a start: `trusted` where the source's stamps are known to be right.

        Without that, a time is believed only within the reserve since the meter was on last, and a
        new meter's where it can be at all. A time that has gone back (a machine without a clock
        begins in 1970) is none: the meter's goes on from where it was, flagged.
        """
        at_ns = start_ns + self._offset_ns
        if trusted:
            return self.confirm(at_ns)
        events: list[Event] = []
        dark_ns = start_ns - self._source_ns
        if self._source_ns:
            believed = 0 <= dark_ns <= self.settings.reserve_h * 3600 * NANO
        else:
            believed = at_ns >= EARLIEST_NS
        if not believed:
            if at_ns < max(self._end_ns, EARLIEST_NS):
                at_ns = max(self._end_ns, EARLIEST_NS)
                self._offset_ns = at_ns - start_ns
                # How long it was dark nobody knows: a gap, of no length.
                self._source_ns = start_ns - 2 * self.TOLERANCE_NS
            if self.valid:
                self.valid = False
                events.append(Event.of("clock_invalid", _seconds(at_ns)))
        return events

    def trust(self, start_ns: int) -> list[Event]:
        """The source's stamps are known to be right from this one on; before, the clock was lost.

        The meter's time becomes theirs: a step of the clock and no gap, however far they jumped.
        """
        old_s, new_s = self.now_s, _seconds(start_ns)
        self._offset_ns = self._slew_ns = self._step_ns = 0
        self._source_ns = self._end_ns = start_ns
        self.valid = True
        if old_s == new_s:
            return [Event.of("clock_new", new_s, "confirmed")]
        return [Event.of("clock_old", old_s, "source"), Event.of("clock_new", new_s, "source")]

    def confirm(self, at_ns: int) -> list[Event]:
        """The time as it runs is known to be right: a clock that was lost is valid again."""
        if self.valid:
            return []
        self.valid = True
        return [Event.of("clock_new", _seconds(at_ns), "confirmed")]

    def set(self, to_ns: int, who: str) -> list[Event]:
        """Set the clock to this time, as of the end of the last step.

        Small deviations are slewed and no event; others step with the next measurement, which ends
        the running interval, and old and new time are logged. Raises RefusedError before the first
        measurement: there is no time yet that could be wrong.
        """
        if not self._source_ns:
            raise RefusedError("nothing was measured yet: the clock runs from the first second on")
        if not EARLIEST_NS <= to_ns < LATEST_NS:
            raise RefusedError(f"a time of {to_ns // NANO} s since 1970; possible are 2020 to 2099")
        difference_ns = to_ns - self.now_ns
        small = abs(difference_ns) <= self.settings.slew_limit_s * NANO
        if self.valid and small:
            self._slew_ns = difference_ns
            return []
        old_s = self.now_s
        self._slew_ns = 0
        self._step_ns += difference_ns
        self.valid = True
        return [
            Event.of("clock_old", old_s, who),
            Event.of("clock_new", _seconds(to_ns), f"{who}, {difference_ns / NANO:+.1f} s"),
        ]

    def daylight_saving(self, start_s: int) -> list[Event]:
        """The event with which daylight saving begins or ends; to be asked at every step."""
        summer = self._local.is_summer(start_s)
        before, self._summer = self._summer, summer
        if before is None or before is summer:
            return []
        return [Event.of("daylight_saving", start_s, "+1 h" if summer else "-1 h")]


def _seconds(at_ns: int) -> int:
    return round(at_ns / NANO)
