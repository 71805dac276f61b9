"""Home Assistant and a node's real Bluetooth port: through a connectable proxy, by air in memory.

bleak, Home Assistant's Bluetooth and bumble are the real ones; controllers and antenna are not.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError
from bumble import hci
from bumble.device import Advertisement, Device
from habluetooth import BaseHaRemoteScanner, HaBluetoothConnector
from homeassistant import config_entries
from homeassistant.components import bluetooth as ha_bluetooth
from homeassistant.components.bluetooth import BluetoothServiceInfoBleak
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.loader import async_get_integration
from homeassistant.util import dt as dt_util
from integration_home import STATUS_TOPIC, AskedMeter, Broker, Meter
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.meter_node import bluetooth, links, tariff
from custom_components.meter_node.asking import AskError
from custom_components.meter_node.channel import gatt, objects, services
from custom_components.meter_node.channel.hello import Hello
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.coordinator import MeterNodeCoordinator
from meter_node.ports import ble
from meter_node.ports.ble import BlePort
from meter_node.ports.requests import Asker
from tests.radio import Air, VirtualAdapter, address_of, backend

WAIT_S = 20.0
OTHER_ADDRESS = hci.Address("C6:05:04:03:02:01", hci.Address.RANDOM_DEVICE_ADDRESS)
PROXY = "AA:BB:CC:DD:EE:01"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


@dataclass
class Answering:
    """The meter's other side: answers as the node does, without its limits."""

    asked: AskedMeter
    askers: list[Asker] = field(default_factory=list)

    def take(self, asker: Asker, payload: bytes) -> None:
        self.askers.append(asker)
        asker.answer(self.asked.answer(payload))


@dataclass
class Node:
    """A node's Bluetooth port with one meter, on an adapter that can be pulled."""

    air: Air
    meter: Meter
    adapters: list[VirtualAdapter] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self) -> None:
        self.port = BlePort("hci-socket:0", 4, self._open)
        self.answering = Answering(AskedMeter(self.meter, broker=None))  # type: ignore[arg-type]
        self.port.listen(self.meter.title, self.answering)  # type: ignore[arg-type]
        self.port.announce(self.meter.title, Hello.from_json(self.meter.hello()))

    async def _open(self, transport: str) -> VirtualAdapter:
        if self.broken:
            raise OSError(19, "No such device")
        self.adapters.append(VirtualAdapter(self.air, "node"))
        return self.adapters[-1]

    def push(self, payload: bytes | None = None, **values: int) -> bytes:
        payload = payload or self.meter.push(**values)
        self.port.push(self.meter.title, payload)
        return payload


class Proxy(BaseHaRemoteScanner):
    """Hears what is advertised, and connects, as an ESPHome proxy does."""

    def hear(self, advertised: Advertisement) -> None:
        data = bytes(advertised.data)
        at = data.find(bytes.fromhex(gatt.SERVICE_UUID.replace("-", ""))[::-1])
        if at >= 0:
            self.hear_title(address_of(advertised), data[at + 16 :])

    def hear_title(self, address: str, service_data: bytes) -> None:
        self._async_on_advertisement(
            address,
            -60,
            "382M",
            [gatt.SERVICE_UUID],
            {gatt.SERVICE_UUID: service_data},
            {},
            None,
            {},
            asyncio.get_running_loop().time(),
        )


@dataclass
class House:
    """Home Assistant with a proxy, and a node in its reach."""

    hass: HomeAssistant
    node: Node
    proxy: Proxy
    central: Device
    entry: MockConfigEntry

    async def set_up(self) -> None:
        assert await self.hass.config_entries.async_setup(self.entry.entry_id)
        await self.hass.async_block_till_done()

    @property
    def meter(self) -> Meter:
        return self.node.meter

    @property
    def coordinator(self) -> MeterNodeCoordinator:
        coordinator: MeterNodeCoordinator = self.entry.runtime_data
        return coordinator

    def state(self, key: str) -> str | None:
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "sensor", DOMAIN, f"{self.entry.unique_id}_{key}"
        )
        state = self.hass.states.get(entity_id) if entity_id else None
        return state.state if state else None

    async def connected(self) -> None:
        """Wait until both sides are ready for pushes and requests."""
        connections = self.hass.data[bluetooth._CONNECTIONS]
        await until(
            lambda: (
                self.node.port.connected
                and self.meter.title in connections
                and connections[self.meter.title]._hello is not None
            )
        )

    async def shows(self, key: str, value: str) -> None:
        await until(lambda: self.state(key) == value)

    async def pass_by(self, seconds: float) -> None:
        """Let Home Assistant's timers believe that time has passed.

        Those of the emulated adapters share the loop: no command may be on its way.
        """
        await until(lambda: self.node.broken or ((radio := self.node.port._radio) and radio.sets))
        radio = self.node.port._radio
        hosts = [self.central.host, *([radio.device.host] if radio else [])]
        await until(lambda: not any(host.pending_response for host in hosts))
        async_fire_time_changed(self.hass, dt_util.utcnow() + timedelta(seconds=seconds))
        await self.hass.async_block_till_done()


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
    running = asyncio.create_task(node.port.run())
    yield node
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


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


