"""What the metrology's detectors find, as the meter's events and as counters of each phase.

Must not know limits' effects, breakers or who is told. The detectors' stamps are of the source's
clock; here they are put on the meter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, model_validator

from meter_node.channel.event_codes import BY_NAME
from meter_node.meter.bounds import within
from meter_node.meter.event import Event
from meter_node.meter.local_time import DAY_S, LocalTime
from meter_node.meter.step import Step
from meter_node.metrology.events import EventKind, Limit, Limits, QualityEvent

NANO = 10**9
NS_PER_MS = 10**6
LONGEST_DELAY_S = 3600
OVER_CURRENT_PERCENT, OVER_CURRENT_RELEASE_PERCENT = 105, 103
_Delay = Annotated[int, within(0, LONGEST_DELAY_S, "a delay of {}")]
REVERSED = Limit(-20, -10, 10)
FAILURES_KEPT = 10
"""Entries of the power-failure log (1.0.99.97.0): our own choice, as many as DSMR meters keep."""


class QualitySettings(BaseModel):
    """What is watched for. Levels in per cent of `nominal_v`, delays in whole seconds.

    The maker's: power cut below 160 V for 1 s, under- and over-voltage at 10 % with 2 % hysteresis
    after 60 and 15 s, a long failure above 3 min. Sag, swell and interruption: IEC 61000-4-30.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    nominal_v: float = 230.0
    sag_percent: float = 90.0
    swell_percent: float = 110.0
    interruption_percent: float = 5.0
    hysteresis_percent: float = 2.0
    power_cut_v: float = 160.0
    power_cut_delay_s: _Delay = 1
    under_voltage_percent: float = 90.0
    under_voltage_delay_s: _Delay = 60
    over_voltage_percent: float = 110.0
    over_voltage_delay_s: _Delay = 15
    over_current_delay_s: _Delay = 10
    long_failure_s: _Delay = 180

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        """Levels are on their side of the nominal voltage, hysteresis included."""
        if not 100 <= self.nominal_v <= 250:
            raise ValueError(f"a nominal voltage of {self.nominal_v} V; possible are 100 to 250 V")
        if not 0 <= self.hysteresis_percent <= 10:
            raise ValueError(f"a hysteresis of {self.hysteresis_percent} %; possible are 0 to 10 %")
        highest, lowest = 100 - self.hysteresis_percent, 100 + self.hysteresis_percent
        for percent in (self.sag_percent, self.under_voltage_percent, self.interruption_percent):
            if not 0 < percent <= highest:
                raise ValueError(f"a lower level of {percent} %; possible are up to {highest} %")
        for percent in (self.swell_percent, self.over_voltage_percent):
            if not lowest <= percent <= 200:
                raise ValueError(f"an upper level of {percent} %; possible are {lowest} to 200 %")
        if not 0 < self.power_cut_v <= self.nominal_v * highest / 100:
            raise ValueError(
                f"a power cut below {self.power_cut_v} V; possible are up to "
                f"{self.nominal_v * highest / 100:.1f} V"
            )
        return self

    def limits(self, maximum_current_a: float, *, production_expected: bool) -> Limits:
        """Return what the detector watches for, in a meter of that range.

        `production_expected`: the house may feed in, so a reversed current is no event.
        """
        one_percent_v = self.nominal_v / 100
        hysteresis_v = self.hysteresis_percent * one_percent_v

        def low(percent: float, delay_s: float = 0) -> Limit:
            return Limit(percent * one_percent_v, percent * one_percent_v + hysteresis_v, delay_s)

        def high(percent: float, delay_s: float = 0) -> Limit:
            return Limit(percent * one_percent_v, percent * one_percent_v - hysteresis_v, delay_s)

        return Limits(
            sag=low(self.sag_percent),
            swell=high(self.swell_percent),
            interruption=low(self.interruption_percent),
            power_cut=Limit(
                self.power_cut_v, self.power_cut_v + hysteresis_v, self.power_cut_delay_s
            ),
            under_voltage=low(self.under_voltage_percent, self.under_voltage_delay_s),
            over_voltage=high(self.over_voltage_percent, self.over_voltage_delay_s),
            over_current=Limit(
                maximum_current_a * OVER_CURRENT_PERCENT / 100,
                maximum_current_a * OVER_CURRENT_RELEASE_PERCENT / 100,
                self.over_current_delay_s,
            ),
            reversed_current=None if production_expected else REVERSED,
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """How a kind is told: names of its codes, and the unit of its magnitude.

    Where the table has a row ``<name>_l<phase>`` it is taken, else the phase stands in the detail.
    """

    began: str
    ended: str
    unit: str
    digits: int = 1


TOLD: dict[EventKind, _Told] = {
    EventKind.SAG: _Told("sag", "sag_over", "V"),
    EventKind.SWELL: _Told("swell", "swell_over", "V"),
    EventKind.INTERRUPTION: _Told("interruption", "interruption_over", "V"),
    EventKind.POWER_CUT: _Told("power_cut", "power_cut_over", "V"),
    EventKind.UNDER_VOLTAGE: _Told("under_voltage", "voltage_normal", "V"),
    EventKind.OVER_VOLTAGE: _Told("over_voltage", "voltage_normal", "V"),
    EventKind.MISSING_PHASE: _Told("missing_voltage", "voltage_returned", "V"),
    EventKind.WRONG_PHASE_ORDER: _Told("phase_order_wrong", "phase_order_right", ""),
    EventKind.OVER_CURRENT: _Told("over_current", "over_current_over", "A", 2),
    EventKind.REVERSED_CURRENT: _Told("current_reversed", "current_normal", "W", 0),
    EventKind.CURRENT_WITHOUT_VOLTAGE: _Told("current_without_voltage", "current_normal", "A", 2),
    EventKind.NEUTRAL_FAULT: _Told("neutral_fault", "neutral_fault_cleared", "V"),
    EventKind.SUSPECTED_NEUTRAL_FAULT: _Told(
        "neutral_fault_suspected", "neutral_fault_cleared", "V"
    ),
}
"""Every kind of the metrology, beginning and end."""


def told(found: QualityEvent, step: Step) -> Event:
    """Return what the detectors found within `step` as an event, on the meter's clock.

    Stamped with the second in which it began, or in which it was over. Detail: phase (where the
    code has none), worst value and, at the end, duration: ``"187.2 V, 3.21 s"``; the duration is
    ``"≤ …"`` where samples were missing, so that nobody saw when it ended.
    """
    row = TOLD[found.kind]
    name = row.began if found.end_ns is None else row.ended
    parts: list[str] = []
    if found.phase is not None:
        if f"{name}_l{found.phase}" in BY_NAME:
            name = f"{name}_l{found.phase}"
        else:
            parts.append(f"L{found.phase}")
    if row.unit:
        parts.append(f"{found.magnitude:.{row.digits}f} {row.unit}")
    if found.end_ns is None:
        return Event.of(name, _on_meters_clock(found.start_ns, step), ", ".join(parts))
    length = f"{(found.end_ns - found.start_ns) / NANO:.2f} s"
    parts.append(f"≤ {length}" if found.interrupted else length)
    return Event.of(name, _on_meters_clock(found.end_ns, step), ", ".join(parts))


def _on_meters_clock(at_ns: int, step: Step) -> int:
    return step.end_s + (at_ns - step.measurement.end_ns) // NANO


class _Counter:
    """Sags, or swells, of one phase: how many, and the last one."""

    __slots__ = ("count", "duration_ms", "magnitude_cv")

    def __init__(self, kept: Sequence[int] = (0, 0, 0)) -> None:
        self.count, self.duration_ms, self.magnitude_cv = kept

    def take(self, found: QualityEvent) -> None:
        assert found.end_ns is not None
        self.count += 1
        self.duration_ms = (found.end_ns - found.start_ns) // NS_PER_MS
        self.magnitude_cv = round(found.magnitude * 100)

    def state(self) -> list[int]:
        return [self.count, self.duration_ms, self.magnitude_cv]


class _Failures:
    """Power failures of one scope (a phase, all phases, any phase)."""

    __slots__ = ("count", "long_count", "long_duration_s", "since_s")

    def __init__(self, kept: Sequence[int | None] = (0, 0, 0, None)) -> None:
        count, long_count, long_duration_s, self.since_s = kept
        self.count, self.long_count = count or 0, long_count or 0
        self.long_duration_s = long_duration_s or 0

    def begin(self, at_s: int) -> None:
        """What goes on already began at the earlier of both."""
        if self.since_s is None:
            self.count += 1
            self.since_s = at_s
        else:
            self.since_s = min(self.since_s, at_s)

    def end(self, at_s: int, long_s: int, *, known: bool) -> tuple[int, int | None]:
        """Return since when it was, and how long: None where the clock cannot tell."""
        assert self.since_s is not None
        since_s, self.since_s = self.since_s, None
        if not known or at_s < since_s:
            return since_s, None
        duration_s = at_s - since_s
        if duration_s > long_s:
            self.long_count += 1
            self.long_duration_s = duration_s
        return since_s, duration_s

    def state(self) -> list[int | None]:
        return [self.count, self.long_count, self.long_duration_s, self.since_s]


@dataclass(slots=True)
class _Range:
    """Highest and lowest voltage (0.01 V) with the end of the measurement in which it was."""

    highest_cv: int
    highest_s: int
    lowest_cv: int
    lowest_s: int

    def take(self, voltage_cv: int, at_s: int) -> None:
        if voltage_cv > self.highest_cv:
            self.highest_cv, self.highest_s = voltage_cv, at_s
        if voltage_cv < self.lowest_cv:
            self.lowest_cv, self.lowest_s = voltage_cv, at_s

    def state(self) -> list[int]:
        return [self.highest_cv, self.highest_s, self.lowest_cv, self.lowest_s]


@dataclass(frozen=True, slots=True)
class VoltageExtremes:
    """One phase's highest and lowest RMS voltage in units of 0.01 V, each with its stamp (UTC)."""

    highest: int
    highest_s: int
    lowest: int
    lowest_s: int


ALL, ANY = "all", "any"
SAG, SWELL = "sag", "swell"
_COUNTED = {EventKind.SAG: SAG, EventKind.SWELL: SWELL}


class Quality:
    """Turns detectors' events into the meter's, and counts.

    A gap between two steps is time without power, for every phase and for the meter itself: it is
    told when the power is back, as a power down at its start and a power up at its end. A cut of
    all phases that the meter saw from its beginning is told in the same way at its end.
    """

    def __init__(
        self,
        settings: QualitySettings,
        phases: int,
        local: LocalTime,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """`kept` is a `state` of before."""
        self.settings = settings
        self._local = local
        self._phases = phases
        kept = kept or {}
        counters = kept.get("counters", {})
        self._counters = {
            (name, phase): _Counter(counters.get(f"{name}_l{phase}", (0, 0, 0)))
            for name in (SAG, SWELL)
            for phase in range(1, phases + 1)
        }
        failures = kept.get("failures", {})
        self._scopes = [*(f"l{phase}" for phase in range(1, phases + 1)), ALL]
        self._failures = {
            scope: _Failures(failures.get(scope, (0, 0, 0, None))) for scope in (*self._scopes, ANY)
        }
        self._long_failures: list[list[int]] = [list(row) for row in kept.get("long_failures", ())]
        self._ever = [_Range(*row) for row in kept.get("since_reset", ())]
        self._today = [_Range(*row) for row in kept.get("today", ())]
        self._day: int | None = kept.get("day")
        self._last_end_s: int | None = kept.get("last_end_s")

    @property
    def supply_down(self) -> bool:
        """Whether all phases are down now, as far as a measurement said so."""
        return self._failures[ALL].since_s is not None

    @property
    def long_failures(self) -> list[tuple[int, int]]:
        """The last long failures of any phase: when each was over (UTC), and its length in s."""
        return [(end_s, duration_s) for end_s, duration_s in self._long_failures]

    def advance(self, step: Step, found: Sequence[QualityEvent] = ()) -> list[Event]:
        """Return the step's events: of a gap before it, and of what the detectors found."""
        events: list[Event] = []
        if found or step.gap:
            self._follow_failures(step, found, events)
            for event in found:
                events.append(told(event, step))
                counter = _COUNTED.get(event.kind)
                if counter and event.phase is not None and event.end_ns is not None:
                    self._counters[counter, event.phase].take(event)
        self._last_end_s = step.end_s
        if step.measurement.complete:
            self._follow_voltages(step)
        return events

    def voltage_extremes(self, phase: int, *, today: bool) -> VoltageExtremes | None:
        """Of the local day, or of all time; None before the first measurement."""
        ranges = self._today if today else self._ever
        if not ranges:
            return None
        found = ranges[phase - 1]
        return VoltageExtremes(found.highest_cv, found.highest_s, found.lowest_cv, found.lowest_s)

    def registers(self) -> dict[str, int]:
        """Return the counters by key.

        Per phase ``voltage_sag_count_l1``, ``…_duration_l1`` (of the last one, 0.001 s),
        ``…_magnitude_l1`` (of the last one, 0.01 V), and ``voltage_swell_…``: {32,52,72}.32/.33/.34
        and .36/.37/.38. For each scope ``all``, ``any``, ``l1``…: ``power_failure_count_<scope>``,
        ``long_power_failure_count_<scope>`` (0.0.96.7.5–9), ``long_power_failure_duration_<scope>``
        (of the last one, s; .15–.19). Highest and lowest voltage of each phase, of all time and
        of the day (0.01 V): ``voltage_maximum_l1``, ``voltage_minimum_day_l1``….
        """
        values: dict[str, int] = {}
        for (name, phase), counter in self._counters.items():
            values[f"voltage_{name}_count_l{phase}"] = counter.count
            values[f"voltage_{name}_duration_l{phase}"] = counter.duration_ms
            values[f"voltage_{name}_magnitude_l{phase}"] = counter.magnitude_cv
        values |= self.failures()
        for suffix, ranges in (("", self._ever), ("_day", self._today)):
            for phase, found in enumerate(ranges, start=1):
                values[f"voltage_maximum{suffix}_l{phase}"] = found.highest_cv
                values[f"voltage_minimum{suffix}_l{phase}"] = found.lowest_cv
        return values

    def failures(self) -> dict[str, int]:
        """Return the counters of power failures alone, by the names that `registers` gives."""
        values: dict[str, int] = {}
        for scope, failures in self._failures.items():
            values[f"power_failure_count_{scope}"] = failures.count
            values[f"long_power_failure_count_{scope}"] = failures.long_count
            values[f"long_power_failure_duration_{scope}"] = failures.long_duration_s
        return values

    def clock_changed(self, old_s: int, new_s: int) -> None:
        """Failures that go on keep their length: their beginnings move along."""
        shift_s = new_s - old_s
        for failures in self._failures.values():
            if failures.since_s is not None:
                failures.since_s += shift_s
        if self._last_end_s is not None:
            self._last_end_s += shift_s

    def state(self) -> dict[str, Any]:
        """Counters, failures that go on, extremes, and up to when the meter looked."""
        return {
            "counters": {
                f"{name}_l{phase}": counter.state()
                for (name, phase), counter in self._counters.items()
            },
            "failures": {scope: failures.state() for scope, failures in self._failures.items()},
            "long_failures": [list(row) for row in self._long_failures],
            "since_reset": [found.state() for found in self._ever],
            "today": [found.state() for found in self._today],
            "day": self._day,
            "last_end_s": self._last_end_s,
        }

    def _follow_failures(
        self, step: Step, found: Sequence[QualityEvent], events: list[Event]
    ) -> None:
        """Failures by the detectors' power cuts, and by a gap before this step."""
        by_gap: set[str] = set()
        if step.gap and self._last_end_s is not None:
            for scope in self._scopes:
                if self._failures[scope].since_s is None:
                    by_gap.add(scope)
                    self._begin(scope, self._last_end_s)
        for event in found:
            if event.kind is not EventKind.POWER_CUT:
                continue
            for scope in self._scopes_of(event):
                self._begin(scope, _on_meters_clock(event.start_ns, step))
                by_gap.discard(scope)
                if event.end_ns is not None:
                    self._end(scope, _on_meters_clock(event.end_ns, step), step, events)
        for scope in self._scopes:
            if scope in by_gap:
                self._end(scope, step.start_s, step, events)

    def _scopes_of(self, event: QualityEvent) -> tuple[str, ...]:
        if event.phase is None:
            return (ALL,)
        return (f"l{event.phase}", ALL) if self._phases == 1 else (f"l{event.phase}",)

    def _begin(self, scope: str, at_s: int) -> None:
        self._failures[scope].begin(at_s)
        self._failures[ANY].begin(at_s)

    def _end(self, scope: str, at_s: int, step: Step, events: list[Event]) -> None:
        known, long_s = step.clock_valid, self.settings.long_failure_s
        since_s, duration_s = self._failures[scope].end(at_s, long_s, known=known)
        if scope == ALL:
            detail = "" if duration_s is None else f"{duration_s} s"
            events.append(Event.of("power_down", since_s))
            events.append(Event.of("power_up", at_s, detail))
        if all(self._failures[other].since_s is None for other in self._scopes):
            _, duration_s = self._failures[ANY].end(at_s, long_s, known=known)
            if duration_s is not None and duration_s > long_s:
                self._long_failures = [
                    *self._long_failures[1 - FAILURES_KEPT :],
                    [at_s, duration_s],
                ]

    def _follow_voltages(self, step: Step) -> None:
        start_s, end_s = step.start_s, step.end_s
        day = (start_s + self._local.offset_s(start_s)) // DAY_S
        if day != self._day:
            self._day = day
            # A day begins with the first voltage that was measured on it.
            self._today = [
                _Range(voltage_cv, end_s, voltage_cv, end_s)
                for voltage_cv in (round(p.voltage_v * 100) for p in step.measurement.phases)
            ]
            if not self._ever:
                self._ever = [_Range(*found.state()) for found in self._today]
            for overall, of_day in zip(self._ever, self._today, strict=True):
                overall.take(of_day.highest_cv, end_s)
            return
        for number, phase in enumerate(step.measurement.phases):
            voltage_cv = phase.voltage_v * 100
            today = self._today[number]
            # Whatever is within the day's range stays so when it is rounded, and is within the
            # longer one too.
            if not today.lowest_cv <= voltage_cv <= today.highest_cv:
                today.take(round(voltage_cv), end_s)
                self._ever[number].take(round(voltage_cv), end_s)
