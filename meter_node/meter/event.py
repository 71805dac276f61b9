"""Something that happened, as a part of the meter tells it: for the logs, alarms and pushes.

Must not know which log keeps it: the code's row says that.
"""

from __future__ import annotations

from dataclasses import dataclass

from meter_node.channel.event_codes import BY_NAME, EventCode


@dataclass(frozen=True, slots=True)
class Event:
    """One event at `time_s` (UTC by the meter's clock).

    `detail` is short text without a language: numbers with units, names of parameters, a source
    (``"187.2 V, 61 s"``).
    """

    code: EventCode
    time_s: int
    detail: str = ""

    @classmethod
    def of(cls, name: str, time_s: int, detail: str = "") -> Event:
        """Return the event of that name in the channel's table. Raises KeyError for no such."""
        return cls(BY_NAME[name], time_s, detail)
