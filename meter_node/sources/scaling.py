"""What a code is worth, from configuration, calibration or the file. Knows no samples."""

from collections.abc import Sequence
from dataclasses import dataclass

from meter_node.metrology import Calibration, PhaseCalibration
from meter_node.metrology.block import CODE_BITS

from .channels import Channel
from .items import SourceError

# Recordings in volts and amperes become codes of these peaks over 23 bits: 0.12 mV and 30 µA.
VOLTAGE_FULL_SCALE_V = 1000.0
CURRENT_FULL_SCALE_A = 250.0
CODES_OF_A_PEAK = 1 << (CODE_BITS - 1)


# How a gain is called in a configuration, and as an option of the command line.
SPELLINGS = {
    "U": "voltage_gain_v (measure: --voltage-gain)",
    "I": "current_gain_a (measure: --current-gain)",
}


@dataclass(frozen=True, slots=True)
class Scaling:
    """Volts and amperes a code; each tuple has one value for all phases, or one for each.

    A `calibration` stands for all of the rest where samples are codes. The full scales are the
    peaks that recordings in volts and amperes may reach.
    """

    voltage_gain_v: tuple[float, ...] = ()
    current_gain_a: tuple[float, ...] = ()
    voltage_offset_codes: tuple[float, ...] = (0.0,)
    current_offset_codes: tuple[float, ...] = (0.0,)
    calibration: Calibration | None = None
    voltage_full_scale_v: float = VOLTAGE_FULL_SCALE_V
    current_full_scale_a: float = CURRENT_FULL_SCALE_A

    def of_codes(self, phases: int) -> Calibration:
        """For a stream of codes. Raises SourceError where nobody says what they are worth."""
        return self.of_channels([Channel(f"U{n + 1}") for n in range(phases)],
                                [Channel(f"I{n + 1}") for n in range(phases)])  # fmt: skip

    def of_channels(self, voltage: Sequence[Channel], current: Sequence[Channel]) -> Calibration:
        """For these channels, L1 first. Raises SourceError where one has no gain."""
        channels = (*voltage, *current)
        if self.calibration is not None:
            if any(channel.factor is not None for channel in channels):
                raise SourceError("a calibration is for codes; these samples are volts and amperes")
            if len(self.calibration.phases) < len(voltage):
                raise SourceError(
                    f"the calibration is of {len(self.calibration.phases)} phases, "
                    f"the samples are of {len(voltage)}"
                )
            return Calibration(self.calibration.phases[: len(voltage)])
        try:
            return Calibration(
                tuple(
                    self._phase(phase, u, i)
                    for phase, (u, i) in enumerate(zip(voltage, current, strict=True))
                )
            )
        except ValueError as error:
            raise SourceError(f"gains: {error}") from None

    def _phase(self, phase: int, u: Channel, i: Channel) -> PhaseCalibration:
        return PhaseCalibration(
            voltage_gain_v=_gain(
                f"U{phase + 1}", u, self.voltage_gain_v, phase, self.voltage_full_scale_v
            ),
            current_gain_a=_gain(
                f"I{phase + 1}", i, self.current_gain_a, phase, self.current_full_scale_a
            ),
            voltage_offset_codes=u.offset_codes or _of_phase(self.voltage_offset_codes, phase),
            current_offset_codes=i.offset_codes or _of_phase(self.current_offset_codes, phase),
            current_delay_s=i.late_s - u.late_s,
        )


def _gain(
    role: str, channel: Channel, configured: tuple[float, ...], phase: int, full_scale: float
) -> float:
    if channel.factor is not None:
        return full_scale / CODES_OF_A_PEAK
    if configured:
        return _of_phase(configured, phase)
    if channel.gain is None:
        own = f" ({channel.name})" if channel.name not in ("", role) else ""
        raise SourceError(
            f"{role}{own} is in codes: give {SPELLINGS[role[0]]}, or calibration_file "
            "(measure: --calibration)"
        )
    return channel.gain


def _of_phase(values: tuple[float, ...], phase: int) -> float:
    if len(values) != 1 and phase >= len(values):
        raise SourceError(f"{len(values)} gains or offsets for more phases; give one, or one each")
    return values[0] if len(values) == 1 else values[phase]
