"""Our own push list, ``MeterNode_V1``: self-describing, both ways.

``structure {name, date-time, registers, states, logs, events}``; each register brings its scaler
and unit, so that a DLMS reader that never heard of us understands it. Must not know any key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Self

from . import apdu, axdr, registers
from .apdu import DataNotification
from .cosem_time import CosemDateTime
from .reading import ListError, LoggedEvent, LogHead, Reading, State, scale, scaled
from .shape import Shape, shape

LIST_NAME = "MeterNode_V1"

TEXTS: dict[bytes, str] = {
    registers.METER_NUMBER: "meter_number",
    registers.MODEL: "model",
    registers.SOFTWARE: "software",
}
"""States that identify the meter, and the name under which a reading gives them."""


def encode_register(register: registers.Register, raw: int) -> bytes:
    """Return one element of the registers' array; ``raw`` counts units of 10^scaler."""
    quantity = register.quantity
    return axdr.structure(
        axdr.octet_string(register.logical_name),
        axdr.number(quantity.wire, raw),
        axdr.structure(axdr.integer(quantity.scaler), axdr.enum(quantity.unit)),
    )


def encode_state(class_id: int, logical_name: bytes, attribute: int, value: bytes) -> bytes:
    """Return one element of the states' array; ``value`` is A-XDR already."""
    return axdr.structure(
        axdr.long_unsigned(class_id),
        axdr.octet_string(logical_name),
        axdr.integer(attribute),
        value,
    )


def encode_log_head(head: LogHead) -> bytes:
    """Return one element of the logs' array."""
    return axdr.structure(
        axdr.octet_string(head.logical_name),
        axdr.double_long_unsigned(head.last_entry),
        axdr.octet_string(head.head),
    )


def encode_event(event: LoggedEvent) -> bytes:
    """Return one element of the events' array."""
    return axdr.structure(
        axdr.octet_string(event.logical_name),
        axdr.double_long_unsigned(event.entry),
        axdr.octet_string(event.time.to_bytes()),
        axdr.unsigned(event.code),
        axdr.octet_string(event.detail.encode()),
    )


def encode(
    time: CosemDateTime,
    values: Mapping[str, int],
    states: Iterable[bytes] = (),
    logs: Iterable[LogHead] = (),
    events: Iterable[LoggedEvent] = (),
) -> bytes:
    """Return the list as A-XDR. ``values``: register key to raw integer at the table's scaler."""
    return axdr.structure(
        axdr.visible_string(LIST_NAME),
        axdr.octet_string(time.to_bytes()),
        axdr.array(*(encode_register(registers.BY_KEY[key], raw) for key, raw in values.items())),
        axdr.array(*states),
        axdr.array(*map(encode_log_head, logs)),
        axdr.array(*map(encode_event, events)),
    )


def decode(notification: DataNotification) -> Reading:
    """Read the list. Raises ListError when its shape is not that of ``MeterNode_V1``.

    A register that this version's table lacks, or whose unit differs, is passed over: a newer
    meter may send more than an older reader knows.
    """
    try:
        name, stamp, raw_registers, raw_states, raw_logs, raw_events = _of(tuple, notification.body)
        if name != LIST_NAME:
            raise ListError(f"not a {LIST_NAME} list")
        time = CosemDateTime.from_bytes(_of(bytes, stamp))
        values = dict(_values(_of(list, raw_registers)))
        tail = _tail(raw_states, raw_logs, raw_events)
    except (TypeError, ValueError) as error:
        raise ListError(f"{LIST_NAME}: its structure is broken ({error})") from None
    return Reading(LIST_NAME, time, values, *tail)


type _Tail = tuple[
    Mapping[str, str], tuple[State, ...], tuple[LogHead, ...], tuple[LoggedEvent, ...]
]


def _tail(raw_states: object, raw_logs: object, raw_events: object) -> _Tail:
    """Return texts, states, logs and events. Raises TypeError and ValueError."""
    states = tuple(
        State(_of(int, class_id), _name(name), _of(int, attribute), value)
        for class_id, name, attribute, value in _of(list, raw_states)
    )
    logs = tuple(
        LogHead(_name(name), _of(int, last_entry), _of(bytes, head))
        for name, last_entry, head in _of(list, raw_logs)
    )
    events = tuple(
        LoggedEvent(
            _name(name),
            _of(int, entry),
            CosemDateTime.from_bytes(_of(bytes, stamp)),
            _of(int, code),
            _of(bytes, detail).decode(),
        )
        for name, entry, stamp, code, detail in _of(list, raw_events)
    )
    texts = {
        TEXTS[state.logical_name]: state.value
        for state in states
        if state.logical_name in TEXTS and isinstance(state.value, str)
    }
    return texts, states, logs, events


