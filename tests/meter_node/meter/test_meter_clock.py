"""The meter's clock: slewed by little, stepped by much, lost after the reserve, never guessed."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.meter.clock import NANO, ClockSettings, MeterClock
from meter_node.meter.local_time import LocalTime
from meter_node.meter.refused import RefusedError
from tests.meter_node.meter.steps import utc

NOON_S = utc("2026-06-01 12:00")
HOUR_S = 3600


def clock(kept: dict[str, object] | None = None) -> MeterClock:
    return MeterClock(ClockSettings(), LocalTime(ZoneInfo("Europe/Copenhagen")), kept)


def run(it: MeterClock, start_s: int, seconds: int) -> None:
    for second in range(start_s, start_s + seconds):
        it.place(second * NANO, (second + 1) * NANO)


def names(events: list[object]) -> list[str]:
    return [event.code.name for event in events]  # type: ignore[attr-defined]


def test_a_clock_that_nobody_set_shows_its_sources_time() -> None:
    it = clock()
    run(it, NOON_S, 10)
    assert it.now_s == NOON_S + 10


def test_a_second_is_slewed_at_500_ppm_in_2000_seconds() -> None:
    it = clock()
    run(it, NOON_S, 1)
    assert it.set(it.now_ns + NANO, "utility") == []
    run(it, NOON_S + 1, 1000)
    assert it.now_ns == (NOON_S + 1001) * NANO + NANO // 2  # 1000 s · 500 ppm = 0.5 s
    run(it, NOON_S + 1001, 1000)
    assert it.now_ns == (NOON_S + 2002) * NANO
    assert it.deviation_ns == 0


def test_a_larger_step_is_taken_at_once_and_old_and_new_time_are_logged() -> None:
    it = clock()
    run(it, NOON_S, 1)
    events = it.set((NOON_S + HOUR_S) * NANO, "utility")
    assert names(events) == ["clock_old", "clock_new"]
    assert [event.time_s for event in events] == [NOON_S + 1, NOON_S + HOUR_S]
    placed = it.place((NOON_S + 1) * NANO, (NOON_S + 2) * NANO)
    assert (placed.turned_back, placed.gap) == (False, False)
    assert placed.start_ns == (NOON_S + HOUR_S) * NANO


def test_a_clock_that_has_not_begun_to_run_is_not_set() -> None:
    it = clock()
    with pytest.raises(RefusedError, match="nothing was measured yet"):
        it.set(NOON_S * NANO, "utility")
    run(it, NOON_S, 10)
    assert it.now_s == NOON_S + 10


def test_a_source_whose_time_goes_back_is_a_step_and_no_gap() -> None:
    it = clock()
    run(it, NOON_S, 10)
    placed = it.place(NOON_S * NANO, (NOON_S + 1) * NANO)
    assert (placed.turned_back, placed.gap) == (True, False)


@pytest.mark.parametrize(("dark_h", "valid"), [(48, True), (49, False)])
def test_the_reserve_of_48_hours_keeps_the_time_and_an_hour_more_does_not(
    dark_h: int, valid: bool
) -> None:
    it = clock()
    run(it, NOON_S, 1)
    again = clock(json.loads(json.dumps(it.state())))
    events = again.wake((NOON_S + 1 + dark_h * HOUR_S) * NANO, trusted=False)
    assert again.valid is valid
    assert names(events) == ([] if valid else ["clock_invalid"])


def test_a_lost_clock_is_flagged_until_it_is_set() -> None:
    it = clock()
    run(it, NOON_S, 1)
    it.wake((NOON_S + 1000 * HOUR_S) * NANO, trusted=False)
    run(it, NOON_S + 1000 * HOUR_S, 5)
    assert not it.valid
    it.set(it.now_ns + 1, "utility")
    assert it.valid


def test_a_source_known_to_be_right_needs_no_reserve() -> None:
    it = clock()
    run(it, NOON_S, 1)
    assert it.wake((NOON_S + 1000 * HOUR_S) * NANO, trusted=True) == []
    assert it.valid


# 29 March and 25 October 2026, 01:00 UTC, by the European directive 2000/84/EC.
@pytest.mark.parametrize(
    ("change", "detail"), [("2026-03-29 01:00", "+1 h"), ("2026-10-25 01:00", "-1 h")]
)
def test_both_nights_of_daylight_saving_are_told_once_and_move_no_stamp(
    change: str, detail: str
) -> None:
    it, change_s = clock(), utc(change)
    told = []
    for start_s in range(change_s - 120, change_s + 120, 60):
        placed = it.place(start_s * NANO, (start_s + 60) * NANO)
        assert placed.start_ns == start_s * NANO
        told += it.daylight_saving(start_s)
    assert [(event.time_s, event.detail) for event in told] == [(change_s, detail)]


@given(st.lists(st.tuples(st.integers(1, 600), st.integers(-(10**10), 10**10)), max_size=8))
def test_what_is_placed_meets_except_where_the_clock_was_stepped(
    moves: list[tuple[int, int]],
) -> None:
    it, source_ns, end_ns = clock(), NOON_S * NANO, None
    stepped = False
    for seconds, by_ns in moves:
        placed = it.place(source_ns, source_ns + seconds * NANO)
        assert placed.end_ns > placed.start_ns
        if end_ns is not None and not stepped:
            assert placed.start_ns == end_ns
        source_ns, end_ns = source_ns + seconds * NANO, placed.end_ns
        it = clock(json.loads(json.dumps(it.state())))
        it.set(it.now_ns + by_ns, "utility")
        stepped = abs(by_ns) > 2 * NANO
