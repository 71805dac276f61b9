"""The load profile of a meter that can be asked: which rows there are, read piece by piece.

Must not know how a request travels, nor what becomes of the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from homeassistant.exceptions import HomeAssistantError

from ..channel import objects, services
from ..channel.axdr import Value
from ..channel.cosem_time import CosemDateTime
from ..channel.objects import ENTRY, LOAD_PROFILE, column
from ..channel.registers import BY_LOGICAL_NAME, CLOCK
from .readings import DELTAS, Reading, SourceError

PIECE_ROWS = 192
"""Two days of quarters: its response has less than the 16 KiB that a meter sends again."""
PAUSE_S = 0.5
"""Between two pieces, so that whoever wants to switch something has his turn."""
_CAPTURE_OBJECTS, _CAPTURE_PERIOD, _PROFILE_ENTRIES = 3, 4, 8
_NUMBER = column(LOAD_PROFILE.logical_name, ENTRY)
_MOST_IN_AN_INTERVAL_WH = 100_000
"""More than 3 × 100 A come to in the longest one."""


class Asks(Protocol):
    """Has a meter do a service."""

    async def async_ask(self, service: bytes) -> Value:
        """Return what the meter gave. Raises HomeAssistantError, with its ``reason``."""


class LayoutError(ValueError):
    """Rows are not what the profile's columns say."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which place of a row holds what, and how long an interval lasts."""

    clock: int
    entry: int
    registers: Mapping[int, str]
    """By place."""
    period_s: int

    @classmethod
    def of(cls, capture_objects: Value, period_s: Value) -> Layout:
        """Read attributes 3 and 4. Raises LayoutError."""
        names = [_logical_name(definition) for definition in _items(capture_objects)]
        registers = {
            place: BY_LOGICAL_NAME[name].key
            for place, name in enumerate(names)
            if name in BY_LOGICAL_NAME and BY_LOGICAL_NAME[name].is_energy
        }
        try:
            clock, entry = names.index(CLOCK), names.index(_NUMBER.logical_name)
        except ValueError:
            raise LayoutError("a profile without clock or entry numbers") from None
        period_s = _whole(period_s)
        if period_s <= 0:
            raise LayoutError(f"an interval of {period_s} s")
        return cls(clock, entry, registers, period_s)

    def reading(self, row: Value) -> Reading:
        """Read a row. Raises LayoutError."""
        if not isinstance(row, tuple) or len(row) <= max(self.clock, self.entry, *self.registers):
            raise LayoutError("a row with other columns than the profile's")
        stamp = row[self.clock]
        if not isinstance(stamp, bytes):
            raise LayoutError("a row without a time")
        try:
            end_s = int(CosemDateTime.from_bytes(stamp).utc().timestamp())
        except (ValueError, OverflowError) as error:
            raise LayoutError(str(error)) from None
        values = {
            key: _whole(row[place])
            for place, key in self.registers.items()
            if row[place] is not None
        }
        # Intervals are aligned to the hour of UTC; one that a clock cut short begins with it, too.
        begin_s = (end_s - 1) // self.period_s * self.period_s
        return Reading(_whole(row[self.entry]), begin_s, end_s, values)


class AskedProfile:
    """A ``ProfileSource``: asks for the load profile, a bounded piece at a time."""

    def __init__(self, asker: Asks, known_wh: Mapping[str, float]) -> None:
        """``known_wh``: what registers were last known to stand at, by key."""
        self._asker = asker
        self._known_wh = known_wh
        self._layout: Layout | None = None
        self._newest: Reading | None = None

    async def async_newest(self) -> Reading | None:
        """Return the newest row, None where there is none. Raises SourceError."""
        rows = await self._async_rows(*[await self._async_last()] * 2)
        self._newest = rows[-1] if rows else None
        if self._newest is not None and _holds_deltas(self._newest, self._known_wh):
            raise SourceError(DELTAS, "the load profile holds what its registers moved by")
        return self._newest

    async def readings(self, since: int | None) -> AsyncIterator[Sequence[Reading]]:
        """Give all rows from an entry on, the oldest first. Raises SourceError."""
        newest = self._newest or await self.async_newest()
        if newest is None:
            return
        last = newest.entry
        # Numbers that begin anew are another store's: all that is there is news.
        first = since if since is not None and since <= last else 1
        first = await self._async_first(max(first, 1), last)
        while first <= last:
            rows = await self._async_rows(first, first + PIECE_ROWS - 1)
            if rows:
                yield rows
            first += PIECE_ROWS
            if first <= last:
                await asyncio.sleep(PAUSE_S)

    async def _async_first(self, wanted: int, last: int) -> int:
        """Return the first entry from a wanted one on that is kept: pushed out, or deleted."""
        if await self._async_rows(wanted, wanted):
            return wanted
        depth = _whole_of(await self._async_get(LOAD_PROFILE, _PROFILE_ENTRIES), 0)
        low, high = max(wanted, last - depth), last
        while low < high:
            middle = (low + high) // 2
            if await self._async_rows(middle, middle):
                high = middle
            else:
                low = middle + 1
        return high

    async def _async_last(self) -> int:
        return _whole_of(await self._async_get(_NUMBER, 2), 0)

    async def _async_rows(self, first: int, last: int) -> list[Reading]:
        try:
            if self._layout is None:
                self._layout = Layout.of(
                    await self._async_get(LOAD_PROFILE, _CAPTURE_OBJECTS),
                    await self._async_get(LOAD_PROFILE, _CAPTURE_PERIOD),
                )
            selection = services.entries(LOAD_PROFILE, first, last)
            rows = await self._async_get(LOAD_PROFILE, 2, selection)
            readings = [self._layout.reading(row) for row in _items(rows)]
        except LayoutError as error:
            raise SourceError("not_understood", str(error)) from error
        return sorted(readings, key=lambda reading: reading.entry)

    async def _async_get(
        self, which: objects.CosemObject, attribute: int, selection: bytes | None = None
    ) -> Value:
        try:
            return await self._asker.async_ask(services.get(which, attribute, selection))
        except HomeAssistantError as error:
            reason = str(getattr(error, "reason", "no_answer"))
            raise SourceError(reason, str(error)) from error


def _holds_deltas(newest: Reading, known_wh: Mapping[str, float]) -> bool:
    """Whether a row falls further behind its registers than an interval makes up for."""
    return any(
        known_wh.get(key, 0) - raw > _MOST_IN_AN_INTERVAL_WH
        for key, raw in newest.registers_wh.items()
    )


def _items(value: Value) -> list[Value]:
    if not isinstance(value, list):
        raise LayoutError("no array")
    return value


def _logical_name(definition: Value) -> bytes:
    if isinstance(definition, tuple) and len(definition) > 1 and isinstance(definition[1], bytes):
        return definition[1]
    raise LayoutError("no captured object")


def _whole(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LayoutError(f"no whole number: {value!r}")
    return value


def _whole_of(value: Value, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
