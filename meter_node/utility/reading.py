"""What a meter shows now: its objects, registers, states and alarms. Must not know how to print."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from meter_node.channel import alarms, obis, objects, registers
from meter_node.channel.axdr import BitString, Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.event_codes import LOGS
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.registers import BY_LOGICAL_NAME, Unit
from meter_node.cosem.access import DataAccessResult
from meter_node.utility.errors import NotGenuineError, UtilityError
from meter_node.utility.session import Attribute, Session

UNITS: dict[int, str] = {
    Unit.HOUR: "h",
    Unit.SECOND: "s",
    Unit.WATT: "W",
    Unit.VOLT_AMPERE: "VA",
    Unit.VAR: "var",
    Unit.WATT_HOUR: "Wh",
    Unit.VAR_HOUR: "varh",
    Unit.AMPERE: "A",
    Unit.VOLT: "V",
    Unit.HERTZ: "Hz",
    Unit.PERCENT: "%",
    Unit.NONE: "",
}
_SCALER_AT = {ClassId.REGISTER: 3, ClassId.EXTENDED_REGISTER: 3, ClassId.DEMAND_REGISTER: 4}
_ASSOCIATION_OBJECTS = Attribute(objects.ASSOCIATION)
IDENTITY = {
    "meter_number": CosemObject(ClassId.DATA, registers.METER_NUMBER),
    "model": CosemObject(ClassId.DATA, registers.MODEL),
    "software": CosemObject(ClassId.DATA, registers.SOFTWARE),
    "logical_device_name": objects.LOGICAL_DEVICE_NAME,
}
THRESHOLDS = {
    name: CosemObject(ClassId.REGISTER, obis.parse(code))
    for name, code in (
        ("under_voltage", "1.0.12.31.0.255"),
        ("over_voltage", "1.0.12.35.0.255"),
        ("power_cut", "1.0.12.39.0.255"),
        ("under_voltage_delay", "1.0.12.43.0.255"),
        ("over_voltage_delay", "1.0.12.44.0.255"),
        ("power_cut_delay", "1.0.12.45.0.255"),
        ("long_failure", "0.0.96.7.20.255"),
    )
}
"""Limits of the supply's quality: in V, or s where it is a time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object that the meter says it has, and what this client may do with it."""

    class_id: int
    version: int
    logical_name: bytes
    readable: tuple[int, ...]
    writable: tuple[int, ...]
    callable: tuple[int, ...]

    @property
    def name(self) -> str:
        """What this project calls it; its logical name where it has no other."""
        return name_of(self.logical_name)

    @property
    def which(self) -> CosemObject:
        """The object. Raises UtilityError for a class that is not known here."""
        try:
            return CosemObject(ClassId(self.class_id), self.logical_name)
        except ValueError:
            raise UtilityError(
                f"{self.name} is of class {self.class_id}, which is not known here"
            ) from None


@dataclass(frozen=True, slots=True)
class RegisterValue:
    """One register; `value` None where it has none now."""

    name: str
    logical_name: bytes
    value: Decimal | str | None
    unit: str
    places: int = 0
    """Decimals that its scaler has."""


def _names() -> dict[bytes, str]:
    found = {name: register.key for name, register in BY_LOGICAL_NAME.items()}
    found |= {kind.logical_name: f"log_{log}" for log, kind in LOGS.items()}
    found[registers.CLOCK] = "clock"
    for key, value in vars(objects).items():
        if isinstance(value, CosemObject):
            found.setdefault(value.logical_name, key.lower())
        elif isinstance(value, dict):
            for which, one in value.items():
                if isinstance(one, CosemObject) and not isinstance(which, CosemObject):
                    found.setdefault(one.logical_name, f"{key.lower()}_{which}")
    found |= _failure_counters()
    found |= {which.logical_name: f"{name}_threshold" for name, which in THRESHOLDS.items()}
    return found | {which.logical_name: name for name, which in IDENTITY.items()}


def _failure_counters() -> dict[bytes, str]:
    """Return the registers of failures (0.0.96.7): of all phases, each, any (IEC 62056-6-1)."""
    counters = {"power_failure_count_any": 21}
    for first, what in (
        (0, "power_failure_count"),
        (5, "long_power_failure_count"),
        (15, "long_power_failure_duration"),
    ):
        for place, scope in enumerate(("all", "l1", "l2", "l3", "any")):
            if (what, scope) != ("power_failure_count", "any"):
                counters[f"{what}_{scope}"] = first + place
    return {bytes((0, 0, 96, 7, e, 255)): name for name, e in counters.items()}


