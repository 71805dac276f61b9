"""Totals at whole hours, from rows of a profile as meters keep them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_components.meter_node.channel.registers import ROLLOVER_WH
from custom_components.meter_node.history.hours import Amount, Boundary, Priced, Walk, decided
from custom_components.meter_node.history.readings import Reading

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
KEY = "import_active_energy"
T0 = 1_792_800_000  # 2026-10-24 00:00 UTC
HOUR_S, QUARTER_S = 3600, 900


def reading(entry: int, end_s: int, wh: int, period_s: int = QUARTER_S) -> Reading:
    return Reading(entry, (end_s - 1) // period_s * period_s, end_s, {KEY: wh})


def counts(found: dict[int, Boundary]) -> dict[int, int]:
    """By hours since T0."""
    return {(at - T0) // HOUR_S: one.counts_wh[KEY] for at, one in found.items()}


def walked(*rows: tuple[float, int]) -> dict[int, int]:
    """The counts that rows of (hours since T0, Wh) make, in the order of their entries."""
    readings = [reading(n, T0 + round(at * HOUR_S), wh) for n, (at, wh) in enumerate(rows, 1)]
    return counts(Walk({}).take(readings))


@given(
    minutes=st.sampled_from((5, 15, 30, 60)),
    moved=st.lists(st.integers(0, 5000), min_size=1, max_size=60),
)
def test_a_whole_hour_has_what_its_row_says_whatever_the_interval(
    minutes: int, moved: list[int]
) -> None:
    period_s, total, wanted, rows = minutes * 60, 5000, {}, []
    for place, one in enumerate(moved, 1):
        total += one
        rows.append(reading(place, T0 + place * period_s, total, period_s))
        if place * minutes % 60 == 0:
            wanted[place * minutes // 60] = total
    assert counts(Walk({}).take(rows)) == wanted


@given(rows=st.lists(st.integers(0, 500), min_size=2, max_size=200), size=st.integers(1, 50))
def test_pieces_make_no_difference(rows: list[int], size: int) -> None:
    readings = [reading(n, T0 + n * QUARTER_S, sum(rows[:n])) for n in range(1, len(rows) + 1)]
    walk, found = Walk({}), {}
    for begun in range(0, len(readings), size):
        found |= walk.take(readings[begun : begun + size])
    assert found == Walk({}).take(readings)


def test_an_hour_that_strikes_in_the_dark_has_the_last_value() -> None:
    """Dark from a quarter past one to half past four."""
    assert walked((1, 100), (1.25, 130), (4.5, 131), (5, 180)) == {
        1: 100,
        2: 130,
        3: 130,
        4: 130,
        5: 180,
    }


def test_a_register_goes_on_over_its_end() -> None:
    assert walked((1, ROLLOVER_WH - 100), (2, 50), (3, 80)) == {
        1: ROLLOVER_WH - 100,
        2: ROLLOVER_WH + 50,
        3: ROLLOVER_WH + 80,
    }


def test_a_register_that_fell_stands_still_until_it_is_where_it_was() -> None:
    assert walked((1, 1000), (2, 900), (3, 950), (4, 1010)) == {1: 1000, 2: 1000, 3: 1000, 4: 1010}


def test_after_a_clock_was_set_back_what_came_later_counts() -> None:
    """At a quarter to four by a clock that was two hours fast it is set to a quarter to two."""
    assert walked(
        (1, 100), (2, 200), (3, 300), (3.75, 370), (2, 390), (2.5, 420), (3, 450), (4, 550)
    ) == {1: 100, 2: 390, 3: 450, 4: 550}


def test_hours_of_a_clock_that_was_fast_are_taken_back_in_the_piece_that_tells() -> None:
    assert walked((1, 100), (3, 300), (1.5, 310)) == {1: 100}


def test_a_clock_set_forward_leaves_the_hours_between_without_energy() -> None:
    assert walked((1, 100), (1.25, 120), (4.25, 150), (5, 200)) == {
        1: 100,
        2: 120,
        3: 120,
        4: 120,
        5: 200,
    }


def test_a_lost_clock_makes_no_hours_of_half_a_century() -> None:
    readings = [reading(1, 900, 10), reading(2, T0 + HOUR_S, 20)]
    assert counts(Walk({}).take(readings)) == {1: 20}


def test_a_row_of_a_lost_clock_takes_no_hours_back() -> None:
    """In the third hour one is stamped in January 1970; its energy is in the next row."""
    rows = [reading(n, T0 + n * HOUR_S, 100 * n) for n in (1, 2)]
    rows += [reading(3, 900, 225), reading(4, T0 + 3 * HOUR_S, 300)]
    assert counts(Walk({}).take(rows)) == {1: 100, 2: 200, 3: 300}


def test_a_clock_that_was_lost_far_ahead_and_comes_back_loses_no_later_hour() -> None:
    rows = [reading(n, T0 + n * HOUR_S, 100 * n) for n in (1, 2)]
    rows += [reading(3, T0 + 70 * 366 * 24 * HOUR_S, 225)]
    rows += [reading(n + 1, T0 + n * HOUR_S, 100 * n) for n in (3, 4)]
    assert counts(Walk({}).take(rows)) == {1: 100, 2: 200, 3: 300, 4: 400}


@pytest.mark.parametrize("days", [1, 30, 40, 200, 400])
def test_one_row_that_is_stamped_days_ahead_changes_no_hour(days: int) -> None:
    """That of a quarter past one, once its stamp can be right and while it can't."""
    rows = [reading(n, T0 + n * QUARTER_S, 600 * n) for n in range(4, 200)]
    right = Walk({}).take(rows)
    rows[1] = reading(5, T0 + 5 * QUARTER_S + days * 24 * HOUR_S, 3000)
    assert counts(Walk({}).take(rows)) == counts(right)
    assert counts(Walk({}, latest_s=T0 + 51 * HOUR_S).take(rows)) == counts(right)


