"""Asking a bridge for the frames that it kept: the request and its response, both ways.

The frames stay as they were published, ciphered ones ciphered. Must not know any key, nor where
frames are kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

NAME = re.compile("[0-9a-z]{1,32}")
"""Of who asks, in topics, and of a request."""
MAX_REQUEST_BYTES = 256
MAX_RESPONSE_BYTES = 32_768
LONGEST_FRAME = 4096
"""Twice the longest HDLC frame: a longer message is no meter's push."""
LATEST_S = 0xFFFF_FFFF
"""Times have four bytes."""

_MARK = b"MNK1"
_LAST = 0x01
_HEAD = Struct(">BIB")
_FRAME_HEAD = Struct(">IH")


class KeptError(ValueError):
    """A message that is no request for kept frames, or no response to one; the text says why."""


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """What is asked: the frames that arrived from `first_s` on and before `end_s` (UTC seconds)."""

    id: str
    first_s: int
    end_s: int

    def to_json(self) -> str:
        """Return the payload."""
        return json.dumps({"id": self.id, "from": self.first_s, "to": self.end_s})

    @classmethod
    def from_json(cls, payload: bytes) -> KeptRequest:
        """Read a payload from anyone. Raises KeptError; unknown keys are passed over."""
        if len(payload) > MAX_REQUEST_BYTES:
            raise KeptError(f"longer than {MAX_REQUEST_BYTES} bytes")
        try:
            data = json.loads(payload)
        except (ValueError, RecursionError):
            raise KeptError("not JSON") from None
        if not isinstance(data, dict):
            raise KeptError("not a JSON object")
        asked = data.get("id")
        if not isinstance(asked, str) or not NAME.fullmatch(asked):
            raise KeptError("'id' is not 1 to 32 digits and lower-case letters")
        for key in ("from", "to"):
            if type(data.get(key)) is not int or not 0 <= data[key] <= LATEST_S:  # not true
                raise KeptError(f"{key!r} is no time in seconds since 1970")
        return cls(asked, data["from"], data["to"])


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """One frame, and when it arrived at the bridge by the bridge's clock."""

    arrived_s: int
    frame: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes in a response."""
        return _FRAME_HEAD.size + len(self.frame)


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """Frames in the order in which they arrived: all that were asked for, or the first of them."""

    id: str
    frames: tuple[KeptFrame, ...]
    next_s: int
    """From when on to ask for the rest: every kept frame of before is here."""
    last: bool
    """Whether nothing more is kept of what was asked for."""

    def to_bytes(self) -> bytes:
        """Return the payload."""
        name = self.id.encode("ascii")
        head = _HEAD.pack(_LAST if self.last else 0, self.next_s, len(name))
        return b"".join((_MARK, head, name, *map(_packed, self.frames)))

    @classmethod
    def from_bytes(cls, payload: bytes) -> KeptResponse:
        """Read a payload from anyone. Raises KeptError."""
        if len(payload) > MAX_RESPONSE_BYTES:
            raise KeptError(f"longer than {MAX_RESPONSE_BYTES} bytes")
        start = len(_MARK) + _HEAD.size
        if len(payload) < start or not payload.startswith(_MARK):
            raise KeptError("not a response with kept frames")
        flags, next_s, length = _HEAD.unpack_from(payload, len(_MARK))
        name = payload[start : start + length].decode("latin-1")
        if len(name) != length or not NAME.fullmatch(name):
            raise KeptError("without the id of a request")
        frames = tuple(_unpacked(payload, start + length))
        return cls(name, frames, next_s, bool(flags & _LAST))


def fitting(request: KeptRequest, frames: Iterable[KeptFrame]) -> KeptResponse:
    """Return the response with as many of the frames as go into one message.

    ``frames`` are all that is kept of the period, in the order of their arrival. A second is never
    cut in two, as the next request can only name a whole one.
    """
    left = MAX_RESPONSE_BYTES - len(_MARK) - _HEAD.size - len(request.id)
    taken: list[KeptFrame] = []
    for frame in frames:
        left -= frame.size
        if left < 0:
            first_left = frame.arrived_s
            whole = tuple(one for one in taken if one.arrived_s < first_left)
            if whole:
                return KeptResponse(request.id, whole, first_left, last=False)
            # More in one second than a message holds: no meter's doing, and not worth a standstill.
            return KeptResponse(request.id, tuple(taken), first_left + 1, last=False)
        taken.append(frame)
    return KeptResponse(request.id, tuple(taken), request.end_s, last=True)


def _packed(frame: KeptFrame) -> bytes:
    return _FRAME_HEAD.pack(frame.arrived_s, len(frame.frame)) + frame.frame


def _unpacked(payload: bytes, offset: int) -> Iterable[KeptFrame]:
    while offset < len(payload):
        if len(payload) - offset < _FRAME_HEAD.size:
            raise KeptError("cut short")
        arrived_s, length = _FRAME_HEAD.unpack_from(payload, offset)
        offset += _FRAME_HEAD.size
        frame = payload[offset : offset + length]
        if len(frame) != length:
            raise KeptError("cut short")
        yield KeptFrame(arrived_s, frame)
        offset += length
