"""The utility's port: TCP, HDLC, a serial line; slow, silent, broken and many clients."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from meter_node.channel.hdlc import Frame, encode
from meter_node.cosem import wrapper
from meter_node.cosem.wrapper import Message
from meter_node.ports import bearers, conversation
from meter_node.ports.ami import AmiPort, AmiSettings
from meter_node.ports.bearers import Endpoint
from meter_node.ports.conversation import SerialLine, Settled, at_once
from tests.loopback import free_port
from tests.meter_node.cosem.hdlc_client import Echo

pytestmark = pytest.mark.usefixtures("socket_enabled")

HERE = Endpoint("127.0.0.1", 0)
SNRM = bytes.fromhex("7EA00A00020023219318717E")


class Clients:
    """Makes connections, and knows them."""

    def __init__(self, answer: Callable[[bytes], bytes | None] = lambda apdu: apdu) -> None:
        self._answer = answer
        self.made: dict[str, list[Echo]] = {}

    def __call__(self, transport: str) -> Echo:
        echo = Echo(self._answer)
        self.made.setdefault(transport, []).append(echo)
        return echo

    def all(self) -> list[Echo]:
        return [echo for made in self.made.values() for echo in made]


@asynccontextmanager
async def running(
    clients: Callable[[str], Echo],
    *,
    inactivity_s: int = 120,
    most_connections: int = 32,
    serial: SerialLine | None = None,
    settled: Settled = at_once,
    server_saps: frozenset[int] | None = None,
) -> AsyncIterator[AmiPort]:
    settings = AmiSettings(
        tcp=HERE,
        hdlc_tcp=HERE,
        serial=serial,
        inactivity_s=inactivity_s,
        most_connections=most_connections,
    )
    port = AmiPort(settings, clients, settled, server_saps)
    task = asyncio.create_task(port.run())
    await until(lambda: len(port.listening) == 2)
    try:
        yield port
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(
    port: AmiPort, name: str = "tcp"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port.listening[name])
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def wrapped(apdu: bytes, sap: int = 1) -> bytes:
    return wrapper.encode(Message(16, sap, apdu))


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, apdu: bytes) -> bytes:
    writer.write(wrapped(apdu))
    async with asyncio.timeout(20):
        header = await reader.readexactly(8)
        assert header[:6] == bytes.fromhex("0001 0001 0010")  # from the server to the client
        return await reader.readexactly(int.from_bytes(header[6:]))


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes within some time."""
    async with asyncio.timeout(20):
        with suppress(ConnectionResetError):
            return await reader.read(1) == b""
    return True


# --- asking --------------------------------------------------------------------------------------


async def test_a_client_asks_over_the_wrapper_and_goes() -> None:
    clients = Clients()
    async with running(clients) as port, connected(port) as (reader, writer):
        assert await ask(reader, writer, b"one") == b"one"
        assert await ask(reader, writer, b"two") == b"two"
        writer.close()
        await until(lambda: port.connections == 0)
        (echo,) = clients.made["tcp 127.0.0.1"]
        assert [asked[:3] for asked in echo.asked] == [(16, 1, b"one"), (16, 1, b"two")]
        assert echo.closed_times == 1


async def test_a_client_connects_over_hdlc() -> None:
    clients = Clients()
    async with running(clients) as port, connected(port, "hdlc_tcp") as (reader, writer):
        writer.write(SNRM)
        ua = await reader.readexactly(37)
        assert ua[8] == 0x73  # flag, format, 1 and 4 of addresses
        writer.close()
        await until(lambda: port.connections == 0)
        assert [echo.closed_times for echo in clients.made["hdlc_tcp 127.0.0.1"]] == [1]


async def test_two_clients_are_kept_apart() -> None:
    clients = Clients()
    async with (
        running(clients) as port,
        connected(port) as (reader, writer),
        connected(port) as (other_reader, other_writer),
    ):
        assert await ask(reader, writer, b"one") == b"one"
        assert await ask(other_reader, other_writer, b"two") == b"two"
    assert [[asked[2] for asked in echo.asked] for echo in clients.all()] == [[b"one"], [b"two"]]


async def test_a_logical_device_that_is_not_here_is_not_answered_for() -> None:
    clients = Clients()
    async with (
        running(clients, server_saps=frozenset({1, 2})) as port,
        connected(port) as (reader, writer),
    ):
        writer.write(wrapped(b"lost", sap=3))
        assert await ask(reader, writer, b"one") == b"one"
    assert [asked[2] for echo in clients.all() for asked in echo.asked] == [b"one"]


async def test_an_answer_waits_until_what_it_tells_of_is_settled() -> None:
    settled = asyncio.Event()

    async def wait() -> None:
        await settled.wait()

    clients = Clients()
    async with running(clients, settled=wait) as port, connected(port) as (reader, writer):
        writer.write(wrapped(b"switch"))
        await until(lambda: [len(echo.asked) for echo in clients.all()] == [1])
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        settled.set()
        assert await reader.readexactly(14) == wrapper.encode(Message(1, 16, b"switch"))


# --- who does not behave -------------------------------------------------------------------------


