"""Ways to a meter: TCP with wrapper, HDLC over TCP or a serial line, each with its time limits.

Blocking: a command talks to one meter and has nothing else to do. Must not know what is asked.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import serial

from meter_node.cosem import wrapper
from meter_node.cosem.hdlc_control import ServerAddress
from meter_node.cosem.wrapper import Damaged, Message, WrapperReader
from meter_node.utility.errors import NoAnswerError, UnreachableError, UtilityError
from meter_node.utility.hdlc_client import HdlcClient
from meter_node.utility.session import Link

CHUNK = 4096
_BITS_A_BYTE = 10


@dataclass(frozen=True, slots=True)
class Tcp:
    """The wrapper over TCP."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class HdlcTcp:
    """HDLC over TCP."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Serial:
    """HDLC over a serial line, eight bits, no parity."""

    device: str
    baudrate: int


type Way = Tcp | HdlcTcp | Serial


@dataclass(frozen=True, slots=True)
class Address:
    """Whom to talk to: the logical device, and on a shared line the meter's own address."""

    server_sap: int = 1
    physical: int | None = None


class _Wire(Protocol):
    def send(self, data: bytes) -> None: ...

    def receive(self, wait_s: float) -> bytes:
        """Return what came, nothing after a silence. Raises UnreachableError at the end."""

    def close(self) -> None: ...


def connect(way: Way, address: Address, client_sap: int, patience_s: float) -> Link:
    """Open a way. `patience_s`: how long an answer may take. Raises UtilityError."""
    if isinstance(way, Serial):
        return _HdlcLink(_SerialWire(way, patience_s), address, client_sap, patience_s)
    wire = _Socket(way.host, way.port, patience_s)
    if isinstance(way, HdlcTcp):
        return _HdlcLink(wire, address, client_sap, patience_s)
    return _WrapperLink(wire, address, client_sap, patience_s)


class _WrapperLink:
    def __init__(self, wire: _Wire, address: Address, client_sap: int, patience_s: float) -> None:
        self._wire = wire
        self._ports = (client_sap, address.server_sap)
        self._patience_s = patience_s
        self._reader = WrapperReader()

    def exchange(self, apdu: bytes) -> bytes:
        client, server = self._ports
        self._wire.send(wrapper.encode(Message(client, server, apdu)))
        until = time.monotonic() + self._patience_s
        while (left_s := until - time.monotonic()) > 0:
            for item in self._reader.feed(self._wire.receive(left_s)):
                if isinstance(item, Damaged):
                    raise UnreachableError(f"what answers there speaks no DLMS: {item.reason}")
                if (item.source, item.destination) == (server, client):
                    return item.apdu
        raise NoAnswerError(f"the meter does not answer within {self._patience_s:g} s")

    def close(self) -> None:
        self._wire.close()


class _HdlcLink:
    def __init__(self, wire: _Wire, address: Address, client_sap: int, patience_s: float) -> None:
        self._wire = wire
        self._patience_s = patience_s
        self._is_lost = False
        size = 1 if address.physical is None else 4
        server = ServerAddress(address.server_sap, address.physical, size)
        self._client = HdlcClient(client_sap, server)
        try:
            self._run(self._client.connect())
        except BaseException:
            wire.close()
            raise

    def exchange(self, apdu: bytes) -> bytes:
        return self._run(self._client.exchange(apdu))

    def close(self) -> None:
        if not self._is_lost:
            with contextlib.suppress(UtilityError, OSError):
                self._run(self._client.disconnect())
        self._wire.close()

    def _run[T](self, line: Generator[bytes, bytes, T]) -> T:
        try:
            data = next(line)
            while True:
                if data:
                    self._wire.send(data)
                data = line.send(self._wire.receive(self._patience_s))
        except UtilityError:
            self._is_lost = True
            raise
        except StopIteration as done:
            result: T = done.value
            return result


class _Socket:
    def __init__(self, host: str, port: int, patience_s: float) -> None:
        self._where = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), patience_s)
        except OSError as error:
            raise UnreachableError(f"{self._where}: no connection: {_why(error)}") from None
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise UnreachableError(f"{self._where}: {_why(error)}") from None

    def receive(self, wait_s: float) -> bytes:
        try:
            self._socket.settimeout(wait_s)
            found = self._socket.recv(CHUNK)
        except TimeoutError:
            return b""
        except OSError as error:
            raise UnreachableError(f"{self._where}: {_why(error)}") from None
        if not found:
            raise UnreachableError(f"{self._where}: the meter closed the connection")
        return found

    def close(self) -> None:
        self._socket.close()


class _SerialWire:
    def __init__(self, line: Serial, patience_s: float) -> None:
        self._device = line.device
        try:
            self._line = serial.Serial(
                line.device,
                line.baudrate,
                write_timeout=patience_s + CHUNK * _BITS_A_BYTE / line.baudrate,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            raise UnreachableError(f"{line.device}: can't be opened: {_why(error)}") from None

    def send(self, data: bytes) -> None:
        try:
            self._line.write(data)
        except OSError as error:
            raise UnreachableError(f"{self._device}: {_why(error)}") from None

    def receive(self, wait_s: float) -> bytes:
        try:
            self._line.timeout = wait_s
            found: bytes = self._line.read(1)
            found += self._line.read(self._line.in_waiting)
        except OSError as error:
            raise UnreachableError(f"{self._device}: {_why(error)}") from None
        return found

    def close(self) -> None:
        self._line.close()


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "nobody answers there"
    return getattr(error, "strerror", None) or str(error)
