"""Finds a calibration from recordings of known loads. Knows no file and no clock.

It reads phasors straight from the codes, by a window of its own and not through the engine, so that
a fault of the engine cannot hide in the calibration.
"""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .block import CODE_MAX, CODE_MIN, SampleBlock
from .calibration import Calibration, PhaseCalibration

# Blackman-Harris, four terms: side lobes at -92 dB from four bins on, so that ten cycles keep the
# fundamental, its mirror image, DC and harmonics apart.
WINDOW_TERMS = (0.35875, -0.48829, 0.14128, -0.01168)
LEAST_CYCLES = 10
# A temperature differs from another, and a current heats differently, from here on.
DISTINCT_K = 5.0
DISTINCT_CURRENT = 2.0
# Self-heating is known from the shunt's data sheet to about this share; readings to about this one.
HEATING_SHARE = 0.3
READING_SHARE = 2e-5
# Shunts change by 325 ppm/K and heat themselves: one point may be so far off the others before a
# calibration, and so far after it. More is not tolerance but a mistake.
LARGEST_SPREAD_PERCENT = 5.0
LARGEST_RESIDUAL_PERCENT = 1.0
# A delay turns all points' currents alike: one that is left with more has another power factor.
LARGEST_RESIDUAL_DEG = 0.1
# Filters, shunts and converters that sample in turn stay far below; so does the engine's 5 ms.
LARGEST_DELAY_DEG = 10.0
ROUNDS = 12


class CalibrationError(ValueError):
    """Recordings and loads from which no calibration follows; the text names point and phase."""


@dataclass(frozen=True, slots=True)
class KnownLoad:
    """What the reference says of one recording, each phase alike: a sinusoidal load that stands.

    `lag_rad`: the current's angle behind its voltage, π/3 at a power factor of 0.5 inductive. The
    shunts have had time to reach the temperature at which the load holds them.
    """

    voltage_v: float
    current_a: float
    lag_rad: float

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not math.isfinite(getattr(self, name)):
                raise CalibrationError(f"{name} must be finite")
        if self.voltage_v <= 0 or self.current_a <= 0:
            raise CalibrationError(
                f"a known load has voltage and current, not {self.voltage_v} V, {self.current_a} A"
            )


@dataclass(frozen=True, slots=True)
class Reading:
    """One phase's channels as a recording shows them: complex RMS phasors and means, in codes."""

    frequency_hz: float
    voltage: complex
    current: complex
    voltage_mean: float
    current_mean: float
    shunt_temperature_c: float


@dataclass(frozen=True, slots=True)
class Residual:
    """What is still wrong in one point after calibration."""

    voltage_percent: float
    current_percent: float
    angle_deg: float


@dataclass(frozen=True, slots=True)
class Solution:
    """One phase's calibration and what it leaves: a residual for each point, in their order."""

    calibration: PhaseCalibration
    residuals: tuple[Residual, ...]

    @property
    def worst(self) -> Residual:
        """The largest of each kind, without sign."""
        return Residual(
            max(abs(residual.voltage_percent) for residual in self.residuals),
            max(abs(residual.current_percent) for residual in self.residuals),
            max(abs(residual.angle_deg) for residual in self.residuals),
        )


def read(block: SampleBlock, nominal_frequency_hz: float) -> tuple[Reading, ...]:
    """Readings of all phases from one recording of at least LEAST_CYCLES cycles.

    Raises CalibrationError where it is too short, clipped, or has no voltage.
    """
    least = math.ceil(2 * LEAST_CYCLES * block.sampling_rate_hz / nominal_frequency_hz)
    if block.samples < least:
        raise CalibrationError(f"{block.samples} samples; at least {least} are needed")
    readings = []
    for phase in range(block.phases):
        channels = block.voltage[phase], block.current[phase]
        for name, codes in zip(("voltage", "current"), channels, strict=True):
            if codes.min() <= CODE_MIN or codes.max() >= CODE_MAX:
                raise CalibrationError(f"L{phase + 1}: the converter of the {name} is clipped")
        voltage, current = (codes.astype(np.float64) for codes in channels)
        frequency_hz = _frequency_hz(voltage, block.sampling_rate_hz, nominal_frequency_hz)
        step = 2 * math.pi * frequency_hz / block.sampling_rate_hz
        u_mean, u_phasor = _phasor(voltage, step)
        i_mean, i_phasor = _phasor(current, step)
        if not abs(u_phasor) or not abs(i_phasor):
            raise CalibrationError(f"L{phase + 1}: there is no voltage or no current")
        readings.append(
            Reading(frequency_hz, u_phasor, i_phasor, u_mean, i_mean, block.shunt_temperature_c)
        )
    return tuple(readings)


