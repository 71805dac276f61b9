"""Bluetooth LE: real bleak clients read and ask a real port over adapters that are emulated.

A whole meter stands behind it, with its roles and numbers, as in the tests over MQTT.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.service import BleakGATTService
from bumble import core, hci
from bumble.device import Device

from meter_node.channel import axdr, gatt, hello, objects, services
from meter_node.channel.event_codes import Log
from meter_node.channel.hello import Hello
from meter_node.channel.registers import BY_KEY
from meter_node.channel.requests import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Requester
from meter_node.channel.security import Keys
from meter_node.ciphering import PycryptodomeAead
from meter_node.ports import ble
from meter_node.ports.ble import BlePort
from meter_node.ports.requests import Requests
from tests.meter_node.cosem.site import CONSUMER, TITLE, Site
from tests.radio import Air, VirtualAdapter, address_of, client

METER = hello.topic_title(TITLE)
NEIGHBOUR = hello.topic_title(b"MTN\x00\x00\x00\x00\x2b")
IMPORT = objects.CosemObject(objects.ClassId.REGISTER, BY_KEY["import_active_energy"].logical_name)
READ = services.get(IMPORT)
RELAY_ON = services.put(objects.RELAY_COMMANDS[1], axdr.enum(1))
MTUS = (23, 247)
WAIT_S = 10.0


def push_of(number: int, length: int = 1700) -> bytes:
    """As long as a three-phase meter's full push."""
    return random.Random(number).randbytes(length)


def greeting(title: str, model: str = "382M") -> Hello:
    return Hello("MeterNode_V1", title, model, "0.1.0", 10, "meter_node/node/attic/status")


class House:
    """A node's Bluetooth port with a meter behind it."""

    def __init__(self, *, extended: bool = True, most_connections: int = 4) -> None:
        self.air = Air()
        self.site = Site()
        self.extended = extended
        self.adapters: list[VirtualAdapter] = []
        self.opened: list[str] = []
        self.broken = False
        self.port = BlePort("hci-socket:0", most_connections, self._open)
        self.requests = Requests(
            METER,
            lambda source: self.site.server.connect(source, MAX_RESPONSE_BYTES),
            lambda: self.site.now_ns,
            self._settled,
            misled=lambda source: self.site._count("decryption_failed", source),
        )
        self.port.listen(METER, self.requests)
        self.port.announce(METER, greeting(METER))

    async def _open(self, transport: str) -> VirtualAdapter:
        self.opened.append(transport)
        if self.broken:
            raise OSError(19, "No such device")
        self.adapters.append(VirtualAdapter(self.air, "node", extended=self.extended))
        return self.adapters[-1]

    async def _settled(self) -> None:
        """What was commanded is kept."""

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.site.now_ns / 1e9, UTC)

    @property
    def radio(self) -> ble._Radio:
        assert self.port._radio is not None
        return self.port._radio

    def requester(self, title: bytes = b"HOMEHOME", keys: Keys = CONSUMER) -> Requester:
        return Requester(PycryptodomeAead(), keys, TITLE, title)

    @property
    def chosen(self) -> str:
        return str(self.site.meter.snapshot().relays[0].consumer_command)

    def logged(self) -> list[tuple[int, str]]:
        self.site.commit()
        return self.site.log(Log.COMMUNICATION)


