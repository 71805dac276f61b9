"""Capacity charges: the arithmetic of each country's rule, and of what it costs."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel import presets
from meter_node.channel.capacity import (
    CapacityCharge,
    CapacityRule,
    IntervalMean,
    capacity_w,
    month_w,
    peaks,
)


def rule_of(name: str) -> CapacityRule:
    rule = presets.load(name).capacity
    assert rule is not None
    return rule


def charge_of(name: str) -> CapacityCharge:
    charge = rule_of(name).charge
    assert charge is not None
    return charge


NORWAY = rule_of("norway_elvia")
FLANDERS = rule_of("belgium_flanders")
ELLEVIO = rule_of("sweden_ellevio")
GOTEBORG = rule_of("sweden_goteborg")
SOLLENTUNA = rule_of("sweden_sollentuna")


def mean(day: int, power_w: int, tariff: int = 1) -> IntervalMean:
    return IntervalMean(date(2026, 11, day), power_w, tariff)


# --- a month -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [NORWAY, ELLEVIO, GOTEBORG])
def test_three_highest_hours_of_different_days_are_averaged(rule: CapacityRule) -> None:
    # Days 3, 4 and 5: 9000, 6000, 3000. The second hour of day 3 and day 6 do not count.
    hours = [
        mean(3, 9000, 2),
        mean(3, 8000, 2),
        mean(4, 6000, 2),
        mean(5, 3000, 2),
        mean(6, 2999, 2),
    ]
    assert month_w(rule, hours) == (9000 + 6000 + 3000) // 3 == 6000


def test_sollentuna_takes_three_hours_of_one_day_too() -> None:
    hours = [mean(3, 9000, 2), mean(3, 8000, 2), mean(4, 6000, 2), mean(5, 3000, 2)]
    assert month_w(SOLLENTUNA, hours) == 23_000 // 3 == 7666


def test_sollentuna_does_not_count_nights_and_weekends() -> None:
    assert month_w(SOLLENTUNA, [mean(3, 11_000, 1), mean(4, 3000, 2)]) == 3000


def test_ellevio_counts_a_night_hour_half() -> None:
    # 10 000 W at night weigh 5000: more than 4000 by day, less than 6000.
    hours = [mean(3, 10_000, 1), mean(4, 6000, 2), mean(5, 4000, 2)]
    assert month_w(ELLEVIO, hours) == (5000 + 6000 + 4000) // 3 == 5000


def test_ellevio_takes_the_hour_of_a_day_that_weighs_most() -> None:
    # Day 3: 10 000 W at night (5000) against 6000 W by day.
    assert peaks(ELLEVIO, [mean(3, 10_000, 1), mean(3, 6000, 2)]) == [mean(3, 6000, 2)]


def test_the_peaks_are_told_highest_first_as_measured() -> None:
    hours = [mean(3, 5000, 2), mean(4, 7000, 2), mean(5, 20_000, 1), mean(6, 1000, 2)]
    assert [peak.power_w for peak in peaks(ELLEVIO, hours)] == [20_000, 7000, 5000]


def test_early_in_a_month_the_peaks_so_far_are_averaged() -> None:
    assert month_w(NORWAY, [mean(1, 4000), mean(2, 2001)]) == 3000  # 3000.5, rounded down


def test_a_month_without_an_interval_has_nothing() -> None:
    assert month_w(NORWAY, []) == 0


def test_a_flemish_month_has_its_highest_quarter_hour() -> None:
    assert month_w(FLANDERS, [mean(1, 4100), mean(1, 5200), mean(9, 3000)]) == 5200


@pytest.mark.parametrize(("power_w", "figure_w"), [(2499, 2500), (2500, 2500), (2501, 2501)])
def test_a_flemish_month_has_at_least_2_5_kw(power_w: int, figure_w: int) -> None:
    assert month_w(FLANDERS, [mean(1, power_w)]) == figure_w


def test_a_flemish_month_without_an_interval_has_2_5_kw() -> None:
    assert month_w(FLANDERS, []) == 2500


@given(
    st.sampled_from([NORWAY, FLANDERS, ELLEVIO, GOTEBORG, SOLLENTUNA]),
    st.lists(st.builds(mean, st.integers(1, 30), st.integers(0, 25_000), st.integers(1, 2))),
)
def test_one_more_interval_never_makes_a_full_month_cheaper(
    rule: CapacityRule, means: list[IntervalMean]
) -> None:
    full = [mean(day, 0, 2) for day in range(1, 31)]
    figures = [month_w(rule, full + means[:number]) for number in range(len(means) + 1)]
    assert figures == sorted(figures)


# --- what is billed ------------------------------------------------------------------------------


def test_flanders_bills_the_mean_of_the_last_twelve_months() -> None:
    # The oldest of thirteen is forgotten; eleven months at 3000 and one at 6000.
    assert capacity_w(FLANDERS, [9999, *[3000] * 11, 6000]) == (33_000 + 6000) // 12 == 3250


def test_flanders_raises_each_month_before_it_averages() -> None:
    assert capacity_w(FLANDERS, [1000, 4500]) == (2500 + 4500) // 2 == 3500


def test_norway_bills_the_month_alone() -> None:
    assert capacity_w(NORWAY, [9000, 4000]) == 4000


def test_without_a_month_there_is_no_capacity() -> None:
    assert capacity_w(NORWAY, []) == 0


# --- what it costs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("power_w", "nok_a_year"),
    [
        (0, 1440),
        (1999, 1440),
        (2000, 2400),
        (4999, 2400),
        (5000, 4032),
        (10_000, 5616),
        (15_000, 7248),
        (20_000, 8880),
        (25_000, 16_896),
        (50_000, 24_960),
        (75_000, 33_024),
        (100_000, 65_280),
        (250_000, 65_280),
    ],
)
def test_elvia_steps_begin_at_their_power(power_w: int, nok_a_year: int) -> None:
    charge = charge_of("norway_elvia")
    assert (charge.per, charge.amount(power_w)) == ("year", nok_a_year)


def test_a_mean_just_below_a_step_does_not_reach_it() -> None:
    # (5000 + 5000 + 4999) / 3 = 4999.67 W
    means = [mean(1, 5000), mean(2, 5000), mean(3, 4999)]
    assert charge_of("norway_elvia").amount(month_w(NORWAY, means)) == 2400


def test_flanders_costs_40_4_euro_a_kw_and_year() -> None:
    charge = charge_of("belgium_flanders")
    assert (charge.per, charge.amount(2500)) == ("year", Decimal(101))  # 40.4 × 2.5


@pytest.mark.parametrize(
    ("name", "season", "sek_for_4_kw"),
    [
        ("sweden_ellevio", None, "325"),  # 81.25 × 4
        ("sweden_goteborg", None, "180"),  # 45 × 4
        ("sweden_sollentuna", "winter", "540"),  # 135 × 4
        ("sweden_sollentuna", "summer", "270"),  # 67.50 × 4
    ],
)
def test_swedish_charges_of_a_month(name: str, season: str | None, sek_for_4_kw: str) -> None:
    charge = charge_of(name)
    assert (charge.per, charge.amount(4000, season)) == ("month", Decimal(sek_for_4_kw))


def test_a_charge_of_an_unknown_season_is_refused() -> None:
    with pytest.raises(ValueError, match="no price in season 'spring'"):
        charge_of("sweden_sollentuna").amount(4000, "spring")


def test_a_power_below_the_first_step_is_refused() -> None:
    with pytest.raises(ValueError, match="no step for -1 W"):
        charge_of("norway_elvia").amount(-1)


# --- rules that cannot be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"count": 0}, "at least one interval"),
        ({"months": 0}, "at least one interval of at least one month"),
        ({"interval_min": 7}, "an interval of 7 min; possible are 15 and 60 min"),
        ({"weight_percent": {1: 101}}, "a weight of 101 % for tariff 1"),
        ({"weight_percent": {9: 50}}, "a weight of 50 % for tariff 9"),
    ],
)
def test_an_impossible_rule_is_refused(change: dict[str, object], sentence: str) -> None:
    good = {
        "kind": "mean_of_highest",
        "count": 3,
        "distinct_days": True,
        "interval_min": 60,
        "months": 1,
    }
    with pytest.raises(ValueError, match=sentence):
        CapacityRule(**(good | change))  # type: ignore[arg-type]
