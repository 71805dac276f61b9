"""The register table: every quantity with its OBIS code, unit, scaler and wire type, once.

The node's registers, the push lists, Home Assistant's entities and the documentation are all fed
from here. Must not know where a value comes from or who shows it.

A quantity is a row. The groups follow IEC 62056-61: value group C is the quantity's number for the
total and the number plus 20, 40, 60 for L1, L2, L3; D says how it is processed (4, 5, 6 demand, 7
instantaneous, 8 time integral, 24 average, 32 to 38 sags and swells); E is the tariff, 0 for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from . import obis


class Unit(IntEnum):
    """Physical units by their DLMS code (IEC 62056-6-2, table of units)."""

    HOUR = 5
    SECOND = 7
    WATT = 27
    VOLT_AMPERE = 28
    VAR = 29
    WATT_HOUR = 30
    VAR_HOUR = 32
    AMPERE = 33
    VOLT = 35
    HERTZ = 44
    PERCENT = 56
    NONE = 255


class WireType(IntEnum):
    """A-XDR type tag with which our own list sends a register."""

    LONG = 16
    DOUBLE_LONG_UNSIGNED = 6
    LONG64 = 20
    LONG64_UNSIGNED = 21


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row: a quantity with the groups C (of the total), D and E of its logical name.

    `counts`: it never goes backwards. `per_tariff`: T1 to T8 beside the total. `abstract`: of the
    meter and not of electricity (group A is 0). `pushed`: it travels in every push; the others are
    there for whoever asks.
    """

    name: str
    c: int
    d: int
    unit: Unit
    scaler: int
    wire: WireType
    total: bool = True
    per_phase: bool = True
    per_tariff: bool = False
    counts: bool = False
    e: int = 0
    abstract: bool = False
    pushed: bool = True


RUNNING_DEMAND, LAST_DEMAND, MAXIMUM_DEMAND = 4, 5, 6
INSTANTANEOUS = 7
TIME_INTEGRAL = 8
AVERAGE = 24
SAG_COUNT, SAG_DURATION, SAG_MAGNITUDE = 32, 33, 34
SWELL_COUNT, SWELL_DURATION, SWELL_MAGNITUDE = 36, 37, 38
THD = 124
"""Group E of the total harmonic distortion."""
TARIFFS = range(1, 9)
CUSTOMER = 64
"""Group E of the counter that the customer may reset: E from 64 on is the maker's."""
OTHER_SUMMATION = 128
"""Added to group C: the maker's range, here for the summation that does not feed C itself."""

_ENERGY = (TIME_INTEGRAL, Unit.WATT_HOUR, 0, WireType.LONG64_UNSIGNED)
_REACTIVE_ENERGY = (TIME_INTEGRAL, Unit.VAR_HOUR, 0, WireType.LONG64_UNSIGNED)
_POWER = (INSTANTANEOUS, Unit.WATT, -1, WireType.DOUBLE_LONG_UNSIGNED)
_REACTIVE_POWER = (INSTANTANEOUS, Unit.VAR, -1, WireType.DOUBLE_LONG_UNSIGNED)

_VOLTAGE = (Unit.VOLT, -2, WireType.DOUBLE_LONG_UNSIGNED)
_CURRENT = (Unit.AMPERE, -3, WireType.DOUBLE_LONG_UNSIGNED)
_DISTORTION = (INSTANTANEOUS, Unit.PERCENT, -1, WireType.DOUBLE_LONG_UNSIGNED)
_DEMAND = (Unit.WATT, -1, WireType.DOUBLE_LONG_UNSIGNED, True, False)
_COUNT = (Unit.NONE, 0, WireType.DOUBLE_LONG_UNSIGNED)
_DURATION = (Unit.SECOND, -3, WireType.DOUBLE_LONG_UNSIGNED)

