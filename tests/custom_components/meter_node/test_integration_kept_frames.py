"""A bridged meter's past: which kept frames become history, and that none touches an entity."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from homeassistant.core import HomeAssistant
from integration_home import NOON, Home, Meter, RealFrame
from pytest_homeassistant_custom_component.common import async_fire_mqtt_message

from custom_components.meter_node.channel import apdu, hdlc, kamstrup_v0001
from custom_components.meter_node.channel.cosem_time import CosemDateTime
from custom_components.meter_node.channel.kept import (
    KeptFrame,
    KeptRequest,
    KeptResponse,
    fitting,
)
from custom_components.meter_node.channel.reading import Reading
from custom_components.meter_node.kept_frames import OFF_BY, KeptFrames, KeptFramesError, Order
from custom_components.meter_node.meter_time import moment
from custom_components.meter_node.reader import MeterReader

OURS = "custom_components.meter_node"
PROFILES = kamstrup_v0001.SCALER_PROFILES
COPENHAGEN = ZoneInfo("Europe/Copenhagen")
QUARTER = timedelta(minutes=15)


@dataclass
class Bridge:
    """Answers as a bridge does, with frames that a test made."""

    hass: HomeAssistant
    frames: list[KeptFrame] = field(default_factory=list)
    asked: list[KeptRequest] = field(default_factory=list)
    answer: Callable[[KeptRequest], list[bytes]] | None = None

    def keep(self, frame: bytes, arrived: datetime) -> None:
        self.frames.append(KeptFrame(int(arrived.timestamp()), frame))

    def heard(self, topic: str, payload: Any) -> None:
        prefix, _, requester = topic.partition("/kept/request/")
        if not requester:
            return
        request = KeptRequest.from_json(
            payload.encode() if isinstance(payload, str) else bytes(payload)
        )
        self.asked.append(request)
        for response in self.answers(request):
            answer = f"{prefix}/kept/response/{requester}"
            self.hass.loop.call_soon(async_fire_mqtt_message, self.hass, answer, response, 1)

    def answers(self, request: KeptRequest) -> list[bytes]:
        if self.answer is not None:
            return self.answer(request)
        found = [one for one in self.frames if request.first_s <= one.arrived_s < request.end_s]
        return [fitting(request, found).to_bytes()]


@pytest.fixture
def bridge(home: Home, mqtt_client_mock: Any) -> Bridge:
    """A bridge that hears what Home Assistant asks."""
    made = Bridge(home.hass)
    publish = mqtt_client_mock.publish.side_effect

    def published(topic: str, payload: Any, *args: Any, **kwargs: Any) -> Any:
        made.heard(topic, payload)
        return publish(topic, payload, *args, **kwargs) if publish else None

    mqtt_client_mock.publish.side_effect = published
    home.broker.keep(home.meter.hello_topic, home.meter.hello(keeps=130))
    return made


@pytest.fixture(autouse=True)
def _no_pause() -> Any:
    with patch(f"{OURS}.kept_frames.PAUSE_S", 0), patch(f"{OURS}.kept_frames.ANSWER_S", 0.2):
        yield


def kept_of(home: Home) -> KeptFrames:
    kept = home.coordinator.kept_frames
    assert kept is not None
    return kept


async def read(
    home: Home, first: datetime = NOON - timedelta(days=2), last: datetime = NOON
) -> list[tuple[datetime, float]]:
    """The import register as history gets it."""

    async def gather() -> list[tuple[datetime, float]]:
        return [
            (at, values["import_active_energy"])
            async for at, values in kept_of(home).readings(first, last)
        ]

    return await meanwhile(home, gather())


async def meanwhile[T](home: Home, work: Coroutine[Any, Any, T]) -> T:
    """Let time pass until the work is done."""
    task = asyncio.ensure_future(work)
    for _ in range(1000):
        home.freezer.tick(0.02)
        await asyncio.sleep(0)
        if task.done():
            break
    return await task


def push(meter: Meter, at: datetime, wh: int, **more: Any) -> bytes:
    return meter.seal(meter.body({"import_active_energy": wh}, at), **more)


def a_past(home: Home, bridge: Bridge, quarters: int) -> list[tuple[datetime, float]]:
    """A meter's quarter-hours up to noon, 100 Wh each, kept two seconds after their boundary."""
    truth = []
    for number in range(quarters):
        at = NOON - QUARTER * (quarters - number)
        bridge.keep(push(home.meter, at, 100 * number), at + timedelta(seconds=2))
        truth.append((at, 100.0 * number))
    return truth


async def test_kept_frames_are_the_meters_registers_in_order(home: Home, bridge: Bridge) -> None:
    truth = a_past(home, bridge, 96)
    await home.set_up()
    assert await read(home) == truth


