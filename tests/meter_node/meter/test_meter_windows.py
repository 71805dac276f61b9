"""Intervals on the meter's clock: aligned, whole, partly dark, absent, cut by a clock step."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.step import Step
from meter_node.meter.windows import (
    CLOCK_ADJUSTED,
    CLOCK_INVALID,
    DATA_NOT_VALID,
    DAYLIGHT_SAVING,
    ERROR,
    POWER_DOWN,
    Window,
    Windows,
    check_interval,
    next_midnight_s,
    next_month_s,
)
from tests.meter_node.meter.steps import copenhagen, step, utc

NOON_S = utc("2026-01-15 12:00")
QUARTER_S = 900


def minutes(start_s: int, end_s: int) -> list[Step]:
    """Steps of a minute over this time, unbroken."""
    return [step(at_s, 60) for at_s in range(start_s, end_s, 60)]


def after_a_cut(steps: list[Step]) -> list[Step]:
    """The same, as they are when power was off before the first."""
    return [replace(steps[0], gap=True), *steps[1:]]


def fed(windows: Windows, steps: Iterable[Step], fault: bool = False) -> list[Window]:
    """What ends while these steps are counted."""
    closed: list[Window] = []
    for one in steps:
        if not windows.follows(one):
            closed += windows.resume(one.start_s)
        closed += windows.advance(one, fault)
    return closed


@pytest.mark.parametrize("interval_min", [5, 10, 15, 20, 30, 60])
def test_intervals_are_aligned_to_the_hour(interval_min: int) -> None:
    closed = fed(Windows(interval_min, copenhagen()), minutes(NOON_S, NOON_S + 7200))
    ends_s = [NOON_S + 60 * minute for minute in range(interval_min, 121, interval_min)]
    assert [window.end_s for window in closed] == ends_s
    assert {window.measured_s for window in closed} == {interval_min * 60}
    assert {window.status for window in closed} == {0}


@pytest.mark.parametrize(
    ("day", "begin", "end", "quarters", "summer"),
    [
        # 29 March 2026: 00:00 CET is 23:00 UTC, and 24:00 CEST is 22:00 UTC: 23 hours.
        ("short", "2026-03-28 23:00", "2026-03-29 22:00", 92, range(8, 92)),
        # 25 October 2026: 00:00 CEST is 22:00 UTC, and 24:00 CET is 23:00 UTC: 25 hours.
        ("long", "2026-10-24 22:00", "2026-10-25 23:00", 100, range(12)),
    ],
)
def test_both_nights_of_daylight_saving_have_92_and_100_quarters(
    day: str, begin: str, end: str, quarters: int, summer: range
) -> None:
    local = copenhagen()
    closed = fed(Windows(15, local), minutes(utc(begin) - QUARTER_S, utc(end) + QUARTER_S))
    of_day = {"short": date(2026, 3, 29), "long": date(2026, 10, 25)}[day]
    inside = [window for window in closed if local.day(window.begin_s) == of_day]
    assert len(inside) == quarters
    assert len({window.end_s for window in inside}) == quarters
    flagged = [n for n, window in enumerate(inside) if window.status & DAYLIGHT_SAVING]
    assert flagged == list(summer)
    assert not any(window.status & ~DAYLIGHT_SAVING for window in inside)


def test_power_down_in_the_middle_of_an_interval_flags_it() -> None:
    steps = minutes(NOON_S, NOON_S + 240) + after_a_cut(minutes(NOON_S + 600, NOON_S + 1800))
    closed = fed(Windows(15, copenhagen()), steps)
    # 900 s less the six minutes from 12:04 to 12:10
    assert closed == [
        Window(NOON_S, NOON_S + 900, 540, POWER_DOWN),
        Window(NOON_S + 900, NOON_S + 1800, 900, 0),
    ]


def test_wholly_dark_intervals_are_absent() -> None:
    steps = minutes(NOON_S, NOON_S + 300) + after_a_cut(minutes(NOON_S + 4200, NOON_S + 5400))
    closed = fed(Windows(15, copenhagen()), steps)
    # Dark from 12:05 to 13:10: what ends at 12:30, 12:45 and 13:00 is not there.
    assert closed == [
        Window(NOON_S, NOON_S + 900, 300, POWER_DOWN),
        Window(NOON_S + 3600, NOON_S + 4500, 300, POWER_DOWN),
        Window(NOON_S + 4500, NOON_S + 5400, 900, 0),
    ]


def test_darkness_from_boundary_to_boundary_flags_nothing() -> None:
    steps = minutes(NOON_S, NOON_S + 900) + after_a_cut(minutes(NOON_S + 1800, NOON_S + 2700))
    closed = fed(Windows(15, copenhagen()), steps)
    assert [(window.end_s - NOON_S, window.status) for window in closed] == [(900, 0), (2700, 0)]


def test_a_cut_of_less_than_half_a_second_flags_the_interval() -> None:
    steps = minutes(NOON_S, NOON_S + 300) + after_a_cut(minutes(NOON_S + 300, NOON_S + 900))
    assert fed(Windows(15, copenhagen()), steps) == [Window(NOON_S, NOON_S + 900, 900, POWER_DOWN)]


def test_a_new_meter_flags_the_interval_in_which_it_begins() -> None:
    closed = fed(Windows(15, copenhagen()), minutes(NOON_S + 420, NOON_S + 900))
    assert closed == [Window(NOON_S, NOON_S + 900, 480, POWER_DOWN)]


def test_a_clock_set_forward_splits_the_interval_and_flags_both_parts() -> None:
    windows = Windows(15, copenhagen())
    closed = fed(windows, minutes(NOON_S, NOON_S + 240))
    closed += windows.clock_changed(NOON_S + 240, NOON_S + 1200)
    closed += fed(windows, minutes(NOON_S + 1200, NOON_S + 2700))
    assert closed == [
        Window(NOON_S, NOON_S + 240, 240, CLOCK_ADJUSTED),
        Window(NOON_S + 1200, NOON_S + 1800, 600, CLOCK_ADJUSTED),
        Window(NOON_S + 1800, NOON_S + 2700, 900, 0),
    ]


def test_a_clock_set_back_leaves_duplicate_stamps_that_are_flagged() -> None:
    windows = Windows(15, copenhagen())
    closed = fed(windows, minutes(NOON_S, NOON_S + 1200))
    closed += windows.clock_changed(NOON_S + 1200, NOON_S + 600)
    closed += fed(windows, minutes(NOON_S + 600, NOON_S + 1800))
    assert [(window.end_s - NOON_S, window.status) for window in closed] == [
        (900, 0),
        (1200, CLOCK_ADJUSTED),
        (900, CLOCK_ADJUSTED),
        (1800, 0),
    ]


def test_a_clock_set_twice_between_two_steps_tells_of_no_empty_interval() -> None:
    windows = Windows(15, copenhagen())
    fed(windows, minutes(NOON_S, NOON_S + 240))
    assert len(windows.clock_changed(NOON_S + 240, NOON_S + 7200)) == 1
    assert windows.clock_changed(NOON_S + 7200, NOON_S + 300) == ()
    closed = fed(windows, minutes(NOON_S + 300, NOON_S + 900))
    assert closed == [Window(NOON_S + 300, NOON_S + 900, 600, CLOCK_ADJUSTED)]


def test_a_clock_set_while_power_was_off_ends_the_interval_as_dark() -> None:
    windows = Windows(15, copenhagen())
    closed = fed(windows, minutes(NOON_S, NOON_S + 300))
    # Off at 12:05; at 12:20 by its clock the meter is back, and set to 12:40 at once.
    closed += windows.clock_changed(NOON_S + 1200, NOON_S + 2400)
    closed += fed(windows, after_a_cut(minutes(NOON_S + 2400, NOON_S + 2700)))
    assert closed == [
        Window(NOON_S, NOON_S + 900, 300, POWER_DOWN),
        Window(NOON_S + 2400, NOON_S + 2700, 300, CLOCK_ADJUSTED),
    ]


def test_a_clock_that_went_back_untold_is_taken_for_one_that_was_set() -> None:
    windows = Windows(15, copenhagen())
    closed = fed(windows, minutes(NOON_S, NOON_S + 300))
    closed += fed(windows, after_a_cut(minutes(NOON_S + 120, NOON_S + 900)))
    assert closed == [
        Window(NOON_S, NOON_S + 300, 300, CLOCK_ADJUSTED),
        Window(NOON_S + 120, NOON_S + 900, 780, CLOCK_ADJUSTED),
    ]


def test_one_second_with_an_invalid_clock_flags_its_interval_alone() -> None:
    steps = [step(NOON_S + second) for second in range(1800)]
    steps[7] = replace(steps[7], clock_valid=False)
    closed = fed(Windows(15, copenhagen()), steps)
    assert [window.status for window in closed] == [CLOCK_INVALID, 0]


def test_a_converter_at_the_end_of_its_range_makes_data_not_valid() -> None:
    steps = minutes(NOON_S, NOON_S + 1800)
    steps[20] = step(steps[20].start_s, 60, clipped=True)
    closed = fed(Windows(15, copenhagen()), steps)
    assert [window.status for window in closed] == [0, DATA_NOT_VALID]


def test_a_failed_self_test_sets_the_error_bit() -> None:
    closed = fed(Windows(15, copenhagen()), minutes(NOON_S, NOON_S + 900), fault=True)
    assert [window.status for window in closed] == [ERROR]


def test_a_step_across_a_boundary_leaves_no_second_unmeasured() -> None:
    steps = [step(NOON_S, 870), step(NOON_S + 870, 60), step(NOON_S + 930, 870)]
    closed = fed(Windows(15, copenhagen()), steps)
    assert closed == [
        Window(NOON_S, NOON_S + 900, 900, 0),
        Window(NOON_S + 900, NOON_S + 1800, 900, 0),
    ]


def test_a_restart_in_the_middle_of_an_interval_changes_nothing() -> None:
    steps = (
        minutes(NOON_S, NOON_S + 240)
        + after_a_cut(minutes(NOON_S + 420, NOON_S + 1260))
        + after_a_cut(minutes(NOON_S + 5000, NOON_S + 7280))
    )
    unbroken = fed(Windows(15, copenhagen()), steps)
    windows = Windows(15, copenhagen())
    restarted: list[Window] = []
    for one in steps:
        windows = Windows(15, copenhagen(), json.loads(json.dumps(windows.state())))
        restarted += fed(windows, [one])
    assert restarted == unbroken


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("on"), st.integers(0, 400)),
            st.tuples(st.just("off"), st.integers(0, 4000)),
            st.tuples(st.just("set"), st.integers(-4000, 4000)),
        ),
        max_size=60,
    )
)
def test_every_measured_second_is_in_one_interval_and_no_interval_is_empty(
    course: list[tuple[str, int]],
) -> None:
    windows = Windows(5, copenhagen())
    now_s, measured_s, off = NOON_S, 0, True
    closed: list[Window] = []
    for what, seconds in course:
        if what == "on":
            closed += fed(windows, [step(now_s, seconds, gap=off)])
            now_s, measured_s, off = now_s + seconds, measured_s + seconds, False
        elif what == "off":
            now_s, off = now_s + seconds, True
        else:
            closed += windows.clock_changed(now_s, now_s + seconds)
            now_s += seconds
    assert sum(window.measured_s for window in closed) + windows.measured_s == measured_s
    for window in closed:
        length_s = window.end_s - window.begin_s
        assert 0 < window.measured_s <= length_s <= 300
        assert window.begin_s // 300 == (window.end_s - 1) // 300
        # What is no whole interval says why.
        assert window.measured_s == 300 or window.status & (POWER_DOWN | CLOCK_ADJUSTED)


def test_an_interval_that_is_not_possible_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="an interval of 7 min; possible are 5, 15, 30, 60 min"):
        check_interval(7, (5, 15, 30, 60))


@pytest.mark.parametrize(
    ("now", "midnight"),
    [
        ("2026-01-15 22:59:59", "2026-01-15 23:00"),
        ("2026-01-15 23:00", "2026-01-16 23:00"),
        ("2026-03-28 23:00", "2026-03-29 22:00"),
        ("2026-10-24 22:00", "2026-10-25 23:00"),
    ],
)
def test_the_next_midnight_is_the_one_on_the_wall(now: str, midnight: str) -> None:
    assert next_midnight_s(copenhagen(), utc(now)) == utc(midnight)


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-12-31 22:59:59", "2026-12-31 23:00"),
        ("2026-12-31 23:00", "2027-01-31 23:00"),
        ("2026-03-31 21:59:59", "2026-03-31 22:00"),
    ],
)
def test_the_next_month_begins_at_local_midnight(now: str, first: str) -> None:
    assert next_month_s(copenhagen(), utc(now)) == utc(first)
