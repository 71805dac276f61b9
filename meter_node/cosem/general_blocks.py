"""General block transfer (IEC 62056-5-3): any APDU in blocks, in both directions, one at a time.

Must not know what the blocks hold. A window of one: each block is answered before the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.cosem.wire import Reader, WireError, octet_string

GENERAL_BLOCK_TRANSFER = 0xE0
OVERHEAD = 9
"""Bytes of a block's APDU before its data, at most."""
LONGEST = 65_536
_LAST = 0x80
_WINDOW = 1
_HIGHEST = 0xFFFF


@dataclass(frozen=True, slots=True)
class _Block:
    last: bool
    number: int
    acknowledged: int
    data: bytes


def _read(apdu: bytes) -> _Block:
    reader = Reader(apdu)
    if reader.unsigned() != GENERAL_BLOCK_TRANSFER:
        raise WireError("not a general-block-transfer")
    control, number, acknowledged = reader.unsigned(), reader.unsigned(2), reader.unsigned(2)
    data = reader.octets()
    reader.end()
    return _Block(bool(control & _LAST), number, acknowledged, data)


class GeneralBlocks:
    """The block transfer of one association: a request that comes in, an answer that goes out."""

    def __init__(self) -> None:
        self._incoming = bytearray()
        self._received = 0
        self._outgoing = b""
        self._sent = 0
        self._size = 0
        self._at = 0
        self._last_length = 0

    def take(self, apdu: bytes) -> tuple[bytes | None, bytes | None]:
        """Take a block: (the whole request, None) with the last one, else (None, the answer).

        Raises WireError where a block is not the next one; then all that came is forgotten.
        """
        block = _read(apdu)
        if self._outgoing and not block.data:
            return None, self._next(block.acknowledged)
        self._outgoing = b""
        if block.number == 1:
            self._incoming, self._received = bytearray(), 0
        if block.number != self._received + 1 or len(self._incoming) + len(block.data) > LONGEST:
            self._forget()
            raise WireError("a block that is not the next one")
        if not block.data and not block.last:
            self._forget()
            raise WireError("a block of nothing")
        self._received = block.number
        self._incoming += block.data
        if not block.last:
            # Our own block counts from 1 as well; it is empty and not the last.
            return None, _write(last=False, number=1, acknowledged=self._received, data=b"")
        whole = bytes(self._incoming)
        self._incoming = bytearray()
        return whole, None

    def begin(self, answer: bytes, size: int) -> bytes:
        """Return the first block of an answer; `size`: bytes that a block's APDU may have."""
        self._outgoing = answer
        self._size = max(size - OVERHEAD, 16)
        self._sent = self._at = self._last_length = 0
        return self._block()

    def _next(self, acknowledged: int) -> bytes:
        if acknowledged == self._sent - 1:  # the last one was lost: once more
            self._at -= self._last_length
            self._sent -= 1
        elif acknowledged != self._sent or self._at >= len(self._outgoing):
            self._outgoing = b""
            raise WireError("an acknowledgement of what was not sent")
        return self._block()

    def _block(self) -> bytes:
        data = self._outgoing[self._at : self._at + self._size]
        self._at += len(data)
        self._last_length = len(data)
        self._sent += 1
        last = self._at >= len(self._outgoing)
        if self._sent > _HIGHEST:
            self._outgoing = b""
            raise WireError("an answer of more blocks than can be numbered")
        # It stays until something else comes: the last block, too, may be lost.
        return _write(last=last, number=self._sent, acknowledged=self._received, data=data)

    def _forget(self) -> None:
        self._incoming, self._received = bytearray(), 0


def _write(*, last: bool, number: int, acknowledged: int, data: bytes) -> bytes:
    control = (_LAST if last else 0) | _WINDOW
    head = bytes((GENERAL_BLOCK_TRANSFER, control)) + number.to_bytes(2) + acknowledged.to_bytes(2)
    return head + octet_string(data)
