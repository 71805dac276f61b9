"""A meter's analogue front-end and converter as a model. Knows nothing of what it measures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from meter_node.metrology import Calibration, PhaseCalibration

CODE_LIMIT = 1 << 23


@dataclass(frozen=True, slots=True)
class FrontEnd:
    """Shunt and divider before a 24-bit converter; every phase alike.

    The default takes 156 A and 600 V peak: 85 A of a crest factor of 1.8, and 1.15 × 230 V with
    room for a lost neutral. `noise_codes` is RMS, of each channel.
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

    def calibration(self, phases: int) -> Calibration:
        """What the components' nominal values promise."""
        code_v = self.reference_voltage_v / CODE_LIMIT
        phase = PhaseCalibration(
            voltage_gain_v=code_v * self.voltage_division,
            current_gain_a=code_v / (self.current_amplification * self.shunt_ohm),
            voltage_offset_codes=self.voltage_offset_codes,
            current_offset_codes=self.current_offset_codes,
            shunt_alpha_per_k=self.shunt_alpha_per_k,
            shunt_beta_per_k2=self.shunt_beta_per_k2,
            reference_temperature_c=self.reference_temperature_c,
        )
        return Calibration((phase,) * phases)

    def convert(
        self,
        voltage_v: NDArray[np.float64],
        current_a: NDArray[np.float64],
        shunt_temperature_c: float,
        chance: np.random.Generator,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Volts and amperes [phases, n] at the terminals to codes, clipped at 24 bits."""
        per_v = CODE_LIMIT / (self.reference_voltage_v * self.voltage_division)
        per_a = CODE_LIMIT / self.reference_voltage_v * self.current_amplification
        per_a *= self._shunt_ohm_at(shunt_temperature_c)
        return (
            self._quantise(voltage_v * per_v, self.voltage_offset_codes, chance),
            self._quantise(current_a * per_a, self.current_offset_codes, chance),
        )

    def _shunt_ohm_at(self, temperature_c: float) -> float:
        rise_k = temperature_c - self.reference_temperature_c
        return self.shunt_ohm * (
            1 + self.shunt_alpha_per_k * rise_k + self.shunt_beta_per_k2 * rise_k**2
        )

    def _quantise(
        self, codes: NDArray[np.float64], offset_codes: float, chance: np.random.Generator
    ) -> NDArray[np.int32]:
        codes += offset_codes
        if self.noise_codes:
            codes += self.noise_codes * chance.standard_normal(codes.shape, dtype=np.float32)
        np.rint(codes, out=codes)
        np.clip(codes, -CODE_LIMIT, CODE_LIMIT - 1, out=codes)
        return codes.astype(np.int32)