SUMMED_ENERGIES = (
    "import_active_energy",
    "export_active_energy",
    "import_reactive_energy",
    "export_reactive_energy",
    "reactive_energy_q1",
    "reactive_energy_q2",
    "reactive_energy_q3",
    "reactive_energy_q4",
)
"""The energies that either summation can feed, in the order of their group C from 1 on."""

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("import_active_energy", 1, *_ENERGY, per_tariff=True, counts=True),
    Quantity("export_active_energy", 2, *_ENERGY, per_tariff=True, counts=True),
    Quantity("import_reactive_energy", 3, *_REACTIVE_ENERGY, per_tariff=True, counts=True),
    Quantity("export_reactive_energy", 4, *_REACTIVE_ENERGY, per_tariff=True, counts=True),
    Quantity("reactive_energy_q1", 5, *_REACTIVE_ENERGY, counts=True),
    Quantity("reactive_energy_q2", 6, *_REACTIVE_ENERGY, counts=True),
    Quantity("reactive_energy_q3", 7, *_REACTIVE_ENERGY, counts=True),
    Quantity("reactive_energy_q4", 8, *_REACTIVE_ENERGY, counts=True),
    Quantity("import_active_power", 1, *_POWER),
    Quantity("export_active_power", 2, *_POWER),
    Quantity("import_reactive_power", 3, *_REACTIVE_POWER),
    Quantity("export_reactive_power", 4, *_REACTIVE_POWER),
    Quantity(
        "apparent_power", 9, INSTANTANEOUS, Unit.VOLT_AMPERE, -1, WireType.DOUBLE_LONG_UNSIGNED
    ),
    Quantity("voltage", 12, INSTANTANEOUS, *_VOLTAGE, total=False),
    Quantity("current", 11, INSTANTANEOUS, *_CURRENT, total=False),
    Quantity("power_factor", 13, INSTANTANEOUS, Unit.NONE, -3, WireType.LONG),
    Quantity(
        "frequency",
        14,
        INSTANTANEOUS,
        Unit.HERTZ,
        -3,
        WireType.DOUBLE_LONG_UNSIGNED,
        per_phase=False,
    ),
    Quantity(
        "neutral_current",
        91,
        INSTANTANEOUS,
        Unit.AMPERE,
        -3,
        WireType.DOUBLE_LONG_UNSIGNED,
        per_phase=False,
    ),
    Quantity("voltage_thd", 12, *_DISTORTION, total=False, e=THD),
    Quantity("current_thd", 11, *_DISTORTION, total=False, e=THD),
    Quantity("import_active_demand", 1, RUNNING_DEMAND, *_DEMAND),
    Quantity("import_active_demand_last", 1, LAST_DEMAND, *_DEMAND),
    Quantity("import_active_demand_maximum", 1, MAXIMUM_DEMAND, *_DEMAND),
    Quantity("export_active_demand", 2, RUNNING_DEMAND, *_DEMAND, pushed=False),
    Quantity("export_active_demand_last", 2, LAST_DEMAND, *_DEMAND, pushed=False),
    Quantity("export_active_demand_maximum", 2, MAXIMUM_DEMAND, *_DEMAND, pushed=False),
    Quantity("absolute_active_energy", 15, *_ENERGY, per_phase=False, counts=True, pushed=False),
    Quantity(
        "net_active_energy",
        16,
        TIME_INTEGRAL,
        Unit.WATT_HOUR,
        0,
        WireType.LONG64,
        per_phase=False,
        pushed=False,
    ),
    Quantity(
        "import_active_energy_customer", 1, *_ENERGY, per_phase=False, e=CUSTOMER, pushed=False
    ),
    *(
        Quantity(
            f"other_{name}",
            OTHER_SUMMATION + c,
            *(_ENERGY if c <= 2 else _REACTIVE_ENERGY),
            per_phase=False,
            counts=True,
            pushed=False,
        )
        for c, name in enumerate(SUMMED_ENERGIES, start=1)
    ),
    Quantity("voltage_average", 12, AVERAGE, *_VOLTAGE, total=False, pushed=False),
    Quantity("current_average", 11, AVERAGE, *_CURRENT, total=False, pushed=False),
    Quantity("voltage_sag_count", 12, SAG_COUNT, *_COUNT, total=False, pushed=False),
    Quantity("voltage_sag_duration", 12, SAG_DURATION, *_DURATION, total=False, pushed=False),
    Quantity("voltage_sag_magnitude", 12, SAG_MAGNITUDE, *_VOLTAGE, total=False, pushed=False),
    Quantity("voltage_swell_count", 12, SWELL_COUNT, *_COUNT, total=False, pushed=False),
    Quantity("voltage_swell_duration", 12, SWELL_DURATION, *_DURATION, total=False, pushed=False),
    Quantity("voltage_swell_magnitude", 12, SWELL_MAGNITUDE, *_VOLTAGE, total=False, pushed=False),
    Quantity(
        "operating_time",
        96,
        TIME_INTEGRAL,
        Unit.HOUR,
        0,
        WireType.DOUBLE_LONG_UNSIGNED,
        per_phase=False,
        abstract=True,
        pushed=False,
    ),
)

