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
    voltage_division: float = 0.0
    voltage_drift_per_k: float = 0.0
    offset_codes: float = 0.0
    current_delay_s: float = 0.0
    self_heating: float = 0.0
    sensor_error_k: float = 0.0


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


# A real design, for the type test. Seen in the data sheets:
# - converter TI ADS131M04 (SBAS890, ADS131M04-Q1 table 7-1): 24 bits, ±1.2 V over the gain, at
#   8 kSPS 7.56 µV RMS of noise at a gain of 1 and 1.69 µV at the high ones;
# - shunt Vishay WSMS5515 (30135), 100 µΩ: ±5 %, ±325 ppm/K with its copper terminals, 3 W;
# - divider Vishay MMA 0204: ±0.5 % and ±25 ppm/K each resistor.
# From memory, to be checked: the converter's offset and the drift of its reference (20 ppm/K), the
# sensor's ±2 K (TI TMP1075), the shunt's 3 nH (3 nH / 100 µΩ = 30 µs) and its derating from 70 to
# 170 °C (100 K / 3 W), manganin's parabola. The heating's spread is an assumption.
ADS131M_FULL_SCALE_V = 1.2
ADS131M_CURRENT_GAIN = 64.0
ADS131M_NOISE_V, ADS131M_NOISE_AT_GAIN_1_V = 1.69e-6, 7.56e-6
ADS131M_OFFSET_V = 175e-6
WSMS5515_OHM = 100e-6
WSMS5515_K_PER_W = 100 / 3

DATA_SHEET = FrontEnd(
    shunt_ohm=WSMS5515_OHM,
    shunt_alpha_per_k=0.0,
    shunt_beta_per_k2=-0.5e-6,
    current_amplification=ADS131M_CURRENT_GAIN,
    voltage_division=500.0,
    reference_voltage_v=ADS131M_FULL_SCALE_V,
    voltage_offset_codes=0.0,
    current_offset_codes=0.0,
    noise_codes=ADS131M_NOISE_V * ADS131M_CURRENT_GAIN / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    voltage_noise_codes=ADS131M_NOISE_AT_GAIN_1_V / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    self_heating_k_per_a2=WSMS5515_K_PER_W * WSMS5515_OHM,
)
"""As its data sheets say; 187 A and 600 V peak."""

DATA_SHEET_TOLERANCE = Tolerance(
    shunt_ohm=0.05,
    shunt_alpha_per_k=325e-6,
    voltage_division=0.01,
    voltage_drift_per_k=45e-6,
    offset_codes=ADS131M_OFFSET_V / ADS131M_FULL_SCALE_V * CODE_LIMIT,
    current_delay_s=30e-6,
    self_heating=0.2,
    sensor_error_k=2.0,
)
"""What its specimens may have: two resistors' ±25 ppm/K do not add up fully in a divider."""
