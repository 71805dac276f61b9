"""The picture of the moment from a block's last samples."""

import math
import timeit

import numpy as np
import pytest

from meter_node import oscilloscope
from meter_node.metrology import (
    Calibration,
    Measurement,
    PhaseCalibration,
    PhaseMeasurement,
    SampleBlock,
)

RATE_HZ = 8000
CALIBRATION = Calibration((PhaseCalibration(0.01, -0.001, current_offset_codes=500),) * 3)


def measurement(phases: int = 3, frequency_hz: float | None = 50.0) -> Measurement:
    one = PhaseMeasurement(230.0, 5.0, 1150.0, 0.0, 1150.0, 1.0, 0, 0, 230 + 0j, 5 + 0j)
    return Measurement(0, 10**9, frequency_hz, (one,) * phases)


def block(samples: int = RATE_HZ, shift: float = 0.3, rate_hz: int = RATE_HZ) -> SampleBlock:
    """230 V and 5 A at 50 Hz, L2 and L3 120° behind; the converters have zeros of their own."""
    turns = 50 * np.arange(samples) / rate_hz + shift
    angles = 2 * np.pi * (turns[None, :] - np.array([[0], [1], [2]]) / 3)
    voltage = np.round(230 * math.sqrt(2) / 0.01 * np.sin(angles) + 1000).astype(np.int32)
    current = np.round(500 - 5 * math.sqrt(2) / 0.001 * np.sin(angles)).astype(np.int32)
    return SampleBlock(voltage, current, rate_hz, 0, 0, 23.0)


def test_two_cycles_are_drawn_from_where_l1_rises_through_zero() -> None:
    drawn = oscilloscope.of_block(block(), CALIBRATION, measurement())
    voltages = drawn.phases[0].voltage_v
    # 320 samples of two cycles, every second one
    assert len(voltages) == 160
    assert drawn.sampling_rate_hz == 4000
    step_v = 325.3 * 2 * math.pi * 50 / RATE_HZ  # by which a sample moves near zero
    assert abs(voltages[0]) < 3 * step_v + 10  # the converter's zero is 10 V off
    assert voltages[1] > voltages[0]
    assert max(voltages) == pytest.approx(230 * math.sqrt(2), rel=0.001)


def test_a_shunt_wired_the_other_way_and_its_zero_are_put_right() -> None:
    drawn = oscilloscope.of_block(block(), CALIBRATION, measurement())
    currents = drawn.phases[0].current_a
    assert max(currents) == pytest.approx(5 * math.sqrt(2), rel=0.001)
    assert currents[40 // 2] > 0, "a quarter of a cycle on, in phase with the voltage"


def test_the_picture_stands_still_whenever_the_block_ends() -> None:
    one = oscilloscope.of_block(block(shift=0.3), CALIBRATION, measurement()).phases[1].voltage_v
    other = oscilloscope.of_block(block(shift=0.8), CALIBRATION, measurement()).phases[1].voltage_v
    assert one == pytest.approx(other, abs=26)  # two samples' move at most


def test_phasors_are_the_measurements() -> None:
    drawn = oscilloscope.of_block(block(), CALIBRATION, measurement())
    assert drawn.phasors_time_ns == 10**9
    assert drawn.phases[2].voltage_phasor_v == 230 + 0j


@pytest.mark.parametrize(("samples", "points"), [(1, 1), (100, 100), (320, 160)])
def test_of_a_short_block_all_is_drawn(samples: int, points: int) -> None:
    drawn = oscilloscope.of_block(block(samples), CALIBRATION, measurement(frequency_hz=None))
    assert len(drawn.phases[0].voltage_v) <= points


def test_a_fast_stream_is_thinned_to_what_a_picture_can_show() -> None:
    drawn = oscilloscope.of_block(block(64_000, rate_hz=64_000), CALIBRATION, measurement())
    assert 150 <= len(drawn.phases[0].voltage_v) <= 200


def test_another_number_of_phases_is_refused() -> None:
    with pytest.raises(ValueError, match="3 phases sampled, 3 calibrated, 1 measured"):
        oscilloscope.of_block(block(), CALIBRATION, measurement(1))


def test_it_costs_less_than_two_milliseconds() -> None:
    one, second = block(64_000, rate_hz=64_000), measurement()
    best = min(
        timeit.repeat(lambda: oscilloscope.of_block(one, CALIBRATION, second), number=5, repeat=9)
    )
    assert best / 5 < 0.002
