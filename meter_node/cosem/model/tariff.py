"""Tariffs as objects: activity calendar, special days, scripts, register activation, override.

A client sends a passive calendar attribute by attribute, and the meter takes calendars whole: what
is sent is put aside, and goes to the meter when the date of activation is written, or when it is
activated. Must not know how a tariff comes into force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meter_node.channel import axdr, calendar_data, objects, registers
from meter_node.channel.axdr import Value
from meter_node.channel.calendar_data import Json
from meter_node.channel.objects import ClassId, CosemObject
from meter_node.channel.typed import fields, octets, whole
from meter_node.cosem.access import READERS, UTILITY
from meter_node.cosem.model.parts import Parts, settings
from meter_node.cosem.table import Attribute, Caller, Getter, Method, Row, Setter, row
from meter_node.cosem.values import UNSPECIFIED_TIME, constant, date_time, moment_ns
from meter_node.meter.snapshot import NANO

_WRITE = 1
"""Service id of an action that writes."""


class Draft:
    """The passive calendar as it is being sent, above the one that waits in the meter."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._pieces: dict[str, Any] = {}

    def put(self, piece: str, value: Any) -> None:
        """Put a piece aside."""
        self._pieces[piece] = value

    def json(self, caller: Caller) -> Json:
        """Return the passive calendar with all pieces: of what is not there, the active one's."""
        known = settings(caller)
        below = known.passive_calendar or known.parameters.tariff.calendar
        found = below.to_json() | self._pieces
        return found | {"tariffs": calendar_data.tariffs(found["days"])}

    def piece(self, caller: Caller, name: str) -> Any:
        """Return what was put aside, or what waits in the meter; None where neither is."""
        waiting = settings(caller).passive_calendar
        below = None if waiting is None else waiting.to_json()[name]
        return self._pieces.get(name, below)

    def upload(self, caller: Caller, activate_at_s: int | None) -> None:
        """Give the calendar to the meter. Raises RefusedError: then it stays here."""
        self._parts.commands.upload_calendar(self.json(caller), activate_at_s)
        self._pieces.clear()

    def activate(self, caller: Caller) -> None:
        """Let the calendar come into force at once."""
        if self._pieces:
            self.upload(caller, None)
        self._parts.commands.activate_calendar()


def rows(parts: Parts) -> list[Row]:
    """Return the objects of tariffs."""
    draft = Draft(parts)
    return [
        _calendar(parts, draft),
        _special_days(parts),
        _passive_special_days(draft),
        _scripts(),
        _register_activation(parts),
        row(objects.ACTIVE_TARIFF, parts.states()[objects.ACTIVE_TARIFF.logical_name]),
        _override(parts),
    ]


