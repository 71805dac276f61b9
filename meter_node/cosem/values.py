"""Values of objects on the wire: times, a register's in a row, and what never changes.

Must not know which attribute it is for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from meter_node.channel import axdr
from meter_node.channel.axdr import Value
from meter_node.channel.cosem_time import CosemDateTime
from meter_node.channel.registers import Quantity, WireType
from meter_node.channel.typed import octets
from meter_node.cosem.table import Getter
from meter_node.meter.snapshot import NANO

UNSPECIFIED_TIME = bytes.fromhex("ffff ff ff ff ff ff ff ff 8000 ff")


def constant(value: bytes) -> Getter:
    """Return a getter of what never changes."""
    return lambda _: value


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
