"""Plain frames that come late or twice: they move nothing, and a clock that was set back does not
end a meter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from homeassistant.util import dt as dt_util
from integration_home import NOON, Home, RealFrame
from test_integration_raw_topic import hear, home_with

from custom_components.meter_node.channel import frames
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.security import Refusal, RefusedError
from custom_components.meter_node.plain_order import BELIEVED, REMEMBERED, PlainOrder

TITLE = "5706567331323526"
WH, WATTS = 32_014_158, 2_269  # as the capture has them
CLOCK = bytes.fromhex("07e3")  # the year 2019


class Plain:
    """The Swedish meter's hourly list, with other registers and another time."""

    def __init__(self, capture: RealFrame) -> None:
        self._data = frames.apdu_of(capture.payload)
        header = self._data[5]
        assert header == 12
        self._time = self._data[6:18]

    def frame(self, at: datetime, wh: int, watts: int) -> bytes:
        """One list, whose own time stands in its head and in it."""
        zone = dt_util.get_default_time_zone()
        moment = CosemDateTime(at.astimezone(zone).replace(tzinfo=None), None).to_bytes()
        data = self._data.replace(self._time, moment)
        assert data.count(moment) == 2
        data = data.replace(WH.to_bytes(4), wh.to_bytes(4))
        return data.replace(WATTS.to_bytes(4), watts.to_bytes(4))


@pytest.fixture
def plain(real_frames: dict[str, RealFrame]) -> Plain:
    return Plain(real_frames["omnipower_3p_se_hourly_plain"])


@pytest.fixture
async def swedish(home: Home) -> Home:
    return await home_with(home, TITLE, "energy_1_wh", None)


def shown(home: Home) -> tuple[str | None, str | None]:
    return home.state("import_active_energy"), home.state("active_power")


async def test_a_plain_frame_that_is_sent_again_moves_nothing(swedish: Home, plain: Plain) -> None:
    first = plain.frame(NOON, 1_000_000, 500)
    await hear(swedish, first)
    await hear(swedish, plain.frame(NOON, 1_000_400, 700))  # in the same second: another list
    for _ in range(5):
        await hear(swedish, first)
    assert shown(swedish) == ("1000.4", "700.0")
    assert swedish.coordinator.refused == {"duplicate": 5}
    assert swedish.coordinator.fallen == {}


async def test_an_older_plain_frame_moves_nothing(swedish: Home, plain: Plain) -> None:
    """It was kept somewhere, and comes for the first time."""
    await hear(swedish, plain.frame(NOON, 1_000_400, 700))
    for minutes in range(5, 0, -1):
        await hear(swedish, plain.frame(NOON - timedelta(minutes=minutes), 1_000_000, 500))
    assert shown(swedish) == ("1000.4", "700.0")
    assert swedish.coordinator.refused == {"replay": 5}
    assert swedish.coordinator.fallen == {}


async def test_a_clock_that_was_set_back_is_followed_after_ten_minutes(
    swedish: Home, plain: Plain
) -> None:
    await hear(swedish, plain.frame(NOON, 1_000_000, 500))
    late = timedelta(minutes=30)
    for minute in range(1, 12):
        await swedish.wait(60)
        sent = NOON + timedelta(minutes=minute) - late
        await hear(swedish, plain.frame(sent, 1_000_000 + minute, 500 + minute))
    assert shown(swedish) == ("1000.011", "511.0")
    assert swedish.coordinator.refused == {"replay": 9}  # of the first ten minutes


def local(hour: int, minute: int, day: int = 25) -> CosemDateTime:
    return CosemDateTime(datetime(2026, 10, day, hour, minute), None)  # noqa: DTZ001


def test_the_hour_that_comes_twice_in_autumn_is_no_clock_that_was_set_back() -> None:
    """Copenhagen, 25 October 2026: after 2:59:50 of summer comes 2:00:00, at 1:00 UTC."""
    order, zone = PlainOrder(), ZoneInfo("Europe/Copenhagen")
    begun = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
    for number in range(120):
        at = begun + timedelta(seconds=10 * number)
        wall = at.astimezone(zone).replace(tzinfo=None)
        order.take(bytes([number]), CosemDateTime(wall, None), at.astimezone(zone))


def test_a_frame_without_a_time_may_hold_the_same_values_again_but_not_at_once() -> None:
    order = PlainOrder()
    for data in (b"200 W", b"201 W", b"200 W"):
        order.take(data, None, NOON)
    with pytest.raises(RefusedError) as refused:
        order.take(b"200 W", None, NOON)
    assert refused.value.reason == Refusal.DUPLICATE


def test_so_many_frames_are_known_again_and_no_more() -> None:
    order = PlainOrder()
    for number in range(REMEMBERED + 1):
        order.take(number.to_bytes(2), local(12, 0), None)
    with pytest.raises(RefusedError):
        order.take((1).to_bytes(2), local(12, 0), None)
    order.take((0).to_bytes(2), local(12, 0), None)


@pytest.mark.parametrize(
    ("silence", "taken"), [(BELIEVED - timedelta(seconds=1), False), (BELIEVED, True)]
)
def test_an_older_time_is_believed_when_nothing_newer_came_for_ten_minutes(
    silence: timedelta, taken: bool
) -> None:
    order = PlainOrder()
    order.take(b"a", local(12, 0, 20), NOON)
    if taken:
        order.take(b"b", local(11, 0, 20), NOON + silence)
    else:
        with pytest.raises(RefusedError) as refused:
            order.take(b"b", local(11, 0, 20), NOON + silence)
        assert refused.value.reason == Refusal.REPLAY
