"""A meter that can't be asked: what whoever listened to it has kept, as readings.

Must not know frames, nor who kept them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from homeassistant.exceptions import HomeAssistantError

from .readings import Reading, SourceError

KEPT_FOR = timedelta(days=131)
"""Nobody keeps more: a bridge has 130 days."""
PIECE = 192
QUARTER_S = 900
LATE_S = 60
"""A list that comes so soon after a quarter tells how things stood then: some come once an hour,
seconds after it."""


class KeepsFrames(Protocol):
    """Gives what a meter sent in a time."""

    def readings(
        self, first: datetime, last: datetime
    ) -> AsyncIterator[tuple[datetime, Mapping[str, float]]]:
        """Give (meter's time, registers by key) in order. Raises HomeAssistantError."""


class KeptPast:
    """A ``ProfileSource``: of what was kept, a reading a quarter, and the last before a gap.

    As no such reading has a number, its time is taken for one: it rises, too.
    """

    def __init__(self, kept: KeepsFrames, now: datetime, known_wh: Mapping[str, float]) -> None:
        """``known_wh``: what registers were last known to stand at, by key."""
        self._kept = kept
        self._now = now
        self._known_wh = known_wh

    async def async_newest(self) -> Reading | None:
        """Return the registers of now, None where none was heard yet."""
        now_s = int(self._now.timestamp())
        return _reading(now_s, self._known_wh) if self._known_wh else None

    async def readings(self, since: int | None) -> AsyncIterator[Sequence[Reading]]:
        """Give a reading a quarter from ``since`` on, the oldest first. Raises SourceError."""
        first = self._now - KEPT_FOR if since is None else datetime.fromtimestamp(since, UTC)
        piece: list[Reading] = []
        last: tuple[int, Mapping[str, float]] | None = None
        given_s = -1
        try:
            async for at, values in self._kept.readings(first, self._now):
                at_s = int(at.timestamp())
                for end_s, told in _told(last, at_s, values):
                    if end_s > given_s:
                        piece.append(_reading(end_s, told))
                        given_s = end_s
                last = at_s, values
                if len(piece) >= PIECE:
                    yield piece
                    piece = []
        except HomeAssistantError as error:
            raise SourceError("no_answer", str(error)) from error
        if piece:
            yield piece


def _told(
    last: tuple[int, Mapping[str, float]] | None, at_s: int, values: Mapping[str, float]
) -> list[tuple[int, Mapping[str, float]]]:
    """What is worth a reading, now that this came after the last: of each quarter the first."""
    if last is not None and at_s // QUARTER_S == last[0] // QUARTER_S:
        return []
    late_s = at_s % QUARTER_S
    first = at_s - late_s if late_s < LATE_S else at_s, values
    is_gap = last is not None and at_s - last[0] > QUARTER_S + LATE_S
    return [last, first] if is_gap and last is not None else [first]


def _reading(end_s: int, values: Mapping[str, float]) -> Reading:
    begin_s = (end_s - 1) // QUARTER_S * QUARTER_S
    registers_wh = {key: round(value) for key, value in values.items()}
    return Reading(end_s, begin_s, end_s, registers_wh)
