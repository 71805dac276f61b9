"""The frequency of ten seconds. Knows nothing of samples, phases or clocks."""

from .cycles import Window

INTERVAL_S = 10


class LongFrequency:
    """Whole cycles over their time, in intervals of ten seconds of the stream's grid.

    IEC 61000-4-30: intervals don't overlap, and what is not a whole cycle at their ends is left
    out. An interval with a second that was not tracked, or not complete, gives no frequency.
    """

    __slots__ = ("_cycles", "_length", "_rate_hz", "_seconds", "latest_hz")

    def __init__(self, sampling_rate_hz: int) -> None:
        self._rate_hz = sampling_rate_hz
        self._begin()
        self.latest_hz: float | None = None

    def add(self, second: int, window: Window | None) -> None:
        """Takes the window of the stream's second of that number (None where it had none)."""
        if window and window.tracked:
            self._cycles += window.cycles
            self._length += window.length
            self._seconds += 1
        if second % INTERVAL_S == INTERVAL_S - 1:
            unbroken = self._seconds == INTERVAL_S
            self.latest_hz = self._cycles * self._rate_hz / self._length if unbroken else None
            self._begin()

    def restart(self) -> None:
        """After a gap nothing of before counts."""
        self._begin()
        self.latest_hz = None

    def _begin(self) -> None:
        self._cycles = self._seconds = 0
        self._length = 0.0