# --- reading -------------------------------------------------------------------------------------


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
    await until(lambda: house.node.port._radio and house.node.port._radio.sets)
    impostor = Node(house.node.air, Meter(keys=Keys(bytes(16), bytes(16))))
    with patch.object(ble._Meter, "address", OTHER_ADDRESS):
        running = asyncio.create_task(impostor.port.run())
        await until(lambda: impostor.port._radio and impostor.port._radio.sets)
    await house.set_up()
    numbers = itertools.count(22_000, 10)

    async def until_shown() -> None:
        while house.state("voltage_l1") in (None, "unavailable"):
            impostor.push()
            house.node.push(voltage_l1=next(numbers))
            await asyncio.sleep(0.1)

    async with asyncio.timeout(WAIT_S):
        await until_shown()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


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
    await until(lambda: house.node.port._radio and house.node.port._radio.sets)
    for other in (Node(house.node.air, Meter(b"MTN45678")), Node(house.node.air, Meter())):
        if other.meter.title == house.meter.title:
            other.port._meter(other.meter.title).greeting = None
        with patch.object(ble._Meter, "address", OTHER_ADDRESS):
            running = asyncio.create_task(other.port.run())
            await until(lambda: other.port._radio and other.port._radio.sets)  # noqa: B023
        house.proxy.hear_title(
            OTHER_ADDRESS.to_string(with_type_qualifier=False),
            gatt.service_data(house.meter.system_title),
        )
        await house.set_up()
        await house.connected()
        house.node.push(voltage_l1=23_012)
        await house.shows("voltage_l1", "230.12")
        assert await house.hass.config_entries.async_unload(house.entry.entry_id)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    ours = [one for one in caplog.records if one.name.startswith("custom_components")]
    assert not [one for one in ours if one.levelno >= logging.WARNING]


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
    ours = [one for one in caplog.records if one.name.startswith("custom_components")]
    assert not [one for one in ours if one.levelno >= logging.WARNING]


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
    ours = [one for one in caplog.records if one.name.startswith("custom_components")]
    assert len([one for one in ours if one.levelno >= logging.WARNING]) == 1


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


# --- both ----------------------------------------------------------------------------------------


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
        await until(lambda: both.coordinator.refused["duplicate"] == number + 1)  # noqa: B023
    assert both.coordinator.accepted == 6
    assert dict(both.coordinator.refused) == {"duplicate": 6}
    assert both.coordinator.links.bringing == ["mqtt", "bluetooth"]
    ours = [one for one in caplog.records if one.name.startswith("custom_components")]
    assert not [one for one in ours if one.levelno >= logging.WARNING]


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


# --- asking --------------------------------------------------------------------------------------


