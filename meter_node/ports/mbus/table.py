"""Which register is which M-Bus record: unit, direction, quadrant, phase, tariff, storage number.

Must not know frames nor who asks.

VIF codes: EN 13757-3:2018, the primary table, its first and second extension, the combinable codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from meter_node.channel import objects, registers
from meter_node.channel.registers import Register, Unit
from meter_node.ports.module import MeterView

from .records import DATE_TIME, Function, Record, Status, integer, text, type_f

_FIRST, _SECOND, _COMBINED = 0x7B, 0x7D, 0x7C
"""What opens the first and the second extension table, and that of the combinable codes."""
_BACKWARD = 0x3C
_TENTH, _THOUSANDTH = 0x75, 0x73
"""Factors 10⁻¹ and 10⁻³ of the code before: kvar are too coarse for a household."""
_RATIO = (_SECOND, 0x3A, _THOUSANDTH)
_VOLTS, _CENTIVOLTS = (_SECOND, 0x49), (_SECOND, 0x47)
_EXCEEDS, _LAST_LASTED = 0x41, 0x54
"""How often a lower limit was exceeded, and for how many seconds the last time."""
_UPPER = 0x08
"""Added to them: an upper limit."""
_OURS = 0x7F
"""What stands behind it is the maker's own: EN 13757-3 has nothing for harmonics."""

_UNITS: Mapping[tuple[Unit, int], tuple[int, ...]] = {
    (Unit.WATT_HOUR, 0): (0x03,),
    (Unit.VAR_HOUR, 0): (_FIRST, 0x02, _THOUSANDTH),
    (Unit.WATT, -1): (0x2A,),
    (Unit.VAR, -1): (_FIRST, 0x14, _TENTH),
    (Unit.VOLT_AMPERE, -1): (_FIRST, 0x34, _TENTH),
    (Unit.VOLT, -2): _CENTIVOLTS,
    (Unit.AMPERE, -3): (_SECOND, 0x59),
    (Unit.HERTZ, -3): (_FIRST, 0x2C),
    (Unit.NONE, -3): _RATIO,
    (Unit.PERCENT, -1): _RATIO,
    (Unit.HOUR, 0): (0x26,),
}
"""Unit and scaler; a register whose unit M-Bus has not is not sent."""
_KINDS: Mapping[int, tuple[int, ...]] = {
    1: (),
    2: (_BACKWARD,),
    3: (),
    4: (_BACKWARD,),
    5: (_COMBINED, 0x08),
    6: (_COMBINED, 0x09),
    7: (_COMBINED, 0x0A),
    8: (_COMBINED, 0x0B),
    9: (),
    11: (),
    12: (),
    13: (),
    14: (),
    15: (_COMBINED, 0x10),
    16: (_COMBINED, 0x0C),
    91: (_COMBINED, 0x04),
    96: (),
}
"""Value group C of the total: direction, quadrant, absolute value, difference, neutral."""
_PLACES: Mapping[int, tuple[Function, int]] = {
    registers.INSTANTANEOUS: (Function.INSTANTANEOUS, 0),
    registers.TIME_INTEGRAL: (Function.INSTANTANEOUS, 0),
    registers.LAST_DEMAND: (Function.INSTANTANEOUS, 1),
    registers.AVERAGE: (Function.INSTANTANEOUS, 1),
    registers.MAXIMUM_DEMAND: (Function.MAXIMUM, 0),
}
"""Value group D: function and storage number; 1 holds the last whole interval."""
_EVENTS: Mapping[int, tuple[tuple[int, ...], Function]] = {
    registers.SAG_COUNT: ((*_VOLTS, _EXCEEDS), Function.INSTANTANEOUS),
    registers.SAG_DURATION: ((*_VOLTS, _LAST_LASTED, _THOUSANDTH), Function.INSTANTANEOUS),
    registers.SAG_MAGNITUDE: (_CENTIVOLTS, Function.MINIMUM),
    registers.SWELL_COUNT: ((*_VOLTS, _EXCEEDS | _UPPER), Function.INSTANTANEOUS),
    registers.SWELL_DURATION: (
        (*_VOLTS, _LAST_LASTED | _UPPER, _THOUSANDTH),
        Function.INSTANTANEOUS,
    ),
    registers.SWELL_MAGNITUDE: (_CENTIVOLTS, Function.MAXIMUM),
}
"""Value group D of sags and swells: a sag is a voltage below a lower limit. Counts and durations
are of whole volts: a reader that does not know the codes behind shows the right digits."""
_OF_THE_LAST: Mapping[str, str] = {
    f"voltage_{event}_{what}": f"voltage_{event}_count"
    for event in ("sag", "swell")
    for what in ("duration", "magnitude")
}
"""What is of the last one, and what counts them: without one it has no value."""
_HARMONICS: Mapping[int, tuple[int, ...]] = {12: (_OURS, 0x01), 11: (_OURS, 0x02)}
"""Value group C to what a total harmonic distortion is of: voltage, current."""
_LENGTH, _WIDE = 4, 6
_WIDE_UNITS = (Unit.WATT_HOUR, Unit.VAR_HOUR, Unit.SECOND)
"""Of which four bytes have too few: 10⁷ kWh, and milliseconds of a voltage that stays low."""
_PERMANENT = (2, 4, 5)
"""Digits of the status word, from the right: memories. The others are the surroundings."""

