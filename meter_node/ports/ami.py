"""The utility's port: the COSEM server on TCP (wrapper or HDLC), a serial line and modem calls.

Must not know what is asked. Whatever its clients do, the metering does not wait for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from meter_node.cosem.connection import DlmsConnection
from meter_node.cosem.hdlc_session import HdlcServer, HdlcSettings
from meter_node.cosem.wrapper import WrapperServer

from .conversation import (
    Line,
    SerialLine,
    Server,
    Settled,
    at_once,
    converse,
    least_missed,
    reason,
)
from .loop_share import LoopShare
from .modem import ModemError, answer_calls
from .mqtt import back_off

_LOGGER = logging.getLogger(__name__)

WRAPPER_PORT = 4059
"""Registered for DLMS/COSEM."""
FIRST_MESSAGE_S = 30.0
"""Who connects and says nothing of sense for so long, or shorter than the inactivity, must go."""
STEADY_AFTER_S = 120.0
"""What worked for so long is told anew when it fails, and soon tried again."""
_BACKLOG = 64

Connect = Callable[[str], DlmsConnection]
"""Gives a new client's connection to the COSEM server; told by which transport and from where."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """On which transports the server can be reached."""

    tcp: Endpoint | None = None
    hdlc_tcp: Endpoint | None = None
    serial: SerialLine | None = None
    modem: SerialLine | None = None
    modem_commands: tuple[str, ...] = ()
    physical_address: int | None = None
    inactivity_s: int = 120
    most_connections: int = 32


