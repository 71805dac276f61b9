"""When a meter says that it was, in UTC, and whether what it counted is booked at that time.

Of what its local time can mean, the arrival tells which. Must not know a clock: what time it was
when a frame came is an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from .channel.cosem_time import CosemDateTime

BELIEVED = timedelta(days=7)
"""So far from its arrival may a frame's own time be: brokers hold frames back for days, but a clock
that is further off tells nothing, and a plain frame may hold any date at all."""


def moment(time: CosemDateTime, arrived: datetime, zone: tzinfo) -> datetime:
    """Return the meaning of a meter's local time in its zone that is nearest to its arrival.

    A real meter does not send its deviation, and some keep standard time all the year; besides,
    one hour of the year comes twice.
    """
    if time.deviation_minutes is not None:
        return time.utc(zone)
    meant = [time.local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    if (standard := _standard(arrived, zone)) is not None:
        meant.append((time.local - standard).replace(tzinfo=UTC))
    return min(meant, key=lambda at: abs(at - arrived))


def booked_at(sent: datetime | None, arrived: datetime, *, retained: bool) -> datetime | None:
    """Return the moment at which a frame's counters stood so: as it was sent, while that can be.

    ``sent`` is None where the meter does not know. Then a live frame counts as of its arrival, and
    one that a broker kept as of no time at all: None.
    """
    if sent is not None and abs(sent - arrived) <= BELIEVED:
        return sent
    return None if retained else arrived


def _standard(at: datetime, zone: tzinfo) -> timedelta | None:
    local = at.astimezone(zone)
    offset, saving = local.utcoffset(), local.dst()
    return None if offset is None or saving is None else offset - saving
