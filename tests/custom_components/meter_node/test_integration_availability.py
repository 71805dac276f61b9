"""Whether a meter is there, and when Home Assistant asks for new keys."""

from __future__ import annotations

import json
import logging

import pytest
from integration_home import STATUS_TOPIC, Home, Meter

from custom_components.meter_node.channel.hello import node_status_topic
from custom_components.meter_node.channel.security import Keys

OTHER = Keys(b"\xaa" * 16, b"\xbb" * 16)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.meter_node")
        and record.levelno == logging.INFO
        and "available" in record.getMessage()
    ]


def sealed_otherwise(home: Home) -> bytes:
    """A frame of the meter under keys that Home Assistant does not have."""
    return home.meter.seal(home.meter.body({}), keys=OTHER)


async def test_a_meter_is_gone_after_three_missed_pushes_and_not_before(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(29)
    assert home.state("voltage_l1") == "230.12"
    await home.wait(1.1)
    assert home.state("voltage_l1") == "unavailable"


async def test_each_good_frame_begins_the_three_intervals_anew(home: Home) -> None:
    await home.set_up()
    for _ in range(3):
        await home.push()
        await home.wait(25)
        assert home.state("voltage_l1") == "230.12"


async def test_refused_frames_do_not_keep_a_meter_available(home: Home) -> None:
    await home.set_up()
    await home.push()
    for _ in range(4):
        await home.wait(8)
        await home.push(b"noise")
    assert home.state("voltage_l1") == "unavailable"


async def test_a_meter_is_back_with_its_next_good_frame(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    await home.push()
    assert home.state("voltage_l1") == "230.12"


async def test_going_and_coming_back_are_told_once_each(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    await home.wait(31)
    await home.push()
    await home.push()
    assert told(caplog) == [
        "382M 4711 is unavailable: no good frame came for 30 s",
        "382M 4711 is available again",
    ]


async def test_the_interval_is_the_meters_own(home: Home) -> None:
    home.broker.keep(home.meter.hello_topic, home.meter.hello(push_interval=60))
    await home.set_up()
    await home.push()
    await home.wait(179)
    assert home.state("voltage_l1") == "230.12"
    await home.wait(2)
    assert home.state("voltage_l1") == "unavailable"


async def send_every(home: Home, seconds: int, times: int) -> list[str | None]:
    """Send good frames; return what is shown just before each next one."""
    shown = []
    for _ in range(times):
        await home.push()
        await home.wait(seconds - 0.05)  # less what it takes to arrive
        shown.append(home.state("voltage_l1"))
    return shown


async def test_a_longer_interval_counts_at_once(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(20)
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=20))
    await home.wait(39)
    assert home.state("voltage_l1") == "230.12"
    await home.wait(2)
    assert home.state("voltage_l1") == "unavailable"


async def test_a_shorter_interval_counts_when_frames_come_so(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=2))
    await home.wait(29)
    assert home.state("voltage_l1") == "230.12"
    await send_every(home, 2, 6)
    await home.wait(4.5)  # 6 s after the last
    assert home.state("voltage_l1") == "unavailable"


async def test_a_hello_cannot_hide_a_meters_death_for_hours(home: Home) -> None:
    await home.set_up()
    await send_every(home, 10, 3)
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=3600))
    await home.wait(181)  # 3 × 6 × 10 s after the last frame, with the 10 s before the hello
    assert home.state("voltage_l1") == "unavailable"


async def test_hellos_do_not_put_the_end_of_patience_off(home: Home) -> None:
    await home.set_up()
    await home.push()
    for interval in (9, 10, 9, 10, 9, 10):
        await home.say(home.meter.hello_topic, home.meter.hello(push_interval=interval))
        await home.wait(5.1)
    assert home.state("voltage_l1") == "unavailable"


async def test_a_hello_does_not_bring_a_silent_meter_back(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(31)
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=3600))
    assert home.state("voltage_l1") == "unavailable"


