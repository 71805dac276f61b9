"""Ports that push live through readers that go, shout, sleep or come in twos."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from module_house import LIST_KEYS, ModuleHouse, pseudo_terminal, reader_of, running

from meter_node.channel import frames, hdlc, security
from meter_node.ciphering import PycryptodomeAead
from meter_node.ports import bearers, conversation
from meter_node.ports.module import ModuleSettings
from meter_node.ports.modules import KINDS
from meter_node.ports.p1 import check_sequence

HOUR_S = 3600


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lists_in(data: bytes) -> int:
    found = hdlc.FrameReader().feed(data)
    assert all(isinstance(frame, hdlc.Frame) for frame in found)
    return len(found)


def ciphered_lists_in(data: bytes) -> int:
    receiver = security.Receiver(PycryptodomeAead(), b"MTN12345", LIST_KEYS)
    found = hdlc.FrameReader().feed(data)
    for frame in found:
        assert isinstance(frame, hdlc.Frame)
        receiver.accept(frames.information_apdu(frame))
    return len(found)


def telegrams_in(data: bytes) -> int:
    telegrams = data.split(b"/MTN5")[1:]
    for telegram in telegrams:
        body, _, check = (b"/MTN5" + telegram).partition(b"!")
        assert check == f"{check_sequence(body + b'!'):04X}\r\n".encode()
    return len(telegrams)


def lines_in(data: bytes) -> int:
    return data.count(b"\n")


type Count = Callable[[bytes], int]

PORTS: list[tuple[str, dict[str, object], int, Count]] = [
    ("han", {}, 2400, lists_in),
    ("han", {"ciphered": True}, 2400, ciphered_lists_in),
    ("p1", {}, 115_200, telegrams_in),
    ("wmbus", {}, 115_200, lines_in),
]
NAMES = ["plain list", "ciphered list", "p1", "wmbus"]
each_port = pytest.mark.parametrize(("kind", "chosen", "baudrate", "count"), PORTS, ids=NAMES)


def settings(kind: str, chosen: dict[str, object], bearer: str) -> ModuleSettings:
    wanted: ModuleSettings = KINDS[kind].settings.model_validate(
        {"kind": kind, "bearer": bearer, **chosen}
    )
    return wanted


def house_in_mid_hour() -> ModuleHouse:
    """No hourly list is due for a while."""
    house = ModuleHouse()
    house.later(600)
    return house


async def all_of(reader: asyncio.StreamReader, into: bytearray) -> None:
    """Collect what comes; who shouts as the other closes is reset."""
    with suppress(ConnectionResetError):
        while data := await reader.read(65_536):
            into.extend(data)


@each_port
async def test_a_reader_that_went_may_come_back(
    kind: str, chosen: dict[str, object], baudrate: int, count: Count, port: int
) -> None:
    house = house_in_mid_hour()
    wanted = settings(kind, chosen, f"listen://127.0.0.1:{port}")
    async with running(KINDS[kind].run(house.view, wanted)):
        for _ in range(3):
            async with reader_of(port) as (reader, _writer):
                await house.play(2)
                async with asyncio.timeout(5):
                    assert await reader.read(65_536)
            await house.play(2)


@each_port
async def test_two_readers_get_the_same_at_once(
    kind: str, chosen: dict[str, object], baudrate: int, count: Count, port: int
) -> None:
    house = house_in_mid_hour()
    wanted = settings(kind, chosen, f"listen://127.0.0.1:{port}")
    async with (
        running(KINDS[kind].run(house.view, wanted)) as task,
        reader_of(port) as (one, _),
        reader_of(port) as (other, _),
    ):
        await house.play(20)
        await asyncio.sleep(0.1)
        task.cancel()
        got = await asyncio.gather(one.read(-1), other.read(-1))
    assert got[0] == got[1]
    assert count(got[0]) == 20


@each_port
async def test_an_hour_of_noise_on_the_line_changes_nothing(
    kind: str, chosen: dict[str, object], baudrate: int, count: Count, port: int
) -> None:
    # As many random bytes as the line carries in an hour, ten bits each, and 360 images.
    noise = random.Random(7).randbytes(1 << 20)
    total = HOUR_S * baudrate // 10
    house = house_in_mid_hour()
    wanted = settings(kind, chosen, f"listen://127.0.0.1:{port}")
    async with (
        running(KINDS[kind].run(house.view, wanted)) as task,
        reader_of(port) as (reader, writer),
    ):

        async def shout() -> None:
            left = total
            while left > 0:
                writer.write(noise[:left])
                left -= len(noise)
                await writer.drain()

        shouting = asyncio.create_task(shout())
        got = bytearray()
        collected = asyncio.create_task(all_of(reader, got))
        for _ in range(HOUR_S // 10):
            house.later(10)
            await asyncio.sleep(0.002)
        async with asyncio.timeout(60):
            await shouting
        await asyncio.sleep(0.3)
        task.cancel()
        await collected
    # A plain list has an hourly one, too.
    assert count(bytes(got)) == 360 + (kind == "han" and not chosen)


@pytest.mark.parametrize(("kind", "count"), [("han", lists_in), ("p1", telegrams_in)])
async def test_noise_on_a_serial_line_is_read_and_forgotten(kind: str, count: Count) -> None:
    master, slave = pseudo_terminal()
    house = house_in_mid_hour()
    wanted = settings(kind, {}, f"serial://{os.ttyname(slave)}")
    random_ = random.Random(3)
    got = b""
    async with running(KINDS[kind].run(house.view, wanted)):
        await asyncio.sleep(0.2)
        for _ in range(60):
            with suppress(BlockingIOError):
                os.write(master, random_.randbytes(2400))
            house.later(10)
            await asyncio.sleep(0.01)
            with suppress(BlockingIOError):
                got += os.read(master, 65_536)
    os.close(master)
    os.close(slave)
    assert count(got) == 60


@each_port
async def test_who_never_reads_is_closed_and_costs_no_memory(
    kind: str,
    chosen: dict[str, object],
    baudrate: int,
    count: Count,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "SEND_S", 0.5)
    house = house_in_mid_hour()
    wanted = settings(kind, chosen, f"listen://127.0.0.1:{port}")
    sleeper = socket.socket()
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sleeper.setblocking(False)
    async with running(KINDS[kind].run(house.view, wanted)) as task:
        await asyncio.get_running_loop().sock_connect(sleeper, ("127.0.0.1", port))
        async with reader_of(port) as (reader, _):
            collected = asyncio.create_task(reader.read(-1))
            await house.play(50)
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            for _ in range(1000):
                house.later(10)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            await asyncio.sleep(0.7)
            await house.play(50)
            task.cancel()
            got = await collected
    sleeper.close()
    assert count(got) > 100, "who reads gets on"
    # What the other reader has got, and no more than a little.
    assert peak - before < len(got) + 1_000_000


async def test_a_fifo_whose_reader_went_is_opened_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    house = house_in_mid_hour()
    wanted = settings("p1", {}, f"file:{fifo}")
    async with running(KINDS["p1"].run(house.view, wanted)):
        for _ in range(2):
            descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            got = b""

            async def comes(descriptor: int = descriptor) -> bytes:
                await house.play(3)
                with suppress(BlockingIOError):
                    return os.read(descriptor, 65_536)
                return b""

            async with asyncio.timeout(10):
                while not got:
                    got = await comes()
            os.close(descriptor)
            await house.play(3)
            assert telegrams_in(got)


async def test_a_port_that_another_program_has_is_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.05)
    taken = socket.create_server(("127.0.0.1", port))
    house = house_in_mid_hour()
    wanted = settings("p1", {}, f"listen://127.0.0.1:{port}")
    async with running(KINDS["p1"].run(house.view, wanted)):
        await house.play(3)
        taken.close()
        await asyncio.sleep(0.3)
        async with reader_of(port) as (reader, _):
            await house.play(2)
            async with asyncio.timeout(5):
                assert await reader.read(10)


async def test_a_display_that_is_dialled_is_dialled_again(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.05)
    house = house_in_mid_hour()
    calls = 0
    got = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        got.extend(await reader.read(65_536))
        writer.close()

    wanted = settings("han", {}, f"dial://127.0.0.1:{port}")
    async with running(KINDS["han"].run(house.view, wanted)):
        await asyncio.sleep(0.2)  # nobody answers yet
        server = await asyncio.start_server(answer, "127.0.0.1", port)
        async with asyncio.timeout(20):
            while lists_in(bytes(got)) < 3:
                await house.play(1)
                await asyncio.sleep(0.02)
        server.close()
    assert calls >= 3
