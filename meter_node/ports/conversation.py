"""One line or stream with a client of the COSEM server: bytes to it and its answers back.

Must not know wrapper nor HDLC. What comes is read no faster than answers can be sent.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import termios
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import serial
import serial_asyncio_fast

from .loop_share import LoopShare

CHUNK = 4096
TIME_TO_PROVE_S = 2.0
"""Nobody is put out for another of his own address before he had time to prove who he is."""
LOOK_S = 1.0
"""How often links are looked at for their inactivity."""
SEND_S = 30.0
"""Whoever takes nothing for so long is gone."""
_GOODBYE_S = 5.0
_HIGH_WATER = 16_384
_BITS_A_BYTE = 10
_PTS = Path("/dev/pts")
_GONE = "the device is gone: unplugged, or its other end was closed"
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
    def proven(self) -> bool:
        """Whether somebody has proved who he is, on an association that is open."""

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
        self.peer = str((writer.get_extra_info("peername") or ("?",))[0])
        self.since_s = self.heard_s = asyncio.get_running_loop().time()
        self.proven = False
        """Whether whoever is at its other end has proved who he is."""
        writer.transport.set_write_buffer_limits(high=_HIGH_WATER)

    @classmethod
    async def open(cls, line: SerialLine) -> Line:
        """Open a serial line, for this process alone. Raises OSError."""
        try:
            reader, writer = await serial_asyncio_fast.open_serial_connection(
                url=line.device, baudrate=line.baudrate, parity=_parity(line), exclusive=True
            )
        except (ValueError, termios.error) as error:  # a rate or parity that the device has not
            raise OSError(str(error)) from None
        except serial.SerialException as error:
            if error.errno in (errno.EBUSY, errno.EAGAIN):
                raise OSError("another program has this device for itself") from None
            raise OSError(os.strerror(error.errno) if error.errno else str(error)) from None
        # The lock is for those that ask for one too; this is for all others.
        _exclude_others(writer, termios.TIOCEXCL)
        _FaultsOfLinesAside.see_to(asyncio.get_running_loop())
        return cls(reader, writer, line.baudrate)

    @property
    def baudrate(self) -> int | None:
        """The line's rate, None where it has none."""
        return self._baudrate

    async def set_baudrate(self, baudrate: int) -> None:
        """Go on at another rate, once what was sent is gone; only a serial line has one.

        Raises OSError where the device does not have it.
        """
        device = self._writer.get_extra_info("serial")
        if device is None or self._baudrate is None:
            return
        await asyncio.sleep(_BITS_A_BYTE * _LAST_BYTES / self._baudrate)
        try:
            device.baudrate = baudrate
        except (ValueError, termios.error) as error:
            raise OSError(str(error)) from None
        self._baudrate = baudrate

    async def read(self, wait_s: float) -> bytes | None:
        """Return what came, nothing at the end, None after a silence. Raises OSError."""
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                data = await self._reader.read(CHUNK)
        except TimeoutError:
            return None
        except serial.SerialException:
            raise OSError(_GONE) from None
        self.heard_s = asyncio.get_running_loop().time()
        return data

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
            self.abort()  # what waits will not go any more
            raise
        except serial.SerialException:
            raise OSError(_GONE) from None

    def abort(self) -> None:
        """Close at once."""
        transport = self._writer.transport
        # One that closes and has nothing left to send will be gone by itself; a serial one that is
        # ended a second time breaks.
        if not (transport.is_closing() and transport.get_write_buffer_size() == 0):
            transport.abort()

    async def close(self) -> None:
        """Close after what was written, or at once where that does not go."""
        _exclude_others(self._writer, termios.TIOCNXCL)
        self._writer.close()
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._writer.wait_closed()
        except TimeoutError:
            self.abort()
        except OSError:
            pass  # it is lost already: a serial transport breaks at a second end


def longest_silent(lines: Collection[Line], silent_s: float) -> Line | None:
    """Return the line whose other side has said nothing for longest; None: all have of late."""
    line = min(lines, key=lambda one: one.heard_s)
    return line if asyncio.get_running_loop().time() - line.heard_s >= silent_s else None


def least_missed(lines: Collection[Line], peer: str) -> Line | None:
    """Return the line that makes room for another one from ``peer``; None: it must go itself.

    Who has proved who he is stays. Of all others the address with the most lines gives its oldest:
    whoever crowds the port crowds out himself, and not in a moment.
    """
    unproven = [line for line in lines if not line.proven]
    if not unproven:
        return None
    counts = Counter(line.peer for line in unproven)
    # One that is as crowded as the newcomer's own would be goes before his.
    crowded = max(counts, key=lambda one: (counts[one], one == peer))
    oldest = min((one for one in unproven if one.peer == crowded), key=lambda one: one.since_s)
    age_s = asyncio.get_running_loop().time() - oldest.since_s
    return oldest if crowded != peer or age_s >= TIME_TO_PROVE_S else None


async def answer(
    server: Server, data: bytes, line: Line, settled: Settled, share: LoopShare
) -> None:
    """Let the server answer what came, as the loop has time for it. Raises OSError."""
    answers = server.feed(data, time.time_ns())
    while True:
        answered = await share.run(lambda: next(answers, None), proven=line.proven)
        line.proven = server.proven
        if answered is None:
            return
        await settled()
        await line.write(answered)
        await asyncio.sleep(0)


async def converse(
    server: Server,
    line: Line,
    settled: Settled,
    share: LoopShare,
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
            await answer(server, data, line, settled, share)
        server.idle(time.time_ns())
        if server.damage is not None:
            return server.damage
        if server.heard != heard:
            last, patience_s = loop.time(), inactivity_s
        elif patience_s is not None and loop.time() - last >= patience_s:
            return f"silent for {patience_s:.0f} s"


@dataclass(frozen=True, slots=True)
class _FaultsOfLinesAside:
    """A loop's exception handler that leaves what a serial line does to whoever reads or writes it.

    A transport tells the loop of a line that is unplugged as if the program were at fault.
    """

    others: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None

    @classmethod
    def see_to(cls, loop: asyncio.AbstractEventLoop) -> None:
        """Be the loop's, once however many lines it has."""
        handler = loop.get_exception_handler()
        if not isinstance(handler, cls):
            loop.set_exception_handler(cls(handler))

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Tell of all else as before."""
        if "transport" in context and isinstance(context.get("exception"), serial.SerialException):
            return
        if self.others is None:
            loop.default_exception_handler(context)
        else:
            self.others(loop, context)


def _exclude_others(writer: asyncio.StreamWriter, how: int) -> None:
    """Let nobody else open a serial device, or everybody again: whoever closes it must say so."""
    device = writer.get_extra_info("serial")
    if device is not None and device.is_open:
        with suppress(OSError):  # unplugged
            fcntl.ioctl(device.fileno(), how)


def _parity(line: SerialLine) -> Parity:
    """The kernel has no parity for a pseudo-terminal, and refuses who wants one."""
    return "N" if Path(line.device).resolve().is_relative_to(_PTS) else line.parity


def reason(error: BaseException) -> str:
    """Return what to tell of an error on a line."""
    if isinstance(error, TimeoutError):
        return "the other side takes nothing"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
