"""The M-Bus port on real lines: TCP and pseudo-terminals."""

from __future__ import annotations

import asyncio
import os
import socket
import termios
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from mbus_meter import IDENTIFICATION, House
from pydantic import ValidationError

from meter_node.ports.mbus import port
from meter_node.ports.mbus.address import SecondaryAddress
from meter_node.ports.mbus.link import Frame
from tests.loopback import free_port

OK = b"\xe5"
NKE = Frame(0x40, 0).to_bytes()
REQUEST = Frame(0x7B, 0).to_bytes()
REQUEST_2 = Frame(0x5B, 0).to_bytes()


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


@asynccontextmanager
async def running(house: House, bearer: str, **settings: object) -> AsyncIterator[None]:
    chosen = port.MbusSettings.model_validate({"kind": "mbus", "bearer": bearer, **settings})
    task = asyncio.create_task(port.run(house.view, chosen))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connected(number: int) -> Streams:
    async with asyncio.timeout(10):
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", number)
            except OSError:
                await asyncio.sleep(0.02)


async def ask(streams: Streams, data: bytes) -> bytes:
    """What is answered to a request: one byte, or a long frame."""
    reader, writer = streams
    writer.write(data)
    async with asyncio.timeout(10):
        first = await reader.readexactly(1)
        if first == OK:
            return first
        head = first + await reader.readexactly(3)
        return head + await reader.readexactly(head[1] + 2)


async def test_a_master_reads_over_tcp() -> None:
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        master = await connected(number)
        assert await ask(master, NKE) == OK
        answer = await ask(master, REQUEST)
        assert answer[7:11] == bytes.fromhex(IDENTIFICATION)[::-1]
        master[1].close()


async def test_two_masters_at_once_do_not_disturb_each_others_readout() -> None:
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        one, other = await connected(number), await connected(number)
        first = await ask(one, REQUEST)
        assert first[-3] == 0x1F  # more follow
        assert (await ask(other, REQUEST))[20:] != b""
        second = await ask(one, REQUEST_2)
        # A readout begins with the date (04 6D behind the head): this one goes on.
        assert (first[19:21], second[19:21] == first[19:21]) == (b"\x04\x6d", False)
        for _, writer in (one, other):
            writer.close()


async def test_a_selection_on_one_line_is_none_on_the_other() -> None:
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        one, other = await connected(number), await connected(number)
        select = Frame(0x53, 253, 0x52, SecondaryAddress(IDENTIFICATION).to_bytes()).to_bytes()
        assert await ask(one, select) == OK
        assert len(await ask(one, Frame(0x7B, 253).to_bytes())) > 20
        other[1].write(Frame(0x7B, 253).to_bytes())
        assert await ask(other, NKE) == OK  # nothing came before it


async def test_a_master_that_goes_leaves_room_for_the_next() -> None:
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        for _ in range(12):  # more than there are places
            _, writer = master = await connected(number)
            assert await ask(master, NKE) == OK
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def test_a_broken_header_over_tcp_silences_the_slave_for_two_seconds_and_owes_nothing() -> (
    None
):
    # 261 bytes at 2400 Bd are 1.2 s, and a network may pause for 1 s.
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        reader, writer = await connected(number)
        writer.write(b"\x68\xff\xff\x68\x08")
        answers = []
        for _ in range(12):
            writer.write(NKE)
            await asyncio.sleep(0.3)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    answers.append(await reader.read(100))
        assert 1 <= len(answers) < 12
        assert set(answers) == {OK}
        writer.close()


async def test_masters_that_ask_nothing_make_room_for_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(port, "SILENT_OUT_S", 0.3)
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        silent = [await connected(number) for _ in range(8)]
        await asyncio.sleep(0.4)
        assert await ask(await connected(number), NKE) == OK
        assert await silent[0][0].read(1) == b""
        assert await ask(silent[1], NKE) == OK


async def test_a_master_that_never_reads_is_not_kept_answers_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meter_node.ports.conversation.SEND_S", 0.5)
    monkeypatch.setattr("meter_node.ports.conversation._GOODBYE_S", 0.1)
    number = free_port()
    async with running(House(), f"listen://127.0.0.1:{number}"):
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        (await connected(number))[1].close()
        await loop.sock_connect(deaf, ("127.0.0.1", number))
        sent = 0
        with suppress(OSError, TimeoutError):  # it is cut off
            while sent < 60_000_000:
                async with asyncio.timeout(2):
                    await loop.sock_sendall(deaf, (REQUEST + REQUEST_2) * 500)
                sent += 5000
        deaf.close()
        # Requests of 5 bytes have answers of some 250: had it all been answered, that were 3 GB.
        assert sent < 60_000_000
        assert await ask(await connected(number), NKE) == OK


async def test_nothing_is_answered_before_something_is_committed() -> None:
    house, number = House(None), free_port()
    async with running(house, f"listen://127.0.0.1:{number}"):
        master = await connected(number)
        master[1].write(REQUEST)
        assert await ask(master, NKE) == OK
        house.later(0)
        assert len(await ask(master, REQUEST)) > 20


