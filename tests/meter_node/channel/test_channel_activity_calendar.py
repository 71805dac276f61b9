"""The activity calendar: which tariff holds at a minute, and calendars that cannot be."""

from __future__ import annotations

import copy
import json
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pytest
from calendars import calendars, plain_day
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.channel.activity_calendar import (
    ActivityCalendar,
    CalendarError,
    DaySchedule,
    Moment,
    Period,
    Season,
    SpecialDay,
    Week,
    next_change,
    periods,
    single_tariff,
    tariff_at,
)

# Workdays of winter: low, high from 06:00, peak 17:00 to 21:00. Weekends low; summers without peak.
WINTER_DAY = {
    "id": 1,
    "switches": [
        {"at": "00:00", "tariff": 1},
        {"at": "06:00", "tariff": 2},
        {"at": "17:00", "tariff": 3},
        {"at": "21:00", "tariff": 2},
    ],
}
SUMMER_DAY = {"id": 2, "switches": [{"at": "00:00", "tariff": 1}, {"at": "06:30", "tariff": 2}]}
FREE_DAY = {"id": 3, "switches": [{"at": "00:00", "tariff": 1}]}
DATA: dict[str, Any] = {
    "name": "example",
    "tariffs": 3,
    "days": [WINTER_DAY, SUMMER_DAY, FREE_DAY],
    "weeks": [
        {"name": "winter", "days": [1, 1, 1, 1, 1, 3, 3]},
        {"name": "summer", "days": [2, 2, 2, 2, 2, 3, 3]},
    ],
    "seasons": [
        {"name": "winter", "start": "10-01", "week": "winter"},
        {"name": "summer", "start": "04-01", "week": "summer"},
    ],
    "special_days": [{"date": "*-12-24", "day": 3}, {"date": "2026-11-05", "day": 3}],
}
CALENDAR = ActivityCalendar.from_json(DATA)

# 2026-01-05 is a Monday.
MONDAY_IN_JANUARY = date(2026, 1, 5)


def at(day: date, hour: int, minute: int = 0) -> int:
    return tariff_at(CALENDAR, day, 60 * hour + minute)