def solve(
    loads: Sequence[KnownLoad],
    readings: Sequence[Sequence[Reading]],
    nominal: Calibration,
) -> tuple[Solution, ...]:
    """Calibration of every phase from `readings` [points][phases] of `loads` [points].

    Gains, offsets and delay come from one point on. The shunt's α needs points at two temperatures,
    β at three; without them `nominal` has the say. Where `nominal` has self-heating, currents
    twice apart refine it, and its data sheet keeps weight. An inverted shunt gets a negative gain.
    Raises CalibrationError where a point does not fit the others, and for a delay that no front-end
    has.
    """
    if not loads or len(loads) != len(readings):
        raise CalibrationError(f"{len(readings)} recordings of {len(loads)} known loads")
    return tuple(
        _solve_phase(f"L{number + 1}", loads, [point[number] for point in readings], phase)
        for number, phase in enumerate(nominal.phases)
    )


def _solve_phase(
    name: str, loads: Sequence[KnownLoad], readings: list[Reading], nominal: PhaseCalibration
) -> Solution:
    angles = [
        cmath.phase(reading.voltage * reading.current.conjugate() * cmath.rect(1, -load.lag_rad))
        for load, reading in zip(loads, readings, strict=True)
    ]
    inverted = [abs(angle) > math.pi / 2 for angle in angles]
    if any(inverted) != all(inverted):
        wrong = 1 + inverted.index(2 * sum(inverted) <= len(inverted))
        raise CalibrationError(
            f"{name}, point {wrong}: the current's direction is not the others'; "
            "are its power factor and side what they are said to be?"
        )
    if inverted[0]:
        angles = [angle - math.copysign(math.pi, angle) for angle in angles]
    turns = [2 * math.pi * reading.frequency_hz for reading in readings]
    for kind, ratios in (
        ("voltage", [abs(r.voltage) / at.voltage_v for at, r in zip(loads, readings, strict=True)]),
        ("current", [abs(r.current) / at.current_a for at, r in zip(loads, readings, strict=True)]),
    ):
        _check(
            name,
            kind,
            [100 * (it / float(np.median(ratios)) - 1) for it in ratios],
            LARGEST_SPREAD_PERCENT,
        )
    solved = _solve_current(loads, readings, nominal)
    near = _near_reference(readings, nominal.reference_temperature_c)
    solved = replace(
        solved,
        voltage_gain_v=float(
            np.mean([loads[at].voltage_v / abs(readings[at].voltage) for at in near])
        ),
        current_gain_a=-solved.current_gain_a if inverted[0] else solved.current_gain_a,
        voltage_offset_codes=float(np.mean([reading.voltage_mean for reading in readings])),
        current_offset_codes=float(np.mean([reading.current_mean for reading in readings])),
        current_delay_s=float(np.dot(angles, turns) / np.dot(turns, turns)),
    )
    residuals = tuple(
        _residual(load, reading, angle, solved)
        for load, reading, angle in zip(loads, readings, angles, strict=True)
    )
    for kind, percents in (
        ("voltage", [residual.voltage_percent for residual in residuals]),
        ("current", [residual.current_percent for residual in residuals]),
    ):
        _check(name, kind, percents, LARGEST_RESIDUAL_PERCENT)
    _check_angles(name, [math.degrees(angle) for angle in angles], residuals)
    _check_delay(name, math.degrees(float(np.median(angles))), solved.current_delay_s)
    return Solution(solved, residuals)


def _check(name: str, kind: str, percents: list[float], largest_percent: float) -> None:
    worst = max(percents, key=abs)
    if abs(worst) > largest_percent:
        raise CalibrationError(
            f"{name}, point {1 + percents.index(worst)}: its {kind} is {worst:+.2f} % off what the "
            "other points say; is the load what it is said to be?"
        )


def _check_angles(name: str, angles_deg: list[float], residuals: Sequence[Residual]) -> None:
    """All points that lie off the middle one are named: of two, nobody knows which is wrong."""
    if max(abs(residual.angle_deg) for residual in residuals) <= LARGEST_RESIDUAL_DEG:
        return
    middle_deg = float(np.median(angles_deg))
    off = {
        number: angle_deg - middle_deg
        for number, angle_deg in enumerate(angles_deg, start=1)
        if abs(angle_deg - middle_deg) > LARGEST_RESIDUAL_DEG
    }
    points = " and ".join(map(str, off))
    angles = " and ".join(f"{angle_deg:+.2f}°" for angle_deg in off.values())
    raise CalibrationError(
        f"{name}, point{'s' * (len(off) > 1)} {points}: the current lies {angles} off the middle "
        "of all points; are power factor and side what they are said to be?"
    )


def _check_delay(name: str, angle_deg: float, delay_s: float) -> None:
    if abs(angle_deg) > LARGEST_DELAY_DEG:
        raise CalibrationError(
            f"{name}: the current lies {angle_deg:+.2f}° ({1e6 * delay_s:+.0f} µs) off where its "
            f"load says; no front-end delays it by more than {LARGEST_DELAY_DEG:g}°: are power "
            "factor and side, and each phase's channels, what they are said to be?"
        )


def _near_reference(readings: list[Reading], reference_c: float) -> list[int]:
    """The points nearest the reference temperature: the voltage channel drifts, uncorrected."""
    distances = [abs(reading.shunt_temperature_c - reference_c) for reading in readings]
    return [at for at, far in enumerate(distances) if far <= min(distances) + DISTINCT_K]


