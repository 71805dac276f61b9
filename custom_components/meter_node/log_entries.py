"""Which entries of the meter's event logs are news, by their numbers: each is told once.

A code or log of a newer meter is passed over, but its number is remembered. Must not know a store,
a clock or entities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from .channel.event_codes import BY_CODE, LOG_BY_LOGICAL_NAME, Log
from .channel.reading import Reading


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry of an event log; ``name`` is its row in ``channel.event_codes``."""

    log: Log
    number: int
    time: datetime
    """Aware UTC, by the meter's clock."""
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that is to be told; ``serial`` goes up by one with each, since the start."""

    serial: int
    entry: LogEntry


def unseen(
    reading: Reading, seen: Mapping[str, int], zone: tzinfo
) -> tuple[list[LogEntry], dict[str, int]]:
    """Return the entries of a frame that are above the numbers seen, and the numbers seen now.

    ``seen`` holds the highest number by log, ``zone`` serves times without a deviation. No number
    comes twice: a log that was cleared goes on with it, one restored from a back-up jumps upwards.
    """
    now_seen = dict(seen)
    new = []
    for event in reading.events:
        log = LOG_BY_LOGICAL_NAME.get(event.logical_name)
        if log is None or event.entry <= now_seen.get(log, 0):
            continue
        now_seen[str(log)] = event.entry
        code = BY_CODE.get(event.code)
        if code is not None:
            new.append(LogEntry(log, event.entry, event.time.utc(zone), code.name, event.detail))
    return new, now_seen
