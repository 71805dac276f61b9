"""Values of requests, each of the type that an attribute wants, and times on the wire.

Must not know which attribute it is for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from meter_node.channel import axdr
from meter_node.channel.axdr import Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.registers import Quantity, WireType
from meter_node.cosem.table import Getter, TypeMismatchError
from meter_node.meter.snapshot import NANO

UNSPECIFIED_TIME = bytes.fromhex("ffff ff ff ff ff ff ff ff 8000 ff")


def constant(value: bytes) -> Getter:
    """Return a getter of what never changes."""
    return lambda _: value


def whole(value: Value, what: str, least: int = 0, most: int = 0xFFFFFFFF) -> int:
    """Return a whole number within limits. Raises TypeMismatchError, ValueError."""
    if type(value) is not int:  # a boolean is none
        raise TypeMismatchError(f"{what}: a whole number is wanted")
    if not least <= value <= most:
        raise ValueError(f"{what}: {value}; possible are {least} to {most}")
    return value


def truth(value: Value, what: str) -> bool:
    """Return a boolean. Raises TypeMismatchError."""
    if type(value) is not bool:
        raise TypeMismatchError(f"{what}: a boolean is wanted")
    return value


def octets(value: Value, what: str, length: int | None = None) -> bytes:
    """Return an octet-string (or a date or time). Raises TypeMismatchError."""
    if not isinstance(value, bytes) or (length is not None and len(value) != length):
        size = "" if length is None else f" of {length} bytes"
        raise TypeMismatchError(f"{what}: an octet-string{size} is wanted")
    return value


def text(value: Value, what: str) -> str:
    """Return text, whichever kind of string it came in. Raises TypeMismatchError."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise TypeMismatchError(f"{what}: bytes that are no text") from None
    if not isinstance(value, str):
        raise TypeMismatchError(f"{what}: text is wanted")
    return value


def items(value: Value, what: str) -> list[Value]:
    """Return the elements of an array. Raises TypeMismatchError."""
    if not isinstance(value, list):
        raise TypeMismatchError(f"{what}: an array is wanted")
    return value


def fields(value: Value, what: str, count: int) -> tuple[Value, ...]:
    """Return the elements of a structure. Raises TypeMismatchError."""
    if not isinstance(value, tuple) or len(value) != count:
        raise TypeMismatchError(f"{what}: a structure of {count} is wanted")
    return value


def moment_ns(value: Value, what: str, zone: ZoneInfo) -> int:
    """Return a date-time as UTC nanoseconds; without a deviation it is in `zone`.

    Raises TypeMismatchError, ValueError.
    """
    raw = octets(value, what, 12)
    moment = CosemDateTime.from_bytes(raw).utc(zone)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NANO + since.microseconds * 1000


def date_time(at_s: int, zone: ZoneInfo) -> bytes:
    """Return a moment (UTC seconds) as an octet-string of local time."""
    # A page of a profile has many of these.
    return axdr.octet_string(CosemDateTime.at(datetime.fromtimestamp(at_s, zone), zone).to_bytes())


def of_quantity(quantity: Quantity, raw: int | None) -> bytes:
    """Return a register's value as it stands in a row; a delta below zero gets a signed type."""
    if raw is None:
        return axdr.null_data()
    return axdr.number(WireType.LONG64 if raw < 0 else quantity.wire, raw)