@pytest.mark.parametrize("lost_h", [3, 30])
@pytest.mark.parametrize("back_d", [8000, 365, 40, 2])
def test_a_clock_that_is_far_back_for_whatever_time_takes_no_hour_back(
    lost_h: int, back_d: int
) -> None:
    """From hour 100 on; its energy is in the first hour that is stamped right again."""
    off_s = back_d * 24 * HOUR_S
    rows = [
        reading(n, T0 + n * HOUR_S - (off_s if 100 < n <= 100 + lost_h else 0), 100 * n)
        for n in range(60, 150)
    ]
    found = Walk({}).take(rows)
    assert counts({at: one for at, one in found.items() if one.is_known}) == {
        n: 100 * n for n in range(60, 150) if not 100 < n <= 100 + lost_h
    }


def test_hours_that_were_decided_before_are_not_decided_again() -> None:
    """A clock goes from hour 3 back to hour 1: what is used until it is past 3 is in hour 4."""
    rows = [reading(n, T0 + n * HOUR_S, 100 * n) for n in (1, 2, 3)]
    rows += [reading(n + 3, T0 + n * HOUR_S, 300 + 50 * n) for n in (1, 2, 3, 4)]
    assert counts(Walk({}, since=(3, T0 + 3 * HOUR_S)).take(rows[2:])) == {3: 300, 4: 500}
    assert counts(Walk({}).take(rows)) == {1: 100, 2: 400, 3: 450, 4: 500}


def test_hours_over_which_a_clock_leapt_before_it_came_back_were_not_dark() -> None:
    rows = [(1, 100), (1.25, 130), (6.5, 160), (4.5, 400), (5, 420)]
    readings = [reading(n, T0 + round(at * HOUR_S), wh) for n, (at, wh) in enumerate(rows)]
    found = Walk({}).take(readings)
    assert counts({at: one for at, one in found.items() if one.is_known}) == {1: 100, 5: 420}


def test_nothing_is_decided_past_the_last_hour_that_is_known() -> None:
    rows = [(1, 100), (-5000, 200), (4.5, 400)]
    readings = [reading(n, T0 + round(at * HOUR_S), wh) for n, (at, wh) in enumerate(rows)]
    assert counts(decided(Walk({}).take(readings), T0 + 9 * HOUR_S)) == {1: 100}


def test_a_later_run_goes_on_from_a_boundary_s_entry() -> None:
    rows = [reading(n, T0 + n * QUARTER_S, 10 * n) for n in range(1, 20)]
    found = Walk({}).take(rows)
    at_3 = found[T0 + 3 * HOUR_S]
    again = Walk({}).take([row for row in rows if row.entry >= at_3.entry])
    assert again == {at: one for at, one in found.items() if at >= T0 + 3 * HOUR_S}


@pytest.mark.parametrize(("night", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_of_daylight_saving_has_as_many_hours_as_it_has(night: date, hours: int) -> None:
    begin, end = (
        int(datetime.combine(day, time(), tzinfo=COPENHAGEN).timestamp())
        for day in (night, night + timedelta(days=1))
    )
    ends = range(begin, end + 1, QUARTER_S)
    found = Walk({}).take(reading(n, at, 10 * n) for n, at in enumerate(ends))
    used = [one.counts_wh[KEY] for one in found.values()]
    assert [later - before for before, later in pairwise(used)] == [40] * hours


# --- money ---------------------------------------------------------------------------------------


def test_cost_is_each_interval_s_energy_at_the_price_of_its_beginning() -> None:
    """Half past one the price goes from 1 to 2: 500 Wh and 300 Wh in each half hour."""
    change = datetime.fromtimestamp(T0 + 1.5 * HOUR_S, UTC)
    priced = Priced(KEY, lambda moment: Decimal(1) if moment < change else Decimal(2))
    rows = [(1, 0), (1.25, 200), (1.5, 500), (1.75, 600), (2, 800)]
    readings = [reading(n, T0 + round(at * HOUR_S), wh) for n, (at, wh) in enumerate(rows, 1)]
    found = Walk({"import_cost": priced}).take(readings)
    assert found[T0 + 2 * HOUR_S].amounts["import_cost"] == Amount(Decimal("1.100"))


def test_an_interval_without_a_price_is_counted_as_such() -> None:
    priced = Priced(KEY, lambda moment: None)
    rows = [reading(n, T0 + n * QUARTER_S, 10 * n) for n in range(4, 9)]
    found = Walk({"import_cost": priced}).take(rows)
    assert found[T0 + 2 * HOUR_S].amounts["import_cost"] == Amount(unpriced=4)


def test_energy_of_hours_that_a_lost_clock_stamped_has_no_known_price() -> None:
    priced = Priced(KEY, lambda moment: Decimal(1))
    rows = [(1, 0), (2, 500), (-5000, 900), (4, 1500), (5, 1600)]
    readings = [reading(n, T0 + round(at * HOUR_S), wh) for n, (at, wh) in enumerate(rows)]
    found = Walk({"import_cost": priced}).take(readings)
    assert [found[T0 + n * HOUR_S].amounts["import_cost"] for n in range(2, 6)] == [
        Amount(Decimal("0.5")),
        Amount(Decimal("0.5"), 0),
        Amount(Decimal("0.5"), 1),
        Amount(Decimal("0.6"), 1),
    ]
