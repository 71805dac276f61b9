"""The simulated source and its front-end, as a meter sees them."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from meter_node.metrology import DigitalInputs, Engine, SampleBlock
from meter_node.sources import Source
from meter_node.sources.front_end import FrontEnd
from meter_node.sources.house import House, HouseConfig
from meter_node.sources.simulated import SimulatedSource

NANO = 10**9
START_NS = 1_781_956_800 * NANO  # 2026-06-20 12:00 UTC
HOUSE = House(HouseConfig(solar_peak_w=6000, seed=5))


def a_source(start_ns: int = START_NS, **changes: float) -> SimulatedSource:
    return SimulatedSource(HOUSE, replace(FrontEnd(), **changes), 8000, start_ns)


def test_a_simulated_house_is_a_source() -> None:
    source: Source = a_source()
    assert (source.phases, source.sampling_rate_hz) == (3, 8000)
    assert len(source.calibration.phases) == 3


def test_blocks_are_seconds_that_follow_each_other() -> None:
    blocks = list(islice(a_source().blocks(), 3))
    assert [block.first_sample for block in blocks] == [0, 8000, 16_000]
    assert [block.start_ns - START_NS for block in blocks] == [0, NANO, 2 * NANO]
    assert {block.voltage.shape for block in blocks} == {(3, 8000)}


def test_a_start_within_a_second_first_fills_that_second() -> None:
    first, second = islice(a_source(START_NS + 250_000_000).blocks(), 2)
    assert (first.first_sample, first.samples, first.start_ns) == (
        2000,
        6000,
        START_NS + 250_000_000,
    )
    assert (second.first_sample, second.start_ns) == (8000, START_NS + NANO)


def test_the_same_seed_and_start_give_the_same_codes() -> None:
    for one, other in zip(
        islice(a_source().blocks(), 3), islice(a_source().blocks(), 3), strict=True
    ):
        np.testing.assert_array_equal(one.voltage, other.voltage)
        np.testing.assert_array_equal(one.current, other.current)


def test_the_voltage_runs_on_from_block_to_block_without_a_jump() -> None:
    blocks = list(islice(a_source(noise_codes=0.0).blocks(), 5))
    voltage = np.concatenate([block.voltage for block in blocks], axis=1)
    bends = np.abs(np.diff(voltage, n=2, axis=1))
    inside = max(bends[:, k * 8000 + 10 : (k + 1) * 8000 - 10].max() for k in range(5))
    for edge in range(8000, 40_000, 8000):
        assert bends[:, edge - 3 : edge + 3].max() <= 1.02 * inside


def test_the_meter_reads_what_the_house_does() -> None:
    source = a_source()
    engine = Engine(source.calibration, 3, 8000)
    for block in islice(source.blocks(), 6):
        (second,) = engine.push(block)
        loads = HOUSE.loads(second.start_ns)
        later = HOUSE.frequency_hz(second.end_ns / NANO)
        assert second.complete
        assert second.frequency_hz == pytest.approx((loads[0].frequency_hz + later) / 2, abs=5e-4)
        for phase, load in zip(second.phases, loads, strict=True):
            # Voltage harmonics of 1.5 % add a hundredth of a per cent to its RMS.
            assert phase.voltage_v == pytest.approx(load.voltage_v, rel=5e-4)
            assert phase.active_energy_nwh == pytest.approx(
                load.active_power_w / 3600 * 1e9, rel=5e-3, abs=0.3 / 3600 * 1e9
            )


def test_a_restarted_source_goes_on_with_the_same_house() -> None:
    running, restarted = a_source(), a_source(START_NS + 3 * NANO)
    one = list(islice(running.blocks(), 4))[3]
    other = restarted.next_block()
    engines = [Engine(running.calibration, 3, 8000) for _ in range(2)]
    own_grid = SampleBlock(one.voltage, one.current, 8000, 0, one.start_ns, 23.0)
    (first,), (second,) = engines[0].push(own_grid), engines[1].push(other)
    for before, after in zip(first.phases, second.phases, strict=True):
        assert before.voltage_v == pytest.approx(after.voltage_v, rel=1e-4)
        assert before.active_power_w == pytest.approx(after.active_power_w, rel=5e-3, abs=1)


def test_the_phases_follow_each_other_by_a_third_of_a_turn() -> None:
    block = a_source(noise_codes=0.0).next_block()
    turning = np.exp(-2j * np.pi * HOUSE.frequency_hz(START_NS / NANO) / 8000 * np.arange(8000))
    phasors = (block.voltage - block.voltage.mean(axis=1, keepdims=True)) @ turning
    lags_deg = np.degrees(np.angle(phasors[0] / phasors)) % 360
    assert lags_deg.tolist() == pytest.approx([0, 120, 240], abs=0.5)


def test_an_open_breaker_leaves_the_voltage_and_takes_the_current() -> None:
    source = SimulatedSource(
        HOUSE, FrontEnd(), 8000, START_NS, world=lambda: DigitalInputs(breaker_closed=False)
    )
    (second,) = Engine(source.calibration, 3, 8000).push(source.next_block())
    assert source.inputs().breaker_closed is False
    for phase in second.phases:
        assert phase.voltage_v > 200
        assert phase.current_a < 0.005
        assert phase.active_energy_nwh == 0


def test_a_one_phase_house_makes_one_row() -> None:
    source = SimulatedSource(House(HouseConfig(phases=1)), FrontEnd(), 4000, START_NS)
    assert source.next_block().voltage.shape == (1, 4000)
    assert source.inputs() == DigitalInputs(breaker_closed=None)


@pytest.mark.parametrize("temperature_c", [-40.0, 23.0, 70.0])
def test_the_nominal_calibration_recovers_what_went_into_the_front_end(
    temperature_c: float,
) -> None:
    front_end = FrontEnd(noise_codes=0.0)
    voltage_v, current_a = np.array([[230.0, -325.0, 0.0]]), np.array([[5.0, -120.0, 0.01]])
    voltage, current = front_end.convert(
        voltage_v, current_a, temperature_c, np.random.default_rng(0)
    )
    phase = front_end.calibration(1).phases[0]
    assert ((voltage - phase.voltage_offset_codes) * phase.voltage_gain_v).tolist()[
        0
    ] == pytest.approx([230.0, -325.0, 0.0], abs=1e-4)
    assert ((current - phase.current_offset_codes) * phase.current_gain_at(temperature_c)).tolist()[
        0
    ] == pytest.approx([5.0, -120.0, 0.01], abs=2e-5)


def test_what_is_too_much_for_the_front_end_is_clipped_at_24_bits() -> None:
    huge = np.array([[1e6, -1e6]])
    for codes in FrontEnd().convert(huge, huge.copy(), 23.0, np.random.default_rng(0)):
        assert codes.dtype == np.int32
        assert codes.tolist() == [[2**23 - 1, -(2**23)]]


def test_the_front_end_leaves_its_input_alone() -> None:
    voltage_v = np.full((1, 4), 230.0)
    FrontEnd().convert(voltage_v, voltage_v.copy(), 23.0, np.random.default_rng(0))
    assert voltage_v.tolist() == [[230.0] * 4]
