"""Bearers: over what a port's bytes travel, and how that comes back when it is gone.

A serial line, TCP that listens, TCP that dials out, a file, standard output. GSM, GPRS and WiFi are
the system's network, or a serial device to a modem. Must not know what is spoken, nor a meter.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import select
import socket
import stat
import sys
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, override
from urllib.parse import parse_qs, urlsplit

from . import conversation
from .conversation import (
    Line,
    LineError,
    Parity,
    SerialLine,
    least_missed,
    longest_silent,
    reason,
)
from .mqtt import back_off

_LOGGER = logging.getLogger(__name__)

STEADY_AFTER_S = 120.0
"""What worked for so long is told anew when it fails, and soon tried again."""
DIAL_S = 30.0
MOST_CONNECTIONS = 8
CROWDED_AGAIN_S = 10.0
"""That a port is full is told each time anew, but no oftener."""
RATES = (
    *(50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600),
    *(115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000),
    *(2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000),
)
"""Those that the system has for every serial device (termios)."""
_LOOK_AGAIN_S = 0.05
"""How often it is seen whether a pipe or terminal takes bytes again."""
_BACKLOG = 64
_GONE_AFTER_S = 60
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _GONE_AFTER_S // 2),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _GONE_AFTER_S // 6),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER_S * 1000),
)
"""A host that is gone without a word is noticed after a minute, whether anything is sent or not."""

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
    silent_out_s: float | None = None
    """A further one takes the place of the one that was silent for longest, if for so long."""
    taken: dict[asyncio.Task[None], Line] = field(default_factory=dict)

    @property
    def then(self) -> str:
        """What becomes of further ones, in words."""
        if self.crowded_out:
            return "for a further one the oldest is closed that nobody has proved himself on"
        if self.silent_out_s is not None:
            return "for a further one that is closed which has said nothing for longest"
        return "further ones are closed"

    def make_room(self, peer: str) -> bool:
        """Put one out for a further one from that address; return whether there is room now."""
        if len(self.taken) < self.most:
            return True
        least = None
        if self.crowded_out:
            least = least_missed(self.taken.values(), peer)
        elif self.silent_out_s is not None:
            least = longest_silent(self.taken.values(), self.silent_out_s)
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
        self._crowded = False
        self._crowded_s = -math.inf
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
            self._look_how_crowded()
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

    def _look_how_crowded(self) -> None:
        """Tell where no place is left, once for as long as it stays so."""
        places, now_s = self._places, asyncio.get_running_loop().time()
        if len(places.taken) < places.most:
            self._crowded = False
        elif not self._crowded and now_s - self._crowded_s >= CROWDED_AGAIN_S:
            self._crowded, self._crowded_s = True, now_s
            _LOGGER.warning(
                "%s: %d connections are open, %s", self._name, len(places.taken), places.then
            )

    async def _client(self, talk: Talk, line: Line, writer: asyncio.StreamWriter) -> None:
        who = f"{self._name} {line.peer}"
        try:
            _notice_who_is_gone(writer)
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
        _notice_who_is_gone(writer)
        line = Line(reader, writer)
        try:
            return await talk(line, self._name)
        finally:
            await line.close()


def _notice_who_is_gone(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        for level, option, value in _OPTIONS:
            sock.setsockopt(level, option, value)


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
        line = _FileLine(self._path)
        try:
            return await talk(line, self._name)
        finally:
            await line.close()


class _FileLine(Line):
    """A descriptor that takes bytes. A reader that takes none for ``SEND_S`` is cut."""

    def __init__(self, path: str | None) -> None:
        """Open it; None: standard output. Raises OSError."""
        self._path = path
        self._descriptor = _standard_output() if path is None else _opened(path)

    @override
    async def read(self, wait_s: float) -> bytes | None:
        await asyncio.sleep(wait_s)
        return None

    @override
    async def write(self, data: bytes) -> None:
        self._follow()
        async with asyncio.timeout(conversation.SEND_S):
            while data := data[self._take(data) :]:  # noqa: ASYNC110 - see _take: no event tells it
                await asyncio.sleep(_LOOK_AGAIN_S)

    def _take(self, data: bytes) -> int:
        """Write what goes now, without a wait; return how many bytes went. Raises OSError."""
        taken = 0
        # A pipe that select calls writable takes PIPE_BUF bytes without a wait; a terminal is
        # called so when it has any room, and takes what it has room for.
        while taken < len(data) and select.select([], [self._descriptor], [], 0)[1]:
            try:
                taken += os.write(self._descriptor, data[taken : taken + select.PIPE_BUF])
            except BlockingIOError:
                break
            except OSError:
                self._take_back(taken)
                raise
        return taken

    def _take_back(self, taken: int) -> None:
        """Leave no begun message in a file (its disk is full): the next one would be lost too."""
        if taken and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            begun = os.lseek(self._descriptor, -taken, os.SEEK_CUR)
            os.ftruncate(self._descriptor, begun)

    def _follow(self) -> None:
        """Open it anew where another stands in its place, or none: it was taken away or rotated."""
        if self._path is None:
            return
        with suppress(FileNotFoundError):
            if os.path.samestat(Path(self._path).stat(), os.fstat(self._descriptor)):
                return
        anew = _opened(self._path)
        os.close(self._descriptor)
        self._descriptor = anew

    @override
    async def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


_OPENED = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY


def _opened(path: str) -> int:
    # Its group may read it: the node's own user is seldom the one who reads telegrams.
    return os.open(path, _OPENED | os.O_CREAT, 0o640)


def _standard_output() -> int:
    """Return standard output as one that no write waits for. Raises OSError."""
    if sys.stdout is None:
        raise OSError("standard output is closed")
    descriptor = sys.stdout.fileno()
    if not os.isatty(descriptor):
        return os.dup(descriptor)
    try:
        # Of one's own: to be told not to wait on the one that all share would break whatever else
        # prints there.
        return os.open(f"/proc/self/fd/{descriptor}", _OPENED)
    except PermissionError:
        raise OSError("the terminal is another user's: put '| cat' behind the command") from None


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
        except Exception as error:
            why = f"a fault of ours: {error!r}"
            if why != told:
                _LOGGER.exception("%s: a fault of ours; metering goes on", what)
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
    "serial:///dev/ttyUSB0?baudrate={baudrate}",
    "file:path",
    "stdout:",
)


def of(
    address: str,
    name: str,
    *,
    baudrate: int,
    parity: Parity = "N",
    silent_out_s: float | None = None,
) -> Bearer:
    """Return the bearer of an address (see ``FORMS``); ``baudrate`` and ``parity`` are the usual.

    ``silent_out_s``: see ``Places``. Raises ValueError, with what is right, for what is none.
    """
    scheme, _, rest = address.partition(":")
    match scheme:
        case "listen":
            places = Places(silent_out_s=silent_out_s)
            return Listening(name, _endpoint(address), places)
        case "dial":
            return Dialling(name, _endpoint(address))
        case "serial":
            return OnSerialLine(name, serial_line(address, baudrate, parity))
        case "file" if path := _path(rest):
            return ToFile(name, path)
        case "stdout" if not rest:
            return ToFile(name, None)
    forms = ", ".join(FORMS).format(baudrate=baudrate)
    raise ValueError(f"{address!r} is none of {forms}")


def _path(rest: str) -> str:
    """``/run/x``, ``///run/x`` and ``x`` are all paths; ``//host/x`` is none here."""
    path = rest.removeprefix("//") if rest.startswith("///") else rest
    return "" if path.startswith("//") else path


