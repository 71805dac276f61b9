"""How far a meter's clock is from the time at which its frames come, however late some of them are.

Must not know a clock or a meter: times come in as arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta

from .patience import Arrival

FRAMES_KEPT = 5
"""The least delayed of so many counts."""
KEPT_FOR = timedelta(minutes=1)
"""Older frames don't count, as it is looked at once a minute: the clock may have been set since."""
STEADY_S = 1.0
"""What is shown stays while the deviation is nearer to it: half seconds don't flicker."""


class ClockDeviation:
    """Takes the live frames of a meter, and says how far its clock is off."""

    def __init__(self) -> None:
        """Begin with no frame."""
        self._frames: deque[tuple[datetime, float]] = deque(maxlen=FRAMES_KEPT)
        self._shown_s: int | None = None

    def take(self, arrival: Arrival) -> None:
        """Take a frame; one without a time says nothing."""
        if arrival.sent is not None:
            self._frames.append((arrival.at, (arrival.sent - arrival.at).total_seconds()))

    @property
    def off_s(self) -> float | None:
        """The meter's time less that of arrival, positive where it is fast; None before a frame."""
        if not self._frames:
            return None
        newest = self._frames[-1][0]
        return least_delayed_s(off_s for at, off_s in self._frames if newest - at <= KEPT_FOR)

    def whole_s(self) -> int | None:
        """Return it in whole seconds, the same as last time while it is steady."""
        off_s = self.off_s
        if off_s is None:
            return None
        if self._shown_s is None or abs(off_s - self._shown_s) >= STEADY_S:
            self._shown_s = round(off_s)
        return self._shown_s


def least_delayed_s(offs_s: Iterable[float]) -> float:
    """Return the deviation of the frame that was on its way for the shortest time.

    A frame that comes late makes its clock seem slow, and nothing makes it seem fast.
    """
    return max(offs_s)
