"""What turns converter codes into volts and amperes. Knows nothing of how it was found."""

import math
from dataclasses import dataclass

from .block import MAX_PHASES


@dataclass(frozen=True, slots=True)
class PhaseCalibration:
    """One phase's two channels.

    `voltage_gain_v`, `current_gain_a`: volts and amperes a code, the current's at
    `reference_temperature_c`; a negative current gain is a shunt wired the other way.
    `current_offset_codes`: the converter's zero, taken from the current; DC in the mains stays.
    `voltage_offset_codes`: where to begin; after whole cycles the engine follows the mean.
    `current_delay_s`: how much later than its voltage a current sample was really taken (filters
    and shunt inductance; negative where the current channel is the faster one); the engine takes
    5 ms either way.
    Shunt: R(T) = R₀ (1 + α ΔT + β ΔT²), where a load that stands warms it over its sensor by
    `self_heating_k_per_a2` times the square of the current, `self_heating_time_s` after a change to
    1 − 1/e of it.
    """

    voltage_gain_v: float
    current_gain_a: float
    voltage_offset_codes: float = 0.0
    current_offset_codes: float = 0.0
    current_delay_s: float = 0.0
    shunt_alpha_per_k: float = 0.0
    shunt_beta_per_k2: float = 0.0
    reference_temperature_c: float = 23.0
    self_heating_k_per_a2: float = 0.0
    self_heating_time_s: float = 60.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be finite")
        if self.voltage_gain_v <= 0:
            raise ValueError(f"voltage gain must be positive, not {self.voltage_gain_v}")
        if self.current_gain_a == 0:
            raise ValueError("current gain must not be zero")
        if self.self_heating_k_per_a2 < 0:
            raise ValueError(f"self-heating must not be negative: {self.self_heating_k_per_a2}")
        if self.self_heating_time_s <= 0:
            raise ValueError(f"self-heating time must be positive, not {self.self_heating_time_s}")

    def current_gain_at(self, shunt_temperature_c: float) -> float:
        """Amperes a code at this shunt temperature: a warmer shunt shows more volts an ampere."""
        rise_k = shunt_temperature_c - self.reference_temperature_c
        resistance = 1 + rise_k * (self.shunt_alpha_per_k + rise_k * self.shunt_beta_per_k2)
        return self.current_gain_a / resistance


@dataclass(frozen=True, slots=True)
class Calibration:
    """The calibration of all phases, L1 first."""

    phases: tuple[PhaseCalibration, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.phases) <= MAX_PHASES:
            raise ValueError(f"1 to {MAX_PHASES} phases, not {len(self.phases)}")
