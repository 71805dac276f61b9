"""The Bluetooth LE port: an adapter on which whoever is near reads pushes and asks meters.

The same messages as on MQTT, in chunks (`channel.gatt`). Whoever connects is unknown: he gets
ciphered pushes, a bounded share of memory, radio and attention, and never makes the metering wait.
Must not know what is in a message.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bumble import hci, pairing
from bumble.att import Attribute, AttributeValue
from bumble.device import (
    AdvertisingEventProperties,
    AdvertisingParameters,
    AdvertisingSet,
    AdvertisingType,
    Connection,
    Device,
    DeviceConfiguration,
)
from bumble.gatt import Characteristic, Service
from bumble.transport import open_transport
from bumble.transport.common import TransportSink, TransportSource

from meter_node.channel import gatt
from meter_node.channel.hello import Hello
from meter_node.channel.requests import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES

from .mqtt import back_off
from .requests import Asker, Requests

_LOGGER = logging.getLogger(__name__)

SOURCE = "bluetooth"
STEADY_AFTER_S = 60.0
LOOK_S = 5.0
"""How often the adapter is asked whether it is still there."""
ANSWERS_WITHIN_S = 5.0
"""An adapter that takes longer for a command is gone."""
IDLE_S = 30.0
"""Whoever listens to nothing and has asked nothing for so long makes room."""
SEND_S = 30.0
"""Whoever takes nothing for so long is gone."""
TURN_S = 2.0
"""How long each meter is advertised where an adapter can advertise but one at a time."""
MOST_ANSWERS = 4
MOST_ANSWER_BYTES = MAX_RESPONSE_BYTES
"""What may wait for one central, besides the newest push of each meter."""
WIDEST_WINDOW = 4
"""Chunks on their way to one central, as far as the adapter's buffers are enough for all."""
MOST_PENDING = 512
"""Packets that wait for the adapter: a central makes it answer more than it takes."""
ADVERTISED_EVERY_MS = 500.0
_ACL_OVERHEAD = 4 + gatt.ATT_HEADER  # of L2CAP and ATT
_NAME = "Meter Node"


class Adapter(Protocol):
    """What bumble opens: packets to and from a controller."""

    source: TransportSource
    sink: TransportSink

    async def close(self) -> None:
        """Let go of it."""


type OpenAdapter = Callable[[str], Awaitable[Adapter]]


class AdapterLostError(Exception):
    """The adapter is there no more, or of no use."""


@dataclass(eq=False)
class _Meter:
    """One meter's service, and what stands in it."""

    title: str
    greeting: Hello | None = None
    last: bytes | None = None
    requests: Requests | None = None

    @property
    def hello(self) -> bytes:
        return self.greeting.to_json().encode()[: gatt.LONGEST_VALUE] if self.greeting else b""

    @property
    def advertisement(self) -> bytes:
        return gatt.advertisement(bytes.fromhex(self.title))

    @property
    def scan_response(self) -> bytes:
        return gatt.scan_response(self.greeting.model if self.greeting else _NAME)

    @property
    def address(self) -> hci.Address:
        """A static random address (top bits 11): the meter's own, and the same at each start."""
        digest = bytearray(hashlib.sha256(b"Meter Node" + bytes.fromhex(self.title)).digest()[:6])
        digest[5] |= 0xC0
        return hci.Address(bytes(digest), hci.Address.RANDOM_DEVICE_ADDRESS)


@dataclass(eq=False)
class _Offer:
    """A meter's characteristics in the table of one device."""

    meter: _Meter
    push: Characteristic[bytes]
    response: Characteristic[bytes]
    service: Service


@dataclass
class _Stream:
    """What waits on one characteristic of one connection, and the message that is under way."""

    waiting: deque[tuple[bytes, bool]]
    under_way: Iterator[bytes] | None = None
    number: int = 0

    def chunk(self, payload: int) -> bytes | None:
        """Return the next chunk, None where nothing waits."""
        while True:
            if self.under_way is not None:
                if (chunk := next(self.under_way, None)) is not None:
                    return chunk
                self.under_way = None
            if not self.waiting:
                return None
            message, kept = self.waiting.popleft()
            self.under_way = gatt.chunks(message, self.number, payload, kept=kept)
            self.number += 1


