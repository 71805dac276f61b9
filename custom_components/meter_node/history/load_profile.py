"""The load profile of a meter that can be asked: which rows there are, read piece by piece.

Must not know how a request travels, nor what becomes of the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from typing import Protocol

from homeassistant.exceptions import HomeAssistantError

from .. import buffers
from ..buffers import ProfileColumns, ProfileRow, RowsError
from ..channel import objects, services
from ..channel.axdr import Value
from ..channel.objects import ENTRY, LOAD_PROFILE, column
from ..channel.registers import BY_KEY
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


class AskedProfile:
    """A ``ProfileSource``: asks for the load profile, a bounded piece at a time."""

    def __init__(self, asker: Asks, known_wh: Mapping[str, float]) -> None:
        """``known_wh``: what registers were last known to stand at, by key."""
        self._asker = asker
        self._known_wh = known_wh
        self._columns: ProfileColumns | None = None
        self._period_s = 0
        self._newest: Reading | None = None

    async def async_newest(self) -> Reading | None:
        """Return the newest row, None where there is none. Raises SourceError."""
        rows = await self._async_rows(*[await self._async_last()] * 2)
        self._newest = rows[-1] if rows else None
        if self._newest is not None and self._holds_deltas(self._newest):
            raise SourceError(DELTAS, "the load profile holds what its registers moved by")
        return self._newest

    async def readings(self, since: int | None) -> AsyncIterator[Sequence[Reading]]:
        """Give all rows from an entry on, the oldest first. Raises SourceError."""
        newest = self._newest or await self.async_newest()
        if newest is None:
            return
        last, wanted = newest.entry, max(since or 1, 1)
        first = wanted if wanted > last else await self._async_first(wanted, last)
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
            if self._columns is None:
                captured = await self._async_get(LOAD_PROFILE, _CAPTURE_OBJECTS)
                self._period_s = _interval(await self._async_get(LOAD_PROFILE, _CAPTURE_PERIOD))
                self._columns = buffers.profile_columns(captured)
            selection = services.entries(LOAD_PROFILE, first, last)
            found = await self._async_get(LOAD_PROFILE, 2, selection)
            rows = buffers.profile_rows(found, self._columns, UTC)
        except RowsError as error:
            raise SourceError("not_understood", str(error)) from error
        return sorted(map(self._reading, rows), key=lambda reading: reading.entry)

    def _reading(self, row: ProfileRow) -> Reading:
        end_s = int(row.time.timestamp())
        # Intervals are aligned to the hour of UTC; one that a clock cut short begins with it, too.
        begin_s = (end_s - 1) // self._period_s * self._period_s
        energies_wh = {
            key: round(value)
            for key, value in row.values.items()
            if value is not None and BY_KEY[key].is_energy
        }
        return Reading(row.entry, begin_s, end_s, energies_wh)

    def _holds_deltas(self, newest: Reading) -> bool:
        """Whether a row has what an interval comes to, and its registers far more.

        One that has more is of a register that came back since to where it had fallen from.
        """
        return any(
            wh <= _MOST_IN_AN_INTERVAL_WH < self._known_wh.get(key, 0) - wh
            for key, wh in newest.registers_wh.items()
        )

    async def _async_get(
        self, which: objects.CosemObject, attribute: int, selection: bytes | None = None
    ) -> Value:
        try:
            return await self._asker.async_ask(services.get(which, attribute, selection))
        except HomeAssistantError as error:
            reason = str(getattr(error, "reason", "no_answer"))
            raise SourceError(reason, str(error)) from error


def _interval(value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise RowsError(f"no interval: {value!r}")
    return value


def _whole_of(value: Value, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
