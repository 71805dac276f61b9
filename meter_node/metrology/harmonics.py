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


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Of one window, in codes: `fundamental` [channels], complex RMS phasors, over all of it.

    `rms` [channels, orders], order 1 first: the root of the mean of the stretches' squares.
    """

    fundamental: NDArray[np.complex128]
    rms: NDArray[np.float64]


class Harmonics:
    """Spectra of `channels` rows of a buffer."""

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
        shares = np.array([2 / (stop - start) ** 2 / stretches for start, stop in pairwise(edges)])
        squares = sums.real**2 + sums.imag**2
        return Spectrum(
            (sums[:, :, 0] * places).sum(axis=1), np.sqrt((squares * shares[:, None]).sum(axis=1))
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
