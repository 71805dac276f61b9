"""Reading a meter over Bluetooth: found, kept, lost and found again, and let go."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any
from unittest.mock import patch

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bluetooth_home import OTHER_ADDRESS, WAIT_S, House, Node, until, warned
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from integration_home import Meter
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node import bluetooth, links
from custom_components.meter_node.channel import gatt
from custom_components.meter_node.channel.security import Keys
from meter_node.ports import ble


@pytest.mark.parametrize("mtu", [23, 247], indirect=True)
async def test_a_meter_is_read_over_bluetooth_alone(house: House) -> None:
    assert "mqtt" not in house.hass.config.components
    await house.set_up()
    await house.connected()
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")
    house.node.push(voltage_l1=22_900)
    await house.shows("voltage_l1", "229.0")
    assert house.coordinator.links.bringing == ["bluetooth"]
    assert house.coordinator.hello is not None
    assert house.coordinator.hello.model == "382M"


async def test_the_last_push_is_shown_as_soon_as_the_meter_is_connected(house: House) -> None:
    house.node.push(voltage_l1=23_012)
    await house.set_up()
    await house.shows("voltage_l1", "230.12")
    assert house.coordinator.accepted == 1


async def test_a_lost_connection_is_made_anew_and_the_total_goes_on(house: House) -> None:
    await house.set_up()
    await house.connected()
    house.node.push(import_active_energy=5_000)
    await house.shows("import_active_energy", "5.0")
    house.node.adapters[0].pull()
    await until(lambda: len(house.node.adapters) == 2)
    await house.connected()
    house.node.push(import_active_energy=6_000)
    await house.shows("import_active_energy", "6.0")


async def test_a_meter_is_found_again_at_another_address(house: House) -> None:
    await house.set_up()
    await house.connected()
    house.node.adapters[0].pull()
    with patch.object(ble._Meter, "address", OTHER_ADDRESS):
        await until(lambda: len(house.node.adapters) == 2)
        await house.connected()
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")


async def test_an_impostor_that_advertises_the_title_does_not_keep_the_meter_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluetooth, "LEAST_SILENCE_S", 0.3)
    monkeypatch.setattr(bluetooth, "SILENT_INTERVALS", 0)
    await house.node.advertises()
    impostor = Node(house.node.air, Meter(keys=Keys(bytes(16), bytes(16))))
    async with impostor.running_at(OTHER_ADDRESS), asyncio.timeout(WAIT_S):
        await house.set_up()
        numbers = itertools.count(22_000, 10)
        while house.state("voltage_l1") in (None, "unavailable"):
            impostor.push()
            house.node.push(voltage_l1=next(numbers))
            await asyncio.sleep(0.1)


async def test_entities_are_unavailable_after_three_silent_intervals(house: House) -> None:
    await house.set_up()
    await house.connected()
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")
    house.node.broken = True
    house.node.adapters[0].pull()
    await house.pass_by(29)
    assert house.state("voltage_l1") == "230.12"
    await house.pass_by(31)
    assert house.state("voltage_l1") == "unavailable"
    house.node.broken = False
    await house.connected()
    house.node.push(voltage_l1=23_100)
    await house.shows("voltage_l1", "231.0")


async def test_unloading_ends_the_connection_and_leaves_nothing_behind(house: House) -> None:
    await house.set_up()
    await house.connected()
    assert await house.hass.config_entries.async_unload(house.entry.entry_id)
    await until(lambda: not house.node.port.connected)
    assert house.hass.data[bluetooth._CONNECTIONS] == {}


async def test_unloading_ends_where_a_driver_swallows_that_it_was_cancelled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way = asyncio.Event()

    async def swallowing(_: Any, _device: BLEDevice) -> None:
        under_way.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise BleakError("lost") from None

    monkeypatch.setattr(bluetooth._Connection, "_async_session", swallowing)
    await house.set_up()
    await asyncio.wait_for(under_way.wait(), WAIT_S)
    async with asyncio.timeout(WAIT_S):
        assert await house.hass.config_entries.async_unload(house.entry.entry_id)
    assert house.hass.data[bluetooth._CONNECTIONS] == {}


async def test_a_meter_that_comes_into_reach_later_is_connected(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluetooth, "LOOK_AGAIN_S", 0.05)
    house.node.broken = True
    if house.node.adapters:
        house.node.adapters[0].pull()
    await house.set_up()
    house.proxy.hear_title("C0:00:00:00:00:09", gatt.service_data(b"MTN45678"))
    await asyncio.sleep(0.2)
    house.node.broken = False
    await house.connected()
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")


async def test_a_node_that_has_no_such_meter_is_left(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """It advertises the title, but its own hello tells otherwise, or nothing at all."""
    await house.node.advertises()
    for other in (Node(house.node.air, Meter(b"MTN45678")), Node(house.node.air, Meter())):
        if other.meter.title == house.meter.title:
            other.port._meter(other.meter.title).greeting = None
        async with other.running_at(OTHER_ADDRESS):
            house.proxy.hear_title(
                OTHER_ADDRESS.to_string(with_type_qualifier=False),
                gatt.service_data(house.meter.system_title),
            )
            await house.set_up()
            await house.connected()
            house.node.push(voltage_l1=23_012)
            await house.shows("voltage_l1", "230.12")
            assert await house.hass.config_entries.async_unload(house.entry.entry_id)
    assert warned(caplog) == []


async def test_a_service_without_its_characteristics_is_left_and_nothing_breaks(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ble.gatt, "PUSH_UUID", "832f0009-a4d5-46e7-934e-a4fb970ea3b2")
    await until(lambda: house.node.adapters)
    house.node.adapters[0].pull()
    await until(lambda: len(house.node.adapters) == 2)
    await house.set_up()
    await asyncio.sleep(1)
    assert house.coordinator.hello is None
    assert warned(caplog) == []


async def test_an_error_that_nobody_expects_does_not_end_the_way_and_is_told_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session, broken = bluetooth._Connection._async_session, [3]

    async def breaks(self: Any, device: BLEDevice) -> None:
        if broken[0]:
            broken[0] -= 1
            raise RuntimeError("the driver is in disorder")
        await session(self, device)

    monkeypatch.setattr(bluetooth._Connection, "_async_session", breaks)
    await house.set_up()
    await house.connected()
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")
    assert len(warned(caplog)) == 1


async def test_who_listens_later_shares_the_connection_and_hears_the_hello_at_once(
    house: House, hass: HomeAssistant
) -> None:
    await house.set_up()
    await house.connected()
    assert await links.async_hear(hass, house.meter.title, 0.1) == house.coordinator.hello
    assert house.node.port._radio is not None
    assert len(house.node.port._radio.centrals) == 1
    house.node.push(voltage_l1=23_012)
    await house.shows("voltage_l1", "230.12")


async def test_without_any_channel_the_entry_waits(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    assert entry.error_reason_translation_key == "no_channel"
