"""A meter that is heard over Bluetooth and over a broker: each frame once, either way enough."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
from bluetooth_home import House, until, warned
from homeassistant.core import HomeAssistant
from integration_home import STATUS_TOPIC, Broker

from custom_components.meter_node import links


@pytest.fixture
async def both(house: House, broker: Broker) -> House:
    """The same meter is heard over a broker, too."""
    broker.keep(house.meter.hello_topic, house.meter.hello())
    broker.keep(STATUS_TOPIC, "online")
    await house.set_up()
    await house.connected()
    return house


def say(house: House, broker: Broker, first: str, **values: int) -> None:
    """Send one push both ways."""
    payload = house.meter.push(**values)
    ways: dict[str, Callable[[], object]] = {
        "mqtt": lambda: broker.send(house.meter.push_topic, payload),
        "bluetooth": lambda: house.node.push(payload),
    }
    ways.pop(first)()
    (other,) = ways.values()
    other()


async def test_each_frame_counts_once_whichever_way_it_comes_first(
    both: House, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(6):
        say(both, broker, ("mqtt", "bluetooth")[number % 2], import_active_energy=1000 * number)
        await both.shows("import_active_energy", f"{number}.0")
        await both.refuses("duplicate", number + 1)
    assert both.coordinator.accepted == 6
    assert dict(both.coordinator.refused) == {"duplicate": 6}
    assert both.coordinator.links.bringing == ["mqtt", "bluetooth"]
    assert warned(caplog) == []


async def test_either_way_can_end_and_the_other_is_enough(both: House, broker: Broker) -> None:
    say(both, broker, "mqtt", voltage_l1=23_000)
    await both.shows("voltage_l1", "230.0")
    await until(lambda: both.coordinator.links.bringing == ["mqtt", "bluetooth"])
    broker.send(STATUS_TOPIC, "offline")
    await both.hass.async_block_till_done()
    assert both.state("voltage_l1") == "230.0", "it is there over Bluetooth"
    both.node.push(voltage_l1=23_100)
    await both.shows("voltage_l1", "231.0")
    both.node.broken = True
    both.node.adapters[0].pull()
    broker.send(STATUS_TOPIC, "online")
    broker.send(both.meter.push_topic, both.meter.push(voltage_l1=23_200))
    await both.shows("voltage_l1", "232.0")
    await both.pass_by(31)
    assert both.state("voltage_l1") == "unavailable", "both are silent"


async def test_the_nodes_word_that_it_is_gone_counts_where_bluetooth_brings_nothing(
    both: House, broker: Broker
) -> None:
    broker.send(both.meter.push_topic, both.meter.push(voltage_l1=23_000))
    await both.shows("voltage_l1", "230.0")
    broker.send(STATUS_TOPIC, "offline")
    await both.shows("voltage_l1", "unavailable")


async def test_a_channel_that_comes_later_is_used_without_a_restart(
    house: House, hass: HomeAssistant
) -> None:
    with patch.object(links.mqtt.MqttLink, "async_start", return_value=False) as start:
        await house.set_up()
        await house.pass_by(links.LOOK_AGAIN_S + 1)
        assert start.await_count == 2