async def test_the_observed_interval_is_known_after_a_restart(home: Home) -> None:
    await home.set_up()
    await send_every(home, 60, 3)
    assert home.coordinator.observed_interval_s == 60
    await home.restart()
    await home.push()
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=1))
    await home.wait(179)
    assert home.state("voltage_l1") == "230.12"


async def test_a_meter_is_followed_to_another_interval(home: Home) -> None:
    """By its hello up to six times as long, by its frames to any."""
    await home.set_up()
    await send_every(home, 10, 6)
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=60))
    assert await send_every(home, 60, 6) == ["230.12"] * 6
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=3600))
    await send_every(home, 3600, 3)
    assert await send_every(home, 3600, 3) == ["230.12"] * 3
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=10))
    await send_every(home, 10, 4)
    await home.wait(21)
    assert home.state("voltage_l1") == "unavailable"


async def test_frames_from_the_brokers_memory_do_not_count_for_the_interval(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(4)
    home.broker.hand_over(home.meter.push_topic, home.meter.push())
    await home.settle()
    await home.wait(6)
    await home.push()
    assert home.coordinator.accepted == 3
    assert home.coordinator.observed_interval_s is None  # one gap, not two
    await home.wait(10)
    await home.push()
    assert home.coordinator.observed_interval_s == 10


async def test_the_interval_is_known_after_a_restart_without_a_hello(home: Home) -> None:
    home.broker.keep(home.meter.hello_topic, home.meter.hello(push_interval=60))
    await home.set_up()
    del home.broker.retained[home.meter.hello_topic]
    await home.restart()
    assert home.coordinator.hello is None
    assert home.coordinator.push_interval_s == 60


async def test_a_node_that_says_offline_is_believed_at_once(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    await home.say(STATUS_TOPIC, "offline")
    assert home.state("voltage_l1") == "unavailable"
    await home.say(STATUS_TOPIC, "online")
    assert home.state("voltage_l1") == "230.12"
    assert told(caplog) == [
        "382M 4711 is unavailable: its node is offline",
        "382M 4711 is available again",
    ]


async def test_a_live_frame_outdoes_a_stale_offline(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.say(STATUS_TOPIC, "offline")
    await home.push(voltage_l1=22_900)
    assert home.state("voltage_l1") == "229.0"


async def test_online_alone_does_not_bring_a_silent_meter_back(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.say(STATUS_TOPIC, "offline")
    await home.wait(31)
    await home.say(STATUS_TOPIC, "online")
    assert home.state("voltage_l1") == "unavailable"


@pytest.mark.parametrize("first", ["frame", "status"])
async def test_a_kept_frame_does_not_outdo_offline(home: Home, first: str) -> None:
    home.broker.keep(STATUS_TOPIC, "offline")
    if first == "frame":
        home.broker.keep(home.meter.push_topic, home.meter.push())
    await home.set_up()
    if first == "status":
        home.broker.hand_over(home.meter.push_topic, home.meter.push())
        await home.settle()
    assert home.coordinator.data.values["voltage_l1"] == 230.12
    assert home.state("voltage_l1") == "unavailable"


async def test_a_status_that_is_neither_is_passed_over(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.say(STATUS_TOPIC, "perhaps")
    assert home.state("voltage_l1") == "230.12"


async def test_the_status_is_followed_to_another_node(home: Home) -> None:
    elsewhere = node_status_topic("cellar")
    await home.set_up()
    await home.push()
    await home.say(home.meter.hello_topic, home.meter.hello(status_topic=elsewhere))
    await home.say(STATUS_TOPIC, "offline")
    assert home.state("voltage_l1") == "230.12"
    await home.say(elsewhere, "offline")
    assert home.state("voltage_l1") == "unavailable"


@pytest.mark.parametrize("topic", ["/" * 300, "homeassistant/status"])
async def test_no_hello_has_home_assistant_listen_beside_the_meters_topics(
    home: Home, topic: str
) -> None:
    await home.set_up()
    await home.push()
    before = set(home.broker.topics)
    await home.say(home.meter.hello_topic, home.meter.hello(status_topic=topic))
    assert home.broker.topics == before


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        json.dumps({"system_title": "4d544e0100004711"}),
        Meter(b"MTN\x01\x00\x00\x99\x99").hello(push_interval=1),
        Meter().hello(push_interval=1, status_topic="\ud800"),
        Meter().hello(push_interval=1, system_title="98764711"),
    ],
)
async def test_what_is_no_hello_of_this_meter_changes_nothing(
    home: Home, payload: str, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push()
    await home.say(home.meter.hello_topic, payload)
    await home.wait(15)
    assert home.state("voltage_l1") == "230.12"
    assert "Traceback" not in caplog.text


# --- new keys ------------------------------------------------------------------------------------


async def test_new_keys_are_asked_for_after_three_intervals_without_a_good_frame(
    home: Home,
) -> None:
    await home.set_up()
    await home.push()
    for _ in range(2):
        await home.wait(10)
        await home.push(sealed_otherwise(home))
    await home.wait(9)
    assert home.reauthentications() == []
    await home.wait(2)
    assert len(home.reauthentications()) == 1


async def test_keys_that_never_fitted_are_asked_for_as_well(home: Home) -> None:
    home.meter.keys = OTHER
    await home.set_up()
    await home.push()
    assert home.coordinator.refused == {"wrong_keys": 1}
    await home.wait(31)
    assert len(home.reauthentications()) == 1


async def test_forged_frames_among_good_ones_ask_for_nothing(home: Home) -> None:
    await home.set_up()
    for _ in range(5):
        await home.push(sealed_otherwise(home))
        await home.push()
        await home.wait(10)
    assert home.reauthentications() == []


async def test_a_forged_hello_among_forged_frames_moves_nothing(home: Home) -> None:
    """The good frames come each ten seconds, and that is what counts."""
    await home.set_up()
    for _ in range(6):
        await home.push()
        await home.say(home.meter.hello_topic, home.meter.hello(push_interval=1))
        for _ in range(19):
            await home.push(sealed_otherwise(home))
            await home.wait(0.5)
            assert home.state("voltage_l1") == "230.12"
    assert home.reauthentications() == []


async def test_forged_frames_at_a_meters_end_ask_for_keys_after_its_own_three_intervals(
    home: Home,
) -> None:
    await home.set_up()
    await send_every(home, 60, 3)
    await home.say(home.meter.hello_topic, home.meter.hello(push_interval=1))
    await home.push(sealed_otherwise(home))
    await home.wait(119)  # 179 s after the last good frame
    assert home.reauthentications() == []
    await home.wait(2)
    assert len(home.reauthentications()) == 1


async def test_a_refusal_before_the_last_good_frame_does_not_count(home: Home) -> None:
    await home.set_up()
    await home.push(sealed_otherwise(home))
    await home.push()
    await home.wait(31)
    assert home.reauthentications() == []


async def test_silence_and_noise_ask_for_nothing(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(20)
    await home.push(b"noise")
    await home.wait(60)
    assert home.reauthentications() == []


async def test_one_forged_frame_after_a_long_silence_is_given_three_intervals(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.wait(600)
    await home.push(sealed_otherwise(home))
    await home.wait(29)
    assert home.reauthentications() == []
    await home.wait(2)
    assert len(home.reauthentications()) == 1


async def test_new_keys_are_asked_for_once(home: Home) -> None:
    await home.set_up()
    for _ in range(10):
        await home.push(sealed_otherwise(home))
        await home.wait(10)
    assert len(home.reauthentications()) == 1


async def test_an_update_by_hand_shows_what_was_pushed(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.coordinator.async_refresh()
    assert home.state("voltage_l1") == "230.12"
