"""What a meter's profile, billing or log holds, as rows with names.

Must not know how a buffer is read, nor who wants its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from .channel import registers
from .channel.axdr import Value
from .channel.cosem_time import CosemDateTime
from .channel.event_codes import BY_CODE
from .channel.objects import DETAIL, ENTRY, PROFILE_STATUS, CosemObject, column, event_code
from .channel.reading import scaled
from .channel.registers import BY_LOGICAL_NAME, Register

_SECOND = timedelta(seconds=1)
_STATUS = frozenset(which.logical_name for which in PROFILE_STATUS.values())
_NUMBERS = frozenset(column(which.logical_name, ENTRY).logical_name for which in PROFILE_STATUS)


class RowsError(ValueError):
    """What was read is no buffer of this kind."""


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One interval; energies in Wh and varh."""

    entry: int
    time: datetime
    """Its end (UTC)."""
    status: int
    """See ``channel.profile_status``."""
    values: dict[str, float | None]
    """By register key; None where it had no value."""


@dataclass(frozen=True, slots=True)
class BillingRow:
    """All that is billed, at one instant; energies in Wh and varh, demand in W, time in h."""

    entry: int
    time: datetime
    reason: str
    """``scheduled``, ``late``, …: as the meter says it."""
    values: dict[str, float | None]
    """By register key; None where it had no value."""


@dataclass(frozen=True, slots=True)
class LogRow:
    """One entry of an event log."""

    entry: int
    time: datetime
    code: int
    name: str | None
    """In ``channel.event_codes``; None for one of a newer meter."""
    detail: str


@dataclass(frozen=True, slots=True)
class ProfileColumns:
    """Where in a profile's row what stands."""

    width: int
    clock: int
    status: int
    entry: int
    registers: tuple[tuple[int, Register], ...]


def profile_columns(captured: Value) -> ProfileColumns:
    """Read a profile's capture objects. Raises RowsError."""
    names = _logical_names(captured)
    return ProfileColumns(
        len(names),
        _place(names, {registers.CLOCK}),
        _place(names, _STATUS),
        _place(names, _NUMBERS),
        _registers(names),
    )


def profile_rows(rows: Value, columns: ProfileColumns, zone: tzinfo) -> list[ProfileRow]:
    """Read a profile's rows; ``zone`` serves stamps without a deviation. Raises RowsError."""
    return [
        ProfileRow(
            _whole(row[columns.entry]),
            _time(row[columns.clock], zone),
            _whole(row[columns.status]),
            _values(row, columns.registers),
        )
        for row in _rows(rows, columns.width)
    ]


def billing_rows(
    rows: Value, captured: Value, billing: CosemObject, zone: tzinfo
) -> list[BillingRow]:
    """Read rows of billing by their capture objects. Raises RowsError."""
    names = _logical_names(captured)
    clock = _place(names, {registers.CLOCK})
    entry, reason = (
        _place(names, {column(billing.logical_name, what).logical_name}) for what in (ENTRY, DETAIL)
    )
    billed = _registers(names)
    return [
        BillingRow(
            _whole(row[entry]), _time(row[clock], zone), str(row[reason]), _values(row, billed)
        )
        for row in _rows(rows, len(names))
    ]


def log_rows(rows: Value, captured: Value, log: CosemObject, zone: tzinfo) -> list[LogRow]:
    """Read a log's rows by its capture objects. Raises RowsError."""
    names = _logical_names(captured)
    clock = _place(names, {registers.CLOCK})
    code, entry, detail = (
        _place(names, {which.logical_name})
        for which in (
            event_code(log.logical_name),
            column(log.logical_name, ENTRY),
            column(log.logical_name, DETAIL),
        )
    )
    found = []
    for row in _rows(rows, len(names)):
        number = _whole(row[code])
        known = BY_CODE.get(number)
        found.append(
            LogRow(
                _whole(row[entry]),
                _time(row[clock], zone),
                number,
                None if known is None else known.name,
                str(row[detail]),
            )
        )
    return found


def parts(first: datetime, last: datetime, longest: timedelta) -> list[tuple[datetime, datetime]]:
    """Cut a period of whole seconds, both ends included, into parts that do not overlap."""
    cut = []
    while first <= last:
        end = min(first + longest - _SECOND, last)
        cut.append((first, end))
        first = end + _SECOND
    return cut


def halves(first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """Cut a part in two."""
    return parts(first, last, timedelta(seconds=(last - first) // _SECOND // 2 + 1))


# --- values --------------------------------------------------------------------------------------


def _logical_names(captured: Value) -> list[bytes]:
    names = []
    for definition in _sequence(captured):
        match definition:
            case (int(), bytes(name), int(), int()):
                names.append(name)
            case _:
                raise RowsError(f"no captured object: {definition!r}")
    return names


def _place(names: Sequence[bytes], wanted: set[bytes] | frozenset[bytes]) -> int:
    for place, name in enumerate(names):
        if name in wanted:
            return place
    raise RowsError("a column is missing")


def _registers(names: Sequence[bytes]) -> tuple[tuple[int, Register], ...]:
    """Return where which register stands; one of a newer meter is passed over."""
    known = ((place, BY_LOGICAL_NAME.get(name)) for place, name in enumerate(names))
    return tuple((place, register) for place, register in known if register is not None)


def _rows(rows: Value, width: int) -> list[Sequence[Value]]:
    found = [_sequence(row) for row in _sequence(rows)]
    if any(len(row) != width for row in found):
        raise RowsError("a row is not as wide as its columns")
    return found


def _sequence(value: Value) -> Sequence[Value]:
    if isinstance(value, (list, tuple)):
        return value
    raise RowsError(f"no array or structure: {value!r}")


def _time(value: Value, zone: tzinfo) -> datetime:
    if not isinstance(value, bytes):
        raise RowsError(f"no time: {value!r}")
    try:
        return CosemDateTime.from_bytes(value).utc(zone)
    except ValueError as error:
        raise RowsError(str(error)) from None


def _whole(value: Value) -> int:
    if isinstance(value, int):
        return value
    raise RowsError(f"no whole number: {value!r}")


def _values(
    row: Sequence[Value], places: Sequence[tuple[int, Register]]
) -> dict[str, float | None]:
    return {register.key: _value(row[place], register) for place, register in places}


def _value(value: Value, register: Register) -> float | None:
    return None if value is None else scaled(_whole(value), register.quantity.scaler)