@pytest.fixture
def paired(house: House, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house that may ask, and asks nothing by itself."""
    monkeypatch.setattr(tariff.Tariffs, "ask_if_due", lambda self, asker: None)
    hass.config_entries.async_update_entry(house.entry, data=house.node.answering.asked.entry_data)
    return house


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


# --- hostile -------------------------------------------------------------------------------------


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


# --- setting up ----------------------------------------------------------------------------------


def service_info(title: bytes, name: str = "382M", data: bytes | None = None) -> Any:
    """What Home Assistant hands to a flow."""
    address = "C0:00:00:00:00:01"
    service_data = {gatt.SERVICE_UUID: gatt.service_data(title) if data is None else data}
    advertised = AdvertisementData(name, {}, service_data, [gatt.SERVICE_UUID], None, -60, ())
    return BluetoothServiceInfoBleak(
        name=name,
        address=address,
        rssi=-60,
        manufacturer_data={},
        service_data=service_data,
        service_uuids=[gatt.SERVICE_UUID],
        source="local",
        device=BLEDevice(address, name, {}),
        advertisement=advertised,
        connectable=True,
        time=0.0,
        tx_power=None,
    )


async def discovered(hass: HomeAssistant, info: Any) -> Any:
    return await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": config_entries.SOURCE_BLUETOOTH}, data=info
    )


async def proven(hass: HomeAssistant, node: Node, flow: Any) -> Any:
    """Let the meter push until the flow is through with it."""

    async def pushing() -> None:
        while True:
            node.push()
            await asyncio.sleep(0.1)

    assert flow["type"] is FlowResultType.SHOW_PROGRESS, flow
    task = asyncio.create_task(pushing())
    try:
        async with asyncio.timeout(WAIT_S):
            while flow["type"] is FlowResultType.SHOW_PROGRESS:
                await asyncio.sleep(0.1)
                flow = await hass.config_entries.flow.async_configure(flow["flow_id"])
    finally:
        task.cancel()
    return flow


@pytest.fixture
async def alone(house: House, hass: HomeAssistant) -> House:
    """No entry yet."""
    await hass.config_entries.async_remove(house.entry.entry_id)
    await until(lambda: bluetooth.advertised(hass))
    return house


def test_the_manifest_finds_what_a_node_advertises(hass: HomeAssistant) -> None:
    async def matchers() -> Any:
        return (await async_get_integration(hass, DOMAIN)).bluetooth

    assert hass.loop.run_until_complete(matchers()) == [
        {"connectable": True, "service_data_uuid": gatt.SERVICE_UUID}
    ]


async def test_a_meter_in_reach_is_discovered_and_set_up_with_its_pairing_text(
    alone: House, hass: HomeAssistant
) -> None:
    flows = hass.config_entries.flow
    await until(lambda: flows.async_progress_by_handler(DOMAIN))
    (flow,) = flows.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == "bluetooth"
    assert flow["context"]["unique_id"] == alone.meter.title
    assert flow["context"]["title_placeholders"] == {"name": f"382M ({alone.meter.title})"}
    assert flow["step_id"] == "keys"
    asked = alone.node.answering.asked
    result = await flows.async_configure(flow["flow_id"], {"pairing_text": asked.pairing_text})
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    assert result["title"] == "382M 4711"
    assert result["data"] == asked.entry_data
    assert [one.source for one in alone.node.answering.askers] == ["bluetooth"]
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED
    await alone.connected()
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_wrong_keys_are_told_and_can_be_mended(alone: House, hass: HomeAssistant) -> None:
    flow = await discovered(hass, service_info(alone.meter.system_title))
    flow = (flow if flow["type"] is FlowResultType.FORM else
            hass.config_entries.flow.async_progress_by_handler(DOMAIN)[0])  # fmt: skip
    wrong = {"encryption_key": "00" * 16, "authentication_key": "11" * 16}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], wrong)
    result = await proven(hass, alone.node, result)
    assert result["step_id"] == "keys"
    assert result["errors"] == {"base": "wrong_keys"}
    result = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {"pairing_text": alone.meter.pairing_text}
    )
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_meter_in_reach_can_be_chosen_by_hand(alone: House, hass: HomeAssistant) -> None:
    flows = hass.config_entries.flow
    result: Any = await flows.async_init(DOMAIN, context={"source": "user"})
    assert result["description_placeholders"]["count"] == "1"
    result = await flows.async_configure(result["flow_id"], {"meter": alone.meter.title})
    assert result["step_id"] == "keys"
    assert alone.meter.title in result["description_placeholders"]["meter"]
    result = await flows.async_configure(
        result["flow_id"], {"pairing_text": alone.meter.pairing_text}
    )
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_pairing_text_alone_finds_the_meter_over_bluetooth(
    alone: House, hass: HomeAssistant
) -> None:
    flows = hass.config_entries.flow
    result: Any = await flows.async_init(DOMAIN, context={"source": "user"})
    result = await flows.async_configure(
        result["flow_id"], {"pairing_text": alone.meter.pairing_text}
    )
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert await hass.config_entries.async_unload(entry.entry_id)


async def test_a_meter_that_was_found_over_mqtt_is_the_same_one(
    house: House, hass: HomeAssistant
) -> None:
    flow = await discovered(hass, service_info(house.meter.system_title))
    assert flow["type"] is FlowResultType.ABORT
    assert flow["reason"] == "already_configured"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x07" + bytes(8)])
async def test_what_is_no_meters_advertisement_starts_no_flow(
    hass: HomeAssistant, enable_bluetooth: None, data: bytes
) -> None:
    flow = await discovered(hass, service_info(bytes(8), data=data))
    assert flow["type"] is FlowResultType.ABORT
    assert flow["reason"] == "invalid_discovery_info"


async def test_a_name_that_no_form_should_show_is_not_shown(
    hass: HomeAssistant, enable_bluetooth: None
) -> None:
    flow = await discovered(hass, service_info(b"MTN12345", name="[x](http://evil)"))
    assert flow["type"] is FlowResultType.FORM
    assert flow["description_placeholders"]["meter"] == f"Meter Node ({b'MTN12345'.hex()})"


async def test_a_meter_that_is_out_of_reach_by_then_is_not_heard(
    hass: HomeAssistant, enable_bluetooth: None
) -> None:
    flow = await discovered(hass, service_info(b"MTN12345"))
    keys = {"encryption_key": "00" * 16, "authentication_key": "11" * 16}
    with patch.object(bluetooth, "is_ready", lambda hass: True):
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], keys)
    assert result["errors"] == {"base": "meter_not_heard"}
    with patch.object(bluetooth, "is_ready", lambda hass: False):
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], keys)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "no_channel")


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
