"""Energy as integers: every sample counted once, the remainder carried. Knows nothing of cycles."""

import math
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class DelayTaps:
    """Three taps that delay the voltage to where its current was sampled (Lagrange, order two).

    Weights of the voltage sample before, at and after the current's; they add up to 2**TAP_BITS.
    Good to 1e-5 rad of the fundamental at 8 kHz within the one sample that is allowed.
    """

    before: int
    at: int
    after: int

    @classmethod
    def of(cls, delay_samples: float) -> "DelayTaps":
        """Raises ValueError beyond one sample, where the three taps would no longer do."""
        if abs(delay_samples) > 1:
            raise ValueError(f"a current delay of {delay_samples:.3f} samples is more than one")
        before = round(math.ldexp(delay_samples * (delay_samples + 1) / 2, TAP_BITS))
        after = round(math.ldexp(delay_samples * (delay_samples - 1) / 2, TAP_BITS))
        return cls(before, (1 << TAP_BITS) - before - after, after)


@dataclass(frozen=True, slots=True)
class Moments:
    """One phase's sums over a segment, scaled by 2**TAP_BITS: Σu·i, Σu and Σi with u delayed."""

    samples: int
    product: int
    voltage: int
    current: int


def moments(
    voltage: Codes,
    current: Codes,
    before: tuple[Codes, Codes] | None,
    taps: tuple[DelayTaps, ...],
) -> list[Moments]:
    """Sums of codes [phases, n], exact at any length.

    `before` holds the last sample of voltage and current (each [phases]) ahead of these, or None
    where the stream begins. A delayed product needs two neighbouring samples: it is booked in the
    segment where the later one lies, so each pair counts once however the stream is cut.
    """
    samples = voltage.shape[1]
    u_codes, i_codes = (
        voltage.astype(np.float64, copy=False),
        current.astype(np.float64, copy=False),
    )
    products = _dot(u_codes, i_codes)
    # Of 24-bit codes 2**30 add up exactly.
    ones = _ones(samples)
    voltage_sums = [int(total) for total in (u_codes @ ones).tolist()]
    current_sums = [int(total) for total in (i_codes @ ones).tolist()]
    found = []
    for phase, tap in enumerate(taps):
        product = products[phase] << TAP_BITS
        voltage_sum = voltage_sums[phase] << TAP_BITS
        current_sum = current_sums[phase] << TAP_BITS
        if tap.before or tap.after:
            u, i = u_codes[phase], i_codes[phase]
            u_before, i_before = (
                (int(before[0][phase]), int(before[1][phase])) if before else (int(u[0]), int(i[0]))
            )
            early = _dot(u[None, :-1], i[None, 1:])[0] + u_before * int(i[0])
            late = _dot(u[None, 1:], i[None, :-1])[0] + int(u[0]) * i_before
            product += tap.before * (early - products[phase]) + tap.after * (late - products[phase])
            voltage_sum += tap.before * (u_before - int(u[-1]))
            current_sum += tap.after * (i_before - int(i[-1]))
        found.append(Moments(samples, product, voltage_sum, current_sum))
    return found


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


class PhaseEnergy:
    """What one phase has registered, kept down to the last remainder."""

    __slots__ = ("_active_divisor", "_active_rest", "_reactive_divisor", "_reactive_rest")

    def __init__(self, sampling_rate_hz: int) -> None:
        samples_per_hour = sampling_rate_hz * SECONDS_PER_HOUR
        self._active_divisor = samples_per_hour << (WORK_BITS + GAIN_BITS)
        self._active_rest = 0
        self._reactive_divisor = samples_per_hour << REACTIVE_BITS
        self._reactive_rest = 0

    def book_active(self, work: int, gain_w: float) -> int:
        """Whole nWh of this work (`work_of`), signed, and of what was left over before."""
        nano_work = work * round(math.ldexp(gain_w, GAIN_BITS)) * NANO
        whole, self._active_rest = divmod(self._active_rest + nano_work, self._active_divisor)
        return whole

    def book_reactive(self, power_var: float, samples: int) -> int:
        """Whole nvarh of this power over so many samples, signed, and of what was left over."""
        nano_work = round(math.ldexp(power_var, REACTIVE_BITS)) * samples * NANO
        whole, self._reactive_rest = divmod(self._reactive_rest + nano_work, self._reactive_divisor)
        return whole
