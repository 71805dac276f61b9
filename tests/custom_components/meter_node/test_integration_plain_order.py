"""Which plain frames pass: their own times and digests stand where others have a counter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from integration_home import Home, RealFrame
from test_integration_issues import minutes, raised
from test_integration_raw_topic import hear, home_with

from custom_components.meter_node.channel import frames
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.security import RefusedError
from custom_components.meter_node.plain_order import REMEMBERED, PlainOrder, Sent

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
TEN_S = timedelta(seconds=10)
HOUR = timedelta(hours=1)
# 12:00 UTC on 20 November 2026 is 13:00 in Copenhagen.
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSED = "passed"


@dataclass
class Line:
    """A meter's frames on their way: each tells a wall's time and a number of its own."""

    order: PlainOrder = field(default_factory=PlainOrder)
    says_utc: bool = False
    frames: int = 0

    def told(self, moment: datetime, zone: ZoneInfo = COPENHAGEN) -> CosemDateTime:
        time = CosemDateTime.at(moment, zone)
        return time if self.says_utc else CosemDateTime(time.local, None)

    def hear(
        self,
        time: CosemDateTime | None,
        arrived: datetime,
        *,
        frame: bytes | None = None,
        retained: bool = False,
    ) -> str:
        """Return what became of a frame, which is one of its own but where it is given."""
        self.frames += 1
        data = frame or b"frame %d" % self.frames
        try:
            self.order.take(data, time, arrived.astimezone(COPENHAGEN), retained=retained)
        except RefusedError as error:
            return str(error.reason)
        return PASSED

    def good(self, moment: datetime, off: timedelta = timedelta(0)) -> str:
        """Hear a frame at once when it was sent, by a clock that is off."""
        return self.hear(self.told(moment + off), moment)


def every_ten_seconds(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += TEN_S


@pytest.fixture(params=[False, True], ids=["wall time alone", "with its deviation"])
def line(request: pytest.FixtureRequest) -> Line:
    return Line(says_utc=request.param)


def test_frames_in_their_order_pass_whatever_the_gap(line: Line) -> None:
    gaps_s = (0, 5, 10, 3600, 86_400 * 40)
    assert {line.good(NOON + timedelta(seconds=gap_s)) for gap_s in gaps_s} == {PASSED}


def test_the_same_frame_passes_once_of_the_last_hour(line: Line) -> None:
    first = line.told(NOON)
    assert line.hear(first, NOON, frame=b"first") == PASSED
    for moment in every_ten_seconds(NOON + TEN_S, NOON + HOUR):
        assert line.good(moment) == PASSED
    assert line.hear(first, NOON + HOUR, frame=b"first") == "duplicate"


def test_no_more_frames_are_remembered_than_an_hour_needs(line: Line) -> None:
    for moment in every_ten_seconds(NOON, NOON + 3 * HOUR):
        line.good(moment)
    assert len(line.order._digests) == REMEMBERED > 3600 / 10


@pytest.mark.parametrize("ago", [TEN_S, HOUR, timedelta(days=400)])
def test_an_older_frame_that_was_not_there_yet_is_refused_as_often_as_it_is_sent(
    line: Line, ago: timedelta
) -> None:
    line.good(NOON)
    old = line.told(NOON - ago)
    for second in range(1, 10):
        arrived = NOON + timedelta(seconds=second)
        assert line.hear(old, arrived, frame=b"old") == "replay"
    assert line.good(NOON + TEN_S) == PASSED


def test_a_recording_that_is_played_at_once_is_refused_whole(line: Line) -> None:
    line.good(NOON)
    recorded = [line.told(moment) for moment in every_ten_seconds(NOON - 2 * HOUR, NOON - HOUR)]
    assert {line.hear(time, NOON + timedelta(seconds=1)) for time in recorded} == {"replay"}


def test_a_recording_that_is_played_beside_the_meter_is_refused_whole(line: Line) -> None:
    for moment in every_ten_seconds(NOON, NOON + HOUR):
        assert line.good(moment) == PASSED
        old = line.told(moment - timedelta(days=1))
        assert line.hear(old, moment + timedelta(seconds=4)) == "replay"


@pytest.mark.parametrize("back", [TEN_S, timedelta(minutes=7), HOUR, timedelta(days=9000)])
def test_a_clock_that_was_set_back_costs_one_frame(line: Line, back: timedelta) -> None:
    line.good(NOON)
    became = [line.good(NOON + count * TEN_S, -back) for count in range(1, 6)]
    if back == TEN_S:  # the very second once more is no step back
        assert became == [PASSED] * 5
    else:
        assert became == ["replay", PASSED, PASSED, PASSED, PASSED]


@pytest.mark.parametrize("on", [timedelta(minutes=1), timedelta(days=9000)])
def test_a_clock_that_was_set_on_costs_none(line: Line, on: timedelta) -> None:
    line.good(NOON)
    assert line.good(NOON + TEN_S, on) == PASSED


def test_one_frame_from_the_future_does_not_lock_the_meter_out(line: Line) -> None:
    line.good(NOON)
    line.good(NOON + TEN_S, timedelta(days=9000))
    assert [line.good(NOON + count * TEN_S) for count in (2, 3, 4)] == ["replay", PASSED, PASSED]


def test_a_reader_that_hands_frames_over_by_the_minute_is_not_locked_out_by_a_set_clock(
    line: Line,
) -> None:
    """Six frames come at once: only from one bundle to the next does as much time go by."""
    line.good(NOON)
    back = timedelta(minutes=7)
    became: list[str] = []
    for bundle in range(1, 4):
        arrived = NOON + bundle * timedelta(minutes=1)
        for count in range(6, 0, -1):
            sent = arrived - count * TEN_S - back
            became.append(line.hear(line.told(sent), arrived))
    assert became == ["replay"] * 6 + [PASSED] * 12


def test_two_lists_that_are_made_at_once_pass_in_either_order(line: Line) -> None:
    line.good(NOON)
    assert line.hear(line.told(NOON - timedelta(seconds=2)), NOON) == PASSED
    assert line.hear(line.told(NOON - timedelta(seconds=3)), NOON) == "replay"


def test_frames_that_do_not_say_when_they_were_sent_pass_and_change_nothing(line: Line) -> None:
    """A reader took the time away, and in the house nothing changes: each is like the last."""
    for count in range(5):
        assert line.hear(None, NOON + count * TEN_S, frame=b"0 W, 230 V") == PASSED
    line.good(NOON + HOUR)
    assert line.hear(None, NOON + HOUR, frame=b"0 W, 230 V") == PASSED
    assert line.good(NOON) == "replay"


def test_what_a_broker_kept_is_no_arrival(line: Line) -> None:
    assert line.hear(line.told(NOON - HOUR), NOON, retained=True) == PASSED
    assert line.order.last is None
    line.good(NOON)
    assert line.hear(line.told(NOON - TEN_S), NOON + TEN_S, retained=True) == "duplicate"
    assert line.hear(line.told(NOON - 2 * TEN_S), NOON + TEN_S) == "replay"
    # One that was kept shows nothing of a clock.
    assert line.hear(line.told(NOON - TEN_S), NOON + 2 * TEN_S, retained=True) == "duplicate"


# --- the night in autumn: 01:00 UTC on 25 October 2026, and it is 2 o'clock again -----------------

TURN = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize("off_s", [0, -45, 45, -14 * 60, 14 * 60])
def test_no_frame_is_lost_when_the_clocks_go_back(line: Line, off_s: int) -> None:
    off = timedelta(seconds=off_s)
    became = {
        line.good(moment, off) for moment in every_ten_seconds(TURN - 2 * HOUR, TURN + 2 * HOUR)
    }
    assert became == {PASSED}


@pytest.mark.parametrize("off_s", [0, -45, 45])
def test_no_frame_is_lost_when_the_clocks_go_on(line: Line, off_s: int) -> None:
    turn = datetime(2027, 3, 28, 1, 0, tzinfo=UTC)
    off = timedelta(seconds=off_s)
    moments = every_ten_seconds(turn - HOUR, turn + HOUR)
    assert {line.good(moment, off) for moment in moments} == {PASSED}


@pytest.mark.parametrize("zone", ["Etc/GMT-1", "UTC"])
def test_a_meter_that_keeps_one_time_all_the_year_loses_none(line: Line, zone: str) -> None:
    told = [
        line.hear(line.told(moment, ZoneInfo(zone)), moment)
        for moment in every_ten_seconds(TURN - 2 * HOUR, TURN + 2 * HOUR)
    ]
    assert set(told) == {PASSED}


def test_hourly_lists_alone_lose_none_either(line: Line) -> None:
    hours = [TURN + count * HOUR + timedelta(seconds=5) for count in range(-4, 5)]
    assert {line.good(hour) for hour in hours} == {PASSED}


def test_a_reader_that_hands_frames_over_by_the_minute_loses_none_either(line: Line) -> None:
    became = set()
    for bundle in range(-30, 30):
        arrived = TURN + bundle * timedelta(minutes=1)
        became |= {
            line.hear(line.told(arrived - count * TEN_S), arrived) for count in range(6, 0, -1)
        }
    assert became == {PASSED}


def test_the_first_of_both_hours_does_not_come_again_in_the_second(line: Line) -> None:
    """All its frames are remembered: by the time on the wall they are of a later one."""
    heard = [*every_ten_seconds(TURN - HOUR, TURN)]
    for moment in heard:
        assert line.hear(line.told(moment), moment, frame=moment.isoformat().encode()) == PASSED
    for moment in every_ten_seconds(TURN, TURN + HOUR):
        assert line.good(moment) == PASSED
        first = moment - HOUR + timedelta(minutes=20)
        if first in heard:
            frame = first.isoformat().encode()
            assert line.hear(line.told(first), moment, frame=frame) == "duplicate"


# --- over a restart -------------------------------------------------------------------------------


def test_an_older_frame_is_older_after_a_restart_too(line: Line) -> None:
    line.good(NOON)
    assert line.order.last is not None
    anew = Line(PlainOrder(Sent.from_json(line.order.last.to_json())), line.says_utc)
    assert anew.good(NOON + HOUR, -HOUR - TEN_S) == "replay"
    assert anew.good(NOON + HOUR + TEN_S) == PASSED
    assert Sent.from_json({}) is None


# --- in a home ------------------------------------------------------------------------------------

NUMBER = "5706567331323526"
REGISTER_WH, POWER_W = 32_014_158, 2269


@pytest.fixture
def hourly(real_frames: dict[str, RealFrame]) -> bytes:
    """The capture of an hourly list: 22:00:35 on 18 February 2022."""
    return frames.apdu_of(real_frames["omnipower_3p_se_hourly_plain"].payload)


def later(frame: bytes, hours: int, used_wh: int, power_w: int) -> bytes:
    """The same list so many hours later, with another register and power."""
    at = datetime(2022, 2, 18, 22, 0, 35, tzinfo=UTC)
    for value, other in ((REGISTER_WH, REGISTER_WH + used_wh), (POWER_W, power_w)):
        assert frame.count(value.to_bytes(4)) == 1
        frame = frame.replace(value.to_bytes(4), other.to_bytes(4))
    # Year to second, both where the notification and where the list's clock tells it.
    bare = CosemDateTime(at.replace(tzinfo=None), None).to_bytes()[:8]
    told = CosemDateTime((at + hours * HOUR).replace(tzinfo=None), None).to_bytes()[:8]
    assert frame.count(bare) == 2
    return frame.replace(bare, told)


@pytest.fixture
async def swedish(home: Home) -> Home:
    await home.hass.config.async_set_time_zone("Europe/Stockholm")
    home.freezer.move_to(datetime(2022, 2, 18, 21, 0, 35, tzinfo=UTC))
    return await home_with(home, NUMBER, "energy_1_wh", None)


async def test_a_plain_frame_that_is_sent_again_moves_nothing(swedish: Home, hourly: bytes) -> None:
    frames_of = [later(hourly, hours, 500 * hours, 100 + hours) for hours in range(3)]
    for frame in frames_of:
        await hear(swedish, frame)
        await swedish.wait(3600)
    before = swedish.states()
    assert swedish.state("import_active_energy") == "32015.158"  # 32 014.158 + 2 x 0.5
    for frame in (*frames_of, later(hourly, 1, 501, 9)):
        await hear(swedish, frame)
        await swedish.wait(0)
    assert swedish.coordinator.refused == {"duplicate": 3, "replay": 1}
    assert swedish.coordinator.totals.fallen == {}
    assert {key: value for key, value in swedish.states().items() if value != before[key]} == {}


async def test_an_older_plain_frame_is_refused_after_a_restart(
    swedish: Home, hourly: bytes
) -> None:
    for hours in range(2):
        await hear(swedish, later(hourly, hours, 500 * hours, 100 + hours))
        await swedish.wait(3600)
    await swedish.restart()
    await hear(swedish, later(hourly, 0, 1, 7))
    assert swedish.coordinator.refused == {"replay": 1}
    await hear(swedish, later(hourly, 2, 1000, 102))
    assert swedish.state("active_power") == "102.0"


async def test_a_total_of_a_plain_meter_has_fallen_once_three_frames_say_so(
    swedish: Home, hourly: bytes
) -> None:
    await hear(swedish, hourly)
    for hours, used_wh in ((1, -9000), (2, -9500), (3, -9400), (4, -9300)):
        await swedish.wait(3600)
        await hear(swedish, later(hourly, hours, used_wh, 100))
        await minutes(swedish, 1)
        # The second frame contradicts the first, and is the first of three.
        assert ("total_fell" in raised(swedish)) is (hours == 4)
    assert swedish.state("import_active_energy") == "32014.158"
    swedish.coordinator.async_count_on()
    await swedish.wait(3600)
    await hear(swedish, later(hourly, 5, -9200, 100))  # 100 Wh more
    assert swedish.state("import_active_energy") == "32014.258"


async def test_one_lower_frame_is_not_counted_on_from(swedish: Home, hourly: bytes) -> None:
    await hear(swedish, hourly)
    await hear(swedish, later(hourly, 1, -9000, 100))
    swedish.coordinator.async_count_on()
    await hear(swedish, later(hourly, 2, 1000, 100))
    assert swedish.state("import_active_energy") == "32015.158"
    assert swedish.coordinator.totals.base("import_active_energy") == 0


async def test_a_house_in_which_nothing_changes_is_there_though_no_frame_tells_a_time(
    home: Home, real_frames: dict[str, RealFrame]
) -> None:
    """Its reader takes the APDU's head away, which alone holds a ten-second list's time."""
    whole = frames.apdu_of(real_frames["omnipower_3p_se_10s_plain"].payload)
    alone = whole[6 + whole[5] :]
    await home_with(home, "5706567326590407", "energy_1_wh", None)
    for _ in range(6):
        await hear(home, alone)
        await home.wait(10)
    assert home.coordinator.available
    assert home.coordinator.accepted == 6
