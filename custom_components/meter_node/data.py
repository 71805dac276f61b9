"""What entities show: a meter's quantities, its states by COSEM object, and what just happened.

Whatever stands in a state may be read: a newer meter may send another type than this version knows,
and that counts as no value. Must not know entities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Self

from .capacity import CapacityNow
from .channel import alarms, objects
from .channel.objects import CosemObject
from .channel.reading import State
from .log_entries import NewEntry

VALUE = 2
"""The attribute that holds the value: of Data, of what is switched, of credit."""
CONTROL_STATE = 3
"""Of the breaker."""
MONITORED_VALUE, THRESHOLD_ACTIVE = 2, 3
"""Of the limiter."""


@dataclass(frozen=True, slots=True)
class States:
    """The states of one push, by class, logical name and attribute."""

    values: Mapping[tuple[int, bytes, int], object] = field(default_factory=dict)

    @classmethod
    def of(cls, states: Iterable[State]) -> Self:
        """Take them as they came."""
        return cls(
            {(state.class_id, state.logical_name, state.attribute): state.value for state in states}
        )

    def but(self, newer: Mapping[tuple[CosemObject, int], object]) -> Self:
        """Return them with what was read since, by object and attribute."""
        read: dict[tuple[int, bytes, int], object] = {
            (which.class_id, which.logical_name, attribute): value
            for (which, attribute), value in newer.items()
        }
        return replace(self, values={**self.values, **read})

    def has(self, which: CosemObject, attribute: int = VALUE) -> bool:
        """Whether it was sent, be it as null-data."""
        return (which.class_id, which.logical_name, attribute) in self.values

    def get(self, which: CosemObject, attribute: int = VALUE) -> object:
        """Return it as it came, None where it did not."""
        return self.values.get((which.class_id, which.logical_name, attribute))

    def number(self, which: CosemObject, attribute: int = VALUE) -> int | None:
        """Return a whole number, None where none stands."""
        value = self.get(which, attribute)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, which: CosemObject, attribute: int = VALUE) -> bool | None:
        """Return a boolean, None where none stands."""
        value = self.get(which, attribute)
        return value if isinstance(value, bool) else None

    def text(self, which: CosemObject, attribute: int = VALUE) -> str | None:
        """Return a text, None where none stands."""
        value = self.get(which, attribute)
        return value if isinstance(value, str) else None

    @property
    def limiter_monitors(self) -> bytes | None:
        """The logical name of what the limiter watches (class, name and attribute are sent)."""
        match self.get(objects.LIMITER, MONITORED_VALUE):
            case (int(), bytes(name), int()):
                return name
        return None


@dataclass(frozen=True, slots=True)
class Tariff:
    """What the calendar and the prices say now; None where they are not known."""

    in_force: int | None = None
    is_peak: bool | None = None
    """Whether it is the calendar's highest, where it has more than one."""
    next_change: datetime | None = None
    next_tariff: int | None = None
    currency: str = ""
    import_price: Decimal | None = None
    export_price: Decimal | None = None
    costs: Mapping[str, Decimal] = field(default_factory=dict)
    """The totals of ``costs.Costs``."""
    costs_since: Mapping[str, datetime | None] = field(default_factory=dict)
    """When each of them began at nothing, as far as that is known."""


@dataclass(frozen=True, slots=True)
class MeterData:
    """What is known of a meter after its last good frame."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By register key, in the units of `channel.reading.Reading`."""
    states: States = field(default_factory=States)
    keeps_logs: bool = False
    """Whether it sends where its event logs stand."""
    news: tuple[NewEntry, ...] = ()
    """The last log entries that are to be told, oldest first."""
    history_filled_to: datetime | None = None
    """Up to when the statistics are as the meter's own profile says; None before the first fill."""
    tariff: Tariff = field(default_factory=Tariff)
    capacity: CapacityNow = field(default_factory=CapacityNow)
    """Nothing where no rule was chosen."""
    clock_deviation_s: int | None = None
    """The meter's time less that of arrival; None where its time does not say its zone."""
    link_quality: int | None = None
    """What share (%) of the pushes of the last hour came and were good."""
    main_fuse_a: float | None = None
    """As it was given in the options."""

    def is_made_as(self, other: MeterData) -> bool:
        """Whether the same things are known as in the other, be their values others."""
        return (
            self.values.keys() == other.values.keys()
            and self.states == other.states
            and self.tariff == other.tariff
            and self.capacity == other.capacity
            and self.keeps_logs == other.keeps_logs
            and self.history_filled_to == other.history_filled_to
        )

    @property
    def alarms(self) -> frozenset[str] | None:
        """The rows of the alarm register that hold now; None where the meter sends none."""
        bits = self.states.number(objects.ALARMS)
        return None if bits is None else alarms.names(bits)

    def net_power_w(self, phase: int | None = None) -> float | None:
        """Return import − export: positive from the grid, as the Energy dashboard wants it."""
        suffix = "" if phase is None else f"_l{phase}"
        imported = self.values.get(f"import_active_power{suffix}")
        exported = self.values.get(f"export_active_power{suffix}")
        if imported is None or exported is None:
            return None
        return round(imported - exported, 3)

    @property
    def limit_a(self) -> float | None:
        """What the limiter allows a phase, where it monitors current."""
        limit_ma = self.states.number(objects.LIMITER, THRESHOLD_ACTIVE)
        if self.states.limiter_monitors != objects.MONITORED_CURRENT or limit_ma is None:
            return None
        return limit_ma / 1000

    def headroom_a(self, phase: int) -> float | None:
        """Return what a phase may still take from the grid under the fuse, or under the limiter.

        A phase that exports may take what it exports besides.
        """
        fuse_a = self.limit_a if self.main_fuse_a is None else self.main_fuse_a
        current_a = self.values.get(f"current_l{phase}")
        if fuse_a is None or current_a is None:
            return None
        is_export = (self.net_power_w(phase) or 0) < 0
        return round(fuse_a + current_a if is_export else fuse_a - current_a, 2)