async def test_a_long_past_is_asked_for_in_bounded_pieces(home: Home, bridge: Bridge) -> None:
    quarters = 7 * 96
    truth = a_past(home, bridge, quarters)
    await home.set_up()
    assert await read(home, NOON - timedelta(days=8)) == truth
    size = len(bridge.frames[0].frame) + 6
    assert len(bridge.asked) == -(-quarters // ((32_768 - 10 - 16) // size))
    assert len({request.id for request in bridge.asked}) == len(bridge.asked)


async def test_history_moves_neither_counter_nor_entity(home: Home, bridge: Bridge) -> None:
    a_past(home, bridge, 20)
    later = push(home.meter, NOON - QUARTER / 2, 50_000_000, counter=5_000_000)
    bridge.keep(later, NOON - QUARTER / 2)
    await home.set_up()
    await home.push()
    before, counter = home.states(), home.coordinator.invocation_counter
    assert len(await read(home)) == 21
    assert home.states() == before
    assert home.coordinator.invocation_counter == counter
    await home.push(voltage_l1=22_000)
    assert home.state("voltage_l1") == "220.0"
    assert home.state("import_active_energy") == "12345.678"


async def test_only_the_period_asked_for_is_given(home: Home, bridge: Bridge) -> None:
    truth = a_past(home, bridge, 96)
    await home.set_up()
    assert await read(home, truth[10][0], truth[20][0]) == truth[10:21]


async def test_forged_foreign_and_damaged_frames_are_left_out_without_a_warning(
    home: Home, bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    truth = a_past(home, bridge, 8)
    good = bridge.frames[4].frame
    other = Meter(b"MTN\x01\x00\x00\x99\x99", home.meter.keys)
    at = NOON - timedelta(hours=1)
    for bad in (
        good[:-1] + bytes((good[-1] ^ 1,)),
        good[:50],
        b"/KAM5 telegram",
        b"",
        push(other, at, 1),
        home.meter.body({"import_active_energy": 1}, at),
        bytes(4096),
    ):
        bridge.keep(bad, at)
    bridge.frames.sort(key=lambda one: one.arrived_s)
    await home.set_up()
    assert await read(home) == truth
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
    assert home.coordinator.refused == {}


async def test_a_frame_that_is_told_of_another_time_is_refused(home: Home, bridge: Bridge) -> None:
    # What a bridge says of an arrival is not signed: it must fit what the meter says.
    truth = a_past(home, bridge, 4)
    bridge.keep(bridge.frames[0].frame, NOON - timedelta(seconds=5))
    await home.set_up()
    assert await read(home) == truth


async def test_of_a_meter_whose_clock_went_back_only_what_goes_on_is_taken(
    home: Home, bridge: Bridge
) -> None:
    at = NOON - timedelta(hours=1)
    steps = [(0, 100), (10, 110), (5, 120), (12, 130)]  # minutes by the meter's clock, Wh
    for minutes, wh in steps:
        moment = at + timedelta(minutes=minutes)
        bridge.keep(push(home.meter, moment, wh), moment)
    await home.set_up()
    assert [wh for _, wh in await read(home)] == [100, 110, 130]


def test_time_and_counter_rise_together() -> None:
    order = Order()
    assert order.takes(NOON, 10)
    assert not order.takes(NOON, 11)
    assert not order.takes(NOON + QUARTER, 10)
    assert order.takes(NOON + QUARTER, 11)
    assert order.takes(NOON + 2 * QUARTER, None)


async def test_a_bridge_that_does_not_answer_is_asked_again_and_then_said_so(
    home: Home, bridge: Bridge
) -> None:
    bridge.answer = lambda _: []
    await home.set_up()
    with pytest.raises(KeptFramesError) as caught:
        await read(home)
    assert len(bridge.asked) == 3
    assert caught.value.translation_key == "kept_frames_no_answer"


async def test_an_answer_to_another_request_is_none(home: Home, bridge: Bridge) -> None:
    truth = a_past(home, bridge, 2)

    def answer(request: KeptRequest) -> list[bytes]:
        forged = KeptResponse("another", (), request.end_s, last=True).to_bytes()
        return [forged, fitting(request, bridge.frames).to_bytes()]

    bridge.answer = answer
    await home.set_up()
    assert await read(home) == truth


@pytest.mark.parametrize(
    "payload", [b"", b"MNK1", b"\xff" * 40_000, b"MNK1\x00\x00\x00\x00\x00\x01"]
)
async def test_answers_that_are_none_end_in_words(
    home: Home, bridge: Bridge, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    bridge.answer = lambda _: [payload] * 5
    await home.set_up()
    with pytest.raises(KeptFramesError):
        await read(home)
    assert "Traceback" not in caplog.text


async def test_an_answer_that_leads_nowhere_ends_the_reading(home: Home, bridge: Bridge) -> None:
    bridge.answer = lambda request: [
        KeptResponse(request.id, (), request.first_s, last=False).to_bytes()
    ]
    await home.set_up()
    assert await read(home) == []
    assert len(bridge.asked) == 1


async def test_without_a_bridge_that_keeps_there_is_nothing_to_ask(home: Home) -> None:
    await home.set_up()
    assert home.coordinator.kept_frames is None


async def test_leaving_off_in_the_middle_leaves_nothing_subscribed(
    home: Home, bridge: Bridge
) -> None:
    a_past(home, bridge, 96)
    await home.set_up()
    readings = kept_of(home).readings(NOON - timedelta(days=2), NOON)
    await meanwhile(home, anext(readings))  # type: ignore[arg-type]
    await readings.aclose()  # type: ignore[attr-defined]
    await home.settle()
    client = home.hass.data["mqtt"].client
    assert not [one for one in client.subscriptions if "/kept/" in one.topic]


# --- when a frame was sent -----------------------------------------------------------------------


def local(text: str, status: int = 0) -> CosemDateTime:
    return CosemDateTime(datetime.fromisoformat(text), None, status)


@pytest.mark.parametrize(
    ("stands", "arrived", "meant"),
    [
        # Winter and summer, as a meter that follows daylight saving says it.
        ("2026-01-15T12:00:00", "2026-01-15T11:00:02+00:00", "2026-01-15T11:00:00+00:00"),
        ("2026-07-15T12:00:00", "2026-07-15T10:00:02+00:00", "2026-07-15T10:00:00+00:00"),
        # Summer, as one says it that keeps standard time all the year.
        ("2026-07-15T11:00:00", "2026-07-15T10:00:02+00:00", "2026-07-15T10:00:00+00:00"),
        # The night in October has 02:30 twice; the arrival tells them apart.
        ("2026-10-25T02:30:00", "2026-10-25T00:30:02+00:00", "2026-10-25T00:30:00+00:00"),
        ("2026-10-25T02:30:00", "2026-10-25T01:30:02+00:00", "2026-10-25T01:30:00+00:00"),
        # Around the jump in March.
        ("2026-03-29T01:45:00", "2026-03-29T00:45:02+00:00", "2026-03-29T00:45:00+00:00"),
        ("2026-03-29T03:00:00", "2026-03-29T01:00:02+00:00", "2026-03-29T01:00:00+00:00"),
        # A frame of the last second of the first 02:59 arrives in the second 02:00.
        ("2026-10-25T02:59:59", "2026-10-25T01:00:01+00:00", "2026-10-25T00:59:59+00:00"),
        # A clock that is off by twenty minutes.
        ("2026-01-15T12:20:00", "2026-01-15T11:00:00+00:00", "2026-01-15T11:20:00+00:00"),
    ],
)
def test_the_arrival_tells_which_hour_a_local_time_means(
    stands: str, arrived: str, meant: str
) -> None:
    at = datetime.fromisoformat(arrived)
    found = moment(local(stands), at, COPENHAGEN)
    assert found == datetime.fromisoformat(meant)
    assert abs(found - at) <= OFF_BY


def test_a_clock_that_is_off_by_forty_minutes_leaves_open_which_hour_it_tells_of() -> None:
    at = datetime(2026, 1, 15, 11, tzinfo=UTC)
    assert abs(moment(local("2026-01-15T12:40:00"), at, COPENHAGEN) - at) > OFF_BY


def test_a_zone_without_daylight_saving_leaves_nothing_open() -> None:
    ten = datetime(2026, 7, 15, 10, tzinfo=UTC)
    assert moment(local("2026-07-15T10:00:00"), ten, UTC) == ten


def test_a_deviation_needs_no_zone() -> None:
    ten = datetime(2026, 7, 15, 10, tzinfo=UTC)
    assert moment(CosemDateTime.at(ten, COPENHAGEN), ten, UTC) == ten


# --- real frames ---------------------------------------------------------------------------------


def reader(frame: RealFrame, profile: str = "energy_1_wh", title: str = "") -> MeterReader:
    return MeterReader(title or frame.title, frame.keys, PROFILES[profile])


def test_a_real_ciphered_frame_of_any_age_opens_and_moves_nothing(danish: RealFrame) -> None:
    made = reader(danish)
    past = made.read_past(danish.payload)
    assert past.counter == 493_793
    assert past.reading.values["import_active_energy"] == 866_636
    assert made.state.highest is None
    made.read(danish.payload, retained=False, arrived=NOON)
    assert made.read_past(danish.payload).counter == 493_793, "a replay serves history"


@pytest.mark.parametrize(
    ("name", "title", "profile", "wh"),
    [
        ("omnipower_3p_se_hourly_plain", "5706567331323526", "energy_1_wh", 32_014_158),
        ("omnipower_3p_no_hourly_plain", "5706567202753025", "energy_10_wh", 85_823_280),
    ],
)
def test_a_real_plain_hourly_list_serves_history_too(
    real_frames: dict[str, RealFrame], name: str, title: str, profile: str, wh: int
) -> None:
    past = reader(real_frames[name], profile, title).read_past(real_frames[name].payload)
    assert past.counter is None
    assert past.reading.values["import_active_energy"] == wh
    assert isinstance(past.reading, Reading)


def test_the_information_of_a_frame_without_hdlc_is_the_same(danish: RealFrame) -> None:
    bare = hdlc.decode(danish.payload).information[3:]
    assert bare[0] == apdu.GENERAL_GLO_CIPHERING
    assert reader(danish).read_past(bare) == reader(danish).read_past(danish.payload)
