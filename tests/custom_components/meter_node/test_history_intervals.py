"""Whole intervals of a capacity tariff, from a load profile's rows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from custom_components.meter_node.history.intervals import Intervals
from custom_components.meter_node.history.readings import Reading

KEY = "import_active_energy"
T0 = 1_792_800_000  # a whole hour


def rows(*at_quarters: tuple[int, int]) -> list[Reading]:
    """Rows of quarters: (number of the quarter that ends, Wh)."""
    return [
        Reading(n, T0 + (quarter - 1) * 900, T0 + quarter * 900, {KEY: wh})
        for n, (quarter, wh) in enumerate(at_quarters, 1)
    ]


def found(interval_min: int, readings: list[Reading]) -> list[tuple[float, float]]:
    """Quarters at which intervals begin, and their energies."""
    zero = datetime.fromtimestamp(T0, UTC)
    return [
        ((one.start - zero).total_seconds() / 900, one.energy_wh)
        for one in Intervals(KEY, interval_min).take(readings)
    ]


def test_an_hour_is_between_its_two_readings() -> None:
    readings = rows((3, 5), (4, 10), (5, 20), (6, 40), (7, 80), (8, 160), (9, 320))
    assert found(60, readings) == [(4, 150)]
    assert found(15, readings) == [(3, 5), (4, 10), (5, 20), (6, 40), (7, 80), (8, 160)]


@pytest.mark.parametrize("missing", [5, 6, 7])
def test_an_hour_that_was_dark_in_part_is_none(missing: int) -> None:
    readings = [
        row
        for row in rows(*((quarter, 10 * quarter) for quarter in range(3, 13)))
        if row.end_s != T0 + missing * 900
    ]
    assert found(60, readings) == [(8, 40)]


def test_pieces_make_no_difference() -> None:
    readings = rows(*((quarter, 10 * quarter) for quarter in range(1, 20)))
    intervals = Intervals(KEY, 60)
    in_pieces = [*intervals.take(readings[:6]), *intervals.take(readings[6:])]
    assert in_pieces == Intervals(KEY, 60).take(readings)
