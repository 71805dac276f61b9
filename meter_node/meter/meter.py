"""One meter: its parts put together, one measurement at a time.

Must not know a system clock, a store or a port. Each part decides for itself; here is the order in
which they see a step, and what is carried from one to another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from meter_node.channel.event_codes import Log
from meter_node.channel.registers import BY_KEY, PHASES, registers_of
from meter_node.meter import energy
from meter_node.meter.billing import Billing, BillingSettings
from meter_node.meter.clock import ClockSettings, MeterClock, Placed
from meter_node.meter.demand import Demand, DemandSettings
from meter_node.meter.energy import EnergyRegisters, Summation
from meter_node.meter.event import Event
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import EventLogs
from meter_node.meter.means import Averages, Integrals
from meter_node.meter.neutral import NeutralProtection, NeutralSettings
from meter_node.meter.profile import (
    ANALYSIS_LOG,
    LOAD_PROFILE,
    AnalysisSettings,
    Profile,
    ProfileSettings,
)
from meter_node.meter.quality import Quality, QualitySettings
from meter_node.meter.rows import BillingKind, BillingRow, ChainHead, Image, LogRow, ProfileRow
from meter_node.meter.snapshot import Snapshot
from meter_node.meter.step import DigitalInputs, Step
from meter_node.meter.tamper import Tamper, TamperSettings
from meter_node.meter.tariff import TariffControl, TariffSettings
from meter_node.meter.variant import Variant
from meter_node.metrology import Detector
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

_OF_PHASE: dict[str, Callable[[PhaseMeasurement], float | None]] = {
    "import_active_power": lambda phase: max(phase.active_power_w, 0.0),
    "export_active_power": lambda phase: max(-phase.active_power_w, 0.0),
    "import_reactive_power": lambda phase: max(phase.reactive_power_var, 0.0),
    "export_reactive_power": lambda phase: max(-phase.reactive_power_var, 0.0),
    "apparent_power": lambda phase: phase.apparent_power_va,
    "voltage": lambda phase: phase.voltage_v,
    "current": lambda phase: phase.current_a,
    "power_factor": lambda phase: phase.power_factor,
    "voltage_thd": lambda phase: phase.voltage_thd_percent,
    "current_thd": lambda phase: phase.current_thd_percent,
}
"""What each instantaneous quantity of a phase is shown from; None where it has no value now."""

_SUMMED = (
    "import_active_power",
    "export_active_power",
    "import_reactive_power",
    "export_reactive_power",
    "apparent_power",
)
"""Totals that are sums over the phases, as their energies are: import and export are not netted."""

_OF_METER: dict[str, Callable[[Measurement], float | None]] = {
    "power_factor": lambda second: second.power_factor,
    "frequency": lambda second: second.frequency_hz,
    "neutral_current": lambda second: second.neutral_current_a,
}
_BILLING_KINDS: tuple[BillingKind, ...] = ("daily", "monthly", "change")
_NO_INPUTS = DigitalInputs()
_MW_PER_W = 1000


class Meter:
    """The meter's state and its one step, ``advance``.

    What is to be kept goes out as an ``image``, whose rows are offered again until ``is_kept`` says
    that the store has them.
    """

    def __init__(
        self,
        variant: Variant,
        energies_nwh: Mapping[str, int] | None = None,
        *,
        zone: ZoneInfo | None = None,
        summation: Summation = "individual",
        tariff: TariffSettings | None = None,
        production_expected: bool = True,
        states: Mapping[str, str] | None = None,
        log_heads: Mapping[Log, ChainHead] | None = None,
    ) -> None:
        """Start from nothing, or from what a store kept of an earlier image."""
        kept = {part: json.loads(text) for part, text in (states or {}).items()}
        phases = variant.phases
        self.variant = variant
        local = self._local = LocalTime(zone or ZoneInfo("UTC"))
        self._known = frozenset(
            register.key
            for register in registers_of(phases)
            if not (phases == 1 and register.key == "neutral_current")
        )
        self._clock = MeterClock(ClockSettings(), local, kept.get("clock"))
        self._tariff = TariffControl(tariff or TariffSettings(), local, kept.get("tariff"))
        self._energy = EnergyRegisters(phases, summation, energies_nwh, kept.get("energy"))
        self._integrals = Integrals(phases, kept.get("integrals"))
        self._demand_settings = DemandSettings()
        self._demand = Demand(self._demand_settings, local, kept.get("demand"))
        self._averages = Averages(
            self._demand_settings.interval_min,
            phases,
            local,
            self._integrals,
            kept.get("averages"),
        )
        self._profiles = (
            Profile(
                LOAD_PROFILE,
                ProfileSettings(),
                self._known,
                local,
                self._integrals,
                kept.get(LOAD_PROFILE),
            ),
            Profile(
                ANALYSIS_LOG,
                AnalysisSettings(),
                self._known,
                local,
                self._integrals,
                kept.get(ANALYSIS_LOG),
            ),
        )
        self._billing_settings = BillingSettings()
        self._billing = Billing(self._billing_settings, self._known, local, kept.get("billing"))
        quality, tamper = QualitySettings(), TamperSettings(production_expected=production_expected)
        self._detector = Detector(
            phases,
            quality.limits(variant.maximum_current_a, production_expected=production_expected),
            kept.get("detector", ()),
        )
        self._quality = Quality(quality, phases, local, kept.get("quality"))
        self._neutral = NeutralProtection(phases, NeutralSettings(), kept.get("neutral"))
        self._tamper = Tamper(tamper, kept.get("tamper"))
        self._logs = EventLogs(local, log_heads, kept.get("logs"))
        self._log_rows: list[LogRow] = []
        self._profile_rows: list[ProfileRow] = []
        self._billing_rows: list[BillingRow] = []
        self._shown = _sources(phases)
        self._measurement: Measurement | None = None
        self._end_s = self._clock.now_s
        self._awake = False

    @property
    def has_news(self) -> bool:
        """Whether an event waits to be kept: then a commit should not wait for its turn."""
        return bool(self._log_rows)

    @property
    def now_s(self) -> int:
        """The meter's own time (UTC, whole seconds) at the end of the last step."""
        return self._clock.now_s

    def advance(
        self,
        measurement: Measurement,
        inputs: DigitalInputs = _NO_INPUTS,
        *,
        clock_trusted: bool = True,
    ) -> None:
        """Go on by one measurement.

        `clock_trusted`: the stamps come from a clock that is known to be right; a start after a
        long time without power is otherwise flagged until the clock is set. Raises ValueError,
        nothing changed, where its phases are not the variant's.
        """
        if len(measurement.phases) != self.variant.phases:
            raise ValueError(
                f"a measurement of {len(measurement.phases)} phases for a meter of "
                f"{self.variant.phases}"
            )
        events: list[Event] = []
        if not self._awake:
            self._awake = True
            events += self._clock.wake(measurement.start_ns, clock_trusted)
            for profile in self._profiles:
                if profile.changed_at_start:
                    at_s = self._clock.now_s
                    events.append(Event.of("profile_changed", at_s, profile.changed_at_start))
        placed = self._clock.place(measurement.start_ns, measurement.end_ns)
        step = self._step(placed, measurement, inputs)
        if placed.stepped and placed.old_ns:
            events += self._clock_stepped(placed, step.start_s)
        if placed.gap:
            self._resume(step.start_s)
        events += self._clock.daylight_saving(step.start_s)
        events += self._tariff.advance(step)
        if self._tariff.billing_due:
            self._billing_rows.append(self._billing.take("tariffs", step.start_s, self.raw))
            self._tariff.billing_taken()
        imported_nwh, exported_nwh = self._energy.book(measurement, self._tariff.tariff)
        self._measurement = measurement
        self._integrals.advance(step)
        self._demand.advance(step, imported_nwh, exported_nwh)
        for profile in self._profiles:
            self._profile_rows += profile.advance(step, self.raw)
        self._averages.advance(step)
        self._billing_rows += self._billing.advance(step, self.raw)
        events += self._quality.advance(step, self._detector.advance(measurement))
        events += self._neutral.advance(step)
        events += self._tamper.advance(step)
        self._log_rows += self._logs.advance(step.end_s)
        if events:
            self._log_rows += self._logs.append(events)
        self._end_s = step.end_s

    def set_clock(self, to_ns: int, who: str) -> None:
        """Set the clock (UTC): a little is slewed, more steps with the next measurement."""
        self._log_rows += self._logs.append(self._clock.set(to_ns, who))

    def clear_log(self, log: Log, who: str) -> None:
        """Empty a log; that it was emptied is its first entry."""
        self._log_rows.append(self._logs.clear(log, self.now_s, who))

    def count(self, name: str, source: str) -> None:
        """Log what may come in floods (a failed authentication, a replay), counted."""
        self._log_rows += self._logs.counted(name, source, self.now_s)

    def reset_customer_counter(self, who: str) -> None:
        """Let the customer's own counter begin at zero."""
        self._energy.reset_customer_counter()
        event = Event.of("customer_counter_reset", self.now_s, who)
        self._log_rows += self._logs.append([event])

    def raw(self, key: str) -> int | None:
        """Return a register as it stands, in units of 10^scaler; None where it has no value now."""
        counted = self._counted(key)
        if counted is not None:
            return counted
        shown = self._shown.get(key)
        if shown is None or self._measurement is None:
            return None
        value = shown(self._measurement)
        return None if value is None else round(value / 10.0 ** BY_KEY[key].quantity.scaler)

    def snapshot(self) -> Snapshot:
        """Return the meter as it shows itself."""
        measurement = self._measurement
        values = {
            key: value
            for key, shown in self._shown.items()
            if measurement is not None and (value := shown(measurement)) is not None
        }
        counted = {
            key: value
            for key in self._known
            if key not in self._energy.values and (value := self._counted(key)) is not None
        }
        return Snapshot(
            self._clock.now_ns,
            dict(self._energy.values),
            values,
            counted,
            self._clock.valid,
            self._logs.heads(),
            self._tariff.tariff,
            self._tariff.calendar.tariffs,
        )

    def image(self) -> Image:
        """Return all that must outlive a power cut, with the rows that no store has yet."""
        parts: dict[str, Any] = {
            "clock": self._clock,
            "tariff": self._tariff,
            "energy": self._energy,
            "integrals": self._integrals,
            "demand": self._demand,
            "averages": self._averages,
            "billing": self._billing,
            "detector": self._detector,
            "quality": self._quality,
            "neutral": self._neutral,
            "tamper": self._tamper,
            "logs": self._logs,
        } | {profile.name: profile for profile in self._profiles}
        return Image(
            self._clock.now_ns,
            dict(self._energy.values),
            {name: json.dumps(part.state()) for name, part in parts.items()},
            tuple(self._log_rows),
            tuple(self._profile_rows),
            tuple(self._billing_rows),
            {profile.name: profile.deleted_before_entry for profile in self._profiles},
            {profile.name: profile.layout.depth for profile in self._profiles},
            {kind: self._billing_settings.depth(kind) for kind in _BILLING_KINDS},
        )

    def is_kept(self, image: Image) -> None:
        """The store has this image: its rows need not be offered again."""
        # By identity: images overlap where the store was slower than the next one was due.
        kept = {id(row) for row in (*image.log_rows, *image.profile_rows, *image.billing_rows)}
        self._log_rows = [row for row in self._log_rows if id(row) not in kept]
        self._profile_rows = [row for row in self._profile_rows if id(row) not in kept]
        self._billing_rows = [row for row in self._billing_rows if id(row) not in kept]

    def _step(self, placed: Placed, measurement: Measurement, inputs: DigitalInputs) -> Step:
        # Steps that follow each other meet, whichever way their ends are rounded.
        anew = placed.gap or placed.stepped
        start_s = _second(placed.start_ns) if anew else self._end_s
        end_s = max(_second(placed.end_ns), start_s)
        return Step(start_s, end_s, measurement, inputs, self._clock.valid, placed.gap)

    def _clock_stepped(self, placed: Placed, new_s: int) -> list[Event]:
        old_s = self._end_s
        for profile in self._profiles:
            self._profile_rows += profile.clock_changed(old_s, new_s, self.raw)
        self._tariff.clock_changed(old_s, new_s)
        self._averages.clock_changed(old_s, new_s)
        self._demand.clock_changed(old_s, new_s)
        self._billing_rows += self._billing.clock_changed(old_s, new_s, self.raw)
        self._quality.clock_changed(old_s, new_s)
        self._tamper.clock_changed(old_s, new_s)
        self._log_rows += self._logs.clock_changed(old_s, new_s)
        if not placed.turned_back:
            return []  # a command set it, and logged it
        return [Event.of("clock_old", old_s, "source"), Event.of("clock_new", new_s, "source")]

    def _resume(self, start_s: int) -> None:
        for profile in self._profiles:
            self._profile_rows += profile.resume(start_s, self.raw)
        self._averages.resume(start_s)
        self._billing_rows += self._billing.resume(start_s, self.raw)

    def _counted(self, key: str) -> int | None:
        """A register that is kept as an integer; None for one that is not such a register."""
        value = self._energy.value(key)
        if value is not None:
            return value if key == "operating_time" else energy.raw(key, value)
        demand_mw = self._demand.registers_mw.get(key) if "demand" in key else None
        if demand_mw is not None:
            return round(demand_mw / (_MW_PER_W * 10.0 ** BY_KEY[key].quantity.scaler))
        if key in self._averages.values:
            return self._averages.values[key]
        if key.startswith(("voltage_sag", "voltage_swell")):
            return self._quality.registers().get(key)
        return None


def _second(at_ns: int) -> int:
    return round(at_ns / 10**9)


def _sources(phases: int) -> dict[str, Callable[[Measurement], float | None]]:
    """From where in a measurement each instantaneous register is shown."""

    def of_phase(
        shown: Callable[[PhaseMeasurement], float | None], index: int
    ) -> Callable[[Measurement], float | None]:
        return lambda second: shown(second.phases[index])

    def summed(
        shown: Callable[[PhaseMeasurement], float | None],
    ) -> Callable[[Measurement], float | None]:
        return lambda second: sum(shown(phase) or 0.0 for phase in second.phases)

    sources = dict(_OF_METER)
    if phases == 1:
        del sources["neutral_current"]  # the same as the phase's
    for name, shown in _OF_PHASE.items():
        for phase in PHASES[:phases]:
            sources[f"{name}_l{phase}"] = of_phase(shown, phase - 1)
        if name in _SUMMED:
            sources[name] = summed(shown)
    return sources
