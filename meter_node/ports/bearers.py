"""Bearers: over what a port's bytes travel, and how that comes back when it is gone.

A serial line, TCP that listens, TCP that dials out, a file, standard output. GSM, GPRS and WiFi are
the system's network, or a serial device to a modem. Must not know what is spoken, nor a meter.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import select
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, override
from urllib.parse import parse_qs, urlsplit

from .conversation import Line, LineError, Parity, SerialLine, least_missed, reason
from .mqtt import back_off

_LOGGER = logging.getLogger(__name__)

STEADY_AFTER_S = 120.0
"""What worked for so long is told anew when it fails, and soon tried again."""
DIAL_S = 30.0
MOST_CONNECTIONS = 8
FASTEST_BAUDRATE = 4_000_000
_BACKLOG = 64
_KEEPALIVE = 1

type Talk = Callable[[Line, str], Coroutine[None, None, str]]
"""Speaks on an open line until it ends, told who is at its other end; returns why it ended.

Raises OSError. The bearer closes the line.
"""


class Bearer(Protocol):
    """Brings lines, until cancelled; faults are told in the log and never come out."""

    async def carry(self, talk: Talk) -> None:
        """Have each line that there is talked on."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP port of a host."""

    host: str
    port: int


@dataclass(slots=True)
class Places:
    """How many may be connected at once, over all bearers that share them."""

    most: int = MOST_CONNECTIONS
    crowded_out: bool = False
    """Whether a further one takes the place of one that nobody has proved himself on."""
    taken: dict[asyncio.Task[None], Line] = field(default_factory=dict)

    @property
    def then(self) -> str:
        """What becomes of further ones, in words."""
        if self.crowded_out:
            return "for a further one the oldest is closed that nobody has proved himself on"
        return "further ones are closed"

    def make_room(self, peer: str) -> bool:
        """Put one out for a further one from that address; return whether there is room now."""
        if len(self.taken) < self.most:
            return True
        least = least_missed(self.taken.values(), peer) if self.crowded_out else None
        if least is None:
            return False
        task = next(task for task, line in self.taken.items() if line is least)
        del self.taken[task]
        least.abort()
        task.cancel()
        return True


class Listening:
    """TCP: whoever connects is talked with, many at once."""

    def __init__(self, name: str, endpoint: Endpoint, places: Places | None = None) -> None:
        """``name`` is told to who talks, with the other's address behind it."""
        self._name = name
        self._endpoint = endpoint
        self._places = Places() if places is None else places
        self._told: set[str] = set()
        self.port: int | None = None
        """Where it listens, while it does."""

    async def carry(self, talk: Talk) -> None:
        """Listen, again and again; who is connected goes with it when it is cancelled."""
        own: set[asyncio.Task[None]] = set()
        try:
            await again_and_again(
                f"{self._name} {self._endpoint.host}:{self._endpoint.port}",
                partial(self._listen, talk, own),
            )
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def _listen(self, talk: Talk, own: set[asyncio.Task[None]]) -> str:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line, places = Line(reader, writer), self._places
            if len(places.taken) >= places.most:
                self._tell(f"{self._name}: {len(places.taken)} connections are open, {places.then}")
            if not places.make_room(line.peer):
                writer.close()
                return
            task = asyncio.create_task(self._client(talk, line, writer))
            places.taken[task] = line
            own.add(task)
            task.add_done_callback(lambda ended: places.taken.pop(ended, None))
            task.add_done_callback(own.discard)

        server = await asyncio.start_server(
            accepted, self._endpoint.host, self._endpoint.port, backlog=_BACKLOG, limit=2**16
        )
        self.port = server.sockets[0].getsockname()[1]
        _LOGGER.info("%s: listening on %s:%d", self._name, self._endpoint.host, self.port)
        try:
            await server.serve_forever()
        finally:
            self.port = None
            # Not "async with": that waits for the clients, which ``carry`` ends.
            server.close()
        return "it listens no more"

    async def _client(self, talk: Talk, line: Line, writer: asyncio.StreamWriter) -> None:
        who = f"{self._name} {line.peer}"
        try:
            if (sock := writer.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, _KEEPALIVE)
            _LOGGER.debug("%s: closed: %s", who, await talk(line, who))
        except LineError as error:
            self._tell(f"{who}: closed: {error}")
        except OSError as error:
            _LOGGER.debug("%s: closed: %s", who, reason(error))
        except Exception:
            _LOGGER.exception("%s: closed by a fault of ours; metering goes on", who)
        finally:
            await line.close()

    def _tell(self, text: str) -> None:
        # Whoever knocks all night must not fill the log: the same but for its numbers is told once.
        gist = re.sub(r"[\d.:a-f]+", "", text)
        level = logging.DEBUG if gist in self._told else logging.WARNING
        self._told.add(gist)
        _LOGGER.log(level, "%s", text)


