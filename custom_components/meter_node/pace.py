"""When slow quantities are shown anew: once a minute, so that a year of history stays small.

With the last push of each minute by the meter's clock, so that what recorder takes for the end of
an hour is as near to it as a push can be. Must not know a clock: times come in as arguments.
"""

from __future__ import annotations

from datetime import datetime, timedelta

MINUTE = timedelta(minutes=1)


def is_due(sent: datetime, interval_s: int, shown: datetime | None) -> bool:
    """Whether a push is one with which slow quantities are shown anew.

    ``sent`` is its time, ``shown`` that of the last such push, ``interval_s`` how long after it the
    next is to come.
    """
    if shown is None or sent < shown or sent - shown >= MINUTE:
        return True
    return _minute(sent + timedelta(seconds=interval_s)) > _minute(sent)


def _minute(at: datetime) -> int:
    return int(at.timestamp() // MINUTE.total_seconds())
