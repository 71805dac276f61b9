"""The activity calendar (COSEM class 20, with the special days of class 11): which tariff, when.

Both ends evaluate the same calendar: the meter books energy by it, Home Assistant shows it. It
speaks of days and minutes on the wall; must not know time zones, nor what time it is.
"""

from __future__ import annotations

import re
import reprlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple

MINUTES_A_DAY = 1440
DAYS_A_WEEK = 7
MAX_TARIFFS = 8
MAX_SWITCHES = 8
"""Changes of tariff a day, the one at midnight included."""
MAX_SPECIAL_DAYS = 100
MAX_DAYS = 32
MAX_WEEKS = 12
MAX_SEASONS = 12
MAX_ID = 255
"""A day's id is one byte."""
LONGEST_NAME = 16
LOOK_AHEAD_DAYS = 400

_NAME = re.compile(r"[!-~]([ -~]*[!-~])?")
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_DATE = re.compile(r"(\d{4}|\*)-(\d{2})-(\d{2})", re.ASCII)
_SEASON_START = re.compile(r"(\d{2})-(\d{2})", re.ASCII)
_LEAP_YEAR = 2000
_COMMON_YEAR = 2001


class CalendarError(ValueError):
    """A calendar that cannot be; the text is a sentence that says what is wrong and where."""


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except (ValueError, OverflowError):
        return False
    return True


def _check_name(name: str, what: str) -> None:
    if len(name) > LONGEST_NAME:
        raise CalendarError(
            f"{what} has a name of {len(name)} characters; at most {LONGEST_NAME} are possible"
        )
    if not _NAME.fullmatch(name):
        raise CalendarError(f"{what} has the name {_shown(name)}; names are printable ASCII")


def _check_number(count: int, least: int, most: int, what: str) -> None:
    if not least <= count <= most:
        raise CalendarError(f"{count} {what}; possible are {least} to {most}")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@dataclass(frozen=True, slots=True)
class DaySchedule:
    """One kind of day. `switches`: (minute of the day, tariff from then on), from midnight on."""

    id: int
    switches: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not 0 <= self.id <= MAX_ID:
            raise CalendarError(f"a day's id is 0 to {MAX_ID}, not {_shown(self.id)}")
        if len(self.switches) > MAX_SWITCHES:
            raise CalendarError(
                f"day {self.id} has {len(self.switches)} switches; at most {MAX_SWITCHES} "
                "are possible"
            )
        before = -1
        for minute, tariff in self.switches:
            if not 0 <= minute < MINUTES_A_DAY:
                raise CalendarError(
                    f"day {self.id} switches at minute {_shown(minute)}; a day has the minutes "
                    f"0 to {MINUTES_A_DAY - 1}"
                )
            if minute <= before:
                raise CalendarError(
                    f"day {self.id} switches at {_clock(minute)} after {_clock(before)}; "
                    "the times must rise"
                )
            if not 1 <= tariff <= MAX_TARIFFS:
                raise CalendarError(
                    f"day {self.id} switches to tariff {_shown(tariff)}; possible are "
                    f"1 to {MAX_TARIFFS}"
                )
            before = minute
        if not self.switches or self.switches[0][0] != 0:
            raise CalendarError(f"day {self.id} does not say which tariff it has from 00:00 on")

    def tariff_at(self, minute_of_day: int) -> int:
        """Return the tariff in force at that minute (0 to 1439)."""
        tariff = self.switches[0][1]
        for minute, following in self.switches:
            if minute > minute_of_day:
                break
            tariff = following
        return tariff


@dataclass(frozen=True, slots=True)
class Week:
    """One kind of week: the ids of its seven days, Monday first."""

    name: str
    days: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_name(self.name, "a week")
        if len(self.days) != DAYS_A_WEEK:
            raise CalendarError(f"week {self.name!r} has {len(self.days)} days instead of seven")


@dataclass(frozen=True, slots=True)
class Season:
    """A part of the year, every year: from its start until the next season's, local time."""

    name: str
    month: int
    day: int
    week: str

    def __post_init__(self) -> None:
        _check_name(self.name, "a season")
        if not _is_day(_COMMON_YEAR, self.month, self.day):
            raise CalendarError(
                f"season {self.name!r} cannot start in month {_shown(self.month)} on day "
                f"{_shown(self.day)}: not every year has such a day"
            )


