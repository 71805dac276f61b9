"""The demonstration's own arithmetic, by which its check judges cost, compensation and capacity."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from scripts.demonstration import bill
from scripts.demonstration.past import Money, Past

ZONE = ZoneInfo("Europe/Copenhagen")
MIDNIGHT = int(datetime(2026, 11, 20, tzinfo=ZONE).timestamp())
PRICES = {"1": 1.0, "2": 10.0, "3": 100.0}


def sums(*shares: float, since_s: int = MIDNIGHT) -> dict[int, float]:
    """Running sums of hours that add so much each, after one that adds nothing."""
    total, found = 0.0, {since_s - bill.HOUR_S: 0.0}
    for hour, share in enumerate(shares):
        total += share
        found[since_s + hour * bill.HOUR_S] = total
    return found


def test_each_hour_of_the_danish_day_costs_its_tariff() -> None:
    due = bill.amounts(sums(*[1.0] * 24), PRICES, ZONE)
    # Low 0–6, high 6–17 and 21–24, peak 17–21.
    assert list(due.values()) == [1.0] * 6 + [10.0] * 11 + [100.0] * 4 + [10.0] * 3


def test_a_day_counts_when_each_of_its_hours_costs_what_is_due() -> None:
    energy = sums(*[0.5] * 48)
    due = bill.amounts(energy, PRICES, ZONE)
    right = sums(*due.values())
    assert bill.priced_days(due, right) == 1  # the first hour has none before it that fits
    noon = MIDNIGHT + 36 * bill.HOUR_S
    assert bill.priced_days(due, {**right, noon: right[noon] + 0.01}) == 0
    assert bill.priced_days(due, {}) == 0


def test_a_gap_begins_the_days_anew() -> None:
    hours = {MIDNIGHT + hour * bill.HOUR_S: True for hour in range(80)}
    assert bill.whole_days(hours) == 3
    assert bill.whole_days({at: fits for at, fits in hours.items() if at != MIDNIGHT + 36_000}) == 2


def test_the_three_highest_hours_of_a_month_come_from_three_days() -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=ZONE)
    day = [0.0] * 23
    # 5 and not 4 of the first day, 2 of the second, 1 of the third.
    hours = sums(5.0, 4.0, *day[1:], 2.0, *day, 1.0)
    assert bill.billed_kw(hours, ZONE, now) == pytest.approx((5 + 2 + 1) / 3)
    assert bill.billed_kw(sums(5.0, 4.0, *day[1:], 2.0), ZONE, now) == pytest.approx((5 + 2) / 2)
    last_month = int(datetime(2026, 10, 20, tzinfo=UTC).timestamp())
    assert bill.billed_kw(sums(*[9.0] * 80, since_s=last_month), ZONE, now) is None


def test_a_month_lacks_what_is_not_there_and_what_is_wrong() -> None:
    right = Money(days=30, said=100.0, due=100.0)
    assert Past(30, right, right, shown_kw=2.0, billed_kw=2.001).lacking() == []
    assert Past(30, right, right).lacking() == []  # in the first hour of a month
    assert len(Past().lacking()) == 3
    [lack] = Past(30, right, right, billed_kw=2.0).lacking()
    assert "capacity is None" in lack
    [lack] = Past(30, right, Money(30, 99.0, 100.0), shown_kw=2.0, billed_kw=2.0).lacking()
    assert "compensation" in lack
    [lack] = Past(30, right, right, shown_kw=2.0, billed_kw=2.5).lacking()
    assert "capacity" in lack
