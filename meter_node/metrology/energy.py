"""Energy as integers: every sample counted once, the remainder carried. Knows nothing of cycles."""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Products of 24-bit codes have at most 2**46, and a float64 holds every whole number up to 2**53:
# sums of so many products are exact in whatever order a processor adds them. Beyond, Python's
# integers take over, so no length overflows.
EXACT_PRODUCTS = 1 << 7

# Converter codes: int32, or float64 that hold whole numbers of at most 24 bits.
type Codes = NDArray[np.int32] | NDArray[np.float64]
# Converter offsets are taken in 1/256 of a code, the delay filter's taps in 2**-30, gains in
# 2**-100 (at a nanowatt a code² more bits than a float has): integers all, so sums are exact.
OFFSET_BITS = 8
TAP_BITS = 30
GAIN_BITS = 100
REACTIVE_BITS = 24
WORK_BITS = TAP_BITS + 2 * OFFSET_BITS
NANO = 10**9
SECONDS_PER_HOUR = 3600


# Nodes of the delay filter, in samples from the nearest whole one.
NODES = (-2, -1, 0, 1, 2)


@dataclass(frozen=True, slots=True)
class DelayTaps:
    """Delays the voltage to where its current was sampled: pairs of (lag, weight).

    The current's sample n meets the voltage's sample n − lag. What is left beyond the nearest whole
    sample, half a one at most, is Lagrange's polynomial through five samples: good to 3e-6 rad of
    60 Hz at 2 kHz. The weights add up to 2**TAP_BITS; those that are zero are left out.
    """

    weights: tuple[tuple[int, int], ...]
    reach: int = field(init=False, repr=False)
    """How many samples away from the current's the voltages are, at most."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reach", max(abs(lag) for lag, _ in self.weights))

    @classmethod
    def of(cls, delay_samples: float) -> "DelayTaps":
        """Of any delay, negative where the current is the earlier one."""
        whole = round(delay_samples)
        place = delay_samples - whole
        others = {
            node: round(math.ldexp(_lagrange(node, place), TAP_BITS)) for node in NODES if node
        }
        weights = {whole: (1 << TAP_BITS) - sum(others.values())} | {
            whole + node: weight for node, weight in others.items()
        }
        return cls(tuple((lag, weights[lag]) for lag in sorted(weights) if weights[lag]))

    @property
    def delays(self) -> bool:
        """Whether there is anything to do."""
        return self.reach > 0


def _lagrange(node: int, place: float) -> float:
    """The weight of this node for the value at `place`."""
    return math.prod((place - other) / (node - other) for other in NODES if other != node)


@dataclass(frozen=True, slots=True)
class Moments:
    """One phase's sums over a segment, scaled by 2**TAP_BITS: Σu·i, Σu and Σi with u delayed."""

    samples: int
    product: int
    voltage: int
    current: int


def moments(codes: Codes, before: Codes | None, taps: tuple[DelayTaps, ...]) -> list[Moments]:
    """Sums of codes [2 · phases, n], voltages first, exact at any length.

    `before` [2 · phases, m] holds the samples ahead of these, as many as the taps reach or all
    since the stream began; None where it begins here. What was before the stream is taken to be as
    its first sample. A delayed product needs two samples: it is booked in the segment where the
    later one lies, so each pair counts once however the stream is cut.
    """
    phases, samples = len(taps), codes.shape[1]
    codes = codes.astype(np.float64, copy=False)
    products = _dot(codes[:phases], codes[phases:])
    # Of 24-bit codes 2**30 add up exactly.
    sums = [int(total) << TAP_BITS for total in (codes @ _ones(samples)).tolist()]
    found = []
    for phase, tap in enumerate(taps):
        if tap.delays:
            u, i = (
                _led(codes[row], None if before is None else before[row], tap.reach)
                for row in (phase, phases + phase)
            )
            found.append(_delayed(u, i, tap))
        else:
            found.append(
                Moments(samples, products[phase] << TAP_BITS, sums[phase], sums[phases + phase])
            )
    return found


def _led(codes: NDArray[np.float64], before: Codes | None, reach: int) -> NDArray[np.float64]:
    """These codes [n], `reach` of those before them in front; the first one for missing ones."""
    known = codes[:0] if before is None else before[max(before.size - reach, 0) :]
    first = known[0] if known.size else codes[0]
    missing = np.full(reach - known.size, first, dtype=np.float64)
    return np.concatenate((missing, known, codes))


