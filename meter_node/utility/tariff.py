"""Tariffs of a meter: its calendars read, a passive one sent whole, one forced for a while.

Must not know where a calendar comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meter_node.channel import axdr, calendar_data, objects
from meter_node.channel.activity_calendar import ActivityCalendar
from meter_node.channel.typed import TypeMismatchError
from meter_node.cosem.values import UNSPECIFIED_TIME
from meter_node.utility.errors import NotGenuineError, UtilityError
from meter_node.utility.reading import time_text
from meter_node.utility.rows import time_value
from meter_node.utility.session import Attribute, Session

_CALENDAR = objects.ACTIVITY_CALENDAR
_TO_PASSIVE = 4
"""Attributes 2 to 5 are the active calendar's, 6 to 9 the passive one's, in the same order."""


@dataclass(frozen=True, slots=True)
class Tariffs:
    """A meter's tariffs: the number in force, the calendar in force and the one that waits."""

    in_force: int
    active: dict[str, Any]
    passive: dict[str, Any] | None
    activate_at: str | None


def read(session: Session) -> Tariffs:
    """Return a meter's tariffs. Raises UtilityError."""
    active = _calendar(session, passive=False)
    passive = _calendar(session, passive=True)
    at = session.get(Attribute(_CALENDAR, 10))
    tariff = session.get(Attribute(objects.ACTIVE_TARIFF))
    if not isinstance(tariff, int) or not isinstance(at, bytes):
        raise NotGenuineError("the tariff in force is no number")
    waits = bool(passive["days"])
    never = at[:4] == UNSPECIFIED_TIME[:4]
    return Tariffs(tariff, active, passive if waits else None, None if never else _time(at))


def _time(raw: bytes) -> str:
    try:
        return time_text(raw)
    except ValueError as error:
        raise NotGenuineError(f"the time of activation is none: {error}") from None


def _calendar(session: Session, *, passive: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    special = objects.PASSIVE_SPECIAL_DAYS if passive else objects.SPECIAL_DAYS
    try:
        for piece in calendar_data.PIECES:
            number = piece.number + _TO_PASSIVE * passive
            found[piece.key] = piece.read(session.get(Attribute(_CALENDAR, number)))
        found["special_days"] = calendar_data.read_special_days(session.get(Attribute(special)))
    except (TypeMismatchError, ValueError) as error:
        raise NotGenuineError(f"the meter's calendar can't be read: {error}") from None
    return found | {"tariffs": calendar_data.tariffs(found["days"])}


def upload(
    session: Session,
    calendar: ActivityCalendar,
    *,
    activate_at: datetime | None = None,
    now: bool = False,
) -> None:
    """Send a calendar whole: it waits, for a time, or comes into force at once.

    It goes to the meter in pieces, and the meter takes it whole with the last one: whatever ends
    the conversation before changes nothing. Raises UtilityError.
    """
    document = calendar.to_json()
    for piece in calendar_data.PIECES:
        where = Attribute(_CALENDAR, piece.number + _TO_PASSIVE)
        session.put(where, piece.write(document[piece.key]), f"sending its {piece.key}")
    special = calendar_data.special_days(document["special_days"])
    session.put(Attribute(objects.PASSIVE_SPECIAL_DAYS), special, "sending its special days")
    if now:
        session.act(Attribute(_CALENDAR, 1), what="putting the calendar in force")
    else:
        at = axdr.octet_string(UNSPECIFIED_TIME) if activate_at is None else time_value(activate_at)
        session.put(Attribute(_CALENDAR, 10), at, "handing over the calendar")
    kept = _calendar(session, passive=not now)
    if {key: kept[key] for key in kept if key != "tariffs"} != {
        key: document[key] for key in document if key != "tariffs"
    }:
        raise UtilityError("the meter's calendar is not the one that was sent; look at it")


def activate(session: Session) -> None:
    """Put the calendar that waits in force. Raises UtilityError."""
    session.act(Attribute(_CALENDAR, 1), what="putting the calendar in force")


def override(session: Session, tariff: int, seconds: int) -> None:
    """Force a tariff for so long; 0 s: back to the calendar. Raises UtilityError."""
    value = axdr.structure(axdr.unsigned(tariff), axdr.double_long_unsigned(seconds))
    session.put(Attribute(objects.TARIFF_OVERRIDE), value, "forcing a tariff")
