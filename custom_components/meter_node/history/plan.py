"""Totals at hours, and the statistics that are there, to what has to be written.

The rule of a series: state − sum is one constant, so that each hour's share is what the register
moved by; the oldest sum is 0 unless older rows say otherwise. All is worked out from the rows that
are there, so that what was broken off is finished, and what is right is left alone. Must not know
the recorder, nor units.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import inf

from ..channel.registers import ROLLOVER_WH
from .hours import HOUR_S, Amount, rolled_over

SHORT_TERM_S = 300
_SAME_COUNT_WH = 0.1
"""Registers count whole Wh; a sum of floats is a little off."""
_SAME_AMOUNT = 0.0001
_BEYOND_NEWEST_WH = 1_000_000
"""What is further above the newest register than any meter gets in an hour is not its state."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of statistics: the total at its end, and the running sum."""

    state: float
    sum: float
    last_reset: float | None = None
    """Since when the total counted then (UTC seconds), where it says so."""


type Rows = Mapping[int, Row]
"""By when they begin (UTC seconds)."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Adds to the sums of all rows that begin at a moment or later; of hours, from its hour on."""

    since_s: int
    by: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What to write: first the shifts in their order, then the rows."""

    shifts: Sequence[Shift] = ()
    rows: Rows = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.shifts or self.rows)


@dataclass(frozen=True, slots=True)
class Counter:
    """A register's series: ``constant_wh`` is what sums fall short of the register's counts."""

    constant_wh: float
    first_wh: int
    """Its count at the first hour that is known."""
    newest_wh: int
    """What it last stood at."""

    def plan(self, counts_wh: Mapping[int, int], hours: Rows, short_term: Rows) -> Plan:
        """Plan for the counts at some hours, beside the rows that begin with their first or later.

        Rows of other hours are brought in line by their own states.
        """
        first_s = min(counts_wh) - HOUR_S
        live = {at: row for at, row in short_term.items() if at >= first_s}
        shifts = self._shifts(live, counts_wh)
        hours = {at: row for at, row in shifted(hours, shifts).items() if at >= first_s}
        wanted = {
            at - HOUR_S: Row(count % ROLLOVER_WH, count - self.constant_wh)
            for at, count in counts_wh.items()
        }
        told = sorted(wanted)
        before = wanted[first_s].sum
        for at in sorted(hours.keys() | wanted.keys()):
            if at not in wanted:
                linked = max(before, self._sum_of(hours[at]) or 0.0)
                if (place := bisect_right(told, at)) < len(told):
                    # By a clock that was wrong, less may have been used until then.
                    linked = min(linked, wanted[told[place]].sum)
                wanted[at] = replace(hours[at], sum=linked)
            before = wanted[at].sum
        return Plan(shifts, _different(wanted, hours, _SAME_COUNT_WH, _SAME_COUNT_WH))

    def _shifts(self, short_term: Rows, counts_wh: Mapping[int, int]) -> list[Shift]:
        """Have the live rows, on which the next will build, keep to the constant.

        None falls below the hour before it: a total may have been lower than its register had been.
        """
        found, by = [], 0.0
        hours = sorted(counts_wh)
        for at, row in sorted(short_term.items()):
            linked = self._sum_of(row)
            if linked is None:
                continue
            if place := bisect_right(hours, at):
                linked = max(linked, counts_wh[hours[place - 1]] - self.constant_wh)
            if abs(linked - row.sum - by) > _SAME_COUNT_WH:
                found.append(Shift(at, linked - row.sum - by))
                by = linked - row.sum
        return found

    def _sum_of(self, row: Row) -> float | None:
        """The sum that goes with a row's state; None where that cannot be the register's."""
        count = self._count(row.state)
        if self.first_wh - 1 <= count <= self._count(self.newest_wh) + _BEYOND_NEWEST_WH:
            return max(count - self.constant_wh, 0.0)
        return None

    def _count(self, state_wh: float) -> float:
        """What a register counts to that went on from the first hour, and over its end perhaps."""
        first = self.first_wh % ROLLOVER_WH
        turns = self.first_wh // ROLLOVER_WH + rolled_over(first, state_wh)
        return turns * ROLLOVER_WH + state_wh


def begin_counter(
    before: Row | None, first_wh: int, newest_wh: int, *, is_first: bool = False
) -> Counter:
    """Return a register's series.

    ``before`` is the last row that is older than the first known hour. Where it shows more than the
    register had then, it tells of another counter: the sum goes on from there. ``is_first``: it is
    that hour's own, whose sum stays whatever it shows: nothing was used between it and itself.
    """
    if before is None:
        return Counter(first_wh, first_wh, newest_wh)
    if is_first:
        return Counter(first_wh - before.sum, first_wh, newest_wh)
    rolled = ROLLOVER_WH if rolled_over(before.state, first_wh) else 0
    return Counter(min(before.state - rolled, first_wh) - before.sum, first_wh, newest_wh)


def plan_amounts(
    amounts: Mapping[int, Amount], before: Row | None, hours: Rows, short_term: Rows
) -> Plan | None:
    """Plan for an amount at consecutive hours, which counts from anything.

    Its live total is no measure: it priced a gap as best it could. So the live row at the last hour
    is given that hour's sum. None while there is no such row: it is waited for. ``before`` is the
    last row that is older than the first hour; ``hours`` are all from there on.
    """
    last_s = max(amounts)
    link_s = min((at for at in short_term if at >= last_s - SHORT_TERM_S), default=None)
    if link_s is None:
        return None
    sums = _sums(amounts, before, hours)
    if not sums:
        return Plan()
    link, total = short_term[link_s], sums[last_s - HOUR_S]
    shifts = []
    if abs(total - link.sum) > _SAME_AMOUNT:
        is_new = before is None and min(sums) not in hours
        shifts = [Shift(min(short_term) if is_new else link_s, total - link.sum)]
    wanted = {
        at: Row(one + link.state - total, one, hours[at].last_reset if at in hours else None)
        for at, one in sums.items()
    }
    return Plan(shifts, _different(wanted, shifted(hours, shifts), inf, _SAME_AMOUNT))


def _sums(amounts: Mapping[int, Amount], before: Row | None, hours: Rows) -> dict[int, float]:
    """The sums of an amount, by when their hours begin.

    An hour in which a price is not known keeps what its live row says. Of a new series nothing is
    said of the time before the first known price.
    """
    ends = sorted(amounts)
    sums: dict[int, float] = {}
    known = hours.get(ends[0] - HOUR_S) or before
    if known is not None:
        sums[ends[0] - HOUR_S] = known.sum
    live = known.sum if known is not None else 0.0
    for last, at in pairwise(ends):
        start = at - HOUR_S
        share: float | None = float(amounts[at].total - amounts[last].total)
        if amounts[at].unpriced > amounts[last].unpriced:
            share = hours[start].sum - live if start in hours else None
        if sums or share is not None:
            sums.setdefault(last - HOUR_S, 0.0)
            sums[start] = sums[last - HOUR_S] + (share or 0.0)
        if start in hours:
            live = hours[start].sum
    return sums


def shifted(hours: Rows, shifts: Sequence[Shift]) -> dict[int, Row]:
    """Return the rows of hours as they are after the shifts."""
    found = dict(hours)
    for shift in shifts:
        since_s = shift.since_s - shift.since_s % HOUR_S
        for at, row in found.items():
            if at >= since_s:
                found[at] = replace(row, sum=row.sum + shift.by)
    return found


def _different(wanted: Rows, there: Rows, state: float, total: float) -> dict[int, Row]:
    """The rows that are not there, or whose state or sum is further off than that."""
    return {
        at: row
        for at, row in sorted(wanted.items())
        if at not in there
        or abs(there[at].state - row.state) > state
        or abs(there[at].sum - row.sum) > total
    }
