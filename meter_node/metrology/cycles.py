"""Finds whole cycles in a voltage. Knows nothing of currents, energy or time of day."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

# The filter looks two nominal cycles wide: it passes 45…65 Hz, and is blind to DC and harmonics.
FILTER_CYCLES = 2
# So many filtered values are worked out together.
FILTER_ROW = 16
# Crossings are sought at about this rate; the interpolation makes up for the coarseness.
SEARCH_RATE_HZ = 1000
LOWEST_HZ, HIGHEST_HZ = 40.0, 70.0
# A cycle weaker than this share of the second's strongest is a dip or noise, not a cycle to go by.
LEAST_SHARE = 0.25
# So many regular cycles in a row make a frequency, if the second has no better.
LEAST_RUN = 5


@dataclass(frozen=True, slots=True)
class Window:
    """Whole cycles between two instants, counted in samples (fractions too) into a buffer.

    `tracked` says that both ends are crossings of a voltage; otherwise they are dead reckoning.
    """

    start: float
    stop: float
    cycles: int
    tracked: bool

    @property
    def length(self) -> float:
        """In samples."""
        return self.stop - self.start


class CycleTracker:
    """Finds upward zero crossings of the fundamental, without memory of earlier seconds.

    A buffer holds `lookback` samples already seen and then the new ones, so that the same crossing
    is found again to open the next window where the last one closed.
    """

    def __init__(self, sampling_rate_hz: int, nominal_frequency_hz: float) -> None:
        self._rate_hz = sampling_rate_hz
        self._nominal_hz = nominal_frequency_hz
        self._step = _decimation(sampling_rate_hz)
        self._block = np.full(self._step, 1 / self._step)
        search_hz = sampling_rate_hz / self._step
        self._believable = search_hz / HIGHEST_HZ, search_hz / LOWEST_HZ
        self._taps = _band_pass(search_hz, nominal_frequency_hz)
        reach = (self._taps.size + 4) * self._step + math.ceil(sampling_rate_hz / LOWEST_HZ)
        self.lookback = math.ceil(reach / self._step) * self._step
        # Each row of samples gives FILTER_ROW values; the next row begins so many samples later.
        width = self._taps.size - 1 + FILTER_ROW
        self._filter = np.zeros((width, FILTER_ROW))
        for value in range(FILTER_ROW):
            self._filter[value : value + self._taps.size, value] = self._taps
        self._padded = np.zeros((self.lookback + sampling_rate_hz) // self._step + width)
        self._overlapping = sliding_window_view(self._padded, width)[::FILTER_ROW]

    def track(
        self, voltage: NDArray[np.float64], new_from: int, least_amplitude: float
    ) -> tuple[Window | None, float | None]:
        """Window and frequency (Hz) of one phase's voltage [n], the new samples from `new_from` on.

        The window runs from the last crossing that the previous call could see (or the first of
        all, where there was none) to the last one now: about half a filter and a cycle behind the
        end. It is None where the cycles are not unbroken, the frequency where even LEAST_RUN in a
        row are missing. `least_amplitude` is the peak value below which there is no voltage.
        """
        whole = voltage.size // self._step * self._step
        if whole < (self._taps.size + 1) * self._step:
            return None, None
        if self._step > 1:
            voltage = voltage[:whole].reshape(-1, self._step) @ self._block
        wave = self._filtered(voltage)
        negative = wave < 0
        rising = (negative[:-1] > negative[1:]).nonzero()[0]
        if rising.size < 2:
            return None, None
        here, slopes = wave[rising], wave[rising + 1] - wave[rising]
        amplitudes = slopes * (self._rate_hz / self._step / (2 * math.pi * self._nominal_hz))
        sizes = amplitudes.tolist()
        least = max(least_amplitude, LEAST_SHARE * max(sizes))
        crossings = rising - here / slopes
        cycles = crossings[1:] - crossings[:-1]
        lengths = cycles.tolist()
        shortest, longest = self._believable
        if min(sizes) < least or min(lengths) <= shortest or max(lengths) >= longest:
            strong = amplitudes >= least
            regular = (cycles > shortest) & (cycles < longest) & strong[:-1] & strong[1:]
            return None, self._longest_run_hz(wave, rising, regular)
        known = new_from // self._step - 1 - self._taps.size
        opening = max(int(rising.searchsorted(known, "right")) - 1, 0)
        if opening == rising.size - 1:
            return None, None
        return self._between(wave, int(rising[opening]), int(rising[-1]), rising.size - 1 - opening)

    def _filtered(self, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `np.correlate` gives ("valid"), as one matrix product: half the time.

        The taps are symmetric: correlating is filtering.
        """
        count = voltage.size - self._taps.size + 1
        self._padded[: voltage.size] = voltage
        rows = self._overlapping[: math.ceil(count / FILTER_ROW)]
        wave: NDArray[np.float64] = (np.ascontiguousarray(rows) @ self._filter).ravel()[:count]
        return wave

    def _longest_run_hz(
        self, wave: NDArray[np.float64], rising: NDArray[np.intp], regular: NDArray[np.bool_]
    ) -> float | None:
        edges = np.flatnonzero(np.diff(np.concatenate(([False], regular, [False]))))
        starts, stops = edges[::2], edges[1::2]
        if not starts.size or int((stops - starts).max()) < LEAST_RUN:
            return None
        best = int(np.argmax(stops - starts))
        first, last = int(starts[best]), int(stops[best])
        return self._between(wave, int(rising[first]), int(rising[last]), last - first)[1]

    def _between(
        self, wave: NDArray[np.float64], first: int, last: int, cycles: int
    ) -> tuple[Window, float]:
        window = Window(self._instant(wave, first), self._instant(wave, last), cycles, True)
        return window, cycles * self._rate_hz / window.length

    def _instant(self, wave: NDArray[np.float64], index: int) -> float:
        """The crossing after wave[index], in samples from the buffer's beginning."""
        position = index + _crossing(wave, index) + (self._taps.size - 1) / 2
        return position * self._step + (self._step - 1) / 2


