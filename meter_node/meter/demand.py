"""Block demand: mean power of whole intervals, and the month's highest with its time.

Registers 1.4.0 and 2.4.0 (running), 1.5.0 and 2.5.0 (last interval), 1.6.0 and 2.6.0 (month's
maximum). All are integer milliwatts, by integer arithmetic from nWh, truncated. Must not know which
summation feeds it, nor tariffs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from meter_node.meter.local_time import LocalTime
from meter_node.meter.step import Step
from meter_node.meter.windows import Windows, check_interval, month_of, next_month_s

DEMAND_INTERVALS_MIN = (5, 10, 15, 20, 30, 60)
# nWh in an hour to milliwatts.
_NWH_PER_MWH = 10**6
SECONDS_PER_HOUR = 3600
MONTHS_SHOWN = 13
"""Of how many months before the running one the maxima are shown: as many as a Flemish meter has to
show, whose bill goes by a year of them."""
MONTHS_KEPT = 1 + MONTHS_SHOWN
"""Of how many months the maxima are kept, those measured last. A month that a clock was set to by
mistake is one of them, so the true one survives thirteen wrong ones."""


class DemandSettings(BaseModel):
    """The interval of demand: 5, 10, 15, 20, 30 or 60 min."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    interval_min: int = 15

    @field_validator("interval_min")
    @classmethod
    def _possible(cls, interval_min: int) -> int:
        return check_interval(interval_min, DEMAND_INTERVALS_MIN)


@dataclass(frozen=True, slots=True)
class Peak:
    """A demand in mW and the end of its interval: UTC, and local time less UTC then.

    The stamp itself knows no daylight saving; who shows it adds the offset.
    """

    demand_mw: int
    time_s: int
    offset_s: int


