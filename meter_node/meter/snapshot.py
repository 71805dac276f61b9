"""All that a meter shows at one instant, immutable: what is committed, then shown.

Must not know where it is kept or who reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meter_node.channel.activity_calendar import ActivityCalendar
from meter_node.channel.event_codes import Log
from meter_node.channel.registers import BY_KEY, ROLLOVER_WH
from meter_node.meter.rows import ChainHead

if TYPE_CHECKING:  # parts of the meter, whose settings parameters are, import NANO from here
    from meter_node.meter.parameters import Parameters

NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class BreakerState:
    """The breaker as disconnect control shows it (class 70).

    `closed` is where it stands by its own feedback. `causes`: why it is open, the strongest first.
    """

    closed: bool
    control_state: int
    control_mode: int
    closed_wanted: bool
    causes: tuple[str, ...] = ()
    button_reconnects: bool = False
    consumer_reconnects: bool = False


@dataclass(frozen=True, slots=True)
class RelayState:
    """One load relay: whether it is on, when a drawn delay is over, and what the consumer chose."""

    on: bool
    pending_s: int | None = None
    consumer_command: str = "automatic"
    utility_command: str = "automatic"


@dataclass(frozen=True, slots=True)
class LimiterState:
    """The limiter (class 71): thresholds in W or A, None for no limit."""

    unit: str
    active: float | None
    normal: float | None
    emergency: float | None
    over_s: int
    under_s: int
    emergency_active: bool = False
    emergency_profile: tuple[int, int, int] | None = None
    """Group, activation time (UTC) and duration (s) of an emergency that is on or to come."""


@dataclass(frozen=True, slots=True)
class CreditState:
    """What is left of what was bought, emergency credit included; below zero where overdrawn."""

    credit_wh: int
    debt_wh: int
    exhausted: bool


@dataclass(frozen=True, slots=True)
class Settings:
    """What a utility has set, and what waits for its activation."""

    parameters: Parameters
    passive_calendar: ActivityCalendar | None
    activate_at_s: int | None
    """When the passive calendar comes into force (UTC); None: at a command, or there is none."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The meter at ``time_ns`` (UTC by its clock): exact energies, and the last second's values."""

    time_ns: int
    energies_nwh: Mapping[str, int] = field(default_factory=dict)
    """Register key to nWh or nvarh, below the roll-over."""
    instantaneous: Mapping[str, float] = field(default_factory=dict)
    """Register key to W, var, VA, V, A, Hz, per cent or a ratio; empty until the first
    measurement."""
    counted: Mapping[str, int] = field(default_factory=dict)
    """Register key to whole units of 10^scaler: demand, means, counters, what follows from
    energies."""
    clock_valid: bool = True
    log_heads: Mapping[Log, ChainHead] = field(default_factory=dict)
    """Where each log stands; one without an entry is at entry 0."""
    tariff: int = 1
    """The tariff in force, 1 to 8."""
    tariffs: int = 1
    """How many tariffs the calendar has."""
    breaker: BreakerState | None = None
    relays: tuple[RelayState, ...] = ()
    limiter: LimiterState | None = None
    credit: CreditState | None = None
    """None while prepayment is off."""
    status_word: str = "0000000"
    alarms: frozenset[str] = frozenset()
    """Names of `channel.alarms` that hold now."""
    settings: Settings | None = None
    maxima_s: Mapping[str, int] = field(default_factory=dict)
    """Key of a maximum to the end of its interval (UTC); absent before the month's first."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """Counts and durations of power failures, by `Quality.registers`' names."""
    long_failures: tuple[tuple[int, int], ...] = ()
    """The last long failures: when each was over (UTC), and its seconds."""
    past_maxima: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    """Key of a maximum to those of the thirteen months before, the newest first: the end of its
    interval (UTC) and its value in units of 10^scaler. A month without one is left out."""

    def raw(self, key: str) -> int | None:
        """Return a register as it is shown: units of 10^scaler, energies truncated.

        None where there is no value now (frequency without voltage, nothing measured yet).
        """
        scaler = BY_KEY[key].quantity.scaler
        energy = self.energies_nwh.get(key)
        if energy is not None:
            return int(energy // (NANO * 10**scaler))
        if key in self.counted:
            return self.counted[key]
        value = self.instantaneous.get(key)
        return None if value is None else round(value / 10.0**scaler)


ROLLOVER_NWH = ROLLOVER_WH * NANO
