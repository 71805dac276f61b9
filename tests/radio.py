"""Radio in memory: adapters that can be pulled out, and bleak clients that connect over them.

The packets are real (bumble's controllers and link); there is no antenna.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, override

from bleak import BleakClient
from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble import att, core, hci
from bumble.controller import Controller
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt import Characteristic
from bumble.gatt_client import CharacteristicProxy, Client
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink

PROPERTIES: dict[Characteristic.Properties, Any] = {
    Characteristic.Properties.READ: "read",
    Characteristic.Properties.WRITE_WITHOUT_RESPONSE: "write-without-response",
    Characteristic.Properties.WRITE: "write",
    Characteristic.Properties.NOTIFY: "notify",
}
LE_DATA_LENGTH = 251


_on_command_processed = Host.on_command_processed


def _on_awaited_command_processed(self: Host, event: Any) -> None:
    """Pass over the answer to a command that was given up: bumble's own stumbles over it."""
    if self.pending_response is None or not self.pending_response.done():
        _on_command_processed(self, event)


Host.on_command_processed = _on_awaited_command_processed  # type: ignore[method-assign]


_on_transport_lost = Host.on_transport_lost
_on_gatt_pdu = Client.on_gatt_pdu


def _on_awaited_transport_lost(self: Host) -> None:
    """Pass over a command that was given up before its adapter was pulled."""
    if self.pending_response is not None and self.pending_response.done():
        self.pending_response = None
    _on_transport_lost(self)


def _on_awaited_gatt_pdu(self: Client, pdu: att.ATT_PDU) -> None:
    """Pass over the answer to a request that was given up."""
    given_up = self.pending_response is not None and self.pending_response.done()
    if not given_up or pdu.op_code not in att.ATT_RESPONSES:
        _on_gatt_pdu(self, pdu)


Host.on_transport_lost = _on_awaited_transport_lost  # type: ignore[method-assign]
Client.on_gatt_pdu = _on_awaited_gatt_pdu  # type: ignore[method-assign]


class VirtualAdapter:
    """What a node opens in place of a dongle."""

    def __init__(self, air: Air, name: str, *, extended: bool = True) -> None:
        self.controller = Controller(name, link=air.link)
        # As a Bluetooth 4.2 dongle and newer ones have it; the emulation's own default is 4.0's.
        self.controller.le_acl_data_packet_length = LE_DATA_LENGTH
        if not extended:
            self.controller.le_features &= ~hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
        self.source: Any = self.controller
        self.sink: Any = AsyncPipeSink(self.controller)
        self._air = air

    def pull(self) -> None:
        """Take the adapter away, as the kernel or libusb then says."""
        self._leave()
        self.controller.host = None
        self.controller.terminated.set_result(None)

    async def close(self) -> None:
        self._leave()

    def _leave(self) -> None:
        """Be silent; whoever was connected misses it and gives up."""
        self._air.link.controllers.discard(self.controller)
        for one in self.controller.advertising_sets.values():
            one.stop()
        self.controller.le_legacy_advertiser.stop()
        own = {one.self_address for one in self.controller.le_connections.values()}
        for other in self._air.link.controllers:
            for lost in [one for one in other.le_connections.values() if one.peer_address in own]:
                other.on_le_disconnected(lost, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


class _Link(LocalLink):
    """A link on which a controller speaks from the address that a central connected to.

    bumble's own speaks from the controller's one address, which is not that of each set.
    """

    @override
    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: core.PhysicalTransport,
        data: bytes,
    ) -> None:
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(
                receiver.on_link_acl_data, connection.self_address, transport, data
            )


class Air:
    """Where all adapters of a test hear each other."""

    def __init__(self) -> None:
        self.link = _Link()
        self._centrals = 0

    async def central(self, acl_bytes: int = LE_DATA_LENGTH) -> Device:
        """Make a device that scans and connects."""
        self._centrals += 1
        name = f"central {self._centrals}"
        controller = Controller(name, link=self.link)
        controller.le_acl_data_packet_length = acl_bytes
        device = Device(
            name,
            hci.Address(f"F0:F1:F2:F3:F4:{self._centrals:02X}"),
            host=Host(controller, AsyncPipeSink(controller)),
        )
        await device.power_on()
        return device

    async def heard(self, device: Device, seconds: float = 0.7) -> dict[str, Advertisement]:
        """Scan; return what was advertised, by address."""
        found: dict[str, Advertisement] = {}

        def on_advertisement(one: Advertisement) -> None:
            found[one.address.to_string(with_type_qualifier=False)] = one

        device.on(device.EVENT_ADVERTISEMENT, on_advertisement)
        await device.start_scanning(filter_duplicates=False)
        await asyncio.sleep(seconds)
        await device.stop_scanning()
        device.remove_listener(device.EVENT_ADVERTISEMENT, on_advertisement)
        return found


def address_of(data: Advertisement) -> str:
    """How bleak names the device that advertised."""
    return data.address.to_string(with_type_qualifier=False)


