"""Totals of cost and compensation: which energy at which price, and what a gap does not do."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from custom_components.meter_node.channel import presets
from custom_components.meter_node.costs import EXPORT_COMPENSATION, IMPORT_COST, Costs
from custom_components.meter_node.pricing import Prices, Pricing, SpotPrices

ZONE = ZoneInfo("Europe/Copenhagen")
CALENDAR = presets.load("denmark_n1").calendar
# Low 0–6, high 6–17 and 21–24, peak 17–21.
PRICING = Pricing(
    "DKK",
    ZONE,
    CALENDAR,
    Prices({1: Decimal(1), 2: Decimal(2), 3: Decimal(6)}),
    Prices({tariff: Decimal("0.50") for tariff in (1, 2, 3)}),
)
IMPORT, EXPORT = "import_active_energy", "export_active_energy"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, tzinfo=ZONE)


def booked(
    *frames: tuple[datetime, dict[str, float]], pricing: Pricing = PRICING, by_tariff: bool = False
) -> Costs:
    costs = Costs()
    for moment, counters in frames:
        costs.book(pricing, counters, moment, by_tariff=by_tariff)
    return costs


def test_the_first_frame_is_a_start_at_nothing_whatever_the_counters_have_counted() -> None:
    costs = booked((at(12), {IMPORT: 5_000_000, EXPORT: 7}))
    assert costs.totals == {IMPORT_COST: 0, EXPORT_COMPENSATION: 0}


def test_a_direction_without_a_price_or_a_counter_has_no_total() -> None:
    imported = Pricing("DKK", ZONE, CALENDAR, PRICING.imported, Prices())
    assert booked((at(12), {IMPORT: 1, EXPORT: 1}), pricing=imported).totals == {IMPORT_COST: 0}
    assert booked((at(12), {IMPORT: 1})).totals == {IMPORT_COST: 0}


def test_no_total_begins_while_no_price_is_known() -> None:
    of_2025 = presets.load("denmark_n1")  # the meter is in 2026
    pricing = Pricing("DKK", ZONE, CALENDAR, Prices(preset=of_2025), Prices())
    assert booked((at(12), {IMPORT: 0}), (at(12, 1), {IMPORT: 500}), pricing=pricing).totals == {}


def test_a_total_that_was_kept_never_falls_back_to_nothing() -> None:
    kept = booked((at(12), {IMPORT: 0}), (at(12, 1), {IMPORT: 500})).state()
    again = Costs()
    again.restore(kept)
    assert again.totals == {IMPORT_COST: Decimal(1)}
    again.book(PRICING, {IMPORT: 500}, at(12, 2), by_tariff=False)
    assert again.totals == {IMPORT_COST: Decimal(1)}


def test_energy_costs_what_it_cost_when_it_was_used() -> None:
    costs = booked(
        (at(16, 59, 50), {IMPORT: 1000}),
        (at(17), {IMPORT: 1100}),  # 100 Wh high: 0.20
        (at(17, 0, 10), {IMPORT: 1200}),  # 100 Wh peak: 0.60
    )
    assert costs.totals == {IMPORT_COST: Decimal("0.8")}


def test_export_earns_its_own_price() -> None:
    costs = booked((at(12), {IMPORT: 0, EXPORT: 0}), (at(12, 0, 10), {IMPORT: 0, EXPORT: 4000}))
    assert costs.totals == {IMPORT_COST: 0, EXPORT_COMPENSATION: Decimal(2)}


def test_a_frame_across_the_change_is_priced_by_time() -> None:
    # Five seconds high and five seconds peak: (2 + 6) / 2.
    costs = booked((at(16, 59, 55), {IMPORT: 0}), (at(17, 0, 5), {IMPORT: 1000}))
    assert costs.totals == {IMPORT_COST: Decimal(4)}


def test_what_was_used_in_an_absence_is_not_priced_at_the_return() -> None:
    # 12:00 to 18:00: five hours high, one hour peak; back in the peak.
    costs = booked((at(12), {IMPORT: 0}), (at(18), {IMPORT: 6000}))
    assert costs.totals == {IMPORT_COST: Decimal(5 * 2 + 6)}


def test_the_meters_tariff_counters_price_an_absence_to_the_watt_hour() -> None:
    costs = booked(
        (at(12), {IMPORT: 0, f"{IMPORT}_t1": 0, f"{IMPORT}_t2": 0, f"{IMPORT}_t3": 0}),
        (at(18), {IMPORT: 6000, f"{IMPORT}_t1": 0, f"{IMPORT}_t2": 1000, f"{IMPORT}_t3": 5000}),
        by_tariff=True,
    )
    assert costs.totals == {IMPORT_COST: Decimal(1 * 2 + 5 * 6)}


def test_the_utilitys_override_counts_as_the_meter_counted_it() -> None:
    counters = {IMPORT: 0.0, f"{IMPORT}_t1": 0.0, f"{IMPORT}_t2": 0.0}
    costs = booked(
        (at(12), counters),
        (at(12, 0, 10), counters | {f"{IMPORT}_t1": 1000.0}),  # the calendar says high
        by_tariff=True,
    )
    assert costs.totals == {IMPORT_COST: Decimal(1)}


def test_a_restart_goes_on_where_it_was() -> None:
    before = booked((at(12), {IMPORT: 0}), (at(12, 10), {IMPORT: 500}))
    after = Costs()
    after.restore(before.state())
    assert after.totals == {IMPORT_COST: Decimal(1)}
    after.book(PRICING, {IMPORT: 1000}, at(12, 11), by_tariff=False)
    assert after.totals == {IMPORT_COST: Decimal(2)}


def test_the_same_frame_again_costs_nothing() -> None:
    frame = (at(12, 10), {IMPORT: 500.0})
    costs = booked((at(12), {IMPORT: 0.0}), frame, frame)
    assert costs.totals == {IMPORT_COST: Decimal(1)}


def test_a_clock_that_was_set_back_prices_by_the_time_it_shows() -> None:
    costs = booked((at(18), {IMPORT: 0}), (at(12), {IMPORT: 500}), (at(12, 1), {IMPORT: 1000}))
    assert costs.totals == {IMPORT_COST: Decimal(2)}


def test_a_counter_that_rolls_over_goes_on() -> None:
    most = 10_000_000_000.0
    costs = booked(
        (at(12), {IMPORT: most - 400}), (at(12, 1), {IMPORT: 100}), (at(12, 2), {IMPORT: 600})
    )
    assert costs.totals == {IMPORT_COST: Decimal(2)}  # 500 Wh and 500 Wh


def test_a_counter_that_begins_anew_is_a_start() -> None:
    costs = booked((at(12), {IMPORT: 90_000}), (at(12, 1), {IMPORT: 0}), (at(12, 2), {IMPORT: 500}))
    assert costs.totals == {IMPORT_COST: Decimal(1)}


def test_totals_in_another_currency_begin_anew() -> None:
    costs = booked((at(12), {IMPORT: 0}), (at(12, 1), {IMPORT: 500}))
    euros = Pricing("EUR", ZONE, CALENDAR, PRICING.imported, PRICING.exported)
    costs.book(euros, {IMPORT: 1000}, at(12, 2), by_tariff=False)
    assert (costs.currency, costs.totals) == ("EUR", {IMPORT_COST: Decimal(1)})
    assert costs.since == {IMPORT_COST: at(12, 2)}


def test_a_total_knows_since_when_it_counts() -> None:
    costs = booked((at(12), {IMPORT: 0}), (at(12, 1), {IMPORT: 500}), (at(12, 2), {IMPORT: 900}))
    kept = Costs()
    kept.restore(costs.state())
    assert kept.since == costs.since == {IMPORT_COST: at(12)}


def test_a_total_that_an_earlier_version_began_does_not_know_since_when() -> None:
    state = booked((at(12), {IMPORT: 0}), (at(12, 1), {IMPORT: 500})).state()
    del state["since"]
    costs = Costs()
    costs.restore(state)
    costs.book(PRICING, {IMPORT: 900}, at(12, 2), by_tariff=False)
    assert costs.since == {IMPORT_COST: None}


@pytest.fixture
def spot() -> SpotPrices:
    return SpotPrices()


@pytest.fixture
def by_spot(spot: SpotPrices) -> Pricing:
    return Pricing("DKK", ZONE, None, Prices(spot=spot), Prices())


def test_energy_waits_a_while_for_a_spot_price(spot: SpotPrices, by_spot: Pricing) -> None:
    costs = booked((at(12), {IMPORT: 0}), (at(12, 0, 30), {IMPORT: 100}), pricing=by_spot)
    assert costs.totals == {}
    spot.heard(at(12, 1), Decimal(3))
    costs.book(by_spot, {IMPORT: 200}, at(12, 1, 30), by_tariff=False)
    assert costs.totals == {IMPORT_COST: Decimal("0.6")}


def test_an_absence_without_any_price_is_left_to_the_history(
    spot: SpotPrices, by_spot: Pricing
) -> None:
    costs = booked((at(3), {IMPORT: 0}), pricing=by_spot)
    spot.heard(at(12), Decimal(3))
    costs.book(by_spot, {IMPORT: 5000}, at(12), by_tariff=False)
    costs.book(by_spot, {IMPORT: 6000}, at(12, 10), by_tariff=False)
    assert costs.totals == {IMPORT_COST: Decimal(3)}
    assert costs.unpriced_wh == 5000


def test_each_quarter_hour_has_its_spot_price(spot: SpotPrices, by_spot: Pricing) -> None:
    costs = booked((at(12), {IMPORT: 0}), pricing=by_spot)
    for quarter, price in enumerate((4, 8)):
        spot.heard(at(12, 15 * quarter), Decimal(price))
        costs.book(
            by_spot,
            {IMPORT: 1000.0 * (quarter + 1)},
            at(12, 15 * quarter) + timedelta(minutes=15),
            by_tariff=False,
        )
    assert costs.totals == {IMPORT_COST: Decimal(12)}


def test_a_negative_price_lets_the_total_fall(spot: SpotPrices, by_spot: Pricing) -> None:
    spot.heard(at(12), Decimal("-0.5"))
    costs = booked((at(12), {IMPORT: 0}), (at(12, 5), {IMPORT: 2000}), pricing=by_spot)
    assert costs.totals == {IMPORT_COST: Decimal(-1)}


def test_without_prices_the_counters_are_followed_for_when_they_come() -> None:
    none = Pricing("DKK", ZONE, CALENDAR, Prices(), Prices())
    costs = booked((at(3), {IMPORT: 0}), (at(12), {IMPORT: 9000}), pricing=none)
    costs.book(PRICING, {IMPORT: 9500}, at(12, 1), by_tariff=False)
    assert costs.totals == {IMPORT_COST: Decimal(1)}


def test_energy_is_priced_once_when_the_tariff_is_chosen_to_and_fro() -> None:
    first = f"{IMPORT}_t1"
    costs = Costs()
    for minute, by_tariff in enumerate([True] * 10 + [False] * 10 + [True] * 10):
        kwh = 1000.0 * minute
        costs.book(PRICING, {IMPORT: kwh, first: kwh}, at(2, minute), by_tariff=by_tariff)
    assert costs.totals == {IMPORT_COST: Decimal(29)}  # 29 steps of 1 kWh at 1


def test_counters_that_were_away_meanwhile_are_another_start() -> None:
    first = f"{IMPORT}_t1"
    costs = Costs()
    costs.book(PRICING, {first: 0}, at(2), by_tariff=True)
    costs.book(PRICING, {IMPORT: 0}, at(2, 1), by_tariff=False)
    costs.book(PRICING, {IMPORT: 5000}, at(2, 2), by_tariff=False)
    costs.book(PRICING, {first: 5000}, at(2, 3), by_tariff=True)
    costs.book(PRICING, {first: 6000}, at(2, 4), by_tariff=True)
    assert costs.totals == {IMPORT_COST: Decimal(6)}
