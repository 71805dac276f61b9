"""How soon a meter may be asked again, so that it looks at every request and drops none.

A meter looks at 20 requests at once and 5 a second of one requester, and counts one that takes it
longer than 50 ms as several. Must not know a clock: times come in as arguments.
"""

from __future__ import annotations

AT_ONCE, PER_SECOND = 15.0, 4.0
"""A little less than a meter grants."""
FREE_S = 0.05
LONGEST_WAIT_S = 5.0
"""A slow broker looks like a busy meter: nobody waits for longer than that on its account."""


class Allowance:
    """What is left of what a meter grants; it refills steadily."""

    def __init__(self, now_s: float) -> None:
        """Nothing was asked yet."""
        self._left = AT_ONCE
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Return for how long the next request is better held back."""
        self._refill(now_s)
        return max(1 - self._left, 0) / PER_SECOND

    def asked(self, now_s: float) -> None:
        """Take note that a request is sent."""
        self._refill(now_s)
        self._left -= 1

    def answered(self, took_s: float) -> None:
        """Take note of how long the answer took: much of it may have been the meter's work."""
        self._left = max(self._left - max(took_s / FREE_S - 1, 0), 1 - LONGEST_WAIT_S * PER_SECOND)

    def _refill(self, now_s: float) -> None:
        self._left = min(AT_ONCE, self._left + (now_s - self._at_s) * PER_SECOND)
        self._at_s = now_s
