"""A house with a node's real Bluetooth port, in reach through a connectable proxy by air in memory.

bleak, Home Assistant's Bluetooth and bumble are the real ones; controllers and antenna are not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from unittest.mock import patch

import pytest
from bumble import hci
from bumble.device import Advertisement, Device
from habluetooth import BaseHaRemoteScanner
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from integration_home import AskedMeter, Meter
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.meter_node import bluetooth
from custom_components.meter_node.channel import gatt
from custom_components.meter_node.channel.hello import Hello
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.coordinator import MeterNodeCoordinator
from meter_node.ports import ble
from meter_node.ports.ble import BlePort
from meter_node.ports.requests import Asker
from tests.radio import Air, VirtualAdapter, address_of

WAIT_S = 20.0
OTHER_ADDRESS = hci.Address("C6:05:04:03:02:01", hci.Address.RANDOM_DEVICE_ADDRESS)
PROXY = "AA:BB:CC:DD:EE:01"


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the integration has told as a warning, or worse."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components") and record.levelno >= logging.WARNING
    ]


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

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.port.run())
        try:
            yield
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    @asynccontextmanager
    async def running_at(self, address: hci.Address) -> AsyncIterator[None]:
        """Its meter advertises under a given address."""
        async with self.running():
            with patch.object(ble._Meter, "address", address):
                await self.advertises()
            yield

    async def advertises(self) -> None:
        await until(lambda: (radio := self.port._radio) and radio.sets)

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

    async def refuses(self, why: str, frames: int) -> None:
        await until(lambda: self.coordinator.refused[why] == frames)

    async def pass_by(self, seconds: float) -> None:
        """Let Home Assistant's timers believe that time has passed.

        Those of the emulated adapters share the loop: no command may be on its way.
        """
        if not self.node.broken:
            await self.node.advertises()
        radio = self.node.port._radio
        hosts = [self.central.host, *([radio.device.host] if radio else [])]
        await until(lambda: not any(host.pending_response for host in hosts))
        async_fire_time_changed(self.hass, dt_util.utcnow() + timedelta(seconds=seconds))
        await self.hass.async_block_till_done()