class _Central:
    """One connection: what it reads, what waits for it, and the halves of what it asks."""

    def __init__(
        self,
        connection: Connection,
        window: int,
        longest_chunk: int,
        notify: Callable[[Connection, Characteristic[bytes], bytes], Awaitable[None]],
        now_s: float,
    ) -> None:
        self.connection = connection
        self.active_s = now_s
        self._window = window
        self._longest_chunk = longest_chunk
        self._notify = notify
        self._streams: dict[Characteristic[bytes], _Stream] = {}
        self._halves: dict[_Meter, gatt.Assembler] = {}
        self._wake = asyncio.Event()

    @property
    def reads(self) -> bool:
        return bool(self._streams)

    def subscribe(self, characteristic: Characteristic[bytes], most: int) -> None:
        if characteristic not in self._streams:
            self._streams[characteristic] = _Stream(deque(maxlen=most))

    def unsubscribe(self, characteristic: Characteristic[bytes]) -> None:
        self._streams.pop(characteristic, None)

    def push(self, characteristic: Characteristic[bytes], push: bytes, *, kept: bool) -> None:
        """Send a push, in the place of one that still waits."""
        if (stream := self._streams.get(characteristic)) is not None:
            stream.waiting.append((push, kept))
            self._wake.set()

    def answer(self, characteristic: Characteristic[bytes], answer: bytes) -> None:
        """Send an answer; beyond what may wait it is dropped, and asked for anew."""
        stream = self._streams.get(characteristic)
        if stream is None:
            return
        waiting = sum(len(message) for message, _ in stream.waiting)
        if len(stream.waiting) == MOST_ANSWERS or waiting + len(answer) > MOST_ANSWER_BYTES:
            _LOGGER.debug("%s: takes its answers too slowly", self.connection.peer_address)
            return
        stream.waiting.append((answer, False))
        self._wake.set()

    def take(self, meter: _Meter, chunk: bytes, now_s: float) -> bytes | None:
        """Take a chunk of a request; return the request that is whole with it."""
        self.active_s = now_s
        half = self._halves.setdefault(meter, gatt.Assembler(MAX_REQUEST_BYTES))
        message = half.feed(chunk)
        return message.payload if message is not None else None

    async def send(self) -> None:
        """Send what waits, a window at a time. Raises TimeoutError for who takes nothing."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            in_window = 0
            while sent := await self._send_round():
                in_window += sent
                if in_window >= self._window:
                    in_window = 0
                    async with asyncio.timeout(SEND_S):
                        await self.connection.drain()

    async def _send_round(self) -> int:
        """Send one chunk of each characteristic, so that a long answer holds up no push."""
        payload = min(gatt.payload_of(self.connection.att_mtu), self._longest_chunk)
        sent = 0
        for characteristic, stream in list(self._streams.items()):
            if (chunk := stream.chunk(payload)) is not None:
                await self._notify(self.connection, characteristic, chunk)
                sent += 1
        return sent


@dataclass(eq=False)
class _Radio:
    """One adapter while it is there."""

    device: Device
    offers: dict[str, _Offer]
    most_connections: int
    centrals: dict[Connection, _Central] = field(default_factory=dict)
    senders: set[asyncio.Task[None]] = field(default_factory=set)
    sets: list[AdvertisingSet] = field(default_factory=list)
    turn: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self) -> None:
        """Serve whoever connects."""
        for offer in self.offers.values():
            self.device.add_service(offer.service)
            for characteristic in (offer.push, offer.response):
                characteristic.on(
                    characteristic.EVENT_SUBSCRIPTION,
                    partial(self._subscribed, offer, characteristic),
                )
        self.device.on(self.device.EVENT_CONNECTION, self._connected)

    # --- who is connected ------------------------------------------------------------------------

    @property
    def room(self) -> bool:
        return len(self.centrals) < self.most_connections

    def _connected(self, connection: Connection) -> None:
        self.changed.set()
        if not self.room:
            self._drop(connection)
            return
        queue = connection.data_packet_queue
        # So that nobody who takes nothing keeps the adapter's buffers from the others.
        buffers, longest = (queue.max_in_flight, queue.max_packet_size) if queue else (1, 0)
        window = min(max((buffers - 1) // self.most_connections, 1), WIDEST_WINDOW)
        central = _Central(
            connection,
            window,
            max(longest - _ACL_OVERHEAD, gatt.payload_of(gatt.LEAST_MTU)),
            self.device.notify_subscriber,
            asyncio.get_running_loop().time(),
        )
        self.centrals[connection] = central
        sender = asyncio.create_task(self._send(central))
        self.senders.add(sender)
        connection.on(connection.EVENT_DISCONNECTION, partial(self._gone, central, sender))

    def _gone(self, central: _Central, sender: asyncio.Task[None], _reason: int) -> None:
        self.centrals.pop(central.connection, None)
        sender.cancel()
        self.senders.discard(sender)
        self.changed.set()

    async def _send(self, central: _Central) -> None:
        try:
            await central.send()
        except TimeoutError:
            _LOGGER.debug("%s: takes nothing any more", central.connection.peer_address)
            self._drop(central.connection)

    def _drop(self, connection: Connection) -> None:
        async def disconnect() -> None:
            with suppress(Exception):  # gone already
                async with asyncio.timeout(ANSWERS_WITHIN_S):
                    await connection.disconnect()

        dropping = asyncio.create_task(disconnect())
        self.senders.add(dropping)
        dropping.add_done_callback(self.senders.discard)

    def make_room(self, now_s: float) -> None:
        """Drop who is connected for nothing."""
        for central in self.centrals.values():
            if not central.reads and now_s - central.active_s > IDLE_S:
                self._drop(central.connection)

    # --- what they read and ask ------------------------------------------------------------------

    def _subscribed(
        self,
        offer: _Offer,
        characteristic: Characteristic[bytes],
        connection: Connection,
        notify: bool,
        _indicate: bool,
    ) -> None:
        central = self.centrals.get(connection)
        if central is None:
            return
        if not notify:
            central.unsubscribe(characteristic)
        elif characteristic is offer.response:
            central.subscribe(characteristic, MOST_ANSWERS)
        else:
            central.subscribe(characteristic, 1)
            if offer.meter.last is not None:
                central.push(characteristic, offer.meter.last, kept=True)

    def push(self, title: str, ciphered: bytes) -> None:
        """Send a meter's push to all that read."""
        if (offer := self.offers.get(title)) is not None:
            for central in self.centrals.values():
                central.push(offer.push, ciphered, kept=False)

    def ask(self, meter: _Meter, connection: Connection, chunk: bytes) -> None:
        """Take what was written: a chunk of a request."""
        central = self.centrals.get(connection)
        if central is None or meter.requests is None:
            return
        now_s = asyncio.get_running_loop().time()
        if (request := central.take(meter, chunk, now_s)) is not None:
            answer = partial(central.answer, self.offers[meter.title].response)
            meter.requests.take(Asker(SOURCE, str(connection.peer_address), answer), request)

    # --- that they find it -----------------------------------------------------------------------

    async def advertise(self) -> None:
        """Have each meter advertised, as long as there is room for one more."""
        if not self.room:
            return
        meters = [offer.meter for offer in self.offers.values()]
        if not self.sets and self.device.supports_le_extended_advertising:
            await self._make_sets(meters)
        for one in self.sets:
            if not one.enabled:
                with suppress(hci.HCI_Error):  # as many are connected as the adapter can hold
                    await one.start()
        if not self.sets:
            await self._take_turns(meters)

    async def _make_sets(self, meters: list[_Meter]) -> None:
        try:
            for meter in meters:
                made = await self.device.create_advertising_set(
                    advertising_parameters=AdvertisingParameters(
                        # What each scanner understands, and answers with a name.
                        AdvertisingEventProperties.from_advertising_type(
                            AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
                        ),
                        primary_advertising_interval_min=ADVERTISED_EVERY_MS,
                        primary_advertising_interval_max=ADVERTISED_EVERY_MS,
                    ),
                    random_address=meter.address,
                    advertising_data=meter.advertisement,
                    scan_response_data=meter.scan_response,
                    auto_start=False,
                    auto_restart=False,
                )
                self.sets.append(made)
        except hci.HCI_Error:  # it can't advertise so many at once
            for made in self.sets:
                await made.remove()
            self.sets = []

    async def _take_turns(self, meters: list[_Meter]) -> None:
        meter = meters[self.turn % len(meters)]
        self.turn += 1
        with suppress(hci.HCI_Error):  # a connection has ended it
            await self.device.stop_advertising()
        with suppress(hci.HCI_Error):  # as many are connected as the adapter can hold
            await self.device.start_advertising(
                advertising_data=meter.advertisement,
                scan_response_data=meter.scan_response,
                advertising_interval_min=ADVERTISED_EVERY_MS,
                advertising_interval_max=ADVERTISED_EVERY_MS,
            )

    @property
    def takes_turns(self) -> bool:
        return not self.sets and len(self.offers) > 1

    async def look(self) -> None:
        """See whether the adapter is of use. Raises AdapterLostError, HCI_Error."""
        await self.device.send_sync_command(hci.HCI_Read_BD_ADDR_Command())
        queues = (connection.data_packet_queue for connection in self.centrals)
        if any(queue is not None and queue.pending > MOST_PENDING for queue in queues):
            raise AdapterLostError("a central makes it answer more than it takes")