_NAMES = _names()
_ORDER = {register.key: place for place, register in enumerate(registers.REGISTERS)}


def name_of(logical_name: bytes) -> str:
    """Return what an object is called here; its logical name where it has no name."""
    known = _NAMES.get(logical_name)
    return obis.text(logical_name) if known is None else known


def listed(session: Session) -> list[Listed]:
    """Return the association view. Raises UtilityError."""
    return [_listed(one) for one in _items(session.get(_ASSOCIATION_OBJECTS))]


def _listed(value: Value) -> Listed:
    class_id, version, name, rights = _fields(value, 4)
    attributes, methods = _fields(rights, 2)
    modes = [_fields(one, 3)[:2] for one in _items(attributes)]
    if not isinstance(class_id, int) or not isinstance(version, int) or not isinstance(name, bytes):
        raise NotGenuineError("the list of objects is none")
    return Listed(
        class_id,
        version,
        name,
        tuple(_whole(number) for number, mode in modes if _whole(mode) & 1),
        tuple(_whole(number) for number, mode in modes if _whole(mode) & 2),
        tuple(_whole(number) for number, mode in map(_pair, _items(methods)) if mode),
    )


def _pair(value: Value) -> tuple[Value, ...]:
    return _fields(value, 2)


def registers_of(session: Session, found: Iterable[Listed]) -> list[RegisterValue]:
    """Return the registers among objects. Raises UtilityError."""
    wanted = [one for one in found if one.class_id in _SCALER_AT and 2 in one.readable]
    asked = []
    for one in wanted:
        which = one.which
        asked += [Attribute(which), Attribute(which, _SCALER_AT[which.class_id])]
    values = session.get_all(asked)
    pairs = zip(values[::2], values[1::2], strict=True)
    return [_register(one, *pair) for one, pair in zip(wanted, pairs, strict=True)]


def _register(
    one: Listed, value: Value | DataAccessResult, scaler_unit: Value | DataAccessResult
) -> RegisterValue:
    scaler, unit = 0, int(Unit.NONE)
    if isinstance(scaler_unit, tuple):
        scaler, unit = map(_whole, _fields(scaler_unit, 2))
    symbol = UNITS.get(unit, f"unit {unit}")
    shown: Decimal | str | None = None
    if isinstance(value, int) and not isinstance(value, DataAccessResult):
        shown = Decimal(value).scaleb(scaler)
    elif value is not None and not isinstance(value, DataAccessResult):
        shown = str(plain(value))
    return RegisterValue(one.name, one.logical_name, shown, symbol, max(0, -scaler))


def in_order(found: Iterable[Listed]) -> list[Listed]:
    """Return objects as people look for them: in the order of the channel's table of registers."""
    return sorted(found, key=lambda one: _ORDER.get(one.name, len(_ORDER)))


def find(name: str, found: Sequence[Listed]) -> Listed:
    """Return an object by its name here or its logical name (1.8.0 is 1.0.1.8.0.255).

    Raises UtilityError.
    """
    by_name = [one for one in found if one.name == name]
    if by_name:
        return by_name[0]
    if name in _NAMES.values():
        raise UtilityError(
            f"the meter shows this client no {name}: this client may not read it, or the meter has "
            "none"
        )
    try:
        wanted = obis.parse(f"1.0.{name}" if name.count(".") == 2 and ":" not in name else name)
    except ValueError:
        raise UtilityError(
            f"{name!r} is neither a name nor an OBIS code here; see meter-node utility objects"
        ) from None
    for one in found:
        if one.logical_name in (wanted, obis.any_channel(wanted)):
            return one
    raise UtilityError(f"the meter shows this client no object {name}")


# --- states ---------------------------------------------------------------------------------------

CONTROL_STATES = {0: "disconnected", 1: "connected", 2: "ready for reconnection"}
RECONNECTIONS = {0: "nobody there", 1: "the button", 2: "the consumer", 3: "button or consumer"}
COMMANDS = ("automatic", "on", "off")


def _of(names: dict[int, str]) -> Callable[[Value], object]:
    return lambda value: names.get(value, value) if isinstance(value, int) else plain(value)


def _closed(value: Value) -> object:
    return None if value is None else "closed" if value else "open"


def _on(value: Value) -> object:
    return None if value is None else "on" if value else "off"


def _command(value: Value) -> object:
    return COMMANDS[value] if isinstance(value, int) and value < len(COMMANDS) else plain(value)


def alarm_names(value: Value) -> list[str]:
    """Return the alarms of a register, in its order."""
    bits = value if isinstance(value, int) else 0
    return [one.name for one in alarms.ALARMS if bits >> one.bit & 1]


