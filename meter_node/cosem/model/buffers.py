"""Profile generic (class 7): columns, rows as COSEM data, and selective access to a buffer.

Rows are fetched and encoded a page at a time, when their turn comes: however many there are,
nothing waits for all of them. Must not know what is in a column, nor where rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from meter_node.channel import axdr, obis, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.typed import fields, items, octets, whole
from meter_node.cosem.access import READERS, AccessError, DataAccessResult
from meter_node.cosem.long_value import LongValue
from meter_node.cosem.model.parts import Stamps
from meter_node.cosem.table import ENTRY, RANGE, Attribute, Caller
from meter_node.cosem.values import constant, moment_ns
from meter_node.meter.snapshot import NANO

CLOCK = CosemObject(ClassId.CLOCK, registers.CLOCK)
_VALUE = 2
FIFO = 1
_NO_OBJECT = axdr.structure(
    axdr.long_unsigned(0), axdr.octet_string(bytes(6)), axdr.integer(0), axdr.long_unsigned(0)
)


@dataclass(frozen=True, slots=True)
class Column[R]:
    """One captured object's attribute, and its value in a row as A-XDR."""

    object: CosemObject
    value: Callable[[R], bytes]
    attribute: int = _VALUE

    def definition(self) -> bytes:
        """Return its capture_object_definition."""
        return axdr.structure(
            axdr.long_unsigned(self.object.class_id),
            axdr.octet_string(self.object.logical_name),
            axdr.integer(self.attribute),
            axdr.long_unsigned(0),
        )

    @property
    def is_entry_number(self) -> bool:
        """Whether a range of it is one of entry numbers."""
        name = self.object.logical_name
        return name[2] in (98 + objects.ENTRY, 99 + objects.ENTRY)


type Entries = tuple[int, int | None]
"""From and to entry number, both included; None is no limit."""
EVERYTHING: Stamps = (None, None)
ALL_ENTRIES: Entries = (1, None)
PAGE = 64
"""Rows fetched and encoded at once."""


class Rows[R](Protocol):
    """Where a profile's rows are, the oldest first."""

    def count(self, entries: Entries = ..., stamps: Stamps = ...) -> int:
        """Return how many there are, by entry number and stamp."""

    def fetch(
        self, entries: Entries, stamps: Stamps, most: int | None = ..., skip: int = ...
    ) -> Sequence[R]:
        """Return at most `most` of these, after `skip` of them."""

    def number(self, one: R) -> int:
        """Return a row's entry number."""


@dataclass(frozen=True, slots=True)
class FewRows[R]:
    """Rows of which there are never many: all are looked at each time."""

    all: Callable[[], Sequence[R]]
    number: Callable[[R], int]
    time_s: Callable[[R], int]

    def count(self, entries: Entries = ALL_ENTRIES, stamps: Stamps = EVERYTHING) -> int:
        """Return how many there are, by entry number and stamp."""
        return len(self.fetch(entries, stamps))

    def fetch(
        self, entries: Entries, stamps: Stamps, most: int | None = None, skip: int = 0
    ) -> Sequence[R]:
        """Return at most `most` of these, after `skip` of them."""
        found = [
            one
            for one in self.all()
            if _within(self.number(one), entries) and _within(self.time_s(one), stamps)
        ]
        return found[skip : None if most is None else skip + most]


def _within(value: int, limits: tuple[int | None, int | None]) -> bool:
    first, last = limits
    return (first is None or value >= first) and (last is None or value <= last)


