"""Which plain frames are news: with no counter to go by, their own times and their digests tell.

Nobody signs a plain frame: this keeps old ones out, and not who makes new ones up. Must not know a
clock or a store: arrivals, and what was kept over a restart, come in as arguments.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

from .channel.cosem_time import CosemDateTime
from .channel.security import Refusal, RefusedError

REMEMBERED = 512
"""Frames: more than an hour of ten-second lists, which is what comes twice when the clocks go back
or a meter's clock is set."""
JITTER = timedelta(seconds=2)
"""So much do arrivals vary, and the times of two lists that are made at once."""
TURN = timedelta(minutes=15)
"""So far from the right moment may a meter's clock be put back in the night in autumn."""
_NONE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Sent:
    """When a frame was sent by its own account, and when it came (aware, UTC)."""

    time: CosemDateTime
    arrived: datetime

    def since(self, earlier: Sent) -> timedelta:
        """Return how much later it was sent: as the clock on the wall goes, unless both say UTC."""
        if self._says_utc and earlier._says_utc:
            return self.time.utc() - earlier.time.utc()
        return self.time.local - earlier.time.local

    @property
    def _says_utc(self) -> bool:
        return self.time.deviation_minutes is not None

    def to_json(self) -> dict[str, Any]:
        """Return it as a store keeps it."""
        return {
            "local": self.time.local.isoformat(),
            "deviation": self.time.deviation_minutes,
            "arrived": self.arrived.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self | None:
        """Return what ``to_json`` made, None of an empty one."""
        if not kept:
            return None
        time = CosemDateTime(datetime.fromisoformat(kept["local"]), kept["deviation"])
        return cls(time, datetime.fromisoformat(kept["arrived"]))


class PlainOrder:
    """Lets each plain frame of one meter pass once, in the order in which they were sent.

    A meter whose clock was set back is not locked out. Two frames that follow each other as they
    arrive show it, if none came between that goes on from before: a meter that goes on sending as
    before contradicts whatever is sent again.
    """

    def __init__(self, last: Sent | None = None) -> None:
        """Go on from the last frame before a restart."""
        self.last = last
        """The last live frame that passed, of those that say when they were sent."""
        self._doubted: Sent | None = None  # the last that was older, with no other since
        self._digests: dict[bytes, None] = {}  # the oldest first

    def take(
        self, data: bytes, time: CosemDateTime | None, arrived: datetime, *, retained: bool
    ) -> None:
        """Let a frame pass, or raise RefusedError: it was there before, or it is older.

        ``arrived`` is aware, in the meter's time zone. A frame that does not say when it was sent
        passes, as nothing tells an old one from a house in which nothing changes.
        """
        if time is None:
            return
        digest = hashlib.blake2b(data, digest_size=8).digest()
        if digest in self._digests:
            raise RefusedError(Refusal.DUPLICATE, "the same frame once more")
        sent = Sent(time, arrived.astimezone(UTC))
        if self.last is not None and _is_older(sent, self.last, arrived.tzinfo or UTC):
            if retained:
                raise RefusedError(Refusal.DUPLICATE, "a broker kept it, and newer ones came")
            if not self._is_set_back(sent):
                raise RefusedError(
                    Refusal.REPLAY,
                    f"sent at {time.local}, and the last one at {self.last.time.local}: "
                    "a frame that is sent again, or the meter's clock was set back",
                )
            self.last = None
        self._digests[digest] = None
        if len(self._digests) > REMEMBERED:
            del self._digests[next(iter(self._digests))]
        if not retained:  # when that arrived first, nobody knows
            self._doubted = None
            if self.last is None or sent.since(self.last) >= _NONE:
                self.last = sent

    def _is_set_back(self, sent: Sent) -> bool:
        """Whether an older frame follows the older one before it no faster than it came."""
        before, self._doubted = self._doubted, sent
        if before is None:
            return False
        return _NONE < sent.since(before) <= sent.arrived - before.arrived + JITTER


def _is_older(sent: Sent, last: Sent, zone: tzinfo) -> bool:
    """Whether it was sent before the last one, and not in the hour that comes twice."""
    gone = sent.since(last)
    if gone >= -JITTER:
        return False
    turned = _offset(last.arrived - TURN, zone) - _offset(sent.arrived + TURN, zone)
    passed = sent.arrived - last.arrived
    return turned <= _NONE or not -JITTER <= gone + turned <= passed + JITTER


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or _NONE