class Reader:
    """A program that reads one meter over a bleak client."""

    def __init__(self, connected: BleakClient, title: str) -> None:
        self.client = connected
        self.title = title
        self.pushes: asyncio.Queue[gatt.Message] = asyncio.Queue()
        self.answers: asyncio.Queue[gatt.Message] = asyncio.Queue()
        self.chunks = 0
        self._number = 0

    async def find(self) -> BleakGATTService:
        """Return the service of the meter among those of its node."""
        for service in self.client.services:
            if service.uuid == gatt.SERVICE_UUID:
                characteristic = service.get_characteristic(gatt.HELLO_UUID)
                assert characteristic is not None
                said = await self.client.read_gatt_char(characteristic)
                if Hello.from_json(bytes(said)).system_title == self.title:
                    return service
        raise AssertionError(f"no service of {self.title}")

    async def subscribe(self) -> None:
        service = await self.find()
        for uuid, queue, most in (
            (gatt.RESPONSE_UUID, self.answers, MAX_RESPONSE_BYTES),
            (gatt.PUSH_UUID, self.pushes, 8192),
        ):
            characteristic = service.get_characteristic(uuid)
            assert characteristic is not None
            await self.client.start_notify(
                characteristic, self._assembling(gatt.Assembler(most), queue)
            )

    def _assembling(
        self, assembler: gatt.Assembler, queue: asyncio.Queue[gatt.Message]
    ) -> Callable[[Any, bytearray], None]:
        def notified(_: Any, chunk: bytearray) -> None:
            self.chunks += 1
            if (message := assembler.feed(bytes(chunk))) is not None:
                queue.put_nowait(message)

        return notified

    async def push(self) -> gatt.Message:
        async with asyncio.timeout(WAIT_S):
            return await self.pushes.get()

    async def answer(self) -> bytes:
        async with asyncio.timeout(WAIT_S):
            return (await self.answers.get()).payload

    async def write(self, *chunks: bytes, response: bool = True) -> None:
        characteristic = (await self.find()).get_characteristic(gatt.REQUEST_UUID)
        assert characteristic is not None
        for chunk in chunks:
            await self.client.write_gatt_char(characteristic, chunk, response=response)

    async def send(self, request: bytes) -> None:
        characteristic = (await self.find()).get_characteristic(gatt.REQUEST_UUID)
        assert characteristic is not None
        self._number += 1
        longest = characteristic.max_write_without_response_size
        await self.write(*gatt.chunks(request, self._number, longest))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(house: House) -> AsyncIterator[House]:
    tasks = [asyncio.create_task(house.port.run()), asyncio.create_task(house.requests.run())]
    try:
        yield house
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture(autouse=True)
def _soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ble, "back_off", lambda attempt: 0.02)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving(House()) as made:
        yield made


@asynccontextmanager
async def reading(
    house: House, mtu: int = 247, title: str = METER, central: Device | None = None
) -> AsyncIterator[Reader]:
    """A reader that has found the meter by what it advertises, and connected."""
    central = central or await house.air.central()
    connected = client(central, await find(house, central, title), mtu)
    await connected.connect()
    try:
        yield Reader(connected, title)
    finally:
        await connected.disconnect()


