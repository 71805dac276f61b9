"""M-Bus data records (EN 13757-3): data and value information blocks, dates, headers. Pure.

Must not know registers nor frames.
"""

from __future__ import annotations

from calendar import isleap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from meter_node.channel.cosem_time import ClockStatus, CosemDateTime

from .address import SecondaryAddress

_EXTENSION = 0x80
_VARIABLE_LENGTH = 0x0D
_INTEGERS = {1: 0x1, 2: 0x2, 3: 0x3, 4: 0x4, 6: 0x6, 8: 0x7}
"""Bytes of a binary integer to its data field."""
LONGEST_TEXT = 0xBF
MORE_RECORDS_FOLLOW = b"\x1f"
"""The DIF that ends a telegram which is not the last."""
DATE_TIME = 0x6D
"""The VIF of a point of time."""


class Function(IntEnum):
    """What a value is of the time that it stands for."""

    INSTANTANEOUS = 0
    MAXIMUM = 1
    MINIMUM = 2


class Status(IntEnum):
    """Bits of the status byte in a header."""

    PERMANENT_ERROR = 0x08
    TEMPORARY_ERROR = 0x10


@dataclass(frozen=True, slots=True)
class Record:
    """One data record; ``vif`` is the VIF and its extensions without their extension bits."""

    vif: Sequence[int]
    data: bytes
    function: Function = Function.INSTANTANEOUS
    storage: int = 0
    tariff: int = 0
    is_text: bool = False

    @property
    def head(self) -> bytes:
        """Data and value information block: what the data are, without them."""
        field = _VARIABLE_LENGTH if self.is_text else _INTEGERS[len(self.data)]
        blocks = [(self.storage & 1) << 6 | self.function << 4 | field]
        storage, tariff = self.storage >> 1, self.tariff
        while storage or tariff:
            blocks.append((tariff & 0x3) << 4 | storage & 0xF)
            storage, tariff = storage >> 4, tariff >> 2
        return _chained(blocks) + _chained(self.vif)

    def to_bytes(self) -> bytes:
        """Return the whole record."""
        length = bytes((len(self.data),)) if self.is_text else b""
        return self.head + length + self.data


def _chained(blocks: Sequence[int]) -> bytes:
    """Set the extension bit of all but the last."""
    return bytes(block | _EXTENSION for block in blocks[:-1]) + bytes(blocks[-1:])


def integer(value: int, length: int) -> bytes:
    """Return a signed integer, the lowest byte first. Raises OverflowError."""
    return value.to_bytes(length, "little", signed=True)


def text(value: str) -> bytes:
    """Return a text as a record carries it: its last letter first."""
    return value.encode("latin-1", "replace")[:LONGEST_TEXT][::-1]


def type_f(time: CosemDateTime) -> bytes:
    """Return date and time to the minute, four bytes (data type F)."""
    status, local = _status(time), time.local
    return bytes(
        (
            local.minute | (0x80 if status & ClockStatus.INVALID_VALUE else 0),
            # The century counts from 1900.
            local.hour | 1 << 5 | (0x80 if status & ClockStatus.DAYLIGHT_SAVING else 0),
            *_type_g(local),
        )
    )


def type_i(time: CosemDateTime) -> bytes:
    """Return date and time to the second, six bytes (data type I)."""
    status, local = _status(time), time.local
    return bytes(
        (
            local.second
            | (0x40 if status & ClockStatus.DAYLIGHT_SAVING else 0)
            | (0x80 if isleap(local.year) else 0),
            local.minute | (0x80 if status & ClockStatus.INVALID_VALUE else 0),
            local.hour | local.isoweekday() << 5,
            *_type_g(local),
            0,  # no week, no deviation of the summer time
        )
    )


def _type_g(local: datetime) -> tuple[int, int]:
    year = local.year % 100
    return (year & 0x7) << 5 | local.day, year >> 3 << 4 | local.month


def _status(time: CosemDateTime) -> int:
    return time.status or 0


def long_header(who: SecondaryAddress, access: int, status: int) -> bytes:
    """Return the twelve bytes before the records of a wired answer; nothing is ciphered."""
    return who.to_bytes() + bytes((access & 0xFF, status, 0, 0))


def telegrams(records: Iterable[Record], room: int) -> list[bytes]:
    """Lay records out in telegrams of at most ``room`` bytes; all but the last tell of more."""
    pages = [b""]
    for record in (one.to_bytes() for one in records):
        if len(pages[-1]) + len(record) + len(MORE_RECORDS_FOLLOW) > room:
            pages.append(b"")
        pages[-1] += record
    return [page + MORE_RECORDS_FOLLOW for page in pages[:-1]] + pages[-1:]
