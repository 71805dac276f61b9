"""The event logs as profiles (class 7): read with their numbers, texts and hashes, and cleared.

Must not know how an event comes about.
"""

from __future__ import annotations

from meter_node.channel import axdr, registers
from meter_node.channel.axdr import Value
from meter_node.channel.event_codes import LOGS, LogKind
from meter_node.channel.objects import (
    CHAIN,
    DETAIL,
    ENTRY,
    ClassId,
    CosemObject,
    column,
    event_code,
)
from meter_node.cosem.access import READERS, UTILITY
from meter_node.cosem.model.buffers import Buffer, Column, FewRows
from meter_node.cosem.model.parts import Parts
from meter_node.cosem.table import Attribute, Caller, Method, Row, row
from meter_node.cosem.values import date_time
from meter_node.meter.rows import LogRow


def rows(parts: Parts) -> list[Row]:
    """Return each log, and an object for what its newest entry says."""
    found = []
    for kind in LOGS.values():
        found += _log(parts, kind)
    return found


def _log(parts: Parts, kind: LogKind) -> list[Row]:
    zone, name = parts.device.zone, kind.logical_name
    columns: list[Column[LogRow]] = [
        Column(
            CosemObject(ClassId.CLOCK, registers.CLOCK), lambda one: date_time(one.time_s, zone)
        ),
        Column(event_code(name), lambda one: axdr.unsigned(one.code)),
        Column(column(name, ENTRY), lambda one: axdr.double_long_unsigned(one.entry)),
        Column(column(name, DETAIL), lambda one: axdr.utf8_string(one.detail)),
        Column(column(name, CHAIN), lambda one: axdr.octet_string(one.chain)),
    ]

    kept = FewRows(
        lambda: parts.rows.log_rows(kind.log),
        number=lambda one: one.entry,
        time_s=lambda one: one.time_s,
    )

    def clear(caller: Caller, _: Value) -> None:
        parts.commands.clear_log(kind.log, caller.name)

    buffer = Buffer(lambda _: columns, kept, lambda _: kind.depth, lambda _: 0, zone)
    method = {1: Method(UTILITY, clear)}
    return [
        row(CosemObject(ClassId.PROFILE_GENERIC, name), buffer.attributes(), method, version=1),
        *(_newest(parts, kind, one) for one in columns[1:]),
    ]


def _newest(parts: Parts, kind: LogKind, one: Column[LogRow]) -> Row:
    def get(_: Caller) -> bytes:
        found = parts.rows.log_rows(kind.log)
        return one.value(found[-1]) if found else axdr.null_data()

    return row(one.object, {2: Attribute(READERS, get)})
