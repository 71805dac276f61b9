"""The activity calendar in a time zone: the tariff of a moment, its changes, its periods.

The calendar speaks of minutes on the wall; here they become moments, in both nights of daylight
saving too. Must not know what time it is: moments come in as arguments, aware.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from .channel import activity_calendar
from .channel.activity_calendar import LOOK_AHEAD_DAYS, ActivityCalendar

_QUARTER = timedelta(minutes=15)
"""Time zones change their offset at a quarter-hour."""
_LOOK_BACK_DAYS = (2, 32, LOOK_AHEAD_DAYS)
"""Most tariffs began yesterday at the latest, some with their season."""


class Change(NamedTuple):
    """The tariff that begins at a moment (UTC)."""

    at: datetime
    tariff: int


class Period(NamedTuple):
    """One tariff without interruption (UTC); `end` is the first moment after it."""

    start: datetime
    end: datetime
    tariff: int


def tariff_at(calendar: ActivityCalendar, moment: datetime, zone: tzinfo) -> int:
    """Return the tariff in force at an aware moment."""
    local = moment.astimezone(zone)
    return activity_calendar.tariff_at(calendar, local.date(), 60 * local.hour + local.minute)


def next_change(calendar: ActivityCalendar, moment: datetime, zone: tzinfo) -> Change | None:
    """Return when the tariff becomes another; None where it does not within 400 days."""
    until = moment.astimezone(UTC) + timedelta(days=LOOK_AHEAD_DAYS)
    return next(changes(calendar, moment, until, zone), None)


def period_at(calendar: ActivityCalendar, moment: datetime, zone: tzinfo) -> Period:
    """Return the period in which a moment lies; it ends 400 days away at the latest."""
    moment = moment.astimezone(UTC)
    begun = moment - timedelta(days=LOOK_AHEAD_DAYS)
    for days in _LOOK_BACK_DAYS:
        before = list(changes(calendar, moment - timedelta(days=days), moment, zone))
        if before:
            begun = before[-1].at
            break
    following = next_change(calendar, moment, zone)
    end = moment + timedelta(days=LOOK_AHEAD_DAYS) if following is None else following.at
    return Period(begun, end, tariff_at(calendar, moment, zone))


def periods(
    calendar: ActivityCalendar, first: datetime, last: datetime, zone: tzinfo
) -> list[Period]:
    """Return the periods that overlap a span, whole, in order."""
    found = [period_at(calendar, first, zone)]
    while found[-1].end < last:
        start = found[-1].end
        tariff = tariff_at(calendar, start, zone)
        following = next_change(calendar, start, zone)
        end = start + timedelta(days=LOOK_AHEAD_DAYS) if following is None else following.at
        found.append(Period(start, end, tariff))
    return found


def changes(
    calendar: ActivityCalendar, after: datetime, until: datetime, zone: tzinfo
) -> Iterator[Change]:
    """Yield each change of tariff after one moment, up to another (included)."""
    if len(tariffs_of(calendar)) == 1:
        return
    after, until = after.astimezone(UTC), until.astimezone(UTC)
    tariff = tariff_at(calendar, after, zone)
    for at in _instants(calendar, after, until, zone):
        then = tariff_at(calendar, at, zone)
        if then != tariff:
            tariff = then
            yield Change(at, then)


def next_midnight(moment: datetime, zone: tzinfo) -> datetime:
    """Return the first local midnight after a moment, in UTC."""
    return _on_wall(moment.astimezone(zone).date() + timedelta(days=1), 0, zone)[0]


def next_turn(calendar: ActivityCalendar | None, moment: datetime, zone: tzinfo) -> datetime:
    """Return the first change of tariff after a moment, or midnight where that comes first."""
    midnight = next_midnight(moment, zone)
    if calendar is None:
        return midnight
    return next((change.at for change in changes(calendar, moment, midnight, zone)), midnight)


def tariffs_of(calendar: ActivityCalendar) -> list[int]:
    """Return the tariffs that a calendar uses, lowest first."""
    return sorted({tariff for day in calendar.days for _, tariff in day.switches})


def _instants(
    calendar: ActivityCalendar, after: datetime, until: datetime, zone: tzinfo
) -> Iterator[datetime]:
    """Yield, in order, every moment at which the tariff might become another."""
    day, last_day = after.astimezone(zone).date(), until.astimezone(zone).date()
    while day <= last_day:
        moments = {
            at
            for minute, _ in calendar.schedule_on(day).switches
            for at in _on_wall(day, minute, zone)
        }
        moments.update(_offset_changes(day, zone))
        yield from sorted(at for at in moments if after < at <= until)
        day += timedelta(days=1)


def _on_wall(day: date, minute: int, zone: tzinfo) -> list[datetime]:
    """Return when it is that minute on the wall: twice in the night that repeats an hour.

    For a minute that is left out these are moments at which nothing happens.
    """
    local = datetime.combine(day, time(minute // 60, minute % 60), zone)
    return sorted({local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)})


def _offset_changes(day: date, zone: tzinfo) -> Iterator[datetime]:
    """Yield when the offset of the zone changes: the wall's clock jumps over switches or back."""
    at = _on_wall(day, 0, zone)[0]
    end = _on_wall(day + timedelta(days=1), 0, zone)[0]
    before = at.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == before:
        return
    while at < end:
        at += _QUARTER
        offset = at.astimezone(zone).utcoffset()
        if offset != before:
            before = offset
            yield at