def _solve_current(
    loads: Sequence[KnownLoad], readings: list[Reading], nominal: PhaseCalibration
) -> PhaseCalibration:
    """Gauss and Newton on the current's codes an ampere: s (1 + α ΔT + β ΔT²), ΔT = T + k I² − T₀.

    The unknowns are scaled so that all are of about one: gain, α by 100 K, β by (100 K)², and k by
    what the data sheet says.
    """
    currents = np.array([load.current_a for load in loads])
    seen = np.array([abs(reading.current) for reading in readings]) / currents
    warmth = np.array([reading.shunt_temperature_c for reading in readings])
    warmth -= nominal.reference_temperature_c
    heating = nominal.self_heating_k_per_a2
    free = _free(warmth, currents, heating)
    alpha, beta, share = nominal.shunt_alpha_per_k, nominal.shunt_beta_per_k2, 1.0
    scale = float(seen.mean())
    for _ in range(ROUNDS):
        rise = warmth + share * heating * currents**2
        resistance = 1 + rise * (alpha + rise * beta)
        slope = alpha + 2 * beta * rise
        columns = np.stack(
            (resistance, rise / 100, (rise / 100) ** 2, slope * heating * currents**2), axis=1
        )
        rows = np.vstack((columns / READING_SHARE, (0, 0, 0, 1 / HEATING_SHARE)))
        misses = np.append((seen / scale - resistance) / READING_SHARE, (1 - share) / HEATING_SHARE)
        step = np.zeros(4)
        step[free] = np.linalg.lstsq(rows[:, free], misses)[0]
        scale *= 1 + float(step[0])
        alpha += float(step[1]) / 100
        beta += float(step[2]) / 1e4
        # A shunt of nearly no temperature coefficient says next to nothing of its heating.
        share = min(max(share + float(step[3]), 1 - 3 * HEATING_SHARE), 1 + 3 * HEATING_SHARE)
    return replace(
        nominal,
        current_gain_a=1 / scale,
        shunt_alpha_per_k=alpha,
        shunt_beta_per_k2=beta,
        self_heating_k_per_a2=share * heating,
    )


def _free(
    warmth: NDArray[np.float64], currents: NDArray[np.float64], heating: float
) -> NDArray[np.bool_]:
    """Which of gain, α, β and self-heating the points can tell."""
    apart = np.diff(np.sort(warmth)) > DISTINCT_K
    temperatures = 1 + int(apart.sum())
    heats = heating > 0 and currents.max() >= DISTINCT_CURRENT * currents.min()
    return np.array((True, temperatures >= 2, temperatures >= 3, heats))


def _residual(
    load: KnownLoad, reading: Reading, angle: float, solved: PhaseCalibration
) -> Residual:
    temperature_c = reading.shunt_temperature_c + solved.self_heating_k_per_a2 * load.current_a**2
    voltage_v = abs(reading.voltage) * solved.voltage_gain_v
    current_a = abs(reading.current) * abs(solved.current_gain_at(temperature_c))
    late = 2 * math.pi * reading.frequency_hz * solved.current_delay_s
    return Residual(
        voltage_percent=100 * (voltage_v / load.voltage_v - 1),
        current_percent=100 * (current_a / load.current_a - 1),
        angle_deg=math.degrees(angle - late),
    )


def _frequency_hz(codes: NDArray[np.float64], rate_hz: int, nominal_hz: float) -> float:
    """By the turn of the phasor between two stretches, ever longer, so that no turn is missed."""
    frequency_hz = nominal_hz
    samples = math.ceil(LEAST_CYCLES * rate_hz / nominal_hz)
    while 2 * samples <= codes.size:
        step = 2 * math.pi * frequency_hz / rate_hz
        _, early = _phasor(codes[:samples], step)
        _, late = _phasor(codes[samples : 2 * samples], step)
        drift = cmath.phase(late * early.conjugate() * cmath.rect(1, -step * samples))
        frequency_hz += drift * rate_hz / (2 * math.pi * samples)
        samples = (
            min(2 * samples, codes.size // 2) if 2 * samples < codes.size // 2 * 2 else codes.size
        )
    return frequency_hz


def _phasor(codes: NDArray[np.float64], step: float) -> tuple[float, complex]:
    """Mean, and complex RMS of the sine that turns by `step` (rad) a sample."""
    places = np.arange(codes.size)
    cosine = np.cos(2 * math.pi / codes.size * (places + 0.5))
    # Its double and triple angle from the cosine alone: a cosine is dear.
    whole, single, double, triple = WINDOW_TERMS
    window = (
        whole
        - double
        + cosine * (single - 3 * triple + cosine * (2 * double + cosine * (4 * triple)))
    )
    mean = float(window @ codes / window.sum())
    weighted = window * (codes - mean)
    phasor = complex(weighted @ np.cos(step * places), -(weighted @ np.sin(step * places)))
    return mean, math.sqrt(2) / float(window.sum()) * phasor
