"""The wrapper of DLMS/COSEM over TCP (IEC 62056-47): bytes in, messages out, sans-I/O.

Must not know a socket, nor what an APDU means. A stream has no mark to find the next message by:
after damage nothing can be trusted, and the connection must be closed.
"""

from __future__ import annotations

from dataclasses import dataclass

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
