"""A meter's analogue front-end and converter as a model. Knows nothing of what it measures."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import Calibration, PhaseCalibration

CODE_LIMIT = 1 << 23


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far parts may be from what their data sheets say: the bounds of an even distribution.

    Shares where no unit is named. `voltage_drift_per_k` is that of divider and reference together,
    as seen by the voltage channel; the current channel's is within `shunt_alpha_per_k`.
    """

    shunt_ohm: float = 0.0
    shunt_alpha_per_k: float = 0.0
    shunt_beta_per_k2: float = 0.0
    voltage_division: float = 0.0
    voltage_drift_per_k: float = 0.0
    offset_codes: float = 0.0
    current_delay_s: float = 0.0
    self_heating: float = 0.0
    sensor_error_k: float = 0.0


@dataclass(frozen=True, slots=True)
class Crystal:
    """What a converter's clock comes from. The default is right to the last digit.

    `fast` is the share of its frequency by which it is too fast at `reference_temperature_c`; the
    others are the polynomial by which temperature moves that.
    """

    fast: float = 0.0
    linear_per_k: float = 0.0
    square_per_k2: float = 0.0
    cubic_per_k3: float = 0.0
    reference_temperature_c: float = 25.0

    def fast_at(self, temperature_c: float) -> float:
        """The share by which more samples are taken in a true second than were asked for."""
        rise_k = temperature_c - self.reference_temperature_c
        drift = self.linear_per_k + rise_k * (self.square_per_k2 + rise_k * self.cubic_per_k3)
        return self.fast + rise_k * drift

    def made(self, tolerance: float, chance: np.random.Generator) -> Self:
        """One specimen: its frequency somewhere within this share."""
        return replace(self, fast=self.fast + float(chance.uniform(-tolerance, tolerance)))


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Shunt and divider before a 24-bit converter; every phase alike.

    The default takes 156 A and 600 V peak: 85 A of a crest factor of 1.8, and 1.15 × 230 V with
    room for a lost neutral. Noise is RMS: `noise_codes` the current channel's, and the voltage's
    too unless `voltage_noise_codes` says otherwise. `current_delay_s` belongs to the filters before
    the converter: whoever makes the waveform delays its current by so much. `sensor_error_k` is
    what the shunt's sensor shows too much.
    """

    shunt_ohm: float = 120e-6
    shunt_alpha_per_k: float = 20e-6
    shunt_beta_per_k2: float = -0.4e-6
    reference_temperature_c: float = 23.0
    current_amplification: float = 32.0
    voltage_division: float = 1000.0
    reference_voltage_v: float = 0.6
    voltage_offset_codes: float = 1200.0
    current_offset_codes: float = -800.0
    noise_codes: float = 20.0
    voltage_noise_codes: float | None = None
    voltage_drift_per_k: float = 0.0
    current_delay_s: float = 0.0
    self_heating_k_per_a2: float = 0.0
    sensor_error_k: float = 0.0

    def calibration(self, phases: int) -> Calibration:
        """What the components' nominal values promise."""
        code_v = self.reference_voltage_v / CODE_LIMIT
        phase = PhaseCalibration(
            voltage_gain_v=code_v * self.voltage_division,
            current_gain_a=code_v / (self.current_amplification * self.shunt_ohm),
            voltage_offset_codes=self.voltage_offset_codes,
            current_offset_codes=self.current_offset_codes,
            current_delay_s=self.current_delay_s,
            shunt_alpha_per_k=self.shunt_alpha_per_k,
            shunt_beta_per_k2=self.shunt_beta_per_k2,
            reference_temperature_c=self.reference_temperature_c,
            self_heating_k_per_a2=self.self_heating_k_per_a2,
        )
        return Calibration((phase,) * phases)

    def made(self, tolerance: Tolerance, chance: np.random.Generator) -> Self:
        """One specimen: each part somewhere within its tolerance."""

        def within(bound: float) -> float:
            return float(chance.uniform(-bound, bound))

        return replace(
            self,
            shunt_ohm=self.shunt_ohm * (1 + within(tolerance.shunt_ohm)),
            shunt_alpha_per_k=self.shunt_alpha_per_k + within(tolerance.shunt_alpha_per_k),
            shunt_beta_per_k2=self.shunt_beta_per_k2 + within(tolerance.shunt_beta_per_k2),
            voltage_division=self.voltage_division * (1 + within(tolerance.voltage_division)),
            voltage_drift_per_k=self.voltage_drift_per_k + within(tolerance.voltage_drift_per_k),
            voltage_offset_codes=self.voltage_offset_codes + within(tolerance.offset_codes),
            current_offset_codes=self.current_offset_codes + within(tolerance.offset_codes),
            current_delay_s=self.current_delay_s + within(tolerance.current_delay_s),
            self_heating_k_per_a2=self.self_heating_k_per_a2 * (1 + within(tolerance.self_heating)),
            sensor_error_k=self.sensor_error_k + within(tolerance.sensor_error_k),
        )

    def convert(
        self,
        voltage_v: NDArray[np.float64],
        current_a: NDArray[np.float64],
        shunt_temperature_c: float,
        chance: np.random.Generator,
        board_temperature_c: float | None = None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Volts and amperes [phases, n] at the terminals to codes, clipped at 24 bits.

        `shunt_temperature_c` is the shunt's true one, its own heating included. Divider and
        reference are at `board_temperature_c`, where nothing is said at their reference.
        """
        per_v = CODE_LIMIT / (self.reference_voltage_v * self.voltage_division)
        if board_temperature_c is not None:
            rise_k = board_temperature_c - self.reference_temperature_c
            per_v *= 1 + self.voltage_drift_per_k * rise_k
        per_a = CODE_LIMIT / self.reference_voltage_v * self.current_amplification
        per_a *= self._shunt_ohm_at(shunt_temperature_c)
        voltage_noise = self.voltage_noise_codes
        if voltage_noise is None:
            voltage_noise = self.noise_codes
        return (
            _quantise(voltage_v * per_v, self.voltage_offset_codes, voltage_noise, chance),
            _quantise(current_a * per_a, self.current_offset_codes, self.noise_codes, chance),
        )

    def _shunt_ohm_at(self, temperature_c: float) -> float:
        rise_k = temperature_c - self.reference_temperature_c
        return self.shunt_ohm * (
            1 + self.shunt_alpha_per_k * rise_k + self.shunt_beta_per_k2 * rise_k**2
        )


def _quantise(
    codes: NDArray[np.float64],
    offset_codes: float,
    noise_codes: float,
    chance: np.random.Generator,
) -> NDArray[np.int32]:
    codes += offset_codes
    if noise_codes:
        codes += noise_codes * chance.standard_normal(codes.shape, dtype=np.float32)
    np.rint(codes, out=codes)
    np.clip(codes, -CODE_LIMIT, CODE_LIMIT - 1, out=codes)
    return codes.astype(np.int32)


# A real design, for the type test: a converter for each phase with its own reference, shunt,
# divider and sensor, and one crystal. What is cited was read in the data sheet or in a stored copy
# of it. Where parts drift, their worst cases are added.

# Converter TI ADS131M08 (SBAS950B, 8.3.3 and 8.3.4): 24 bits, ±1.2 V over the gain with 1.25 V at
# REFIN. Noise of the family at 8 kSPS, RMS at the input (ADS131M04-Q1, SBASA13A, table 7-1): 7.56
# µV at a gain of 1; of a gain of 16 only the row of 0.25 kSPS was seen, 0.64 µV, and a gain of 8
# has 3.82/0.95 times as much at 8 kSPS as there. That stands for the gain of 32, which has less.
ADS131M_FULL_SCALE_V = 1.2
ADS131M_CURRENT_GAIN = 32.0
ADS131M_NOISE_V, ADS131M_NOISE_AT_GAIN_1_V = 0.64e-6 * 3.82 / 0.95, 7.56e-6
# The limit of its offset (6.5) was not seen. Of four channels measured at a gain of 32, the worst
# showed 1.4 mV behind the amplifier (TI E2E forum, thread 983655).
ADS131M_OFFSET_V = 1.4e-3
# Reference TI REF3112 (SBVS046C, page 1): 1.25 V, 20 ppm/K at most from -40 to 125 °C.
REF3112_DRIFT_PER_K = 20e-6

# Shunt Isabellenhütte BVE, 0.2 mΩ, manganin between copper (issue 16/10/2002): 5 %, below 50 ppm/K,
# 160 A, an internal thermal resistance below 10 K/W, below 3 nH. The issue of 16-September-2015 has
# "from 3 K/W": what lies between is its spread. The sensor is on its copper.
BVE_OHM, BVE_TOLERANCE, BVE_ALPHA_PER_K = 200e-6, 0.05, 50e-6
BVE_LEAST_K_PER_W, BVE_MOST_K_PER_W = 3.0, 10.0
BVE_H = 3e-9
# Its alloy by JIS C 2522:1999, class A (as Tokyo Seiden quotes it): β from -1.0 to 0 ppm/K².
MANGANIN_BETA_PER_K2 = -0.5e-6

# Divider Vishay MMA 0204 HT: ±0.5 % and ±25 ppm/K, two such resistors against each other.
MMA0204_TOLERANCE, MMA0204_DRIFT_PER_K = 0.005, 25e-6

# Sensor TI TMP1075 (SBOS854), packages D and DGK: ±1 K at most from -40 to 110 °C.
TMP1075_ERROR_K = 1.0

# Crystal CTS HG324 (008-0377-0, rev. A), AT cut, 16.384 MHz, of which the converter gets half: ±20
# ppm at 25 °C, ±30 ppm from -40 to 85 °C (codes 2 and 3).
HG324_TOLERANCE = 20e-6
# Within these ±30 ppm, what Gerber and Ballato (Precision Frequency Control, 1985, vol. 2, p. 101)
# give for an angle of 1.7' off that of no slope: -22 ppm at -40 °C, 3 ppm at 70 °C.
DATA_SHEET_CRYSTAL = Crystal(
    linear_per_k=-5.08e-6 * 1.7 / 60, square_per_k2=-0.45e-9, cubic_per_k3=108.6e-12
)

DATA_SHEET = FrontEnd(
    shunt_ohm=BVE_OHM,
    shunt_alpha_per_k=0.0,
    shunt_beta_per_k2=MANGANIN_BETA_PER_K2,
    current_amplification=ADS131M_CURRENT_GAIN,
    voltage_division=500.0,
    reference_voltage_v=ADS131M_FULL_SCALE_V,
    voltage_offset_codes=0.0,
    current_offset_codes=0.0,
    noise_codes=ADS131M_NOISE_V * ADS131M_CURRENT_GAIN / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    voltage_noise_codes=ADS131M_NOISE_AT_GAIN_1_V / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    self_heating_k_per_a2=(BVE_LEAST_K_PER_W + BVE_MOST_K_PER_W) / 2 * BVE_OHM,
)
"""As its data sheets say; 187 A and 600 V peak."""

DATA_SHEET_TOLERANCE = Tolerance(
    shunt_ohm=BVE_TOLERANCE,
    # The reference's drift is seen here too: the shunt's points at three temperatures find both.
    shunt_alpha_per_k=BVE_ALPHA_PER_K + REF3112_DRIFT_PER_K,
    shunt_beta_per_k2=0.5e-6,
    voltage_division=2 * MMA0204_TOLERANCE,
    voltage_drift_per_k=2 * MMA0204_DRIFT_PER_K + REF3112_DRIFT_PER_K,
    offset_codes=ADS131M_OFFSET_V / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    current_delay_s=BVE_H / BVE_OHM,
    self_heating=(BVE_MOST_K_PER_W - BVE_LEAST_K_PER_W) / (BVE_MOST_K_PER_W + BVE_LEAST_K_PER_W),
    sensor_error_k=TMP1075_ERROR_K,
)
"""What its specimens may have."""