def _endpoint(address: str) -> Endpoint:
    form = f"{address.partition(':')[0]}://host:port"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or beyond 65535
        raise ValueError(f"{address!r} is not {form}, with a port from 1 to 65535") from None
    if not host or parts.netloc != address.partition("://")[2] or "@" in parts.netloc:
        raise ValueError(f"{address!r} is not {form} and nothing else")
    if not port:
        raise ValueError(f"{address!r} has no port; it is {form}, for example {host}:5000")
    return Endpoint(host, port)


def serial_line(
    address: str, baudrate: int, parity: Parity = "N", rates: Collection[int] = RATES
) -> SerialLine:
    """Return the line of ``serial:///dev/ttyUSB0?baudrate=2400``; ``baudrate`` where it has none.

    Raises ValueError for another form, another key, a rate that is none of ``rates``.
    """
    example = f"serial:///dev/ttyUSB0?baudrate={baudrate}"
    parts = urlsplit(address)
    if parts.scheme != "serial" or not parts.path or parts.netloc or parts.fragment:
        raise ValueError(f"{address!r} is not {example}")
    told = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(told.keys() - {"baudrate"}):
        raise ValueError(
            f"{address!r}: {unknown[0]!r} can't be set; only baudrate, as in {example}"
        )
    wanted = told.get("baudrate", [str(baudrate)])
    if len(wanted) > 1 or not wanted[0].isdecimal() or int(wanted[0]) not in rates:
        raise ValueError(
            f"{address!r}: a baudrate of {' and '.join(wanted)}; possible are "
            f"{', '.join(map(str, rates))}"
        )
    return SerialLine(parts.path, int(wanted[0]), parity)


