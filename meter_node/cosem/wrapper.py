"""The wrapper of DLMS/COSEM over TCP (IEC 62056-47): bytes in, messages out, sans-I/O.

Must not know a socket, nor what an APDU means. A stream has no mark to find the next message by:
after damage nothing can be trusted, and the connection must be closed.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from .connection import BROADCAST_SAP, DlmsConnection

VERSION = 1
HEADER_BYTES = 8
LONGEST_APDU = 0xFFFF
"""What the header's length can say."""


@dataclass(frozen=True, slots=True)
class Message:
    """One APDU with the wrapper ports it goes from and to."""

    source: int
    destination: int
    apdu: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """Why the stream is of no use any more."""

    reason: str


class WrapperError(ValueError):
    """An APDU that the wrapper can't carry."""


def encode(message: Message) -> bytes:
    """Return the message behind its header. Raises WrapperError."""
    if not 0 < len(message.apdu) <= LONGEST_APDU:
        raise WrapperError(f"an APDU of {len(message.apdu)} bytes; possible are 1 to 65535")
    fields = (VERSION, message.source, message.destination, len(message.apdu))
    return b"".join(field.to_bytes(2) for field in fields) + message.apdu


class WrapperReader:
    """Cuts a stream into messages; keeps no more than one of the longest."""

    def __init__(self, longest_apdu: int = LONGEST_APDU) -> None:
        """An APDU beyond ``longest_apdu`` bytes is refused by its header, before it has come."""
        self._longest_apdu = longest_apdu
        self._buffer = bytearray()
        self._damaged = False

    def feed(self, data: bytes) -> list[Message | Damaged]:
        """Take bytes as they come; return what is complete. Nothing follows a Damaged."""
        if self._damaged:
            return []
        self._buffer += data
        found: list[Message | Damaged] = []
        start = 0
        while not self._damaged and (item := self._at(start)) is not None:
            found.append(item)
            if isinstance(item, Damaged):
                self._damaged = True
                self._buffer.clear()
            else:
                start += HEADER_BYTES + len(item.apdu)
        del self._buffer[:start]
        return found

    def _at(self, start: int) -> Message | Damaged | None:
        header = self._buffer[start : start + HEADER_BYTES]
        # What is no wrapper at all is told by its first two bytes.
        if len(header) >= 2 and int.from_bytes(header[:2]) != VERSION:
            return Damaged(f"wrapper version {int.from_bytes(header[:2])}, which is not 1")
        if len(header) < HEADER_BYTES:
            return None
        size = int.from_bytes(header[6:8])
        if not 0 < size <= self._longest_apdu:
            return Damaged(f"an APDU of {size} bytes; taken are 1 to {self._longest_apdu}")
        end = start + HEADER_BYTES + size
        if len(self._buffer) < end:
            return None
        apdu = bytes(self._buffer[start + HEADER_BYTES : end])
        return Message(int.from_bytes(header[2:4]), int.from_bytes(header[4:6]), apdu)


class WrapperServer:
    """The server's end of one stream."""

    links = 1
    """As for a line of HDLC links: here the stream is the only one."""

    def __init__(
        self,
        connection: DlmsConnection,
        *,
        server_saps: Container[int] | None = None,
        longest_apdu: int = LONGEST_APDU,
    ) -> None:
        """What is for none of ``server_saps`` is not answered; None: all are here."""
        self._connection = connection
        self._server_saps = server_saps
        self._reader = WrapperReader(longest_apdu)
        self._closed = False
        self.heard = 0
        """Good messages for this server so far."""
        self.damage: str | None = None
        """Why the stream must be closed."""

    @property
    def proven(self) -> bool:
        """Whether a client has proved who he is."""
        return self._connection.proven

    def feed(self, data: bytes, now_ns: int) -> Iterator[bytes]:
        """Take bytes as they come; yield what to send, one answer at a time. All must be used."""
        for item in self._reader.feed(data):
            if isinstance(item, Damaged):
                self.damage = item.reason
            elif (answer := self._answer(item, now_ns)) is not None:
                yield encode(Message(item.destination, item.source, answer))

    def _answer(self, message: Message, now_ns: int) -> bytes | None:
        sap, for_all = message.destination, message.destination == BROADCAST_SAP
        if not (for_all or self._server_saps is None or sap in self._server_saps):
            return None
        self.heard += 1
        answer = self._connection.receive(message.source, sap, message.apdu, now_ns)
        return None if for_all else answer or None

    def idle(self, now_ns: int) -> None:
        """Nothing ends by silence but the stream itself, which its owner closes."""

    def close(self) -> None:
        """The stream is gone."""
        if not self._closed:
            self._closed = True
            self._connection.closed()
