"""Counted samples against the node's clock: no jump for drift, a new beginning for what is none."""

import random

import pytest

from meter_node.metrology.engine import TIME_TOLERANCE_NS
from meter_node.sources.timeline import MOST_OFFSET_NS, NANO, Timeline

START_NS = 1_767_225_600 * NANO
RATE_HZ = 8000
COUNT = 800  # a tenth of a second


def test_the_first_block_ended_when_it_came() -> None:
    place = Timeline(RATE_HZ).place(123_456, COUNT, START_NS + NANO // 4)
    assert place.start_ns == START_NS + NANO // 4 - NANO // 10
    assert not place.broken


def test_whole_seconds_of_the_clock_are_whole_seconds_of_samples() -> None:
    place = Timeline(RATE_HZ).place(123_456, COUNT, START_NS + NANO // 4)
    # 0.15 s after a whole second.
    assert place.first_sample == 1200


def test_samples_are_counted_on_however_late_their_bytes_come() -> None:
    timeline = Timeline(RATE_HZ)
    chance = random.Random(1)
    first = timeline.place(0, COUNT, START_NS)
    for number in range(1, 80):
        now_ns = START_NS + number * NANO // 10 + chance.randrange(50_000_000)
        place = timeline.place(number * COUNT, COUNT, now_ns)
        assert place.first_sample == first.first_sample + number * COUNT
        # But for what is slewed away in the first windows, 2 ms in each.
        assert abs(place.start_ns - first.start_ns - number * NANO // 10) <= 4_000_000


@pytest.mark.parametrize("ppm", [-100, -20, 50, 100])
def test_a_crystal_that_is_off_is_slewed_without_a_jump(ppm: int) -> None:
    timeline = Timeline(RATE_HZ)
    chance = random.Random(2)
    due_ns: int | None = None
    for number in range(36_000):  # an hour
        true_ns = START_NS + round(number * NANO / 10 * (1 + ppm * 1e-6))
        place = timeline.place(number * COUNT, COUNT, true_ns + chance.randrange(10_000_000))
        assert not place.broken
        if due_ns is not None:
            assert abs(place.start_ns - due_ns) < TIME_TOLERANCE_NS / 4
        due_ns = place.start_ns + NANO // 10
        # Ten milliseconds of line and a window's drift, not the 360 ms of the hour.
        assert abs(place.start_ns + NANO // 10 - true_ns) < 15_000_000


def test_what_a_buffer_held_is_put_right_within_a_second() -> None:
    timeline = Timeline(RATE_HZ)
    broken = []
    for number in range(100):
        # Two seconds' worth come with the first block, the rest in its time.
        place = timeline.place(number * COUNT, COUNT, START_NS + max(number, 20) * NANO // 10)
        broken += [number] if place.broken else []
    assert broken == [29]


@pytest.mark.parametrize("step_s", [-3600, -1, 0.3, 3600])
def test_a_clock_that_was_set_begins_a_new_stream(step_s: float) -> None:
    timeline = Timeline(RATE_HZ)
    broken = []
    for number in range(400):
        now_ns = START_NS + number * NANO // 10 + (round(step_s * NANO) if number > 150 else 0)
        place = timeline.place(number * COUNT, COUNT, now_ns)
        if place.broken:
            broken.append(number)
            assert abs(place.start_ns + NANO // 10 - now_ns) < MOST_OFFSET_NS
            assert "apart" in place.broken
    assert len(broken) == 1
    assert broken[0] - 150 <= 200  # two windows at the most


def test_a_stall_that_catches_up_is_none() -> None:
    timeline = Timeline(RATE_HZ)
    for number in range(200):
        # Four seconds' worth come at once, at the end of these four seconds.
        now = 99 if 60 <= number < 100 else number
        assert not timeline.place(number * COUNT, COUNT, START_NS + now * NANO // 10).broken


def test_a_front_end_that_counts_anew_is_placed_anew() -> None:
    timeline = Timeline(RATE_HZ)
    timeline.place(80_000, COUNT, START_NS)
    timeline.restart()
    place = timeline.place(0, COUNT, START_NS + 5 * NANO)
    assert (place.start_ns, place.broken) == (START_NS + 5 * NANO - NANO // 10, "")