def newest[R](rows: Rows[R]) -> R | None:
    """Return the last row, None where there is none."""
    found = rows.fetch(ALL_ENTRIES, EVERYTHING, 1, max(rows.count() - 1, 0))
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Buffer[R]:
    """One profile: its columns now, and rows by entry number and stamp, the oldest first."""

    columns: Callable[[Caller], Sequence[Column[R]]]
    rows: Rows[R]
    depth: Callable[[Caller], int]
    period_s: Callable[[Caller], int]
    zone: ZoneInfo

    def attributes(self) -> dict[int, Attribute]:
        """Return the attributes from 2 to 8, nothing of them writable."""
        return {
            2: Attribute(READERS, self.all_rows, select=self.selected, selectors=(RANGE, ENTRY)),
            3: Attribute(READERS, self.capture_objects),
            4: Attribute(READERS, lambda caller: axdr.double_long_unsigned(self.period_s(caller))),
            5: Attribute(READERS, constant(axdr.enum(FIFO))),
            6: Attribute(READERS, constant(_NO_OBJECT)),
            7: Attribute(READERS, lambda _: axdr.double_long_unsigned(self.rows.count())),
            8: Attribute(READERS, lambda caller: axdr.double_long_unsigned(self.depth(caller))),
        }

    def capture_objects(self, caller: Caller) -> bytes:
        """Return attribute 3."""
        return axdr.array(*(column.definition() for column in self.columns(caller)))

    def all_rows(self, caller: Caller) -> LongValue:
        """Return the whole buffer."""
        return self._chosen(self.columns(caller))

    def selected(self, caller: Caller, selector: int, parameters: Value) -> LongValue:
        """Return a part of the buffer: by range of a column, or by places and columns.

        Raises TypeMismatchError, ValueError.
        """
        columns = self.columns(caller)
        if selector == ENTRY:
            return self._by_entry(parameters, columns)
        restricting, first, last, wanted = fields(parameters, "a range", 4)
        column = _column(restricting, columns)
        chosen = [_column(one, columns) for one in items(wanted, "selected values")] or columns
        if column.object == CLOCK:
            from_s = -(-moment_ns(first, "from", self.zone) // NANO)
            to_s = moment_ns(last, "to", self.zone) // NANO
            return self._chosen(chosen, stamps=(from_s, to_s))
        if column.is_entry_number:
            return self._chosen(chosen, (whole(first, "from"), whole(last, "to")))
        raise ValueError("a range is one of the clock or of entry numbers")

    def _by_entry(self, parameters: Value, columns: Sequence[Column[R]]) -> LongValue:
        """Places count from 1, the oldest; 0 as an end is the last."""
        limits = fields(parameters, "entries", 4)
        first, last = whole(limits[0], "from_entry"), whole(limits[1], "to_entry")
        left, right = (
            whole(limits[2], "from_selected_value", 0, 0xFFFF),
            whole(limits[3], "to_selected_value", 0, 0xFFFF),
        )
        chosen = columns[max(left, 1) - 1 : right or None]
        return self._chosen(chosen, skip=max(first, 1) - 1, to_place=last or None)

    def _chosen(
        self,
        columns: Sequence[Column[R]],
        entries: Entries = ALL_ENTRIES,
        stamps: Stamps = EVERYTHING,
        skip: int = 0,
        to_place: int | None = None,
    ) -> LongValue:
        """Rows after `skip` of those chosen, up to the one at `to_place` of them."""

        def pages() -> Iterator[bytes]:
            there = self.rows.count(entries, stamps)
            left = max((there if to_place is None else min(there, to_place)) - skip, 0)
            yield b"\x01" + axdr.encode_length(left)
            first, passed = entries[0], skip
            while left:
                page = self.rows.fetch((first, entries[1]), stamps, min(PAGE, left), passed)
                if not page:
                    raise AccessError(
                        DataAccessResult.LONG_GET_ABORTED, "rows went while they were read"
                    )
                yield _encoded(page, columns)
                left -= len(page)
                first, passed = self.rows.number(page[-1]) + 1, 0

        return LongValue(pages)


def _column[R](wanted: Value, columns: Sequence[Column[R]]) -> Column[R]:
    class_id, name, attribute, _ = fields(wanted, "a captured object", 4)
    name = octets(name, "a logical name", 6)
    for column in columns:
        which = column.object
        same = name == which.logical_name or obis.any_channel(name) == which.logical_name
        if same and (class_id, attribute) == (which.class_id, column.attribute):
            return column
    raise ValueError(f"{obis.text(name)} is not captured")


def _encoded[R](rows: Sequence[R], columns: Sequence[Column[R]]) -> bytes:
    head = b"\x02" + axdr.encode_length(len(columns))
    values = [column.value for column in columns]
    parts = []
    for one in rows:
        parts.append(head)
        parts.extend([value(one) for value in values])
    return b"".join(parts)