@dataclass(frozen=True, slots=True)
class SpecialDay:
    """A date with a day of its own, whatever the season says; every year where `year` is None."""

    year: int | None
    month: int
    day: int
    day_id: int

    def __post_init__(self) -> None:
        # 29 February may return every leap year.
        if not _is_day(_LEAP_YEAR if self.year is None else self.year, self.month, self.day):
            raise CalendarError(f"a special day on {self.shown}: there is no such date")

    @property
    def shown(self) -> str:
        """The date as JSON holds it, ``*`` for every year."""
        year = "*" if self.year is None else f"{self.year:04}"
        return f"{year}-{self.month:02}-{self.day:02}"


class Change(NamedTuple):
    """The tariff that begins at a minute of a day."""

    day: date
    minute: int
    tariff: int


class Moment(NamedTuple):
    """A minute on the wall."""

    day: date
    minute: int


class Period(NamedTuple):
    """One tariff without interruption; `end` is the first moment after it."""

    start: Moment
    end: Moment
    tariff: int


@dataclass(frozen=True)
class ActivityCalendar:
    """A whole calendar. Raises CalendarError where anything in it does not fit.

    A special day outranks the season; two special days for one date are refused, one of every year
    and one of that year too, so that no reader has to know which comes first.
    """

    name: str
    tariffs: int
    """How many tariffs it may use: 1 to this number."""
    days: tuple[DaySchedule, ...]
    weeks: tuple[Week, ...]
    seasons: tuple[Season, ...]
    special_days: tuple[SpecialDay, ...] = ()

    def __post_init__(self) -> None:
        _check_name(self.name, "the calendar")
        _check_number(self.tariffs, 1, MAX_TARIFFS, "tariffs")
        _check_number(len(self.days), 1, MAX_DAYS, "kinds of day")
        _check_number(len(self.weeks), 1, MAX_WEEKS, "weeks")
        _check_number(len(self.seasons), 1, MAX_SEASONS, "seasons")
        _check_number(len(self.special_days), 0, MAX_SPECIAL_DAYS, "special days")
        self._check_tariffs()
        self._check_weeks()
        self._check_seasons()
        self._check_special_days()

    def _check_tariffs(self) -> None:
        seen: set[int] = set()
        for schedule in self.days:
            if schedule.id in seen:
                raise CalendarError(f"two days have the id {schedule.id}")
            seen.add(schedule.id)
            for minute, tariff in schedule.switches:
                if tariff > self.tariffs:
                    raise CalendarError(
                        f"day {schedule.id} switches to tariff {tariff} at {_clock(minute)}; "
                        f"the calendar has {self.tariffs}"
                    )

    def _check_weeks(self) -> None:
        known = {schedule.id for schedule in self.days}
        seen: set[str] = set()
        for week in self.weeks:
            if week.name in seen:
                raise CalendarError(f"two weeks have the name {week.name!r}")
            seen.add(week.name)
            for day_id in week.days:
                if day_id not in known:
                    raise CalendarError(
                        f"week {week.name!r} names day {_shown(day_id)}, which is not in "
                        "the calendar"
                    )

    def _check_seasons(self) -> None:
        weeks = {week.name for week in self.weeks}
        names: set[str] = set()
        starts: dict[tuple[int, int], str] = {}
        for season in self.seasons:
            if season.name in names:
                raise CalendarError(f"two seasons have the name {season.name!r}")
            names.add(season.name)
            other = starts.setdefault((season.month, season.day), season.name)
            if other != season.name:
                raise CalendarError(
                    f"seasons {other!r} and {season.name!r} overlap: both start on "
                    f"{season.month:02}-{season.day:02}"
                )
            if season.week not in weeks:
                raise CalendarError(
                    f"season {season.name!r} names week {_shown(season.week)}, which is not in "
                    "the calendar"
                )

    def _check_special_days(self) -> None:
        known = {schedule.id for schedule in self.days}
        every_year = {(one.month, one.day) for one in self.special_days if one.year is None}
        seen: set[tuple[int | None, int, int]] = set()
        for one in self.special_days:
            key = (one.year, one.month, one.day)
            if key in seen or (one.year is not None and key[1:] in every_year):
                raise CalendarError(f"two special days for {one.shown}")
            seen.add(key)
            if one.day_id not in known:
                raise CalendarError(
                    f"the special day {one.shown} names day {_shown(one.day_id)}, which is not in "
                    "the calendar"
                )

    # --- evaluation -----------------------------------------------------------------------------

    @cached_property
    def _by_id(self) -> dict[int, DaySchedule]:
        return {schedule.id: schedule for schedule in self.days}

    @cached_property
    def _dated(self) -> dict[date, DaySchedule]:
        return {
            date(one.year, one.month, one.day): self._by_id[one.day_id]
            for one in self.special_days
            if one.year is not None
        }

    @cached_property
    def _yearly(self) -> dict[int, DaySchedule]:
        return {
            100 * one.month + one.day: self._by_id[one.day_id]
            for one in self.special_days
            if one.year is None
        }

    @cached_property
    def _seasons(self) -> list[Season]:
        return sorted(self.seasons, key=lambda season: (season.month, season.day))

    @cached_property
    def _starts(self) -> list[int]:
        return [100 * season.month + season.day for season in self._seasons]

    @cached_property
    def _weeks(self) -> list[tuple[DaySchedule, ...]]:
        weeks = {
            week.name: tuple(self._by_id[day_id] for day_id in week.days) for week in self.weeks
        }
        return [weeks[season.week] for season in self._seasons]

    def season_on(self, day: date) -> Season:
        """Return the season of a date: before the year's first start the last one still goes on."""
        return self._seasons[bisect_right(self._starts, 100 * day.month + day.day) - 1]

    def is_special(self, day: date) -> bool:
        """Return whether a date is a special day."""
        return day in self._dated or 100 * day.month + day.day in self._yearly

    def schedule_on(self, day: date) -> DaySchedule:
        """Return the schedule of a date."""
        month_and_day = 100 * day.month + day.day
        special = self._dated.get(day) or self._yearly.get(month_and_day)
        if special is not None:
            return special
        # Before the first start this is index −1: the last season, since last year.
        return self._weeks[bisect_right(self._starts, month_and_day) - 1][day.weekday()]

    # --- JSON -----------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {
            "name": self.name,
            "tariffs": self.tariffs,
            "days": [
                {
                    "id": schedule.id,
                    "switches": [
                        {"at": _clock(minute), "tariff": tariff}
                        for minute, tariff in schedule.switches
                    ],
                }
                for schedule in self.days
            ],
            "weeks": [{"name": week.name, "days": list(week.days)} for week in self.weeks],
            "seasons": [
                {
                    "name": season.name,
                    "start": f"{season.month:02}-{season.day:02}",
                    "week": season.week,
                }
                for season in self.seasons
            ],
            "special_days": [{"date": one.shown, "day": one.day_id} for one in self.special_days],
        }

    @classmethod
    def from_json(cls, data: object) -> ActivityCalendar:
        """Read a calendar from parsed JSON.

        Raises CalendarError with a sentence that names the place for whatever is missing, unknown,
        of the wrong kind or impossible.
        """
        top = _object(
            data, "calendar", ("name", "tariffs", "days", "weeks", "seasons", "special_days")
        )
        return cls(
            _text(top["name"], "name"),
            _number(top["tariffs"], "tariffs"),
            tuple(_read_day(one, place) for one, place in _list(top["days"], "days")),
            tuple(_read_week(one, place) for one, place in _list(top["weeks"], "weeks")),
            tuple(_read_season(one, place) for one, place in _list(top["seasons"], "seasons")),
            tuple(
                _read_special_day(one, place)
                for one, place in _list(top["special_days"], "special_days")
            ),
        )


