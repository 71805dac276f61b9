"""Rows of a meter's logs and profiles: what is captured, which rows, and their values.

Long ones are fetched in pieces by entry number, so that somebody can be told how far it is. Must
not know where rows go.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from meter_node.channel import axdr, obis, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.event_codes import BY_CODE, LOGS, Log
from meter_node.channel.objects import CHAIN, DETAIL, ENTRY, ClassId, CosemObject, column
from meter_node.channel.registers import BY_LOGICAL_NAME, Register
from meter_node.cosem.table import ENTRY as BY_PLACE
from meter_node.cosem.table import RANGE as BY_RANGE
from meter_node.meter.logs import GENESIS, link
from meter_node.meter.rows import LogRow
from meter_node.utility.errors import NotGenuineError
from meter_node.utility.reading import UNITS, name_of, plain
from meter_node.utility.session import Attribute, Session

PIECE = 200
"""Rows fetched at once."""
PROFILES: dict[str, CosemObject] = {
    "load_profile": objects.LOAD_PROFILE,
    "analysis_log": objects.ANALYSIS_LOG,
    **{f"billing_{kind}": which for kind, which in objects.BILLING.items()},
    "power_failures": objects.POWER_FAILURES,
}
_BUFFER, _CAPTURES = 2, 3
_RESET = 1
_STATUS = {which.logical_name for which in objects.PROFILE_STATUS.values()}
_DURATION = obis.parse("0.0.96.7.19.255")

type Cell = datetime | Decimal | int | str | None
type Progress = Callable[[int, int], None]
"""Rows fetched, of so many."""


@dataclass(frozen=True, slots=True)
class Column:
    """One captured object."""

    name: str
    unit: str
    which: CosemObject
    attribute: int
    register: Register | None = None

    @property
    def header(self) -> str:
        """Name and unit, for a table or a file."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def cell(self, value: Value) -> Cell:
        """Return a value in its unit."""
        if self.which.class_id == ClassId.CLOCK and isinstance(value, bytes):
            return _moment(value)
        if self.register is not None and isinstance(value, int):
            return Decimal(value).scaleb(self.register.quantity.scaler)
        if isinstance(value, (int, str)) or value is None:
            return value
        return value.hex() if isinstance(value, bytes) else str(plain(value))


@dataclass(frozen=True, slots=True)
class Range:
    """Which rows: by entry number or by time, both ends included; None is no limit.

    Times without a zone are the meter's own local time.
    """

    first: int | None = None
    last: int | None = None
    begin: datetime | None = None
    end: datetime | None = None

    @property
    def is_by_time(self) -> bool:
        """Whether times limit it."""
        return self.begin is not None or self.end is not None


EVERYTHING = Range()
_LATEST = datetime(2199, 12, 31, tzinfo=UTC)
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)


def _moment(raw: bytes) -> datetime:
    try:
        found = CosemDateTime.from_bytes(raw)
    except ValueError as error:
        raise NotGenuineError(f"a row's time is none: {error}") from None
    if found.deviation_minutes is None:
        return found.local
    utc = found.utc()
    offset = found.local - utc.replace(tzinfo=None)
    return utc.astimezone(_fixed(offset.total_seconds()))


def _fixed(seconds: float) -> timezone:
    return timezone(timedelta(seconds=seconds))


def columns(session: Session, which: CosemObject) -> list[Column]:
    """Return what a profile captures. Raises UtilityError."""
    value = session.get(Attribute(which, _CAPTURES))
    if not isinstance(value, list):
        raise NotGenuineError("the captured objects are no list")
    return [_column(one, which) for one in value]


def _column(value: Value, buffer: CosemObject) -> Column:
    if not isinstance(value, tuple) or len(value) != 4:
        raise NotGenuineError("a captured object is none")
    class_id, name, number, _ = value
    if not (isinstance(class_id, int) and isinstance(name, bytes) and isinstance(number, int)):
        raise NotGenuineError("a captured object is none")
    try:
        which = CosemObject(ClassId(class_id), name)
    except ValueError:
        raise NotGenuineError(f"a captured object of class {class_id}") from None
    return _named(which, number, buffer)


