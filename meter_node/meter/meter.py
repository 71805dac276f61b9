"""One meter: its parts put together, one measurement at a time.

Must not know a system clock, a store or a port. Each part decides for itself; here is the order in
which they see a step, and what is carried from one to another. What may be asked of a meter stands
in `commands`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from meter_node.channel.event_codes import Log
from meter_node.channel.registers import BY_KEY
from meter_node.meter import energy, instantaneous
from meter_node.meter.billing import Billing
from meter_node.meter.clock import MeterClock, Placed
from meter_node.meter.credit import Credit
from meter_node.meter.demand import Demand
from meter_node.meter.energy import EnergyRegisters, Summation
from meter_node.meter.event import Event
from meter_node.meter.limiter import Limiter
from meter_node.meter.local_time import LocalTime
from meter_node.meter.logs import EventLogs
from meter_node.meter.means import Averages, Integrals
from meter_node.meter.neutral import NeutralProtection
from meter_node.meter.parameters import Parameters, in_force
from meter_node.meter.profile import ANALYSIS_LOG, LOAD_PROFILE, Profile
from meter_node.meter.quality import Quality
from meter_node.meter.relays import Relay
from meter_node.meter.rows import BillingKind, BillingRow, ChainHead, Image, LogRow, ProfileRow
from meter_node.meter.self_test import TwiceKept, memory_holds
from meter_node.meter.snapshot import RelayState, Settings, Snapshot
from meter_node.meter.status_word import Digit, StatusWord
from meter_node.meter.step import DigitalInputs, Step
from meter_node.meter.supply import Breaker, BreakerSettings
from meter_node.meter.supply_control import SupplyControl
from meter_node.meter.tamper import Tamper
from meter_node.meter.tariff import TariffControl
from meter_node.meter.variant import Variant
from meter_node.metrology import Detector
from meter_node.metrology.measurement import Measurement

_BILLING_KINDS: tuple[BillingKind, ...] = ("daily", "monthly", "change")
_NO_INPUTS = DigitalInputs()
_MW_PER_W = 1000
_PARAMETERS, _RESTORE = "parameters", "restore"
_ALARM_OF_ERROR = {
    Digit.STORE: "store_error",
    Digit.MEMORY: "memory_error",
    Digit.PROGRAM: "program_error",
}
_ALARM_OF_QUALITY = {
    "under_voltage": "under_voltage",
    "over_voltage": "over_voltage",
    "missing_phase": "missing_voltage",
}
"""Kind of the detector's open event → alarm, to which the phase is added."""


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
        parameters: Parameters | None = None,
        system_title: bytes = bytes(8),
        vending_key: bytes | None = None,
        states: Mapping[str, str] | None = None,
        log_heads: Mapping[Log, ChainHead] | None = None,
    ) -> None:
        """Start from nothing, or from what a store kept of an earlier image.

        `parameters` are those of the configuration: a utility's changes since stay in force until
        the configuration itself is another. Raises RefusedError for such as this meter can't have.
        """
        kept = {part: json.loads(text) for part, text in (states or {}).items()}
        phases = variant.phases
        self.variant = variant
        self.local = LocalTime(zone or ZoneInfo("UTC"))
        self._known = variant.register_keys
        self._configured = (parameters or Parameters()).fitted(variant)
        self._parameters, self._reconfigured = in_force(
            self._configured, kept.get(_PARAMETERS), variant
        )
        self.tokens_wait: bool = kept.get(_RESTORE, {}).get("tokens_wait", False)
        """After a restore nobody knows which tokens are spent, until the utility says."""
        self._restore: dict[str, Any] | None = kept.get(_RESTORE)
        self._refused_at_start = self._refuse_mode_0(kept)
        self._make_parts(kept, energies_nwh, summation, system_title, vending_key)
        self.logs = EventLogs(self.local, log_heads, kept.get("logs"))
        self._twice_kept = TwiceKept(self._parameters_json())
        self._stated: tuple[Parameters, str] | None = None
        self._log_rows: list[LogRow] = []
        self._profile_rows: list[ProfileRow] = []
        self._billing_rows: list[BillingRow] = []
        self._shown = instantaneous.sources(phases)
        self._measurement: Measurement | None = None
        self._end_s = self.clock.now_s
        self._awake = False
        self._urgent = False

    def _make_parts(
        self,
        kept: Mapping[str, Any],
        energies_nwh: Mapping[str, int] | None,
        summation: Summation,
        system_title: bytes,
        vending_key: bytes | None,
    ) -> None:
        variant, phases, local, settings = (
            self.variant,
            self.variant.phases,
            self.local,
            self._parameters,
        )
        self.clock = MeterClock(settings.clock, local, kept.get("clock"))
        self.tariff = TariffControl(settings.tariff, local, kept.get("tariff"))
        self.energy = EnergyRegisters(phases, summation, energies_nwh, kept.get("energy"))
        self._integrals = Integrals(phases, kept.get("integrals"))
        self.demand = Demand(settings.demand, local, kept.get("demand"))
        self._make_averages(kept.get("averages"))
        self.profiles = tuple(
            Profile(name, layout, self._known, local, self._integrals, kept.get(name))
            for name, layout in (
                (LOAD_PROFILE, settings.load_profile),
                (ANALYSIS_LOG, settings.analysis_log),
            )
        )
        self.billing = Billing(settings.billing, self._known, local, kept.get("billing"))
        self._detector = self._make_detector(kept.get("detector", ()))
        self._quality = Quality(settings.quality, phases, local, kept.get("quality"))
        self._tamper = Tamper(settings.tamper, kept.get("tamper"))
        self.neutral = NeutralProtection(phases, settings.neutral, kept.get("neutral"))
        self.status = StatusWord(kept.get("status_word"))
        self.supply = (
            SupplyControl(
                Breaker(settings.breaker, kept.get("breaker")),
                Limiter(settings.limiter, kept.get("limiter"), summation),
                Credit(
                    settings.credit,
                    local,
                    system_title,
                    vending_key,
                    kept.get("credit"),
                    self._is_special_day,
                ),
            )
            if variant.breaker
            else None
        )
        self.relays = tuple(
            Relay(number, of_relay, system_title.hex(), kept.get(f"relay_{number}"))
            for number, of_relay in enumerate(settings.relays, start=1)
        )

    def _refuse_mode_0(self, kept: Mapping[str, Any]) -> str:
        """Keep the breaker's old settings where new ones would have it open for good.

        Control mode 0 is "always connected", and an open breaker can't be closed in it.
        """
        is_open = not kept.get("breaker", {}).get("closed", True)
        if not is_open or self._parameters.breaker.control_mode != 0:
            return ""
        before = kept.get(_PARAMETERS, {}).get("in_force", {}).get("breaker", {})
        settings = BreakerSettings.model_validate(before)
        if settings.control_mode == 0:
            settings = BreakerSettings()
        self._parameters = self._parameters.model_copy(update={"breaker": settings})
        return "configuration: control mode 0 is always connected, and the breaker is open"

    def _make_averages(self, kept: Mapping[str, Any] | None) -> None:
        self._averages = Averages(
            self._parameters.demand.interval_min,
            self.variant.phases,
            self.local,
            self._integrals,
            kept,
        )

    def _make_detector(self, kept: Sequence[Any]) -> Detector:
        settings = self._parameters
        limits = settings.quality.limits(
            self.variant.maximum_current_a,
            production_expected=settings.tamper.production_expected,
        )
        return Detector(self.variant.phases, limits, kept)

    # --- what it is ------------------------------------------------------------------------------

    @property
    def parameters(self) -> Parameters:
        """As they are in force: an activated calendar has taken the configured one's place."""
        return self._parameters.model_copy(update={"tariff": self.tariff.settings})

    @property
    def profile_captures(self) -> tuple[str, ...]:
        """The registers of the load profile's rows."""
        return self.profiles[0].layout.captures

    @property
    def has_news(self) -> bool:
        """Whether something waits to be kept at once: an event, or the trace of a refusal."""
        return bool(self._log_rows) or self._urgent

    @property
    def now_s(self) -> int:
        """The meter's own time (UTC, whole seconds) at the end of the last step."""
        return self.clock.now_s

    # --- time ------------------------------------------------------------------------------------

    def advance(
        self,
        measurement: Measurement,
        inputs: DigitalInputs = _NO_INPUTS,
        *,
        clock_trusted: bool = True,
    ) -> None:
        """Go on by one measurement.

        `clock_trusted`: the stamps come from a clock that is known to be right; a start after a
        long time without power is otherwise flagged until the clock is set, or trusted. Raises
        ValueError, nothing changed, where its phases are not the variant's.
        """
        if len(measurement.phases) != self.variant.phases:
            raise ValueError(
                f"a measurement of {len(measurement.phases)} phases for a meter of "
                f"{self.variant.phases}"
            )
        events: list[Event] = []
        if not self._awake:
            events += self._wake(measurement, clock_trusted=clock_trusted)
        elif clock_trusted and not self.clock.valid:
            events += self._trust(measurement.start_ns)
        placed = self.clock.place(measurement.start_ns, measurement.end_ns)
        step = self._step(placed, measurement, inputs)
        if placed.turned_back:
            # Nobody commanded it here, so that nobody has told it yet.
            events += [
                Event.of("clock_old", self._end_s, "source"),
                Event.of("clock_new", step.start_s, "source"),
            ]
            self._clock_stepped(self._end_s, step.start_s)
        if placed.gap:
            self._resume(step.start_s)
        events += self.clock.daylight_saving(step.start_s)
        events += self.tariff.advance(step)
        if self.tariff.billing_due:
            self.bill("tariffs", step.start_s)
            self.tariff.billing_taken()
        imported_nwh, exported_nwh = self.energy.book(measurement, self.tariff.tariff)
        self._measurement = measurement
        self._integrals.advance(step)
        self.demand.advance(step, imported_nwh, exported_nwh)
        fault = self.status.has_errors
        for profile in self.profiles:
            self._profile_rows += profile.advance(step, self.raw, fault)
        self._averages.advance(step)
        self._billing_rows += self.billing.advance(step, self.raw)
        events += self._quality.advance(step, self._detector.advance(measurement))
        events += self.neutral.advance(step)
        events += self._tamper.advance(step)
        self.status.advance(magnet=self._tamper.magnet, cover_open=self._tamper.cover_open)
        if self.supply is not None:
            events += self.supply.advance(step, imported_nwh, self.neutral)
        for relay in self.relays:
            events += relay.advance(step, self.tariff.tariff, self.local)
        self._log_rows += self.logs.advance(step.end_s)
        if events:
            self.log(events)
        self._end_s = step.end_s

    def set_clock(self, to_ns: int, who: str) -> None:
        """Set the clock (UTC) as of the end of the last step: slewed, or stepped at once.

        All that measures a duration moves along before anything else is commanded: what begins
        after the step begins by the new time. Raises RefusedError before the first measurement.
        """
        self.log(self.clock.set(to_ns, who))
        old_s, self._end_s = self._end_s, self.now_s
        if old_s != self._end_s:
            self._clock_stepped(old_s, self._end_s)

    def log(self, events: Iterable[Event]) -> None:
        """Enter events into their logs; they are kept at once."""
        self._log_rows += self.logs.append(events)

    def keep_rows(self, rows: Iterable[LogRow]) -> None:
        """Take entries that a log has made itself."""
        self._log_rows += rows

    def keep_at_once(self) -> None:
        """See to it that what was changed without an event is kept without waiting."""
        self._urgent = True

    def bill(self, reason: str, now_s: int) -> None:
        """Take a snapshot of billing registers before something changes."""
        self._billing_rows.append(self.billing.take(reason, now_s, self.raw))

    # --- parameters ------------------------------------------------------------------------------

    def change_parameters(self, changes: Mapping[str, object], who: str) -> None:
        """Change fields of sections (see `Parameters.changed`): all of them, or none.

        Registers are billed first. A refusal is logged, too. Raises RefusedError.
        """
        now_s = self.now_s
        before = self.parameters
        try:
            wanted = before.changed(changes).fitted(self.variant)
            if self.supply is not None:
                self.supply.breaker.check(wanted.breaker)
        except ValueError as error:
            self.log([Event.of("parameters_refused", now_s, f"{who}: {error}")])
            raise
        sections = wanted.sections_other_than(before)
        if not sections:
            return
        self.bill("parameters", now_s)
        self._parameters = wanted.model_copy(update={"tariff": self._parameters.tariff})
        events = [Event.of("parameters_changed", now_s, f"{', '.join(sections)}; {who}")]
        for section in sections:
            events += self._apply(section, wanted, now_s)
        if self.supply is not None:
            events += self.supply.settle(now_s, self.neutral)
        self._twice_kept = TwiceKept(self._parameters_json())
        self.log(events)

    def _apply(self, section: str, wanted: Parameters, now_s: int) -> list[Event]:
        """Let a part take its section, which was checked before."""
        load_profile, analysis_log = self.profiles
        supply = self.supply
        match section:
            case "clock":
                self.clock.settings = wanted.clock
            case "tariff":
                events = self.tariff.configure(wanted.tariff, now_s)
                self.tariff.billing_taken()  # with the parameters
                return events
            case "demand":
                self.demand.reconfigure(wanted.demand)
                self._make_averages(self._averages.state())
            case "load_profile":
                return load_profile.reconfigure(wanted.load_profile, now_s, self.raw)
            case "analysis_log":
                return analysis_log.reconfigure(wanted.analysis_log, now_s, self.raw)
            case "billing":
                self.billing.reconfigure(wanted.billing)
            case "quality" | "tamper":
                self._quality.settings, self._tamper.settings = wanted.quality, wanted.tamper
                self._detector = self._make_detector(self._detector.state())
            case "neutral":
                self.neutral.configure(wanted.neutral)
            case "breaker" if supply is not None:
                supply.breaker.configure(wanted.breaker)
            case "limiter" if supply is not None:
                return supply.limiter.configure(wanted.limiter, now_s)
            case "credit" if supply is not None:
                return supply.credit.change(wanted.credit, now_s)
            case "relays":
                for relay, settings in zip(self.relays, wanted.relays, strict=True):
                    relay.configure(settings)
        return []

    # --- self-tests ------------------------------------------------------------------------------

    def self_tested(
        self, *, store_ok: bool | None, program_digest: str | None, program_version: str
    ) -> None:
        """Test the memory, and take over what others found of store and program (None: not run)."""
        unchanged = bytes(self._twice_kept.copy) == self._parameters_json()
        self.log(
            self.status.report(
                self.now_s,
                store_ok=store_ok,
                memory_ok=unchanged and memory_holds(self._twice_kept),
                program_digest=program_digest,
                program_version=program_version,
            )
        )

    # --- what it shows and keeps -----------------------------------------------------------------

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
        demand_mw, quality = self.demand.registers_mw, self._quality.registers()
        counted = {
            key: value
            for key in self._known
            if key not in self.energy.values
            and (value := self._counted(key, demand_mw, quality)) is not None
        }
        supply = self.supply
        return Snapshot(
            self.clock.now_ns,
            dict(self.energy.values),
            values,
            counted,
            self.clock.valid,
            self.logs.heads(),
            self.tariff.tariff,
            self.tariff.calendar.tariffs,
            supply.breaker_state if supply else None,
            tuple(
                RelayState(
                    relay.on_wanted, relay.pending_s, relay.consumer_command, relay.utility_command
                )
                for relay in self.relays
            ),
            supply.limiter_state if supply else None,
            supply.credit_state if supply else None,
            self.status.text,
            frozenset(self._alarms()),
            Settings(self.parameters, self.tariff.passive, self.tariff.activate_at_s),
            self.demand.maxima_s,
            self._quality.failures(),
            tuple(self._quality.long_failures),
            {
                key: tuple((peak.time_s, _demand(key, peak.demand_mw)) for peak in past)
                for key, past in self.demand.past_maxima.items()
            },
        )

    def image(self) -> Image:
        """Return all that must outlive a power cut, with the rows that no store has yet."""
        parts: dict[str, Any] = {
            "clock": self.clock,
            "tariff": self.tariff,
            "energy": self.energy,
            "integrals": self._integrals,
            "demand": self.demand,
            "averages": self._averages,
            "billing": self.billing,
            "detector": self._detector,
            "quality": self._quality,
            "neutral": self.neutral,
            "tamper": self._tamper,
            "status_word": self.status,
            "logs": self.logs,
        }
        parts |= {profile.name: profile for profile in self.profiles}
        parts |= {f"relay_{relay.number}": relay for relay in self.relays}
        states = {name: part.state() for name, part in parts.items()}
        if self.supply is not None:
            states |= self.supply.states()
        if self._restore is not None:
            states[_RESTORE] = self._restore | {"tokens_wait": self.tokens_wait}
        self._urgent = False
        return Image(
            self.clock.now_ns,
            dict(self.energy.values),
            {name: json.dumps(state) for name, state in states.items()}
            | {_PARAMETERS: self._parameters_state()},
            tuple(self._log_rows),
            tuple(self._profile_rows),
            tuple(self._billing_rows),
            {profile.name: profile.deleted_before_entry for profile in self.profiles},
            {profile.name: profile.layout.depth for profile in self.profiles},
            {kind: self.billing.settings.depth(kind) for kind in _BILLING_KINDS},
        )

    def is_kept(self, image: Image) -> None:
        """The store has this image: its rows need not be offered again."""
        # By identity: images overlap where the store was slower than the next one was due.
        kept = {id(row) for row in (*image.log_rows, *image.profile_rows, *image.billing_rows)}
        self._log_rows = [row for row in self._log_rows if id(row) not in kept]
        self._profile_rows = [row for row in self._profile_rows if id(row) not in kept]
        self._billing_rows = [row for row in self._billing_rows if id(row) not in kept]

    # --- inside ----------------------------------------------------------------------------------

    def _wake(self, measurement: Measurement, *, clock_trusted: bool) -> list[Event]:
        self._awake = True
        events = self.clock.wake(measurement.start_ns, clock_trusted)
        now_s = self.clock.now_s
        for profile in self.profiles:
            if profile.changed_at_start:
                events.append(Event.of("profile_changed", now_s, profile.changed_at_start))
        if self._refused_at_start:
            events.append(Event.of("parameters_refused", now_s, self._refused_at_start))
        if self._reconfigured:
            self.bill("parameters", now_s)
            if "limiter" in self._reconfigured and self.supply is not None:
                # A trip of a limit that is no more must not keep the supply off.
                events += self.supply.limiter.configure(self._parameters.limiter, now_s)
            detail = f"{', '.join(self._reconfigured)}; configuration"
            events.append(Event.of("parameters_changed", now_s, detail))
        return events

    def _trust(self, start_ns: int) -> list[Event]:
        """The clock was lost, and the source's is right again."""
        old_s = self._end_s
        events = self.clock.trust(start_ns)
        self._end_s = self.now_s
        if old_s != self._end_s:
            self._clock_stepped(old_s, self._end_s)
        return events

    def _step(self, placed: Placed, measurement: Measurement, inputs: DigitalInputs) -> Step:
        # Steps that follow each other meet, whichever way their ends are rounded.
        anew = placed.gap or placed.turned_back
        start_s = _second(placed.start_ns) if anew else self._end_s
        end_s = max(_second(placed.end_ns), start_s)
        return Step(start_s, end_s, measurement, inputs, self.clock.valid, placed.gap)

    def _clock_stepped(self, old_s: int, new_s: int) -> None:
        for profile in self.profiles:
            self._profile_rows += profile.clock_changed(old_s, new_s, self.raw)
        self.tariff.clock_changed(old_s, new_s)
        self._averages.clock_changed(old_s, new_s)
        self.demand.clock_changed(old_s, new_s)
        self._billing_rows += self.billing.clock_changed(old_s, new_s, self.raw)
        self._quality.clock_changed(old_s, new_s)
        self._tamper.clock_changed(old_s, new_s)
        if self.supply is not None:
            self.supply.clock_changed(old_s, new_s)
        for relay in self.relays:
            relay.clock_changed(old_s, new_s)
        self._log_rows += self.logs.clock_changed(old_s, new_s)

    def _resume(self, start_s: int) -> None:
        for profile in self.profiles:
            self._profile_rows += profile.resume(start_s, self.raw)
        self._averages.resume(start_s)
        self._billing_rows += self.billing.resume(start_s, self.raw)

    def _counted(
        self,
        key: str,
        demand_mw: Mapping[str, int] | None = None,
        quality: Mapping[str, int] | None = None,
    ) -> int | None:
        """A register that is kept as an integer; None for one that is not such a register.

        `demand_mw`, `quality`: the registers of these parts, where many keys are asked for at once.
        """
        value = self.energy.value(key)
        if value is not None:
            return value if key == "operating_time" else energy.raw(key, value)
        if "demand" in key:
            registers_mw = self.demand.registers_mw if demand_mw is None else demand_mw
            if key in registers_mw:
                return _demand(key, registers_mw[key])
        if key in self._averages.values:
            return self._averages.values[key]
        if key.startswith(("voltage_sag", "voltage_swell")):
            return (self._quality.registers() if quality is None else quality).get(key)
        return None

    def _alarms(self) -> set[str]:
        """The rows of the alarm register that hold now."""
        alarms = {_ALARM_OF_ERROR[digit] for digit in self.status.errors}
        alarms |= {
            f"{_ALARM_OF_QUALITY[event['kind']]}_l{event['phase']}"
            for event in self._detector.state()
            if event["reported"] and event["phase"] and event["kind"] in _ALARM_OF_QUALITY
        }
        if self.supply is not None:
            alarms |= self.supply.alarms()
        conditions = {
            "clock_invalid": not self.clock.valid,
            "magnet": self._tamper.magnet,
            "cover_open": self._tamper.cover_open,
            "neutral_fault": self.neutral.fault,
        }
        return alarms | {name for name, holds in conditions.items() if holds}

    def _is_special_day(self, day: date) -> bool:
        # Of whichever calendar is the active one by then.
        return self.tariff.calendar.is_special(day)

    def _parameters_state(self) -> str:
        """The configured parameters and those in force; written anew where they are others."""
        # They are most of an image, and the same for years: immutable, so one and the same object.
        if self._stated is None or self._stated[0] is not self._parameters:
            state = {
                "configured": self._configured.model_dump(mode="json"),
                "in_force": self._parameters.model_dump(mode="json"),
            }
            self._stated = (self._parameters, json.dumps(state))
        return self._stated[1]

    def _parameters_json(self) -> bytes:
        return self._parameters.model_dump_json().encode()


def _second(at_ns: int) -> int:
    return round(at_ns / 10**9)


def _demand(key: str, demand_mw: int) -> int:
    """Return a demand in units of its register's scaler."""
    return round(demand_mw / (_MW_PER_W * 10.0 ** BY_KEY[key].quantity.scaler))
