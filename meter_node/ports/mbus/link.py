"""M-Bus link layer (EN 13757-2): short, control and long frames, out of whatever comes. Pure.

Must not know what the frames mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

ACKNOWLEDGED = b"\xe5"
_SHORT, _LONG, _STOP = 0x10, 0x68, 0x16
_SHORT_LENGTH = 5
_LONG_OVERHEAD = 6
_LEAST_LENGTH = 3
"""Control, address and CI: a control frame has no more."""
MOST_USER_DATA = 0xFF - _LEAST_LENGTH
LONGEST_FRAME = 0xFF + _LONG_OVERHEAD


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: short (``ci`` None), control (no ``data``) or long."""

    control: int
    address: int
    ci: int | None = None
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """Return it as it goes over the line. Raises ValueError beyond 252 bytes of data."""
        if self.ci is None:
            body = bytes((self.control, self.address))
            return bytes((_SHORT, *body, sum(body) & 0xFF, _STOP))
        if len(self.data) > MOST_USER_DATA:
            raise ValueError(f"{len(self.data)} bytes do not fit into a frame")
        body = bytes((self.control, self.address, self.ci)) + self.data
        head = bytes((_LONG, len(body), len(body), _LONG))
        return head + body + bytes((sum(body) & 0xFF, _STOP))


class Deframer:
    """Finds frames in a stream of bytes; what is none is passed over, byte by byte.

    What stood behind a beginning that became no frame was said long ago: whoever asked there has
    asked again since, and is answered to that alone.
    """

    def __init__(self, frame_s: float = math.inf) -> None:
        """Nothing has come yet; ``frame_s`` is how long a frame may take, from its first byte."""
        self.frame_s = frame_s
        self._waiting = b""
        self._begun_s = 0.0

    def feed(self, data: bytes, now_s: float = 0.0) -> Iterator[Frame]:
        """Take bytes; yield the frames that are whole with them and whose check sum fits."""
        if now_s - self._begun_s > self.frame_s:
            self._waiting = b""
        before = len(self._waiting)
        self._waiting += data
        place = 0
        while place < len(self._waiting):
            found = _frame_at(self._waiting, place)
            if found is None:
                break  # it may become one
            frame, length = found
            place += length
            if frame is not None and place > before:
                yield frame
        self._waiting = self._waiting[place:]
        if place >= before:
            self._begun_s = now_s

    def silence(self) -> None:
        """The line was silent for longer than a frame allows: what had begun is over."""
        self._waiting = b""


def _frame_at(data: bytes, place: int) -> tuple[Frame | None, int] | None:
    """Return the frame that begins there, or none, and how far to go on; None: more must come."""
    left = len(data) - place
    start = data[place]
    if start == _SHORT:
        if left < _SHORT_LENGTH:
            return None
        control, address, check, stop = data[place + 1 : place + _SHORT_LENGTH]
        if stop == _STOP and check == control + address & 0xFF:
            return Frame(control, address), _SHORT_LENGTH
        return None, 1
    if start != _LONG:
        return None, 1
    head = data[place : place + 4]
    lengths, middle = head[1:3], head[3:]
    if any(one < _LEAST_LENGTH or one != lengths[0] for one in lengths) or middle not in (
        b"",
        bytes((_LONG,)),
    ):
        return None, 1
    if not middle:
        return None
    length = head[1] + _LONG_OVERHEAD
    if left < length:
        return None
    body = data[place + 4 : place + length - 2]
    if data[place + length - 1] == _STOP and data[place + length - 2] == sum(body) & 0xFF:
        return Frame(body[0], body[1], body[2], body[3:]), length
    return None, 1