def _delayed(u: NDArray[np.float64], i: NDArray[np.float64], tap: DelayTaps) -> Moments:
    """Of one phase's codes with `tap.reach` earlier ones in front."""
    reach, samples = tap.reach, u.size - tap.reach
    product = voltage = current = 0
    for lag, weight in tap.weights:
        # The later of the two lies in the segment, the other one so many samples before it.
        u_from, i_from = reach - max(lag, 0), reach - max(-lag, 0)
        left, right = u[u_from : u_from + samples], i[i_from : i_from + samples]
        product += weight * _dot(left[None], right[None])[0]
        voltage += weight * int(left.sum())
        current += weight * int(right.sum())
    return Moments(samples, product, voltage, current)


@lru_cache(maxsize=2)
def _ones(samples: int) -> NDArray[np.float64]:
    return np.ones(samples)


def _dot(left: NDArray[np.float64], right: NDArray[np.float64]) -> list[int]:
    """Σ left·right along the rows as Python integers."""
    rows, samples = left.shape
    whole = samples // EXACT_PRODUCTS * EXACT_PRODUCTS
    shape = rows, -1, EXACT_PRODUCTS
    parts = np.vecdot(left[:, :whole].reshape(shape), right[:, :whole].reshape(shape))
    rest = np.vecdot(left[:, whole:], right[:, whole:])
    # A part may be 2**53: more than 2**9 of them are added up as Python's integers.
    exact = parts.astype(np.int64)
    if exact.shape[1] <= 1 << 9:
        totals = exact.sum(axis=1).tolist()
    else:
        totals = [sum(row) for row in exact.tolist()]
    return [total + int(more) for total, more in zip(totals, rest.tolist(), strict=True)]


def offset_steps(codes: float) -> int:
    """An offset in codes as a whole number of 2**-OFFSET_BITS codes."""
    return round(math.ldexp(codes, OFFSET_BITS))


def work_of(sums: Moments, voltage_offset: int, current_offset: int) -> int:
    """Σ(u − offset)(i − offset) in steps of 2**-WORK_BITS code²; offsets from `offset_steps`."""
    return (
        (sums.product << (2 * OFFSET_BITS))
        - ((voltage_offset * sums.current + current_offset * sums.voltage) << OFFSET_BITS)
        + ((sums.samples * voltage_offset * current_offset) << TAP_BITS)
    )


def mean_power_w(work: int, samples: int, gain_w: float) -> float:
    """Work spread over its samples; the gain in watts a code²."""
    return math.ldexp(work / samples, -WORK_BITS) * gain_w


@dataclass(frozen=True, slots=True)
class ReactiveWork:
    """What a window saw of a segment (`work`, var · samples), and what its unseen end may be."""

    work: float = 0.0
    end_var: float = 0.0
    end_samples: float = 0.0


class PhaseEnergy:
    """What one phase has registered, kept down to the last remainder."""

    __slots__ = (
        "_active_divisor",
        "_active_rest",
        "_ahead",
        "_last_end",
        "_reactive_divisor",
        "_reactive_rest",
    )

    def __init__(self, sampling_rate_hz: int) -> None:
        samples_per_hour = sampling_rate_hz * SECONDS_PER_HOUR
        self._active_divisor = samples_per_hour << (WORK_BITS + GAIN_BITS)
        self._active_rest = 0
        self._reactive_divisor = samples_per_hour << REACTIVE_BITS
        self._reactive_rest = 0
        self._last_end = 0.0
        # Work booked too early, of import (False) and export (True), never negative.
        self._ahead = {False: 0, True: 0}

    def book_active(self, work: int, gain_w: float) -> int:
        """Whole nWh of this work (`work_of`), signed, and of what was left over before."""
        nano_work = work * round(math.ldexp(gain_w, GAIN_BITS)) * NANO
        whole, self._active_rest = divmod(self._active_rest + nano_work, self._active_divisor)
        return whole

    def book_reactive(self, seen: ReactiveWork, again: float) -> int:
        """Whole nvarh of this work, signed, and of what was left over.

        The end of a segment is booked before a window has seen it. `again` is how many samples of
        the end before this window has seen now: what they were booked with is taken off, only ever
        from energy of the same direction, so that nothing runs backwards.
        """
        self._ahead[self._last_end < 0] += abs(_steps(self._last_end * again))
        end_var = seen.end_var if seen.end_var * seen.work > 0 else 0.0
        work = _steps(seen.work + end_var * seen.end_samples)
        self._last_end = end_var
        export = work < 0
        taken_off = min(abs(work), self._ahead[export])
        self._ahead[export] -= taken_off
        nano_work = (work + taken_off if export else work - taken_off) * NANO
        whole, self._reactive_rest = divmod(self._reactive_rest + nano_work, self._reactive_divisor)
        return whole


def _steps(work: float) -> int:
    """In steps of 2**-REACTIVE_BITS var · samples."""
    return round(math.ldexp(work, REACTIVE_BITS))
