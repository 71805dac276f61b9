"""Ways to a meter that end: whoever stopped listening hears nothing more, whatever MQTT does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from custom_components.meter_node.channel.hello import Hello, response_topic
from custom_components.meter_node.links import Links
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
