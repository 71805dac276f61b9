"""The activity calendar and special days as COSEM data, both ways (classes 20 and 11).

Must not know which calendar is active, nor who sends one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import axdr
from .activity_calendar import DAYS_A_WEEK, SpecialDay
from .axdr import Value
from .objects import TARIFF_SCRIPTS
from .typed import fields, items, octets, text, whole

_EVERY_YEAR = 0xFFFF
_ANY = 0xFF

type Json = dict[str, Any]
"""As `ActivityCalendar.from_json` reads it; that checks what is possible."""


def seasons(listed: list[Json]) -> bytes:
    """Return attribute 3 or 7."""
    return axdr.array(*map(_season, listed))


def _season(one: Json) -> bytes:
    month, day = map(int, one["start"].split("-"))
    start = b"\xff\xff" + bytes((month, day, _ANY, 0, 0, 0, 0)) + b"\x80\x00" + bytes((_ANY,))
    return axdr.structure(_octets(one["name"]), axdr.octet_string(start), _octets(one["week"]))


def _octets(value: str) -> bytes:
    return axdr.octet_string(value.encode())


def name(value: str) -> bytes:
    """Return attribute 2 or 6."""
    return _octets(value)


def read_seasons(value: Value) -> list[Json]:
    """Read attribute 7. Raises TypeMismatchError, ValueError."""
    found = []
    for one in items(value, "seasons"):
        name, start, week = fields(one, "a season", 3)
        raw = octets(start, "a season's start", 12)
        if raw[:2] != b"\xff\xff":
            raise ValueError("a season starts every year: its year is not specified")
        found.append(
            {
                "name": text(name, "a season's name"),
                "start": f"{raw[2]:02}-{raw[3]:02}",
                "week": text(week, "a season's week"),
            }
        )
    return found


def weeks(listed: list[Json]) -> bytes:
    """Return attribute 4 or 8."""
    return axdr.array(
        *(axdr.structure(_octets(one["name"]), *map(axdr.unsigned, one["days"])) for one in listed)
    )


def read_weeks(value: Value) -> list[Json]:
    """Read attribute 8. Raises TypeMismatchError, ValueError."""
    found = []
    for one in items(value, "weeks"):
        name, *days = fields(one, "a week", 1 + DAYS_A_WEEK)
        found.append(
            {
                "name": text(name, "a week's name"),
                "days": [whole(day, "a day's id", 0, 0xFF) for day in days],
            }
        )
    return found


def days(listed: list[Json]) -> bytes:
    """Return attribute 5 or 9: each switch names the script of its tariff."""
    return axdr.array(
        *(
            axdr.structure(axdr.unsigned(one["id"]), axdr.array(*map(_switch, one["switches"])))
            for one in listed
        )
    )


def _switch(one: Json) -> bytes:
    hour, minute = map(int, one["at"].split(":"))
    return axdr.structure(
        axdr.octet_string(bytes((hour, minute, 0, 0))),
        axdr.octet_string(TARIFF_SCRIPTS.logical_name),
        axdr.long_unsigned(one["tariff"]),
    )


def read_days(value: Value) -> list[Json]:
    """Read attribute 9. Raises TypeMismatchError, ValueError."""
    found = []
    for one in items(value, "days"):
        day_id, schedule = fields(one, "a day", 2)
        switches = []
        for action in items(schedule, "a day's schedule"):
            start, script, selector = fields(action, "a day's switch", 3)
            at = octets(start, "a switch's time", 4)
            if octets(script, "a switch's script", 6) != TARIFF_SCRIPTS.logical_name:
                raise ValueError("a switch names a script table that is not that of the tariffs")
            switches.append(
                {
                    "at": f"{at[0]:02}:{at[1]:02}",
                    "tariff": whole(selector, "a switch's script", 0, 0xFFFF),
                }
            )
        found.append({"id": whole(day_id, "a day's id", 0, 0xFF), "switches": switches})
    return found


def special_days(listed: list[Json]) -> bytes:
    """Return attribute 2 of class 11, its index counted from 1."""
    entries = []
    for index, one in enumerate(listed, start=1):
        year, month, day = one["date"].split("-")
        number = _EVERY_YEAR if year == "*" else int(year)
        entries.append(
            axdr.structure(
                axdr.long_unsigned(index),
                axdr.octet_string(number.to_bytes(2) + bytes((int(month), int(day), _ANY))),
                axdr.unsigned(one["day"]),
            )
        )
    return axdr.array(*entries)


def read_special_day(value: Value) -> tuple[int, Json]:
    """Read one entry: its index, and the day. Raises TypeMismatchError, ValueError."""
    index, when, day_id = fields(value, "a special day", 3)
    raw = octets(when, "a special day's date", 5)
    year = int.from_bytes(raw[:2])
    shown = SpecialDay(
        None if year == _EVERY_YEAR else year,
        raw[2],
        raw[3],
        whole(day_id, "a day's id", 0, 0xFF),
    )
    return whole(index, "an index", 0, 0xFFFF), {"date": shown.shown, "day": shown.day_id}


def read_special_days(value: Value) -> list[Json]:
    """Read attribute 2 of class 11, in the order of its indices."""
    found = [read_special_day(one) for one in items(value, "special days")]
    return [day for _, day in sorted(found, key=lambda one: one[0])]


def tariffs(listed_days: list[Json]) -> int:
    """Return how many tariffs a calendar with these days has: the highest that it names."""
    return max((switch["tariff"] for one in listed_days for switch in one["switches"]), default=1)


@dataclass(frozen=True, slots=True)
class Piece:
    """One part of a calendar as JSON has it, and the attribute of class 20 that holds it."""

    key: str
    number: int
    """Of the active calendar's; the passive one's is four higher."""
    write: Callable[[Any], bytes]
    read: Callable[[Value], Any]


PIECES = (
    Piece("name", 2, name, lambda value: text(value, "the calendar's name")),
    Piece("seasons", 3, seasons, read_seasons),
    Piece("weeks", 4, weeks, read_weeks),
    Piece("days", 5, days, read_days),
)
"""All but the special days, which are an object of their own."""
