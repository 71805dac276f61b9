"""Self-tests of memory, program and store: what is compared, without reading a file or a database.

Must not know who runs them, how often, or what an error leads to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, MutableSequence
from dataclasses import dataclass

_PATTERNS = (0x00, 0xFF, 0x55, 0xAA)
_ADDRESS_PATTERN = 251
"""A prime: no two cells a power of two apart are given the same value."""
BUFFER_LENGTH = 4096


def patterns_hold(buffer: MutableSequence[int]) -> bool:
    """Write patterns over a buffer of bytes and read them back; its content is lost.

    All bits off, all on, every other one, then each cell a value of its own, so that two cells
    that are really one are seen.
    """
    length = len(buffer)
    for pattern in _PATTERNS:
        for index in range(length):
            buffer[index] = pattern
        if any(buffer[index] != pattern for index in range(length)):
            return False
    for index in range(length):
        buffer[index] = index % _ADDRESS_PATTERN
    return all(buffer[index] == index % _ADDRESS_PATTERN for index in range(length))


class TwiceKept:
    """The meter's own parameters in memory, twice and the second time inverted, with a checksum.

    Inverted, so that a stretch of memory that reads as all ones or all zeros does not agree with
    itself.
    """

    def __init__(self, content: bytes) -> None:
        self.copy = bytearray(content)
        self.inverted = bytearray(byte ^ 0xFF for byte in content)
        self.checksum = hashlib.sha256(content).digest()

    @property
    def intact(self) -> bool:
        """Whether both copies and the checksum still agree."""
        return (
            bytes(self.copy) == bytes(byte ^ 0xFF for byte in self.inverted)
            and hashlib.sha256(self.copy).digest() == self.checksum
        )


def memory_holds(parameters: TwiceKept, buffer: MutableSequence[int] | None = None) -> bool:
    """The memory's test: parameters unchanged, and a buffer that keeps what is written to it."""
    if buffer is None:
        buffer = bytearray(BUFFER_LENGTH)
    return parameters.intact and patterns_hold(buffer)


def program_digest(names: Iterable[str], read: Callable[[str], bytes]) -> str:
    """SHA-256 over the names and contents of the program's files, in the order of their names.

    `read` gives a file's content: one at a time, so that they are never all in memory.
    """
    digest = hashlib.sha256()
    for name in sorted(names):
        # Lengths in front: a byte that moves from a name to a content is a difference.
        for part in (name.encode(), read(name)):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class StoreTest:
    """What the store gave back of what was written to it, and its own verdict on itself.

    `integrity` is what SQLite's ``PRAGMA integrity_check`` says.
    """

    written: bytes
    read: bytes
    integrity: str

    @property
    def holds(self) -> bool:
        """Whether the store can be relied on."""
        return self.read == self.written and self.integrity == "ok"
