"""Which share of a meter's pushes came: known losses of regular meters, and of irregular ones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from integration_home import Home

from custom_components.meter_node.link_quality import WINDOW_MIN, LinkQuality, lost_between

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR_S = 60 * WINDOW_MIN
INTERVALS_S = st.sampled_from((1, 5, 10, 30, 60, 300, 900))


def listen(
    quality: LinkQuality,
    pushes: Sequence[tuple[float, int | None]],
    interval_s: float | None,
    last_s: float | None = None,
) -> float | None:
    """Take pushes (when in s, counter) in turn; return when the last one came."""
    for at_s, counter in pushes:
        gap_s = None if last_s is None else at_s - last_s
        quality.take(START + timedelta(seconds=at_s), gap_s, interval_s, counter)
        last_s = at_s
    return last_s


@pytest.mark.parametrize(
    ("gap_s", "interval_s", "counted", "lost"),
    [
        (10, 10, None, 0),
        (14, 10, None, 0),
        (16, 10, None, 1),
        (60, 10, None, 5),
        (3, 10, None, 0),  # something happened, which is pushed at once
        (60, None, None, 0),  # nobody knows yet how often it sends
        (60, 10, 6, 5),
        (60, 10, 1, 0),  # it sends less often from now on
        (60, 10, 8, 7),  # of those lost, two were pushed for what happened
        (10, 10, 2, 1),
        (60, 10, 1024, 5),  # the node began anew, and leaves numbers out
        (60, 10, 0, 5),  # no counter of this meter's goes back: the time tells
        (60, 10, -3, 5),
    ],
)
def test_what_was_lost_is_told_by_the_counter_where_it_is_likely_and_by_the_time(
    gap_s: float, interval_s: float | None, counted: int | None, lost: int
) -> None:
    assert lost_between(gap_s, interval_s, counted) == lost


def test_before_the_first_push_nothing_is_known() -> None:
    assert LinkQuality().percent is None


@given(
    interval_s=INTERVALS_S,
    jitters=st.lists(st.floats(-0.24, 0.24), min_size=1, max_size=200),
    has_counter=st.booleans(),
)
def test_where_nothing_is_lost_it_is_whole_however_the_pushes_jitter(
    interval_s: int, jitters: list[float], has_counter: bool
) -> None:
    quality = LinkQuality()
    listen(
        quality,
        [
            ((number + jitter) * interval_s, number if has_counter else None)
            for number, jitter in enumerate(jitters)
        ],
        interval_s,
    )
    assert quality.percent == 100


@given(data=st.data(), interval_s=INTERVALS_S, has_counter=st.booleans())
def test_of_a_regular_meter_it_is_the_share_of_what_came_rounded_down(
    data: st.DataObject, interval_s: int, has_counter: bool
) -> None:
    most = min(HOUR_S // interval_s - 60 // interval_s - 1, 200)
    sent = data.draw(st.integers(2, max(most, 2)))
    lost = data.draw(st.sets(st.integers(1, sent - 2))) if sent > 2 else set()
    came = [number for number in range(sent) if number not in lost]
    quality = LinkQuality()
    listen(
        quality,
        [(number * interval_s, number if has_counter else None) for number in came],
        interval_s,
    )
    assert quality.percent == 100 * len(came) // sent


@given(
    steps=st.lists(st.tuples(st.floats(0, 20_000), st.integers(-5, 5000)), min_size=1, max_size=60),
    interval_s=st.none() | INTERVALS_S,
)
def test_it_is_a_share_whatever_comes(
    steps: list[tuple[float, int]], interval_s: int | None
) -> None:
    quality, at_s, counter = LinkQuality(), 0.0, 0
    last_s: float | None = None
    for step_s, counted in steps:
        at_s, counter = at_s + step_s, counter + counted
        last_s = listen(quality, [(at_s, counter)], interval_s, last_s)
        percent = quality.percent
        assert percent is not None
        assert 0 <= percent <= 100


@given(interval_s=st.sampled_from((1, 5, 10, 30, 60)), lost=st.integers(1, 50))
def test_after_an_hour_without_a_loss_it_is_whole_again(interval_s: int, lost: int) -> None:
    quality = LinkQuality()
    end_s = (lost + 1) * interval_s
    last_s = listen(quality, [(0, None), (end_s, None)], interval_s)
    assert quality.percent == 100 * 2 // (2 + lost)
    after = [(end_s + n * interval_s, None) for n in range(1, HOUR_S // interval_s + 2)]
    listen(quality, after, interval_s, last_s)
    assert quality.percent == 100


def test_of_an_absence_the_last_hour_counts_alone() -> None:
    """Ten hours at one a minute: of the last hour's 60 that were due one came, the last."""
    quality = LinkQuality()
    listen(quality, [(0, None), (10 * HOUR_S, None)], 60)
    assert quality.percent == 100 * 1 // 60


def test_after_this_machines_clock_was_set_back_it_is_counted_anew() -> None:
    quality = LinkQuality()
    listen(quality, [(HOUR_S, None), (HOUR_S + 50, None)], 10)
    assert quality.percent == 100 * 2 // 6
    listen(quality, [(0, None), (10, None)], 10)
    assert quality.percent == 100


# --- in Home Assistant ---------------------------------------------------------------------------


async def push(home: Home, count: int) -> None:
    """Let so many pushes come, one each ten seconds."""
    for _ in range(count):
        await home.push()
        await home.wait(10)


async def test_lost_damaged_and_repeated_pushes_are_told_apart(home: Home) -> None:
    home.freezer.move_to("2026-11-20 12:00:00")
    await home.set_up()
    await push(home, 6)
    assert home.state("link_quality") == "100"
    home.meter.push()  # one that never comes
    await home.wait(10)
    frame = home.meter.push()
    await home.push(frame[:-1] + bytes((frame[-1] ^ 1,)))  # one that comes damaged
    await home.wait(10)
    again = home.meter.push()
    await home.push(again)
    await home.push(again)  # over the other channel, too
    await home.wait(10)
    await push(home, 3)
    # 6 + 1 + 3 came of the 12 of two minutes, shown with the last one's end
    assert home.state("link_quality") == str(100 * 10 // 12)


async def test_the_quality_is_of_what_was_heard_since_the_start(home: Home) -> None:
    home.freezer.move_to("2026-11-20 12:00:00")
    await home.set_up()
    await push(home, 6)
    await home.wait(300)
    await home.restart()
    await home.wait(60)
    await push(home, 1)
    assert home.state("link_quality") == "100"


async def test_a_push_that_the_broker_kept_tells_nothing_of_the_link(home: Home) -> None:
    home.broker.keep(home.meter.push_topic, home.meter.push())
    await home.set_up()
    assert home.state("active_power") == "1500.4"
    assert home.entity_id("link_quality") is None
    assert home.entity_id("clock_deviation") is None
