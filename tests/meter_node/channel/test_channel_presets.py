"""The presets: each against the rule as its country states it, hour by hour."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from meter_node.channel import presets
from meter_node.channel.activity_calendar import ActivityCalendar, tariff_at

DENMARK = presets.load("denmark_n1")
NORWAY = presets.load("norway_elvia")
FLANDERS = presets.load("belgium_flanders")
ELLEVIO = presets.load("sweden_ellevio")
GOTEBORG = presets.load("sweden_goteborg")
SOLLENTUNA = presets.load("sweden_sollentuna")

LOW, HIGH, PEAK = 1, 2, 3


def hours(calendar: ActivityCalendar, day: date) -> list[int]:
    """The tariff of each hour of the wall, both ends of the hour agreeing."""
    first = [tariff_at(calendar, day, 60 * hour) for hour in range(24)]
    assert first == [tariff_at(calendar, day, 60 * hour + 59) for hour in range(24)]
    return first


def hours_lived(preset: presets.Preset, day: date) -> list[int]:
    """The tariff of each real hour between two midnights of the preset's country."""
    zone = ZoneInfo(preset.time_zone)
    now = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    tariffs = []
    while (local := datetime.fromtimestamp(now, zone)).date() == day:
        tariffs.append(tariff_at(preset.calendar, day, 60 * local.hour + local.minute))
        now += 3600
    return tariffs


# --- all -----------------------------------------------------------------------------------------


def test_there_are_presets_of_four_countries() -> None:
    assert {presets.load(name).country for name in presets.names()} == {"DK", "NO", "BE", "SE"}


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_names_every_tariff_of_its_calendar_once(name: str) -> None:
    preset = presets.load(name)
    assert [row.tariff for row in preset.tariffs] == list(range(1, preset.calendar.tariffs + 1))


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_speaks_english_and_danish(name: str) -> None:
    preset = presets.load(name)
    texts = [preset.name, preset.notes, *(row.label for row in preset.tariffs)]
    assert all(text.en and text.da for text in texts)


@pytest.mark.parametrize("name", presets.names())
def test_a_program_knows_a_tariff_by_one_of_four_keys(name: str) -> None:
    keys = {row.key for row in presets.load(name).tariffs}
    assert keys <= {"standard", "low", "high", "peak"}


@pytest.mark.parametrize("name", presets.names())
def test_prices_name_tariffs_and_seasons_of_the_calendar(name: str) -> None:
    preset = presets.load(name)
    seasons = {None, *(season.name for season in preset.calendar.seasons)}
    for prices in preset.prices:
        assert prices.season in seasons
        assert set(prices.per_kwh) == set(range(1, preset.calendar.tariffs + 1))
    if preset.capacity is not None and preset.capacity.charge is not None:
        assert {price.season for price in preset.capacity.charge.per_kw} <= seasons


@pytest.mark.parametrize("name", ["", "../registers", "denmark_n1.json", "nowhere"])
def test_there_is_no_other_preset(name: str) -> None:
    with pytest.raises(KeyError):
        presets.load(name)


def test_a_label_is_found_by_its_tariff() -> None:
    assert DENMARK.label(3).label.da == "Spidslast"


def test_there_is_no_label_for_a_tariff_that_the_preset_lacks() -> None:
    with pytest.raises(KeyError):
        DENMARK.label(4)


# --- Denmark: peak 17–21, high 06–17 and 21–24, low otherwise, every day -------------------------

TARIFMODEL_3 = [LOW] * 6 + [HIGH] * 11 + [PEAK] * 4 + [HIGH] * 3


@pytest.mark.parametrize(
    "day",
    [
        date(2026, 1, 7),  # Wednesday in winter
        date(2026, 1, 10),  # Saturday
        date(2026, 7, 8),  # Wednesday in summer
        date(2026, 7, 12),  # Sunday
        date(2026, 12, 25),
    ],
)
def test_every_danish_day_has_the_hours_of_tarifmodel_3(day: date) -> None:
    assert hours(DENMARK.calendar, day) == TARIFMODEL_3


def test_danish_winter_is_october_to_march() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    winter = {day.month for day in days if DENMARK.calendar.season_on(day).name == "winter"}
    summer = {day.month for day in days if DENMARK.calendar.season_on(day).name == "summer"}
    assert (winter, summer) == ({10, 11, 12, 1, 2, 3}, {4, 5, 6, 7, 8, 9})


def test_the_danish_night_without_a_third_hour_has_five_hours_of_low() -> None:
    # 29 March 2026: 02:00 becomes 03:00.
    assert hours_lived(DENMARK, date(2026, 3, 29)) == [LOW] * 5 + TARIFMODEL_3[6:]


def test_the_danish_night_with_two_third_hours_has_seven_hours_of_low() -> None:
    # 25 October 2026: 03:00 becomes 02:00.
    assert hours_lived(DENMARK, date(2026, 10, 25)) == [LOW] * 7 + TARIFMODEL_3[6:]


@pytest.mark.parametrize(
    ("day", "low", "high", "peak"),
    [
        (date(2025, 1, 1), "10.83", "32.50", "97.51"),
        (date(2025, 3, 31), "10.83", "32.50", "97.51"),
        (date(2025, 4, 1), "10.83", "16.25", "42.25"),
        (date(2025, 9, 30), "10.83", "16.25", "42.25"),
        (date(2025, 10, 1), "10.83", "32.50", "97.51"),
        (date(2025, 11, 30), "10.83", "32.50", "97.51"),
        (date(2025, 12, 1), "8.51", "25.52", "76.56"),
        (date(2025, 12, 31), "8.51", "25.52", "76.56"),
    ],
)
def test_n1_prices_of_2025(day: date, low: str, high: str, peak: str) -> None:
    asked = [DENMARK.price(day, 60 * hour) for hour in (5, 6, 17)]
    assert asked == [Decimal(low), Decimal(high), Decimal(peak)]