def tariff_at(calendar: ActivityCalendar, day: date, minute_of_day: int) -> int:
    """Return the tariff in force at a minute (0 to 1439) of a date, both on the wall.

    In the night that repeats an hour its minutes are asked twice and answer alike; in the night
    that leaves one out nobody asks for them.
    """
    return calendar.schedule_on(day).tariff_at(minute_of_day)


def next_change(calendar: ActivityCalendar, day: date, minute: int) -> Change | None:
    """Return the next moment after this one at which the tariff becomes another.

    None where it does not within 400 days.
    """
    now = tariff_at(calendar, day, minute)
    for later in _days(day, date.fromordinal(min(day.toordinal() + LOOK_AHEAD_DAYS, _LAST_DAY))):
        for at, tariff in calendar.schedule_on(later).switches:
            if tariff != now and (later > day or at > minute):
                return Change(later, at, tariff)
    return None


def periods(calendar: ActivityCalendar, first_day: date, last_day: date) -> list[Period]:
    """Return the tariffs from the first day's midnight to the end of the last day, in order.

    They touch, cover everything, and two neighbours differ in tariff. Empty where `last_day` comes
    before `first_day`.
    """
    starts: list[Change] = []
    for day in _days(first_day, last_day):
        for minute, tariff in calendar.schedule_on(day).switches:
            if not starts or tariff != starts[-1].tariff:
                starts.append(Change(day, minute, tariff))
    if not starts:
        return []
    ends = [Moment(later.day, later.minute) for later in starts[1:]]
    ends.append(Moment(date.fromordinal(last_day.toordinal() + 1), 0))
    return [
        Period(Moment(start.day, start.minute), end, start.tariff)
        for start, end in zip(starts, ends, strict=True)
    ]


