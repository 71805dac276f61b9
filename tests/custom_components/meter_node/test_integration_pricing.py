"""Prices by tariff, by a preset and by a spot sensor, and their mean over a span."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from custom_components.meter_node import calendar_time
from custom_components.meter_node.channel import presets
from custom_components.meter_node.channel.activity_calendar import single_tariff
from custom_components.meter_node.pricing import (
    Prices,
    Pricing,
    SpotPrices,
    UnitError,
    per_kwh,
)

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
DENMARK = presets.load("denmark_n1")
LOW, HIGH, PEAK = Decimal("0.50"), Decimal("1.00"), Decimal("3.00")
TYPED = Prices({1: LOW, 2: HIGH, 3: PEAK})
NOTHING = Prices()


def local(day: int, hour: int, minute: int = 0, *, month: int = 1, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=COPENHAGEN)


def pricing(imported: Prices = TYPED, exported: Prices = NOTHING) -> Pricing:
    return Pricing("DKK", COPENHAGEN, DENMARK.calendar, imported, exported)


def mean(
    start: datetime, end: datetime, prices: Prices = TYPED, tariff: int | None = None
) -> Decimal | None:
    return pricing(prices).mean(prices, start, end, tariff)


@pytest.mark.parametrize(
    ("hour", "price"), [(0, LOW), (5, LOW), (6, HIGH), (16, HIGH), (17, PEAK), (21, HIGH)]
)
def test_the_price_is_that_of_the_tariff_in_force(hour: int, price: Decimal) -> None:
    assert pricing().import_price(local(15, hour)) == price


def test_each_direction_has_prices_of_its_own() -> None:
    both = pricing(TYPED, Prices({1: Decimal("0.20"), 2: Decimal("0.30"), 3: Decimal("0.30")}))
    assert both.import_price(local(15, 17)) == PEAK
    assert both.export_price(local(15, 17)) == Decimal("0.30")
    assert pricing().export_price(local(15, 17)) is None


def test_a_tariff_without_a_price_has_none() -> None:
    only_low = pricing(Prices({1: LOW}))
    assert only_low.import_price(local(15, 17)) is None
    assert not NOTHING.any
    assert TYPED.any


def test_a_preset_gives_what_was_not_typed_in_the_seasons_price() -> None:
    asked = pricing(Prices({1: LOW}, DENMARK))
    # N1 in 2025: peak 97.51 øre in winter, 42.25 øre in summer.
    assert asked.import_price(local(15, 17, year=2025)) == Decimal("0.9751")
    assert asked.import_price(local(15, 17, month=7, year=2025)) == Decimal("0.4225")
    assert asked.import_price(local(15, 0, year=2025)) == LOW
    assert asked.import_price(local(15, 17)) is None  # of 2026 it knows nothing


def test_without_a_calendar_no_price_by_tariff_is_known() -> None:
    waiting = Pricing("DKK", COPENHAGEN, None, TYPED, NOTHING)
    assert waiting.import_price(local(15, 17)) is None
    assert waiting.mean(TYPED, local(15, 12), local(15, 13)) is None
    assert waiting.mean(TYPED, local(15, 12), local(15, 13), 3) == PEAK


def test_a_spot_price_comes_on_top_of_the_tariffs() -> None:
    spot = SpotPrices()
    spot.heard(local(15, 17), Decimal("0.40"))
    spot.heard(local(15, 17, 15), Decimal("0.10"))
    asked = pricing(Prices({1: LOW, 2: HIGH, 3: PEAK}, spot=spot))
    assert asked.import_price(local(15, 16, 59)) is None  # before it was heard
    assert asked.import_price(local(15, 17)) == Decimal("3.40")
    assert asked.import_price(local(15, 17, 14)) == Decimal("3.40")
    assert asked.import_price(local(15, 17, 15)) == Decimal("3.10")


def test_a_spot_price_alone_is_a_price_even_without_a_calendar() -> None:
    spot = SpotPrices()
    spot.heard(local(15, 17), Decimal("-0.05"))
    alone = Pricing("DKK", COPENHAGEN, None, Prices(spot=spot), NOTHING)
    assert alone.import_price(local(15, 18)) == Decimal("-0.05")
    spot.heard(local(15, 19), None)
    assert alone.import_price(local(15, 19)) is None
    assert alone.import_price(local(15, 18)) == Decimal("-0.05")


def test_spot_prices_are_forgotten_after_two_days_but_for_the_one_in_force_then() -> None:
    spot = SpotPrices()
    for hours in (0, 1, 60):
        spot.heard(local(1, 0) + timedelta(hours=hours), Decimal(hours))
    assert spot.at(local(1, 0)) is None
    assert spot.at(local(1, 13)) == 1


def test_the_mean_weighs_by_time() -> None:
    # 16:00 to 20:00: one hour high, three hours peak.
    assert mean(local(15, 16), local(15, 20)) == (HIGH + 3 * PEAK) / 4
    assert mean(local(15, 12), local(15, 12, 1)) == HIGH
    # A whole day: 6 h low, 14 h high, 4 h peak.
    assert mean(local(15, 0), local(16, 0)) == (6 * LOW + 14 * HIGH + 4 * PEAK) / 24


def test_in_the_night_of_23_hours_low_lasts_five() -> None:
    start, end = local(29, 0, month=3), local(30, 0, month=3)
    assert mean(start, end) == (5 * LOW + 14 * HIGH + 4 * PEAK) / 23


def test_in_the_night_of_25_hours_low_lasts_seven() -> None:
    start, end = local(25, 0, month=10), local(26, 0, month=10)
    assert mean(start, end) == (7 * LOW + 14 * HIGH + 4 * PEAK) / 25


def test_what_a_tariff_register_counted_has_its_tariffs_price() -> None:
    assert mean(local(15, 0), local(16, 0), tariff=3) == PEAK
    # Overridden by the utility: the calendar says high all the time.
    assert mean(local(15, 12), local(15, 13), tariff=1) == LOW


def test_a_preset_price_that_changes_at_midnight_is_weighed() -> None:
    preset = Prices({}, DENMARK)
    # N1's low of 30 November 2025 is 10.83 øre, of 1 December 8.51; 21 to 24 h is high, 32.50.
    start, end = local(30, 23, month=11, year=2025), local(1, 1, month=12, year=2025)
    assert mean(start, end, preset) == (Decimal("0.3250") + Decimal("0.0851")) / 2


def test_a_mean_of_more_than_an_hour_wants_half_of_it_known() -> None:
    spot = SpotPrices()
    prices = Prices(spot=spot)
    spot.heard(local(15, 12), Decimal(2))
    assert mean(local(15, 11), local(15, 12), prices) is None
    assert mean(local(15, 11, 30), local(15, 12, 30), prices) == 2
    assert mean(local(15, 11), local(15, 13), prices) == 2
    assert mean(local(15, 10, 59), local(15, 13), prices) is None


def test_of_a_span_of_years_the_last_400_days_count() -> None:
    # N1's prices are those of 2025. Up to 1 October 2026 less than half of 400 days is in 2025, but
    # more than half of what has gone by since 2025 began; up to 1 May 2026 it is more.
    begun = local(1, 0, year=2025)
    assert mean(begun, local(1, 0, month=10), Prices({}, DENMARK)) is None
    assert mean(begun, local(1, 0, month=5), Prices({}, DENMARK)) is not None


@pytest.mark.parametrize("until", [2100, 9998])
def test_no_span_is_walked_through_for_more_than_400_days(
    monkeypatch: pytest.MonkeyPatch, until: int
) -> None:
    next_midnight = calendar_time.next_midnight
    midnights: list[datetime] = []

    def counted(moment: datetime, zone: tzinfo) -> datetime:
        midnights.append(moment)
        return next_midnight(moment, zone)

    monkeypatch.setattr(calendar_time, "next_midnight", counted)
    alone = Pricing("DKK", COPENHAGEN, single_tariff(), Prices({1: LOW}), NOTHING)
    assert alone.mean(alone.imported, local(1, 0), local(1, 0, year=until)) == LOW
    assert len(midnights) == 400


def test_quarter_hour_prices_are_weighed_within_the_hour() -> None:
    spot = SpotPrices()
    for quarter, price in enumerate((1, 2, 3, 6)):
        spot.heard(local(15, 12, 15 * quarter), Decimal(price))
    assert mean(local(15, 12), local(15, 13), Prices(spot=spot)) == 3


@pytest.mark.parametrize(
    ("value", "unit", "price"),
    [
        ("1.25", "DKK/kWh", "1.25"),
        ("125", "øre/kWh", "1.25"),
        ("80", "EUR/MWh", "0.08"),
        ("0.002", "€/Wh", "2"),
        ("-3", "ct / kWh", "-0.03"),
    ],
)
def test_a_price_now_sensor_may_count_in_other_units(value: str, unit: str, price: str) -> None:
    assert per_kwh(value, unit, unit[:3]) == Decimal(price)


@pytest.mark.parametrize("value", ["unavailable", "unknown", "", "nan", "inf"])
def test_what_is_no_number_is_no_price(value: str) -> None:
    assert per_kwh(value, "DKK/kWh", "DKK") is None


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        (None, "spot_unit"),
        ("W", "spot_unit"),
        ("DKK", "spot_unit"),
        ("/kWh", "spot_unit"),
        ("EUR/kWh", "spot_currency"),
    ],
)
def test_a_unit_that_is_no_price_of_energy_here_is_refused(unit: str | None, why: str) -> None:
    with pytest.raises(UnitError, match=why):
        per_kwh("1", unit, "DKK")


def test_moments_in_utc_and_on_the_wall_are_the_same_moments() -> None:
    assert pricing().import_price(datetime(2026, 1, 15, 16, tzinfo=UTC)) == PEAK
