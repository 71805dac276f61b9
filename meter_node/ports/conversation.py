"""One line or stream with a client of the COSEM server: bytes to it and its answers back.

Must not know wrapper nor HDLC. What comes is read no faster than answers can be sent.
"""

from __future__ import annotations

import asyncio
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import serial_asyncio_fast

CHUNK = 4096
LOOK_S = 1.0
"""How often links are looked at for their inactivity."""
SEND_S = 30.0
"""Whoever takes nothing for so long is gone."""
_GOODBYE_S = 5.0
_HIGH_WATER = 16_384
_BITS_A_BYTE = 10
_PTS = Path("/dev/pts")
_LAST_BYTES = 8
"""What a device may still be sending when it took the last byte, and then some."""

type Parity = Literal["N", "E"]

Settled = Callable[[], Awaitable[None]]
"""Returns once what an answer tells of is committed."""


async def at_once() -> None:
    """Nothing needs to be waited for."""


class LineError(Exception):
    """The other side does what can't be gone on with; the text says what."""


class Server(Protocol):
    """The COSEM server's end: ``WrapperServer`` or ``HdlcServer``."""

    damage: str | None
    heard: int

    @property
    def links(self) -> int:
        """How many clients are connected."""

    def feed(self, data: bytes, now_ns: int) -> Iterator[bytes]:
        """Take bytes; yield answers."""

    def idle(self, now_ns: int) -> None:
        """Close what was silent for too long."""

    def close(self) -> None:
        """The line is gone."""


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial device, eight bits; parity none or even."""

    device: str
    baudrate: int
    parity: Parity = "N"


class Line:
    """An open line or stream: both directions, and how long sending may take."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        baudrate: int | None = None,
    ) -> None:
        """``baudrate`` None: as fast as the other side reads."""
        self._reader = reader
        self._writer = writer
        self._baudrate = baudrate
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    @classmethod
    async def open(cls, line: SerialLine) -> Line:
        """Open a serial line. Raises OSError."""
        try:
            reader, writer = await serial_asyncio_fast.open_serial_connection(
                url=line.device, baudrate=line.baudrate, parity=_parity(line)
            )
        except (ValueError, termios.error) as error:  # a rate or parity that the device has not
            raise OSError(str(error)) from None
        return cls(reader, writer, line.baudrate)

    @property
    def baudrate(self) -> int | None:
        """The line's rate, None where it has none."""
        return self._baudrate

    async def set_baudrate(self, baudrate: int) -> None:
        """Go on at another rate, once what was sent is gone; only a serial line has one.

        Raises OSError where the device does not have it.
        """
        serial = self._writer.get_extra_info("serial")
        if serial is None or self._baudrate is None:
            return
        await asyncio.sleep(_BITS_A_BYTE * _LAST_BYTES / self._baudrate)
        try:
            serial.baudrate = baudrate
        except (ValueError, termios.error) as error:
            raise OSError(str(error)) from None
        self._baudrate = baudrate

    async def read(self, wait_s: float) -> bytes | None:
        """Return what came, nothing at the end, None after a silence. Raises OSError."""
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                return await self._reader.read(CHUNK)
        except TimeoutError:
            return None

    async def write(self, data: bytes) -> None:
        """Send. Raises OSError, TimeoutError among them, where the other side takes nothing."""
        if not data:
            return
        self._writer.write(data)
        wait_s = SEND_S
        if self._baudrate is not None:
            wait_s += (len(data) + _HIGH_WATER) * _BITS_A_BYTE / self._baudrate
        try:
            async with asyncio.timeout(wait_s):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()  # what waits will not go any more
            raise

    async def close(self) -> None:
        """Close after what was written, or at once where that does not go."""
        self._writer.close()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._writer.transport.abort()


async def answer(server: Server, data: bytes, line: Line, settled: Settled) -> None:
    """Let the server answer what came. Raises OSError."""
    for answered in server.feed(data, time.time_ns()):
        await settled()
        await line.write(answered)
        await asyncio.sleep(0)  # many requests in one chunk don't hold up the metering


async def converse(
    server: Server,
    line: Line,
    settled: Settled,
    *,
    first_s: float | None = None,
    inactivity_s: float | None = None,
) -> str:
    """Answer until the line ends; return why it did. Raises OSError.

    With times, it ends where no good message comes for ``first_s`` at first and ``inactivity_s``
    later: bytes that never become one don't count, however many they are.
    """
    loop = asyncio.get_running_loop()
    patience_s = first_s
    last = loop.time()
    while True:
        heard = server.heard
        data = await line.read(LOOK_S)
        if data == b"":
            return "the other side closed it"
        if data is not None:
            await answer(server, data, line, settled)
        server.idle(time.time_ns())
        if server.damage is not None:
            return server.damage
        if server.heard != heard:
            last, patience_s = loop.time(), inactivity_s
        elif patience_s is not None and loop.time() - last >= patience_s:
            return f"silent for {patience_s:.0f} s"


def _parity(line: SerialLine) -> Parity:
    """The kernel has no parity for a pseudo-terminal, and refuses who wants one."""
    return "N" if Path(line.device).resolve().is_relative_to(_PTS) else line.parity


def reason(error: BaseException) -> str:
    """Return what to tell of an error on a line."""
    if isinstance(error, TimeoutError):
        return "the other side takes nothing"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
