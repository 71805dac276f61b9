"""RMS of every harmonic, and the fundamental's phasor. Knows nothing of gains, power or limits.

A Fourier sum at the harmonics themselves, not a transform over a fixed grid: a stretch is whole
cycles at whatever frequency, so nothing leaks and nothing is resampled. Each stretch lies in
ROWS rows; all rows of all channels meet one small table in one matrix product, and each row is
turned to its place after. Codes of 24 bits are exact in a float32, which is three times as fast
here and leaves an error of some 1e-7 of the fundamental.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .cycles import Window

ROWS = 8
HIGHEST_ORDER = 40
# Above this share of the sampling rate a front-end's filter has nothing left to measure.
HIGHEST_SHARE = 0.45
# IEC 61000-4-7: 10 cycles at 50 Hz, 12 at 60 Hz. A drifting frequency smears a longer stretch.
STRETCH_S = 0.2
# So many samples behind a window are touched, though none of them counts.
SPARE = ROWS + 2
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

    fundamental: NDArray[np.complex128]
    power: NDArray[np.complex128]
    first_power: NDArray[np.complex128]
    last_power: NDArray[np.complex128]
    rms: NDArray[np.float64]


class Harmonics:
    """Spectra of `channels` rows of a buffer: voltages, then as many currents."""

    def __init__(self, channels: int, nominal_frequency_hz: float, highest_order: int) -> None:
        self._stretch_cycles = round(STRETCH_S * nominal_frequency_hz)
        self._highest_order = highest_order
        self._work = np.zeros((channels, 0, 0), dtype=np.float32)

    def over(self, signals: NDArray[np.float64], window: Window) -> Spectrum:
        """Of float64 [channels, n], contiguous, SPARE samples at least behind the window.

        The window is cut into stretches of whole cycles of some 200 ms. `orders` ends where
        HIGHEST_SHARE of the rate does.
        """
        angle = 2 * math.pi * window.cycles / window.length
        highest = int(HIGHEST_SHARE * window.length / window.cycles)
        orders = max(min(self._highest_order, highest), 1)
        edges = self._edges(window)
        firsts, work = self._gather(signals, edges)
        channels, stretches, length = work.shape
        row = length // ROWS
        # One place more than a row has: what turns a row to the place of the row before.
        table = np.ascontiguousarray(_powers(np.exp(-1j * angle * np.arange(row + 1)), orders).T)
        turns = np.ones((ROWS, orders), dtype=np.complex64)
        turns[1:] = _powers(table[row], ROWS - 1)
        # Real and imaginary parts lie side by side: one real product gives complex rows.
        rows = work.reshape(-1, row) @ table[:row].view(np.float32)
        turned = rows.view(np.complex64).reshape(channels, stretches, ROWS, orders)
        turned *= turns
        sums = turned.sum(axis=2)
        places = np.exp(np.array(firsts) * (-1j * angle)) * (math.sqrt(2) / window.length)
        # What makes a mean square, and the mean over stretches, of each stretch's sum.
        lengths = np.array([stop - start for start, stop in pairwise(edges)])
        shares = 2 / stretches / lengths**2
        squares = sums.real**2 + sums.imag**2
        placed = sums[:, :, 0] * places
        fundamental = placed.sum(axis=1)
        phasors = placed * (window.length / lengths)
        phases = channels // 2
        voltages, currents = phasors[:phases], phasors[phases:]
        means = fundamental[:phases, None]
        powers = voltages * currents.conj()
        if abs(voltages - means).max() > UNSTEADY_SHARE * abs(means).max():
            power = _power_by_cycle(signals, window)
        else:
            power = powers @ (lengths / window.length)
        return Spectrum(
            fundamental,
            power,
            powers[:, 0],
            powers[:, -1],
            np.sqrt((squares * shares[:, None]).sum(axis=1)),
        )

    def _edges(self, window: Window) -> list[float]:
        """Where the stretches meet: as even as whole cycles allow, none shorter than a stretch."""
        count = max(window.cycles // self._stretch_cycles, 1)
        cycle = window.length / window.cycles
        return [
            window.start + cycle * (number * window.cycles // count) for number in range(count + 1)
        ]

    def _gather(
        self, signals: NDArray[np.float64], edges: list[float]
    ) -> tuple[list[int], NDArray[np.float32]]:
        """Where each stretch's rows begin [stretches], and its samples [channels, stretches, n].

        All begin evenly spaced, the shortest stretch apart, so that one strided view takes them.
        What is not in a stretch is weighted with zero, the samples at its ends with their share.
        """
        stretches = list(pairwise(edges))
        step = math.floor(min(stop - start for start, stop in stretches))
        first = math.floor(edges[0])
        firsts = [first + step * number for number in range(len(stretches))]
        inside = [
            (start - at, stop - at) for at, (start, stop) in zip(firsts, stretches, strict=True)
        ]
        longest = math.floor(max(stop for _, stop in inside)) + 2
        shape = signals.shape[0], len(stretches), math.ceil(longest / ROWS) * ROWS
        if self._work.shape != shape:
            self._work = np.zeros(shape, dtype=np.float32)
        row_stride, stride = signals.strides
        # What as_strided does, without the detour that costs it more than the copying.
        rows = np.ndarray(
            shape,
            signals.dtype,
            buffer=signals,
            offset=first * stride,
            strides=(row_stride, step * stride, stride),
        )
        np.copyto(self._work, rows, casting="same_kind")
        _weigh(self._work, inside)
        return firsts, self._work


def _power_by_cycle(signals: NDArray[np.float64], window: Window) -> NDArray[np.complex128]:
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
    return np.asarray(power, dtype=np.complex128)


def _turning(angle: float, count: int) -> NDArray[np.complex128]:
    """exp(j · angle · n) [count], by the row: most of it is one product."""
    row = math.isqrt(count) + 1
    rows = np.exp(1j * angle * row * np.arange(row))
    turning = np.outer(rows, np.exp(1j * angle * np.arange(row))).ravel()
    return np.asarray(turning[:count], dtype=np.complex128)


def _weigh(work: NDArray[np.float32], inside: list[tuple[float, float]]) -> None:
    """Leaves of each stretch's samples what lies in it, as in `end_weights`."""
    length = work.shape[2]
    last_head = math.floor(max(start for start, _ in inside)) + 2
    first_tail = math.floor(min(stop for _, stop in inside))
    heads, tails = [], []
    for start, stop in inside:
        begin, end = math.floor(start), math.floor(stop)
        late, over = start - begin, stop - end
        heads.append(
            [0.0] * begin
            + [(1 - late) ** 2 / 2, 1 - late * late / 2]
            + [1.0] * (last_head - begin - 2)
        )
        tails.append(
            [1.0] * (end - first_tail)
            + [1 - (1 - over) ** 2 / 2, over * over / 2]
            + [0.0] * (length - end - 2)
        )
    work[:, :, :last_head] *= np.array(heads, dtype=np.float32)
    work[:, :, first_tail:] *= np.array(tails, dtype=np.float32)


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
