"""The invocation counter: no number twice, whatever kills the meter and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meter_node.ciphering import (
    CounterExhaustedError,
    InvocationCounter,
    time_floor,
    wireless_floor,
)

AHEAD = 1024
LAST = 2**32 - 1


class Killed(Exception):  # noqa: N818
    """The power went."""


class Disk:
    """What outlives a kill: one bound, and a power cut before or after it is written."""

    def __init__(self, bound: int = 0) -> None:
        self.bound = bound
        self.writes = 0
        self.cut: str | None = None

    def persist(self, bound: int) -> None:
        cut, self.cut = self.cut, None
        if cut == "before":
            raise Killed
        self.bound = bound
        self.writes += 1
        if cut == "after":
            raise Killed

    def start(self, floor: int = 0) -> InvocationCounter:
        return InvocationCounter(self.bound, floor, self.persist)


def take(counter: InvocationCounter, times: int) -> list[int]:
    return [counter.take() for _ in range(times)]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from([1, 2, 10, AHEAD - 1, AHEAD, AHEAD + 1, 2500])),
        st.tuples(st.just("kill"), st.integers(0, 5000)),
        st.tuples(st.just("cut before"), st.just(0)),
        st.tuples(st.just("cut after"), st.just(0)),
    ),
    max_size=12,
)


@given(ACTIONS)
@example([("take", 1), ("kill", 0), ("take", 1)])
@example([("cut before", 0), ("take", 1), ("kill", 0), ("take", 1)])
@example([("cut after", 0), ("take", 1), ("kill", 0), ("take", 1)])
def test_no_number_is_ever_given_twice_whatever_kills_the_meter(
    actions: list[tuple[str, int]],
) -> None:
    disk = Disk()
    counter = disk.start()
    given_out: list[int] = []
    for action, number in actions:
        if action == "kill":
            counter = disk.start(floor=number)
        elif action == "take":
            try:
                for _ in range(number):
                    given_out.append(counter.take())  # noqa: PERF401 - cut off in between
            except Killed:
                counter = disk.start()
        else:
            disk.cut = action.removeprefix("cut ")
    assert all(later > earlier for earlier, later in pairwise(given_out))


@given(ACTIONS)
def test_each_number_was_reserved_on_disk_before_it_was_given(
    actions: list[tuple[str, int]],
) -> None:
    disk = Disk()
    counter = disk.start()
    for action, number in actions:
        if action == "kill":
            counter = disk.start(floor=number)
        elif action == "take":
            for _ in range(number):
                assert counter.take() < disk.bound


def test_numbers_rise_one_by_one() -> None:
    assert take(Disk().start(), 3000) == list(range(3000))


def test_the_disk_is_written_once_in_1024_numbers_after_the_first() -> None:
    disk = Disk()
    counter = disk.start()
    first = sum(2**step for step in range(10))  # 1, 2, 4 … 512 at once
    take(counter, first)
    assert disk.writes == 10
    take(counter, 3 * AHEAD)
    assert disk.writes == 10 + 3


@given(st.integers(1, AHEAD))
def test_a_start_leaves_out_fewer_numbers_than_it_gives(given_out: int) -> None:
    disk = Disk()
    take(disk.start(), given_out)
    assert disk.bound < 2 * given_out


def test_starts_in_a_loop_stay_below_the_floor_of_a_restored_back_up() -> None:
    begun = datetime(2026, 6, 1, tzinfo=UTC)
    disk = Disk(time_floor(begun))
    sent = [disk.start().take() for _ in range(24 * 60 * 60)]  # each second anew, for a day
    assert sent[-1] < time_floor(begun + timedelta(days=1))


def test_a_start_alone_writes_nothing() -> None:
    disk = Disk()
    disk.start(floor=500)
    assert disk.writes == 0


def test_a_restart_goes_on_above_all_that_was_reserved() -> None:
    disk = Disk()
    assert take(disk.start(), 5) == [0, 1, 2, 3, 4]
    assert disk.start().take() == 1 + 2 + 4


def test_a_disk_that_takes_no_more_gives_no_number() -> None:
    disk = Disk()
    disk.cut = "before"
    counter = disk.start()
    with pytest.raises(Killed):
        counter.take()
    assert counter.take() == 0


def test_a_disk_that_fails_at_each_attempt_gives_none_at_any() -> None:
    def full(_bound: int) -> None:
        raise OSError(28, "No space left on device")

    counter = InvocationCounter(0, 0, full)
    for _ in range(5):
        with pytest.raises(OSError, match="No space"):
            counter.take()


def test_a_disk_that_fails_later_lets_what_was_reserved_be_given() -> None:
    disk = Disk()
    counter = disk.start()
    take(counter, 1 + 2 + 1)
    disk.cut = "before"
    assert take(counter, 3)[-1] == 1 + 2 + 4 - 1
    with pytest.raises(Killed):
        counter.take()


# --- the floor -----------------------------------------------------------------------------------


def test_the_floor_is_two_numbers_a_second_since_2026() -> None:
    a_day_later = datetime(2026, 1, 2, tzinfo=UTC)
    assert time_floor(a_day_later) == 2 * 24 * 60 * 60


def test_the_floor_is_the_same_in_any_zone() -> None:
    cet = datetime.fromisoformat("2026-01-02T01:00:00+01:00")
    assert time_floor(cet) == 2 * 24 * 60 * 60


@pytest.mark.parametrize("year", [1970, 2025])
def test_a_clock_before_2026_gives_no_floor(year: int) -> None:
    assert time_floor(datetime(year, 6, 1, tzinfo=UTC)) == 0


def test_a_start_begins_at_the_floor_where_less_was_reserved() -> None:
    assert Disk(bound=10).start(floor=5000).take() == 5000


def test_a_start_begins_at_the_reserved_bound_where_it_is_above_the_floor() -> None:
    assert Disk(bound=9000).start(floor=5000).take() == 9000


def test_a_number_above_the_floor_is_reserved_before_it_is_given() -> None:
    disk = Disk(bound=10)
    disk.start(floor=5000).take()
    assert disk.bound > 5000


def test_a_restored_back_up_repeats_no_number_at_up_to_two_frames_a_second() -> None:
    begun = datetime(2026, 6, 1, tzinfo=UTC)
    disk = Disk()
    counter = disk.start(time_floor(begun))
    counter.take()
    back_up = disk.bound
    hour = timedelta(hours=1)
    sent = take(counter, 2 * int(hour.total_seconds()) - 1)
    restored = Disk(back_up).start(time_floor(begun + hour))
    assert restored.take() > sent[-1]


@pytest.mark.parametrize("run_s", [30, 75, 600, 3600])
def test_a_restored_back_up_repeats_no_wireless_number_however_often_the_node_restarts(
    run_s: int,
) -> None:
    begun, day_s = datetime(2026, 6, 1, tzinfo=UTC), 24 * 60 * 60
    disk = Disk(wireless_floor(begun))
    sent = [0]
    for start_s in range(0, day_s, run_s):
        floor = wireless_floor(begun + timedelta(seconds=start_s))
        counter = InvocationCounter(disk.bound, floor, disk.persist, ahead=32)
        sent += take(counter, run_s * 16 // 60)  # the most that a meter's modules may send
    assert sent[-1] < wireless_floor(begun + timedelta(seconds=day_s))


# --- the end -------------------------------------------------------------------------------------


def test_the_last_number_is_given_once() -> None:
    counter = Disk(bound=LAST).start()
    assert counter.take() == LAST
    with pytest.raises(CounterExhaustedError, match="until the keys are changed"):
        counter.take()


def test_a_used_up_counter_stays_used_up_after_a_restart() -> None:
    disk = Disk(bound=LAST - 1)
    take(disk.start(), 2)
    with pytest.raises(CounterExhaustedError):
        disk.start().take()


def test_a_floor_beyond_the_last_number_gives_none() -> None:
    with pytest.raises(CounterExhaustedError):
        Disk().start(floor=LAST + 1).take()


def test_a_used_up_counter_writes_nothing_more() -> None:
    disk = Disk(bound=LAST + 1)
    counter = disk.start()
    for _ in range(3):
        with pytest.raises(CounterExhaustedError):
            counter.take()
    assert disk.writes == 0