def _named(which: CosemObject, number: int, buffer: CosemObject) -> Column:
    fixed = {
        column(buffer.logical_name, ENTRY): "entry",
        column(buffer.logical_name, DETAIL): "detail",
        column(buffer.logical_name, CHAIN): "chain",
        objects.event_code(buffer.logical_name): "code",
        CosemObject(ClassId.CLOCK, registers.CLOCK): "time",
    }
    if which in fixed:
        return Column(fixed[which], "", which, number)
    if which.logical_name in _STATUS:
        return Column("status", "", which, number)
    if which.logical_name == _DURATION:
        return Column("duration", "s", which, number)
    register = BY_LOGICAL_NAME.get(which.logical_name)
    if register is None or number != 2:
        return Column(name_of(which.logical_name), "", which, number)
    return Column(register.key, UNITS[register.quantity.unit], which, number, register)


def read(
    session: Session,
    which: CosemObject,
    wanted: Range = EVERYTHING,
    progress: Progress = lambda done, total: None,
) -> tuple[list[Column], list[list[Cell]]]:
    """Return a profile's columns and rows, the oldest first. Raises UtilityError."""
    captured = columns(session, which)
    place = next((n for n, one in enumerate(captured) if one.name == "entry"), None)
    if place is None:
        selection = _by_time(captured, wanted, ()) if wanted.is_by_time else None
        found = _rows(session.get(Attribute(which, _BUFFER), selection), captured)
        return captured, found
    entries = _entries(session, which, captured, place, wanted)
    rows: list[list[Cell]] = []
    for start in range(0, len(entries), PIECE):
        piece = entries[start : start + PIECE]
        selection = _range(
            captured[place],
            axdr.double_long_unsigned(piece[0]),
            axdr.double_long_unsigned(piece[-1]),
            (),
        )
        found = _rows(session.get(Attribute(which, _BUFFER), selection), captured)
        # A clock that was set back leaves rows between these that are of another time.
        chosen = set(piece)
        rows += [row for row in found if row[place] in chosen]
        progress(min(start + PIECE, len(entries)), len(entries))
    return captured, rows


def _entries(
    session: Session, which: CosemObject, captured: Sequence[Column], place: int, wanted: Range
) -> list[int]:
    """Return the numbers of all rows that are wanted: little to send, and then it is known."""
    number = captured[place]
    if wanted.is_by_time:
        selection = _by_time(captured, wanted, (number,))
    else:
        first, last = axdr.double_long_unsigned(1), axdr.double_long_unsigned(0)
        one = axdr.long_unsigned(place + 1)
        selection = (BY_PLACE, axdr.structure(first, last, one, one))
    found = _rows(session.get(Attribute(which, _BUFFER), selection), [number])
    entries = sorted(row[0] for row in found if isinstance(row[0], int))
    return [
        one
        for one in entries
        if (wanted.first is None or one >= wanted.first)
        and (wanted.last is None or one <= wanted.last)
    ]


def _by_time(
    captured: Sequence[Column], wanted: Range, chosen: Sequence[Column]
) -> tuple[int, bytes]:
    clock = next((one for one in captured if one.name == "time"), None)
    if clock is None:
        raise NotGenuineError("the profile has no time that it could be read by")
    return _range(
        clock, time_value(wanted.begin or _EARLIEST), time_value(wanted.end or _LATEST), chosen
    )


def _range(
    restricting: Column, first: bytes, last: bytes, chosen: Sequence[Column]
) -> tuple[int, bytes]:
    listed = axdr.array(*map(_definition, chosen))
    return BY_RANGE, axdr.structure(_definition(restricting), first, last, listed)


def _definition(one: Column) -> bytes:
    return axdr.structure(
        axdr.long_unsigned(one.which.class_id),
        axdr.octet_string(one.which.logical_name),
        axdr.integer(one.attribute),
        axdr.long_unsigned(0),
    )


