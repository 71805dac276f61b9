"""Billing snapshots: whole, at midnight on the wall, at the month's first, before changes."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meter_node.channel.registers import registers_of
from meter_node.meter.billing import Billing, BillingSettings
from meter_node.meter.refused import RefusedError
from meter_node.meter.rows import BillingRow
from meter_node.meter.step import Step
from tests.meter_node.meter.steps import NANO, Registers, copenhagen, step, utc

KNOWN = tuple(register.key for register in registers_of(3))
MIDNIGHT_S = utc("2026-01-15 23:00")
HOUR_S, DAY_S = 3600, 86_400
IMPORT = "import_active_energy"


class Billed:
    """Billing in its place: registers are booked between its two calls."""

    def __init__(self, settings: BillingSettings | None = None) -> None:
        self.settings = settings or BillingSettings()
        self.registers = Registers()
        self.billing = Billing(self.settings, KNOWN, copenhagen())

    def feed(self, steps: Iterable[Step]) -> list[BillingRow]:
        """Go on by these; give the snapshots that fall due."""
        rows: list[BillingRow] = []
        for one in steps:
            if one.gap:
                rows += self.billing.resume(one.start_s, self.registers.read)
            self.registers.book(one)
            rows += self.billing.advance(one, self.registers.read)
        return rows

    def restart(self) -> None:
        """Lose everything but what is kept."""
        kept = json.loads(json.dumps(self.billing.state()))
        self.billing = Billing(self.settings, KNOWN, copenhagen(), kept)


def hours(start_s: int, end_s: int, power_w: float = 0.0, gap: bool = False) -> list[Step]:
    """Steps of an hour at this power."""
    steps = [step(at_s, HOUR_S, (power_w, 0.0, 0.0)) for at_s in range(start_s, end_s, HOUR_S)]
    return [replace(steps[0], gap=gap), *steps[1:]]


def when(rows: Iterable[BillingRow]) -> list[tuple[str, str, str]]:
    """Kind, stamp on a Danish wall, and reason."""
    return [
        (
            row.kind,
            datetime.fromtimestamp(row.time_s + row.offset_s, UTC).strftime("%Y-%m-%d %H:%M"),
            row.reason,
        )
        for row in rows
    ]


def test_a_snapshot_is_taken_at_local_midnight() -> None:
    billed = Billed()
    rows = billed.feed(hours(MIDNIGHT_S - 2 * HOUR_S, MIDNIGHT_S + 2 * HOUR_S, 1000.0))
    assert when(rows) == [("daily", "2026-01-16 00:00", "scheduled")]
    # Two hours of 1 kW, to the step that ends at midnight.
    assert (rows[0].entry, rows[0].values[IMPORT]) == (1, 2000)


def test_a_snapshot_is_atomic() -> None:
    billed = Billed()
    month_s = utc("2026-01-31 23:00")
    asked: list[str] = []

    def read(key: str) -> int:
        asked.append(key)
        return len(asked)

    daily, monthly = billed.billing.advance(step(month_s - HOUR_S, HOUR_S), read)
    # All at once, each register a single time: the day's and the month's row are one reading.
    assert len(asked) == len(set(asked)) == len(daily.values)
    assert (daily.kind, monthly.kind) == ("daily", "monthly")
    assert daily.values == monthly.values


def test_a_snapshot_holds_all_energies_the_hours_and_the_peaks() -> None:
    billed = Billed()
    asked: list[str] = []

    def read(key: str) -> int:
        asked.append(key)
        return 7

    row = billed.billing.take("tariffs", MIDNIGHT_S, read)
    energies = {register.key for register in registers_of(3) if register.is_energy}
    beside = {
        "operating_time",
        "import_active_demand_maximum",
        "export_active_demand_maximum",
    }
    assert set(row.values) == energies | beside
    assert set(row.values.values()) == {7}


def test_a_snapshot_does_not_change_afterwards() -> None:
    billed = Billed()
    (row,) = billed.feed(hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S, 1000.0))
    before = dict(row.values)
    billed.feed(hours(MIDNIGHT_S, MIDNIGHT_S + 5 * HOUR_S, 1000.0))
    assert dict(row.values) == before


def test_a_month_has_its_snapshot_at_local_midnight_of_the_first() -> None:
    billed = Billed()
    month_s = utc("2026-01-31 23:00")
    rows = billed.feed(hours(month_s - HOUR_S, month_s + 25 * HOUR_S))
    assert when(rows) == [
        ("daily", "2026-02-01 00:00", "scheduled"),
        ("monthly", "2026-02-01 00:00", "scheduled"),
        ("daily", "2026-02-02 00:00", "scheduled"),
    ]


@pytest.mark.parametrize(
    ("before", "after", "lengths_h"),
    [
        # 28, 29 and 30 March 2026: the 29th has 23 hours; 24 to 26 October: the 25th has 25.
        ("2026-03-27 22:00", "2026-03-30 22:00", [24, 23, 24]),
        ("2026-10-23 21:00", "2026-10-26 23:00", [24, 25, 24]),
    ],
)
def test_both_nights_of_daylight_saving_have_their_snapshot_at_midnight_on_the_wall(
    before: str, after: str, lengths_h: list[int]
) -> None:
    rows = Billed().feed(hours(utc(before), utc(after), 1000.0))
    assert {stamp[-5:] for _, stamp, _ in when(rows)} == {"00:00"}
    moved_wh = [later.values[IMPORT] - earlier.values[IMPORT] for earlier, later in pairwise(rows)]
    # At 1 kW, as many kWh as the day has hours.
    assert moved_wh == [hours_of_day * 1000 for hours_of_day in lengths_h]


def test_a_year_has_365_daily_and_12_monthly_snapshots() -> None:
    begin_s, end_s = utc("2025-12-31 23:00"), utc("2026-12-31 23:00")
    rows = Billed().feed(hours(begin_s, end_s))
    kinds = [row.kind for row in rows]
    assert (kinds.count("daily"), kinds.count("monthly")) == (365, 12)


def test_a_midnight_in_the_dark_is_made_up_for_when_power_returns() -> None:
    billed = Billed()
    billed.feed(hours(MIDNIGHT_S - 3 * HOUR_S, MIDNIGHT_S - HOUR_S, 1000.0))
    rows = billed.feed(hours(MIDNIGHT_S + 5 * HOUR_S, MIDNIGHT_S + 7 * HOUR_S, 1000.0, gap=True))
    assert when(rows) == [("daily", "2026-01-16 05:00", "late")]
    # What was registered at midnight: nothing of the hours after it.
    assert rows[0].values[IMPORT] == 2000


def test_days_in_the_dark_have_one_snapshot_and_the_month_among_them_one() -> None:
    billed = Billed()
    month_s = utc("2026-01-31 23:00")
    billed.feed(hours(month_s - 30 * HOUR_S, month_s - 28 * HOUR_S, 1000.0))
    rows = billed.feed(hours(month_s + 30 * HOUR_S, month_s + 49 * HOUR_S, 1000.0, gap=True))
    assert when(rows) == [
        ("daily", "2026-02-02 06:00", "late"),
        ("monthly", "2026-02-02 06:00", "late"),
        ("daily", "2026-02-03 00:00", "scheduled"),
    ]


def test_power_that_returns_at_midnight_is_not_late() -> None:
    billed = Billed()
    billed.feed(hours(MIDNIGHT_S - 3 * HOUR_S, MIDNIGHT_S - HOUR_S))
    rows = billed.feed(hours(MIDNIGHT_S, MIDNIGHT_S + HOUR_S, gap=True))
    assert when(rows) == [("daily", "2026-01-16 00:00", "scheduled")]


def test_a_meter_that_nobody_resumed_after_the_dark_still_takes_its_snapshot() -> None:
    billed = Billed()
    billed.feed(hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S))
    one = replace(step(MIDNIGHT_S + 2 * DAY_S, 60), gap=True)
    rows = billed.billing.advance(one, billed.registers.read)
    assert when(rows) == [("daily", "2026-01-18 00:00", "late")]


def test_a_new_meter_takes_none_at_its_start() -> None:
    assert Billed().feed(hours(MIDNIGHT_S, MIDNIGHT_S + HOUR_S)) == []


def test_a_snapshot_is_taken_before_a_change_of_tariffs_or_parameters() -> None:
    billed = Billed()
    billed.feed(hours(MIDNIGHT_S, MIDNIGHT_S + HOUR_S, 1000.0))
    rows = [
        billed.billing.take(reason, MIDNIGHT_S + HOUR_S, billed.registers.read)
        for reason in ("tariffs", "parameters")
    ]
    assert when(rows) == [
        ("change", "2026-01-16 01:00", "tariffs"),
        ("change", "2026-01-16 01:00", "parameters"),
    ]
    assert [(row.entry, row.values[IMPORT]) for row in rows] == [(1, 1000), (2, 1000)]


def test_a_clock_set_forward_over_midnight_gives_a_snapshot_at_once() -> None:
    billed = Billed()
    billed.feed(hours(MIDNIGHT_S - 2 * HOUR_S, MIDNIGHT_S - HOUR_S, 1000.0))
    rows = billed.billing.clock_changed(
        MIDNIGHT_S - HOUR_S, MIDNIGHT_S + HOUR_S, billed.registers.read
    )
    assert when(rows) == [("daily", "2026-01-16 01:00", "clock_set")]
    assert rows[0].values[IMPORT] == 1000
    # The next is the next midnight's.
    rows = billed.feed(hours(MIDNIGHT_S + HOUR_S, MIDNIGHT_S + 24 * HOUR_S))
    assert when(rows) == [("daily", "2026-01-17 00:00", "scheduled")]


def test_a_clock_set_back_over_midnight_gives_two_rows_of_one_stamp() -> None:
    billed = Billed()
    rows = billed.feed(hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S + HOUR_S, 1000.0))
    rows += billed.billing.clock_changed(
        MIDNIGHT_S + HOUR_S, MIDNIGHT_S - HOUR_S, billed.registers.read
    )
    rows += billed.feed(hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S + HOUR_S, 1000.0))
    assert [(row.entry, row.time_s, row.values[IMPORT]) for row in rows] == [
        (1, MIDNIGHT_S, 1000),
        (2, MIDNIGHT_S, 3000),
    ]


def test_a_midnight_by_an_invalid_clock_says_so() -> None:
    lost = [replace(one, clock_valid=False) for one in hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S)]
    assert when(Billed().feed(lost)) == [("daily", "2026-01-16 00:00", "clock_invalid")]


def test_a_step_across_midnight_counts_to_the_day_in_which_it_began() -> None:
    billed = Billed()
    rows = billed.feed(
        [step(MIDNIGHT_S - 1800, HOUR_S, (1000.0,)), step(MIDNIGHT_S + 1800, HOUR_S, (1000.0,))]
    )
    assert [(row.time_s, row.values[IMPORT]) for row in rows] == [(MIDNIGHT_S, 1000)]


def test_depths_are_400_days_36_months_and_100_changes() -> None:
    billed = Billed()
    billing = billed.billing
    begin_s = utc("2025-12-31 23:00")
    billed.feed([step(begin_s + DAY_S * day, DAY_S) for day in range(401)])
    # Entry 401 pushes out entry 1.
    assert (billing.last_entry("daily"), billing.first_entry("daily")) == (401, 2)
    for _ in range(100):
        billing.take("tariffs", begin_s, billed.registers.read)
    assert (billing.last_entry("change"), billing.first_entry("change")) == (100, 1)
    assert BillingSettings().depth("monthly") == 36


@given(st.sets(st.integers(0, 99)), st.sets(st.integers(0, 99), max_size=5))
def test_a_restart_at_any_moment_takes_no_snapshot_twice_and_loses_none(
    restarts: set[int], cuts: set[int]
) -> None:
    unbroken, broken = Billed(), Billed()
    rows: tuple[list[BillingRow], list[BillingRow]] = [], []
    now_s = utc("2026-01-30 10:00")
    for number in range(100):
        gap = number in cuts
        now_s += 7 * HOUR_S * gap
        one = step(now_s, HOUR_S, (float(number),), gap=gap)
        now_s += HOUR_S
        rows[0].extend(unbroken.feed([one]))
        rows[1].extend(broken.feed([one]))
        if number in restarts:
            broken.restart()
    assert rows[1] == rows[0]


def test_other_registers_can_be_billed_and_unknown_ones_are_refused() -> None:
    billed = Billed(BillingSettings(captures=(IMPORT,)))
    billed.registers.energies_nwh[IMPORT] = 5 * NANO
    row = billed.billing.take("parameters", MIDNIGHT_S, billed.registers.read)
    assert row.values == {IMPORT: 5}
    with pytest.raises(RefusedError, match="no register 'heat' to bill"):
        billed.billing.reconfigure(BillingSettings(captures=(IMPORT, "heat")))
    assert billed.billing.settings == BillingSettings(captures=(IMPORT,))


def test_a_change_of_captures_holds_from_the_next_snapshot() -> None:
    billed = Billed()
    billed.billing.reconfigure(BillingSettings(captures=("export_active_energy",)))
    rows = billed.feed(hours(MIDNIGHT_S - HOUR_S, MIDNIGHT_S))
    assert [row.values for row in rows] == [{"export_active_energy": 0}]


def test_a_clock_that_is_set_before_the_first_step_gives_no_snapshot() -> None:
    billed = Billed()
    assert billed.billing.clock_changed(MIDNIGHT_S - 1, MIDNIGHT_S, billed.registers.read) == []


def test_billing_of_no_register_is_refused() -> None:
    with pytest.raises(ValidationError, match="name at least one"):
        BillingSettings(captures=())