async def find(house: House, central: Device, title: str = METER) -> str:
    """Return the address from which a title is advertised."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for advertised in (await house.air.heard(central, 0.2)).values():
                if title_of(advertised) == title:
                    return address_of(advertised)


def title_of(advertised: Any) -> str | None:
    for data in advertised.data.get_all(core.AdvertisingData.SERVICE_DATA_128_BIT_UUID, raw=True):
        if data[:16] == bytes.fromhex(gatt.SERVICE_UUID.replace("-", ""))[::-1]:
            return gatt.advertised_title(data[16:])
    return None


# --- it is found ---------------------------------------------------------------------------------


async def test_a_meter_is_found_by_its_title_and_says_hello(house: House) -> None:
    async with reading(house, mtu=23) as reader:
        service = await reader.find()
        characteristic = service.get_characteristic(gatt.HELLO_UUID)
        assert characteristic is not None
        said = await reader.client.read_gatt_char(characteristic)
        assert Hello.from_json(bytes(said)) == greeting(METER)


@pytest.mark.parametrize("extended", [True, False], ids=["extended", "Bluetooth 4"])
async def test_each_meter_of_a_node_is_found_and_read(
    extended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ble, "TURN_S", 0.2)
    house = House(extended=extended)
    house.port.listen(NEIGHBOUR, house.requests)
    house.port.announce(NEIGHBOUR, greeting(NEIGHBOUR, "162M"))
    async with serving(house):
        central = await house.air.central()
        addresses = {await find(house, central, title) for title in (METER, NEIGHBOUR)}
        assert len(addresses) == (2 if extended else 1)
        for title in (METER, NEIGHBOUR):
            async with reading(house, title=title, central=central) as reader:
                await reader.subscribe()
                house.port.push(METER, push_of(1))
                house.port.push(NEIGHBOUR, push_of(2))
                assert (await reader.push()).payload == push_of(1 if title == METER else 2)


async def test_a_meter_has_the_same_address_after_a_restart() -> None:
    found = []
    for _ in range(2):
        async with serving(House()) as house:
            found.append(await find(house, await house.air.central()))
    assert found[0] == found[1]
    assert int(found[0][:2], 16) >= 0xC0  # a static random address has its top bits set


# --- pushes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", MTUS)
async def test_pushes_come_as_they_are_on_mqtt(house: House, mtu: int) -> None:
    async with reading(house, mtu) as reader:
        await reader.subscribe()
        await until(lambda: house.port.connected)
        for number in range(3):
            house.port.push(METER, push_of(number))
            assert await reader.push() == gatt.Message(push_of(number), kept=False)
        # 8 bytes of head and 1700 of message, 4 of each chunk's are its own
        assert reader.chunks == 3 * -(-1708 // (mtu - 3 - 4))


async def test_who_comes_later_gets_the_last_push_marked_as_kept(house: House) -> None:
    house.port.push(METER, push_of(1))
    house.port.push(METER, push_of(2))
    async with reading(house) as reader:
        await reader.subscribe()
        assert await reader.push() == gatt.Message(push_of(2), kept=True)
        house.port.push(METER, push_of(3))
        assert await reader.push() == gatt.Message(push_of(3), kept=False)


async def test_several_centrals_read_at_once_at_their_own_mtu(house: House) -> None:
    async with reading(house, 23) as one, reading(house, 247) as other, reading(house) as third:
        for reader in (one, other, third):
            await reader.subscribe()
        await until(lambda: sum(one.reads for one in house.radio.centrals.values()) == 3)
        for number in range(5):
            house.port.push(METER, push_of(number))
            for reader in (one, other, third):
                assert (await reader.push()).payload == push_of(number)


async def test_who_unsubscribes_gets_no_more(house: House) -> None:
    async with reading(house) as reader:
        await reader.subscribe()
        characteristic = (await reader.find()).get_characteristic(gatt.PUSH_UUID)
        assert characteristic is not None
        await reader.client.stop_notify(characteristic)
        house.port.push(METER, push_of(1))
        await asyncio.sleep(0.1)
        assert reader.chunks == 0


class Mute:
    """Keeps from the node that a central has taken its packets, as if it took none."""

    def __init__(self, adapter: VirtualAdapter, handle: int) -> None:
        self._send = adapter.controller.send_hci_packet
        self._handle = handle
        adapter.controller.send_hci_packet = self  # type: ignore[method-assign, assignment]

    def __call__(self, packet: hci.HCI_Packet) -> None:
        completed = isinstance(packet, hci.HCI_Number_Of_Completed_Packets_Event)
        if completed and packet.connection_handles == [self._handle]:
            return
        self._send(packet)


async def test_a_central_that_takes_nothing_holds_one_push_and_disturbs_nobody(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reading(house) as slow:
        await slow.subscribe()
        await until(lambda: house.port.connected)
        (stuck,) = house.radio.centrals.values()
        Mute(house.adapters[0], stuck.connection.handle)
        async with reading(house) as quick:
            await quick.subscribe()
            for number in range(50):
                house.port.push(METER, push_of(number))
                while (await quick.push()).payload != push_of(number):
                    pass
            (stream,) = [one for one in stuck._streams.values() if one.waiting]
            assert len(stream.waiting) == 1
            queue = stuck.connection.data_packet_queue
            assert queue is not None
            assert queue.pending <= ble.WIDEST_WINDOW + 2  # and what answered its own requests
    await asyncio.sleep(0)


async def test_a_central_that_takes_nothing_is_dropped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ble, "SEND_S", 0.2)
    async with reading(house) as slow:
        await slow.subscribe()
        await until(lambda: house.port.connected)
        (stuck,) = house.radio.centrals.values()
        Mute(house.adapters[0], stuck.connection.handle)
        house.port.push(METER, push_of(1))
        await until(lambda: not house.radio.centrals)


async def test_a_central_that_is_connected_for_nothing_makes_room(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ble, "LOOK_S", 0.1)
    async with reading(house) as reader:
        await reader.subscribe()
        monkeypatch.setattr(ble, "IDLE_S", 0.1)
        async with reading(house) as idle:
            await until(lambda: not idle.client.is_connected)
        assert reader.client.is_connected


async def test_no_more_centrals_than_there_is_room_for_and_then_the_next() -> None:
    async with serving(House(most_connections=1)) as house:
        central = await house.air.central()
        async with reading(house) as reader:
            await reader.subscribe()
            assert await house.air.heard(central, 1.2) == {}, "nothing is advertised meanwhile"
        await find(house, central)


async def test_nobody_pairs(house: House) -> None:
    central = await house.air.central()
    async with reading(house, central=central):
        (connection,) = central.connections.values()
        with pytest.raises((core.ProtocolError, asyncio.CancelledError)):
            async with asyncio.timeout(WAIT_S):
                await connection.pair()


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", MTUS)
async def test_a_consumer_reads_his_register_and_commands_his_relay(house: House, mtu: int) -> None:
    home = house.requester()
    async with reading(house, mtu) as reader:
        await reader.subscribe()
        await reader.send(home.request(READ, house.time).apdu)
        read = home.accept(await reader.answer()).value()
        assert read == house.site.meter.raw("import_active_energy")
        await reader.send(home.request(RELAY_ON, house.time).apdu)
        assert home.accept(await reader.answer()).value() is None
    assert house.chosen == "on"


async def test_an_answer_goes_to_who_asked_and_to_nobody_else(house: House) -> None:
    home = house.requester()
    async with reading(house) as asking, reading(house) as listening:
        await asking.subscribe()
        await listening.subscribe()
        await asking.send(home.request(READ, house.time).apdu)
        home.accept(await asking.answer())
        assert listening.answers.empty()


async def test_a_push_is_not_held_up_by_a_long_answer(house: House) -> None:
    home = house.requester()
    async with reading(house, 23) as reader:
        await reader.subscribe()
        # The list of all objects has some tens of thousands of bytes: thousands of chunks.
        await reader.send(home.request(services.get(objects.ASSOCIATION, 2), house.time).apdu)
        await until(lambda: reader.chunks > 10)
        house.port.push(METER, push_of(1))
        await reader.push()
        assert reader.answers.empty()
        home.accept(await reader.answer())


async def test_the_same_request_once_more_is_answered_and_not_carried_out(house: House) -> None:
    home = house.requester()
    sent = home.request(RELAY_ON, house.time).apdu
    async with reading(house) as reader:
        await reader.subscribe()
        await reader.send(sent)
        first = await reader.answer()
        commanded = house.site.meter.snapshot()
        await reader.send(sent)
        assert await reader.answer() == first
        assert house.site.meter.snapshot() == commanded


async def test_requests_are_limited_for_each_connection(house: House) -> None:
    home, sent = house.requester(), 0
    async with reading(house) as reader:
        await reader.subscribe()
        began_s = asyncio.get_running_loop().time()
        while sent < 60:
            sent += 1
            await reader.send(home.request(READ, house.time).apdu)
        await asyncio.sleep(0.2)
        lasted_s = asyncio.get_running_loop().time() - began_s
        # 20 at once, and 5 more each second
        assert 0 < reader.answers.qsize() <= 20 + 5 * lasted_s + 1


# --- what is not a request -----------------------------------------------------------------------


def _oversized(request: bytes) -> list[bytes]:
    return list(gatt.chunks(request + bytes(MAX_REQUEST_BYTES), 9, 20))


HOSTILE: dict[str, Callable[[bytes], list[bytes]]] = {
    "nothing": lambda request: [b""],
    "one byte": lambda request: [b"\x00"],
    "a header alone": lambda request: [bytes(4)],
    "the request without chunks": lambda request: [request[:200]],
    "half of it": lambda request: list(gatt.chunks(request, 9, 20))[:3],
    "the end first": lambda request: list(gatt.chunks(request, 9, 20))[::-1],
    "each chunk twice": lambda request: [
        chunk for chunk in gatt.chunks(request, 9, 20) for _ in range(2)
    ],
    "a flipped bit": lambda request: list(
        gatt.chunks(bytes((request[0],)) + request[1:-1] + bytes((request[-1] ^ 1,)), 9, 20)
    ),
    "too long": _oversized,
    "an announced length of 16 MiB": lambda request: [bytes(5) + b"\xff\xff\xff" + bytes(12)],
    "noise": lambda request: [random.Random(1).randbytes(200) for _ in range(20)],
    "noise in good chunks": lambda request: list(
        gatt.chunks(random.Random(2).randbytes(300), 9, 20)
    ),
    "somebody else's APDU": lambda request: list(gatt.chunks(b"\x0f" + request[1:], 9, 20)),
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_hostile_writes_change_nothing_and_the_next_request_is_answered(
    house: House, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    home = house.requester()
    before = house.site.meter.snapshot()
    async with reading(house) as reader:
        await reader.subscribe()
        request = home.request(RELAY_ON, house.time).apdu
        for response in (True, False):
            await reader.write(*HOSTILE[kind](request), response=response)
        await asyncio.sleep(0.05)
        assert house.chosen == "automatic"
        assert house.site.meter.snapshot().relays == before.relays
        while not reader.answers.empty():  # an exception in the clear, which proves nothing
            assert reader.answers.get_nowait().payload[0] == services.EXCEPTION
        await reader.send(home.request(READ, house.time).apdu)
        home.accept(await reader.answer())
        (central,) = house.radio.centrals.values()
        assert sum(half.held for half in central._halves.values()) <= MAX_REQUEST_BYTES
    ours = [one for one in caplog.records if one.name.startswith(("meter_node", "bumble", "root"))]
    assert not [one for one in ours if one.levelno > logging.WARNING]
    assert len([one for one in ours if one.levelno == logging.WARNING]) <= 1


async def test_a_forged_request_is_counted_as_one_by_bluetooth(house: House) -> None:
    stranger = house.requester(keys=Keys(bytes(16), bytes(16)))
    async with reading(house) as reader:
        await reader.subscribe()
        await reader.send(stranger.request(RELAY_ON, house.time).apdu)
        assert (await reader.answer())[0] == services.EXCEPTION
    assert house.chosen == "automatic"
    assert [code for code, detail in house.logged() if "bluetooth" in detail] == [49]


# --- the adapter ---------------------------------------------------------------------------------


async def test_a_pulled_adapter_is_used_again_when_it_is_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with reading(house) as reader:
        await reader.subscribe()
        house.broken = True
        house.adapters[0].pull()
        await until(lambda: len(house.opened) > 3)
        house.port.push(METER, push_of(1))
        assert not house.port.connected
    house.broken = False
    async with reading(house) as reader:
        await reader.subscribe()
        assert (await reader.push()).payload == push_of(1)
    ours = [one for one in caplog.records if one.name.startswith("meter_node")]
    told = [one for one in ours if one.levelno >= logging.WARNING]
    assert len(told) == 1, "an adapter that stays away is told once"


async def test_an_adapter_that_answers_no_more_is_opened_anew(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ble, "LOOK_S", 0.05)
    monkeypatch.setattr(ble, "ANSWERS_WITHIN_S", 0.2)
    await until(lambda: house.port._radio is not None)
    house.adapters[0].controller.host = None
    await until(lambda: len(house.adapters) == 2)
    async with reading(house) as reader:
        await reader.find()


async def test_the_end_of_a_linux_socket_is_noticed_and_ends_the_reading() -> None:
    ours, kernels = socket.socketpair()
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    parsed: list[bytes] = []
    source = SimpleNamespace(
        socket=ours,
        parser=SimpleNamespace(feed_data=parsed.append),
        terminated=loop.create_future(),
    )
    ble.survive_the_end_of(SimpleNamespace(source=source))  # type: ignore[arg-type]
    kernels.send(b"\x04\x0e")
    await until(lambda: parsed)
    kernels.close()
    async with asyncio.timeout(WAIT_S):
        await source.terminated
    assert parsed == [b"\x04\x0e"]
    assert not loop.remove_reader(ours.fileno()), "it is not looked at any more"
    ours.close()