class BlePort:
    """All meters of one node on one adapter, which may come and go."""

    def __init__(
        self,
        transport: str,
        most_connections: int = 4,
        open_adapter: OpenAdapter = open_transport,
    ) -> None:
        """``transport``: the adapter, as bumble names it; ``open_adapter`` opens it."""
        self._transport = transport
        self._most_connections = most_connections
        self._open_adapter = open_adapter
        self._meters: dict[str, _Meter] = {}
        self._radio: _Radio | None = None

    @property
    def connected(self) -> bool:
        """Whether somebody reads pushes now."""
        return self._radio is not None and any(one.reads for one in self._radio.centrals.values())

    def announce(self, title: str, greeting: Hello) -> None:
        """Let a meter's hello be read."""
        self._meter(title).greeting = greeting

    def push(self, title: str, ciphered: bytes) -> None:
        """Send a meter's push to all that read, and later to who comes then."""
        self._meter(title).last = ciphered
        if self._radio is not None:
            self._radio.push(title, ciphered)

    def listen(self, title: str, requests: Requests) -> None:
        """Have a meter's requests answered, and the meter found: from the next adapter on."""
        self._meter(title).requests = requests

    def _meter(self, title: str) -> _Meter:
        return self._meters.setdefault(title, _Meter(title))

    async def run(self) -> None:
        """Serve on the adapter, and again when it comes back: until cancelled."""
        # Whoever is in radio reach could fill the log with what bumble says of odd packets.
        logging.getLogger("bumble").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            started_s = loop.time()
            try:
                await self._serve()
            except Exception as error:  # of the system, of libusb, of bumble: all mean the same
                if loop.time() - started_s > STEADY_AFTER_S:
                    attempt = 0
                wait_s = back_off(attempt)
                # Once is enough: an adapter that is away for a night should not fill the log.
                _LOGGER.log(
                    logging.WARNING if attempt == 0 else logging.DEBUG,
                    "Bluetooth adapter %s: %s; metering goes on, next attempt in %.0f s",
                    self._transport,
                    str(error) or type(error).__name__,
                    wait_s,
                )
                attempt += 1
                await asyncio.sleep(wait_s)

    async def _serve(self) -> None:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            adapter = await self._open_adapter(self._transport)
        radio: _Radio | None = None
        try:
            survive_the_end_of(adapter)
            radio = self._radio_on(adapter)
            await _to_its_end(radio.device.power_on())
            radio.begin()
            self._radio = radio
            _LOGGER.info("Bluetooth adapter %s: advertising", self._transport)
            while not adapter.source.terminated.done():
                await self._look_after(radio, adapter.source.terminated)
            raise AdapterLostError("it is gone")
        finally:
            self._radio = None
            if radio is not None:
                for task in radio.senders:
                    task.cancel()
                await asyncio.gather(*radio.senders, return_exceptions=True)
                with suppress(Exception):  # lost: there is nobody to say it to
                    async with asyncio.timeout(1):
                        await radio.device.send_sync_command(hci.HCI_Reset_Command())
            with suppress(Exception):
                await adapter.close()

    async def _look_after(self, radio: _Radio, lost: asyncio.Future[None]) -> None:
        radio.changed.clear()
        await _to_its_end(radio.look())
        await _to_its_end(radio.advertise())
        radio.make_room(asyncio.get_running_loop().time())
        changed = asyncio.ensure_future(radio.changed.wait())
        try:
            await asyncio.wait(
                (changed, lost),
                timeout=TURN_S if radio.takes_turns else LOOK_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            changed.cancel()

    def _radio_on(self, adapter: Adapter) -> _Radio:
        meters = [meter for meter in self._meters.values() if meter.requests is not None]
        if not meters:
            raise AdapterLostError("there is no meter to advertise")
        device = Device.from_config_with_hci(
            DeviceConfiguration(name=_NAME, address=meters[0].address),
            adapter.source,
            adapter.sink,
        )
        # Nobody needs to pair: what is private is ciphered. Keys of strangers would pile up.
        device.pairing_config_factory = lambda _: pairing.PairingConfig(delegate=_NoPairing())
        radio = _Radio(device, {}, self._most_connections)
        radio.offers |= {meter.title: _offer(meter, radio.ask) for meter in meters}
        return radio


async def _to_its_end(commands: Coroutine[None, None, None]) -> None:
    """Await commands to the adapter, to their end even when cancelled.

    bumble stumbles over an answer for which nobody waits any more. Raises TimeoutError.
    """

    async def in_time() -> None:
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            await commands

    task = asyncio.create_task(in_time())
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


class _NoPairing(pairing.PairingDelegate):
    """Refuses whoever wants to pair."""

    async def accept(self) -> bool:
        return False


def _offer(meter: _Meter, ask: Callable[[_Meter, Connection, bytes], None]) -> _Offer:
    properties, permissions = Characteristic.Properties, Attribute.Permissions

    def notified(uuid: str) -> Characteristic[bytes]:
        return Characteristic(uuid, properties.NOTIFY, Attribute.Permissions(0), b"")

    push, response = notified(gatt.PUSH_UUID), notified(gatt.RESPONSE_UUID)
    service = Service(
        gatt.SERVICE_UUID,
        [
            Characteristic(
                gatt.HELLO_UUID,
                properties.READ,
                permissions.READABLE,
                AttributeValue(read=lambda _: meter.hello),
            ),
            push,
            Characteristic(
                gatt.REQUEST_UUID,
                properties.WRITE | properties.WRITE_WITHOUT_RESPONSE,
                permissions.WRITEABLE,
                AttributeValue(write=partial(ask, meter)),
            ),
            response,
        ],
    )
    return _Offer(meter, push, response, service)


def survive_the_end_of(adapter: Adapter) -> None:
    """Have the end of a Linux HCI socket noticed.

    The kernel ends it when the adapter is unplugged. bumble reads it until it would block, which
    then never happens: it would hold up the whole node.
    """
    source = adapter.source
    socket, parser = getattr(source, "socket", None), getattr(source, "parser", None)
    if socket is None or parser is None:
        return
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            packet = socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        if packet:
            parser.feed_data(packet)
            return
        loop.remove_reader(socket.fileno())
        if not source.terminated.done():
            source.terminated.set_result(None)

    loop.add_reader(socket.fileno(), read)