class DirectionDemand:
    """Demand of one direction, import or export."""

    __slots__ = ("_energy_nwh", "_local", "_maxima", "_month", "_windows", "last")

    def __init__(
        self,
        windows: Windows,
        local: LocalTime,
        month: int | None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin anew in the running month (`month_of`), or go on in it from a `state`."""
        self._windows = windows
        self._local = local
        self._month = month
        kept = kept or {}
        self._energy_nwh: int = kept.get("energy_nwh", 0)
        self.last = _peak(kept.get("last"))
        """The last whole interval; None before the first."""
        self._maxima: dict[int, Peak] = {}
        """Month to its maximum, the month that was measured last at the end."""
        if "maxima" in kept:
            self._maxima = {month: Peak(*plain) for month, *plain in kept["maxima"]}
        else:
            # A state of before maxima were kept by month: of the month before and the running one.
            for peak in (_peak(kept.get("previous_maximum")), _peak(kept.get("maximum"))):
                if peak is not None:
                    self._enter(peak)

    @property
    def past_maxima(self) -> tuple[Peak, ...]:
        """Those of the months before the running one, the newest first.

        A month without one is left out, and so is one after the running month: a clock that was set
        by mistake made it.
        """
        if self._month is None:
            return ()
        shown = range(self._month - MONTHS_SHOWN, self._month)
        months = sorted((month for month in self._maxima if month in shown), reverse=True)
        return tuple(self._maxima[month] for month in months)

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "energy_nwh": self._energy_nwh,
            "last": _plain(self.last),
            "maxima": [
                [month, peak.demand_mw, peak.time_s, peak.offset_s]
                for month, peak in self._maxima.items()
            ],
        }

    @property
    def maximum(self) -> Peak | None:
        """The highest whole interval of the running month; None before its first.

        Of equals the first.
        """
        return None if self._month is None else self._maxima.get(self._month)

    @property
    def previous_maximum(self) -> Peak | None:
        """That of the calendar month before; None where nothing was measured in it.

        An older month's would be read, and billed, as last month's.
        """
        return None if self._month is None else self._maxima.get(self._month - 1)

    @property
    def running_mw(self) -> int:
        """The interval's energy so far over the whole interval: it grows from 0 to the demand."""
        return _demand_mw(self._energy_nwh, self._windows.interval_s)

    def add(self, energy_nwh: int) -> None:
        """Book to the running interval."""
        self._energy_nwh += energy_nwh

    def close(self, end_s: int, offset_s: int) -> None:
        """End a whole interval."""
        self.last = Peak(self.running_mw, end_s, offset_s)
        self._enter(self.last)
        self._energy_nwh = 0

    def drop(self) -> None:
        """End an interval that was not measured wholly: it sets nothing."""
        self._energy_nwh = 0

    def turn_to(self, month: int) -> None:
        """Make this the running month, whether it comes for the first time or again."""
        self._month = month

    def begin_anew(self) -> None:
        """Forget running, last and the running month's maximum: the interval has another length.

        Those of the months before stay, as what was billed.
        """
        self._energy_nwh = 0
        self.last = None
        self._maxima = {
            month: peak
            for month, peak in self._maxima.items()
            if self._month is not None and month < self._month
        }

    def _enter(self, peak: Peak) -> None:
        """Hold it against the maximum of the month of its stamp."""
        # What ends at midnight of the first was measured in the month before.
        month = month_of(self._local, peak.time_s - 1)
        maximum = self._maxima.pop(month, None)
        if maximum is None or peak.demand_mw > maximum.demand_mw:
            maximum = peak
        self._maxima[month] = maximum
        for measured_before in [*self._maxima][:-MONTHS_KEPT]:
            if measured_before != self._month:
                del self._maxima[measured_before]


class Demand:
    """Import and export demand.

    Rules: an interval with a part in the dark, or cut by a step of the clock, sets no maximum
    (facts, expectation 7); the interval that ends at local midnight of the first belongs to the
    month before. The maximum begins anew with the first step after that midnight, so that a
    snapshot at midnight still has it.

    A maximum belongs to the month of its stamp, and those of some months are kept: a clock that was
    set by mistake to another month, however far, shows that month's, and once it is corrected the
    true month's comes back. What was measured under the wrong time stays with the wrong month.
    With a clock that is not valid a month never ends: 1.6.0 stays with it, and what is measured
    meanwhile shows once the clock is confirmed, if its stamps were right.
    """

    def __init__(
        self,
        settings: DemandSettings,
        local: LocalTime,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """Begin anew, or go on from a `state`: one of another interval as `reconfigure` does."""
        self.settings = settings
        self._local = local
        kept = kept or {}
        same = kept.get("interval_min") == settings.interval_min
        self._windows = Windows(settings.interval_min, local, kept.get("windows") if same else None)
        self._month: int | None = kept.get("month")
        self._month_end_s: int = kept.get("month_end_s", 0)
        self._make_directions(kept.get("import"), kept.get("export"))
        if kept and not same:
            self.imported.begin_anew()
            self.exported.begin_anew()

    def state(self) -> dict[str, Any]:
        """All that has to outlive a power cut."""
        return {
            "interval_min": self.settings.interval_min,
            "windows": self._windows.state(),
            "import": self.imported.state(),
            "export": self.exported.state(),
            "month": self._month,
            "month_end_s": self._month_end_s,
        }

    @property
    def registers_mw(self) -> dict[str, int]:
        """The six registers by key, in mW; 0 where there is no interval yet."""
        values: dict[str, int] = {}
        for name, demand in (("import", self.imported), ("export", self.exported)):
            values[f"{name}_active_demand"] = demand.running_mw
            values[f"{name}_active_demand_last"] = demand.last.demand_mw if demand.last else 0
            values[f"{name}_active_demand_maximum"] = (
                demand.maximum.demand_mw if demand.maximum else 0
            )
        return values

    @property
    def maxima_s(self) -> dict[str, int]:
        """By key of a maximum the end of its interval (UTC); absent before the month's first."""
        return {
            f"{name}_active_demand_maximum": demand.maximum.time_s
            for name, demand in (("import", self.imported), ("export", self.exported))
            if demand.maximum is not None
        }

    @property
    def past_maxima(self) -> dict[str, tuple[Peak, ...]]:
        """By key of a maximum those of the months before, the newest first."""
        return {
            f"{name}_active_demand_maximum": demand.past_maxima
            for name, demand in (("import", self.imported), ("export", self.exported))
        }

    def advance(self, step: Step, import_nwh: int, export_nwh: int) -> None:
        """Book a step's energies, both at least 0, of the summation that feeds 1.8.0."""
        windows = self._windows
        if not windows.follows(step) and (windows.resume(step.start_s) or not windows.measured_s):
            self.imported.drop()
            self.exported.drop()
        if step.start_s >= self._month_end_s and (step.clock_valid or self._month is None):
            self._turn_to_month(step.start_s)
        if import_nwh:
            self.imported.add(import_nwh)
        if export_nwh:
            self.exported.add(export_nwh)
        for window in windows.advance(step):
            if windows.is_whole(window):
                offset_s = self._local.offset_s(window.end_s)
                self.imported.close(window.end_s, offset_s)
                self.exported.close(window.end_s, offset_s)
            else:
                self.imported.drop()
                self.exported.drop()

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """The clock was set: the running interval is cut, and so sets no maximum."""
        self._windows.clock_changed(old_s, new_s)
        self.imported.drop()
        self.exported.drop()
        # Forward the month turns with the next step: a snapshot of the change has what it was.
        if self._month is not None and month_of(self._local, new_s) < self._month:
            self._turn_to_month(new_s)

    def reconfigure(self, settings: DemandSettings) -> None:
        """Take another interval. Running, last and the month's maximum begin anew.

        Demands over intervals of different lengths cannot be compared; what the maximum was is in
        the snapshot that billing takes before parameters change.
        """
        if settings == self.settings:
            return
        self.settings = settings
        last_s = self._windows.last_s
        fresh = Windows(settings.interval_min, self._local)
        if last_s is not None:
            fresh.resume(last_s)
        self._windows = fresh
        self._make_directions(self.imported.state(), self.exported.state())
        self.imported.begin_anew()
        self.exported.begin_anew()

    def _make_directions(
        self, imported: Mapping[str, Any] | None, exported: Mapping[str, Any] | None
    ) -> None:
        windows, local, month = self._windows, self._local, self._month
        self.imported = DirectionDemand(windows, local, month, imported)
        self.exported = DirectionDemand(windows, local, month, exported)

    def _turn_to_month(self, at_s: int) -> None:
        month = month_of(self._local, at_s)
        self.imported.turn_to(month)
        self.exported.turn_to(month)
        self._month = month
        self._month_end_s = next_month_s(self._local, at_s)


def _demand_mw(energy_nwh: int, seconds: int) -> int:
    return energy_nwh * SECONDS_PER_HOUR // (seconds * _NWH_PER_MWH)


def _plain(peak: Peak | None) -> list[int] | None:
    return None if peak is None else [peak.demand_mw, peak.time_s, peak.offset_s]


def _peak(plain: list[int] | None) -> Peak | None:
    return None if plain is None else Peak(*plain)