def _calendar(parts: Parts, draft: Draft) -> Row:
    zone = parts.device.zone

    def activation(caller: Caller) -> bytes:
        at_s = settings(caller).activate_at_s
        return axdr.octet_string(UNSPECIFIED_TIME) if at_s is None else date_time(at_s, zone)

    def set_activation(caller: Caller, value: Value) -> None:
        raw = octets(value, "activation time", 12)
        never = raw[:4] == UNSPECIFIED_TIME[:4]
        draft.upload(caller, None if never else moment_ns(raw, "activation time", zone) // NANO)

    attributes = {10: Attribute(READERS, activation, UTILITY, set_activation)}
    for number, piece in enumerate(_PIECES, start=2):
        attributes[number] = Attribute(READERS, piece.active)
        attributes[number + 4] = Attribute(
            READERS, piece.passive(draft), UTILITY, piece.setter(draft)
        )
    activate = Method(UTILITY, lambda caller, _: draft.activate(caller))
    return row(objects.ACTIVITY_CALENDAR, attributes, {1: activate})


@dataclass(frozen=True, slots=True)
class _Piece:
    """One attribute of the calendar: its key in JSON, and COSEM data to and from it."""

    key: str
    write: Callable[[Any], bytes]
    read: Callable[[Value], Any]
    nothing: Any

    def active(self, caller: Caller) -> bytes:
        return self.write(_active(caller)[self.key])

    def passive(self, draft: Draft) -> Getter:
        def get(caller: Caller) -> bytes:
            found = draft.piece(caller, self.key)
            return self.write(self.nothing if found is None else found)

        return get

    def setter(self, draft: Draft) -> Setter:
        def put(_: Caller, value: Value) -> None:
            found = self.read(value)
            self.write(found)  # what can't be shown again is not taken
            draft.put(self.key, found)

        return put


_PIECES = tuple(
    _Piece(piece.key, piece.write, piece.read, "" if piece.key == "name" else ())
    for piece in calendar_data.PIECES
)


def _active(caller: Caller) -> Json:
    return settings(caller).parameters.tariff.calendar.to_json()


# --- special days ---------------------------------------------------------------------------------

_SPECIAL = "special_days"


def _special_days(parts: Parts) -> Row:
    """Those of the active calendar: a change of them comes into force at once."""

    def use(caller: Caller, listed: list[Json]) -> None:
        changed = _active(caller) | {_SPECIAL: listed}
        parts.commands.change_parameters({"tariff": {"calendar": changed}}, caller.name)

    return _table_of_days(objects.SPECIAL_DAYS, lambda caller: _active(caller)[_SPECIAL], use)


def _passive_special_days(draft: Draft) -> Row:
    """Those of the calendar that is being sent; where none were sent, the active ones stay."""
    return _table_of_days(
        objects.PASSIVE_SPECIAL_DAYS,
        lambda caller: draft.json(caller)[_SPECIAL],
        lambda _, listed: draft.put(_SPECIAL, listed),
    )


def _table_of_days(
    which: CosemObject,
    listed: Callable[[Caller], list[Json]],
    use: Callable[[Caller, list[Json]], None],
) -> Row:
    def insert(caller: Caller, value: Value) -> None:
        # One at an index that is there takes its place, as in the standard.
        index, day = calendar_data.read_special_day(value)
        days = list(listed(caller))
        place = index - 1
        days[place : place + 1] = [day]
        use(caller, days)

    def delete(caller: Caller, value: Value) -> None:
        days = list(listed(caller))
        place = whole(value, "an index", 1, len(days)) - 1
        use(caller, days[:place] + days[place + 1 :])

    entries = Attribute(
        READERS,
        lambda caller: calendar_data.special_days(listed(caller)),
        UTILITY,
        lambda caller, value: use(caller, calendar_data.read_special_days(value)),
    )
    return row(which, {2: entries}, {1: Method(UTILITY, insert), 2: Method(UTILITY, delete)})


# --- scripts, registers, override -----------------------------------------------------------------


def _mask(tariff: int) -> bytes:
    return axdr.octet_string(bytes((tariff,)))


def _scripts() -> Row:
    """One script a tariff: it selects the mask of its registers."""
    which = objects.REGISTER_ACTIVATION
    scripts = [
        axdr.structure(
            axdr.long_unsigned(tariff),
            axdr.array(
                axdr.structure(
                    axdr.enum(_WRITE),
                    axdr.long_unsigned(which.class_id),
                    axdr.octet_string(which.logical_name),
                    axdr.integer(4),
                    _mask(tariff),
                )
            ),
        )
        for tariff in registers.TARIFFS
    ]
    return row(objects.TARIFF_SCRIPTS, {2: Attribute(READERS, constant(axdr.array(*scripts)))})


def _register_activation(parts: Parts) -> Row:
    """Which registers count in which tariff; the calendar alone selects."""
    booked = [one for one in parts.device.registers if one.tariff is not None]
    assignment = axdr.array(
        *(
            axdr.structure(
                axdr.long_unsigned(ClassId.REGISTER), axdr.octet_string(one.logical_name)
            )
            for one in booked
        )
    )
    masks = axdr.array(
        *(
            axdr.structure(
                _mask(tariff),
                axdr.array(
                    *(
                        axdr.unsigned(place)
                        for place, one in enumerate(booked, start=1)
                        if one.tariff == tariff
                    )
                ),
            )
            for tariff in registers.TARIFFS
        )
    )
    attributes = {
        2: Attribute(READERS, constant(assignment)),
        3: Attribute(READERS, constant(masks)),
        4: Attribute(READERS, lambda caller: _mask(caller.snapshot.tariff)),
    }
    return row(objects.REGISTER_ACTIVATION, attributes)


def _override(parts: Parts) -> Row:
    def override(caller: Caller, value: Value) -> None:
        tariff, duration = fields(value, "an override", 2)
        duration_s = whole(duration, "its seconds")
        if duration_s == 0:
            parts.commands.end_override()
            return
        until_s = parts.commands.now_ns // NANO + duration_s
        parts.commands.override_tariff(whole(tariff, "a tariff", 0, 0xFF), until_s)

    in_force = Attribute(
        READERS, lambda caller: axdr.unsigned(caller.snapshot.tariff), UTILITY, override
    )
    return row(objects.TARIFF_OVERRIDE, {2: in_force})