def changed(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(DATA) | changes


def refusal(data: object) -> str:
    with pytest.raises(CalendarError) as caught:
        ActivityCalendar.from_json(data)
    return str(caught.value)


# --- the tariff of a minute ----------------------------------------------------------------------


def test_a_switch_holds_from_its_minute_on() -> None:
    assert [at(MONDAY_IN_JANUARY, 16, 59), at(MONDAY_IN_JANUARY, 17)] == [2, 3]


def test_a_day_ends_with_its_last_switch() -> None:
    assert at(MONDAY_IN_JANUARY, 23, 59) == 2


def test_midnight_begins_the_day_that_follows() -> None:
    assert at(date(2026, 1, 6), 0) == 1


def test_a_weekend_has_its_own_day() -> None:
    assert [at(date(2026, 1, 9), 18), at(date(2026, 1, 10), 18)] == [3, 1]  # Friday, Saturday


def test_a_season_begins_on_its_day() -> None:
    # Tuesday 31 March and Wednesday 1 April 2026.
    assert [at(date(2026, 3, 31), 18), at(date(2026, 4, 1), 18)] == [3, 2]


def test_the_last_season_goes_on_over_new_year() -> None:
    assert CALENDAR.season_on(date(2026, 1, 1)).name == "winter"


def test_one_season_holds_all_year_wherever_it_starts() -> None:
    calendar = ActivityCalendar.from_json(
        changed(seasons=[{"name": "only", "start": "07-15", "week": "winter"}])
    )
    assert tariff_at(calendar, MONDAY_IN_JANUARY, 18 * 60) == 3


def test_a_special_day_of_every_year_outranks_the_season() -> None:
    # 24 December is a Thursday in 2026 and a Friday in 2027.
    assert [at(date(2026, 12, 24), 18), at(date(2027, 12, 24), 18)] == [1, 1]


def test_a_special_day_of_one_year_is_forgotten_in_the_next() -> None:
    # 5 November is a Thursday in 2026 and a Friday in 2027.
    assert [at(date(2026, 11, 5), 18), at(date(2027, 11, 5), 18)] == [1, 3]


def test_29_february_may_be_special_every_leap_year() -> None:
    calendar = ActivityCalendar.from_json(
        changed(special_days=[{"date": "*-02-29", "day": 3}])
    )  # a Tuesday in 2028
    assert tariff_at(calendar, date(2028, 2, 29), 18 * 60) == 1


@settings(max_examples=60)
@given(calendars(), st.dates(date(2024, 1, 1), date(2027, 12, 31)))
def test_every_minute_has_the_tariff_of_a_plain_reading(
    calendar: ActivityCalendar, day: date
) -> None:
    assert [tariff_at(calendar, day, minute) for minute in range(1440)] == plain_day(calendar, day)


# --- the next change -----------------------------------------------------------------------------


def test_the_next_change_is_the_next_other_tariff() -> None:
    assert next_change(CALENDAR, MONDAY_IN_JANUARY, 0) == (MONDAY_IN_JANUARY, 360, 2)


def test_the_minute_of_a_switch_looks_past_it() -> None:
    assert next_change(CALENDAR, MONDAY_IN_JANUARY, 360) == (MONDAY_IN_JANUARY, 17 * 60, 3)


def test_a_midnight_without_a_change_of_tariff_is_none() -> None:
    # From Saturday's midnight low goes on until Monday 06:00.
    assert next_change(CALENDAR, date(2026, 1, 10), 0) == (date(2026, 1, 12), 360, 2)


def test_a_single_tariff_never_changes() -> None:
    assert next_change(single_tariff(), MONDAY_IN_JANUARY, 0) is None


def test_a_change_within_400_days_is_found() -> None:
    calendar = ActivityCalendar.from_json(
        changed(
            weeks=[{"name": "all", "days": [3] * 7}],
            seasons=[{"name": "all", "start": "01-01", "week": "all"}],
            special_days=[{"date": "2027-02-09", "day": 2}],
        )
    )  # 2026-01-05 and 400 days: 360 to 2026-12-31, 40 more to 2027-02-09
    assert next_change(calendar, MONDAY_IN_JANUARY, 720) == (date(2027, 2, 9), 390, 2)
    assert next_change(calendar, MONDAY_IN_JANUARY - timedelta(days=1), 720) is None


def test_the_last_day_of_all_has_no_next_change() -> None:
    assert next_change(single_tariff(), date.max, 0) is None


@settings(max_examples=15)
@given(calendars(), st.dates(date(2025, 1, 1), date(2026, 12, 31)), st.integers(0, 1439))
def test_nothing_changes_before_the_next_change(
    calendar: ActivityCalendar, day: date, minute: int
) -> None:
    change = next_change(calendar, day, minute)
    now = tariff_at(calendar, day, minute)
    last = day + timedelta(days=400) if change is None else change.day
    seen = [
        (day + timedelta(days=number), at, tariff)
        for number in range((last - day).days + 1)
        for at, tariff in enumerate(plain_day(calendar, day + timedelta(days=number)))
    ]
    others = [one for one in seen if one[:2] > (day, minute) and one[2] != now]
    assert (others[0] if others else None) == change


# --- periods -------------------------------------------------------------------------------------


def test_the_periods_of_a_weekend_are_merged() -> None:
    # Friday 9 to Monday 12 January 2026.
    found = periods(CALENDAR, date(2026, 1, 9), date(2026, 1, 12))
    assert found[3:6] == [
        Period(Moment(date(2026, 1, 9), 21 * 60), Moment(date(2026, 1, 10), 0), 2),
        Period(Moment(date(2026, 1, 10), 0), Moment(date(2026, 1, 12), 360), 1),
        Period(Moment(date(2026, 1, 12), 360), Moment(date(2026, 1, 12), 17 * 60), 2),
    ]


def test_the_last_period_ends_with_the_last_day() -> None:
    assert periods(CALENDAR, MONDAY_IN_JANUARY, MONDAY_IN_JANUARY)[-1].end == (date(2026, 1, 6), 0)


def test_no_days_have_no_periods() -> None:
    assert periods(CALENDAR, MONDAY_IN_JANUARY, date(2026, 1, 4)) == []


@settings(max_examples=8)
@given(calendars())
def test_the_periods_give_every_minute_of_a_year_exactly_one_tariff(
    calendar: ActivityCalendar,
) -> None:
    first, last = date(2026, 1, 1), date(2026, 12, 31)
    minutes: list[int] = []
    found = periods(calendar, first, last)
    for period in found:
        begin = 1440 * (period.start.day - first).days + period.start.minute
        end = 1440 * (period.end.day - first).days + period.end.minute
        assert begin == len(minutes)  # no gap, no overlap
        minutes += [period.tariff] * (end - begin)
    plain = [
        tariff
        for number in range(365)
        for tariff in plain_day(calendar, first + timedelta(days=number))
    ]
    assert minutes == plain  # 525 600 of them
    assert all(one.tariff != other.tariff for one, other in pairwise(found))


# --- calendars that cannot be --------------------------------------------------------------------


def day_with(*switches: tuple[str, int]) -> list[dict[str, Any]]:
    return [
        {"id": 1, "switches": [{"at": time, "tariff": tariff} for time, tariff in switches]},
        SUMMER_DAY,
        FREE_DAY,
    ]


HOURLY = tuple((f"{hour:02}:00", 1) for hour in range(9))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (changed(tariffs=9), "9 tariffs; possible are 1 to 8"),
        (changed(tariffs=0), "0 tariffs; possible are 1 to 8"),
        (
            changed(tariffs=2),
            "day 1 switches to tariff 3 at 17:00; the calendar has 2",
        ),
        (
            changed(days=day_with(*HOURLY)),
            "days[0]: day 1 has 9 switches; at most 8 are possible",
        ),
        (
            changed(days=day_with(("00:00", 1), ("06:00", 2), ("06:00", 1))),
            "days[0]: day 1 switches at 06:00 after 06:00; the times must rise",
        ),
        (
            changed(days=day_with(("00:00", 1), ("06:00", 2), ("05:00", 1))),
            "days[0]: day 1 switches at 05:00 after 06:00; the times must rise",
        ),
        (
            changed(days=day_with(("00:00", 1), ("24:00", 2))),
            "days[0].switches[1].at: '24:00' is no time of day (HH:MM)",
        ),
        (
            changed(days=day_with(("00:00", 1), ("06:00", 9))),
            "days[0]: day 1 switches to tariff 9; possible are 1 to 8",
        ),
        (
            changed(days=day_with(("00:01", 1))),
            "days[0]: day 1 does not say which tariff it has from 00:00 on",
        ),
        (
            changed(days=day_with()),
            "days[0]: day 1 does not say which tariff it has from 00:00 on",
        ),
        (changed(days=[WINTER_DAY, WINTER_DAY]), "two days have the id 1"),
        (changed(days=[FREE_DAY | {"id": 256}]), "days[0]: a day's id is 0 to 255, not 256"),
        (changed(days=[]), "0 kinds of day; possible are 1 to 32"),
        (
            changed(weeks=[{"name": "winter", "days": [1, 1, 1, 1, 1, 3, 4]}]),
            "week 'winter' names day 4, which is not in the calendar",
        ),
        (
            changed(weeks=[{"name": "winter", "days": [1, 1, 1, 1, 1, 3]}]),
            "weeks[0]: week 'winter' has 6 days instead of seven",
        ),
        (
            changed(weeks=[{"name": "winter", "days": [1] * 7}] * 2),
            "two weeks have the name 'winter'",
        ),
        (changed(weeks=[]), "0 weeks; possible are 1 to 12"),
        (
            changed(
                seasons=[
                    {"name": "winter", "start": "10-01", "week": "winter"},
                    {"name": "summer", "start": "10-01", "week": "summer"},
                ]
            ),
            "seasons 'winter' and 'summer' overlap: both start on 10-01",
        ),
        (
            changed(
                seasons=[
                    {"name": "winter", "start": "10-01", "week": "winter"},
                    {"name": "winter", "start": "04-01", "week": "winter"},
                ]
            ),
            "two seasons have the name 'winter'",
        ),
        (
            changed(seasons=[{"name": "winter", "start": "10-01", "week": "autumn"}]),
            "season 'winter' names week 'autumn', which is not in the calendar",
        ),
        (
            changed(seasons=[{"name": "winter", "start": "02-29", "week": "winter"}]),
            (
                "seasons[0]: season 'winter' cannot start in month 2 on day 29: "
                "not every year has such a day"
            ),
        ),
        (changed(seasons=[]), "0 seasons; possible are 1 to 12"),
        (
            changed(special_days=[{"date": "2026-02-29", "day": 3}]),
            "special_days[0]: a special day on 2026-02-29: there is no such date",
        ),
        (
            changed(special_days=[{"date": "2026-12-24", "day": 4}]),
            "the special day 2026-12-24 names day 4, which is not in the calendar",
        ),
        (
            changed(special_days=[{"date": "2026-12-24", "day": 3}] * 2),
            "two special days for 2026-12-24",
        ),
        (
            changed(special_days=[{"date": "*-12-24", "day": 3}, {"date": "2026-12-24", "day": 1}]),
            "two special days for 2026-12-24",
        ),
        (
            changed(
                special_days=[
                    {"date": str(date(2026, 1, 1) + timedelta(days=number)), "day": 3}
                    for number in range(101)
                ]
            ),
            "101 special days; possible are 0 to 100",
        ),
        (
            changed(name="a name that is long"),  # 19 characters
            "the calendar has a name of 19 characters; at most 16 are possible",
        ),
        (changed(name="tæt"), "the calendar has the name 'tæt'; names are printable ASCII"),
        (changed(name=""), "the calendar has the name ''; names are printable ASCII"),
    ],
)
def test_an_impossible_calendar_is_refused_with_a_sentence(data: object, sentence: str) -> None:
    assert refusal(data) == sentence