def time_value(moment: datetime) -> bytes:
    """Return a time as an octet-string; without a zone it is left to the meter's."""
    if moment.tzinfo is None:
        return axdr.octet_string(CosemDateTime(moment, None, None).to_bytes())
    return axdr.octet_string(CosemDateTime.at(moment, UTC).to_bytes())


def _rows(value: Value, captured: Sequence[Column]) -> list[list[Cell]]:
    if not isinstance(value, list):
        raise NotGenuineError("the rows of a profile are no list")
    found = []
    for row in value:
        if not isinstance(row, tuple) or len(row) != len(captured):
            raise NotGenuineError("a row has other columns: was the profile changed just now?")
        found.append([one.cell(cell) for one, cell in zip(captured, row, strict=True)])
    return found


# --- logs -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log."""

    log: Log
    number: int
    time: datetime
    code: int
    detail: str
    chain: str

    @property
    def name(self) -> str:
        """The event's name in code and JSON."""
        known = BY_CODE.get(self.code)
        return f"code_{self.code}" if known is None else known.name

    @property
    def text(self) -> str:
        """What it says to people."""
        known = BY_CODE.get(self.code)
        return f"Event {self.code}" if known is None else known.english


def log_of(log: Log) -> CosemObject:
    """Return the object of a log."""
    return CosemObject(ClassId.PROFILE_GENERIC, LOGS[log].logical_name)


def faults(entries: Sequence[Entry], *, whole: bool) -> list[str]:
    """Return what does not follow on in one log's entries; nothing where all of them do.

    Each entry's hash is over itself and all before it. `whole`: all that the meter has was read, so
    that a number that is not there was removed. Numbers jump where a meter was restored; its hashes
    go on all the same. An entry whose predecessor was not read is taken as it stands.
    """
    found = []
    before: Entry | None = None
    for one in entries:
        if before is not None and one.number <= before.number:
            found.append(f"{one.log}: entry {one.number} stands behind entry {before.number}")
        elif before is not None and (whole or one.number == before.number + 1):
            if one.chain != _chained(before.chain, one):
                found.append(_broken(before, one))
        elif one.number == GENESIS.entry + 1 and one.chain != _chained(GENESIS.chain.hex(), one):
            found.append(f"{one.log}: entry {one.number} was changed")
        before = one
    return found


def _broken(before: Entry, one: Entry) -> str:
    if one.number == before.number + 1:
        return f"{one.log}: entry {one.number} was changed, or the one before it"
    return f"{one.log}: entries {before.number + 1} to {one.number - 1} are missing"


def _chained(chain: str, one: Entry) -> str:
    offset = one.time.utcoffset() or timedelta()
    row = LogRow(
        one.log,
        one.number,
        round(one.time.timestamp()),
        round(offset.total_seconds()),
        one.code,
        one.detail,
        b"",
    )
    try:
        return link(bytes.fromhex(chain), row).hex()
    except (ValueError, struct.error):
        return ""  # no hash or no entry of ours


def clear_log(session: Session, log: Log) -> None:
    """Empty a log; that it was emptied is its first entry then. Raises UtilityError."""
    session.act(Attribute(log_of(log), _RESET), what=f"clearing the log {log}")


def read_log(session: Session, log: Log, wanted: Range = EVERYTHING) -> list[Entry]:
    """Return entries of a log, the oldest first. Raises UtilityError."""
    captured, rows = read(session, log_of(log), wanted)
    found = []
    for row in rows:
        cells = {one.name: cell for one, cell in zip(captured, row, strict=True)}
        number, time, code = (cells.get(name) for name in ("entry", "time", "code"))
        if (
            not isinstance(number, int)
            or not isinstance(time, datetime)
            or not isinstance(code, int)
        ):
            raise NotGenuineError(f"an entry of the log {log} is none")
        detail, chain = str(cells.get("detail") or ""), str(cells.get("chain") or "")
        found.append(Entry(log, number, time, code, detail, chain))
    return found
