"""Sums over whole cycles: RMS and power. Knows nothing of codes' gains, energy or gates.

A window rarely begins on a sample. Between samples the signal is taken as straight, so the sums are
integrals of the polygon through the samples: the two samples at each end get weights of less than
one. Over whole cycles what that misses cancels but for about 1e-7.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .cycles import Window

# Outside a window this many samples are still touched; a delayed voltage's whole lag comes on top.
MARGIN = 2

type Delays = tuple[tuple[int, tuple[tuple[int, float], ...]], ...]


@dataclass(frozen=True, slots=True)
class CycleSums:
    """Means over one window, in codes.

    `mean`, `square` are [2 · phases], voltages first. `product`, of each phase's u·i, is [phases];
    `cross`, of each pair of currents (L1·L2, L1·L3, L2·L3, as far as there are phases), [pairs].
    """

    mean: list[float]
    square: list[float]
    product: list[float]
    cross: list[float]


def means_over(
    signals: NDArray[np.float64], window: Window, ones: NDArray[np.float64], delays: Delays = ()
) -> CycleSums:
    """Of float64 [2 · phases, n], MARGIN samples at least around the window; `ones` [n] are ones.

    `delays` names the phases whose voltage is to be delayed, with pairs of (lag in samples, weight)
    as in `DelayTaps`; only the product feels them (a phasor can be turned exactly).
    """
    phases = signals.shape[0] // 2
    first, stop = math.floor(window.start), math.floor(window.stop) + 2
    ends, weights = end_weights(window.start, window.stop, first, stop - first)
    inside = signals[:, first:stop]
    end_values = inside[:, ends]
    voltage, current = inside[:phases], inside[phases:]
    # Every sum takes the end samples whole; what is not inside is taken off again.
    weighted = end_values * (weights - 1)
    less = weighted @ end_values.T
    mean = inside @ ones[: stop - first] + weighted.sum(axis=1)
    square = np.vecdot(inside, inside) + less.diagonal()
    product = np.vecdot(voltage, current) + less[:phases, phases:].diagonal()
    cross = [
        current[a] @ current[b] + less[phases + a, phases + b]
        for a, b in combinations(range(phases), 2)
    ]
    for phase, lags in delays:
        delayed = np.zeros(stop - first)
        for lag, weight in lags:
            delayed += weight * signals[phase, first - lag : stop - lag]
        delayed[ends] *= weights
        product[phase] = delayed @ current[phase]
    scale = 1 / window.length
    return CycleSums(
        mean=(mean * scale).tolist(),
        square=(square * scale).tolist(),
        product=(product * scale).tolist(),
        cross=[float(value) * scale for value in cross],
    )


def plain_means(signals: NDArray[np.float64]) -> CycleSums:
    """Means over all of too few samples for a cycle, float64 [2 · phases, n]."""
    rows, count = signals.shape
    voltage, current = signals[: rows // 2], signals[rows // 2 :]
    pairs = combinations(range(rows // 2), 2)
    return CycleSums(
        mean=signals.mean(axis=1).tolist(),
        square=(np.vecdot(signals, signals) / count).tolist(),
        product=(np.vecdot(voltage, current) / count).tolist(),
        cross=[float(current[a] @ current[b]) / count for a, b in pairs],
    )


def end_weights(
    start: float, stop: float, first: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The two samples at each end of a stretch and the share of each that lies in it.

    `first` is the sample at or before `start`; the `count`th after it the first behind `stop`.
    """
    ends = np.array((0, 1, count - 2, count - 1), dtype=np.intp)
    return ends, np.array(end_shares(start, stop))


def end_shares(start: float, stop: float) -> tuple[float, float, float, float]:
    """How much of the two samples around each end of a stretch lies in it."""
    late, over = start - math.floor(start), stop - math.floor(stop)
    return (1 - late) ** 2 / 2, 1 - late * late / 2, 1 - (1 - over) ** 2 / 2, over * over / 2
