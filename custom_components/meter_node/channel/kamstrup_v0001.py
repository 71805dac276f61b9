"""The real meters' push list, ``Kamstrup_V0001``: a flat list without scalers, both ways.

The list does not say in which units it counts: that is a *scaler profile*, chosen by the user
with the country's profile as default. Must not know any key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import cast

from . import axdr, obis, registers
from .apdu import DataNotification
from .cosem_time import CosemDateTime
from .reading import ListError, Reading, scale

LIST_NAME = "Kamstrup_V0001"

# Plain numbers: a look-up by an enumeration's member costs ten times as much.
_WATT_HOUR, _VAR_HOUR = int(registers.Unit.WATT_HOUR), int(registers.Unit.VAR_HOUR)
_VOLT, _AMPERE = int(registers.Unit.VOLT), int(registers.Unit.AMPERE)
_RATIO = int(registers.Unit.NONE)
_KEYS = {name: register.key for name, register in registers.BY_LOGICAL_NAME.items()}
_VOLTAGES = tuple(f"voltage_l{phase}" for phase in registers.PHASES)


@dataclass(frozen=True, slots=True)
class ScalerProfile:
    """In which powers of ten a meter counts; ``voltage`` None: told by the size of the number."""

    key: str
    energy: int
    voltage: int | None = None
    current: int = -2
    power: int = 0
    power_factor: int = -2

    def scalers(self, voltage: int) -> dict[int, int]:
        """Return the scaler of each unit by its code; ``voltage`` is what it is in this list."""
        found = dict.fromkeys(map(int, registers.Unit), self.power)
        found |= {_WATT_HOUR: self.energy, _VAR_HOUR: self.energy, _VOLT: voltage}
        return found | {_AMPERE: self.current, _RATIO: self.power_factor}


SCALER_PROFILES: dict[str, ScalerProfile] = {
    profile.key: profile
    for profile in (
        ScalerProfile("energy_1_wh", energy=0),
        ScalerProfile("energy_10_wh", energy=1),
    )
}
"""1 Wh and 10 Wh share one list id and no range tells them apart: the user is asked."""

DEFAULT_SCALER_PROFILE = "energy_1_wh"
SCALER_PROFILE_OF_COUNTRY: dict[str, str] = {"NO": "energy_10_wh"}
"""By ISO 3166 code; every other country counts 1 Wh (seen in Denmark and Sweden)."""

# Some firmware of 2025 sends 22199 for 221.99 V. No mains voltage reaches 1 000 V, and none that
# a meter lives on is below 10 V on all its phases.
_VOLTAGE_IN_HUNDREDTHS_FROM = 1000

_TEXTS: dict[bytes, str] = {
    obis.parse("1.1.0.0.1.255"): "meter_number",
    obis.parse("1.1.0.0.5.255"): "gs1_number",
    obis.parse("1.1.96.1.1.255"): "model",
}
_CLOCK = obis.parse("0.1.1.0.0.255")

_U32_VALUES = 1 << 32
_NULL = 0
_U16 = 18
_U32 = 6
_VISIBLE = 10
_DATE_TIME = 9


@dataclass(frozen=True, slots=True)
class Layout:
    """One list as a meter sends it: logical names in their order, with their type tags.

    Tag 0: null-data, in place of the name and of the value.
    """

    key: str
    items: tuple[tuple[bytes, int], ...]

    @property
    def elements(self) -> int:
        """How many elements the flat structure has: the name, then two an item."""
        return 1 + 2 * len(self.items)


def _items(tag: int, *names: str) -> tuple[tuple[bytes, int], ...]:
    return tuple((obis.parse(f"1.1.{name}.255"), tag) for name in names)


_IDENTITY = _items(_VISIBLE, "0.0.5", "96.1.1")
_METER_NUMBER = _items(_U32, "0.0.1")
_CLOCK_ITEM = ((_CLOCK, _DATE_TIME),)
_ENERGY = _items(_U32, "1.8.0", "2.8.0", "3.8.0", "4.8.0")
_POWER = _items(_U32, "1.7.0", "2.7.0", "3.7.0", "4.7.0")
_CURRENT = _items(_U32, "31.7.0", "51.7.0", "71.7.0")
_VOLTAGE = _items(_U16, "32.7.0", "52.7.0", "72.7.0")
_PHASES = (
    _VOLTAGE
    + _CURRENT
    + _items(_U32, "21.7.0", "41.7.0", "61.7.0")
    + _items(_U16, "33.7.0", "53.7.0", "73.7.0", "13.7.0")
    + _items(_U32, "22.7.0", "42.7.0", "62.7.0", "22.8.0", "42.8.0", "62.8.0")
    + _items(_U32, "21.8.0", "41.8.0", "61.8.0")
)

_PHASE = (
    _VOLTAGE[:1]
    + _CURRENT[:1]
    + _items(_U32, "21.7.0")
    + _items(_U16, "33.7.0", "13.7.0")
    + _items(_U32, "22.7.0", "22.8.0", "21.8.0")
)

_TEN_SECONDS = _IDENTITY + _POWER + _CURRENT + _VOLTAGE
_HOURLY = _TEN_SECONDS + _CLOCK_ITEM + _ENERGY
_DANISH = _ENERGY + _METER_NUMBER + _POWER + _CLOCK_ITEM + _PHASES


def _of_phases(phases: int, items: tuple[tuple[bytes, int], ...]) -> tuple[tuple[bytes, int], ...]:
    """Put null-data where a phase would be that the meter hasn't."""
    return tuple((b"", _NULL) if _phase_of(name) > phases else (name, tag) for name, tag in items)


