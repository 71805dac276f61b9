"""The channel over Home Assistant's Bluetooth, its proxies included: the only file that knows it.

Home Assistant's own integration and bleak are imported when needed and not before, so that a home
without an adapter can do without them. Must not know what a push means.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util.hass_dict import HassKey

from .asking import Listening
from .channel import gatt
from .channel.hello import Hello, HelloError
from .channel.requests import MAX_RESPONSE_BYTES
from .const import DOMAIN
from .reader import MAX_PUSH_BYTES

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.characteristic import BleakGATTCharacteristic
    from bleak.backends.device import BLEDevice
    from bleak.backends.service import BleakGATTService
    from homeassistant.components.bluetooth import BluetoothChange, BluetoothServiceInfoBleak

    from .links import Ears

_LOGGER = logging.getLogger(__name__)

_DOMAIN = "bluetooth"
CONNECT_S = 20.0
"""How long finding and connecting may take, beside what is waited for then."""
ATTEMPT_S = 30.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LOOK_AGAIN_S = 60.0
"""A device that is not advertised is looked for so often even if nobody says that it is."""
STEADY_AFTER_S = 60.0
LEAST_SILENCE_S = 60.0
SILENT_INTERVALS = 4
"""A connection that brings no good push for so long is made anew, with another device if any."""
MOST_ADDRESSES = 8


def is_ready(hass: HomeAssistant) -> bool:
    """Return whether there is an adapter or proxy that could connect to a meter."""
    if _DOMAIN not in hass.config.components:
        return False
    from homeassistant.components import bluetooth

    return bluetooth.async_scanner_count(hass, connectable=True) > 0


def title_of(info: BluetoothServiceInfoBleak) -> str | None:
    """Return the system title that is advertised, None where it is no meter's."""
    return gatt.advertised_title(info.service_data.get(gatt.SERVICE_UUID, b""))


def advertised(hass: HomeAssistant) -> dict[str, str]:
    """Return the names of all meters that are in reach, by title."""
    if not is_ready(hass):
        return {}
    from homeassistant.components import bluetooth

    return {
        title: info.name
        for info in bluetooth.async_discovered_service_info(hass, connectable=True)
        if (title := title_of(info)) is not None
    }


def patience_s(hass: HomeAssistant, title: str) -> float:
    """Return how much longer is waited for a meter because it must be connected to."""
    return CONNECT_S if title in advertised(hass) else 0.0


class BluetoothLink:
    """One listener's way to one meter over Bluetooth: a ``links.Link``."""

    name = "bluetooth"
    is_waited_for = False

    def __init__(self, hass: HomeAssistant, title: str) -> None:
        """Nothing is connected yet."""
        self._hass = hass
        self._title = title
        self._connection: _Connection | None = None
        self._ears: Ears | None = None

    async def async_start(self, ears: Ears) -> bool:
        """Connect whenever the meter is in reach; return False where nothing could connect."""
        if not is_ready(self._hass):
            return False
        connections = self._hass.data.setdefault(_CONNECTIONS, {})
        if self._title not in connections:
            connections[self._title] = _Connection(self._hass, self._title)
        self._connection, self._ears = connections[self._title], ears
        self._connection.add(ears)
        return True

    async def async_stop(self) -> None:
        """Leave the connection, which ends with its last listener."""
        if self._connection is not None and self._ears is not None:
            await self._connection.async_remove(self._ears)
        self._connection = self._ears = None

    async def async_listen(self, requester: str, on_response: Callable[[bytes], None]) -> Listening:
        """Have responses handed on; ready while there is a connection."""
        if self._connection is None:
            raise HomeAssistantError("Bluetooth is not listened to")
        return self._connection.listen(on_response)

    async def async_send(self, requester: str, request: bytes) -> None:
        """Write a request. Raises HomeAssistantError where there is no connection."""
        if self._connection is None:
            raise HomeAssistantError("Bluetooth is not listened to")
        await self._connection.async_send(request)


