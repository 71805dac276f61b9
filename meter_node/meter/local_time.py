"""Local time by whole numbers: what tariffs, billing days and the display go by.

A meter asks for the local minute at every step, a year of them in a simulation, so this counts
seconds instead of making dates. Must not know what time it is.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

DAY_S = 86_400
MINUTE_S = 60
# Offsets of time zones have changed on a quarter of an hour of UTC wherever meters are in use, and
# never to and fro within a day.
_BLOCK_S = 900
_EPOCH = date(1970, 1, 1).toordinal()


class LocalTime:
    """A time zone, asked by UTC seconds since 1970."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        # What was read holds from here up to there.
        self._from_s = 0
        self._until_s = 0
        self._offset_s = 0
        self._is_summer = False

    def offset_s(self, utc_s: int) -> int:
        """Local time less UTC, in seconds (3600 in Danish winter)."""
        self._look_up(utc_s)
        return self._offset_s

    def is_summer(self, utc_s: int) -> bool:
        """Whether daylight saving is in force."""
        self._look_up(utc_s)
        return self._is_summer

    def minute_of_day(self, utc_s: int) -> int:
        """0 to 1439 on the wall."""
        return (utc_s + self.offset_s(utc_s)) % DAY_S // MINUTE_S

    def day(self, utc_s: int) -> date:
        """The date on the wall."""
        return date.fromordinal(_EPOCH + (utc_s + self.offset_s(utc_s)) // DAY_S)

    def at(self, utc_s: int) -> datetime:
        """The aware local time."""
        return datetime.fromtimestamp(utc_s, UTC).astimezone(self.zone)

    def _look_up(self, utc_s: int) -> None:
        if self._from_s <= utc_s < self._until_s:
            return
        self._from_s = utc_s - utc_s % DAY_S
        self._until_s = self._from_s + DAY_S
        read = self._read(self._from_s)
        if self._read(self._until_s) != read:
            self._from_s = utc_s - utc_s % _BLOCK_S
            self._until_s = self._from_s + _BLOCK_S
            read = self._read(self._from_s)
        self._offset_s, self._is_summer = read

    def _read(self, utc_s: int) -> tuple[int, bool]:
        local = self.at(utc_s)
        offset, saving = local.utcoffset(), local.dst()
        assert offset is not None  # a ZoneInfo always tells
        return round(offset.total_seconds()), bool(saving)
