"""What a test bench applies, and by closed formulas what that is. Must not know the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .limits import Factor, Quantity

UN_V = 230.0
REFERENCE_C = 23.0
# Where L1's voltage stands at sample 0: nowhere in particular.
START_RAD = 0.7
# Phase-fired currents have all odd harmonics; a converter's filter ends them somewhere.
HIGHEST_ORDER = 39
FIFTH_VOLTAGE, FIFTH_CURRENT = 0.10, 0.40


class Waveform(StrEnum):
    """Shapes of IEC 62053-21's and -22's tests of influence."""

    SINE = "sine"
    FIFTH = "5th harmonic"
    BURST = "sub-harmonics"
    FIRED = "odd harmonics"
    HALF_WAVE = "half-wave DC"


POWER_OF_SINE: dict[Waveform, float] = {
    Waveform.SINE: 1.0,
    Waveform.FIFTH: 1 + FIFTH_VOLTAGE * FIFTH_CURRENT,
    Waveform.BURST: 0.5,
    Waveform.FIRED: 0.5,
    Waveform.HALF_WAVE: 0.5,
}
"""Active power at power factor 1 over that of the sine from which the current is cut or to which
the 5th is added, in phase: of two of four cycles, of the second half of each half wave (∫ sin² from
π/2 to π is half of that from 0 to π), of one half wave of two, one half."""

SQUARE_OF_SINE: dict[Waveform, float] = {
    **POWER_OF_SINE,
    Waveform.FIFTH: 1 + FIFTH_CURRENT**2,
}
"""Mean square of the current over that of the sine: cut from it, it shrinks as the power does."""


@dataclass(frozen=True, slots=True)
class Load:
    """One stationary load. `current_a` is the RMS of its sine, in every phase or in `only`'s alone.

    `voltages` are shares of Un, L1 first, one for each phase; a phase without voltage has no
    current. `factor` is the power factor of active, sin φ of reactive energy; `exported` turns the
    current round. `number` tells apart what is measured more than once, `least_s` is how long to
    measure at least, where the converter has noise.
    """

    quantity: Quantity
    current_a: float
    factor: Factor
    voltages: tuple[float, ...]
    frequency_hz: float
    only: int | None = None
    exported: bool = False
    reversed_order: bool = False
    temperature_c: float = REFERENCE_C
    waveform: Waveform = Waveform.SINE
    number: int = 0
    least_s: int = 1

    @property
    def lag_rad(self) -> float:
        """The current's angle behind its voltage."""
        value, side = self.factor
        angle = math.acos(value) if self.quantity == "active" else math.asin(value)
        return (-angle if side == "cap" else angle) + (math.pi if self.exported else 0.0)

    def current_of(self, phase: int) -> float:
        """RMS of this phase's sine (A)."""
        loaded = self.voltages[phase] > 0 and self.only in (None, phase)
        return self.current_a if loaded else 0.0

    def square_of(self, phase: int) -> float:
        """Mean square of this phase's current (A²), which heats its shunt."""
        return self.current_of(phase) ** 2 * SQUARE_OF_SINE[self.waveform]

    @property
    def power(self) -> float:
        """The true power (W, or var of the fundamental), all phases, exported negative."""
        apparent_va = sum(
            UN_V * voltage * self.current_of(phase) for phase, voltage in enumerate(self.voltages)
        )
        if self.quantity == "reactive":
            return apparent_va * math.sin(self.lag_rad)
        return apparent_va * math.cos(self.lag_rad) * POWER_OF_SINE[self.waveform]

    @property
    def period_s(self) -> int:
        """Whole seconds that hold whole cycles, and whole fours of them where there are bursts.

        Over such a time no ripple of twice the frequency is left in an energy.
        """
        cycles = Fraction(self.frequency_hz).limit_denominator(1000)
        if self.waveform is Waveform.BURST:
            cycles /= 4
        return cycles.denominator


@dataclass(frozen=True, slots=True)
class Generator:
    """Makes a load's waveforms, a second at a time."""

    load: Load
    sampling_rate_hz: int

    def waves(
        self, phase: int, second: int, current_delay_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Volts and amperes [n] of one phase; the current as a filter that delays it passes it."""
        load = self.load
        way = -1 if load.reversed_order else 1
        turn = 2 * math.pi * load.frequency_hz
        start = START_RAD - way * phase * 2 * math.pi / 3 + turn * second
        late = start - turn * current_delay_s
        peak_v = math.sqrt(2) * UN_V * load.voltages[phase]
        peak_a = math.sqrt(2) * load.current_of(phase)
        voltage = self._sine(1, peak_v, start)
        current = self._sine(1, peak_a, late - load.lag_rad)
        match load.waveform:
            case Waveform.FIFTH:
                voltage += self._sine(5, FIFTH_VOLTAGE * peak_v, 5 * start)
                current += self._sine(5, FIFTH_CURRENT * peak_a, 5 * late)
            case Waveform.HALF_WAVE:
                np.maximum(current, 0.0, out=current)
            case Waveform.BURST:
                places = np.arange(self.sampling_rate_hz) / self.sampling_rate_hz
                current *= (turn * places + late) / (2 * math.pi) % 4 < 2
            case Waveform.FIRED:
                current = self._fired(peak_a, late)
            case Waveform.SINE:
                pass
        return voltage, current

    def _sine(self, order: int, peak: float, start: float) -> NDArray[np.float64]:
        sine, cosine = _turning(self.load.frequency_hz * order, self.sampling_rate_hz)
        return peak * math.cos(start) * sine + peak * math.sin(start) * cosine

    def _fired(self, peak_a: float, start: float) -> NDArray[np.float64]:
        """The Fourier series of a sine that begins in the middle of each half wave.

        Cut off at HIGHEST_ORDER: a jump between two samples is nothing a converter gives, and has
        no share in the power under a sinusoidal voltage.
        """
        current = np.zeros(self.sampling_rate_hz)
        for order in range(1, HIGHEST_ORDER + 1, 2):
            if order * self.load.frequency_hz < 0.45 * self.sampling_rate_hz:
                cosine, sine = fired_coefficients(order)
                angle = order * start
                current += self._sine(order, peak_a * sine, angle)
                current += self._sine(order, peak_a * cosine, angle + math.pi / 2)
        return current


def fired_coefficients(order: int) -> tuple[float, float]:
    """Cosine and sine coefficient of an odd order of sin x on (π/2, π) and (3π/2, 2π).

    2/π times ∫ sin x cos kx and ∫ sin x sin kx from π/2 to π, k odd.
    """
    if order == 1:
        return -1 / math.pi, 0.5
    more, less = order + 1, 1 - order

    def cosine(x: float) -> float:
        return -(math.cos(more * x) / more + math.cos(less * x) / less) / 2

    def sine(x: float) -> float:
        return (math.sin(less * x) / less - math.sin(more * x) / more) / 2

    half, whole = math.pi / 2, math.pi
    return (
        2 / math.pi * (cosine(whole) - cosine(half)),
        2 / math.pi * (sine(whole) - sine(half)),
    )


@lru_cache(maxsize=64)
def _turning(
    frequency_hz: float, sampling_rate_hz: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine of a frequency over one second."""
    angles = 2 * math.pi * frequency_hz / sampling_rate_hz * np.arange(sampling_rate_hz)
    return np.sin(angles), np.cos(angles)
