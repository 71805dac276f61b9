"""HDLC frame format type 3 (IEC 62056-46): frames, sans-I/O.

Must not know what a frame carries, nor what its control byte asks for. ``FrameReader`` takes bytes
as they come from a line and gives frames, or says what was damaged; nothing it is fed can make it
grow without bound.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass

FLAG = 0x7E
UI = 0x13
LLC_TO_CLIENT = b"\xe6\xe7\x00"
LLC_TO_SERVER = b"\xe6\xe6\x00"
MAX_FRAME = 0x7FF
_SEGMENTED = 0x08
"""The bit of the format's first byte: what the frame carries goes on in the next one."""
_LONGEST_HEADER = 2 + 4 + 4 + 1 + 2
"""Format, two addresses of at most four bytes, control and check sequence."""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_sequence(data: bytes) -> bytes:
    """Return the two bytes of the frame check sequence (CRC-16/X-25, low byte first).

    CRC-16/X-25 is the bit-mirrored CCITT polynomial, so C's ``crc_hqx`` over mirrored bytes does
    the work.
    """
    crc = crc_hqx(data.translate(_REVERSED), 0xFFFF) ^ 0xFFFF
    return crc.to_bytes(2).translate(_REVERSED)


@dataclass(frozen=True, slots=True)
class Frame:
    """One good frame; addresses as they stand on the wire."""

    destination: bytes
    source: bytes
    control: int
    information: bytes
    segmented: bool = False


@dataclass(frozen=True, slots=True)
class Damaged:
    """Bytes that began like a frame and were none, with the reason."""

    reason: str
    data: bytes


class HdlcError(ValueError):
    """The bytes are no good HDLC frame."""


class _CutShortError(HdlcError):
    """The bytes end before it is known whether they are."""


def encode(frame: Frame) -> bytes:
    """Return the frame between its flags. Raises HdlcError when it is too long."""
    header = frame.destination + frame.source + bytes((frame.control,))
    length = 2 + len(header) + 2 + (len(frame.information) + 2 if frame.information else 0)
    if length > MAX_FRAME:
        raise HdlcError(f"{len(frame.information)} bytes do not fit into one frame")
    header = (0xA000 | _SEGMENTED * frame.segmented << 8 | length).to_bytes(2) + header
    body = header + check_sequence(header)
    if frame.information:
        body += frame.information
        body += check_sequence(body)
    return b"\x7e" + body + b"\x7e"


def decode(data: bytes, *, segmented: bool = False) -> Frame:
    """Return the one frame between flags. Raises HdlcError with what is wrong.

    Only where ``segmented`` is set may it be a part of something longer: a push never is.
    """
    if len(data) < 9 or data[0] != FLAG or data[-1] != FLAG:
        raise HdlcError("no frame between flags (7E)")
    body = data[1:-1]
    if body[0] & 0xF0 != 0xA0:
        raise HdlcError(f"frame format 0x{body[0]:02X} is not type 3")
    if body[0] & _SEGMENTED and not segmented:
        raise HdlcError("a segmented frame, which the channel does not use")
    length = int.from_bytes(body[:2]) & MAX_FRAME
    if length != len(body):
        raise HdlcError(f"the frame says {length} bytes and has {len(body)}")
    destination, offset = _address(body, 2)
    source, offset = _address(body, offset)
    header_end = offset + 1
    if header_end + 2 > len(body):
        raise HdlcError("cut short in its header")
    if check_sequence(body[:-2]) != body[-2:]:
        raise HdlcError("frame check sequence does not fit")
    information = b""
    if header_end + 2 < len(body):
        if check_sequence(body[:header_end]) != body[header_end : header_end + 2]:
            raise HdlcError("header check sequence does not fit")
        information = body[header_end + 2 : -2]
    return Frame(destination, source, body[offset], information, bool(body[0] & _SEGMENTED))


def _check_header(body: bytes) -> None:
    """Check the two bytes behind the control byte: in any frame they cover the header."""
    _, offset = _address(body, 2)
    _, offset = _address(body, offset)
    if offset + 3 > len(body):
        raise _CutShortError("cut short in its header")
    if check_sequence(body[: offset + 1]) != body[offset + 1 : offset + 3]:
        raise HdlcError("header check sequence does not fit")


def _address(body: bytes, offset: int) -> tuple[bytes, int]:
    for size in (1, 2, 4):
        if offset + size > len(body):
            raise _CutShortError("no valid address")
        if body[offset + size - 1] & 1:
            return body[offset : offset + size], offset + size
    raise HdlcError("no valid address")


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self, *, segmented: bool = False) -> None:
        """Start between two frames; ``segmented`` as for ``decode``."""
        self._segmented = segmented
        self._buffer = bytearray()

    def restart(self) -> None:
        """Forget what is incomplete: the line was silent for longer than within a frame."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Frame | Damaged]:
        """Take bytes in the order they came; return what is complete with them."""
        self._buffer += data
        found: list[Frame | Damaged] = []
        while (item := self._next()) is not None:
            found.append(item)
        return found

    def _next(self) -> Frame | Damaged | None:
        buffer = self._buffer
        while True:
            start = buffer.find(FLAG)
            if start < 0:
                buffer.clear()
                return None
            del buffer[:start]
            if len(buffer) < 3:
                return None
            if buffer[1] & 0xF0 == 0xA0:
                break
            # An end flag, an idle flag or noise that looks like one: the next may be the start.
            del buffer[0]
        size = (int.from_bytes(buffer[1:3]) & MAX_FRAME) + 2
        # What only looks like a header must not hold up the frames behind it.
        header = bytes(buffer[1 : 1 + _LONGEST_HEADER])
        try:
            _check_header(header)
        except _CutShortError:
            pass  # where its frame is complete, decoding it says so
        except HdlcError as error:
            del buffer[0]
            return Damaged(str(error), b"\x7e" + header)
        if len(buffer) < size:
            return None
        candidate = bytes(buffer[:size])
        try:
            frame = decode(candidate, segmented=self._segmented)
        except HdlcError as error:
            # Only the flag goes: a real frame may begin inside what this one claimed to be.
            del buffer[0]
            return Damaged(str(error), candidate)
        del buffer[: size - 1]  # the closing flag may open the next frame
        return frame
