"""The utility's port: the COSEM server on TCP (wrapper or HDLC), a serial line and modem calls.

Must not know what is asked. Whatever its clients do, the metering does not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from meter_node.cosem.connection import DlmsConnection
from meter_node.cosem.hdlc_session import HdlcServer, HdlcSettings
from meter_node.cosem.wrapper import WrapperServer

from .bearers import Dialling, Endpoint, Listening, OnSerialLine, Places
from .conversation import Line, LineError, SerialLine, Server, Settled, at_once, converse
from .loop_share import LoopShare
from .modem import answer_calls

WRAPPER_PORT = 4059
"""Registered for DLMS/COSEM."""
FIRST_MESSAGE_S = 30.0
"""Who connects and says nothing of sense for so long, or shorter than the inactivity, must go."""

Connect = Callable[[str], DlmsConnection]
"""Gives a new client's connection to the COSEM server; told by which transport and from where."""


@dataclass(frozen=True, slots=True)
class AmiSettings:
    """On which transports the server can be reached."""

    tcp: Endpoint | None = None
    hdlc_tcp: Endpoint | None = None
    dial: Endpoint | None = None
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

        ``connect`` is called with the transport's name ("tcp", "hdlc_tcp", "dial", "serial",
        "modem"), for the first two with the client's address behind it.
        """
        self._settings = settings
        self._connect = connect
        self._settled = settled
        self._server_saps = server_saps
        self._share = LoopShare()
        self._first_s = min(FIRST_MESSAGE_S, settings.inactivity_s)
        self._places = Places(settings.most_connections, crowded_out=True)
        self._listeners = {
            name: Listening(name, endpoint, self._places)
            for name, endpoint in (("tcp", settings.tcp), ("hdlc_tcp", settings.hdlc_tcp))
            if endpoint is not None
        }

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return len(self._places.taken)

    @property
    def listening(self) -> dict[str, int]:
        """TCP port of each transport that listens."""
        return {
            name: listener.port
            for name, listener in self._listeners.items()
            if listener.port is not None
        }

    async def run(self) -> None:
        """Serve all transports until cancelled; each comes back by itself."""
        settings = self._settings
        async with asyncio.TaskGroup() as tasks:
            for name, listener in self._listeners.items():
                wrapped = name == "tcp"
                tasks.create_task(listener.carry(self._wrapped if wrapped else self._framed))
            if settings.dial is not None:
                tasks.create_task(Dialling("dial", settings.dial).carry(self._wrapped))
            if settings.serial is not None:
                on_line = OnSerialLine("serial line", settings.serial)
                tasks.create_task(on_line.carry(self._on_line))
            if settings.modem is not None:
                modem = OnSerialLine("modem", settings.modem)
                tasks.create_task(modem.carry(self._on_modem))

    async def _wrapped(self, line: Line, who: str) -> str:
        server = WrapperServer(self._connect(who), server_saps=self._server_saps)
        return await self._converse(server, line)

    async def _framed(self, line: Line, who: str) -> str:
        return await self._converse(self._hdlc(who), line)

    async def _converse(self, server: Server, line: Line) -> str:
        try:
            why = await converse(
                server,
                line,
                self._settled,
                self._share,
                first_s=self._first_s,
                inactivity_s=self._settings.inactivity_s,
            )
            if server.damage is not None:
                raise LineError(why)
            return why
        finally:
            server.close()

    async def _on_line(self, line: Line, _who: str) -> str:
        server = self._hdlc("serial")
        try:
            return await converse(server, line, self._settled, self._share)
        finally:
            server.close()

    async def _on_modem(self, line: Line, _who: str) -> str:
        return await answer_calls(
            line,
            self._settings.modem_commands,
            partial(self._hdlc, "modem"),
            self._settled,
            self._share,
            first_s=self._first_s,
            inactivity_s=self._settings.inactivity_s,
        )

    def _hdlc(self, transport: str) -> HdlcServer:
        shared = transport == "serial"
        settings = HdlcSettings(
            inactivity_s=self._settings.inactivity_s,
            # Where a line has but one device, a client need not know its number.
            physical_address=self._settings.physical_address if shared else None,
            server_saps=self._server_saps,
        )
        return HdlcServer(partial(self._connect, transport), settings)
