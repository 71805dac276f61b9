"""Sums over whole cycles: RMS, power, fundamental. Knows nothing of codes' gains, energy or gates.

A window rarely begins on a sample. Between samples the signal is taken as straight, so the sums are
integrals of the polygon through the samples: the two samples at each end get weights of less than
one. Over whole cycles what that misses cancels but for about 1e-7.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cycles import Window

# The Fourier sum is done in rows of so many samples, all rows by one table and one matrix product,
# and each row turned to its place after: two small tables in place of one as long as the second.
ROW = 128
# Outside a window this many samples are still touched (a delayed voltage needs its neighbours).
MARGIN = 2


@dataclass(frozen=True, slots=True)
class CycleSums:
    """Means over one window, in codes.

    `mean`, `square`, `fundamental` are [2 · phases], voltages first; `fundamental` holds complex
    RMS phasors. `product`, of each phase's u·i, is [phases].
    """

    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    product: NDArray[np.float64]
    fundamental: NDArray[np.complex128]


class WindowSums:
    """Sums over a window of a buffer of at most `capacity` samples."""

    def __init__(self, phases: int, capacity: int) -> None:
        self._phases = phases
        self._rows = math.ceil((capacity + ROW) / ROW)
        self._work = np.zeros((2 * phases, self._rows * ROW))
        self._row_numbers = np.arange(self._rows)
        self._places = np.arange(ROW)

    def over(
        self,
        signals: NDArray[np.float64],
        window: Window,
        delays: tuple[tuple[int, tuple[float, float, float]], ...] = (),
    ) -> CycleSums:
        """Of float64 [2 · phases, n], MARGIN samples at least around the window.

        `delays` names the phases whose voltage is to be delayed, with the weights of the sample
        before, at and after; only the product feels them (a phasor can be turned exactly).
        """
        first, stop = math.floor(window.start), math.floor(window.stop) + 2
        count = stop - first
        ends, weights = _end_weights(window, first, count)
        work = self._work
        work[:, :count] = signals[:, first:stop]
        work[:, count:] = 0
        end_values = work[:, ends]
        voltage, current = work[: self._phases], work[self._phases :]
        square = np.vecdot(work, work) + (end_values * end_values) @ (weights - 1)
        product = np.vecdot(voltage, current)
        product += (end_values[: self._phases] * end_values[self._phases :]) @ (weights - 1)
        for phase, (before, at, after) in delays:
            delayed = (
                before * signals[phase, first - 1 : stop - 1]
                + at * signals[phase, first:stop]
                + after * signals[phase, first + 1 : stop + 1]
            )
            delayed[ends] *= weights
            product[phase] = delayed @ current[phase, :count]
        work[:, ends] *= weights
        mean, fundamental = self._spectrum(2 * math.pi * window.cycles / window.length)
        return CycleSums(
            mean / window.length,
            square / window.length,
            product / window.length,
            fundamental * (math.sqrt(2) / window.length),
        )

    def _spectrum(
        self, angle_per_sample: float
    ) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        """Plain sums, and sums turned by the fundamental, of the weighted work rows."""
        angles = self._places * angle_per_sample
        table = np.stack((np.ones(ROW), np.cos(angles), np.sin(angles)), axis=1)
        rows = (self._work.reshape(-1, ROW) @ table).reshape(2 * self._phases, self._rows, 3)
        turn = np.exp(-1j * angle_per_sample * ROW * self._row_numbers)
        return rows[:, :, 0].sum(axis=1), (rows[:, :, 1] - 1j * rows[:, :, 2]) @ turn


def _end_weights(
    window: Window, first: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The two samples at each end of the window and the share of each that lies in it."""
    late = window.start - first
    over = window.stop - math.floor(window.stop)
    ends = np.array((0, 1, count - 2, count - 1), dtype=np.intp)
    weights = np.array(
        (
            (1 - late) ** 2 / 2,
            1 - late * late / 2,
            1 - (1 - over) ** 2 / 2,
            over * over / 2,
        )
    )
    return ends, weights