def _decimation(sampling_rate_hz: int) -> int:
    """The largest whole divisor of the rate that leaves at least SEARCH_RATE_HZ."""
    largest = max(sampling_rate_hz // SEARCH_RATE_HZ, 1)
    return next(step for step in range(largest, 0, -1) if sampling_rate_hz % step == 0)


def _band_pass(rate_hz: float, nominal_hz: float) -> NDArray[np.float64]:
    """A symmetric filter (all frequencies delayed alike) around the nominal one, blind to DC."""
    half = round(FILTER_CYCLES * rate_hz / nominal_hz / 2)
    place = np.arange(-half, half + 1)
    bell = np.cos(math.pi / 2 * place / (half + 1)) ** 2
    taps = bell * np.cos(2 * math.pi * nominal_hz / rate_hz * place)
    taps -= bell * (taps.sum() / bell.sum())
    scale = float(taps @ np.cos(2 * math.pi * nominal_hz / rate_hz * place))
    return np.asarray(taps / scale, dtype=np.float64)


def _crossing(wave: NDArray[np.float64], index: int) -> float:
    """Where, from 0 to 1, the wave is zero between two samples: the cubic through four of them."""
    if not 1 <= index < wave.size - 2:
        here, after = wave[index : index + 2].tolist()
        return float(here / (here - after))
    before, here, after, beyond = wave[index - 1 : index + 3].tolist()
    second = (before - 2 * here + after) / 2
    third = (beyond - 3 * after + 3 * here - before) / 6
    # Newton's backward walk from the straight line's answer; two rounds reach 1e-9 of a sample.
    place: float = here / (here - after)
    for _ in range(2):
        value = here + place * (after - here) + place * (place - 1) * (second + (place + 1) * third)
        slope = after - here + (2 * place - 1) * second + (3 * place * place - 1) * third
        place -= value / slope
    return place
