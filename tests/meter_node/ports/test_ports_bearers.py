"""Bearers: how they are named, who has a place, and what becomes of a line that is taken away."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gc
import logging
import os
import resource
import select
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from module_house import ModuleHouse, pseudo_terminal, reader_of, running, until
from pydantic import ValidationError

from meter_node.ports import bearers, conversation, han, p1
from meter_node.ports.bearers import Endpoint, Listening, Places
from meter_node.ports.conversation import Line, SerialLine
from meter_node.ports.modules import KINDS


@pytest.fixture(autouse=True)
def _sockets(socket_enabled: None) -> None:
    """They talk with each other."""


async def listen_on(line: Line, _who: str) -> str:
    while await line.read(60) != b"":
        pass
    return "the other side closed it"


# --- how they are named ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("dial://host", "has no port; it is dial://host:port, for example host:5000"),
        ("listen://127.0.0.1", "has no port; it is listen://host:port, for example 127.0.0.1:5000"),
        ("listen://127.0.0.1:0", "has no port"),
        ("listen://127.0.0.1:70000", "with a port from 1 to 65535"),
        ("dial://host:5000?x=1", "and nothing else"),
        ("dial://host:5000/path", "and nothing else"),
        ("dial://me@host:5000", "and nothing else"),
        ("serial:///dev/ttyUSB0?baud=9600", "'baud' can't be set; only baudrate"),
        ("serial:///dev/ttyUSB0?parity=E", "'parity' can't be set; only baudrate"),
        ("serial:///dev/ttyUSB0?baudrate=123", "a baudrate of 123; possible are 50, 75"),
        ("serial:///dev/ttyUSB0?baudrate=", "a baudrate of ; possible are"),
        ("serial:///dev/ttyUSB0?baudrate=300&baudrate=600", "a baudrate of 300 and 600"),
        ("serial://ttyUSB0", "is not serial:///dev/ttyUSB0"),
        ("file:", "is none of listen://"),
        ("file://host/x", "is none of listen://"),
        ("stdout:x", "is none of listen://"),
        ("tcp://host:5000", "is none of listen://"),
    ],
)
def test_a_bearer_that_is_none_is_told_with_what_is_wrong(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")) as caught:
        bearers.of(address, "", baudrate=2400)
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "usual"), [("han", 2400), ("mbus", 2400), ("p1", 115_200), ("wmbus", 115_200)]
)
@pytest.mark.parametrize("address", ["serial://ttyUSB0", "tcp://host:5000"])
def test_a_bearer_that_is_none_is_told_with_the_modules_usual_rate(
    kind: str, usual: int, address: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        KINDS[kind].settings.model_validate({"kind": kind, "bearer": address})
    assert f"serial:///dev/ttyUSB0?baudrate={usual}" in str(caught.value)
    assert str(caught.value).count("baudrate=") == 1


# --- who has a place ------------------------------------------------------------------------------


async def listening(stack: AsyncExitStack, places: Places) -> int:
    """Begin to listen; return where."""
    listener = Listening("port", Endpoint("127.0.0.1", 0), places)
    await stack.enter_async_context(running(listener.carry(listen_on)))
    await until(lambda: listener.port is not None)
    return listener.port or 0


async def test_that_a_port_is_full_is_told_each_time_anew(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "CROWDED_AGAIN_S", 0.0)
    places = Places(most=1)

    def told() -> int:
        return caplog.text.count("1 connections are open, further ones are closed")

    async with AsyncExitStack() as stack:
        port = await listening(stack, places)
        for times in (1, 2):
            async with reader_of(port):
                for _ in range(3):
                    async with reader_of(port) as (reader, _):
                        assert await reader.read(1) == b""
                assert told() == times
            await until(lambda: not places.taken)


async def test_who_connects_and_goes_in_turns_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    places = Places(most=1)
    async with AsyncExitStack() as stack:
        port = await listening(stack, places)
        for _ in range(5):
            async with reader_of(port), reader_of(port):
                pass
            await until(lambda: not places.taken)
    assert caplog.text.count("connections are open") == 1


async def test_the_longest_silent_makes_room_where_nobody_has_spoken_of_late() -> None:
    places = Places(most=2, silent_out_s=0.3)
    async with AsyncExitStack() as stack:
        port = await listening(stack, places)
        first, first_writer = await stack.enter_async_context(reader_of(port))
        second, _ = await stack.enter_async_context(reader_of(port))
        await asyncio.sleep(0.3)
        first_writer.write(b"x")
        await asyncio.sleep(0.1)
        third, _ = await stack.enter_async_context(reader_of(port))
        assert await second.read(1) == b""
        # Those that are left have spoken, or come, of late: the next one must go itself.
        fourth, _ = await stack.enter_async_context(reader_of(port))
        assert await fourth.read(1) == b""
        assert not first.at_eof()
        assert not third.at_eof()


async def test_a_host_that_is_gone_without_a_word_is_noticed_after_a_minute() -> None:
    places = Places()
    async with AsyncExitStack() as stack:
        port = await listening(stack, places)
        await stack.enter_async_context(reader_of(port))
        (line,) = places.taken.values()
        sock = line._writer.get_extra_info("socket")
        asked = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        ]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert asked[0] + asked[1] * asked[2] == 60
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


# --- serial lines ---------------------------------------------------------------------------------


async def test_a_line_that_is_unplugged_is_told_once_and_in_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    master, slave = pseudo_terminal()
    house, bearer = ModuleHouse(), f"serial://{os.ttyname(slave)}"
    os.close(slave)
    chosen = han.HanSettings.model_validate({"kind": "han", "bearer": bearer})
    async with running(han.run(house.view, chosen)):
        await until(lambda: "open at 2400 Bd" in caplog.text)
        await house.play(2)
        os.close(master)
        house.later(10)  # in the midst of a list
        await until(lambda: "the device is gone" in caplog.text)
    await asyncio.sleep(0.1)
    gc.collect()
    assert caplog.text.count("the device is gone") == 1
    assert [record for record in caplog.records if record.levelno > logging.WARNING] == []
    assert "Traceback" not in caplog.text


async def test_a_serial_device_is_for_one_program_alone() -> None:
    master, slave = pseudo_terminal()
    device = os.ttyname(slave)
    line = await Line.open(SerialLine(device, 2400))
    try:
        with pytest.raises(OSError, match="another program has this device for itself"):
            await Line.open(SerialLine(device, 2400))
        exclusive = fcntl.ioctl(slave, 0x80045440, b"\0" * 4)  # TIOCGEXCL
        assert int.from_bytes(exclusive, "little") == 1
    finally:
        await line.close()
    exclusive = fcntl.ioctl(slave, 0x80045440, b"\0" * 4)
    assert int.from_bytes(exclusive, "little") == 0
    await (await Line.open(SerialLine(device, 2400))).close()
    os.close(master)
    os.close(slave)


# --- standard output ------------------------------------------------------------------------------

A_TERMINAL_HOLDS = 65_536
"""More than a terminal holds of what nobody reads."""


async def test_a_terminal_that_nobody_reads_is_cut_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    master, slave = pseudo_terminal()
    monkeypatch.setattr(conversation, "SEND_S", 0.2)
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)
    with os.fdopen(slave, "wb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        house, chosen = ModuleHouse(), p1.P1Settings(kind="p1", bearer="stdout:")
        async with running(p1.run(house.view, chosen)):
            await house.play(2 * A_TERMINAL_HOLDS // len(p1.telegram(house.view, "nl")))
            await until(lambda: "standard output: the other side takes nothing" in caplog.text)
            assert os.get_blocking(slave), "others print there, and know nothing of it"
            got = bytearray()

            def hears_the_last_one() -> bool:
                with suppress(BlockingIOError):
                    got.extend(os.read(master, A_TERMINAL_HOLDS))
                heard = p1.telegram(house.view, "nl") in got
                house.later(10)
                return heard

            await until(hears_the_last_one)
    os.close(master)


def test_standard_output_that_is_closed_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OSError, match="standard output is closed"):
        bearers._FileLine(None)


async def test_a_slow_terminal_gets_each_message_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pseudo_terminal()
    message = bytes(range(256)) * (2 * A_TERMINAL_HOLDS // 256)
    with os.fdopen(slave, "wb", buffering=0) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        line = bearers._FileLine(None)
        writing = asyncio.create_task(line.write(message))
        got = bytearray()

        def has_heard_all() -> bool:
            with suppress(BlockingIOError):
                got.extend(os.read(master, 4096))
            return len(got) == len(message)

        await until(has_heard_all)
        await writing
        await line.close()
    os.close(master)
    assert got == message


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["removed", "rotated"])
async def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path, taken: str) -> None:
    house, path = ModuleHouse(), tmp_path / "telegrams"
    old = tmp_path / "telegrams.1"
    chosen = p1.P1Settings.model_validate({"kind": "p1", "bearer": f"file:{path}"})
    async with running(p1.run(house.view, chosen)):
        await house.play(2)
        if taken == "removed":
            path.unlink()
        else:
            path.rename(old)
            path.write_bytes(b"")
        await house.play(3)
    assert path.read_bytes().count(b"/MTN5") == 3
    if taken == "rotated":
        assert old.read_bytes().count(b"/MTN5") == 2


async def test_a_file_that_cannot_be_begun_anew_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearers, "back_off", lambda _: 0.02)
    house, there = ModuleHouse(), tmp_path / "there"
    there.mkdir()
    path = there / "telegrams"
    chosen = p1.P1Settings.model_validate({"kind": "p1", "bearer": f"file:{path}"})
    async with running(p1.run(house.view, chosen)):
        await house.play(1)
        there.rename(tmp_path / "gone")
        await house.play(1)
        await until(lambda: os.strerror(errno.ENOENT) in caplog.text)
        there.mkdir()
        await until(path.exists)
        await house.play(1)
    assert path.read_bytes().count(b"/MTN5") == 1


@contextmanager
def at_most_in_a_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond that: as where the disk is full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("length", [100, 2 * select.PIPE_BUF], ids=["short", "in several writes"])
@pytest.mark.parametrize("where", ["a file", "standard output"])
async def test_a_message_that_the_disk_has_no_room_for_leaves_nothing_of_itself(
    tmp_path: Path, length: int, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "telegrams"
    first, second, third = (bytes([letter]) * length + b"\n" for letter in b"123")
    with path.open("wb", buffering=0) as redirected:
        monkeypatch.setattr(sys, "stdout", redirected)
        line = bearers._FileLine(str(path) if where == "a file" else None)
        await line.write(first)
        with at_most_in_a_file(2 * length), pytest.raises(OSError, match=r"File too large"):
            await line.write(second)
        await line.write(third)
        await line.close()
    assert path.read_bytes() == first + third
