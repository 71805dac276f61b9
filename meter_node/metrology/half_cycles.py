"""RMS over one cycle, refreshed each half cycle. Knows nothing of events, levels or time of day.

One grid of half cycles serves all phases, so that what happens on several can be put in order. It
runs on without gap or overlap: from the last edge of the second before to the last crossing known.
"""

import math

import numpy as np
from numpy.typing import NDArray

from .cycles import Window


class HalfCycles:
    """One-cycle mean squares of `phases` rows of a buffer, one value each half cycle."""

    def __init__(self, phases: int, capacity: int) -> None:
        self._work = np.empty((phases, capacity))
        self._edge: float | None = None
        self._last: NDArray[np.float64] | None = None

    def restart(self) -> None:
        """Forgets the past: what comes next does not follow on."""
        self._edge = self._last = None

    def shift(self, samples: int) -> None:
        """The buffer's beginning was moved on by so many samples."""
        if self._edge is not None:
            self._edge -= samples

    def over(
        self, voltage: NDArray[np.float64], offsets: list[float], window: Window
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends (in samples into the buffer) [n] and mean squares in codes² [phases, n].

        Of float64 [phases, samples], one sample at least behind the window; `offsets` [phases] are
        the means of whole cycles, so what they add to a cycle's square is theirs. The very first
        half cycle has none before it, and gives no value.
        """
        edges = self._edges(window)
        if edges.size < 2:
            return np.empty(0), np.empty((voltage.shape[0], 0))
        self._edge = float(edges[-1])
        halves = self._mean_squares(voltage, edges)
        ends = edges[1:]
        if self._last is None:
            ends = ends[1:]
        else:
            halves = np.concatenate((self._last, halves), axis=1)
        self._last = halves[:, -1:]
        zero = np.array([[offset * offset] for offset in offsets])
        return ends, np.maximum(0.5 * (halves[:, :-1] + halves[:, 1:]) - zero, 0)

    def _edges(self, window: Window) -> NDArray[np.float64]:
        """Half cycles from the last edge to the window's end, which is one where it is tracked."""
        half = window.length / (2 * window.cycles)
        start = window.start if self._edge is None else self._edge
        if window.tracked:
            count = round((window.stop - start) / half)
            half = (window.stop - start) / max(count, 1)
        else:
            count = math.floor((window.stop - start) / half + 1e-9)
        return start + half * np.arange(max(count, 0) + 1, dtype=np.float64)

    def _mean_squares(
        self, voltage: NDArray[np.float64], edges: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of each half cycle: the integral of the polygon through the squares, over its length."""
        samples = edges.astype(np.intp)
        begin = int(samples[0])
        inside = voltage[:, begin : int(samples[-1]) + 2]
        squares = np.multiply(inside, inside, out=self._work[:, : inside.shape[1]])
        part = edges - samples
        samples -= begin
        here, after = squares[:, samples], squares[:, samples + 1]
        # What lies between the sample before an edge and the edge, and half of that sample, which
        # the plain sum over samples takes whole.
        excess = here * (part + 0.5) + (after - here) * (0.5 * part * part)
        sums = np.add.reduceat(squares, samples, axis=1)[:, :-1]
        sums += excess[:, 1:] - excess[:, :-1]
        sums /= edges[1:] - edges[:-1]
        return sums
