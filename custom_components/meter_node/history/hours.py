"""Readings to totals at whole hours of UTC: the dark, roll-overs and clocks that were set.

Days of daylight saving need nothing: hours of UTC are never 23 or 25 a day. Must not know where
readings come from, nor what becomes of the totals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import inf

from ..channel.registers import ROLLOVER_WH
from .readings import Reading

HOUR_S = 3600
LONGEST_DARK_S = 366 * 24 * HOUR_S
"""Beyond that a stamp is a lost clock's, and no year of empty hours is made of it."""
LONGEST_BACK_S = 24 * HOUR_S
"""Nor is a clock set back so far: such a stamp, too, is a lost clock's, and takes no hours back."""
FIRST_S = 1_577_836_800
"""2020: clocks that begin anew stand before it (1970, 2000), and no meter of this kind had rows."""
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
    is_known: bool = True
    """Not where a lost clock had all stamps around it: what was counted live is nearer to it."""


class Walk:
    """Goes through readings in the order of their entries."""

    def __init__(
        self,
        priced: Mapping[str, Priced],
        since: tuple[int, int] | None = None,
        latest_s: float = inf,
    ) -> None:
        """Begin; ``priced`` are the amounts to keep, by their keys.

        ``since``: up to which entry's hour all is decided already, as (entry, hour). A stamp after
        ``latest_s`` can't be right yet: it is passed over.
        """
        self._priced = priced
        self._since = since
        self._latest_s = latest_s
        self._end_s: int | None = None
        self._sure_s: int | None = None  # before a stamp that was far ahead
        self._is_back = False  # far, and so passed over
        self._leapt = 0, 0  # over what hours the last step went
        self._has_lost = False  # since the last reading that was taken
        self._entry = 0
        self._raw: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._amounts = dict.fromkeys(priced, Amount())

    def take(self, readings: Iterable[Reading]) -> dict[int, Boundary]:
        """Return the hours (UTC seconds) that these readings decide, in order of time.

        While a meter is off its registers stand still: an hour that strikes in the dark has the
        last value. Where a clock was set back, what comes later in the order of entries counts, but
        nothing up to the first hour is decided twice. One that a lost clock stamped is passed over:
        the next has its energy.
        """
        found: dict[int, Boundary] = {}
        for reading in readings:
            if self._is_lost(reading.end_s):
                self._has_lost = True
                continue
            if self._end_s is not None and reading.end_s <= self._end_s:
                found = self._taken_back(found, reading.end_s)
            dark = self._dark_hours(reading.end_s)
            for at in dark:
                self._decide(found, at, is_known=not self._has_lost)
            self._book(reading, is_blurred=self._has_lost and len(dark) > 0)
            if reading.end_s % HOUR_S == 0:
                self._decide(found, reading.end_s, is_known=True)
        return dict(sorted(found.items()))

    def _is_lost(self, end_s: int) -> bool:
        """Whether a stamp is to be passed over; one that is far ahead may be right, and is taken.

        From there the clock may come back to where it was. One that is far back is believed once it
        is past what was before it.
        """
        if not FIRST_S <= end_s <= self._latest_s:
            return True
        if self._end_s is None:
            return False
        back_s = self._end_s - end_s
        if self._sure_s is not None and back_s > 0 and self._sure_s - end_s <= LONGEST_BACK_S:
            self._sure_s, self._is_back = None, False
            return False
        if back_s < -LONGEST_BACK_S:
            self._sure_s = self._end_s
        self._is_back = back_s > LONGEST_BACK_S or (self._is_back and back_s >= 0)
        return self._is_back

    def _taken_back(self, found: Mapping[int, Boundary], end_s: int) -> dict[int, Boundary]:
        """Return what stays decided when a clock went back to a moment.

        Where it had leapt over that, the hours before it were not dark: nobody knows of them.
        """
        begin_s, over_s = self._leapt
        return {
            at: replace(one, is_known=False) if begin_s < at < end_s <= over_s else one
            for at, one in found.items()
            if at < end_s or at <= self._floor_s
        }

    @property
    def _floor_s(self) -> float:
        return -inf if self._since is None else self._since[1]

    def _decide(self, found: dict[int, Boundary], at: int, *, is_known: bool) -> None:
        """Note how things stand at an hour, unless that was decided by an earlier reading."""
        if self._since is None:
            self._since = self._entry, at
        if at > self._floor_s or self._since == (self._entry, at):
            found[at] = Boundary(self._entry, dict(self._counts), dict(self._amounts), is_known)

    def _dark_hours(self, end_s: int) -> range:
        if self._end_s is None or end_s - self._end_s > LONGEST_DARK_S:
            return range(0)
        return range(self._end_s // HOUR_S * HOUR_S + HOUR_S, end_s, HOUR_S)

    def _book(self, reading: Reading, *, is_blurred: bool) -> None:
        """Go on to a reading; ``is_blurred``: nobody knows in which of some hours it moved so."""
        moved = {key: self._moved(key, raw) for key, raw in reading.registers_wh.items()}
        begun = datetime.fromtimestamp(reading.begin_s, UTC)
        for key, priced in self._priced.items():
            if energy_wh := moved.get(priced.register, 0):
                amount = self._amounts[key]
                price = None if is_blurred else priced.price(begun)
                self._amounts[key] = (
                    Amount(amount.total, amount.unpriced + 1)
                    if price is None
                    else Amount(amount.total + energy_wh * price / _WH_PER_KWH, amount.unpriced)
                )
        if self._end_s is not None and reading.end_s > self._end_s:
            self._leapt = self._end_s, reading.end_s
        self._end_s, self._entry, self._has_lost = reading.end_s, reading.entry, False

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


def decided(found: Mapping[int, Boundary], until_s: int) -> dict[int, Boundary]:
    """Return the hours up to a moment and to the last that is known: a mark needs its row."""
    last_s = max((at for at, one in found.items() if one.is_known and at <= until_s), default=0)
    return {at: one for at, one in found.items() if at <= last_s}


def rolled_over(before_wh: float, now_wh: float) -> bool:
    """Whether a register went on from its end to its beginning."""
    return before_wh > 0.9 * ROLLOVER_WH and now_wh < 0.1 * ROLLOVER_WH
