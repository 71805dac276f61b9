"""HDLC's control byte, server addresses and link parameters (IEC 62056-46, 6.4): tables of words.

Both ends of a link speak them. Must not know a link's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MODULO = 8
"""Sequence numbers count to 7."""
_POLL = 0x10


class Kind(Enum):
    """What a frame asks or says; the value is its control byte without numbers and poll bit."""

    I = 0x00  # noqa: E741 - its name
    RR = 0x01
    RNR = 0x05
    UI = 0x03
    DM = 0x0F
    DISC = 0x43
    UA = 0x63
    SNRM = 0x83
    FRMR = 0x87


_UNNUMBERED = {kind.value: kind for kind in Kind if kind.value & 0x03 == 0x03}
_SUPERVISORY = {kind.value: kind for kind in (Kind.RR, Kind.RNR)}


@dataclass(frozen=True, slots=True)
class Control:
    """A control byte: ``poll`` is P of the client, F of the server."""

    kind: Kind
    poll: bool = True
    send: int = 0
    receive: int = 0

    def encode(self) -> int:
        """Return the byte."""
        byte: int = self.kind.value | _POLL * self.poll
        if self.kind in (Kind.I, Kind.RR, Kind.RNR):
            byte |= self.receive << 5 | self.send << 1
        return byte


def control(byte: int) -> Control | None:
    """Return what the byte says; None where the standard has no such frame (REJ among them)."""
    poll = bool(byte & _POLL)
    if not byte & 0x01:
        return Control(Kind.I, poll, byte >> 1 & 0x07, byte >> 5)
    if byte & 0x03 == 0x01:
        kind = _SUPERVISORY.get(byte & 0x0F)
        return None if kind is None else Control(kind, poll, 0, byte >> 5)
    kind = _UNNUMBERED.get(byte & ~_POLL)
    return None if kind is None else Control(kind, poll)


NO_STATION = 0


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A logical device (upper), and the physical one (lower) where the address names it."""

    upper: int
    lower: int | None
    size: int

    @property
    def all_station(self) -> int:
        """The number that names every device, in an address of this size."""
        return 0x3FFF if self.size == 4 else 0x7F

    def encode(self) -> bytes:
        """Return the bytes on the wire: seven bits each, the last one marked."""
        parts = [self.upper] if self.lower is None else [self.upper, self.lower]
        digits: list[int] = []
        for part in parts:
            digits += [part >> 7 & 0x7F, part & 0x7F] if self.size == 4 else [part & 0x7F]
        return bytes([*(digit << 1 for digit in digits[:-1]), digits[-1] << 1 | 1])


def server_address(wire: bytes) -> ServerAddress:
    """Return what an address of 1, 2 or 4 bytes means."""
    digits = [byte >> 1 for byte in wire]
    if len(digits) == 4:
        return ServerAddress(digits[0] << 7 | digits[1], digits[2] << 7 | digits[3], 4)
    return ServerAddress(digits[0], digits[1] if len(digits) == 2 else None, len(digits))


_FORMAT, _PARAMETERS = 0x81, 0x80
_INFORMATION_SENT, _INFORMATION_RECEIVED, _WINDOW_SENT, _WINDOW_RECEIVED = 5, 6, 7, 8


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """What one end of a link offers, or what both agreed on, as that end sees it."""

    information_sent: int = 128
    """Bytes in the information field of a frame that this end sends, at most."""
    information_received: int = 128
    window_sent: int = 1
    """Frames that this end may send before it must be polled again."""
    window_received: int = 1

    def encode(self) -> bytes:
        """Return them as the information field of SNRM or UA."""
        fields = (
            (_INFORMATION_SENT, self.information_sent.to_bytes(2)),
            (_INFORMATION_RECEIVED, self.information_received.to_bytes(2)),
            (_WINDOW_SENT, self.window_sent.to_bytes(4)),
            (_WINDOW_RECEIVED, self.window_received.to_bytes(4)),
        )
        group = b"".join(bytes((key, len(value))) + value for key, value in fields)
        return bytes((_FORMAT, _PARAMETERS, len(group))) + group

    def agreed(self, proposed: LinkParameters) -> LinkParameters:
        """Return what this end answers to the other's proposal: of each the smaller."""
        return LinkParameters(
            min(self.information_sent, proposed.information_received),
            min(self.information_received, proposed.information_sent),
            min(self.window_sent, proposed.window_received),
            min(self.window_received, proposed.window_sent),
        )


LARGEST = LinkParameters(2030, 2030, 7, 7)
"""As large as the standard's set-up object (class 23) can say."""


def link_parameters(information: bytes) -> LinkParameters:
    """Return the parameters of SNRM or UA; what is missing or makes no sense has its default."""
    default = LinkParameters()
    if information[:2] != bytes((_FORMAT, _PARAMETERS)) or len(information) < 3:
        return default
    group = information[3 : 3 + information[2]]
    found: dict[int, int] = {}
    offset = 0
    while offset + 2 <= len(group):
        key, size = group[offset], group[offset + 1]
        value = group[offset + 2 : offset + 2 + size]
        if len(value) == size and 1 <= size <= 4:
            found[key] = int.from_bytes(value)
        offset += 2 + size

    def number(key: int, otherwise: int, largest: int) -> int:
        return min(found.get(key, 0) or otherwise, largest)

    return LinkParameters(
        number(_INFORMATION_SENT, default.information_sent, LARGEST.information_sent),
        number(_INFORMATION_RECEIVED, default.information_received, LARGEST.information_received),
        number(_WINDOW_SENT, default.window_sent, LARGEST.window_sent),
        number(_WINDOW_RECEIVED, default.window_received, LARGEST.window_received),
    )
