"""COSEM date-time (IEC 62056-6-2, 4.1.6.1): twelve bytes, with deviation and clock status.

Must not know what time it is: times come in as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta, tzinfo
from enum import IntFlag
from struct import Struct

UNSPECIFIED_DEVIATION = -0x8000
_BYTES = Struct(">H7BhB")


class ClockStatus(IntFlag):
    """The clock-status byte."""

    INVALID_VALUE = 0x01
    DOUBTFUL = 0x02
    DIFFERENT_BASE = 0x04
    INVALID_STATUS = 0x08
    DAYLIGHT_SAVING = 0x80


@dataclass(frozen=True, slots=True)
class CosemDateTime:
    """A meter's local time; ``deviation_minutes`` is UTC minus local (CET: −60) or None."""

    local: datetime
    deviation_minutes: int | None
    status: int | None = 0

    @classmethod
    def from_bytes(cls, raw: bytes) -> CosemDateTime:
        """Read twelve bytes. Raises ValueError when they are no complete date and time."""
        if len(raw) != 12:
            raise ValueError(f"a date-time has 12 bytes, not {len(raw)}")
        hundredths = 0 if raw[8] == 0xFF else raw[8]
        try:
            local = datetime(  # noqa: DTZ001 - a meter's local time, its zone stands beside it
                int.from_bytes(raw[0:2]),
                raw[2],
                raw[3],
                raw[5],
                raw[6],
                0 if raw[7] == 0xFF else raw[7],
                hundredths * 10_000,
            )
        except ValueError as error:
            raise ValueError(f"no date and time in {raw.hex()}: {error}") from None
        if not MINYEAR < local.year < MAXYEAR:  # a deviation could lead out of the calendar
            raise ValueError(f"no date and time in {raw.hex()}: year {local.year}")
        deviation = int.from_bytes(raw[9:11], signed=True)
        if deviation != UNSPECIFIED_DEVIATION and not -840 <= deviation <= 840:  # UTC+14
            raise ValueError(f"no deviation in {raw.hex()}: {deviation} minutes")
        return cls(
            local,
            None if deviation == UNSPECIFIED_DEVIATION else deviation,
            None if raw[11] == 0xFF else raw[11],
        )

    @classmethod
    def at(cls, moment: datetime, zone: tzinfo, *, clock_invalid: bool = False) -> CosemDateTime:
        """Return the local time in ``zone`` of an aware moment, deviation and status set."""
        local = moment.astimezone(zone)
        offset = local.utcoffset() or timedelta()
        status = ClockStatus.DAYLIGHT_SAVING if local.dst() else ClockStatus(0)
        if clock_invalid:
            status |= ClockStatus.INVALID_VALUE
        return cls(local.replace(tzinfo=None), -int(offset.total_seconds() // 60), int(status))

    def to_bytes(self, *, hundredths: bool = True) -> bytes:
        """Return the twelve bytes; the day of the week is filled in.

        Hundredths are kept, or "unspecified" where they are not wanted.
        """
        local = self.local
        deviation = (
            UNSPECIFIED_DEVIATION if self.deviation_minutes is None else self.deviation_minutes
        )
        return _BYTES.pack(
            local.year,
            local.month,
            local.day,
            local.isoweekday(),
            local.hour,
            local.minute,
            local.second,
            local.microsecond // 10_000 if hundredths else 0xFF,
            deviation,
            0xFF if self.status is None else self.status,
        )

    def utc(self, zone: tzinfo = UTC) -> datetime:
        """Return the moment; ``zone`` serves where the meter does not say its deviation."""
        if self.deviation_minutes is None:
            return self.local.replace(tzinfo=zone).astimezone(UTC)
        return (self.local + timedelta(minutes=self.deviation_minutes)).replace(tzinfo=UTC)
