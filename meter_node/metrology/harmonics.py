"""RMS of every harmonic, and the fundamental's phasor. Knows nothing of gains, power or limits.

A Fourier sum at the harmonics themselves, not a transform over a fixed grid: a stretch is whole
cycles at whatever frequency, so nothing leaks and nothing is resampled. Each stretch lies in
ROWS rows; all rows of all channels meet one small table in one matrix product, and each row is
turned to its place after. Codes of 24 bits are exact in a float32, which is three times as fast
here and leaves an error of some 1e-7 of the fundamental. A window's few fundamental phasors are
Python's complex numbers: so few cost more in arrays.
"""

import cmath
import math
from dataclasses import dataclass
from itertools import pairwise
from operator import mul

import numpy as np
from numpy.typing import NDArray

from .cycles import Window
from .window import end_shares

ROWS = 8
HIGHEST_ORDER = 40
# Above this share of the sampling rate a front-end's filter has nothing left to measure.
HIGHEST_SHARE = 0.45
# IEC 61000-4-7: 10 cycles at 50 Hz, 12 at 60 Hz. A drifting frequency smears a longer stretch.
STRETCH_S = 0.2
# Where a stretch's voltage differs from the mean by more than this share of the strongest phase's,
# power is taken by the cycle: below, what moves within a stretch is worth some 1e-4 of the power.
UNSTEADY_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Of one window, in codes: `fundamental` [channels], complex RMS phasors, over all of it.

    `power` [channels / 2], complex, of the fundamental: the mean of each voltage times its
    current's conjugate, stretch by stretch, or cycle by cycle where the voltage is unsteady. A
    drifting frequency or a jump turns or shrinks the phasors of the whole: their product misses
    power. `first_power`, `last_power`: of the first and the last stretch.
    `rms` [channels, orders], order 1 first: the root of the mean of the stretches' squares.
    """

    fundamental: list[complex]
    power: list[complex]
    first_power: list[complex]
    last_power: list[complex]
    rms: NDArray[np.float32]


class Harmonics:
    """Spectra of a buffer's rows: voltages, then as many currents."""

    def __init__(self, nominal_frequency_hz: float, highest_order: int) -> None:
        self._stretch_cycles = round(STRETCH_S * nominal_frequency_hz)
        self._highest_order = highest_order
        self._work = np.empty(0, dtype=np.float32)

    def over(self, signals: NDArray[np.float64], window: Window) -> Spectrum:
        """Of float64 [channels, n], two samples at least behind the window.

        The window is cut into stretches of whole cycles of some 200 ms. `orders` ends where
        HIGHEST_SHARE of the rate does.
        """
        angle = 2 * math.pi * window.cycles / window.length
        highest = int(HIGHEST_SHARE * window.length / window.cycles)
        orders = max(min(self._highest_order, highest), 1)
        edges = self._edges(window)
        work = self._gather(signals, edges)
        channels, stretches, length = work.shape
        row = length // ROWS
        # One place more than a row has: what turns a row to the place of the row before.
        table = np.ascontiguousarray(_powers(_turning(-angle, row + 1), orders).T)
        turns = np.ones((ROWS, orders), dtype=np.complex64)
        turns[1:] = _powers(table[row], ROWS - 1)
        # Real and imaginary parts lie side by side: one real product gives complex rows.
        rows = work.reshape(-1, row) @ table[:row].view(np.float32)
        turned = rows.view(np.complex64).reshape(channels, stretches, ROWS, orders)
        turned *= turns
        sums = turned.sum(axis=2)
        lengths = [stop - start for start, stop in pairwise(edges)]
        # What makes a mean square, and the mean over stretches, of each stretch's sum.
        shares = [2 / stretches / length**2 for length in lengths]
        squares = np.array(shares, dtype=np.float32) @ np.square(sums.view(np.float32))
        places = [
            cmath.rect(math.sqrt(2) / length, -angle * math.floor(start))
            for start, length in zip(edges, lengths, strict=False)
        ]
        phasors = [list(map(mul, values, places)) for values in sums[:, :, 0].tolist()]
        weights = [length / window.length for length in lengths]
        fundamental = [sum(map(mul, values, weights)) for values in phasors]
        phases = channels // 2
        powers = [
            [u * i.conjugate() for u, i in zip(voltages, currents, strict=True)]
            for voltages, currents in zip(phasors[:phases], phasors[phases:], strict=True)
        ]
        if _is_unsteady(phasors[:phases], fundamental):
            power = _power_by_cycle(signals, window)
        else:
            power = [sum(map(mul, values, weights)) for values in powers]
        return Spectrum(
            fundamental,
            power,
            [values[0] for values in powers],
            [values[-1] for values in powers],
            np.sqrt(squares[:, ::2] + squares[:, 1::2]),
        )

    def _edges(self, window: Window) -> list[float]:
        """Where the stretches meet: as even as whole cycles allow, none shorter than a stretch."""
        count = max(window.cycles // self._stretch_cycles, 1)
        cycle = window.length / window.cycles
        return [
            window.start + cycle * (number * window.cycles // count) for number in range(count + 1)
        ]

    def _gather(self, signals: NDArray[np.float64], edges: list[float]) -> NDArray[np.float32]:
        """The samples of each stretch, from the one before it on: [channels, stretches, n].

        Those at its ends are weighted with the share that lies in it; behind it are zeros.
        """
        stretches = list(pairwise(edges))
        spans = [(math.floor(start), math.floor(stop) + 2) for start, stop in stretches]
        counts = [stop - first for first, stop in spans]
        shape = signals.shape[0], len(spans), math.ceil(max(counts) / ROWS) * ROWS
        if self._work.size < math.prod(shape):
            self._work = np.empty(math.prod(shape), dtype=np.float32)
        work = self._work[: math.prod(shape)].reshape(shape)
        for number, ((first, stop), count) in enumerate(zip(spans, counts, strict=True)):
            work[:, number, :count] = signals[:, first:stop]
            work[:, number, count:] = 0
        numbers = np.arange(len(spans))[:, None]
        ends = np.array([(0, 1, count - 2, count - 1) for count in counts])
        shares = [end_shares(start, stop) for start, stop in stretches]
        work[:, numbers, ends] *= np.array(shares, dtype=np.float32)
        return work


def _is_unsteady(phasors: list[list[complex]], means: list[complex]) -> bool:
    """Whether the voltages' phasors by the stretch [phases][stretches] differ from their means."""
    largest = max(abs(mean) for mean in means[: len(phasors)])
    return any(
        abs(value - mean) > UNSTEADY_SHARE * largest
        for values, mean in zip(phasors, means, strict=False)
        for value in values
    )


def _power_by_cycle(signals: NDArray[np.float64], window: Window) -> list[complex]:
    """`Spectrum.power`, complex [channels / 2], from the phasors of single cycles."""
    cycle = window.length / window.cycles
    first, stop = math.floor(window.start), math.floor(window.stop) + 2
    turned = signals[:, first:stop] * _turning(-2 * math.pi / cycle, stop - first)
    places = window.start - first + cycle * np.arange(window.cycles + 1)
    before = np.minimum(places.astype(np.intp), stop - first - 2)
    late = places - before
    here, after = turned[:, before], turned[:, before + 1]
    # The integral of the polygon through the samples: whole samples, and what differs at the edges.
    edges = here / 2 + late * (here + late / 2 * (after - here))
    integrals = np.add.reduceat(turned, before, axis=1)[:, :-1] + np.diff(edges, axis=1)
    voltages, currents = np.split(integrals, 2)
    power = np.vecdot(currents, voltages) * (2 / cycle / window.length)
    values: list[complex] = power.tolist()
    return values


def _turning(angle: float, count: int) -> NDArray[np.complex128]:
    """exp(j · angle · n) [count], by the row: most of it is one product."""
    row = math.isqrt(count) + 1
    rows = np.exp(1j * angle * row * np.arange(row))
    turning = np.outer(rows, np.exp(1j * angle * np.arange(row))).ravel()
    return np.asarray(turning[:count], dtype=np.complex128)


def _powers(base: NDArray[np.complexfloating], orders: int) -> NDArray[np.complex64]:
    """base¹ … base^orders [orders, base's size], each half from the half before it."""
    powers = np.empty((orders, base.size), dtype=np.complex64)
    powers[0] = base
    known = 1
    while known < orders:
        more = min(known, orders - known)
        np.multiply(powers[:more], powers[known - 1], out=powers[known : known + more])
        known += more
    return powers
