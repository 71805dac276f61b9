"""How far a meter's clock is off: late frames don't hide it, and what is steady stays as it is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from homeassistant.util import dt as dt_util
from hypothesis import given
from hypothesis import strategies as st
from integration_home import THREE_PHASES, Home

from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.clock_deviation import FRAMES_KEPT, KEPT_FOR, ClockDeviation
from custom_components.meter_node.patience import Arrival

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def taking(
    clock: ClockDeviation, frames: Iterable[tuple[float, float]], every_s: float = 10
) -> None:
    """Take frames, one after the other: how far the clock is off, and how late each comes (s)."""
    for number, (off_s, late_s) in enumerate(frames):
        right = START + timedelta(seconds=number * every_s)
        clock.take(Arrival(right + timedelta(seconds=late_s), right + timedelta(seconds=off_s)))


@pytest.mark.parametrize("off_s", [-7200, -45, -1, 0, 1, 45, 7200])
def test_a_clock_is_off_by_its_time_less_that_of_arrival(off_s: int) -> None:
    clock = ClockDeviation()
    taking(clock, [(off_s, 0)])
    assert (clock.off_s, clock.whole_s()) == (off_s, off_s)


def test_before_a_frame_nothing_is_known() -> None:
    clock = ClockDeviation()
    clock.take(Arrival(START, None))
    assert (clock.off_s, clock.whole_s()) == (None, None)


@given(
    off_s=st.integers(-3600, 3600),
    late_s=st.lists(st.floats(0, 59), min_size=FRAMES_KEPT - 1, max_size=FRAMES_KEPT - 1),
    on_time=st.integers(0, FRAMES_KEPT - 1),
)
def test_one_frame_of_the_last_that_came_in_time_is_enough(
    off_s: int, late_s: list[float], on_time: int
) -> None:
    clock = ClockDeviation()
    late_s.insert(on_time, 0)
    taking(clock, [(off_s, late) for late in late_s], every_s=0)
    assert clock.off_s == pytest.approx(off_s, abs=1e-5)


def test_a_clock_that_was_set_is_believed_when_all_frames_say_so() -> None:
    """At once where it was slow, which only a frame in time can tell; else after five."""
    clock = ClockDeviation()
    taking(clock, [(-60, 0)] * 5 + [(0, 0)])
    assert clock.off_s == 0
    clock = ClockDeviation()
    taking(clock, [(60, 0)] * 5 + [(0, 0)] * (FRAMES_KEPT - 1))
    assert clock.off_s == 60
    clock = ClockDeviation()
    taking(clock, [(60, 0)] * 5 + [(0, 0)] * FRAMES_KEPT)
    assert clock.off_s == 0


def test_of_a_meter_that_sends_seldom_the_last_frame_counts() -> None:
    clock = ClockDeviation()
    taking(clock, [(60, 0), (0, 0)], every_s=KEPT_FOR.total_seconds() + 1)
    assert clock.off_s == 0


def shown(off_s: list[float]) -> set[int | None]:
    """Return the numbers shown for frames every ten seconds, off by so much."""
    clock, found = ClockDeviation(), set()
    for number, off in enumerate(off_s):
        at = START + timedelta(seconds=10 * number)
        clock.take(Arrival(at, at + timedelta(seconds=off)))
        found.add(clock.whole_s())
    return found


@given(st.lists(st.floats(1.6, 2.4), min_size=1, max_size=50))
def test_a_steady_deviation_stays_the_same_number(off_s: list[float]) -> None:
    """Within ±0.4 s of 2 s."""
    assert shown(off_s) == {2}


@given(st.lists(st.floats(2.1, 2.9), min_size=1, max_size=50))
def test_a_deviation_about_half_a_second_does_not_flicker(off_s: list[float]) -> None:
    assert shown(off_s) in ({2}, {3})


# --- in Home Assistant ---------------------------------------------------------------------------


async def push(home: Home, off_s: float, *, zoned: bool = True, lost: bool = False) -> None:
    """One push by a clock that is off, ten seconds after the last."""
    right = dt_util.utcnow() + timedelta(seconds=off_s)
    body = home.meter.body(THREE_PHASES, right)
    said = CosemDateTime.at(right, UTC, clock_invalid=lost).to_bytes()
    if not zoned:
        said = said[:9] + bytes.fromhex("8000") + said[11:]
    known = CosemDateTime.at(right, UTC).to_bytes()
    assert known in body
    await home.push(home.meter.seal(body.replace(known, said)))
    await home.wait(10)


async def test_the_deviation_is_shown_once_a_minute(home: Home) -> None:
    home.freezer.move_to("2026-11-20 12:00:00")
    await home.set_up()
    shown = []
    for off_s in [0] * 6 + [8] * 6:
        await push(home, off_s)
        shown.append(home.state("clock_deviation"))
    assert shown[0] == "0"
    assert shown[-1] == "8"
    assert len(set(shown)) == 2
    assert shown.count("8") <= 2, "with the last push of the minute, and not before"
    state = home.shown("clock_deviation")
    assert state is not None
    assert state.attributes["unit_of_measurement"] == "s"
    assert state.attributes["device_class"] == "duration"


async def test_a_meter_that_does_not_say_its_zone_has_no_deviation(home: Home) -> None:
    await home.hass.config.async_set_time_zone("UTC")
    await home.set_up()
    for _ in range(7):
        await push(home, 5, zoned=False)
    assert home.entity_id("clock_deviation") is None
    assert home.entity_id("link_quality") is not None


async def test_a_clock_that_is_not_valid_deviates_from_nothing(home: Home) -> None:
    await home.set_up()
    await push(home, 2)
    assert home.state("clock_deviation") == "2"
    for _ in range(7):
        await push(home, 2, lost=True)
    assert home.state("clock_deviation") == "unknown"
