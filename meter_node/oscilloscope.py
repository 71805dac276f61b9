"""Makes the picture of the moment from the last samples of a block. Must not know who looks at it.

Pure: what it draws is for the eye and is never metered.
"""

from __future__ import annotations

import numpy as np

from meter_node.cosem.oscillogram import MOST_POINTS, Oscillogram, PhaseWave
from meter_node.meter.snapshot import NANO
from meter_node.metrology import Calibration, Measurement, SampleBlock

CYCLES = 2
_TRIGGER_CYCLES = 1
_ASSUMED_FREQUENCY_HZ = 50.0


def of_block(block: SampleBlock, calibration: Calibration, measurement: Measurement) -> Oscillogram:
    """Draw the last two cycles of a block, or all of a shorter one.

    They begin where the voltage of L1 rises through zero, so that the picture stands still. Of a
    fast stream every so many samples are drawn. A channel's own delay (`current_delay_s`, some
    microseconds) is too little to be seen and is not taken out. Raises ValueError for another
    number of phases.
    """
    if not block.phases == len(calibration.phases) == len(measurement.phases):
        raise ValueError(
            f"{block.phases} phases sampled, {len(calibration.phases)} calibrated, "
            f"{len(measurement.phases)} measured"
        )
    cycle = block.sampling_rate_hz / (measurement.frequency_hz or _ASSUMED_FREQUENCY_HZ)
    wanted = round(CYCLES * cycle)
    first = max(0, block.samples - wanted - round(_TRIGGER_CYCLES * cycle))
    first += _rising_zero(block.voltage[0, first : max(first + 1, block.samples - wanted)])
    every = max(1, -(-min(wanted, block.samples) // MOST_POINTS))
    columns = slice(first, first + wanted, every)
    waves = []
    for phase, (of_phase, measured) in enumerate(
        zip(calibration.phases, measurement.phases, strict=True)
    ):
        voltages = block.voltage[phase, columns].astype(np.float64)
        # The mains have no DC worth a picture: its mean is the converter's zero.
        voltages = (voltages - voltages.mean()) * of_phase.voltage_gain_v
        currents = block.current[phase, columns].astype(np.float64)
        currents -= of_phase.current_offset_codes
        currents *= of_phase.current_gain_at(block.shunt_temperature_c)
        waves.append(
            PhaseWave(
                voltages.tolist(),
                currents.tolist(),
                measured.voltage_phasor_v,
                measured.current_phasor_a,
            )
        )
    return Oscillogram(
        block.start_ns + first * NANO // block.sampling_rate_hz,
        measurement.end_ns,
        block.sampling_rate_hz / every,
        tuple(waves),
    )


def _rising_zero(codes: np.ndarray[tuple[int, ...], np.dtype[np.int32]]) -> int:
    """Return where the codes rise through zero first, 0 where they never do."""
    (rising,) = np.nonzero((codes[:-1] < 0) & (codes[1:] >= 0))
    return int(rising[0]) + 1 if rising.size else 0
