"""The register table: every quantity with its OBIS code, unit, scaler and wire type, once.

The node's registers, the push lists, Home Assistant's entities and the documentation are all fed
from here. Must not know where a value comes from or who shows it.

A quantity is a row. The groups follow IEC 62056-61: value group C is the quantity's number for the
total and the number plus 20, 40, 60 for L1, L2, L3; D is 7 for an instantaneous value and 8 for a
time integral.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from . import obis


class Unit(IntEnum):
    """Physical units by their DLMS code (IEC 62056-6-2, table of units)."""

    WATT = 27
    VOLT_AMPERE = 28
    VAR = 29
    WATT_HOUR = 30
    VAR_HOUR = 32
    AMPERE = 33
    VOLT = 35
    HERTZ = 44
    NONE = 255


class WireType(IntEnum):
    """A-XDR type tag with which our own list sends a register."""

    LONG = 16
    DOUBLE_LONG_UNSIGNED = 6
    LONG64_UNSIGNED = 21


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row: a quantity with the groups C (of the total) and D of its logical name."""

    name: str
    c: int
    d: int
    unit: Unit
    scaler: int
    wire: WireType
    total: bool = True
    per_phase: bool = True


INSTANTANEOUS = 7
TIME_INTEGRAL = 8

_ENERGY = (TIME_INTEGRAL, Unit.WATT_HOUR, 0, WireType.LONG64_UNSIGNED)
_REACTIVE_ENERGY = (TIME_INTEGRAL, Unit.VAR_HOUR, 0, WireType.LONG64_UNSIGNED)
_POWER = (INSTANTANEOUS, Unit.WATT, -1, WireType.DOUBLE_LONG_UNSIGNED)
_REACTIVE_POWER = (INSTANTANEOUS, Unit.VAR, -1, WireType.DOUBLE_LONG_UNSIGNED)

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("import_active_energy", 1, *_ENERGY),
    Quantity("export_active_energy", 2, *_ENERGY),
    Quantity("import_reactive_energy", 3, *_REACTIVE_ENERGY),
    Quantity("export_reactive_energy", 4, *_REACTIVE_ENERGY),
    Quantity("reactive_energy_q1", 5, *_REACTIVE_ENERGY),
    Quantity("reactive_energy_q2", 6, *_REACTIVE_ENERGY),
    Quantity("reactive_energy_q3", 7, *_REACTIVE_ENERGY),
    Quantity("reactive_energy_q4", 8, *_REACTIVE_ENERGY),
    Quantity("import_active_power", 1, *_POWER),
    Quantity("export_active_power", 2, *_POWER),
    Quantity("import_reactive_power", 3, *_REACTIVE_POWER),
    Quantity("export_reactive_power", 4, *_REACTIVE_POWER),
    Quantity(
        "apparent_power", 9, INSTANTANEOUS, Unit.VOLT_AMPERE, -1, WireType.DOUBLE_LONG_UNSIGNED
    ),
    Quantity(
        "voltage", 12, INSTANTANEOUS, Unit.VOLT, -2, WireType.DOUBLE_LONG_UNSIGNED, total=False
    ),
    Quantity(
        "current", 11, INSTANTANEOUS, Unit.AMPERE, -3, WireType.DOUBLE_LONG_UNSIGNED, total=False
    ),
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
)

PHASES = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Register:
    """One register: a quantity, of one phase or in total (``phase`` None)."""

    key: str
    """``voltage_l1``, ``import_active_energy``: its name in code, JSON and unique ids."""
    quantity: Quantity
    phase: int | None
    logical_name: obis.LogicalName

    @property
    def is_energy(self) -> bool:
        """Whether it counts and never goes backwards."""
        return self.quantity.d == TIME_INTEGRAL


def _expand(quantity: Quantity) -> list[Register]:
    phases: list[int | None] = []
    if quantity.total:
        phases.append(None)
    if quantity.per_phase:
        phases.extend(PHASES)
    return [
        Register(
            quantity.name if phase is None else f"{quantity.name}_l{phase}",
            quantity,
            phase,
            bytes((1, 0, quantity.c + 20 * (phase or 0), quantity.d, 0, 255)),
        )
        for phase in phases
    ]


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


def registers_of(phases: int) -> tuple[Register, ...]:
    """Return the registers of a meter with that many phases, in the table's order.

    A one-phase meter's only phase is L1, which its customer reads as "the" voltage and current.
    """
    return tuple(
        register for register in REGISTERS if register.phase is None or register.phase <= phases
    )
