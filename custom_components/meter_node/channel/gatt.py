"""The channel over Bluetooth LE: identifiers, what is advertised, and messages cut to the MTU.

The messages are those of MQTT, byte for byte. Must not know a Bluetooth library, keys or a clock.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .apdu import TITLE_LENGTH

SERVICE_UUID: Final = "832f0001-a4d5-46e7-934e-a4fb970ea3b2"
"""One such service for each meter that the node has."""
HELLO_UUID: Final = "832f0002-a4d5-46e7-934e-a4fb970ea3b2"
"""To be read: the JSON of `channel.hello`."""
PUSH_UUID: Final = "832f0003-a4d5-46e7-934e-a4fb970ea3b2"
"""Notifies each push, in chunks."""
REQUEST_UUID: Final = "832f0004-a4d5-46e7-934e-a4fb970ea3b2"
"""Takes requests, in chunks."""
RESPONSE_UUID: Final = "832f0005-a4d5-46e7-934e-a4fb970ea3b2"
"""Notifies the responses to the requests of the same connection, in chunks."""

LONGEST_VALUE: Final = 512
"""Bytes of a characteristic's value (Bluetooth Core, Vol 3 Part F 3.2.9): a hello must fit."""

ATT_HEADER: Final = 3
LEAST_MTU: Final = 23
"""What each Bluetooth LE device manages (Vol 3 Part G 5.2.1)."""

# --- what is advertised --------------------------------------------------------------------------

_ADVERTISED_VERSION = 1
_FLAGS = bytes((2, 0x01, 0x06))  # general discoverable, no classic Bluetooth
_SERVICE_DATA_128 = 0x21
_ALL_SERVICES_128 = 0x07
_WHOLE_NAME = 0x09
_LONGEST_NAME = 29 - 18


def service_data(system_title: bytes) -> bytes:
    """Return what is advertised as the service's data: a version and the meter's system title."""
    return bytes((_ADVERTISED_VERSION,)) + system_title


def advertised_title(data: bytes) -> str | None:
    """Return the system title (as topics hold it) of a meter's service data, None for any other.

    What later versions may put behind it is passed over.
    """
    if len(data) < 1 + TITLE_LENGTH or data[0] != _ADVERTISED_VERSION:
        return None
    return data[1 : 1 + TITLE_LENGTH].hex()


def advertisement(system_title: bytes) -> bytes:
    """Return what a meter advertises: 30 of 31 bytes, so that a passive scanner learns it all."""
    return _FLAGS + _structure(
        _SERVICE_DATA_128, _uuid_bytes(SERVICE_UUID) + service_data(system_title)
    )


def scan_response(name: str) -> bytes:
    """Return what a scanner is told that asks: the service, and a name cut to eleven letters."""
    letters = name.encode("ascii", "ignore")[:_LONGEST_NAME]
    return _structure(_ALL_SERVICES_128, _uuid_bytes(SERVICE_UUID)) + _structure(
        _WHOLE_NAME, letters
    )


def _uuid_bytes(uuid: str) -> bytes:
    return bytes.fromhex(uuid.replace("-", ""))[::-1]


def _structure(kind: int, data: bytes) -> bytes:
    return bytes((1 + len(data), kind)) + data


# --- messages in chunks --------------------------------------------------------------------------

CHUNK_HEADER: Final = 4
_HEAD: Final = 8
"""In the first chunk, behind the header: flags, length (3), CRC-32 of the message (4)."""
_KEPT = 0x01
_IDS = 0x10000
LONGEST_MESSAGE: Final = 0xFFFFFF


def payload_of(mtu: int) -> int:
    """Return how long a chunk may be at an ATT MTU."""
    return max(mtu, LEAST_MTU) - ATT_HEADER


def chunks(message: bytes, number: int, payload: int, *, kept: bool = False) -> Iterator[bytes]:
    """Cut a message into chunks of at most ``payload`` bytes (at least 20).

    ``number``: one more for each message on this characteristic of this connection. ``kept``: the
    message was said before, to others, and may be of any age. Raises ValueError for an empty or a
    too long message, or too small chunks.
    """
    if payload < LEAST_MTU - ATT_HEADER:
        raise ValueError(f"chunks of {payload} bytes: each device takes {LEAST_MTU - ATT_HEADER}")
    head = (
        bytes((_KEPT if kept else 0,)) + len(message).to_bytes(3) + zlib.crc32(message).to_bytes(4)
    )
    data = payload - CHUNK_HEADER
    # The head counts as data of the first chunk.
    count = -(-(len(message) + _HEAD) // data)
    if not 0 < len(message) <= LONGEST_MESSAGE or count > _IDS:
        raise ValueError(f"a message of {len(message)} bytes in chunks of {payload}")
    identity = (number % _IDS).to_bytes(2)
    stream = head + message
    for sequence in range(count):
        part = stream[sequence * data : (sequence + 1) * data]
        yield identity + sequence.to_bytes(2) + part


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, and whether it may be an old one."""

    payload: bytes
    kept: bool


class _BrokenError(Exception):
    """A chunk that does not belong where it came."""


class Assembler:
    """Puts the chunks of one characteristic of one connection together.

    A message is given only if its chunks came in order and complete and its check fits; whatever is
    lost, repeated, swapped or mixed costs the messages concerned and no other. Never holds more
    than the longest message.
    """

    def __init__(self, most_bytes: int) -> None:
        """Take messages of at most so many bytes."""
        self._most_bytes = most_bytes
        self._number = self._next = 0
        self._length = self._crc = 0
        self._kept = False
        self._data: bytearray | None = None
        self.dropped = 0
        """Chunks and beginnings of messages that came to nothing."""

    @property
    def held(self) -> int:
        """How many bytes of an unfinished message are held."""
        return 0 if self._data is None else len(self._data)

    def feed(self, chunk: bytes) -> Message | None:
        """Take a chunk; return the message that is complete with it."""
        try:
            return self._take(chunk)
        except _BrokenError:
            self._data = None
            self.dropped += 1
            return None

    def _take(self, chunk: bytes) -> Message | None:
        if len(chunk) <= CHUNK_HEADER:
            raise _BrokenError
        number, sequence = int.from_bytes(chunk[:2]), int.from_bytes(chunk[2:4])
        if sequence == 0:
            return self._begin(number, chunk[CHUNK_HEADER:])
        if self._data is None or (number, sequence) != (self._number, self._next):
            raise _BrokenError
        return self._go_on(self._data, chunk[CHUNK_HEADER:])

    def _begin(self, number: int, data: bytes) -> Message | None:
        if self._data is not None:
            self._data = None
            self.dropped += 1
        self._length, self._crc = int.from_bytes(data[1:4]), int.from_bytes(data[4:_HEAD])
        if len(data) <= _HEAD or not 0 < self._length <= self._most_bytes:
            raise _BrokenError
        self._number, self._next = number, 0
        self._kept = bool(data[0] & _KEPT)
        self._data = bytearray()
        return self._go_on(self._data, data[_HEAD:])

    def _go_on(self, whole: bytearray, part: bytes) -> Message | None:
        if len(whole) + len(part) > self._length:
            raise _BrokenError
        whole += part
        self._next += 1
        if len(whole) < self._length:
            return None
        message = bytes(whole)
        if zlib.crc32(message) != self._crc:
            raise _BrokenError
        self._data = None
        return Message(message, self._kept)
