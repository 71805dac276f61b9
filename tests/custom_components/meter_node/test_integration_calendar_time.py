"""The calendar in a time zone: moments of change, whole periods, both nights of daylight saving."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from custom_components.meter_node import calendar_time
from custom_components.meter_node.calendar_time import Change, Period
from custom_components.meter_node.channel import presets
from custom_components.meter_node.channel.activity_calendar import (
    ActivityCalendar,
    DaySchedule,
    Season,
    Week,
    single_tariff,
)

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
DENMARK = presets.load("denmark_n1").calendar


def utc(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def one_day(*switches: tuple[int, int]) -> ActivityCalendar:
    """A calendar in which each day is the same."""
    return ActivityCalendar(
        "same", 3, (DaySchedule(1, switches),), (Week("w", (1,) * 7),), (Season("s", 1, 1, "w"),)
    )


def test_the_danish_peak_begins_at_17_on_the_wall() -> None:
    before = utc(1, 15, 15, 59)  # 16:59 in Copenhagen
    assert calendar_time.tariff_at(DENMARK, before, COPENHAGEN) == 2
    assert calendar_time.next_change(DENMARK, before, COPENHAGEN) == Change(utc(1, 15, 16), 3)
    assert calendar_time.tariff_at(DENMARK, utc(1, 15, 16), COPENHAGEN) == 3
    # In summer 17 o'clock is 15 UTC.
    assert calendar_time.next_change(DENMARK, utc(7, 1, 12), COPENHAGEN) == Change(utc(7, 1, 15), 3)


def test_the_next_turn_is_the_next_change_or_midnight() -> None:
    # In Copenhagen in January: 17 o'clock is 16 UTC, midnight 23 UTC.
    assert calendar_time.next_turn(DENMARK, utc(1, 15, 12), COPENHAGEN) == utc(1, 15, 16)
    assert calendar_time.next_turn(DENMARK, utc(1, 15, 16), COPENHAGEN) == utc(1, 15, 20)
    assert calendar_time.next_turn(DENMARK, utc(1, 15, 20), COPENHAGEN) == utc(1, 15, 23)
    assert calendar_time.next_turn(single_tariff(), utc(1, 15, 12), COPENHAGEN) == utc(1, 15, 23)
    assert calendar_time.next_turn(None, utc(1, 15, 12), COPENHAGEN) == utc(1, 15, 23)


def test_a_period_is_whole_wherever_in_it_one_asks() -> None:
    peak = Period(utc(1, 15, 16), utc(1, 15, 20), 3)
    for moment in (peak.start, utc(1, 15, 18), peak.end - timedelta(seconds=1)):
        assert calendar_time.period_at(DENMARK, moment, COPENHAGEN) == peak


def test_periods_touch_and_cover_the_span() -> None:
    found = calendar_time.periods(DENMARK, utc(1, 15, 18), utc(1, 16, 18), COPENHAGEN)
    assert [period.tariff for period in found] == [3, 2, 1, 2, 3]
    assert [one.end for one in found[:-1]] == [one.start for one in found[1:]]
    assert (found[0].start, found[-1].end) == (utc(1, 15, 16), utc(1, 16, 20))


def test_the_night_that_leaves_an_hour_out_jumps_into_the_tariff_that_has_begun() -> None:
    # 29 March 2026: 01:59:59 is followed by 03:00, which is 01:00 UTC.
    half_past_two = one_day((0, 1), (150, 2))
    assert calendar_time.next_change(half_past_two, utc(3, 28, 23), COPENHAGEN) == Change(
        utc(3, 29, 1), 2
    )
    # The night is an hour shorter: 00:00 (23 UTC) to 06:00 (04 UTC) are five hours.
    night = calendar_time.period_at(DENMARK, utc(3, 29, 2), COPENHAGEN)
    assert night == Period(utc(3, 28, 23), utc(3, 29, 4), 1)


def test_the_night_that_repeats_an_hour_has_its_tariffs_twice() -> None:
    # 25 October 2026: 03:00 summer time (01:00 UTC) becomes 02:00.
    half_past_two = one_day((0, 1), (150, 2), (170, 3))
    found = calendar_time.changes(half_past_two, utc(10, 24, 23), utc(10, 25, 6), COPENHAGEN)
    assert list(found) == [
        Change(utc(10, 25, 0, 30), 2),
        Change(utc(10, 25, 0, 50), 3),
        Change(utc(10, 25, 1), 1),  # it is 02:00 again
        Change(utc(10, 25, 1, 30), 2),
        Change(utc(10, 25, 1, 50), 3),
    ]
    night = calendar_time.period_at(DENMARK, utc(10, 25, 2), COPENHAGEN)
    assert night == Period(utc(10, 24, 22), utc(10, 25, 5), 1)  # seven hours


def test_a_single_tariff_never_changes() -> None:
    assert calendar_time.next_change(single_tariff(), utc(1, 1, 0), UTC) is None
    (always,) = calendar_time.periods(single_tariff(), utc(1, 1, 0), utc(2, 1, 0), UTC)
    assert always == Period(
        utc(1, 1, 0) - timedelta(days=400), utc(1, 1, 0) + timedelta(days=400), 1
    )


def test_a_tariff_that_lasts_a_season_is_found_whole() -> None:
    seasons = ActivityCalendar(
        "seasons",
        2,
        (DaySchedule(1, ((0, 1),)), DaySchedule(2, ((0, 2),))),
        (Week("cheap", (1,) * 7), Week("dear", (2,) * 7)),
        (Season("summer", 4, 1, "cheap"), Season("winter", 10, 1, "dear")),
    )
    assert calendar_time.period_at(seasons, utc(7, 1, 12), UTC) == Period(
        utc(4, 1, 0), utc(10, 1, 0), 1
    )
    (summer, winter) = calendar_time.periods(seasons, utc(9, 1, 0), utc(11, 1, 0), UTC)
    assert (summer.tariff, winter.tariff) == (1, 2)
    assert winter.end == datetime(2027, 4, 1, tzinfo=UTC)


def test_midnight_is_that_of_the_wall() -> None:
    assert calendar_time.next_midnight(utc(7, 1, 21, 59), COPENHAGEN) == utc(7, 1, 22)
    assert calendar_time.next_midnight(utc(7, 1, 22), COPENHAGEN) == utc(7, 2, 22)
    assert utc(7, 2, 22).astimezone(COPENHAGEN).date() == date(2026, 7, 3)