async def test_what_is_no_wrapper_is_closed_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    async with running(Clients()) as port:
        for _ in range(3):
            async with connected(port) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\n\r\n")
                assert await ended(reader)
    # "GE" is 0x4745.
    assert [record.getMessage() for record in caplog.records] == [
        "tcp 127.0.0.1: closed: wrapper version 18245, which is not 1"
    ]


async def test_a_connection_too_many_of_one_address_takes_the_place_of_its_oldest_after_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = Clients()
    async with (
        running(clients, most_connections=2) as port,
        connected(port) as (reader, writer),
        connected(port, "hdlc_tcp"),
    ):
        await until(lambda: port.connections == 2)
        async with connected(port) as (further, _):
            assert await ended(further)
        assert await ask(reader, writer, b"still") == b"still"
        assert len(clients.all()) == 1  # over HDLC nobody has connected a link
        assert "2 connections are open" in caplog.text
        monkeypatch.setattr(conversation, "TIME_TO_PROVE_S", 0.0)
        async with connected(port) as (further_reader, further_writer):
            assert await ask(further_reader, further_writer, b"new") == b"new"
            assert await ended(reader)
            assert port.connections == 2


async def test_who_has_proved_himself_is_never_put_out_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "TIME_TO_PROVE_S", 0.0)
    clients = Clients()
    async with (
        running(clients, most_connections=1) as port,
        connected(port) as (reader, writer),
    ):
        await until(lambda: len(clients.all()) == 1)
        clients.all()[0].proven = True
        assert await ask(reader, writer, b"me") == b"me"
        async with connected(port) as (further, _):
            assert await ended(further)
        assert await ask(reader, writer, b"still") == b"still"


async def test_an_address_that_crowds_the_port_crowds_out_itself() -> None:
    clients = Clients()

    async def from_address(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", port.listening["tcp"], local_addr=(address, 0)
        )

    async with running(clients, most_connections=3) as port:
        alone = await from_address("127.0.0.2")
        crowd = [await from_address("127.0.0.1") for _ in range(2)]
        await until(lambda: port.connections == 3)
        other = await from_address("127.0.0.3")
        assert await ended(crowd[0][0])
        for pair in (alone, crowd[1], other):
            assert await ask(*pair, b"still") == b"still"
        for pair in (alone, *crowd, other):
            pair[1].close()


async def test_room_that_a_client_leaves_is_taken_by_the_next() -> None:
    async with running(Clients(), most_connections=1) as port:
        for _ in range(3):
            async with connected(port) as (reader, writer):
                assert await ask(reader, writer, b"me") == b"me"
            await until(lambda: port.connections == 0)


@pytest.mark.parametrize("name", ["tcp", "hdlc_tcp"])
async def test_who_says_nothing_is_closed(name: str) -> None:
    async with running(Clients(), inactivity_s=1) as port, connected(port, name) as (reader, _):
        assert await ended(reader)


@pytest.mark.parametrize("name", ["tcp", "hdlc_tcp"])
async def test_bytes_that_never_become_a_message_do_not_keep_a_connection(name: str) -> None:
    async with (
        running(Clients(), inactivity_s=1) as port,
        connected(port, name) as (reader, writer),
    ):
        closed = asyncio.create_task(ended(reader))
        message = iter(wrapped(bytes(1000)))
        while not closed.done():
            with suppress(OSError):
                writer.write(bytes([next(message)]))
                await asyncio.sleep(0.05)
        assert await closed


async def test_who_keeps_asking_stays() -> None:
    async with running(Clients(), inactivity_s=2) as port, connected(port) as (reader, writer):
        for _ in range(6):
            assert await ask(reader, writer, b"x") == b"x"
            await asyncio.sleep(0.5)


async def test_who_never_reads_is_cut_off_before_much_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(conversation, "SEND_S", 0.5)
    clients = Clients(lambda _: bytes(60_000))
    async with running(clients) as port:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port.listening["tcp"]))
        with suppress(BlockingIOError, ConnectionError):
            sock.send(wrapped(b"x") * 1000)
        await until(lambda: len(clients.all()) == 1)
        await until(lambda: port.connections == 0)
        sock.close()
    # 60 MB were asked for; a socket's own buffers take some MB before it is full.
    assert len(clients.all()[0].asked) < 300


async def test_a_fault_of_the_server_closes_that_connection_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(apdu: bytes) -> bytes:
        if apdu == b"fault":
            raise RuntimeError("a fault")
        return apdu

    async with (
        running(Clients(answer)) as port,
        connected(port) as (reader, writer),
        connected(port) as (other_reader, other_writer),
    ):
        writer.write(wrapped(b"fault"))
        assert await ended(reader)
        assert await ask(other_reader, other_writer, b"well") == b"well"
    assert "metering goes on" in caplog.text


