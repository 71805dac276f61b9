"""A counter cut into whole intervals: edges, gaps, clocks that are set, restarts, projections."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from custom_components.meter_node.capacity_window import ClosedWindow, Windows

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def at(minute: float, second: float = 0) -> datetime:
    return NOON + timedelta(minutes=minute, seconds=second)


def fed(*readings: tuple[datetime, float], interval_min: int = 15) -> list[ClosedWindow]:
    windows = Windows(interval_min)
    return [closed for reading in readings for closed in windows.advance(*reading)]


def test_a_quarter_hour_between_two_readings_on_its_edges_is_closed() -> None:
    assert fed((at(0), 1000), (at(7), 1400), (at(15), 1625)) == [ClosedWindow(NOON, 625)]


def test_the_first_interval_is_none_unless_its_begin_was_seen() -> None:
    assert fed((at(1), 1000), (at(15), 1600), (at(30), 2000)) == [ClosedWindow(at(15), 400)]


def test_between_two_near_readings_the_counter_ran_evenly() -> None:
    # At 12:14:55 1000 and at 12:15:05 1040: at the boundary 1020.
    readings = [(at(0), 500.0), (at(14, 55), 1000.0), (at(15, 5), 1040.0)]
    readings += [(at(29, 55), 2000.0), (at(30, 5), 2040.0)]
    assert fed(*readings) == [ClosedWindow(NOON, 520), ClosedWindow(at(15), 1000)]


def test_hourly_totals_a_few_seconds_after_the_hour_serve() -> None:
    found = fed((at(0, 10), 1000), (at(60, 10), 5000), (at(120, 10), 7000), interval_min=60)
    assert found == [ClosedWindow(NOON, 4000), ClosedWindow(at(60), 2000)]


def test_a_total_a_few_seconds_before_the_hour_serves_too() -> None:
    found = fed((at(0), 1000), (at(59, 50), 5000), (at(90), 6000), interval_min=60)
    assert found == [ClosedWindow(NOON, 4000)]


def test_what_was_counted_in_a_gap_is_dumped_into_no_interval() -> None:
    # From 12:07 to 13:08 nothing was heard; 20 kWh were used.
    found = fed((at(0), 0), (at(7), 300), (at(68), 20_300), (at(75), 20_600), (at(90), 21_000))
    assert found == [ClosedWindow(at(75), 400)]


def test_a_gap_within_an_interval_does_no_harm() -> None:
    assert fed((at(0), 0), (at(2), 100), (at(14), 500), (at(15), 600)) == [ClosedWindow(NOON, 600)]


def test_a_gap_that_ends_on_a_boundary_begins_a_whole_interval() -> None:
    found = fed((at(0), 0), (at(30), 5000), (at(45), 5400))
    assert found == [ClosedWindow(at(30), 400)]


def test_a_clock_that_is_set_back_begins_anew() -> None:
    found = fed((at(0), 0), (at(14), 900), (at(10), 950), (at(15), 1000), (at(30), 1300))
    assert found == [ClosedWindow(at(15), 300)]


def test_a_clock_that_is_set_back_by_seconds_goes_on_with_its_interval() -> None:
    # A push every 10 s; at 12:05 the clock goes back by 11 s, and 12:04:49 comes after 12:04:50.
    before = [(at(0, second), second) for second in range(0, 300, 10)]
    after = [(at(0, second - 11), second) for second in range(300, 1830, 10)]
    # At one Wh a second 12:15 by the clock comes 11 s late.
    readings = [(moment, float(wh)) for moment, wh in before + after]
    assert fed(*readings) == [ClosedWindow(NOON, 911), ClosedWindow(at(15), 900)]


@pytest.mark.parametrize(("back_s", "runs"), [(1, True), (30, True), (31, False)])
def test_the_running_interval_bears_a_step_back_of_what_an_edge_bears(
    back_s: int, runs: bool
) -> None:
    windows = Windows(15)
    for reading in ((at(0), 0), (at(5), 300), (at(5, -back_s), 310)):
        windows.advance(*reading)
    running = windows.running
    assert (running and running.energy_wh) == (310 if runs else None)


def test_a_clock_that_is_set_back_over_an_edge_tells_no_interval_twice() -> None:
    # At 12:15:05 it goes back to 12:14:54; from its second 12:15 on an interval is whole.
    readings = [
        (at(0), 0),
        (at(14, 55), 895),
        (at(15, 5), 905),
        (at(14, 54), 915),
        (at(15, 4), 925),
    ]
    found = fed(*readings, (at(30), 1821))
    # 12:15 was half-way between the two on its sides: 900 at first, then 921 (six of ten seconds).
    assert found == [ClosedWindow(NOON, 900), ClosedWindow(at(15), 1821 - 921)]


def test_a_counter_that_begins_anew_closes_nothing() -> None:
    assert fed((at(0), 9000), (at(15), 10), (at(30), 110)) == [ClosedWindow(at(15), 100)]


def test_the_same_reading_twice_is_one() -> None:
    assert fed((at(0), 0), (at(15), 500), (at(15), 500), (at(30), 800)) == [
        ClosedWindow(NOON, 500),
        ClosedWindow(at(15), 300),
    ]


def test_a_restart_within_the_interval_goes_on() -> None:
    windows = Windows(15)
    windows.advance(at(0), 1000)
    windows.advance(at(5), 1200)
    again = Windows.from_state(15, windows.state())
    assert again.running == windows.running
    assert again.advance(at(15), 1600) == [ClosedWindow(NOON, 600)]
    assert Windows.from_state(15, Windows(15).state()).running is None


def test_a_restart_over_a_boundary_leaves_the_interval_out() -> None:
    windows = Windows(15)
    windows.advance(at(0), 1000)
    windows.advance(at(10), 1200)
    again = Windows.from_state(15, windows.state())
    assert again.advance(at(20), 9000) == []
    assert again.running is None


def test_the_running_interval_has_a_mean_a_projection_and_what_is_left() -> None:
    windows = Windows(60)
    windows.advance(at(0), 10_000)
    running = windows.running
    assert running is not None
    assert running.mean_w is None
    assert running.projected_w(None) is None
    windows.advance(at(20), 11_000)
    running = windows.running
    assert running is not None
    assert running.mean_w == pytest.approx(3000)  # 1 kWh in 20 minutes
    assert running.projected_w(None) == pytest.approx(3000)
    assert running.projected_w(6000) == pytest.approx(5000)  # 1 kWh and 40 min of 6 kW
    assert running.energy_left_wh(4000) == pytest.approx(3000)
    assert running.energy_left_wh(500) == 0


def test_between_hourly_totals_the_power_is_counted_on() -> None:
    windows = Windows(60)
    windows.advance(at(0, 10), 10_000)
    for minute in range(1, 31):
        windows.estimate(at(minute, 10), 2000)
    running = windows.running
    assert running is not None
    assert running.energy_wh == pytest.approx(1000)  # 30 min of 2 kW
    assert windows.advance(at(60, 10), 12_500) == [ClosedWindow(NOON, 2500)]


def test_powers_that_were_missed_make_the_running_interval_unknown_but_not_the_total() -> None:
    windows = Windows(60)
    windows.estimate(at(0), 2000)  # before any total
    assert windows.running is None
    windows.advance(at(0, 10), 10_000)
    windows.estimate(at(0, 5), 2000)  # older
    windows.estimate(at(1), 2000)
    windows.estimate(at(9), 2000)
    assert windows.running is None
    assert windows.advance(at(60, 10), 12_500) == [ClosedWindow(NOON, 2500)]
    windows.estimate(at(61), 2000)
    assert windows.running is not None


def test_an_interval_that_ended_unseen_is_not_running_any_more() -> None:
    windows = Windows(15)
    windows.advance(at(14), 1000)
    windows.advance(at(15), 1100)
    for minute in (16, 18, 20, 22, 24, 26, 28, 30):
        windows.estimate(at(minute), 100)
    assert windows.running is None