class AmiPort:
    """All transports of one node."""

    def __init__(
        self,
        settings: AmiSettings,
        connect: Connect,
        settled: Settled = at_once,
        server_saps: frozenset[int] | None = None,
    ) -> None:
        """``settled`` is awaited before each answer; ``server_saps`` are the logical devices.

        ``connect`` is called with the transport's name ("tcp", "hdlc_tcp", "serial", "modem"), for
        the first two with the client's address behind it.
        """
        self._settings = settings
        self._connect = connect
        self._settled = settled
        self._server_saps = server_saps
        self._share = LoopShare()
        self._first_s = min(FIRST_MESSAGE_S, settings.inactivity_s)
        self._open: dict[asyncio.Task[None], Line] = {}
        self._told: set[str] = set()
        self.listening: dict[str, int] = {}
        """TCP port of each transport that listens."""

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._open)

    async def run(self) -> None:
        """Serve all transports until cancelled; each comes back by itself."""
        settings = self._settings
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, endpoint in (("tcp", settings.tcp), ("hdlc_tcp", settings.hdlc_tcp)):
                    if endpoint is not None:
                        tasks.create_task(self._listening(name, endpoint))
                if (line := settings.serial) is not None:
                    talking = partial(self._on_line, line)
                    tasks.create_task(_again_and_again(f"serial line {line.device}", talking))
                if (line := settings.modem) is not None:
                    talking = partial(self._on_modem, line)
                    tasks.create_task(_again_and_again(f"modem {line.device}", talking))
        finally:
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    # --- TCP -------------------------------------------------------------------------------------

    async def _listening(self, name: str, endpoint: Endpoint) -> None:
        await _again_and_again(
            f"{name} {endpoint.host}:{endpoint.port}", partial(self._listen, name, endpoint)
        )

    async def _listen(self, name: str, endpoint: Endpoint) -> str:
        accepted = partial(self._accepted, name)
        server = await asyncio.start_server(
            accepted, endpoint.host, endpoint.port, backlog=_BACKLOG, limit=2**16
        )
        self.listening[name] = server.sockets[0].getsockname()[1]
        _LOGGER.info("%s: listening on %s:%d", name, endpoint.host, self.listening[name])
        try:
            await server.serve_forever()
        finally:
            del self.listening[name]
            # Not "async with": that waits for the clients, which run() ends.
            server.close()
        return "it listens no more"

    def _accepted(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line = Line(reader, writer)
        if len(self._open) >= self._settings.most_connections:
            self._tell(
                f"{name}: {len(self._open)} connections are open; for a further one the oldest is "
                "closed that nobody has proved himself on"
            )
            least = least_missed(self._open.values(), line.peer)
            if least is None:
                writer.close()
                return
            self._put_out(least)
        task = asyncio.create_task(self._client(name, line, writer))
        self._open[task] = line
        task.add_done_callback(lambda ended: self._open.pop(ended, None))

    def _put_out(self, line: Line) -> None:
        task = next(task for task, one in self._open.items() if one is line)
        del self._open[task]
        line.abort()
        task.cancel()

    async def _client(self, name: str, line: Line, writer: asyncio.StreamWriter) -> None:
        transport = f"{name} {line.peer}"
        server: Server | None = None
        try:
            if (sock := writer.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if name == "tcp":
                connection = self._connect(transport)
                server = WrapperServer(connection, server_saps=self._server_saps)
            else:
                server = self._hdlc(transport)
            why = await converse(
                server,
                line,
                self._settled,
                self._share,
                first_s=self._first_s,
                inactivity_s=self._settings.inactivity_s,
            )
            if server.damage is not None:
                self._tell(f"{transport}: closed: {why}")
            else:
                _LOGGER.debug("%s: closed: %s", transport, why)
        except OSError as error:
            _LOGGER.debug("%s: closed: %s", transport, reason(error))
        except Exception:
            _LOGGER.exception("%s: closed by a fault of the server; metering goes on", transport)
        finally:
            if server is not None:
                server.close()
            await line.close()

    # --- lines -----------------------------------------------------------------------------------

    async def _on_line(self, serial: SerialLine) -> str:
        line = await Line.open(serial)
        server = self._hdlc("serial")
        _LOGGER.info("serial line %s: open at %d Bd", serial.device, serial.baudrate)
        try:
            return await converse(server, line, self._settled, self._share)
        finally:
            server.close()
            await line.close()

    async def _on_modem(self, serial: SerialLine) -> str:
        line = await Line.open(serial)
        try:
            return await answer_calls(
                line,
                self._settings.modem_commands,
                partial(self._hdlc, "modem"),
                self._settled,
                self._share,
                first_s=self._first_s,
                inactivity_s=self._settings.inactivity_s,
            )
        finally:
            await line.close()

    def _hdlc(self, transport: str) -> HdlcServer:
        shared = transport == "serial"
        settings = HdlcSettings(
            inactivity_s=self._settings.inactivity_s,
            # Where a line has but one device, a client need not know its number.
            physical_address=self._settings.physical_address if shared else None,
            server_saps=self._server_saps,
        )
        return HdlcServer(partial(self._connect, transport), settings)

    def _tell(self, text: str) -> None:
        # Whoever knocks all night must not fill the log: the same but for its numbers is told once.
        gist = re.sub(r"[\d.:a-f]+", "", text)
        level = logging.DEBUG if gist in self._told else logging.WARNING
        self._told.add(gist)
        _LOGGER.log(level, "%s", text)


async def _again_and_again(what: str, serve: Callable[[], Coroutine[None, None, str]]) -> None:
    """Serve, and begin anew when that ended, waiting longer each time; told once."""
    loop = asyncio.get_running_loop()
    attempt = 0
    told = ""
    while True:
        started = loop.time()
        try:
            why = await serve()
        except ModemError as error:
            why = str(error)
        except OSError as error:
            why = reason(error)
        except Exception:
            _LOGGER.exception("%s: a fault of the server; metering goes on", what)
            why = "a fault of the server"
        if loop.time() - started > STEADY_AFTER_S:
            attempt, told = 0, ""
        wait_s = back_off(attempt)
        level = logging.DEBUG if why == told else logging.WARNING
        told = why
        _LOGGER.log(level, "%s: %s; next attempt in %.0f s", what, why, wait_s)
        attempt += 1
        await asyncio.sleep(wait_s)