@dataclass(frozen=True, slots=True)
class State:
    """One state: what it is called, where it stands and how it is shown."""

    name: str
    attribute: Attribute
    shown: Callable[[Value], object]


def _states() -> tuple[State, ...]:
    def plainly(value: Value) -> object:
        return plain(value)

    breaker = objects.BREAKER
    return (
        State("clock", Attribute(CosemObject(ClassId.CLOCK, registers.CLOCK)), plainly),
        State("tariff", Attribute(objects.ACTIVE_TARIFF), plainly),
        State("status_word", Attribute(objects.STATUS_WORD), plainly),
        State("alarms", Attribute(objects.ALARMS), alarm_names),
        State("breaker", Attribute(breaker), _closed),
        State("breaker_control_state", Attribute(breaker, 3), _of(CONTROL_STATES)),
        State("breaker_control_mode", Attribute(breaker, 4), plainly),
        State("breaker_open_because", Attribute(objects.BREAKER_CAUSES), plainly),
        State("reconnection_by", Attribute(objects.RECONNECTION), _of(RECONNECTIONS)),
        State("neutral_fault", Attribute(objects.NEUTRAL_FAULT), plainly),
        State("limiter_threshold", Attribute(objects.LIMITER, 3), plainly),
        State("limiter_tripped", Attribute(objects.LIMITER_TRIPPED), plainly),
        State("credit_wh", Attribute(objects.CREDIT), plainly),
        *(
            state
            for number in objects.RELAYS
            for state in (
                State(f"relay_{number}", Attribute(objects.RELAYS[number]), _on),
                State(
                    f"relay_{number}_utility",
                    Attribute(objects.RELAY_UTILITY_COMMANDS[number]),
                    _command,
                ),
                State(
                    f"relay_{number}_consumer",
                    Attribute(objects.RELAY_COMMANDS[number]),
                    _command,
                ),
            )
        ),
    )


STATES = _states()


def states_of(
    session: Session, found: Iterable[Listed], names: Iterable[str] | None = None
) -> dict[str, object]:
    """Return the states that the meter has, all or those named. Raises UtilityError."""
    chosen = None if names is None else set(names)
    there = {one.logical_name: one for one in found}
    wanted = [
        one
        for one in STATES
        if (chosen is None or one.name in chosen)
        and (has := there.get(one.attribute.object.logical_name)) is not None
        and one.attribute.number in has.readable
    ]
    values = session.get_all([one.attribute for one in wanted])
    return {
        state.name: state.shown(value)
        for state, value in zip(wanted, values, strict=True)
        if not isinstance(value, DataAccessResult)
    }


def identity_of(session: Session) -> dict[str, object]:
    """Return who the meter says it is: what anybody may read. Raises UtilityError."""
    values = session.get_all([Attribute(which) for which in IDENTITY.values()])
    return {
        name: plain(value)
        for name, value in zip(IDENTITY, values, strict=True)
        if not isinstance(value, DataAccessResult)
    }


# --- values ---------------------------------------------------------------------------------------


def plain(value: Value) -> object:
    """Return COSEM data as JSON could hold it: times as text, other octets as text or hex."""
    if isinstance(value, bytes):
        return _octets(value)
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, BitString):
        return f"{value.bits:0{value.length}b}" if value.length else ""
    return value


def _octets(raw: bytes) -> str:
    if len(raw) == 12:
        try:
            return time_text(raw)
        except ValueError:
            pass
    if len(raw) == 6 and raw[5] == 0xFF:
        return obis.text(raw)
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        return raw.hex()
    return text if text.isprintable() else raw.hex()


def time_text(raw: bytes) -> str:
    """Return a date-time as ISO 8601, with its deviation. Raises ValueError for none."""
    found = CosemDateTime.from_bytes(raw)
    if found.deviation_minutes is None:
        return found.local.isoformat(sep=" ")
    sign = "-" if found.deviation_minutes > 0 else "+"
    hours, minutes = divmod(abs(found.deviation_minutes), 60)
    return f"{found.local.isoformat(sep=' ')}{sign}{hours:02}:{minutes:02}"


def _items(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise NotGenuineError("a list was asked for, and something else came")
    return value


def _fields(value: Value, count: int) -> tuple[Value, ...]:
    if not isinstance(value, tuple) or len(value) != count:
        raise NotGenuineError(f"a structure of {count} was asked for, and something else came")
    return value


def _whole(value: Value) -> int:
    if not isinstance(value, int):
        raise NotGenuineError("a number was asked for, and something else came")
    return value
