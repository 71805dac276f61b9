"""A whole node without a broker: its meter is found, read and asked over Bluetooth."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bumble.controller import Controller
from bumble.transport.tcp_server import open_tcp_server_transport_with_socket

from meter_node import config, keys, node
from meter_node.channel import apdu, gatt, objects, services
from meter_node.channel.hello import Hello
from meter_node.channel.requests import MAX_RESPONSE_BYTES, MeterTime, Requester
from meter_node.channel.security import Receiver
from meter_node.ciphering import PycryptodomeAead
from tests.radio import Air, address_of, client

FLAT = """
[bluetooth]
enabled = true
transport = "tcp-client:127.0.0.1:{port}"
[[meter]]
name = "flat"
model = "162M"
push_interval_s = 1
[meter.source]
kind = "simulated"
"""


@pytest.fixture
async def air(socket_enabled: None) -> Air:
    return Air()


@pytest.fixture
async def running(air: Air, tmp_path: Path) -> AsyncIterator[Path]:
    """A node whose adapter is reached over TCP, as some development boards are."""
    listening = socket.create_server(("127.0.0.1", 0))
    line: Any = await open_tcp_server_transport_with_socket(listening)
    controller = Controller("dongle", line.source, line.sink, air.link)
    controller.le_acl_data_packet_length = 251
    path = tmp_path / config.FILE_NAME
    path.write_text(FLAT.format(port=listening.getsockname()[1]))
    keys.load_or_make(tmp_path, ["flat"])
    task = asyncio.create_task(node.run(config.load(path), tmp_path))
    yield tmp_path
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    line.server.close()
    for one in controller.advertising_sets.values():  # the emulation goes on after a reset
        one.stop()


async def test_a_meter_is_read_and_asked_with_no_broker_at_all(running: Path, air: Air) -> None:
    meter, _ = keys.pair(running, "flat", "tablet", "tablet")
    control = meter.consumers["tablet"]
    central = await air.central()
    async with asyncio.timeout(30):
        while not (heard := await air.heard(central)):
            pass
    (advertised,) = heard.values()
    assert bytes(advertised.data).startswith(gatt.advertisement(meter.system_title))

    connected = client(central, address_of(advertised), 247)
    await connected.connect()
    (service,) = [one for one in connected.services if one.uuid == gatt.SERVICE_UUID]
    characteristics = {one.uuid: one for one in service.characteristics}
    said = await connected.read_gatt_char(characteristics[gatt.HELLO_UUID])
    greeting = Hello.from_json(bytes(said))
    assert (greeting.model, greeting.push_interval) == ("162M", 1)

    arrived: dict[str, asyncio.Queue[gatt.Message]] = {}
    for uuid in (gatt.RESPONSE_UUID, gatt.PUSH_UUID):
        assembler, queue = gatt.Assembler(MAX_RESPONSE_BYTES), asyncio.Queue[gatt.Message]()
        arrived[uuid] = queue

        def notified(
            _: Any,
            chunk: bytearray,
            assembler: gatt.Assembler = assembler,
            queue: asyncio.Queue[gatt.Message] = queue,
        ) -> None:
            if (message := assembler.feed(bytes(chunk))) is not None:
                queue.put_nowait(message)

        await connected.start_notify(characteristics[uuid], notified)

    aead, clock = PycryptodomeAead(), MeterTime()
    receiver = Receiver(aead, meter.system_title, meter.push)
    async with asyncio.timeout(20):
        while (message := await arrived[gatt.PUSH_UUID].get()).kept:
            receiver.accept(message.payload)
        push = apdu.decode_data_notification(receiver.accept(message.payload).plaintext)
        assert push.time is not None
        clock.heard(push.time.utc(), datetime.now(UTC))

        requester = Requester(aead, control, meter.system_title)
        asked = requester.request(services.get(objects.PUSH_INTERVAL), clock.at(datetime.now(UTC)))
        requests = characteristics[gatt.REQUEST_UUID]
        for chunk in gatt.chunks(asked.apdu, 1, requests.max_write_without_response_size):
            await connected.write_gatt_char(requests, chunk, response=True)
        answer = await arrived[gatt.RESPONSE_UUID].get()
    assert requester.accept(answer.payload).value() == 1
    await connected.disconnect()


async def test_without_its_library_bluetooth_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / config.FILE_NAME
    path.write_text(FLAT.format(port=1))
    monkeypatch.setitem(sys.modules, "meter_node.ports.ble", None)
    with pytest.raises(config.ConfigError, match=r"pip install meter-node\[bluetooth\]"):
        await node.run(config.load(path), tmp_path)