async def test_of_five_hundred_connections_at_once_32_are_served_and_later_ones_after() -> None:
    clients = Clients()
    async with running(clients) as port:
        opened = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port.listening["tcp"]) for _ in range(500)),
            return_exceptions=True,
        )
        answered = await asyncio.gather(
            *(ask(*pair, b"me") for pair in opened if not isinstance(pair, BaseException)),
            return_exceptions=True,
        )
        assert answered.count(b"me") >= 32  # those of the first seconds make room for others
        for pair in opened:
            if not isinstance(pair, BaseException):
                pair[1].close()
        await until(lambda: port.connections == 0)
        async with connected(port) as (reader, writer):
            assert await ask(reader, writer, b"after") == b"after"


async def test_ending_closes_every_connection() -> None:
    clients = Clients()
    async with running(clients) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port.listening["tcp"])
        await ask(reader, writer, b"x")
    assert [echo.closed_times for echo in clients.all()] == [1]
    assert await ended(reader)
    writer.close()


async def test_a_port_that_is_taken_is_told_once_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = Endpoint("127.0.0.1", taken.getsockname()[1])
        port = AmiPort(AmiSettings(tcp=endpoint), Clients())
        task = asyncio.create_task(port.run())
        await until(lambda: "in use" in caplog.text)
        await asyncio.sleep(0.2)
    await until(lambda: "tcp" in port.listening)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


# --- a serial line -------------------------------------------------------------------------------


async def read(master: int, end: bytes) -> bytes:
    """What the far side of a pseudo-terminal reads, to its end."""
    data = b""
    async with asyncio.timeout(20):
        while not data.endswith(end):
            with suppress(BlockingIOError):
                data += os.read(master, 4096)
            await asyncio.sleep(0.01)
    return data


def pseudo_terminal() -> tuple[int, int]:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return master, slave


async def test_hdlc_over_a_serial_line() -> None:
    master, slave = pseudo_terminal()
    clients = Clients()
    async with running(clients, serial=SerialLine(os.ttyname(slave), 9600)):
        await asyncio.sleep(0.3)  # opening empties what waits in the line
        os.write(master, b"\x00\xff" + SNRM)
        assert (await read(master, b"\x7e"))[8] == 0x73
        asked = Frame(bytes.fromhex("00020023"), b"\x21", 0x10, b"\xe6\xe6\x00get")
        os.write(master, encode(asked))
        assert b"\xe6\xe7\x00get" in await read(master, b"\x7e")
    assert [echo.closed_times for echo in clients.made["serial"]] == [1]
    os.close(master)
    os.close(slave)


async def test_a_serial_line_that_goes_is_opened_again_when_it_comes(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.05)
    device = tmp_path_factory.mktemp("dev") / "ttyUSB0"
    clients = Clients()
    async with running(clients, serial=SerialLine(str(device), 9600)):
        await until(lambda: "No such file" in caplog.text)
        for times in (1, 2):
            master, slave = pseudo_terminal()
            device.unlink(missing_ok=True)
            device.symlink_to(os.ttyname(slave))
            await asyncio.sleep(0.5)
            os.write(master, SNRM)
            assert (await read(master, b"\x7e"))[8] == 0x73
            assert len(clients.made["serial"]) == times
            os.close(slave)
            os.close(master)
            await until(lambda: clients.made["serial"][-1].closed_times == 1)


async def test_a_silent_link_on_a_serial_line_ends_and_the_line_stays() -> None:
    master, slave = pseudo_terminal()
    clients = Clients()
    async with running(clients, serial=SerialLine(os.ttyname(slave), 9600), inactivity_s=1):
        await asyncio.sleep(0.3)
        for times in (1, 2):
            os.write(master, SNRM)
            assert (await read(master, b"\x7e"))[8] == 0x73
            await until(lambda times=times: clients.made["serial"][times - 1].closed_times == 1)
    os.close(master)
    os.close(slave)


# --- a head-end that is dialled ------------------------------------------------------------------


async def test_a_head_end_that_is_dialled_asks_and_is_dialled_again_when_it_hung_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[int] = []

    def back_off(attempt: int) -> float:
        waits.append(attempt)
        return 0.05

    monkeypatch.setattr(bearers, "back_off", back_off)
    number = free_port()
    answers: list[bytes] = []

    async def head_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.append(await ask(reader, writer, f"call {len(answers)}".encode()))
        writer.close()

    clients = Clients()
    port = AmiPort(AmiSettings(dial=Endpoint("127.0.0.1", number)), clients)
    task = asyncio.create_task(port.run())
    await until(lambda: len(waits) > 1)  # nobody is there yet
    server = await asyncio.start_server(head_end, "127.0.0.1", number)
    await until(lambda: len(answers) == 3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()
    assert answers == [b"call 0", b"call 1", b"call 2"]
    assert waits[:3] == [0, 1, 2], "each pause is longer than the one before"
    assert all("dial to 127.0.0.1" in name for name in clients.made)
    assert all(echo.closed_times == 1 for echo in clients.all()[:3])


async def test_a_head_end_that_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.05)
    ends: list[bool] = []

    async def head_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(await ended(reader))
        writer.close()

    server = await asyncio.start_server(head_end, "127.0.0.1", 0)
    here = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    port = AmiPort(AmiSettings(dial=here, inactivity_s=1), Clients())
    task = asyncio.create_task(port.run())
    await until(lambda: len(ends) == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()
    assert all(ends)
