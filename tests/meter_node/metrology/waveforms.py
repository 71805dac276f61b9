"""Recordings whose true values are known by formula. Knows nothing of how the engine works."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import Calibration, Measurement, PhaseCalibration, SampleBlock

VOLTAGE_GAIN_V = 600 / 2**23
CURRENT_GAIN_A = 160 / 2**23
START_NS = 1_767_225_600 * 10**9  # 2026-01-01 00:00 UTC
NANO = 10**9


@dataclass(frozen=True)
class Harmonic:
    """A harmonic: `share` of the fundamental, `angle_rad` of its own."""

    order: int
    share: float
    angle_rad: float


def wave(
    rms: float,
    frequency_hz: float,
    angle_rad: float = 0.0,
    harmonics: Sequence[Harmonic] = (),
    *,
    seconds: float = 3,
    rate_hz: int = 8000,
    late_s: float = 0.0,
) -> NDArray[np.float64]:
    """√2 · rms · (sin(ωt + angle) + Σ share · sin(order · ωt + its angle)), t from `late_s` on."""
    turn = 2 * math.pi * frequency_hz * (np.arange(round(seconds * rate_hz)) / rate_hz + late_s)
    total = np.sin(turn + angle_rad)
    for item in harmonics:
        total += item.share * np.sin(item.order * turn + item.angle_rad)
    return math.sqrt(2) * rms * total


def calibration(phases: int = 1, **changes: float) -> Calibration:
    values = {"voltage_gain_v": VOLTAGE_GAIN_V, "current_gain_a": CURRENT_GAIN_A} | changes
    return Calibration((PhaseCalibration(**values),) * phases)


def block(
    voltages_v: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    currents_a: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    rate_hz: int = 8000,
    *,
    first_sample: int = 0,
    start_ns: int = START_NS,
    temperature_c: float = 23.0,
) -> SampleBlock:
    return SampleBlock(
        np.rint(np.array(voltages_v) / VOLTAGE_GAIN_V).astype(np.int32),
        np.rint(np.array(currents_a) / CURRENT_GAIN_A).astype(np.int32),
        rate_hz,
        first_sample,
        start_ns,
        temperature_c,
    )


def part(whole: SampleBlock, start: int, stop: int) -> SampleBlock:
    """Samples start…stop of a recording as a block of their own."""
    return SampleBlock(
        whole.voltage[:, start:stop],
        whole.current[:, start:stop],
        whole.sampling_rate_hz,
        whole.first_sample + start,
        whole.start_ns + start * NANO // whole.sampling_rate_hz,
        whole.shunt_temperature_c,
    )


def energy_sums(measurements: Sequence[Measurement], phase: int) -> tuple[int, int]:
    """Signed active (nWh) and reactive (nvarh) energy of one phase."""
    return (
        sum(m.phases[phase].active_energy_nwh for m in measurements),
        sum(m.phases[phase].reactive_energy_nvarh for m in measurements),
    )