class _Connection:
    """The one connection to a meter, however many listen to it: adapters have few of them."""

    def __init__(self, hass: HomeAssistant, title: str) -> None:
        self._hass = hass
        self._title = title
        self._all_ears: list[Ears] = []
        self._responses: list[Callable[[bytes], None]] = []
        self._hello: Hello | None = None
        self._addresses: dict[str, None] = {}  # where it was advertised, the next to try first
        self._in_reach = asyncio.Event()
        self._connected = asyncio.Event()
        self._client: BleakClient | None = None
        self._requests: BleakGATTCharacteristic | None = None
        self._number = random.randrange(2**16)  # noqa: S311 - chunks of two programs must differ
        self._turn = asyncio.Lock()
        self._good_s = 0.0
        self._stop_scanning: CALLBACK_TYPE | None = None
        self._task: asyncio.Task[None] | None = None

    # --- who listens ---------------------------------------------------------------------------

    @callback
    def add(self, ears: Ears) -> None:
        """Begin with the first listener; tell a later one what the meter said of itself."""
        from homeassistant.components import bluetooth
        from homeassistant.components.bluetooth import (
            BluetoothCallbackMatcher,
            BluetoothScanningMode,
        )

        self._all_ears.append(ears)
        if self._hello is not None:
            ears.on_hello(self._hello)
        if self._task is None:
            self._stop_scanning = bluetooth.async_register_callback(
                self._hass,
                self._on_advertisement,
                BluetoothCallbackMatcher(service_data_uuid=gatt.SERVICE_UUID, connectable=True),
                BluetoothScanningMode.PASSIVE,
            )
            self._task = self._hass.async_create_background_task(
                self._async_keep_connected(), f"{DOMAIN} {self._title} over Bluetooth"
            )

    async def async_remove(self, ears: Ears) -> None:
        """End with the last listener."""
        self._all_ears.remove(ears)
        if self._all_ears or self._task is None:
            return
        self._hass.data[_CONNECTIONS].pop(self._title)
        if self._stop_scanning is not None:
            self._stop_scanning()
        self._task.cancel()
        await asyncio.wait([self._task])

    @callback
    def listen(self, on_response: Callable[[bytes], None]) -> Listening:
        """Hand responses on until it is left."""
        self._responses.append(on_response)
        return Listening(lambda: self._responses.remove(on_response), self._connected)

    async def async_send(self, request: bytes) -> None:
        """Write a request in chunks. Raises HomeAssistantError where that fails."""
        from bleak_retry_connector import BLEAK_RETRY_EXCEPTIONS

        async with self._turn:
            if self._client is None or self._requests is None:
                raise HomeAssistantError("the meter is not connected over Bluetooth")
            self._number += 1
            longest = self._requests.max_write_without_response_size
            try:
                for chunk in gatt.chunks(request, self._number, longest):
                    await self._client.write_gatt_char(self._requests, chunk, response=True)
            except BLEAK_RETRY_EXCEPTIONS as error:
                raise HomeAssistantError(f"the connection failed: {error}") from None

    # --- the connection ------------------------------------------------------------------------

    @callback
    def _on_advertisement(self, info: BluetoothServiceInfoBleak, _change: BluetoothChange) -> None:
        """Note from where a meter of this title is advertised: its address may change."""
        if title_of(info) != self._title:
            return
        if info.address not in self._addresses and len(self._addresses) < MOST_ADDRESSES:
            self._addresses = {info.address: None, **self._addresses}
        self._in_reach.set()

    def _device(self) -> BLEDevice | None:
        """Return the first of the meter's addresses that is in reach; forget those that are not."""
        from homeassistant.components import bluetooth

        for address in list(self._addresses):
            device = bluetooth.async_ble_device_from_address(self._hass, address, connectable=True)
            if device is not None:
                return device
            del self._addresses[address]
        return None

    async def _async_keep_connected(self) -> None:
        from bleak_retry_connector import BLEAK_RETRY_EXCEPTIONS

        attempt = 0
        was_told = False
        while self._all_ears:  # a driver may have swallowed that this was cancelled
            self._in_reach.clear()
            device = self._device()
            if device is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._in_reach.wait()
                continue
            started_s = self._hass.loop.time()
            try:
                await self._async_session(device)
            except BLEAK_RETRY_EXCEPTIONS as error:
                _LOGGER.debug("%s at %s: %s", self._title, device.address, error)
            except Exception:  # a driver may raise anything: it must not end the only way there is
                level = logging.DEBUG if was_told else logging.ERROR
                was_told = True
                _LOGGER.log(level, "%s at %s", self._title, device.address, exc_info=True)
            if self._hass.loop.time() - started_s > STEADY_AFTER_S:
                attempt = 0
            # Anybody can advertise a title: the next attempt is with another device, if there is.
            if self._addresses.pop(device.address, device.address) is None:
                self._addresses[device.address] = None
            wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempt, 16))
            attempt += 1
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    async def _async_session(self, device: BLEDevice) -> None:
        """Stay connected for as long as it is of use. Raises BleakError and its like."""
        from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

        lost = asyncio.Event()
        # It tries several times by itself, and goes on for minutes with a device that is gone.
        async with asyncio.timeout(ATTEMPT_S):
            client = await establish_connection(
                BleakClientWithServiceCache,
                device,
                self._title,
                disconnected_callback=lambda _: lost.set(),
            )
        try:
            found = await self._async_find(client)
            if found is None:
                await client.clear_cache()  # what was read once from another node, or before
                return
            service, hello = found
            await self._async_subscribe(client, service, gatt.RESPONSE_UUID, self._on_response)
            # A push may come before its subscription is acknowledged, and have the meter asked.
            self._requests = service.get_characteristic(gatt.REQUEST_UUID)
            self._client = client
            self._connected.set()
            await self._async_subscribe(client, service, gatt.PUSH_UUID, self._on_push)
            self._hello = hello
            _LOGGER.debug("%s: connected at %s", self._title, device.address)
            for ears in list(self._all_ears):
                ears.on_hello(hello)
            await self._async_until_lost(lost, hello)
        finally:
            self._connected.clear()
            self._client = self._requests = self._hello = None
            with suppress(Exception):  # it is lost, or the adapter is: there is nothing to do
                await client.disconnect()

    async def _async_find(self, client: BleakClient) -> tuple[BleakGATTService, Hello] | None:
        """Return the meter's service among its node's, by what their hellos say."""
        for service in client.services:
            characteristic = service.get_characteristic(gatt.HELLO_UUID)
            if service.uuid != gatt.SERVICE_UUID or characteristic is None:
                continue
            try:
                hello = Hello.from_json(bytes(await client.read_gatt_char(characteristic)))
            except HelloError as error:
                _LOGGER.debug("%s: no hello: %s", self._title, error)
                continue
            if hello.system_title == self._title and hello.ciphered:
                return service, hello
        return None

    async def _async_subscribe(
        self,
        client: BleakClient,
        service: BleakGATTService,
        uuid: str,
        on_message: Callable[[gatt.Message], None],
    ) -> None:
        from bleak.exc import BleakError

        characteristic = service.get_characteristic(uuid)
        if characteristic is None:
            raise BleakError(f"the meter's service has no {uuid}")
        assembler = gatt.Assembler(MAX_PUSH_BYTES if uuid == gatt.PUSH_UUID else MAX_RESPONSE_BYTES)

        @callback
        def notified(_: BleakGATTCharacteristic, chunk: bytearray) -> None:
            if (message := assembler.feed(bytes(chunk))) is not None:
                on_message(message)

        await client.start_notify(characteristic, notified)

    async def _async_until_lost(self, lost: asyncio.Event, hello: Hello) -> None:
        """Return when the connection is lost, or has brought nothing good for too long."""
        borne_s = max(LEAST_SILENCE_S, SILENT_INTERVALS * float(hello.push_interval))
        self._good_s = self._hass.loop.time()
        while not lost.is_set():
            left_s = self._good_s + borne_s - self._hass.loop.time()
            if left_s <= 0:
                _LOGGER.debug("%s: nothing good came for %.0f s", self._title, borne_s)
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await lost.wait()

    # --- what comes ----------------------------------------------------------------------------

    @callback
    def _on_push(self, message: gatt.Message) -> None:
        good = [ears.on_push(message.payload, message.kept) for ears in list(self._all_ears)]
        if any(good):
            self._good_s = self._hass.loop.time()

    @callback
    def _on_response(self, message: gatt.Message) -> None:
        for on_response in list(self._responses):
            on_response(message.payload)


_CONNECTIONS: HassKey[dict[str, _Connection]] = HassKey(f"{DOMAIN}_bluetooth")
