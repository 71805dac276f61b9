"""Random activity calendars, and a second, plain reading of what they say."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st

from meter_node.channel.activity_calendar import (
    ActivityCalendar,
    DaySchedule,
    Season,
    SpecialDay,
    Week,
)


@st.composite
def calendars(draw: st.DrawFn) -> ActivityCalendar:
    """A calendar of up to eight tariffs with up to five kinds of day and three seasons."""
    tariffs = draw(st.integers(1, 8))
    tariff = st.integers(1, tariffs)
    ids = draw(st.lists(st.integers(0, 255), min_size=1, max_size=5, unique=True))
    days = []
    for day_id in ids:
        minutes = draw(st.sets(st.integers(1, 1439), max_size=7))
        times = [0, *sorted(minutes)]
        days.append(DaySchedule(day_id, tuple((minute, draw(tariff)) for minute in times)))
    names = draw(st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True))
    weeks = tuple(
        Week(name, tuple(draw(st.lists(st.sampled_from(ids), min_size=7, max_size=7))))
        for name in names
    )
    starts = draw(
        st.lists(
            st.dates(date(2025, 1, 1), date(2025, 12, 31)), min_size=1, max_size=3, unique=True
        )
    )
    seasons = tuple(
        Season(f"S{number}", start.month, start.day, draw(st.sampled_from(names)))
        for number, start in enumerate(starts)
    )
    special = draw(
        st.lists(
            st.dates(date(2024, 1, 1), date(2027, 12, 31)),
            max_size=6,
            unique_by=lambda day: (day.month, day.day),
        )
    )
    special_days = tuple(
        SpecialDay(
            draw(st.sampled_from((None, day.year))), day.month, day.day, draw(st.sampled_from(ids))
        )
        for day in special
    )
    return ActivityCalendar("random", tariffs, tuple(days), weeks, seasons, special_days)


def plain_day(calendar: ActivityCalendar, day: date) -> list[int]:
    """The 1440 tariffs of a date, found in the calendar's JSON by walking back day by day."""
    data = calendar.to_json()
    chosen = [
        one["day"]
        for one in data["special_days"]
        if one["date"] in (day.isoformat(), f"*-{day:%m-%d}")
    ]
    if not chosen:
        start = day
        while not [one for one in data["seasons"] if one["start"] == f"{start:%m-%d}"]:
            start -= timedelta(days=1)
        (season,) = [one for one in data["seasons"] if one["start"] == f"{start:%m-%d}"]
        (week,) = [one for one in data["weeks"] if one["name"] == season["week"]]
        chosen = [week["days"][day.weekday()]]
    (schedule,) = [one for one in data["days"] if one["id"] == chosen[0]]
    return _minutes(schedule["switches"])


def _minutes(switches: list[dict[str, Any]]) -> list[int]:
    tariffs = [0] * 1440
    for switch in switches:
        hour, minute = switch["at"].split(":")
        begin = 60 * int(hour) + int(minute)
        tariffs[begin:] = [switch["tariff"]] * (1440 - begin)
    return tariffs
