"""Load profile, analysis log, billing and long failures as objects.

Must not know when a row is made, nor where it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from meter_node.channel import axdr, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.objects import DETAIL, ENTRY, ClassId, CosemObject, column
from meter_node.channel.registers import BY_KEY, BY_LOGICAL_NAME
from meter_node.channel.typed import fields, items, octets, whole
from meter_node.cosem.access import READERS, UTILITY
from meter_node.cosem.model.buffers import (
    ALL_ENTRIES,
    EVERYTHING,
    Buffer,
    Column,
    Entries,
    FewRows,
    newest,
)
from meter_node.cosem.model.buffers import Rows as BufferRows
from meter_node.cosem.model.parts import Parts, Stamps, settings
from meter_node.cosem.table import Attribute, Caller, Row, row
from meter_node.cosem.values import date_time, of_quantity
from meter_node.meter.profile import ANALYSIS_LOG, LOAD_PROFILE, Layout
from meter_node.meter.quality import FAILURES_KEPT
from meter_node.meter.rows import BillingKind, BillingRow, ProfileRow

_MINUTE_S = 60
_DAY_S = 86_400
_PROFILES = {LOAD_PROFILE: objects.LOAD_PROFILE, ANALYSIS_LOG: objects.ANALYSIS_LOG}
_DURATION_OF_ANY = CosemObject(ClassId.REGISTER, bytes((0, 0, 96, 7, 19, 255)))


def rows(parts: Parts) -> list[Row]:
    """Return the profiles, each with the objects of its own columns."""
    found = []
    for name, which in _PROFILES.items():
        found += _profile(parts, name, which)
    for kind, which in objects.BILLING.items():
        found += _billing(parts, _KINDS[kind], which)
    found.append(_failures(parts))
    return found


_KINDS: dict[str, BillingKind] = {"monthly": "monthly", "daily": "daily", "change": "change"}


def register_class(key: str) -> ClassId:
    """Return the class as which a register stands in the model."""
    if key.endswith("_demand"):
        return ClassId.DEMAND_REGISTER
    return ClassId.EXTENDED_REGISTER if key.endswith("_maximum") else ClassId.REGISTER


def _register(key: str) -> CosemObject:
    return CosemObject(register_class(key), BY_KEY[key].logical_name)


# --- load profile and analysis log ----------------------------------------------------------------


def _profile(parts: Parts, name: str, which: CosemObject) -> list[Row]:
    zone, known = parts.device.zone, parts.variant.register_keys

    def layout(caller: Caller) -> Layout:
        found: Layout = getattr(settings(caller).parameters, name).layout(known)
        return found

    status = objects.PROFILE_STATUS[which]
    number = column(which.logical_name, ENTRY)
    fixed: list[Column[ProfileRow]] = [
        _clock(zone),
        Column(status, lambda one: axdr.unsigned(one.status)),
        Column(number, lambda one: axdr.double_long_unsigned(one.entry)),
    ]

    def columns(caller: Caller) -> Sequence[Column[ProfileRow]]:
        return [
            *fixed,
            *(_captured(key, place) for place, key in enumerate(layout(caller).captures)),
        ]

    kept = _ProfileRows(parts, name)

    def set_period(caller: Caller, value: Value) -> None:
        minutes, rest = divmod(whole(value, "capture_period"), _MINUTE_S)
        if rest:
            raise ValueError("capture_period: no whole minutes")
        parts.commands.change_parameters({name: {"interval_min": minutes}}, caller.name)

    def set_captures(caller: Caller, value: Value) -> None:
        keys = _captures(value, fixed)
        parts.commands.change_parameters({name: {"captures": keys}}, caller.name)

    buffer = Buffer(
        columns,
        kept,
        lambda caller: layout(caller).depth,
        lambda caller: layout(caller).interval_min * _MINUTE_S,
        zone,
    )
    attributes = buffer.attributes()
    attributes[3] = _writable(attributes[3], set_captures)
    attributes[4] = _writable(attributes[4], set_period)
    return [
        row(which, attributes, version=1),
        *(_last(one, kept) for one in fixed[1:]),
    ]


@dataclass(frozen=True, slots=True)
class _ProfileRows:
    parts: Parts
    name: str

    def count(self, entries: Entries = ALL_ENTRIES, stamps: Stamps = EVERYTHING) -> int:
        return self.parts.rows.count_rows("profile", self.name, entries=entries, stamps_s=stamps)

    def fetch(
        self, entries: Entries, stamps: Stamps, most: int | None = None, skip: int = 0
    ) -> Sequence[ProfileRow]:
        return self.parts.rows.profile_rows(
            self.name, entries=entries, stamps_s=stamps, most=most, skip=skip
        )

    def number(self, one: ProfileRow) -> int:
        return one.entry


def _writable(attribute: Attribute, put: Callable[[Caller, Value], None]) -> Attribute:
    return Attribute(attribute.readers, attribute.get, UTILITY, put)


def _clock(zone: Any) -> Column[Any]:
    return Column(
        CosemObject(ClassId.CLOCK, registers.CLOCK), lambda one: date_time(one.time_s, zone)
    )


def _captured(key: str, place: int) -> Column[ProfileRow]:
    quantity = BY_KEY[key].quantity
    return Column(
        _register(key),
        # A row of before a change of registers is deleted with it: it has as many as these.
        lambda one: of_quantity(quantity, one.values[place] if place < len(one.values) else None),
    )


def _captures(value: Value, fixed: Sequence[Column[ProfileRow]]) -> tuple[str, ...]:
    """The registers of capture_objects; the columns that are always there may be named or not."""
    always = {one.object.logical_name for one in fixed}
    keys = []
    for definition in items(value, "capture_objects"):
        class_id, name, attribute, _ = fields(definition, "a captured object", 4)
        name = octets(name, "a logical name", 6)
        if name in always:
            continue
        register = BY_LOGICAL_NAME.get(name)
        if register is None or (class_id, attribute) != (register_class(register.key), 2):
            raise ValueError("a captured object is no register's value")
        keys.append(register.key)
    return tuple(keys)


def _last[R](one: Column[R], rows: BufferRows[R]) -> Row:
    """The object behind a column: what it was in the newest row."""

    def get(_: Caller) -> bytes:
        found = newest(rows)
        return axdr.null_data() if found is None else one.value(found)

    return row(one.object, {2: Attribute(READERS, get)})


# --- billing --------------------------------------------------------------------------------------


def _billing(parts: Parts, kind: BillingKind, which: CosemObject) -> list[Row]:
    zone, known = parts.device.zone, parts.variant.register_keys
    fixed: list[Column[BillingRow]] = [
        _clock(zone),
        Column(column(which.logical_name, DETAIL), lambda one: axdr.visible_string(one.reason)),
        Column(column(which.logical_name, ENTRY), lambda one: axdr.double_long_unsigned(one.entry)),
    ]

    def columns(caller: Caller) -> Sequence[Column[BillingRow]]:
        captured = set(settings(caller).parameters.billing.registers(known))
        keys = [one.key for one in parts.device.registers if one.key in captured]
        return [*fixed, *map(_billed, keys)]

    kept = _BillingRows(parts, kind)

    buffer = Buffer(
        columns,
        kept,
        lambda caller: settings(caller).parameters.billing.depth(kind),
        lambda _: _DAY_S if kind == "daily" else 0,
        zone,
    )
    return [
        row(which, buffer.attributes(), version=1),
        *(_last(one, kept) for one in fixed[1:]),
    ]


@dataclass(frozen=True, slots=True)
class _BillingRows:
    parts: Parts
    kind: BillingKind

    def count(self, entries: Entries = ALL_ENTRIES, stamps: Stamps = EVERYTHING) -> int:
        return self.parts.rows.count_rows("billing", self.kind, entries=entries, stamps_s=stamps)

    def fetch(
        self, entries: Entries, stamps: Stamps, most: int | None = None, skip: int = 0
    ) -> Sequence[BillingRow]:
        return self.parts.rows.billing_rows(
            self.kind, entries=entries, stamps_s=stamps, most=most, skip=skip
        )

    def number(self, one: BillingRow) -> int:
        return one.entry


def _billed(key: str) -> Column[BillingRow]:
    quantity = BY_KEY[key].quantity
    return Column(_register(key), lambda one: of_quantity(quantity, one.values.get(key)))


# --- long failures --------------------------------------------------------------------------------


def _failures(parts: Parts) -> Row:
    """From the image itself: there are ten at most. They have no numbers but their places."""
    zone = parts.device.zone
    columns: list[Column[tuple[int, int]]] = [
        Column(CosemObject(ClassId.CLOCK, registers.CLOCK), lambda one: date_time(one[0], zone)),
        Column(_DURATION_OF_ANY, lambda one: axdr.double_long_unsigned(one[1])),
    ]

    kept = FewRows(
        lambda: parts.device.committed.long_failures,
        number=lambda one: parts.device.committed.long_failures.index(one) + 1,
        time_s=lambda one: one[0],
    )

    buffer = Buffer(lambda _: columns, kept, lambda _: FAILURES_KEPT, lambda _: 0, zone)
    return row(objects.POWER_FAILURES, buffer.attributes(), version=1)