ALL, USER_DATA, MULTI_TARIFF, INSTANTANEOUS = 0x0, 0x1, 0x4, 0x5
"""What a master may want told (EN 13757-3, application reset); any other is everything."""
_GROUPS: Mapping[int, Callable[[Register], bool]] = {
    USER_DATA: lambda register: (
        register.quantity.d == registers.TIME_INTEGRAL and register.tariff is None
    ),
    MULTI_TARIFF: lambda register: register.tariff is not None,
    INSTANTANEOUS: lambda register: register.quantity.d == registers.INSTANTANEOUS,
}


@dataclass(frozen=True, slots=True)
class Row:
    """How a register goes over M-Bus."""

    register: Register
    vif: tuple[int, ...]
    function: Function
    storage: int
    length: int

    def record(self, raw: int) -> Record:
        """Return a value of the register, in units of its scaler, as its record."""
        return Record(
            self.vif,
            integer(raw, self.length),
            self.function,
            self.storage,
            self.register.tariff or 0,
        )

    def belongs_to(self, group: int) -> bool:
        """Whether it is told when a master wants this group."""
        return group not in _GROUPS or _GROUPS[group](self.register)


def _row(register: Register) -> Row | None:
    quantity = register.quantity
    phase = () if register.phase is None else (_COMBINED, register.phase)
    length = _WIDE if quantity.unit in _WIDE_UNITS else _LENGTH
    if quantity.d in _EVENTS:
        vif, function = _EVENTS[quantity.d]
        return Row(register, vif + phase, function, 0, length)
    unit = _UNITS.get((quantity.unit, quantity.scaler))
    kind, place = _KINDS.get(quantity.c), _PLACES.get(quantity.d)
    if unit is None or kind is None or place is None:
        return None
    if quantity.e == registers.THD:
        return Row(register, unit + phase + _HARMONICS[quantity.c], *place, length)
    if quantity.e:
        return None
    return Row(register, unit + kind + phase, *place, length)


def _comes_after(row: Row) -> tuple[bool, bool]:
    return row.register.tariff is not None, row.register.phase is not None


ROWS: tuple[Row, ...] = tuple(
    sorted((row for row in map(_row, registers.REGISTERS) if row), key=_comes_after)
)
"""Totals, phases, tariffs: many a master reads no more than the first telegram.

What is absent has no unit in M-Bus, or no meaning there.
"""
BY_KEY: Mapping[str, Row] = {row.register.key: row for row in ROWS}


def readout(view: MeterView, group: int) -> Iterator[Record]:
    """Yield what the meter tells of its committed image. Raises AccessError before there is one."""
    yield Record((DATE_TIME,), type_f(view.time))
    if group in (ALL, USER_DATA):
        yield from _identity(view)
    for row in ROWS:
        key, tariff = row.register.key, row.register.tariff
        if not row.belongs_to(group) or (tariff is not None and tariff > view.tariffs):
            continue
        if (raw := view.raw(key)) is None or not _has_been(view, row.register):
            continue
        yield row.record(raw)
        if row.function is Function.MAXIMUM and (maximum := view.maximum(key)) is not None:
            ended = (DATE_TIME, *_KINDS[row.register.quantity.c])
            yield Record(ended, type_f(maximum[1]), Function.MAXIMUM)


def _has_been(view: MeterView, register: Register) -> bool:
    """Whether there was one, where the register is of the last one."""
    counter = _OF_THE_LAST.get(register.quantity.name)
    return counter is None or bool(view.raw(f"{counter}_l{register.phase}"))


def _identity(view: MeterView) -> Iterator[Record]:
    yield Record((0x78,), text(view.identity.meter_number), is_text=True)
    yield Record((_SECOND, 0x0C), text(view.identity.model), is_text=True)
    yield Record((_SECOND, 0x0F), text(view.identity.software), is_text=True)
    alarms = view.state(objects.ALARMS)
    if isinstance(alarms, int):
        yield Record((_SECOND, 0x17), alarms.to_bytes(_LENGTH, "little"))


def status(view: MeterView) -> int:
    """Return the status byte. Raises AccessError before the first commit."""
    word = view.state(objects.STATUS_WORD)
    wrong = {
        place
        for place, digit in enumerate(reversed(word if isinstance(word, str) else ""), start=1)
        if digit != "0" and place > 1
    }
    found = Status.PERMANENT_ERROR if wrong & set(_PERMANENT) else 0
    return found | (Status.TEMPORARY_ERROR if wrong - set(_PERMANENT) else 0)