PHASES = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Register:
    """One register: a quantity, of one phase or in total (``phase`` None), of one tariff or all."""

    key: str
    """``voltage_l1``, ``import_active_energy``: its name in code, JSON and unique ids."""
    quantity: Quantity
    phase: int | None
    logical_name: obis.LogicalName
    tariff: int | None = None

    @property
    def is_energy(self) -> bool:
        """Whether it counts energy and never goes backwards."""
        return self.quantity.counts


def _expand(quantity: Quantity) -> list[Register]:
    phases: list[int | None] = []
    if quantity.total:
        phases.append(None)
    if quantity.per_phase:
        phases.extend(PHASES)
    found = [
        Register(
            quantity.name if phase is None else f"{quantity.name}_l{phase}",
            quantity,
            phase,
            _logical_name(quantity, quantity.c + 20 * (phase or 0), quantity.e),
        )
        for phase in phases
    ]
    if quantity.per_tariff:
        found += [
            Register(
                f"{quantity.name}_t{tariff}",
                quantity,
                None,
                _logical_name(quantity, quantity.c, tariff),
                tariff,
            )
            for tariff in TARIFFS
        ]
    return found


def _logical_name(quantity: Quantity, c: int, e: int) -> obis.LogicalName:
    return bytes((0 if quantity.abstract else 1, 0, c, quantity.d, e, 255))


REGISTERS: tuple[Register, ...] = tuple(
    register for quantity in QUANTITIES for register in _expand(quantity)
)
BY_KEY: dict[str, Register] = {register.key: register for register in REGISTERS}
BY_LOGICAL_NAME: dict[obis.LogicalName, Register] = {
    register.logical_name: register for register in REGISTERS
}
# The real meters write B = 1 (a channel number); both stand for the same register.
BY_LOGICAL_NAME |= {
    name[:1] + b"\x01" + name[2:]: register for name, register in BY_LOGICAL_NAME.items()
}

METER_NUMBER = obis.parse("0.0.96.1.0.255")
"""The meter's serial number (Data, class 1)."""
MODEL = obis.parse("0.0.96.1.1.255")
"""The meter's model (Data, class 1)."""
SOFTWARE = obis.parse("1.0.0.2.0.255")
"""The version of the metering software (Data, class 1)."""
CLOCK = obis.parse("0.0.1.0.0.255")
"""The clock (class 8)."""

ROLLOVER_WH = 10_000_000_000
"""Energy registers roll over at 10⁷ kWh."""


def registers_of(phases: int, tariffs: int = TARIFFS[-1]) -> tuple[Register, ...]:
    """Return the registers of a meter with so many phases and tariffs, in the table's order.

    A one-phase meter's only phase is L1, which its customer reads as "the" voltage and current.
    """
    return tuple(
        register
        for register in REGISTERS
        if (register.phase or 0) <= phases and (register.tariff or 0) <= tariffs
    )