async def test_the_address_that_a_master_set_stays_while_the_configuration_does() -> None:
    house, number = House(), free_port()
    bearer = f"listen://127.0.0.1:{number}"
    async with running(house, bearer):
        master = await connected(number)
        assert await ask(master, Frame(0x53, 0, 0x51, bytes.fromhex("017a2a")).to_bytes()) == OK
    async with running(house, bearer):
        assert await ask(await connected(number), Frame(0x40, 42).to_bytes()) == OK
    async with running(house, bearer, address=3):
        assert await ask(await connected(number), Frame(0x40, 3).to_bytes()) == OK


async def test_an_address_for_everybody_is_kept_too() -> None:
    house, number = House(), free_port()
    bearer = f"listen://127.0.0.1:{number}"
    async with running(house, bearer):
        master = await connected(number)
        master[1].write(Frame(0x53, 255, 0x51, bytes.fromhex("017a2b")).to_bytes())
        assert await ask(master, Frame(0x40, 43).to_bytes()) == OK
    async with running(house, bearer):
        assert await ask(await connected(number), Frame(0x40, 43).to_bytes()) == OK


# --- a serial line --------------------------------------------------------------------------------


@pytest.fixture
def wire() -> Iterator[tuple[int, str]]:
    """The master's end of a pseudo-terminal, and the device of the other."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


async def heard(descriptor: int, length: int, wait_s: float = 10) -> bytes:
    found = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(wait_s):
            while len(found) < length:
                with suppress(BlockingIOError):
                    found += os.read(descriptor, length - len(found))
                await asyncio.sleep(0.005)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.02)


async def opened(descriptor: int, ask_for: bytes = NKE) -> None:
    """Ask until the port has opened its end."""
    async with asyncio.timeout(10):
        while True:
            os.write(descriptor, ask_for)
            if await heard(descriptor, 1, 0.4):
                return


def speed(descriptor: int) -> int:
    return int(termios.tcgetattr(descriptor)[4])


async def test_a_serial_line_is_at_2400_bd_until_a_master_wants_another_rate(
    wire: tuple[int, str],
) -> None:
    ours, device = wire
    async with running(House(), f"serial://{device}"):
        await opened(ours)
        assert speed(ours) == termios.B2400
        await change_rate(ours, 0xBD, termios.B9600)
        os.write(ours, NKE)
        assert await heard(ours, 1) == OK


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "BACK_AFTER_S", 0.3)
    monkeypatch.setattr(port, "LOOK_S", 0.1)


async def change_rate(ours: int, wanted: int, rate: int) -> None:
    """Ask for another rate, and wait until the slave has it."""
    os.write(ours, Frame(0x53, 0, wanted).to_bytes())
    assert await heard(ours, 1) == OK
    await until(lambda: speed(ours) == rate)


@pytest.mark.usefixtures("_hasty")
async def test_a_rate_at_which_nobody_is_heard_is_given_up(
    wire: tuple[int, str],
) -> None:
    ours, device = wire
    async with running(House(), f"serial://{device}"):
        await opened(ours)
        await change_rate(ours, 0xB8, termios.B300)
        await until(lambda: speed(ours) == termios.B2400)
        await opened(ours)


@pytest.mark.usefixtures("_hasty")
async def test_a_rate_at_which_a_master_was_heard_stays_and_is_the_one_to_go_back_to(
    wire: tuple[int, str],
) -> None:
    ours, device = wire
    async with running(House(), f"serial://{device}"):
        await opened(ours)
        await change_rate(ours, 0xBD, termios.B9600)
        os.write(ours, NKE)
        assert await heard(ours, 1) == OK
        await asyncio.sleep(3 * port.BACK_AFTER_S)
        assert speed(ours) == termios.B9600
        await change_rate(ours, 0xB8, termios.B300)
        await until(lambda: speed(ours) == termios.B9600)


async def test_a_line_that_is_opened_anew_has_the_configurations_rate_again(
    wire: tuple[int, str],
) -> None:
    ours, device = wire
    house = House()
    async with running(house, f"serial://{device}"):
        await opened(ours)
        await change_rate(ours, 0xBD, termios.B9600)
    async with running(house, f"serial://{device}"):
        await opened(ours)
        assert speed(ours) == termios.B2400


async def test_half_a_frame_does_not_swallow_the_request_after_a_pause(
    wire: tuple[int, str],
) -> None:
    ours, device = wire
    async with running(House(), f"serial://{device}"):
        await opened(ours)
        os.write(ours, b"\x68\xfa\xfa\x68")
        await asyncio.sleep(4 * port.LINE_SILENCE_S)
        os.write(ours, NKE)
        assert await heard(ours, 1) == OK


# --- the configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"bearer": "file:telegrams"}, "nobody can ask there"),
        ({"bearer": "stdout:"}, "nobody can ask there"),
        ({"bearer": "serial:///dev/ttyUSB0?baudrate=19200"}, "possible are 300, 600, 1200"),
        ({"address": 251}, "250"),
        ({"identification": "1234567"}, "pattern"),
        ({"manufacturer": "mtn"}, "pattern"),
    ],
)
def test_what_a_slave_cannot_be_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        port.MbusSettings.model_validate({"kind": "mbus", **settings})