def _values(items: list[Any]) -> Iterable[tuple[str, float]]:
    for name, raw, (scaler, unit) in items:
        register = registers.BY_LOGICAL_NAME.get(name)
        if register is None:
            _name(name)  # another register, but a register
            continue
        if register.quantity.unit != unit:
            continue
        if type(scaler) is not int or not -12 <= scaler <= 12:
            raise ValueError(f"{register.key} has the scaler {scaler}")
        if type(raw) is not int and type(raw) is not float:  # a boolean is neither
            raise TypeError(f"{register.key} holds no number")
        yield register.key, scaled(raw, scaler)


def _of[T](kind: type[T], value: object) -> T:
    """Return the value if it is of that type. Raises TypeError: what comes in may hold anything."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def _name(value: object) -> bytes:
    if len(name := _of(bytes, value)) != 6:
        raise ValueError(f"a logical name of {len(name)} bytes")
    return name


# --- the next push -------------------------------------------------------------------------------

_NUMBER = Struct(">4s")
_TIME = Struct(f">{apdu.TIME_LENGTH}s")


@dataclass(frozen=True, slots=True)
class Known:
    """A push that was read whole, by which the meter's next one is read in a tenth of the time.

    Registers whose numbers alone have changed are read at their places, and what follows them only
    where it is not the same. Anything else is not read here: it is another push, or a broken one.
    """

    reading: Reading
    _shape: Shape
    _rows: tuple[tuple[int, str, Callable[[float], float]], ...]
    """Of each register: which of the shape's fields, its key, and what makes a value of it."""
    _tail: bytes

    @classmethod
    def of(cls, data: bytes, notification: DataNotification, reading: Reading) -> Self | None:
        """Know the push that ``data`` holds, None for one that is not read by its places."""
        if data[apdu.TIMED_BODY - apdu.TIME_LENGTH - 1] != apdu.TIME_LENGTH:
            return None
        _, stamp_at = axdr.decode(data, apdu.TIMED_BODY + 2)  # behind the list's name
        _, registers_at = axdr.decode(data, stamp_at)
        places, tail_at = axdr.number_places(data, registers_at)
        items = _of(list, _of(tuple, notification.body)[2])
        if len(places) != 3 * len(items):  # each its number, its scaler and its unit
            return None
        fields = (
            (1, _NUMBER),
            (apdu.TIMED_BODY - apdu.TIME_LENGTH, _TIME),
            (stamp_at + 2, _TIME),
            *places[::3],
        )
        rows = []
        for place, (name, _, (scaler, unit)) in enumerate(items, len(fields) - len(items)):
            register = registers.BY_LOGICAL_NAME.get(name)
            if register is not None and register.quantity.unit == unit:
                rows.append((place, register.key, scale(scaler)))
        return cls(reading, shape(data[:tail_at], fields), tuple(rows), data[tail_at:])

    def next(self, data: bytes) -> Known | None:
        """Return the push that ``data`` holds, None where it must be read whole."""
        fields = self._shape.read(data)
        if fields is None:
            return None
        try:
            _, told, stamp = fields[:3]
            time = CosemDateTime.from_bytes(stamp)
            if told != stamp:
                CosemDateTime.from_bytes(told)
            values = {key: value(fields[place]) for place, key, value in self._rows}
            tail = data[self._shape.size :]
            if tail == self._tail:
                last = self.reading
                rest: _Tail = last.texts, last.states, last.logs, last.events
            else:
                rest = _tail(*_three_arrays(tail))
        except (TypeError, ValueError):
            return None
        return Known(Reading(LIST_NAME, time, values, *rest), self._shape, self._rows, tail)


def _three_arrays(data: bytes) -> list[axdr.Value]:
    """Return what follows the registers. Raises ValueError."""
    values, at = [], 0
    for _ in range(3):
        value, at = axdr.decode(data, at, depth=1)
        values.append(value)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes left over")
    return values