# --- what only one can have -----------------------------------------------------------------------

_NAMED = {"localhost": frozenset({"127.0.0.1", "::1"})}
"""Addresses that a name stands for, wherever it is said."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device, file, TCP port or line: of the node's ports only one can have it."""

    text: str
    """As it is told."""
    key: tuple[str | int, ...]
    hosts: frozenset[str] = frozenset()
    """Addresses of a TCP port; none: all that the machine has."""

    def stands_in(self, folder: Path, names: frozenset[str]) -> bool:
        """Whether it is a file of this folder called so, up to the first dot."""
        kind, *where = self.key
        path = Path(str(where[0]))
        is_there = kind == "path" and path.parent == folder.resolve()
        return is_there and path.name.partition(".")[0] in names

    def excludes(self, other: Place) -> bool:
        """Whether who has this one can't have the other."""
        same_host = not (self.hosts and other.hosts and self.hosts.isdisjoint(other.hosts))
        return self.key == other.key and same_host


def path_place(path: str) -> Place:
    """Return a device or file, whichever of its names is used."""
    return Place(path, ("path", str(Path(path).resolve())))


def line_place(chip: str, offset: int) -> Place:
    """Return a line of a GPIO chip."""
    return Place(f"offset {offset} of {chip}", ("line", str(Path(chip).resolve()), offset))


def port_place(host: str, port: int) -> Place:
    """Return a TCP port that is listened on."""
    return Place(f"TCP port {port} of {host}", ("tcp", port), _addresses(host))


def _addresses(host: str) -> frozenset[str]:
    """Return what a host stands for, each address as it is written usually; none: for all."""
    try:
        address = ip_address(host)
    except ValueError:
        return _NAMED.get(host, frozenset({host}))
    return frozenset() if address.is_unspecified else frozenset({str(address)})


def places_of(address: str) -> tuple[Place, ...]:
    """Return what a bearer has for itself: nothing, where it dials out."""
    scheme, _, rest = address.partition(":")
    match scheme:
        case "listen":
            endpoint = _endpoint(address)
            return (port_place(endpoint.host, endpoint.port),)
        case "serial":
            return (path_place(urlsplit(address).path),)
        case "file":
            return (path_place(_path(rest)),)
        case "stdout":
            # By its file's name, too, there is but one.
            return (replace(path_place("/dev/stdout"), text="standard output"),)
    return ()
