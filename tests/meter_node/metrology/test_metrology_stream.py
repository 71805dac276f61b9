"""Gaps, overlaps, wrong blocks, and voltages that go away."""

import math

import numpy as np
import pytest

from meter_node.metrology import Engine, StreamError
from tests.meter_node.metrology.waveforms import START_NS, block, calibration, part, wave

RECORDING = block([wave(230, 50, seconds=4)], [wave(5, 50, seconds=4)])


def an_engine() -> Engine:
    return Engine(calibration(), 1, 8000)


def test_after_missing_samples_the_part_before_them_is_booked_and_the_stream_goes_on() -> None:
    engine = an_engine()
    assert len(engine.push(part(RECORDING, 0, 12_000))) == 1
    before, after, last = engine.push(part(RECORDING, 18_000, 32_000))
    assert (before.complete, after.complete, last.complete) == (False, False, True)
    assert before.start_ns == START_NS + 1_000_000_000
    assert before.end_ns == START_NS + 1_500_000_000
    assert after.start_ns == START_NS + 2_250_000_000
    assert after.end_ns == START_NS + 3_000_000_000
    assert before.phases[0].active_energy_nwh == pytest.approx(0.5 * 1150 / 3600 * 1e9, rel=1e-3)
    assert after.phases[0].active_energy_nwh == pytest.approx(0.75 * 1150 / 3600 * 1e9, rel=1e-3)


def test_a_time_that_jumps_ahead_is_a_gap_though_no_sample_is_missing() -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 0, 12_000))
    late = part(RECORDING, 12_000, 32_000)
    moved = block(
        [wave(230, 50, seconds=2.5)],
        [wave(5, 50, seconds=2.5)],
        first_sample=12_000,
        start_ns=late.start_ns + 3_600_000_000_000,
    )
    before, after, *_ = engine.push(moved)
    assert not before.complete
    assert before.end_ns == START_NS + 1_500_000_000
    assert after.start_ns == moved.start_ns


def test_a_clock_that_is_slewed_by_milliseconds_is_no_gap() -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 0, 12_000))
    slewed = block(
        [wave(230, 50, seconds=2.5)],
        [wave(5, 50, seconds=2.5)],
        first_sample=12_000,
        start_ns=START_NS + 1_500_000_000 - 5_000_000,
    )
    assert [m.complete for m in engine.push(slewed)] == [True, True, True]


def test_a_gap_on_the_edge_of_a_second_books_nothing_between() -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 0, 8000))
    assert [m.complete for m in engine.push(part(RECORDING, 16_000, 24_000))] == [True]


def test_samples_already_counted_are_refused_and_change_nothing() -> None:
    engine, undisturbed = an_engine(), an_engine()
    for each in (engine, undisturbed):
        each.push(part(RECORDING, 0, 12_000))
    with pytest.raises(StreamError, match="overlap at sample 11999: samples up to 12000"):
        engine.push(part(RECORDING, 11_999, 20_000))
    rest = part(RECORDING, 12_000, 32_000)
    assert engine.push(rest) == undisturbed.push(rest)


def test_a_time_that_goes_back_is_refused() -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 0, 8000))
    back = block([wave(230, 50)], [wave(5, 50)], first_sample=8000, start_ns=START_NS)
    with pytest.raises(StreamError, match="time goes back at sample 8000"):
        engine.push(back)


def test_another_rate_and_another_number_of_phases_are_refused() -> None:
    with pytest.raises(StreamError, match="4000 Hz at sample 0, not 8000 Hz"):
        an_engine().push(block([wave(230, 50)], [wave(5, 50)], 4000))
    with pytest.raises(StreamError, match="3 phases at sample 0, not 1"):
        an_engine().push(block([wave(230, 50)] * 3, [wave(5, 50)] * 3))


def test_a_calibration_of_other_phases_is_refused() -> None:
    with pytest.raises(ValueError, match="calibration of 3 phases for 1"):
        Engine(calibration(3), 1, 8000)


def test_after_the_end_of_a_stream_a_new_one_may_begin_anywhere() -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 0, 12_000))
    rest = engine.flush()
    assert rest
    assert not rest.complete
    assert rest.end_ns - rest.start_ns == 500_000_000
    assert engine.flush() is None
    assert [m.complete for m in engine.push(part(RECORDING, 0, 8000))] == [True]


@pytest.mark.parametrize("samples", [1, 3, 50, 200])
def test_even_a_few_samples_are_booked(samples: int) -> None:
    engine = an_engine()
    engine.push(part(RECORDING, 40, 40 + samples))
    rest = engine.flush()
    assert rest
    u, i = RECORDING.voltage[0, 40 : 40 + samples], RECORDING.current[0, 40 : 40 + samples]
    gain = calibration().phases[0]
    joule = float(u.astype(float) @ i.astype(float)) * gain.voltage_gain_v * gain.current_gain_a
    assert rest.phases[0].active_energy_nwh == pytest.approx(joule / 8000 / 3600 * 1e9, rel=0.02)


def test_the_frequency_is_taken_from_the_next_phase_when_l1_is_gone() -> None:
    gone = np.zeros(24_000)
    thirds = [-2 * math.pi * phase / 3 for phase in range(3)]
    currents = [gone, wave(5, 50.1, thirds[1]), wave(5, 50.1, thirds[2])]
    voltages = [gone, wave(230, 50.1, thirds[1]), wave(230, 50.1, thirds[2])]
    for second in Engine(calibration(3), 3, 8000).push(block(voltages, currents)):
        assert second.frequency_hz == pytest.approx(50.1, abs=2e-4)
        assert second.phases[0].voltage_v == 0
        assert second.phases[1].active_power_w == pytest.approx(1150, rel=1e-4)


def test_without_any_voltage_there_is_no_frequency_but_current_is_still_measured() -> None:
    chance = np.random.default_rng(2)
    noise = 0.002 * chance.standard_normal(24_000)
    for second in Engine(calibration(), 1, 8000).push(block([noise], [wave(5, 50)])):
        assert second.frequency_hz is None
        assert second.phases[0].current_a == pytest.approx(5, rel=1e-3)
        assert second.import_active_energy_nwh == second.export_active_energy_nwh == 0


def test_an_interruption_within_a_second_is_bridged() -> None:
    # 300 ms without voltage: the second's RMS is √0.7 of the full one, and the cycles before or
    # after still tell the frequency.
    voltage = wave(230, 50, 0.5, seconds=4)
    voltage[8000 + 3200 : 8000 + 5600] = 0
    seconds = Engine(calibration(), 1, 8000).push(block([voltage], [np.zeros(voltage.size)]))
    assert seconds[1].phases[0].voltage_v == pytest.approx(230 * math.sqrt(0.7), rel=0.01)
    for second in seconds:
        assert second.frequency_hz == pytest.approx(50, abs=0.05)
    assert seconds[3].phases[0].voltage_v == pytest.approx(230, rel=2e-5)


def test_an_interrupted_phase_leaves_the_others_their_frequency() -> None:
    thirds = [-2 * math.pi * phase / 3 for phase in range(3)]
    voltages = [wave(230, 49.95, angle) for angle in thirds]
    voltages[0][10_000:14_000] = 0
    still = [np.zeros(24_000)] * 3
    for second in Engine(calibration(3), 3, 8000).push(block(voltages, still)):
        assert second.frequency_hz == pytest.approx(49.95, abs=2e-4)
