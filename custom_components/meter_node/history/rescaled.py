"""Rows of statistics that were made in two scales, as if it had been the later one all the time.

All is worked out from the rows that are there, so that what was broken off is finished and nothing
is done twice. Must not know the recorder, nor units: a proportion has none.
"""

from __future__ import annotations

from dataclasses import replace

from ..channel.reading import scaled
from .hours import HOUR_S
from .plan import SHORT_TERM_S, Row, Rows


def rescaled(
    hours: Rows, short_term: Rows, since_s: int, exponent: int, total: float
) -> tuple[Rows, Rows]:
    """Return the rows of hours and of five minutes, in their order.

    Those that end before the new scale was shown (``since_s``) are multiplied by a power of ten.
    The first later one holds what lies between two states in two scales, which the recorder took
    for consumption or for a new beginning: it is given what the total really went on. The later
    ones keep what they add to each other. ``total`` is what the total stood at at the change, in
    the old scale.
    """
    hours = _multiplied(hours, HOUR_S, since_s, exponent, total)
    short_term = _multiplied(short_term, SHORT_TERM_S, since_s, exponent, total)
    last = _last_old(hours, HOUR_S, since_s)
    return (
        _joined(hours, HOUR_S, since_s, last),
        _joined(
            short_term, SHORT_TERM_S, since_s, _last_old(short_term, SHORT_TERM_S, since_s) or last
        ),
    )


def _multiplied(rows: Rows, length_s: int, since_s: int, exponent: int, total: float) -> Rows:
    """Multiply what is in the old scale: the last state tells whether it still is."""
    last = _last_old(rows, length_s, since_s)
    if last is None or abs(last.state - scaled(total, exponent)) < abs(last.state - total):
        return rows
    return {
        at: replace(row, state=scaled(row.state, exponent), sum=scaled(row.sum, exponent))
        if at + length_s <= since_s
        else row
        for at, row in rows.items()
    }


def _joined(rows: Rows, length_s: int, since_s: int, before: Row | None) -> Rows:
    """Have the rows of the new scale go on from the last one of the old."""
    first_s = min((at for at in rows if at + length_s > since_s), default=None)
    if first_s is None or before is None:
        return rows
    shift = before.sum + rows[first_s].state - before.state - rows[first_s].sum
    return {
        at: replace(row, sum=row.sum + shift) if at >= first_s else row for at, row in rows.items()
    }


def _last_old(rows: Rows, length_s: int, since_s: int) -> Row | None:
    last_s = max((at for at in rows if at + length_s <= since_s), default=None)
    return None if last_s is None else rows[last_s]
