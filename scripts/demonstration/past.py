"""How much of a meter's past Home Assistant shows in its long-term statistics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from .client import Client

_HOURS_A_DAY = 24
_LOOK_BACK = timedelta(days=400)
_HOUR_MS = 3_600_000


async def history_days(client: Client, statistic_id: str) -> int:
    """Return for how many whole days up to now each hour has its energy, none below nothing."""
    found = await client.ask(
        "recorder/statistics_during_period",
        start_time=(datetime.now(UTC) - _LOOK_BACK).isoformat(),
        statistic_ids=[statistic_id],
        period="hour",
        types=["sum"],
    )
    hours = 0
    for before, row in pairwise(found.get(statistic_id, [])):
        follows = row["start"] - before["start"] == _HOUR_MS and row["sum"] >= before["sum"]
        hours = hours + 1 if follows else 0
    return hours // _HOURS_A_DAY
