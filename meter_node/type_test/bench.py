"""The test bench: applies loads to a front-end and an engine, and compares. Must not know limits.

Two stages. *Arithmetic* is what the software alone does: the converter has no noise and every
constant of the front-end is known exactly, but it is the same converter, 24 bits over the whole
range, with offsets, a delay between the channels and a shunt that temperature changes. So the steps
of its codes (22 µA) are part of that error, as the engine cannot be handed finer ones.
*Front-end* is a specimen within its data sheets' tolerances, with noise and a crystal that is a
little off, calibrated as a laboratory would, against a reference that is itself a little off.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from meter_node.meter.variant import Variant
from meter_node.metrology import Calibration, Engine, Measurement, SampleBlock
from meter_node.metrology.calibrate import KnownLoad, Solution, read, solve
from meter_node.sources.front_end import (
    DATA_SHEET,
    DATA_SHEET_CRYSTAL,
    DATA_SHEET_TOLERANCE,
    HG324_TOLERANCE,
    Crystal,
    FrontEnd,
)

from .limits import HALF, ONE, STARTING_SHARE, Factor
from .loads import REFERENCE_C, UN_V, Generator, Load

Stage = Literal["arithmetic", "front_end"]

SAMPLING_RATE_HZ = 8000
NWH_PER_J = 1e9 / 3600
# Filters, gates and the mean of the voltage need a second before the one that counts.
SETTLING_S = 1
# As long as the noise of the converter needs to fall below this, and at most so long.
NOISE_PERCENT = 0.012
LONGEST_S = 30
# The laboratory's reference is of class 0.02, as MTE's PRS 600.3 (PTS 400.3 PLUS operation manual
# R02, p. 236): voltage and current are each half of that off, and its angle, whose limit was not
# seen, by what makes as much of the power at a power factor of 0.5.
REFERENCE_POWER_SHARE = 2e-4
REFERENCE_SHARE = REFERENCE_POWER_SHARE / 2
REFERENCE_RAD = REFERENCE_POWER_SHARE / math.tan(math.acos(0.5))
CALIBRATION_S = 10
COLD_C, HOT_C = -40.0, 70.0

RIGHT = Crystal()

# The arithmetic's front-end: everything that has to be corrected is there, and known.
EXACT = replace(
    DATA_SHEET,
    shunt_alpha_per_k=DATA_SHEET_TOLERANCE.shunt_alpha_per_k,
    voltage_offset_codes=1200.0,
    current_offset_codes=-800.0,
    current_delay_s=20e-6,
    noise_codes=0.0,
    voltage_noise_codes=0.0,
)


@dataclass(frozen=True, slots=True)
class Bench:
    """A meter on the bench: front-ends, one a phase, and the calibration its engine works with.

    All are sampled by one crystal. The engine takes the rate for the nominal one, so what the
    crystal is off is in its seconds, and in its energies.
    """

    variant: Variant
    nominal_frequency_hz: float
    front_ends: tuple[FrontEnd, ...]
    calibration: Calibration
    seed: int
    sampling_rate_hz: int = SAMPLING_RATE_HZ
    crystal: Crystal = RIGHT
    _measured: dict[Load, float] = field(default_factory=dict, repr=False, compare=False)

    def error_percent(self, load: Load) -> float:
        """The meter's error over whole cycles against the closed formula; measured once."""
        if load not in self._measured:
            seconds = self.seconds(load)
            counted = list(self.play(load, SETTLING_S + seconds))[SETTLING_S:]
            if load.quantity == "active":
                energy = sum(second.active_energy_nwh for second in counted)
            else:
                energy = sum(second.reactive_energy_nvarh for second in counted)
            self._measured[load] = 100 * (energy / self.true_energy(load, seconds) - 1)
        return self._measured[load]

    def true_energy(self, load: Load, seconds: float) -> float:
        """In nWh or nvarh, over so many seconds by the meter's crystal.

        A crystal that is off by ppm ends a measurement by as much of it before or after the last
        whole cycle; what that leaves of the ripple is ppm too.
        """
        return load.power * seconds / (1 + self._fast(load)) * NWH_PER_J

    def seconds(self, load: Load) -> int:
        """How long to measure, in whole periods: the weaker the load, the longer, if noise asks."""
        noise_a = max(
            front_end.noise_codes * phase.current_gain_a
            for front_end, phase in zip(self.front_ends, self.calibration.phases, strict=True)
        )
        loaded = sum(load.current_of(phase) > 0 for phase in range(self.variant.phases))
        working_a = load.current_a * load.factor[0] * NOISE_PERCENT / 100
        needed_s = (noise_a / working_a) ** 2 / (self.sampling_rate_hz * max(loaded, 1))
        if needed_s:
            needed_s = max(min(needed_s, LONGEST_S), load.least_s)
        periods = math.ceil(needed_s / load.period_s)
        return max(periods, 1) * load.period_s

    def play(self, load: Load, seconds: int) -> Iterator[Measurement]:
        """The engine's measurements of so many seconds of this load."""
        engine = Engine(
            self.calibration,
            self.variant.phases,
            self.sampling_rate_hz,
            self.nominal_frequency_hz,
            starting_current_a=STARTING_SHARE * self.variant.base_current_a,
            # Energies alone are compared; the spectrum's higher orders take no part in them.
            highest_order=1,
        )
        chance = self._chance(load)
        for second in range(seconds):
            yield from engine.push(self._block(load, second, chance))

    def record(self, load: Load, seconds: int) -> SampleBlock:
        """The same as one recording, for a calibration."""
        chance = self._chance(load)
        blocks = [self._block(load, second, chance) for second in range(seconds)]
        return replace(
            blocks[0],
            voltage=np.concatenate([block.voltage for block in blocks], axis=1),
            current=np.concatenate([block.current for block in blocks], axis=1),
        )

    def _fast(self, load: Load) -> float:
        return self.crystal.fast_at(load.temperature_c)

    def _chance(self, load: Load) -> np.random.Generator:
        # The same load has the same noise whenever and in whatever order it is applied.
        return np.random.Generator(np.random.SFC64((self.seed, zlib.crc32(repr(load).encode()))))

    def _block(self, load: Load, second: int, chance: np.random.Generator) -> SampleBlock:
        phases, rate_hz = self.variant.phases, self.sampling_rate_hz
        voltage: NDArray[np.int32] = np.empty((phases, rate_hz), dtype=np.int32)
        current: NDArray[np.int32] = np.empty((phases, rate_hz), dtype=np.int32)
        # By a crystal that is fast the mains are slow, and a delay is longer.
        lasts = 1 + self._fast(load)
        generator = Generator(replace(load, frequency_hz=load.frequency_hz / lasts), rate_hz)
        for phase, front_end in enumerate(self.front_ends):
            voltage_v, current_a = generator.waves(phase, second, front_end.current_delay_s * lasts)
            heating_k = front_end.self_heating_k_per_a2 * load.square_of(phase)
            voltage[phase], current[phase] = front_end.convert(
                voltage_v,
                current_a,
                load.temperature_c + heating_k,
                chance,
                load.temperature_c,
            )
        return SampleBlock(
            voltage,
            current,
            rate_hz,
            second * rate_hz,
            second * 10**9,
            load.temperature_c + self.front_ends[0].sensor_error_k,
        )


