"""What is billed by the rules of Norway, Flanders and Sweden, each worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from custom_components.meter_node.capacity_months import Months, Peak
from custom_components.meter_node.capacity_window import ClosedWindow
from custom_components.meter_node.channel import presets

ZONE = ZoneInfo("Europe/Oslo")  # Brussels and Stockholm go with it


def months(preset_id: str) -> Months:
    preset = presets.load(preset_id)
    assert preset.capacity is not None
    return Months(preset, preset.capacity, ZONE)


def hour(day: int, at: int, kwh: float, month: int = 11, year: int = 2026) -> ClosedWindow:
    """An hour that began then on the wall."""
    return ClosedWindow(datetime(year, month, day, at, tzinfo=ZONE).astimezone(UTC), kwh * 1000)


def now(day: int, month: int = 11, year: int = 2026) -> datetime:
    return datetime(year, month, day, 12, tzinfo=ZONE)


def test_norway_averages_the_three_highest_hours_of_different_days() -> None:
    elvia = months("norway_elvia")
    elvia.add([hour(2, 18, 5), hour(2, 19, 4.8), hour(3, 7, 3), hour(4, 17, 4), hour(5, 8, 1)])
    billed = elvia.billed(now(20))
    assert [peak.power_w for peak in billed.peaks] == [5000, 4000, 3000]
    assert billed.capacity_w == 4000  # (5 + 4 + 3) / 3
    assert billed.charge == Decimal("200.00")  # from 2 kW on 2400 a year


def test_norway_reaches_a_step_at_its_power() -> None:
    elvia = months("norway_elvia")
    elvia.add([hour(2, 18, 5), hour(3, 18, 5), hour(4, 18, 4.997)])
    # 4999 W: below the step of 5 kW, though by a third of a watt-hour only.
    assert elvia.billed(now(20)).charge == Decimal("200.00")
    elvia.add([hour(4, 18, 5)])
    assert elvia.billed(now(20)).charge == Decimal("336.00")  # 4032 / 12


def test_flanders_averages_the_months_peaks_each_at_least_two_and_a_half_kilowatts() -> None:
    flanders = months("belgium_flanders")
    quarter = datetime(2023, 9, 5, 16, tzinfo=UTC)
    flanders.add(
        [
            ClosedWindow(quarter, 1000),  # September: 4 kW
            ClosedWindow(quarter + timedelta(minutes=15), 900),
            ClosedWindow(quarter + timedelta(days=30), 500),  # October: 2 kW, so 2.5
            ClosedWindow(quarter + timedelta(days=60), 1375),  # November: 5.5 kW
        ]
    )
    billed = flanders.billed(now(20, year=2023))
    assert billed.peaks == (Peak(quarter + timedelta(days=60), 5500),)
    assert billed.capacity_w == 4000  # (4 + 2.5 + 5.5) / 3
    assert billed.charge == Decimal("13.47")  # 40.4 × 4 / 12 = 13.466…
    # A year later the three are out of the last twelve months.
    assert flanders.billed(now(20, month=12, year=2024)).capacity_w is None
    # No price of 2024 is known.
    assert flanders.billed(now(20, month=1, year=2024)).charge is None
    assert flanders.billed(now(20, month=1, year=2024)).capacity_w == 4000


def test_ellevio_counts_the_hours_of_the_night_half() -> None:
    ellevio = months("sweden_ellevio")
    ellevio.add([hour(2, 23, 6), hour(3, 18, 5), hour(4, 18, 4), hour(5, 18, 1)])
    billed = ellevio.billed(now(20))
    assert [peak.power_w for peak in billed.peaks] == [5000, 4000, 6000]  # as 5, 4 and 3
    assert billed.capacity_w == 4000
    assert billed.charge == Decimal("325.00")  # 81.25 × 4


def test_goteborg_takes_one_hour_a_day() -> None:
    goteborg = months("sweden_goteborg")
    goteborg.add([hour(2, 17, 6), hour(2, 18, 6), hour(3, 18, 3)])
    billed = goteborg.billed(now(20))
    assert billed.capacity_w == 4500
    assert billed.charge == Decimal("202.50")  # 45 × 4.5


def test_sollentuna_counts_hours_of_workdays_dearer_in_winter() -> None:
    sollentuna = months("sweden_sollentuna")
    # 7 November 2026 is a Saturday; 6 o'clock comes before the day's first hour that counts.
    sollentuna.add([hour(7, 12, 9), hour(3, 6, 9)])
    assert sollentuna.billed(now(20)).capacity_w is None
    sollentuna.add([hour(2, 7, 4), hour(2, 8, 5), hour(2, 18, 3), hour(3, 12, 2)])
    billed = sollentuna.billed(now(20))
    assert billed.capacity_w == 4000  # (4 + 5 + 3) / 3, all of one day
    assert billed.charge == Decimal("540.00")  # 135 × 4
    sollentuna.add([hour(1, 12, 4, month=6)])
    assert sollentuna.billed(now(20, month=6)).charge == Decimal("270.00")  # 67.50 × 4


def test_the_month_turns_at_local_midnight() -> None:
    elvia = months("norway_elvia")
    elvia.add([hour(30, 23, 8), hour(1, 0, 2, month=12)])
    last = datetime(2026, 11, 30, 23, 59, 59, tzinfo=ZONE)
    assert elvia.billed(last).capacity_w == 8000
    assert elvia.billed(last + timedelta(seconds=1)).capacity_w == 2000


def test_a_new_month_knows_nothing_until_its_first_interval() -> None:
    elvia = months("norway_elvia")
    elvia.add([hour(30, 23, 8)])
    billed = elvia.billed(now(1, month=12))
    assert billed.peaks == ()
    assert (billed.capacity_w, billed.charge) == (None, None)


def test_an_interval_may_come_again_or_late_from_the_load_profile() -> None:
    elvia = months("norway_elvia")
    elvia.add([hour(10, 18, 5)])
    elvia.add([hour(3, 18, 7), hour(10, 18, 6)])
    assert [peak.power_w for peak in elvia.billed(now(20)).peaks] == [7000, 6000]
    elvia.add([hour(28, 18, 9, month=10)])
    assert elvia.billed(now(20)).capacity_w == 6500  # October's changes nothing


def test_what_was_measured_outlives_a_restart() -> None:
    before = months("norway_elvia")
    before.add([hour(day, 18, day) for day in range(1, 29)])
    after = months("norway_elvia")
    after.restore(before.state())
    assert after.billed(now(28)) == before.billed(now(28))
    assert before.billed(now(28)).capacity_w == 27_000


def test_no_more_is_kept_than_the_rule_looks_back() -> None:
    elvia = months("norway_elvia")
    for month in range(1, 12):
        elvia.add([hour(day, at, 1, month=month) for day in (1, 2) for at in (17, 18)])
    assert {month: len(windows) for month, windows in elvia.state().items()} == {
        "2026-10": 2,
        "2026-11": 2,
    }


def test_the_repeated_hour_of_the_night_is_two_hours() -> None:
    elvia = months("norway_elvia")
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 summer time; an hour later 02:00 again
    elvia.add([ClosedWindow(first, 3000), ClosedWindow(first + timedelta(hours=1), 4000)])
    assert [peak.power_w for peak in elvia.billed(now(26, month=10)).peaks] == [4000]
