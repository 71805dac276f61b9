"""Profile generic (class 7): columns, rows as COSEM data, and selective access to a buffer.

Must not know what is in a column, nor where rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from meter_node.channel import axdr, obis, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.typed import fields, items, octets, whole
from meter_node.cosem.access import READERS
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


@dataclass(frozen=True, slots=True)
class Buffer[R]:
    """One profile: its columns now, and rows by entry number and stamp, the oldest first."""

    columns: Callable[[Caller], Sequence[Column[R]]]
    rows: Callable[[Entries, Stamps], Sequence[R]]
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
            7: Attribute(READERS, lambda _: axdr.double_long_unsigned(self.in_use())),
            8: Attribute(READERS, lambda caller: axdr.double_long_unsigned(self.depth(caller))),
        }

    def in_use(self) -> int:
        """Return how many rows there are."""
        return len(self.rows(ALL_ENTRIES, EVERYTHING))

    def capture_objects(self, caller: Caller) -> bytes:
        """Return attribute 3."""
        return axdr.array(*(column.definition() for column in self.columns(caller)))

    def all_rows(self, caller: Caller) -> bytes:
        """Return the whole buffer."""
        return _encoded(self.rows(ALL_ENTRIES, EVERYTHING), self.columns(caller))

    def selected(self, caller: Caller, selector: int, parameters: Value) -> bytes:
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
            return _encoded(self.rows(ALL_ENTRIES, (from_s, to_s)), chosen)
        if column.is_entry_number:
            limits = whole(first, "from"), whole(last, "to")
            return _encoded(self.rows(limits, EVERYTHING), chosen)
        raise ValueError("a range is one of the clock or of entry numbers")

    def _by_entry(self, parameters: Value, columns: Sequence[Column[R]]) -> bytes:
        """Places count from 1, the oldest; 0 as an end is the last."""
        limits = fields(parameters, "entries", 4)
        first, last = whole(limits[0], "from_entry"), whole(limits[1], "to_entry")
        left, right = (
            whole(limits[2], "from_selected_value", 0, 0xFFFF),
            whole(limits[3], "to_selected_value", 0, 0xFFFF),
        )
        rows = self.rows(ALL_ENTRIES, EVERYTHING)
        chosen = columns[max(left, 1) - 1 : right or None]
        return _encoded(rows[max(first, 1) - 1 : last or None], chosen)


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
    parts = [b"\x01" + axdr.encode_length(len(rows))]
    for one in rows:
        parts.append(head)
        parts.extend([value(one) for value in values])
    return b"".join(parts)
