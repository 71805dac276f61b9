"""A node and Home Assistant in reach of each other, ready for a test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from bluetooth_home import PROXY, House, Node, Proxy
from habluetooth import HaBluetoothConnector
from homeassistant.components import bluetooth as ha_bluetooth
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from integration_home import Meter
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node import bluetooth, tariff
from meter_node.ports import ble
from tests.radio import Air, backend


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bluetooth, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(bluetooth, "LONGEST_WAIT_S", 0.2)
    monkeypatch.setattr(bluetooth, "ATTEMPT_S", 2.0)
    monkeypatch.setattr(ble, "back_off", lambda attempt: 0.05)
    # Home Assistant's leap in time lets the node's timers expire, too: they share the loop.
    monkeypatch.setattr(ble, "ANSWERS_WITHIN_S", 3600.0)
    monkeypatch.setattr(ble, "SEND_S", 3600.0)


@pytest.fixture
async def air(socket_enabled: None) -> Air:
    return Air()


@pytest.fixture
async def node(air: Air, meter: Meter) -> AsyncIterator[Node]:
    node = Node(air, meter)
    async with node.running():
        yield node


@pytest.fixture(params=[247])
def mtu(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


@pytest.fixture
async def house(
    hass: HomeAssistant,
    enable_bluetooth: None,
    node: Node,
    entry: MockConfigEntry,
    mtu: int,
) -> AsyncIterator[House]:
    central = await node.air.central()
    connector = HaBluetoothConnector(backend(central, mtu), PROXY, lambda: True)
    proxy = Proxy(PROXY, "proxy", connector, True)
    cancel = [proxy.async_setup(), ha_bluetooth.async_register_scanner(hass, proxy)]
    central.on(central.EVENT_ADVERTISEMENT, proxy.hear)
    await central.start_scanning(filter_duplicates=False)
    yield House(hass, node, proxy, central, entry)
    if entry.state is ConfigEntryState.LOADED:
        assert await hass.config_entries.async_unload(entry.entry_id)
    for one in cancel:
        one()


@pytest.fixture
def paired(house: House, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house that may ask, and asks nothing by itself."""
    monkeypatch.setattr(tariff.Tariffs, "ask_if_due", lambda self, asker: None)
    hass.config_entries.async_update_entry(house.entry, data=house.node.answering.asked.entry_data)
    return house
