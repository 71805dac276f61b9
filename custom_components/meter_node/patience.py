"""How long a meter's silence is borne: by the interval at which its good frames really come.

A hello is unsigned, so what it announces may lengthen the patience up to a bound and never shorten
it. Must not know a clock or a store: times and earlier gaps come in as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from .channel.hello import LONGEST_PUSH_INTERVAL_S
from .const import DEFAULT_PUSH_INTERVAL_S, MISSED_PUSHES

GAPS_KEPT = 5
"""The median of so many bears a lost frame, an hourly list between, and a clock that was set."""
GAPS_NEEDED = 2
"""Three frames: with fewer the announced interval is all there is."""
STRETCH = 6
"""An announced interval counts up to so many observed ones: the utility may have changed it."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a good live frame came, and when the meter says that it sent it."""

    at: datetime
    sent: datetime | None


def gap_s(before: Arrival, after: Arrival) -> int:
    """Return the whole seconds between two frames: by their own times where those go on."""
    gap = after.at - before.at
    if before.sent is not None and after.sent is not None and after.sent > before.sent:
        gap = after.sent - before.sent
    return min(max(round(gap.total_seconds()), 1), LONGEST_PUSH_INTERVAL_S)


def observed_s(gaps_s: Sequence[int]) -> int | None:
    """Return the interval that the last frames kept, None while there are too few."""
    if len(gaps_s) < GAPS_NEEDED:
        return None
    return sorted(gaps_s)[(len(gaps_s) - 1) // 2]  # the lower median


def patience_s(announced_s: int, gaps_s: Sequence[int]) -> int:
    """Return after how long a silence a meter counts as gone."""
    observed = observed_s(gaps_s)
    if observed is None:
        interval = max(announced_s, DEFAULT_PUSH_INTERVAL_S)
    else:
        bound = max(STRETCH * observed, DEFAULT_PUSH_INTERVAL_S)
        interval = max(observed, min(announced_s, bound))
    return MISSED_PUSHES * interval
