"""Readings to totals at whole hours of UTC: the dark, roll-overs and clocks that were set.

Days of daylight saving need nothing: hours of UTC are never 23 or 25 a day. Must not know where
readings come from, nor what becomes of the totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from ..channel.registers import ROLLOVER_WH
from .readings import Reading

HOUR_S = 3600
LONGEST_DARK_S = 366 * 24 * HOUR_S
"""Beyond that a stamp is a lost clock's, and no year of empty hours is made of it."""
LONGEST_BACK_S = 31 * 24 * HOUR_S
"""Nor is a clock set back so far: such a stamp, too, is a lost clock's, and takes no hours back."""
LOST_FOR_S = 24 * HOUR_S
"""One that goes on from there for longer is meant so."""
_WH_PER_KWH = 1000

type Price = Callable[[datetime], Decimal | None]
"""Per kWh at a moment; None where nobody knows it."""


@dataclass(frozen=True, slots=True)
class Priced:
    """An amount of money that follows from a register."""

    register: str
    price: Price


@dataclass(frozen=True, slots=True)
class Amount:
    """Money since the first reading, and in how many intervals energy had no known price."""

    total: Decimal = Decimal()
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Boundary:
    """How things stood at a whole hour.

    ``counts_wh`` go on over roll-overs and never fall. ``entry`` is the reading from which to go on
    later.
    """

    entry: int
    counts_wh: Mapping[str, int]
    amounts: Mapping[str, Amount]


class Walk:
    """Goes through readings in the order of their entries."""

    def __init__(self, priced: Mapping[str, Priced]) -> None:
        """Begin; ``priced`` are the amounts to keep, by their keys."""
        self._priced = priced
        self._end_s: int | None = None
        self._sure_s: int | None = None  # before a stamp that was far ahead
        self._lost_s: int | None = None  # since when stamps are passed over
        self._entry = 0
        self._raw: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._amounts = dict.fromkeys(priced, Amount())

    def take(self, readings: Iterable[Reading]) -> dict[int, Boundary]:
        """Return the hours (UTC seconds) that these readings decide, in order of time.

        While a meter is off its registers stand still: an hour that strikes in the dark has the
        last value. Where a clock was set back, what comes later in the order of entries counts. One
        that a lost clock stamped is passed over: the next has its energy.
        """
        found: dict[int, Boundary] = {}
        for reading in readings:
            if self._is_lost(reading.end_s):
                continue
            if self._end_s is not None and reading.end_s <= self._end_s:
                found = {at: one for at, one in found.items() if at < reading.end_s}
            for at in self._dark_hours(reading.end_s):
                found[at] = self._boundary()
            self._book(reading)
            if reading.end_s % HOUR_S == 0:
                found[reading.end_s] = self._boundary()
        return dict(sorted(found.items()))

    def _is_lost(self, end_s: int) -> bool:
        """Whether a stamp is to be passed over; one that is far ahead tells no hours, but is taken.

        From there the clock may come back to where it was.
        """
        if self._end_s is None or self._end_s - end_s <= LONGEST_BACK_S:
            if self._end_s is not None and end_s - self._end_s > LONGEST_DARK_S:
                self._sure_s = self._end_s
            self._lost_s = None
            return False
        if self._sure_s is not None and self._sure_s - end_s <= LONGEST_BACK_S:
            self._sure_s = None
            return False
        if self._lost_s is None or end_s < self._lost_s:
            self._lost_s = end_s
        return end_s - self._lost_s < LOST_FOR_S

    def _dark_hours(self, end_s: int) -> Iterator[int]:
        if self._end_s is None or end_s - self._end_s > LONGEST_DARK_S:
            return iter(())
        return iter(range(self._end_s // HOUR_S * HOUR_S + HOUR_S, end_s, HOUR_S))

    def _boundary(self) -> Boundary:
        return Boundary(self._entry, dict(self._counts), dict(self._amounts))

    def _book(self, reading: Reading) -> None:
        moved = {key: self._moved(key, raw) for key, raw in reading.registers_wh.items()}
        begun = datetime.fromtimestamp(reading.begin_s, UTC)
        for key, priced in self._priced.items():
            if energy_wh := moved.get(priced.register, 0):
                amount, price = self._amounts[key], priced.price(begun)
                self._amounts[key] = (
                    Amount(amount.total, amount.unpriced + 1)
                    if price is None
                    else Amount(amount.total + energy_wh * price / _WH_PER_KWH, amount.unpriced)
                )
        self._end_s, self._entry = reading.end_s, reading.entry

    def _moved(self, key: str, raw: int) -> int:
        """Count a register on; return by how much, which is never less than nothing.

        One that fell is held until it is where it was, as its sensor is.
        """
        before = self._raw.get(key)
        if before is None:
            self._raw[key] = self._counts[key] = raw
            return 0
        moved = raw - before
        if moved < 0:
            if not rolled_over(before, raw):
                return 0
            moved += ROLLOVER_WH
        self._raw[key] = raw
        self._counts[key] += moved
        return moved


def rolled_over(before_wh: float, now_wh: float) -> bool:
    """Whether a register went on from its end to its beginning."""
    return before_wh > 0.9 * ROLLOVER_WH and now_wh < 0.1 * ROLLOVER_WH
