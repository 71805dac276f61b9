"""Calibration from known loads: what is found is what was made."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.metrology import Calibration, Engine, PhaseCalibration, SampleBlock
from meter_node.metrology.calibrate import (
    CalibrationError,
    KnownLoad,
    Reading,
    Solution,
    read,
    solve,
)
from meter_node.metrology.shunt import ShuntHeat

RATE_HZ = 8000
TRUE = PhaseCalibration(
    voltage_gain_v=71.3e-6,
    current_gain_a=22.1e-6,
    voltage_offset_codes=812.0,
    current_offset_codes=-1511.0,
    current_delay_s=14e-6,
    shunt_alpha_per_k=210e-6,
    shunt_beta_per_k2=-0.6e-6,
    self_heating_k_per_a2=3.0e-3,
)
DATA_SHEET = PhaseCalibration(
    voltage_gain_v=70e-6,
    current_gain_a=23e-6,
    shunt_alpha_per_k=100e-6,
    shunt_beta_per_k2=-0.5e-6,
    self_heating_k_per_a2=3.3e-3,
)
POINTS = (
    (KnownLoad(230.0, 5.0, 0.0), 23.0),
    (KnownLoad(230.0, 5.0, math.pi / 3), 23.0),
    (KnownLoad(230.0, 85.0, 0.0), 23.0),
    (KnownLoad(230.0, 5.0, 0.0), -40.0),
    (KnownLoad(230.0, 5.0, 0.0), 70.0),
)


def recording(
    load: KnownLoad, temperature_c: float, true: PhaseCalibration = TRUE, frequency_hz: float = 50.0
) -> SampleBlock:
    """Codes of a sine, its delay and shunt as `true` says. PhaseCalibration gives A/code: 1/x."""
    angle = 2 * math.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ + 0.7
    late = 2 * math.pi * frequency_hz * true.current_delay_s
    hot_c = temperature_c + true.self_heating_k_per_a2 * load.current_a**2
    voltage = math.sqrt(2) * load.voltage_v * np.sin(angle) / true.voltage_gain_v
    current = math.sqrt(2) * load.current_a * np.sin(angle - load.lag_rad - late)
    current /= true.current_gain_at(hot_c)
    return SampleBlock(
        np.rint(voltage + true.voltage_offset_codes).astype(np.int32)[None],
        np.rint(current + true.current_offset_codes).astype(np.int32)[None],
        RATE_HZ,
        0,
        0,
        temperature_c,
    )


def solved(
    points: tuple[tuple[KnownLoad, float], ...],
    true: PhaseCalibration = TRUE,
    nominal: PhaseCalibration = DATA_SHEET,
    frequency_hz: float = 50.0,
) -> Solution:
    readings = [read(recording(*point, true, frequency_hz), 50.0) for point in points]
    return solve([load for load, _ in points], readings, Calibration((nominal,)))[0]


@pytest.mark.parametrize("frequency_hz", [49.0, 49.83, 50.0, 51.0])
def test_one_load_gives_gains_offsets_and_the_phase_to_a_hundredth_of_a_degree(
    frequency_hz: float,
) -> None:
    cold = replace(TRUE, self_heating_k_per_a2=0.0)
    nominal = replace(DATA_SHEET, self_heating_k_per_a2=0.0)
    found = solved(POINTS[1:2], cold, nominal, frequency_hz).calibration
    assert found.voltage_gain_v == pytest.approx(TRUE.voltage_gain_v, rel=1e-5)
    assert found.current_gain_a == pytest.approx(TRUE.current_gain_a, rel=1e-5)
    assert found.voltage_offset_codes == pytest.approx(TRUE.voltage_offset_codes, abs=1)
    assert found.current_offset_codes == pytest.approx(TRUE.current_offset_codes, abs=1)
    error_deg = 360 * 50 * abs(found.current_delay_s - TRUE.current_delay_s)
    assert error_deg < 0.01


def test_loads_at_three_temperatures_and_a_hot_one_give_the_shunts_coefficients() -> None:
    found = solved(POINTS).calibration
    assert found.shunt_alpha_per_k == pytest.approx(TRUE.shunt_alpha_per_k, abs=2e-6)
    assert found.shunt_beta_per_k2 == pytest.approx(TRUE.shunt_beta_per_k2, abs=0.02e-6)
    assert found.self_heating_k_per_a2 == pytest.approx(TRUE.self_heating_k_per_a2, rel=0.03)
    for current_a, temperature_c in ((0.5, -30.0), (60.0, 0.0), (100.0, 55.0)):
        hot_c = temperature_c + TRUE.self_heating_k_per_a2 * current_a**2
        thought_c = temperature_c + found.self_heating_k_per_a2 * current_a**2
        assert found.current_gain_at(thought_c) == pytest.approx(
            TRUE.current_gain_at(hot_c), rel=5e-5
        )


def test_what_the_loads_cannot_tell_stays_as_the_data_sheet_says() -> None:
    found = solved(POINTS[:2]).calibration
    assert found.shunt_alpha_per_k == DATA_SHEET.shunt_alpha_per_k
    assert found.shunt_beta_per_k2 == DATA_SHEET.shunt_beta_per_k2
    assert found.self_heating_k_per_a2 == DATA_SHEET.self_heating_k_per_a2


def test_residuals_are_what_is_left() -> None:
    worst = solved(POINTS).worst
    assert worst.voltage_percent < 1e-3
    assert worst.current_percent < 5e-3
    assert worst.angle_deg < 1e-3


def test_an_inverted_shunt_gets_a_negative_gain() -> None:
    found = solved(POINTS, replace(TRUE, current_gain_a=-TRUE.current_gain_a)).calibration
    assert found.current_gain_a == pytest.approx(-TRUE.current_gain_a, rel=1e-4)
    assert found.current_delay_s == pytest.approx(TRUE.current_delay_s, abs=1e-7)


@settings(deadline=None, max_examples=20)
@given(
    st.floats(-0.05, 0.05), st.floats(-325e-6, 325e-6), st.floats(-30e-6, 30e-6),
    st.floats(2.5e-3, 4e-3),
)  # fmt: skip
def test_any_front_end_within_its_tolerances_measures_right_after_calibration(
    gain_error: float, alpha_per_k: float, delay_s: float, heating: float
) -> None:
    true = replace(
        TRUE,
        current_gain_a=TRUE.current_gain_a * (1 + gain_error),
        shunt_alpha_per_k=alpha_per_k,
        current_delay_s=delay_s,
        self_heating_k_per_a2=heating,
    )
    found = solved(POINTS, true).calibration
    load = KnownLoad(230.0, 60.0, math.pi / 3)
    engine = Engine(Calibration((found,)), 1, RATE_HZ)
    (second,) = engine.push(recording(load, 40.0, true))
    # A tenth of class 0.2S at a power factor of 0.5: 0.03 %.
    assert second.phases[0].active_power_w == pytest.approx(230 * 60 / 2, rel=3e-4)


def test_a_load_that_is_not_what_it_is_said_to_be_is_named() -> None:
    readings = [read(recording(*point), 50.0) for point in POINTS]
    loads = [load for load, _ in POINTS]
    loads[3] = replace(loads[3], current_a=5.5)
    with pytest.raises(CalibrationError, match=r"L1, point 4: its current is -\d+\.\d\d % off"):
        solve(loads, readings, Calibration((DATA_SHEET,)))


def test_a_point_of_the_other_direction_is_named() -> None:
    readings = [read(recording(*point), 50.0) for point in POINTS]
    loads = [load for load, _ in POINTS]
    loads[2] = replace(loads[2], lag_rad=math.pi)
    with pytest.raises(CalibrationError, match="L1, point 3: the current's direction"):
        solve(loads, readings, Calibration((DATA_SHEET,)))


def test_a_wrong_power_factor_is_named() -> None:
    # acos 0.5 - acos 0.6 = 60° - 53.13° = 6.87°.
    readings = [read(recording(*point), 50.0) for point in POINTS]
    loads = [load for load, _ in POINTS]
    loads[1] = replace(loads[1], lag_rad=math.acos(0.6))
    with pytest.raises(CalibrationError, match=r"L1, point 2: the current lies \+6\.87° off"):
        solve(loads, readings, Calibration((DATA_SHEET,)))


def test_of_two_points_that_contradict_each_other_both_are_named() -> None:
    lag_rad = math.acos(0.8)
    points = (POINTS[0], (KnownLoad(230.0, 5.0, lag_rad), 23.0))
    readings = [read(recording(*point), 50.0) for point in points]
    loads = [points[0][0], replace(points[1][0], lag_rad=-lag_rad)]
    # 2 · acos 0.8 = 73.74°, 36.87° on each side.
    with pytest.raises(
        CalibrationError, match=r"L1, points 1 and 2: the current lies -36\.87° and \+36\.87° off"
    ):
        solve(loads, readings, Calibration((DATA_SHEET,)))


def test_a_delay_that_no_front_end_has_is_refused() -> None:
    reading = read(recording(*POINTS[1]), 50.0)
    wrong = [replace(POINTS[1][0], lag_rad=0.0)]
    with pytest.raises(CalibrationError, match=r"L1: the current lies \+60\.25° .* off where"):
        solve(wrong, [reading], Calibration((DATA_SHEET,)))


@pytest.mark.parametrize("delay_s", [-500e-6, 500e-6])
def test_a_delay_of_several_samples_is_found(delay_s: float) -> None:
    # 500 µs at 50 Hz are 9°, the most that a front-end is believed to have is 10°.
    found = solved(POINTS, replace(TRUE, current_delay_s=delay_s)).calibration
    assert found.current_delay_s == pytest.approx(delay_s, abs=1e-7)


def test_a_clipped_or_silent_or_short_recording_is_refused() -> None:
    good = recording(*POINTS[0])
    with pytest.raises(CalibrationError, match="current is clipped"):
        read(replace(good, current=np.full((1, RATE_HZ), 2**23 - 1, np.int32)), 50.0)
    with pytest.raises(CalibrationError, match="no voltage or no current"):
        read(replace(good, current=np.zeros((1, RATE_HZ), np.int32)), 50.0)
    with pytest.raises(CalibrationError, match="at least 3200"):
        read(replace(good, voltage=good.voltage[:, :99], current=good.current[:, :99]), 50.0)


def test_readings_without_loads_are_refused() -> None:
    with pytest.raises(CalibrationError, match="0 recordings of 0"):
        solve([], [], Calibration((DATA_SHEET,)))
    with pytest.raises(CalibrationError, match="has voltage and current"):
        KnownLoad(230, 0, 0)
    with pytest.raises(CalibrationError, match="finite"):
        KnownLoad(230, math.nan, 0)
    assert Reading(50, 1j, 1j, 0, 0, 23).frequency_hz == 50


def test_a_shunt_that_has_stood_at_its_load_is_hot_from_the_first_second() -> None:
    # 3 mK/A² · (100 A)² = 30 K; the current is 1 % less than a cold shunt's would be.
    heat = ShuntHeat(3e-3, 60.0)
    assert heat.rise_k(lambda rise_k: 101.0 / (1 + rise_k / 3000)) == pytest.approx(30.0, abs=1e-3)


def test_a_shunt_cools_with_its_time_constant() -> None:
    heat = ShuntHeat(3e-3, 60.0)
    heat.rise_k(lambda _: 100.0)
    for _ in range(60):
        heat.follow(0.0, 1.0)
    assert heat.rise_k(lambda _: 0.0) == pytest.approx(30.0 / math.e, rel=1e-9)


@pytest.mark.parametrize("current_a", [5.0, 85.0])
def test_the_engine_takes_out_what_a_shunts_own_heat_does(current_a: float) -> None:
    # 3 mK/A² · (85 A)² = 21.7 K of rise at 70 °C: 0.3 % of the current if left alone.
    engine = Engine(Calibration((TRUE,)), 1, RATE_HZ)
    (second,) = engine.push(recording(KnownLoad(230.0, current_a, 0.0), 70.0))
    assert second.phases[0].current_a == pytest.approx(current_a, rel=1e-4)
    assert second.phases[0].active_power_w == pytest.approx(230 * current_a, rel=1e-4)
    assert second.phases[0].active_energy_nwh == pytest.approx(230 * current_a / 3.6e-6, rel=1e-4)


def test_heat_is_followed_alike_however_the_stream_is_cut() -> None:
    hot = recording(KnownLoad(230.0, 85.0, 0.5), 23.0)
    mild = recording(KnownLoad(230.0, 40.0, 0.5), 23.0)
    whole = replace(
        hot,
        voltage=np.concatenate([hot.voltage, mild.voltage, mild.voltage], axis=1),
        current=np.concatenate([hot.current, mild.current, mild.current], axis=1),
    )
    energies = []
    for size in (3 * RATE_HZ, 4321, 997):
        engine = Engine(Calibration((TRUE,)), 1, RATE_HZ)
        seconds = []
        for first in range(0, whole.samples, size):
            seconds += engine.push(
                replace(
                    whole,
                    voltage=whole.voltage[:, first : first + size],
                    current=whole.current[:, first : first + size],
                    first_sample=first,
                    start_ns=first * 10**9 // RATE_HZ,
                )
            )
        energies.append([second.phases[0].active_energy_nwh for second in seconds])
    assert energies[0] == energies[1] == energies[2]
