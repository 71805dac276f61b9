"""Ways to a meter that end: whoever stopped listening hears nothing more, whatever MQTT does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.components import mqtt
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from integration_home import STATUS_TOPIC, AskedMeter, Home, Meter
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node import links
from custom_components.meter_node import mqtt as our_mqtt
from custom_components.meter_node.asking import Listening
from custom_components.meter_node.channel.hello import Hello, response_topic
from custom_components.meter_node.links import Ears, Links, _Way
from custom_components.meter_node.raw_topic import RawLink


@pytest.fixture(autouse=True)
def _leaving_ends_nothing() -> Iterator[None]:
    """Have MQTT hand over for ever, as after a reload: what it gave to leave by is for before."""
    subscribe = mqtt.async_subscribe

    async def async_subscribe(*args: Any, **kwargs: Any) -> Callable[[], None]:
        await subscribe(*args, **kwargs)
        return lambda: None

    with patch("homeassistant.components.mqtt.async_subscribe", async_subscribe):
        yield


async def test_a_meter_that_is_unloaded_after_mqtt_was_reloaded_hears_nothing_more(
    hass: HomeAssistant, home: Home, meter: Meter
) -> None:
    await home.set_up()
    await home.push()
    ghost = home.coordinator
    accepted = ghost.accepted
    await home.restart()
    await home.push(voltage_l1=21_000)
    assert (ghost.accepted, home.state("voltage_l1")) == (accepted, "210.0")
    assert home.coordinator.refused == {}
    assert await hass.config_entries.async_remove(home.entry.entry_id)
    home.broker.send(STATUS_TOPIC, "offline")
    home.broker.send(meter.hello_topic, meter.hello(push_interval=900))
    await home.push()
    assert ghost.accepted == accepted
    assert ghost.push_interval_s == 10


async def test_on_a_topic_of_the_users_choice_it_is_the_same(
    hass: HomeAssistant, home: Home, meter: Meter
) -> None:
    hass.config_entries.async_update_entry(
        home.entry, data=home.entry.data | {"raw_topic": "reader/frames"}
    )
    await home.set_up()
    ghost = home.coordinator
    assert await hass.config_entries.async_unload(home.entry.entry_id)
    home.broker.send("reader/frames", meter.push())
    await home.settle()
    assert ghost.accepted == 0


async def test_whoever_asked_hears_no_response_once_closed(
    hass: HomeAssistant, paired: Home, asked: AskedMeter
) -> None:
    asker = paired.coordinator.asker
    assert asker is not None
    assert await hass.config_entries.async_unload(paired.entry.entry_id)
    asker._on_response(b"\xd8\x01\x01")  # what a channel may still hand over
    paired.broker.send(response_topic(paired.meter.title, asker.requester), b"\xd8", keep=False)
    await paired.settle()


class Deaf:
    """Ears that must hear nothing."""

    def on_hello(self, hello: Hello) -> None:
        raise AssertionError

    def on_push(self, payload: bytes, retained: bool) -> bool:
        raise AssertionError

    def on_status(self, online: bool) -> None:
        raise AssertionError


async def test_links_that_were_stopped_hand_nothing_on(home: Home, meter: Meter) -> None:
    ways = Links(home.hass, meter.title, Deaf())
    assert await ways.async_start()
    await ways.async_stop()
    [way, _] = ways._ways  # what a channel may still hand over
    ways.on_hello(Hello.from_json(meter.hello()))
    ways.on_status(way, False)
    assert ways.on_push(way, meter.push(), False) is False


async def test_a_readers_topic_takes_no_requests_and_waits_for_no_response(
    home: Home, meter: Meter
) -> None:
    link = RawLink(home.hass, "reader/frames")
    listening = await link.async_listen("00", lambda _: None)
    listening.leave()
    assert not listening.ready.is_set()
    with pytest.raises(HomeAssistantError):
        await link.async_send("00", b"")


async def test_a_broker_that_failed_is_not_waited_for(hass: HomeAssistant) -> None:
    hass.config.components.add("mqtt")
    entry = MockConfigEntry(domain="mqtt", data={})
    entry.add_to_hass(hass)
    with patch.object(our_mqtt, "READY_S", 0.3):
        begun = hass.loop.time()
        assert await links.async_hear_all(hass, 0.1) == {}
        assert 0.3 <= hass.loop.time() - begun < 1  # one that may still come
        entry.mock_state(hass, ConfigEntryState.SETUP_RETRY)
        begun = hass.loop.time()
        assert await links.async_hear_all(hass, 0.1) == {}
        assert hass.loop.time() - begun < 0.1
        entry.mock_state(hass, ConfigEntryState.SETUP_IN_PROGRESS)
        hass.loop.call_later(0.05, entry.mock_state, hass, ConfigEntryState.LOADED)
        assert await our_mqtt.async_ready(hass)


@dataclass
class SlowLink:
    """A way whose channel takes its time, to begin and to listen."""

    name = "slow"
    is_waited_for = True
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: list[str] = field(default_factory=list)

    async def async_start(self, ears: Ears) -> bool:
        await self.go_on.wait()
        return True

    async def async_stop(self) -> None:
        self.left.append("link")

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        await self.go_on.wait()
        return Listening(lambda: self.left.append(requester), asyncio.Event())

    async def async_send(self, requester: str, request: bytes) -> None:
        raise AssertionError


def with_slow_link(home: Home, ears: Ears) -> tuple[Links, SlowLink]:
    ways, link = Links(home.hass, home.meter.title, ears), SlowLink()
    ways._ways = [_Way(link)]
    return ways, link


async def test_a_way_that_comes_when_nobody_listens_any_more_is_left_again(home: Home) -> None:
    ways, link = with_slow_link(home, Deaf())
    starting = asyncio.create_task(ways.async_start())
    await asyncio.sleep(0)
    await ways.async_stop()
    link.go_on.set()
    assert await starting is False
    assert link.left == ["link"]


async def test_who_leaves_while_a_way_begins_to_listen_for_him_leaves_it_too(home: Home) -> None:
    ways, link = with_slow_link(home, Deaf())
    link.go_on.set()
    assert await ways.async_start()
    link.go_on.clear()
    listening = asyncio.create_task(ways.async_listen("ab", lambda _: None))
    await asyncio.sleep(0)
    await ways.async_stop()
    link.go_on.set()
    (await listening).leave()
    assert link.left == ["link", "ab"]


async def test_without_a_channel_no_meter_is_heard(hass: HomeAssistant, meter: Meter) -> None:
    assert await links.async_hear(hass, meter.title, 0.1) is None
    assert not await RawLink(hass, "reader/frames").async_start(Deaf())


async def test_who_waits_for_a_hello_passes_pushes_over(home: Home, meter: Meter) -> None:
    hearing = asyncio.create_task(links.async_hear(home.hass, "aa" * 8, 0.2))
    await home.settle()
    home.broker.send(f"meter_node/{'aa' * 8}/push", meter.push(), keep=False)
    home.broker.send(f"meter_node/{'aa' * 8}/hello", meter.hello(system_title="aa" * 8))
    await home.settle()
    said = await hearing
    assert said is not None
    assert said.system_title == "aa" * 8
