"""Once through what a source has kept, for the series that have come equally far.

Counters are written piece by piece: with the first piece their constant is known, and each piece
leaves a series that is right as far as it goes. Amounts are written in one, at the end. Must not
know when that happens, nor what becomes of an error.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from homeassistant.core import HomeAssistant

from .hours import HOUR_S, Amount, Boundary, Priced, Walk, decided
from .plan import SHORT_TERM_S, Counter, Plan, Row, begin_counter, plan_amounts, shifted
from .readings import ProfileSource, Reading, Shown, as_shown
from .recorded import Recorded, Series


class Mark(NamedTuple):
    """How far a series has come: the reading to go on from, and the last hour (UTC seconds)."""

    entry: int
    hour_s: int


@dataclass(slots=True)
class _Filling:
    """One series on its way."""

    series: Series
    there: Recorded | None = None
    before: Row | None = None
    is_first: bool = False
    """Whether ``before`` is the first hour's own row, which an earlier passage wrote."""
    counter: Counter | None = None
    amounts: dict[int, Amount] = field(default_factory=dict)
    last: Mark | None = None


@dataclass(slots=True)
class Passage:
    """Fills some series up to ``until_s``; ``on_mark`` is told how far each has come."""

    hass: HomeAssistant
    source: ProfileSource
    shown: Shown
    priced: Mapping[str, Priced]
    """The series that are amounts; the others are registers."""
    on_mark: Callable[[str, Mark], None]
    until_s: int
    written: int = 0
    """Rows of hours, so far."""
    last: Mark | None = None
    """How far the last passage came."""
    waiting: bool = False
    """Whether a series has no live row yet on which to build."""

    async def async_run(
        self,
        all_series: Mapping[str, Series],
        since: Mark | None,
        on_readings: Callable[[Sequence[Reading]], None],
    ) -> None:
        """Go through it; ``on_readings`` is told of all, as the meter has them. Raises SourceError.

        What was marked until then is done.
        """
        self.last = None
        newest = await self.source.async_newest()
        if newest is None:
            return
        newest = as_shown(newest, self.shown)
        fillings = {key: _Filling(series) for key, series in all_series.items()}
        priced = {key: self.priced[key] for key in fillings if key in self.priced}
        walk = Walk(priced, since, self.until_s + HOUR_S)
        async for piece in self._pieces(newest, since):
            on_readings(piece)
            shown = [as_shown(reading, self.shown) for reading in piece]
            found = decided(walk.take(shown), self.until_s)
            if not found:
                continue
            self.last = _mark(found)
            for key, filling in list(fillings.items()):
                if filling.there is None and not await self._async_begin(
                    filling, found, since, self._live_since_s(key)
                ):
                    self.waiting = True
                    del fillings[key]
                elif key in self.priced:
                    first_s = min(found)  # a clock that was set back takes back what came later
                    filling.amounts = {
                        at: amount for at, amount in filling.amounts.items() if at < first_s
                    } | {at: one.amounts[key] for at, one in found.items()}
                    filling.last = self.last
                else:
                    await self._async_count(key, filling, found, newest)
        for key, filling in fillings.items():
            if filling.amounts:
                await self._async_settle(key, filling)

    async def _pieces(
        self, newest: Reading, since: Mark | None
    ) -> AsyncIterator[Sequence[Reading]]:
        """Give the readings to go on with.

        Where the mark's number is another reading's now, they come from another store (a copy that
        was put back): what it has of the time up to the mark is left as it is, whatever it lost.
        """
        is_other = since is not None and newest.entry < since.entry
        if not is_other:
            async for piece in self.source.readings(since.entry if since else None):
                if since is not None and _is_others(piece[0], since):
                    is_other = True
                    break
                yield piece
        if since is not None and is_other:
            async for piece in self.source.readings(None):
                if news := [reading for reading in piece if reading.end_s > since.hour_s]:
                    yield news

    def _live_since_s(self, key: str) -> int:
        """From when on a live row is wanted: an amount is tied to that of its last hour."""
        return self.until_s - SHORT_TERM_S if key in self.priced else 0

    async def _async_begin(
        self,
        filling: _Filling,
        found: Mapping[int, Boundary],
        since: Mark | None,
        live_since_s: int,
    ) -> bool:
        """Read what is there; False where there is no live row yet."""
        first_s = min(found) - HOUR_S
        read_s = 0 if since is None else min(first_s, since.hour_s - HOUR_S) - HOUR_S
        there = await filling.series.async_read(self.hass, read_s)
        if max(there.short_term, default=-1) < live_since_s:
            return False
        # What was filled before is right, whatever else stands there.
        known = None if since is None else there.hours.get(since.hour_s - HOUR_S)
        older = max((at for at in there.hours if at < first_s), default=None)
        filling.before = known or (None if older is None else there.hours[older])
        filling.is_first = known is not None and since is not None and since.hour_s == min(found)
        there.hours = {at: row for at, row in there.hours.items() if at >= first_s}
        filling.there = there
        return True

    async def _async_count(
        self, key: str, filling: _Filling, found: Mapping[int, Boundary], newest: Reading
    ) -> None:
        counts = {
            at: one.counts_wh[key]
            for at, one in found.items()
            if one.is_known and key in one.counts_wh
        }
        if not counts or filling.there is None:
            return
        if filling.counter is None:
            newest_wh = newest.registers_wh.get(key, counts[max(counts)])
            filling.counter = begin_counter(
                filling.before, counts[min(counts)], newest_wh, is_first=filling.is_first
            )
        plan = filling.counter.plan(counts, filling.there.hours, filling.there.short_term)
        await self._async_write(filling, plan)
        self.on_mark(key, _mark(found))

    async def _async_settle(self, key: str, filling: _Filling) -> None:
        assert filling.there is not None
        assert filling.last is not None
        plan = plan_amounts(
            filling.amounts, filling.before, filling.there.hours, filling.there.short_term
        )
        if plan is None:
            self.waiting = True
            return
        await self._async_write(filling, plan)
        self.on_mark(key, filling.last)

    async def _async_write(self, filling: _Filling, plan: Plan) -> None:
        if not plan:
            return
        assert filling.there is not None
        await filling.series.async_write(self.hass, plan)
        self.written += len(plan.rows)
        filling.there.hours = shifted(filling.there.hours, plan.shifts) | dict(plan.rows)
        for shift in plan.shifts:
            filling.there.short_term = {
                at: replace(row, sum=row.sum + shift.by) if at >= shift.since_s else row
                for at, row in filling.there.short_term.items()
            }


def _is_others(reading: Reading, since: Mark) -> bool:
    """Whether the mark's number is that of a reading that was not there then."""
    return reading.entry == since.entry and reading.end_s > since.hour_s


def _mark(found: Mapping[int, Boundary]) -> Mark:
    last = max(found)
    return Mark(found[last].entry, last)
