"""Ways to a module and whoever is at their other end: what the matrix of survival puts it through.

Must not know which kinds there are.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from module_house import ModuleHouse

from tests.loopback import free_port

type Count = Callable[[bytes], int]
"""Whole messages in what was read; fails where anything but them and a begun one is there."""

HOUR_S = 3600
_RESET = struct.pack("ii", 1, 0)
_LEAST_BUFFER = 2048


@dataclass(frozen=True, slots=True)
class Subject:
    """A kind with one choice of its settings, and what a reader makes of it."""

    kind: str
    chosen: dict[str, object] = field(default_factory=dict)
    count: Count = len
    ask: bytes = b""
    """What a reader sends to be answered; nothing where the module speaks by itself."""
    hourly: int = 0
    """Messages beside those of every 10 s in an hour."""


class End(Protocol):
    """The other end of an open line."""

    @property
    def got(self) -> bytearray:
        """What came, unless it never reads."""

    def say(self, data: bytes) -> None:
        """Send as much of it as goes at once."""

    async def shout(self, data: bytes) -> None:
        """Send all of it."""

    async def close(self) -> None:
        """Be gone."""


class Way(Protocol):
    """A bearer with room for other ends."""

    @property
    def address(self) -> str:
        """As the configuration has it."""

    async def end(self, *, reads: bool = True) -> End:
        """Be there."""


class _Socket:
    """An end of a TCP connection."""

    def __init__(self, sock: socket.socket, reads: bool) -> None:
        self.got = bytearray()
        self._sock = sock
        sock.setblocking(False)
        self._reading = asyncio.create_task(self._read()) if reads else None

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while data := await loop.sock_recv(self._sock, 65_536):
                self.got.extend(data)

    def say(self, data: bytes) -> None:
        with suppress(OSError):
            self._sock.send(data)

    async def shout(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        # As a reader whose cable is pulled: no goodbye.
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._sock.close()


class Listen:
    """The module listens; readers connect."""

    def __init__(self, tmp_path: Path) -> None:
        self._port = free_port()

    @property
    def address(self) -> str:
        return f"listen://127.0.0.1:{self._port}"

    async def end(self, *, reads: bool = True) -> _Socket:
        async with asyncio.timeout(10):
            while True:
                sock = socket.socket()
                sock.setblocking(False)
                if not reads:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LEAST_BUFFER)
                try:
                    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
                except OSError:
                    sock.close()
                    await asyncio.sleep(0.02)
                    continue
                await asyncio.sleep(0.05)
                return _Socket(sock, reads)


class Dial:
    """The module dials; each call is a reader."""

    def __init__(self, tmp_path: Path) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)

    @property
    def address(self) -> str:
        return f"dial://127.0.0.1:{self._server.getsockname()[1]}"

    async def end(self, *, reads: bool = True) -> _Socket:
        # A connection takes its buffer from the socket that it came by.
        size = _LEAST_BUFFER if not reads else 131_072
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        async with asyncio.timeout(20):
            sock, _ = await asyncio.get_running_loop().sock_accept(self._server)
        return _Socket(sock, reads)


class _Terminal:
    """The other end of a pseudo-terminal."""

    def __init__(self, link: Path, reads: bool) -> None:
        self.got = bytearray()
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._slave))
        if reads:
            asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        with suppress(OSError):
            self.got.extend(os.read(self._master, 65_536))

    def say(self, data: bytes) -> None:
        with suppress(OSError):
            os.write(self._master, data)

    async def shout(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)


class SerialWay:
    """A serial line; when its adapter is pulled, another has its name."""

    def __init__(self, tmp_path: Path) -> None:
        self._link = tmp_path / f"line{len(list(tmp_path.iterdir()))}"
        self._link.symlink_to("/nonexistent")

    @property
    def address(self) -> str:
        return f"serial://{self._link}?baudrate=115200"

    async def end(self, *, reads: bool = True) -> _Terminal:
        return _Terminal(self._link, reads)


class _Listener:
    """Who hears only."""

    def say(self, data: bytes) -> None:
        raise AssertionError("nobody can speak to a file")

    async def shout(self, data: bytes) -> None:
        self.say(data)


class _File(_Listener):
    """Who follows a file from where it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = path.stat().st_size if path.exists() else 0

    @property
    def got(self) -> bytearray:
        if not self._path.exists():
            return bytearray()
        return bytearray(self._path.read_bytes()[self._from :])

    async def close(self) -> None:
        pass


class FileWay:
    """A file that grows."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "messages"

    @property
    def address(self) -> str:
        return f"file:{self.path}"

    async def end(self, *, reads: bool = True) -> _File:
        return _File(self.path)


class _Pipe(_Listener):
    """Who has a FIFO open."""

    def __init__(self, path: Path, reads: bool) -> None:
        self.got = bytearray()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if reads:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        with suppress(OSError):
            self.got.extend(os.read(self._descriptor, 65_536))

    async def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)


class FifoWay:
    """A FIFO."""

    def __init__(self, tmp_path: Path) -> None:
        self._path = tmp_path / "fifo"
        os.mkfifo(self._path)

    @property
    def address(self) -> str:
        return f"file:{self._path}"

    async def end(self, *, reads: bool = True) -> _Pipe:
        return _Pipe(self._path, reads)


def mid_hour() -> ModuleHouse:
    """A meter of which no hourly list is due for a while."""
    house = ModuleHouse()
    house.later(600)
    return house


@asynccontextmanager
async def there(way: Way, *, reads: bool = True) -> AsyncIterator[End]:
    """Be at the other end meanwhile."""
    end = await way.end(reads=reads)
    try:
        yield end
    finally:
        await end.close()


async def hears(house: ModuleHouse, subject: Subject, end: End, messages: int = 2) -> None:
    """Let images come until so many whole messages have come to an end."""
    async with asyncio.timeout(20):
        while subject.count(bytes(end.got)) < messages:
            house.later(10)
            if subject.ask:
                end.say(subject.ask)
            await asyncio.sleep(0.015)
