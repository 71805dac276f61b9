"""Starting current and no-load lock, for every range of the brochure, with converter noise."""

import numpy as np
import pytest

from meter_node.metrology import Engine, Measurement, SampleBlock
from meter_node.sources.front_end import FrontEnd
from tests.meter_node.metrology.waveforms import START_NS, energy_sums, wave

# The brochure's ranges: Ib(Imax). EN 50470-3 class B and IEC 62053-21 class 1 start at 0.004 Ib.
RANGES = {"5(65)": 5, "10(60)": 10, "5(85)": 5, "10(85)": 10, "5(100)": 5}
PHASES = 3
FRONT_END = FrontEnd()


def measured(current_a: float, base_a: float, voltage_v: float, seconds: int) -> list[Measurement]:
    """Through the simulated front-end, its offsets calibrated and its noise left in."""
    voltages = [wave(voltage_v, 50.02, -2.094 * phase, seconds=seconds) for phase in range(PHASES)]
    currents = [wave(current_a, 50.02, -2.094 * phase, seconds=seconds) for phase in range(PHASES)]
    voltage, current = FRONT_END.convert(
        np.array(voltages), np.array(currents), 23.0, np.random.default_rng(11)
    )
    engine = Engine(FRONT_END.calibration(PHASES), PHASES, 8000, starting_current_a=0.004 * base_a)
    return engine.push(SampleBlock(voltage, current, 8000, 0, START_NS, 23.0))


@pytest.mark.parametrize("base_a", RANGES.values(), ids=RANGES.keys())
def test_nothing_creeps_at_115_percent_of_voltage_with_converter_noise(base_a: float) -> None:
    seconds = measured(0.0, base_a, 1.15 * 230, 20)
    for phase in range(PHASES):
        assert energy_sums(seconds, phase) == (0, 0)


@pytest.mark.parametrize("base_a", RANGES.values(), ids=RANGES.keys())
def test_the_starting_current_registers_in_every_phase(base_a: float) -> None:
    starting_a = 0.004 * base_a
    seconds = measured(starting_a, base_a, 230.0, 5)
    for phase in range(PHASES):
        active_nwh, _ = energy_sums(seconds, phase)
        assert active_nwh == pytest.approx(5 * 230 * starting_a / 3600 * 1e9, rel=0.01)


def test_each_phase_has_a_lock_of_its_own() -> None:
    voltages = np.array([wave(230, 50, -2.094 * phase) for phase in range(PHASES)])
    currents = np.array([wave(0.02, 50), np.zeros(24_000), wave(0.005, 50, -2 * 2.094)])
    voltage, current = FRONT_END.convert(voltages, currents, 23.0, np.random.default_rng(1))
    engine = Engine(FRONT_END.calibration(PHASES), PHASES, 8000)
    seconds = engine.push(SampleBlock(voltage, current, 8000, 0, START_NS, 23.0))
    registered = [energy_sums(seconds, phase)[0] > 0 for phase in range(PHASES)]
    assert registered == [True, False, False]
