"""A capacity rule at work on one meter: the running interval, the month's peaks, what is billed.

Must not know entities, a clock or a store: readings come in with the meter's time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any

from .capacity_months import Billed, Months, Peak
from .capacity_window import ClosedWindow, Windows
from .channel.presets import Preset


@dataclass(frozen=True, slots=True)
class CapacityNow:
    """What is known at a moment; None where it is not."""

    currency: str = ""
    mean_w: float | None = None
    """Of the running interval so far."""
    projected_w: float | None = None
    """Of the whole interval, if it goes on with the present power."""
    energy_left_wh: float | None = None
    """In the interval, under the limit that the user set."""
    peaks: tuple[Peak, ...] = ()
    """Of the month, highest (weighed) first."""
    capacity_w: int | None = None
    charge: Decimal | None = None
    """Of one month."""


class Capacity:
    """One meter's capacity by the rule of a preset."""

    def __init__(
        self, preset: Preset, zone: tzinfo, limit_w: float | None, kept: Mapping[str, Any]
    ) -> None:
        """Go on from a `state` of the same rule, or begin anew. The preset has a rule."""
        assert preset.capacity is not None
        self._preset = preset
        self._rule = preset.capacity
        self._zone = zone
        self._limit_w = limit_w
        self._months = Months(preset, self._rule, zone)
        self._windows = Windows(self._rule.interval_min)
        self._billed: tuple[date, Billed] | None = None
        if kept.get("preset") == preset.id:
            self._months.restore(kept["months"])
            self._windows = Windows.from_state(self._rule.interval_min, kept["windows"])

    @property
    def preset_id(self) -> str:
        """Whose rule it is."""
        return self._preset.id

    @property
    def interval_min(self) -> int:
        """Of the rule."""
        return self._rule.interval_min

    def state(self) -> dict[str, Any]:
        """Return what goes on after a restart."""
        return {
            "preset": self._preset.id,
            "windows": self._windows.state(),
            "months": self._months.state(),
        }

    def take(self, at: datetime, total_wh: float | None, power_w: float | None) -> None:
        """Take a frame: the counter of import, and where it brings none the power."""
        if total_wh is not None:
            closed = self._windows.advance(at, total_wh)
            if closed:
                self.fill(closed)
        elif power_w is not None:
            self._windows.estimate(at, power_w)

    def shift(self, by_wh: float) -> None:
        """Go on from another level: from now on the counter of import stands so much higher."""
        self._windows.shift(by_wh)

    def fill(self, windows: Iterable[ClosedWindow]) -> None:
        """Take whole intervals that were missed, from a load profile; the same may come again."""
        self._months.add(windows)
        self._billed = None

    def now(self, moment: datetime, power_w: float | None) -> CapacityNow:
        """Return what is known; `power_w` is the present power of import."""
        today = moment.astimezone(self._zone).date()
        if self._billed is None or self._billed[0] != today:
            self._billed = (today, self._months.billed(moment))
        billed = self._billed[1]
        now = CapacityNow(
            self._preset.currency,
            peaks=billed.peaks,
            capacity_w=billed.capacity_w,
            charge=billed.charge,
        )
        running = self._windows.running
        if running is None:
            return now
        return replace(
            now,
            mean_w=running.mean_w,
            projected_w=running.projected_w(power_w),
            energy_left_wh=(
                None if self._limit_w is None else running.energy_left_wh(self._limit_w)
            ),
        )
