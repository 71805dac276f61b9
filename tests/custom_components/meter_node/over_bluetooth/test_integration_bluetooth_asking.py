"""Asking a meter over Bluetooth, and what hostile answers do not do."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from bleak.exc import BleakError
from bluetooth_home import House, until
from integration_home import Broker

from custom_components.meter_node import bluetooth, links
from custom_components.meter_node.asking import AskError
from custom_components.meter_node.channel import gatt, objects, services


@pytest.mark.parametrize("mtu", [23, 247], indirect=True)
async def test_a_meter_is_asked_over_bluetooth(paired: House) -> None:
    await paired.set_up()
    await paired.connected()
    asker = paired.coordinator.asker
    assert asker is not None
    read = await asker.async_ask(services.get(objects.PUSH_INTERVAL))
    assert read == paired.meter.push_interval
    assert [one.source for one in paired.node.answering.askers] == ["bluetooth"]


async def test_without_a_connection_there_is_no_way_to_the_meter(paired: House) -> None:
    await paired.set_up()
    await paired.connected()
    paired.node.broken = True
    paired.node.adapters[0].pull()
    (connection,) = paired.hass.data[bluetooth._CONNECTIONS].values()
    await until(lambda: not connection._connected.is_set())
    asker = paired.coordinator.asker
    assert asker is not None
    with pytest.raises(AskError) as refused:
        await asker.async_ask(services.get(objects.PUSH_INTERVAL))
    assert refused.value.reason == "no_link"


async def test_a_request_that_breaks_off_has_found_no_way(paired: House) -> None:
    await paired.set_up()
    await paired.connected()
    asker = paired.coordinator.asker
    assert asker is not None
    broken = AsyncMock(side_effect=BleakError("Not connected"))
    with (
        patch("tests.radio.BumbleClient.write_gatt_char", broken),
        pytest.raises(AskError) as refused,
    ):
        await asker.async_ask(services.get(objects.PUSH_INTERVAL))
    assert refused.value.reason == "no_link"
    assert await asker.async_ask(services.get(objects.PUSH_INTERVAL)) == 10


async def test_bluetooth_that_comes_later_is_asked_too(paired: House, broker: Broker) -> None:
    """The first time there is but a broker, which carries nothing back."""
    broker.keep(paired.meter.hello_topic, paired.meter.hello())
    with patch.object(bluetooth, "is_ready", lambda hass: False):
        await paired.set_up()
        broker.send(paired.meter.push_topic, paired.meter.push(voltage_l1=23_000))
        await paired.shows("voltage_l1", "230.0")
        assert paired.coordinator.links.bringing == ["mqtt"]
    await paired.pass_by(links.LOOK_AGAIN_S + 1)
    await paired.connected()
    for number in range(3):
        paired.node.push(voltage_l1=23_100 + 100 * number)
        await paired.shows("voltage_l1", f"{231 + number}.0")
    assert paired.coordinator.links.bringing == ["bluetooth"]
    asker = paired.coordinator.asker
    assert asker is not None
    assert await asker.async_ask(services.get(objects.PUSH_INTERVAL)) == 10


async def test_requests_take_the_way_by_which_pushes_come(paired: House, broker: Broker) -> None:
    over_mqtt: list[str] = []
    broker.listeners.append(lambda topic, _: over_mqtt.append(topic))
    broker.keep(paired.meter.hello_topic, paired.meter.hello())
    await paired.set_up()
    await paired.connected()
    for number in range(3):
        paired.node.push(voltage_l1=23_000 + 100 * number)
    await paired.shows("voltage_l1", "232.0")
    asker = paired.coordinator.asker
    assert asker is not None
    assert await asker.async_ask(services.get(objects.PUSH_INTERVAL)) == 10
    assert over_mqtt == []
    broker.send(paired.meter.push_topic, paired.meter.push(voltage_l1=23_300))
    await paired.shows("voltage_l1", "233.0")
    assert paired.coordinator.links.bringing == ["mqtt", "bluetooth"]
    with suppress(TimeoutError):
        await asyncio.wait_for(asker.async_ask(services.get(objects.PUSH_INTERVAL)), 1)
    assert over_mqtt != [], "where both bring, the broker is the better way"


async def test_a_push_before_its_subscription_is_acknowledged_can_have_the_meter_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy the acknowledgement of a subscription comes some tenths of a second late."""
    asked = house.node.answering.asked
    house.hass.config_entries.async_update_entry(house.entry, data=asked.entry_data)
    subscribe = bluetooth._Connection._async_subscribe

    async def acknowledged_late(
        self: bluetooth._Connection, client: Any, service: Any, uuid: str, on_message: Any
    ) -> None:
        await subscribe(self, client, service, uuid, on_message)
        if uuid == gatt.PUSH_UUID:
            house.node.push(voltage_l1=23_012)
            await asyncio.sleep(0.3)

    monkeypatch.setattr(bluetooth._Connection, "_async_subscribe", acknowledged_late)
    await house.set_up()
    await house.connected()
    await until(lambda: asked.asked)
    assert asked.asked[0].which == objects.ACTIVITY_CALENDAR


async def test_hostile_pushes_and_responses_move_nothing_and_warn_once_at_most(
    paired: House, caplog: pytest.LogCaptureFixture
) -> None:
    await paired.set_up()
    await paired.connected()
    paired.node.push(voltage_l1=23_012)
    await paired.shows("voltage_l1", "230.12")
    before = {one.entity_id: one.state for one in paired.hass.states.async_all()}
    caplog.clear()
    good = paired.meter.push(voltage_l1=11_111)
    noise = random.Random(4)
    hostile = [
        good[:-1] + bytes((good[-1] ^ 1,)),
        good[: len(good) // 2],
        b"/KMP5 KA6U001585575011\r\n",
        noise.randbytes(300),
        noise.randbytes(9000),
        paired.meter.push(counter=1),
    ]
    radio = paired.node.port._radio
    assert radio is not None
    (central,) = radio.centrals.values()
    offer = radio.offers[paired.meter.title]
    for payload in hostile:
        paired.node.push(payload)
        await asyncio.sleep(0.1)
        central.answer(offer.response, payload)
    for characteristic in (offer.push, offer.response):
        for chunk in (b"", b"\x00", noise.randbytes(20), noise.randbytes(200), bytes(244)):
            await radio.device.notify_subscriber(central.connection, characteristic, chunk)
    await asyncio.sleep(0.2)
    assert {one.entity_id: one.state for one in paired.hass.states.async_all()} == before
    ours = [one for one in caplog.records if one.name.startswith("custom_components")]
    assert not [one for one in ours if one.levelno > logging.WARNING]
    told = [one.getMessage() for one in ours if one.levelno == logging.WARNING]
    assert len(told) == len({text.partition(":")[2][:40] for text in told}), "each kind once"
    paired.node.push(voltage_l1=23_100)
    await paired.shows("voltage_l1", "231.0")