class BumbleClient(BaseBleakClient):
    """A bleak backend over bumble: what a proxy or a local adapter is for Home Assistant."""

    central: ClassVar[Device]
    wanted_mtu: ClassVar[int] = 23
    connects_within_s: ClassVar[float] = 1.0

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._proxies: dict[int, CharacteristicProxy[bytes]] = {}

    @property
    @override
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else 23

    @property
    @override
    def is_connected(self) -> bool:
        return self._connection is not None

    @override
    async def connect(self, pair: bool, **kwargs: Any) -> None:
        address = hci.Address(self.address, hci.Address.RANDOM_DEVICE_ADDRESS)
        await self._let_go(address)
        connection = await self._reach(address)
        self._connection = connection
        connection.on(connection.EVENT_DISCONNECTION, self._lost)
        self._peer = Peer(connection)
        try:
            if self.wanted_mtu > 23:
                await self._peer.request_mtu(self.wanted_mtu)
            await self._discover(self._peer)
        except (core.BaseBumbleError, TimeoutError) as error:
            raise BleakError(f"lost while its services were read: {error!r}") from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise BleakError("lost while its services were read") from None

    async def _let_go(self, address: hci.Address) -> None:
        """End the link of an attempt that was given up: it would keep the next one away."""
        for connection in list(self.central.connections.values()):
            if connection.peer_address == address:
                with suppress(core.BaseBumbleError):  # lost already
                    await connection.disconnect()

    async def _reach(self, address: hci.Address) -> Connection:
        connecting = asyncio.ensure_future(
            self.central.connect(address, transport=core.PhysicalTransport.LE, timeout=None)
        )
        try:
            async with asyncio.timeout(self.connects_within_s):
                return await asyncio.shield(connecting)
        except TimeoutError:
            raise BleakDeviceNotFoundError(self.address) from None
        finally:
            if not connecting.done():
                try:
                    await asyncio.sleep(0.02)  # its command must be answered before it is given up
                finally:  # cancelled twice, too: by a timeout and at the end
                    connecting.cancel()
                    # The emulated controller knows no way to give a connection up.
                    sink: Any = self.central.host.hci_sink
                    sink.sink.pending_le_connection = None

    async def _discover(self, peer: Peer) -> None:
        collection = BleakGATTServiceCollection()
        for service in await peer.discover_services():
            uuid = str(service.uuid.to_hex_str("-")).lower()
            ours = BleakGATTService(service, service.handle, _full(uuid))
            collection.add_service(ours)
            for proxy in await service.discover_characteristics():
                self._proxies[proxy.handle] = proxy
                characteristic = BleakGATTCharacteristic(
                    proxy,
                    proxy.handle,
                    _full(str(proxy.uuid.to_hex_str("-")).lower()),
                    [name for bit, name in PROPERTIES.items() if proxy.properties & bit],
                    lambda: self.mtu_size - 3,
                    ours,
                )
                collection.add_characteristic(characteristic)
        self.services = collection

    def _lost(self, _reason: int) -> None:
        self._connection = None
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    @override
    async def disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect()

    @override
    async def pair(self, *args: Any, **kwargs: Any) -> None:
        raise BleakError("the node refuses to pair")

    @override
    async def unpair(self) -> None:
        raise BleakError("the node refuses to pair")

    @override
    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        return bytearray(await self._asked(self._proxies[characteristic.handle].read_value()))

    @override
    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        raise BleakError("the channel has no descriptor to be read")

    @override
    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        proxy = self._proxies[characteristic.handle]
        await self._asked(proxy.write_value(bytes(data), with_response=response))

    @override
    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        raise BleakError("the channel has no descriptor to be written")

    @override
    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        def notified(value: bytes) -> None:
            callback(bytearray(value))

        await self._asked(self._proxies[characteristic.handle].subscribe(notified))

    @override
    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        await self._asked(self._proxies[characteristic.handle].unsubscribe())

    async def _asked(self, asking: Any) -> Any:
        if self._connection is None:
            raise BleakError("Not connected")
        try:
            return await asking
        except (att.ATT_Error, core.BaseBumbleError, TimeoutError) as error:
            raise BleakError(str(error)) from None
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            raise BleakError("Not connected") from None


def _is_cancelled() -> bool:
    """Tell who awaits is cancelled from bumble's way to say that the peer has gone."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _full(uuid: str) -> str:
    return f"0000{uuid}-0000-1000-8000-00805f9b34fb" if len(uuid) == 4 else uuid


def backend(central: Device, mtu: int = 23) -> type[BumbleClient]:
    """Return the backend for clients of this device."""
    return type("BumbleClientOfOne", (BumbleClient,), {"central": central, "wanted_mtu": mtu})


def client(
    central: Device,
    address: str,
    mtu: int = 23,
    disconnected: Callable[[BleakClient], None] | None = None,
) -> BleakClient:
    """Return a bleak client that connects with this device."""
    device = BLEDevice(address, None, {})
    return BleakClient(device, disconnected, timeout=5.0, backend=backend(central, mtu))