def _phase_of(name: bytes) -> int:
    """Return which phase an item is of, 0 for all."""
    register = registers.BY_LOGICAL_NAME.get(name)
    return (register.phase or 0) if register else 0


LAYOUTS: dict[str, Layout] = {
    layout.key: layout
    for layout in (
        Layout("three_phase_10_s", _TEN_SECONDS),
        Layout("three_phase_hourly", _HOURLY),
        Layout("three_phase_danish", _DANISH),
        Layout("two_phase_10_s", _of_phases(2, _TEN_SECONDS)),
        Layout("two_phase_hourly", _of_phases(2, _HOURLY)),
        Layout("two_phase_danish", _of_phases(2, _DANISH)),
        Layout("one_phase_10_s", _of_phases(1, _TEN_SECONDS)),
        Layout("one_phase_hourly", _of_phases(1, _HOURLY)),
        # No capture of it is published: the three-phase list without what L2 and L3 have.
        Layout("one_phase_danish", _ENERGY + _METER_NUMBER + _POWER + _CLOCK_ITEM + _PHASE),
    )
}


def decode(notification: DataNotification, profile: ScalerProfile) -> Reading:
    """Read the list. Raises ListError when it is not one.

    Null-data in place of a name or a value (a one-phase meter's L2 and L3) is passed over.
    """
    body = notification.body
    if not isinstance(body, tuple) or not body or body[0] != LIST_NAME:
        raise ListError(f"not a {LIST_NAME} list")
    numbers: dict[str, int] = {}
    texts: dict[str, str] = {}
    time = notification.time
    for name, value in _pairs(body):
        key = _KEYS.get(name)
        if key is not None:
            if type(value) is not int:  # a boolean is none
                raise ListError(f"{LIST_NAME}: {obis.text(name)} holds no number")
            numbers[key] = value
        elif name in _TEXTS:
            texts[_TEXTS[name]] = str(value)
        elif name == _CLOCK and isinstance(value, bytes):
            try:
                time = CosemDateTime.from_bytes(value)
            except ValueError as error:
                raise ListError(f"{LIST_NAME}: clock: {error}") from None
    highest_v = max(numbers.get(key, 0) for key in _VOLTAGES)
    scales = _scales(profile, highest_v >= _VOLTAGE_IN_HUNDREDTHS_FROM)
    values = {key: scales[key](raw) for key, raw in numbers.items()}
    return Reading(LIST_NAME, time, values, texts)


@lru_cache(maxsize=16)
def _scales(profile: ScalerProfile, in_hundredths: bool) -> dict[str, Callable[[float], float]]:
    """Return what makes each register's number a value; ``in_hundredths`` as the voltages look."""
    guessed = -2 if in_hundredths else 0
    scalers = profile.scalers(guessed if profile.voltage is None else profile.voltage)
    return {
        register.key: scale(scalers[int(register.quantity.unit)])
        for register in registers.REGISTERS
    }


def _pairs(body: tuple[axdr.Value, ...]) -> Iterable[tuple[bytes, axdr.Value]]:
    """Return logical names and their values, those that are null-data left out."""
    names = body[1::2]
    if len(body) % 2 and None not in body and {*map(type, names)} == {bytes}:
        pairs = [*zip(cast("tuple[bytes, ...]", names), body[2::2], strict=True)]
    else:
        pairs = [*_pairs_with_gaps(body)]
    if {len(name) for name, _ in pairs} - {6}:
        raise ListError(f"{LIST_NAME}: an element is no logical name with a value")
    return pairs


def _pairs_with_gaps(body: tuple[axdr.Value, ...]) -> Iterator[tuple[bytes, axdr.Value]]:
    index = 1
    while index < len(body):
        name = body[index]
        if name is None:
            index += 1
            continue
        if not isinstance(name, bytes) or index + 1 >= len(body):
            raise ListError(f"{LIST_NAME}: element {index} is no logical name with a value")
        value = body[index + 1]
        if value is not None:
            yield name, value
        index += 2


def encode(
    layout: Layout,
    profile: ScalerProfile,
    time: CosemDateTime,
    values: Mapping[str, float | Decimal],
    texts: Mapping[str, str],
) -> bytes:
    """Return the list as A-XDR: what ``decode`` reads back, to the list's own resolution.

    A ``Decimal`` is cut off there, as a register is, and an energy of it rolls over where the list
    has no more bits; a float is rounded. Raises KeyError for a value that the layout wants and the
    caller does not give.
    """
    elements = [axdr.visible_string(LIST_NAME)]
    for name, tag in layout.items:
        if tag == _NULL:
            elements += [axdr.null_data()] * 2
            continue
        elements.append(axdr.octet_string(name))
        elements.append(_encode_item(name, tag, profile, time, values, texts))
    return axdr.structure(*elements)


def _encode_item(
    name: bytes,
    tag: int,
    profile: ScalerProfile,
    time: CosemDateTime,
    values: Mapping[str, float | Decimal],
    texts: Mapping[str, str],
) -> bytes:
    if tag == _DATE_TIME:
        return axdr.octet_string(time.to_bytes(hundredths=False))
    if name in _TEXTS:
        text = texts[_TEXTS[name]]
        return axdr.visible_string(text) if tag == _VISIBLE else axdr.number(tag, int(text))
    register = registers.BY_LOGICAL_NAME[name]
    scaler = profile.scalers(profile.voltage or 0)[int(register.quantity.unit)]
    value = values[register.key]
    if isinstance(value, Decimal):
        raw = int(value.scaleb(-scaler))
        return axdr.number(tag, raw % _U32_VALUES if register.is_energy else raw)
    return axdr.number(tag, round(value / 10.0**scaler))