_LAST_DAY = date.max.toordinal()


def _days(first: date, last: date) -> Iterator[date]:
    return map(date.fromordinal, range(first.toordinal(), last.toordinal() + 1))


def single_tariff(name: str = "single") -> ActivityCalendar:
    """Return a calendar that knows one tariff, always."""
    return ActivityCalendar(
        name,
        1,
        (DaySchedule(1, ((0, 1),)),),
        (Week("all", (1,) * DAYS_A_WEEK),),
        (Season("all", 1, 1, "all"),),
    )


# --- reading JSON -------------------------------------------------------------------------------


def _shown(value: object) -> str:
    """Return a stranger's value, short enough for a sentence."""
    return reprlib.repr(value)


def _object(value: object, place: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise CalendarError(f"{place}: {_shown(value)} is no object")
    for key in keys:
        if key not in value:
            raise CalendarError(f"{place}: {key!r} is missing")
    for key in value:
        if key not in keys:
            raise CalendarError(f"{place}: {_shown(key)} is not known")
    return value


def _list(value: object, place: str) -> list[tuple[object, str]]:
    if not isinstance(value, list):
        raise CalendarError(f"{place}: {_shown(value)} is no list")
    return [(one, f"{place}[{index}]") for index, one in enumerate(value)]


def _number(value: object, place: str) -> int:
    if type(value) is not int:  # not true
        raise CalendarError(f"{place}: {_shown(value)} is no whole number")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise CalendarError(f"{place}: {_shown(value)} is no text")
    return value


def _match(pattern: re.Pattern[str], value: object, place: str, wanted: str) -> re.Match[str]:
    found = pattern.fullmatch(_text(value, place))
    if found is None:
        raise CalendarError(f"{place}: {_shown(value)} is no {wanted}")
    return found


def _read_switch(data: object, place: str) -> tuple[int, int]:
    one = _object(data, place, ("at", "tariff"))
    at = _match(_TIME, one["at"], f"{place}.at", "time of day (HH:MM)")
    return 60 * int(at[1]) + int(at[2]), _number(one["tariff"], f"{place}.tariff")


def _read_day(data: object, place: str) -> DaySchedule:
    one = _object(data, place, ("id", "switches"))
    day_id = _number(one["id"], f"{place}.id")
    switches = _list(one["switches"], f"{place}.switches")
    return _made(place, DaySchedule, day_id, tuple(_read_switch(*switch) for switch in switches))


def _read_week(data: object, place: str) -> Week:
    one = _object(data, place, ("name", "days"))
    name = _text(one["name"], f"{place}.name")
    return _made(
        place, Week, name, tuple(_number(*day) for day in _list(one["days"], f"{place}.days"))
    )


def _read_season(data: object, place: str) -> Season:
    one = _object(data, place, ("name", "start", "week"))
    name = _text(one["name"], f"{place}.name")
    start = _match(_SEASON_START, one["start"], f"{place}.start", "day of the year (MM-DD)")
    week = _text(one["week"], f"{place}.week")
    return _made(place, Season, name, int(start[1]), int(start[2]), week)


def _read_special_day(data: object, place: str) -> SpecialDay:
    one = _object(data, place, ("date", "day"))
    found = _match(_DATE, one["date"], f"{place}.date", "date (YYYY-MM-DD, *-MM-DD every year)")
    year = None if found[1] == "*" else int(found[1])
    day_id = _number(one["day"], f"{place}.day")
    return _made(place, SpecialDay, year, int(found[2]), int(found[3]), day_id)


def _made[**P, T](place: str, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return make(*args, **kwargs)
    except CalendarError as error:
        raise CalendarError(f"{place}: {error}") from None