def arithmetic(
    variant: Variant, nominal_frequency_hz: float, sampling_rate_hz: int = SAMPLING_RATE_HZ
) -> Bench:
    """The bench of the arithmetic alone."""
    return Bench(
        variant,
        nominal_frequency_hz,
        (EXACT,) * variant.phases,
        EXACT.calibration(variant.phases),
        seed=0,
        sampling_rate_hz=sampling_rate_hz,
    )


def front_end(
    variant: Variant,
    nominal_frequency_hz: float,
    sampling_rate_hz: int = SAMPLING_RATE_HZ,
    seed: int = 1,
) -> Bench:
    """The bench of a specimen within its tolerances, calibrated."""
    chance = np.random.default_rng(seed)
    uncalibrated = specimen(variant, nominal_frequency_hz, seed, chance)
    bench = replace(uncalibrated, sampling_rate_hz=sampling_rate_hz)
    solutions = calibrated(bench, chance)
    return replace(bench, calibration=Calibration(tuple(it.calibration for it in solutions)))


def specimen(
    variant: Variant, nominal_frequency_hz: float, seed: int, chance: np.random.Generator
) -> Bench:
    """The same before its calibration: as the data sheets say."""
    return Bench(
        variant,
        nominal_frequency_hz,
        tuple(DATA_SHEET.made(DATA_SHEET_TOLERANCE, chance) for _ in range(variant.phases)),
        DATA_SHEET.calibration(variant.phases),
        seed,
        crystal=DATA_SHEET_CRYSTAL.made(HG324_TOLERANCE, chance),
    )


def calibrated(bench: Bench, chance: np.random.Generator) -> tuple[Solution, ...]:
    """By a reference that is a little off, the same for all points as it would be."""
    variant = bench.variant
    base_a, maximum_a = variant.base_current_a, variant.maximum_current_a
    voltage_off, current_off, angle_off = chance.uniform(-1, 1, 3).tolist()
    points: tuple[tuple[float, Factor, float], ...] = (
        (base_a, ONE, REFERENCE_C),
        (base_a, HALF, REFERENCE_C),
        (maximum_a, ONE, REFERENCE_C),
        (base_a, ONE, COLD_C),
        (base_a, ONE, HOT_C),
    )
    known, readings = [], []
    for current_a, factor, temperature_c in points:
        load = Load(
            "active",
            current_a,
            factor,
            (1.0,) * variant.phases,
            bench.nominal_frequency_hz,
            temperature_c=temperature_c,
        )
        known.append(
            KnownLoad(
                UN_V * (1 + REFERENCE_SHARE * voltage_off),
                current_a * (1 + REFERENCE_SHARE * current_off),
                load.lag_rad + REFERENCE_RAD * angle_off,
            )
        )
        readings.append(read(bench.record(load, CALIBRATION_S), bench.nominal_frequency_hz))
    return solve(known, readings, bench.calibration)
