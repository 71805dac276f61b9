"""Sampling rate and sample numbers from a column of times. Knows no file and no clock."""

import numpy as np
from numpy.typing import NDArray

from .items import SourceError

# A sampling rate is a whole number of hertz; a column of times may miss it by this much.
RATE_TOLERANCE = 1e-4


def rate_of(times_s: NDArray[np.float64]) -> int:
    """The sampling rate of these instants [n], also where some are left out.

    Raises SourceError for fewer than two, and where none fits.
    """
    steps_s = np.diff(times_s)
    period_s = float(np.median(steps_s)) if steps_s.size else 0.0
    if not period_s > 0:
        raise SourceError("the times don't rise: without good times, give the sampling rate")
    rate_hz = float(np.rint(steps_s / period_s).sum() / (times_s[-1] - times_s[0]))
    whole_hz = round(rate_hz)
    if not whole_hz or abs(rate_hz / whole_hz - 1) > RATE_TOLERANCE:
        raise SourceError(f"the times give {rate_hz:.3f} Hz, which is no whole number of hertz")
    return whole_hz


class Places:
    """Numbers samples by their times, from step to step, so that a drifting clock does no harm."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._last_s: float | None = None
        self._last = -1

    def of(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """The numbers [n] of the next instants; the first of all is 0.

        Raises SourceError where time stands still or goes back, or where it isn't known.
        """
        before_s = times_s[0] - 1 / self._rate_hz if self._last_s is None else self._last_s
        steps = np.diff(times_s, prepend=before_s) * self._rate_hz
        wrong = np.flatnonzero(~(steps > 0.5))
        if wrong.size:
            at = int(wrong[0])
            why = "has no time" if np.isnan(steps[at]) else "is no later than the one before it"
            if steps[at] > 0:
                why = f"comes too early for {self._rate_hz} Hz"
            raise SourceError(f"the sample at {times_s[at]:g} s {why}")
        places = self._last + np.cumsum(np.rint(steps)).astype(np.int64)
        self._last_s, self._last = float(times_s[-1]), int(places[-1])
        return places