def test_a_day_of_a_hundred_special_ones_and_eight_switches_is_taken() -> None:
    days = [str(date(2026, 1, 1) + timedelta(days=number)) for number in range(100)]
    data = changed(
        tariffs=8,
        days=[*day_with(*HOURLY[:8])],
        special_days=[{"date": day, "day": 1} for day in days],
    )
    assert len(ActivityCalendar.from_json(data).special_days) == 100


@pytest.mark.parametrize("minute", [-1, 1440])
def test_a_switch_at_a_minute_that_no_day_has_is_refused(minute: int) -> None:
    with pytest.raises(CalendarError, match="a day has the minutes 0 to 1439"):
        DaySchedule(1, ((0, 1), (minute, 2)))


# --- JSON ----------------------------------------------------------------------------------------


def test_json_comes_back() -> None:
    assert CALENDAR.to_json() == DATA


@given(calendars())
def test_every_calendar_comes_back_from_json(calendar: ActivityCalendar) -> None:
    assert ActivityCalendar.from_json(json.loads(json.dumps(calendar.to_json()))) == calendar


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "calendar: None is no object"),
        ([DATA], "calendar: "),
        ({"name": "x"}, "calendar: 'tariffs' is missing"),
        (changed(colour=1), "calendar: 'colour' is not known"),
        (changed(name=7), "name: 7 is no text"),
        (changed(tariffs=True), "tariffs: True is no whole number"),
        (changed(tariffs=3.0), "tariffs: 3.0 is no whole number"),
        (changed(days={}), "days: {} is no list"),
        (changed(days=[7]), "days[0]: 7 is no object"),
        (changed(days=[{"id": 1}]), "days[0]: 'switches' is missing"),
        (changed(days=[{"id": "1", "switches": []}]), "days[0].id: '1' is no whole number"),
        (changed(days=[{"id": 1, "switches": [[]]}]), "days[0].switches[0]: [] is no object"),
        (
            changed(days=[{"id": 1, "switches": [{"at": 0, "tariff": 1}]}]),
            "days[0].switches[0].at: 0 is no text",
        ),
        (
            changed(days=[{"id": 1, "switches": [{"at": "6:00", "tariff": 1}]}]),
            "days[0].switches[0].at: '6:00' is no time of day (HH:MM)",
        ),
        (
            changed(days=[{"id": 1, "switches": [{"at": "00:00", "tariff": None}]}]),
            "days[0].switches[0].tariff: None is no whole number",
        ),
        (changed(weeks=[{"name": "w", "days": "1111133"}]), "weeks[0].days: '1111133' is no list"),
        (
            changed(weeks=[{"name": "w", "days": [None] * 7}]),
            "weeks[0].days[0]: None is no whole number",
        ),
        (
            changed(seasons=[{"name": "s", "start": "1 May", "week": "w"}]),
            "seasons[0].start: '1 May' is no day of the year (MM-DD)",
        ),
        (
            changed(special_days=[{"date": "24-12", "day": 3}]),
            "special_days[0].date: '24-12' is no date (YYYY-MM-DD, *-MM-DD every year)",
        ),
    ],
)
def test_json_of_the_wrong_shape_is_refused_where_it_is_wrong(data: object, sentence: str) -> None:
    assert refusal(data).startswith(sentence)


def test_a_refusal_does_not_repeat_a_long_text() -> None:
    assert len(refusal(changed(tariffs="9" * 10_000))) < 100


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path]
    for key, one in inner:
        found += places(one, (*path, key)) if isinstance(one, dict | list) else [(*path, key)]
    return found


@settings(max_examples=300)
@given(st.sampled_from(places(DATA)[1:]), JSON)
def test_whatever_stands_in_any_place_gives_a_calendar_or_a_refusal(
    place: tuple[Any, ...], value: object
) -> None:
    data = copy.deepcopy(DATA)
    inner: Any = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    try:
        calendar = ActivityCalendar.from_json(data)
    except CalendarError:
        return
    assert ActivityCalendar.from_json(calendar.to_json()) == calendar


def test_calendars_made_in_code_are_checked_alike() -> None:
    day, week = DaySchedule(1, ((0, 1),)), Week("all", (1,) * 7)
    with pytest.raises(CalendarError, match="two special days for \\*-12-24"):
        ActivityCalendar(
            "code",
            1,
            (day,),
            (week,),
            (Season("all", 1, 1, "all"),),
            (SpecialDay(None, 12, 24, 1), SpecialDay(None, 12, 24, 1)),
        )