def test_no_price_is_made_up_where_none_is_known() -> None:
    assert DENMARK.price(date(2026, 1, 1), 0) is None
    assert DENMARK.price(date(2024, 12, 31), 0) is None


def test_n1_prices_keep_the_ratios_of_tarifmodel_3() -> None:
    # 1 : 3 : 9 in winter, 1 : 1.5 : 3.9 in summer, within a rounding of the published 0.01 øre.
    ratios = {"winter": (3, 9), "summer": (Decimal("1.5"), Decimal("3.9"))}
    for prices in DENMARK.prices:
        assert prices.season is not None
        low, high, peak = (prices.per_kwh[tariff] for tariff in (1, 2, 3))
        for price, ratio in zip((high, peak), ratios[prices.season], strict=True):
            assert abs(price - low * ratio) <= Decimal("0.01") * ratio / 2 + Decimal("0.005")


# --- Norway: day 06–22 on workdays ----------------------------------------------------------------

WORKDAY = [LOW] * 6 + [HIGH] * 16 + [LOW] * 2
FREE = [LOW] * 24


def test_a_norwegian_workday_has_sixteen_hours_of_day() -> None:
    assert hours(NORWAY.calendar, date(2026, 9, 2)) == WORKDAY  # Wednesday


@pytest.mark.parametrize("day", [date(2026, 9, 5), date(2026, 9, 6)])
def test_a_norwegian_weekend_has_none(day: date) -> None:
    assert hours(NORWAY.calendar, day) == FREE


def easter_sunday(year: int) -> date:
    """Gauss's rule for the years 1900 to 2099 (M = 24, N = 5)."""
    a, b, c = year % 19, year % 4, year % 7
    d = (19 * a + 24) % 30
    e = (2 * b + 4 * c + 6 * d + 5) % 7
    if d + e == 35 or (d == 28 and e == 6 and a > 10):
        d -= 7
    return date(year, 3, 22) + timedelta(days=d + e)


def test_easter_of_the_test_itself() -> None:
    assert [easter_sunday(year) for year in (2024, 2025, 2026)] == [
        date(2024, 3, 31),
        date(2025, 4, 20),
        date(2026, 4, 5),
    ]


def free_weekdays(preset: presets.Preset, year: int) -> set[date]:
    """The days from Monday to Friday that have no hour of high."""
    length = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(length)]
    return {day for day in days if day.weekday() < 5 and hours(preset.calendar, day) == FREE}


@pytest.mark.parametrize("year", range(2026, 2036))
def test_norwegian_public_holidays_are_no_workdays(year: int) -> None:
    easter = easter_sunday(year)
    # Maundy Thursday, Good Friday, Easter Monday, Ascension, Whit Monday.
    wanted = {easter + timedelta(days=number) for number in (-3, -2, 1, 39, 50)}
    wanted |= {date(year, *day) for day in ((1, 1), (5, 1), (5, 17), (12, 25), (12, 26))}
    assert free_weekdays(NORWAY, year) == {day for day in wanted if day.weekday() < 5}


def test_elvia_prices_from_july_2026() -> None:
    wednesday = date(2026, 9, 2)
    asked = [NORWAY.price(wednesday, 60 * hour) for hour in (5, 6, 21, 22)]
    assert asked == [Decimal(price) for price in ("16.99", "28.99", "28.99", "16.99")]


# --- Flanders and Sweden -------------------------------------------------------------------------


def test_flanders_and_goteborg_have_one_tariff() -> None:
    assert [FLANDERS.calendar.tariffs, GOTEBORG.calendar.tariffs] == [1, 1]


def test_ellevio_has_night_from_22_to_06_every_day() -> None:
    night_and_day = [LOW] * 6 + [HIGH] * 16 + [LOW] * 2
    assert hours(ELLEVIO.calendar, date(2026, 9, 2)) == night_and_day
    assert hours(ELLEVIO.calendar, date(2026, 9, 6)) == night_and_day  # Sunday


def test_sollentuna_counts_workdays_from_07_to_19() -> None:
    assert Counter(hours(SOLLENTUNA.calendar, date(2026, 9, 2))) == {LOW: 12, HIGH: 12}
    assert hours(SOLLENTUNA.calendar, date(2026, 9, 2))[7:19] == [HIGH] * 12
    assert hours(SOLLENTUNA.calendar, date(2026, 9, 6)) == FREE


@pytest.mark.parametrize("year", range(2026, 2036))
def test_swedish_public_holidays_are_no_workdays(year: int) -> None:
    easter = easter_sunday(year)
    wanted = {easter + timedelta(days=number) for number in (-2, 1, 39)}
    wanted |= {
        date(year, *day)
        for day in ((1, 1), (1, 6), (5, 1), (6, 6), (12, 24), (12, 25), (12, 26), (12, 31))
    }
    # Midsummer Eve: the Friday from 19 to 25 June.
    wanted |= {date(year, 6, day) for day in range(19, 26) if date(year, 6, day).weekday() == 4}
    assert free_weekdays(SOLLENTUNA, year) == {day for day in wanted if day.weekday() < 5}


def test_sollentuna_winter_is_november_to_march() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    winter = {day.month for day in days if SOLLENTUNA.calendar.season_on(day).name == "winter"}
    assert winter == {11, 12, 1, 2, 3}
