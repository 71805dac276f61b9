"""The order of plain frames, which have no counter to go by: by their own time and what they hold.

Must not know a clock: when a frame came is an argument.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from hashlib import blake2b

from . import meter_time
from .channel.cosem_time import CosemDateTime
from .channel.security import Refusal, RefusedError

REMEMBERED = 512
"""Frames: more than an hour's of those that come every ten seconds."""
BELIEVED = timedelta(minutes=10)
"""When nothing newer came for so long, an older time is that of a clock that was set back."""


class PlainOrder:
    """Lets each frame through once, and none that is older than the last one."""

    def __init__(self) -> None:
        """Have seen nothing."""
        self._digests: deque[bytes] = deque(maxlen=REMEMBERED)
        self._newest: datetime | None = None
        self._came: datetime | None = None

    def take(self, data: bytes, time: CosemDateTime | None, arrived: datetime | None) -> None:
        """Note a frame with the meter's time in it, that came at a moment of the meter's zone.

        A frame without a time may hold the same values once more: it is held against the last one
        only. Without a moment of arrival (before there is an entry) only repetition is seen. Raises
        RefusedError.
        """
        digest = blake2b(data, digest_size=16).digest()
        known = self._digests if time is not None else list(self._digests)[-1:]
        if digest in known:
            raise RefusedError(Refusal.DUPLICATE, "the same frame once more")
        if time is not None and arrived is not None:
            self._follow(time, arrived)
        self._digests.append(digest)

    def _follow(self, time: CosemDateTime, arrived: datetime) -> None:
        zone = arrived.tzinfo
        assert zone is not None
        sent = meter_time.moment(time, arrived, zone)
        if (
            self._newest is not None
            and self._came is not None
            and sent < self._newest
            and arrived - self._came < BELIEVED
        ):
            raise RefusedError(Refusal.REPLAY, "a frame that is older than the last one")
        self._newest, self._came = sent, arrived