class Dialling:
    """TCP to where somebody listens: a head-end, a display. Comes back with a growing pause."""

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self._name = f"{name} to {endpoint.host}:{endpoint.port}"
        self._endpoint = endpoint

    async def carry(self, talk: Talk) -> None:
        """Dial, again and again."""
        await again_and_again(self._name, partial(self._dial, talk))

    async def _dial(self, talk: Talk) -> str:
        async with asyncio.timeout(DIAL_S):
            reader, writer = await asyncio.open_connection(
                self._endpoint.host, self._endpoint.port, limit=2**16
            )
        _LOGGER.info("%s: connected", self._name)
        line = Line(reader, writer)
        try:
            return await talk(line, self._name)
        finally:
            await line.close()


class OnSerialLine:
    """A serial line, a pseudo-terminal among them."""

    def __init__(self, name: str, serial: SerialLine) -> None:
        self._name = name
        self._serial = serial

    async def carry(self, talk: Talk) -> None:
        """Open it, again and again."""
        await again_and_again(f"{self._name} {self._serial.device}", partial(self._open, talk))

    async def _open(self, talk: Talk) -> str:
        line = await Line.open(self._serial)
        _LOGGER.info("%s %s: open at %d Bd", self._name, self._serial.device, self._serial.baudrate)
        try:
            return await talk(line, self._name)
        finally:
            await line.close()


class ToFile:
    """A file that grows, a FIFO, or standard output: bytes go out, nothing comes back."""

    def __init__(self, name: str, path: str | None) -> None:
        """``path`` None is standard output."""
        self._name = f"{name} to {path or 'standard output'}"
        self._path = path

    async def carry(self, talk: Talk) -> None:
        """Open it, again and again; a FIFO that nobody reads is waited for."""
        await again_and_again(self._name, partial(self._open, talk))

    async def _open(self, talk: Talk) -> str:
        if self._path is None:
            descriptor = os.dup(sys.stdout.fileno())
        else:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
            descriptor = os.open(self._path, flags, 0o600)
        line = _FileLine(descriptor)
        try:
            return await talk(line, self._name)
        finally:
            await line.close()


class _FileLine(Line):
    """A descriptor that takes bytes. A pipe whose reader sleeps gets nothing more: it is cut."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @override
    async def read(self, wait_s: float) -> bytes | None:
        await asyncio.sleep(wait_s)
        return None

    @override
    async def write(self, data: bytes) -> None:
        # A pipe that select calls writable takes PIPE_BUF bytes without a wait.
        for start in range(0, len(data), select.PIPE_BUF):
            if not select.select([], [self._descriptor], [], 0)[1]:
                raise TimeoutError
            os.write(self._descriptor, data[start : start + select.PIPE_BUF])

    @override
    async def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


async def again_and_again(what: str, carry: Callable[[], Coroutine[None, None, str]]) -> None:
    """Carry, and begin anew when that ended, waiting longer each time; each reason is told once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    attempt = 0
    told = ""
    while True:
        started = loop.time()
        try:
            why = await carry()
        except LineError as error:
            why = str(error)
        except OSError as error:
            why = reason(error)
        except Exception:
            _LOGGER.exception("%s: a fault of ours; metering goes on", what)
            why = "a fault of ours"
        if task is not None and task.cancelling():
            # What failed as it was being ended hid that it was to end.
            raise asyncio.CancelledError
        if loop.time() - started > STEADY_AFTER_S:
            attempt, told = 0, ""
        wait_s = back_off(attempt)
        level = logging.DEBUG if why == told else logging.WARNING
        told = why
        _LOGGER.log(level, "%s: %s; next attempt in %.0f s", what, why, wait_s)
        attempt += 1
        await asyncio.sleep(wait_s)


# --- how a configuration names them ---------------------------------------------------------------

FORMS = (
    "listen://127.0.0.1:5000",
    "dial://host:5000",
    "serial:///dev/ttyUSB0?baudrate=2400",
    "file:path",
    "stdout:",
)


def of(address: str, name: str, *, baudrate: int, parity: Parity = "N") -> Bearer:
    """Return the bearer of an address (see ``FORMS``); ``baudrate`` and ``parity`` are the usual.

    Raises ValueError, with the forms, for what is none.
    """
    parts = urlsplit(address)
    try:
        match parts.scheme:
            case "listen" | "dial" if parts.hostname and parts.port and "@" not in parts.netloc:
                endpoint = Endpoint(parts.hostname, parts.port)
                return (Listening if parts.scheme == "listen" else Dialling)(name, endpoint)
            case "serial" if parts.path and not parts.netloc:
                rate = parse_qs(parts.query).get("baudrate", [str(baudrate)])[0]
                if rate.isdecimal() and 50 <= int(rate) <= FASTEST_BAUDRATE:
                    return OnSerialLine(name, SerialLine(parts.path, int(rate), parity))
            case "file" if parts.path:
                return ToFile(name, parts.path)
            case "stdout" if address == "stdout:":
                return ToFile(name, None)
    except ValueError:  # a port that is no number, or beyond 65535
        pass
    raise ValueError(f"{address!r} is none of {', '.join(FORMS)}")
