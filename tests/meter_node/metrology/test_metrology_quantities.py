"""Harmonics, angles, order, unbalance, neutral current, extremes and ten-second frequency."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from meter_node.metrology import Engine, Measurement, PhaseMeasurement, PhaseOrder
from tests.meter_node.metrology.waveforms import (
    Harmonic,
    block,
    calibration,
    wave,
)

THIRD = 2 * math.pi / 3
U_V = 230.0


def last_of(
    voltages: Sequence[np.ndarray],
    currents: Sequence[np.ndarray],
    rate_hz: int = 8000,
    nominal_frequency_hz: float = 50.0,
) -> Measurement:
    engine = Engine(calibration(len(voltages)), len(voltages), rate_hz, nominal_frequency_hz)
    return engine.push(block(voltages, currents, rate_hz))[-1]


def three(
    frequency_hz: float = 50.0, rms_v: Sequence[float] = (U_V, U_V, U_V), turn: float = -THIRD
) -> list[np.ndarray]:
    return [wave(rms, frequency_hz, 0.4 + turn * phase) for phase, rms in enumerate(rms_v)]


HARMONICS = (
    Harmonic(2, 0.01, 0.1),
    Harmonic(3, 0.05, 0.3),
    Harmonic(5, 0.06, 1.1),
    Harmonic(25, 0.004, 2.2),
    Harmonic(40, 0.02, -2.0),
)


@pytest.mark.parametrize("frequency_hz", [45.0, 49.83, 50.0, 50.07, 55.3])
def test_every_harmonic_to_the_40th_is_its_own_and_nothing_leaks(frequency_hz: float) -> None:
    voltage = wave(U_V, frequency_hz, 0.7, HARMONICS)
    current = wave(5.0, frequency_hz, 0.2, HARMONICS[1:3])
    phase = last_of([voltage], [current]).phases[0]
    shares = {item.order: item.share for item in HARMONICS}
    assert len(phase.voltage_harmonics_v) == 40
    for order, rms_v in enumerate(phase.voltage_harmonics_v, start=1):
        true_v = U_V if order == 1 else U_V * shares.get(order, 0.0)
        # IEC 61000-4-7 class I: 5 % of the harmonic, and 0.05 % of the nominal voltage below 1 %.
        assert rms_v == pytest.approx(true_v, rel=1e-3, abs=1e-4 * U_V)
    thd = 100 * math.sqrt(sum(share**2 for share in shares.values()))
    assert phase.voltage_thd_percent == pytest.approx(thd, rel=1e-3)
    assert phase.current_thd_percent == pytest.approx(100 * math.hypot(0.05, 0.06), rel=1e-3)
    assert phase.current_harmonics_a[2] == pytest.approx(5.0 * 0.05, rel=1e-3)


@pytest.mark.parametrize(
    ("rate_hz", "nominal_hz", "orders"),
    # 0.45 · 2000 / 50 = 18; 0.45 · 2000 / 60 = 15; 0.45 · 4000 / 60 = 30
    [(2000, 50.0, 18), (2000, 60.0, 15), (4000, 60.0, 30), (6400, 60.0, 40), (64_000, 50.0, 40)],
)
def test_harmonics_reach_as_far_as_the_sampling_rate_allows(
    rate_hz: int, nominal_hz: float, orders: int
) -> None:
    shape = {"rate_hz": rate_hz, "seconds": 2}
    voltage = wave(U_V, nominal_hz, 0.1, (Harmonic(7, 0.05, 0.5),), **shape)  # type: ignore[arg-type]
    phase = last_of([voltage], [voltage / 50], rate_hz, nominal_hz).phases[0]
    assert len(phase.voltage_harmonics_v) == orders
    assert phase.voltage_harmonics_v[6] == pytest.approx(0.05 * U_V, rel=2e-3)


def test_a_drifting_frequency_does_not_smear_the_40th_harmonic() -> None:
    # 20 mHz in a second would turn the 40th by 0.6 rad over that second: 5 % of it would be lost.
    seconds = np.arange(24_000) / 8000
    turn = 2 * math.pi * (50 * seconds + 0.01 * seconds**2)
    voltage = math.sqrt(2) * U_V * (np.sin(turn) + 0.02 * np.sin(40 * turn))
    phase = last_of([voltage], [voltage / 50]).phases[0]
    assert phase.voltage_harmonics_v[39] == pytest.approx(0.02 * U_V, rel=5e-3)


def test_without_load_there_is_no_distortion_and_no_angle_of_the_current() -> None:
    noise = 1e-3 * np.random.default_rng(4).standard_normal(24_000)
    phase = last_of([wave(U_V, 50)], [noise]).phases[0]
    assert phase.current_thd_percent is None
    assert phase.phase_angle_deg is None
    assert (phase.apparent_power_va, phase.power_factor) == (0.0, 1.0)


def test_without_voltage_there_is_no_angle_and_no_distortion() -> None:
    phase = last_of([np.zeros(24_000)], [wave(5, 50)]).phases[0]
    assert phase.voltage_angle_deg is None
    assert phase.voltage_thd_percent is None


@pytest.mark.parametrize(
    ("lag_deg", "quadrant", "power_factor"),
    [(30, 1, 0.8660), (150, 2, -0.8660), (-150, 3, -0.8660), (-30, 4, 0.8660)],
)
def test_power_factor_has_the_sign_of_power_and_the_angle_tells_the_quadrant(
    lag_deg: float, quadrant: int, power_factor: float
) -> None:
    second = last_of([wave(U_V, 50.1)], [wave(5, 50.1, -math.radians(lag_deg))])
    phase = second.phases[0]
    assert phase.quadrant == quadrant
    assert phase.power_factor == pytest.approx(power_factor, abs=1e-4)
    assert second.power_factor == pytest.approx(power_factor, abs=1e-4)
    assert phase.phase_angle_deg == pytest.approx(lag_deg, abs=0.01)
    assert phase.apparent_power_va == pytest.approx(1150, rel=1e-4)


@pytest.mark.parametrize("frequency_hz", [50.0, 60.0])
def test_angles_are_counted_from_l1(frequency_hz: float) -> None:
    currents = [wave(5, frequency_hz, 0.4 - THIRD * phase - 0.1 * phase) for phase in range(3)]
    second = last_of(three(frequency_hz), currents, 8000, frequency_hz)
    voltage_angles = [phase.voltage_angle_deg for phase in second.phases]
    assert voltage_angles == pytest.approx([0, -120, 120], abs=1e-3)
    lags = [phase.phase_angle_deg for phase in second.phases]
    assert lags == pytest.approx([0, math.degrees(0.1), math.degrees(0.2)], abs=1e-3)


@pytest.mark.parametrize("rms_v", [(230, 230, 230), (230, 230, 0), (230, 0, 230), (0, 230, 230)])
def test_the_phase_order_is_told_even_with_one_phase_missing(rms_v: Sequence[float]) -> None:
    still = [np.zeros(24_000)] * 3
    assert last_of(three(rms_v=rms_v), still).phase_order is PhaseOrder.L1_L2_L3
    assert last_of(three(rms_v=rms_v, turn=THIRD), still).phase_order is PhaseOrder.L1_L3_L2


def test_two_phases_of_a_382m_have_an_order_and_one_conductor_twice_has_none() -> None:
    still = [np.zeros(24_000)] * 2
    assert last_of(three()[:2], still).phase_order is PhaseOrder.L1_L2_L3
    assert last_of([wave(U_V, 50)] * 2, still).phase_order is None
    assert last_of([wave(U_V, 50)], still[:1]).phase_order is None


def test_unbalance_is_what_symmetrical_components_say() -> None:
    # 230 V, and 23 V of negative and 11.5 V of zero sequence: 10 % and 5 %.
    thirds = [np.exp(-1j * THIRD * phase) for phase in range(3)]
    phasors = [230 * a + 23 * a.conjugate() + 11.5 for a in thirds]
    voltages = [wave(abs(u), 50.02, 0.4 + float(np.angle(u))) for u in phasors]
    second = last_of(voltages, [voltage / 40 for voltage in voltages])
    for found in (second.voltage_unbalance, second.current_unbalance):
        assert found
        assert found.negative_percent == pytest.approx(10.0, abs=1e-3)
        assert found.zero_percent == pytest.approx(5.0, abs=1e-3)
    mean_v = sum(map(abs, phasors)) / 3
    deviation = max(abs(abs(u) - mean_v) for u in phasors)
    assert second.voltage_deviation_percent == pytest.approx(100 * deviation / mean_v, abs=1e-3)


def test_one_and_two_phases_have_no_symmetrical_components() -> None:
    second = last_of(three()[:2], [wave(5, 50, 0.4), wave(3, 50, 0.4 - THIRD)])
    assert second.voltage_unbalance is None
    # Mean 4 A, 1 A away from it.
    assert second.current_deviation_percent == pytest.approx(25.0, abs=1e-2)
    assert last_of([wave(U_V, 50)], [wave(5, 50)]).voltage_deviation_percent is None


def test_the_neutral_carries_what_the_phases_do_not_cancel() -> None:
    # Balanced fundamentals cancel, third harmonics add: 3 · 20 % of 5 A.
    currents = [wave(5, 50.07, 0.4 - THIRD * phase, (Harmonic(3, 0.2, 0.3),)) for phase in range(3)]
    assert last_of(three(50.07), currents).neutral_current_a == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize(
    ("currents_a", "neutral_a"),
    # |10 + 5∠−120°| = √(100 + 25 − 50); a lone phase's neutral carries its current.
    [((10.0,), 10.0), ((10.0, 5.0), math.sqrt(75)), ((6.0, 6.0, 0.0), 6.0)],
)
def test_the_neutral_current_of_one_two_and_three_phases(
    currents_a: Sequence[float], neutral_a: float
) -> None:
    currents = [wave(rms, 50, 0.4 - THIRD * phase) for phase, rms in enumerate(currents_a)]
    second = last_of(three()[: len(currents)], currents)
    assert second.neutral_current_a == pytest.approx(neutral_a, rel=1e-4)


def test_offsets_of_the_converters_do_not_reach_the_neutral() -> None:
    engine = Engine(calibration(3, current_offset_codes=2000), 3, 8000)
    shift = 2000 * calibration().phases[0].current_gain_a
    currents = [wave(5, 50, -THIRD * phase) + shift for phase in range(3)]
    assert engine.push(block(three(), currents))[-1].neutral_current_a == pytest.approx(0, abs=1e-3)


def test_lowest_and_highest_voltage_are_those_of_single_cycles() -> None:
    voltage = wave(U_V, 50)
    # From 1.3 s: five cycles at half the voltage, and five at 1.2 of it.
    voltage[10_400:11_200] *= 0.5
    voltage[12_000:12_800] *= 1.2
    phase = last_of([voltage[:16_000]], [np.zeros(16_000)]).phases[0]
    assert phase.lowest_voltage_v == pytest.approx(0.5 * U_V, rel=1e-3)
    assert phase.highest_voltage_v == pytest.approx(1.2 * U_V, rel=1e-3)


def test_there_is_a_half_cycle_value_for_every_half_cycle_and_phase() -> None:
    engine = Engine(calibration(3), 3, 8000)
    seconds = engine.push(block(three(50.07), [np.zeros(24_000)] * 3))
    ends_ns = [end for second in seconds for end in second.half_cycle_ends_ns]
    steps_ns = np.diff(ends_ns)
    assert steps_ns == pytest.approx(1e9 / 100.14, rel=1e-4)
    # Some 40 ms at the end are not seen yet, and one half cycle at first has none before it.
    assert len(ends_ns) == pytest.approx(3 * 100.14, abs=8)
    for second in seconds:
        for phase in second.phases:
            assert len(phase.half_cycle_voltages_v) == len(second.half_cycle_ends_ns)
            assert phase.half_cycle_voltages_v == pytest.approx(
                [U_V] * len(phase.half_cycle_voltages_v), rel=1e-4
            )


def test_the_frequency_of_ten_seconds_is_whole_cycles_over_their_time() -> None:
    voltage = wave(U_V, 49.93, 0.2, seconds=21)
    seconds = Engine(calibration(), 1, 8000).push(block([voltage], [np.zeros(voltage.size)]))
    assert [second.frequency_10s_hz for second in seconds[:9]] == [None] * 9
    for second in seconds[9:]:
        assert second.frequency_10s_hz == pytest.approx(49.93, abs=2e-5)


def test_ten_seconds_with_an_interruption_have_no_frequency() -> None:
    voltage = wave(U_V, 50, 0.2, seconds=20)
    voltage[4 * 8000 : 5 * 8000] = 0
    seconds = Engine(calibration(), 1, 8000).push(block([voltage], [np.zeros(voltage.size)]))
    assert seconds[9].frequency_10s_hz is None
    assert seconds[19].frequency_10s_hz == pytest.approx(50, abs=1e-4)


def test_vector_summation_decides_on_the_sum_of_the_phases() -> None:
    # +1 kW on L1 and −0.6 kW on L2, both lagging by 30° of their own voltage.
    currents = [
        wave(1000 / U_V, 50, 0.4 - 0.2),
        wave(600 / U_V, 50, 0.4 - THIRD + math.pi - 0.2),
        np.zeros(24_000),
    ]
    second = last_of(three(), currents)
    second_nwh = 1e9 / 3600
    # Each phase by itself: L1 in quadrant 1, L2 in quadrant 3.
    assert second.import_active_energy_nwh == pytest.approx(
        1000 * math.cos(0.2) * second_nwh, rel=1e-4
    )
    assert second.export_active_energy_nwh == pytest.approx(
        600 * math.cos(0.2) * second_nwh, rel=1e-4
    )
    assert second.reactive_energy_q1_nvarh == pytest.approx(
        1000 * math.sin(0.2) * second_nwh, rel=1e-4
    )
    assert second.reactive_energy_q3_nvarh == pytest.approx(
        600 * math.sin(0.2) * second_nwh, rel=1e-4
    )
    vector = second.vector_energy
    assert vector.import_active_energy_nwh == pytest.approx(
        400 * math.cos(0.2) * second_nwh, rel=1e-4
    )
    assert vector.export_active_energy_nwh == 0
    assert vector.reactive_energy_q1_nvarh == pytest.approx(
        400 * math.sin(0.2) * second_nwh, rel=1e-4
    )
    assert vector.reactive_energy_q3_nvarh == 0


def test_a_measurement_of_a_simulation_needs_no_waves() -> None:
    phase = PhaseMeasurement(230.0, 5.0, 1150.0, 0.0, 1150.0, 1.0, 319_444_444, 0)
    second = Measurement(0, 10**9, 50.0, (phase,))
    assert (phase.lowest_voltage_v, phase.highest_voltage_v) == (230.0, 230.0)
    assert second.phase_order is None
    assert phase.voltage_thd_percent is None
