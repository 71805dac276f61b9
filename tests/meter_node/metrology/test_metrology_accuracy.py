"""RMS, power, reactive power and frequency against closed formulas."""

import math

import numpy as np
import pytest

from meter_node.metrology import Engine, Measurement, PhaseMeasurement
from tests.meter_node.metrology.waveforms import (
    CURRENT_GAIN_A,
    VOLTAGE_GAIN_V,
    Harmonic,
    block,
    calibration,
    energy_sums,
    wave,
)

FREQUENCIES_HZ = (45.0, 49.83, 50.0, 50.07, 60.0, 65.0)
VOLTAGE_HARMONICS = (Harmonic(3, 0.02, 0.3), Harmonic(5, 0.10, 1.1), Harmonic(7, 0.015, 2.0))
CURRENT_HARMONICS = (Harmonic(3, 0.30, 2.5), Harmonic(5, 0.40, 0.4), Harmonic(7, 0.10, -1.0))
U_V = 230.0


def measure_one(
    frequency_hz: float,
    current_a: float,
    lag_rad: float,
    distorted: bool = False,
    nominal_frequency_hz: float = 50.0,
) -> list[Measurement]:
    voltage = wave(U_V, frequency_hz, 0.7, VOLTAGE_HARMONICS if distorted else ())
    current = wave(current_a, frequency_hz, 0.7 - lag_rad, CURRENT_HARMONICS if distorted else ())
    engine = Engine(calibration(), 1, 8000, nominal_frequency_hz)
    return engine.push(block([voltage], [current]))


@pytest.mark.parametrize("frequency_hz", FREQUENCIES_HZ)
@pytest.mark.parametrize("lag_deg", [0, 60, -36.87, 75.52, 180, 150])
@pytest.mark.parametrize("current_a", [0.06, 60.0])
def test_a_sine_is_measured_within_a_tenth_of_class_02s(
    frequency_hz: float, lag_deg: float, current_a: float
) -> None:
    lag_rad = math.radians(lag_deg)
    apparent_va = U_V * current_a
    for second in measure_one(frequency_hz, current_a, lag_rad):
        phase = second.phases[0]
        assert phase.voltage_v == pytest.approx(U_V, rel=2e-5)
        assert phase.current_a == pytest.approx(current_a, rel=1e-4)
        assert phase.active_power_w == pytest.approx(apparent_va * math.cos(lag_rad), rel=2e-4)
        assert phase.reactive_power_var == pytest.approx(
            apparent_va * math.sin(lag_rad) if lag_deg not in (0, 180) else 0,
            abs=1e-4 * apparent_va,
        )
        assert phase.power_factor == pytest.approx(math.cos(lag_rad), rel=4e-4)
        assert second.frequency_hz == pytest.approx(frequency_hz, abs=2e-4)


@pytest.mark.parametrize("frequency_hz", FREQUENCIES_HZ)
@pytest.mark.parametrize("lag_deg", [0, 60, -60])
def test_harmonics_count_in_rms_and_power_but_not_in_reactive_power(
    frequency_hz: float, lag_deg: float
) -> None:
    current_a, lag_rad = 5.0, math.radians(lag_deg)
    voltage_v = U_V * math.sqrt(1 + sum(h.share**2 for h in VOLTAGE_HARMONICS))
    rms_a = current_a * math.sqrt(1 + sum(h.share**2 for h in CURRENT_HARMONICS))
    power_w = U_V * current_a * math.cos(lag_rad) + sum(
        U_V * u.share * current_a * i.share * math.cos(u.angle_rad - i.angle_rad)
        for u, i in zip(VOLTAGE_HARMONICS, CURRENT_HARMONICS, strict=True)
    )
    for second in measure_one(frequency_hz, current_a, lag_rad, distorted=True):
        phase = second.phases[0]
        assert phase.voltage_v == pytest.approx(voltage_v, rel=2e-5)
        assert phase.current_a == pytest.approx(rms_a, rel=2e-5)
        assert phase.active_power_w == pytest.approx(power_w, rel=1e-4)
        assert phase.reactive_power_var == pytest.approx(
            U_V * current_a * math.sin(lag_rad), abs=5e-5 * U_V * current_a
        )
        assert second.frequency_hz == pytest.approx(frequency_hz, abs=2e-4)


@pytest.mark.parametrize("nominal_frequency_hz", [50.0, 60.0])
@pytest.mark.parametrize("rate_hz", [4000, 6400, 8192, 32000])
def test_the_sampling_rate_does_not_matter(rate_hz: int, nominal_frequency_hz: float) -> None:
    frequency_hz = nominal_frequency_hz + 0.1
    voltage = wave(U_V, frequency_hz, 0.2, rate_hz=rate_hz)
    current = wave(5.0, frequency_hz, 0.2 - math.pi / 3, rate_hz=rate_hz)
    engine = Engine(calibration(), 1, rate_hz, nominal_frequency_hz)
    for second in engine.push(block([voltage], [current], rate_hz)):
        assert second.frequency_hz == pytest.approx(frequency_hz, abs=2e-4)
        assert second.phases[0].active_power_w == pytest.approx(575.0, rel=1e-4)
        assert second.phases[0].reactive_power_var == pytest.approx(
            1150 * math.sin(math.pi / 3), rel=1e-4
        )


@pytest.mark.parametrize(
    ("lag_deg", "quadrant"), [(30, "q1"), (150, "q2"), (-150, "q3"), (-30, "q4")]
)
def test_every_angle_of_the_current_registers_in_its_quadrant(lag_deg: int, quadrant: str) -> None:
    second = measure_one(50.0, 5.0, math.radians(lag_deg))[1]
    phase: PhaseMeasurement = second.phases[0]
    filled = {
        name: getattr(phase, f"reactive_energy_{name}_nvarh") for name in ("q1", "q2", "q3", "q4")
    }
    half_of_1150_va_for_a_second_nvarh = 575 / 3600 * 1e9
    assert filled.pop(quadrant) == pytest.approx(half_of_1150_va_for_a_second_nvarh, rel=1e-5)
    assert set(filled.values()) == {0}


def test_three_phases_are_measured_each_by_itself() -> None:
    thirds = [-2 * math.pi * phase / 3 for phase in range(3)]
    voltages = [wave(226.0 + 4 * p, 50.02, thirds[p]) for p in range(3)]
    currents = [wave(1.0 + p, 50.02, thirds[p] - 0.2 * p) for p in range(3)]
    engine = Engine(calibration(3), 3, 8000)
    second = engine.push(block(voltages, currents))[2]
    for p, phase in enumerate(second.phases):
        assert phase.voltage_v == pytest.approx(226 + 4 * p, rel=2e-5)
        assert phase.active_power_w == pytest.approx(
            (226 + 4 * p) * (1 + p) * math.cos(0.2 * p), rel=2e-5
        )
    assert second.frequency_hz == pytest.approx(50.02, abs=2e-4)


def test_noise_of_a_thousandth_leaves_the_frequency_within_a_millihertz() -> None:
    chance = np.random.default_rng(5)
    voltage = wave(U_V, 50.03, 0.4, seconds=20)
    voltage += 0.001 * U_V * chance.standard_normal(voltage.size)
    engine = Engine(calibration(), 1, 8000)
    for second in engine.push(block([voltage], [np.zeros(voltage.size)])):
        assert second.frequency_hz == pytest.approx(50.03, abs=1e-3)


def test_dc_in_the_current_does_not_bias_power_though_the_voltage_has_an_offset() -> None:
    # Unremoved, 5000 codes (0.36 V) times 10 A would be 3.6 W of 575 W.
    voltage = wave(U_V, 50.1, 0.3, seconds=10) + 5000 * VOLTAGE_GAIN_V
    current = wave(5.0, 50.1, 0.3 - math.pi / 3, seconds=10) + 10.0
    seconds = Engine(calibration(), 1, 8000).push(block([voltage], [current]))
    for second in seconds:
        assert second.phases[0].voltage_v == pytest.approx(U_V, rel=2e-5)
        assert second.phases[0].current_a == pytest.approx(math.sqrt(5**2 + 10**2), rel=2e-5)
        assert second.phases[0].active_power_w == pytest.approx(575.0, rel=1e-4)
    # Ten seconds are 501 whole cycles, so no ripple is left in the sum.
    active_nwh, _ = energy_sums(seconds, 0)
    assert active_nwh == pytest.approx(10 * 575 / 3600 * 1e9, rel=5e-5)


def test_the_converters_offset_is_taken_from_the_current() -> None:
    current = wave(0.1, 50.0, 0.0) - 3000 * CURRENT_GAIN_A
    engine = Engine(calibration(current_offset_codes=-3000), 1, 8000)
    for second in engine.push(block([wave(U_V, 50.0)], [current])):
        assert second.phases[0].current_a == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("delay_s", [3e-6, -20e-6, 60e-6])
@pytest.mark.parametrize("frequency_hz", [50.0, 50.4])
def test_a_current_sampled_late_is_put_right(delay_s: float, frequency_hz: float) -> None:
    # At a power factor of 0.25, 60 µs (1.08°) left alone would be 7 % of power.
    lag_rad = math.acos(0.25)
    voltage = wave(U_V, frequency_hz, 0.3, seconds=5)
    current = wave(5.0, frequency_hz, 0.3 - lag_rad, seconds=5, late_s=-delay_s)
    engine = Engine(calibration(current_delay_s=delay_s), 1, 8000)
    seconds = engine.push(block([voltage], [current]))
    for second in seconds:
        assert second.phases[0].active_power_w == pytest.approx(1150 * 0.25, rel=2e-4)
        assert second.phases[0].reactive_power_var == pytest.approx(
            1150 * math.sin(lag_rad), rel=5e-5
        )
    active_nwh, reactive_nvarh = energy_sums(seconds, 0)
    assert active_nwh == pytest.approx(5 * 1150 * 0.25 / 3600 * 1e9, rel=2e-4)
    assert reactive_nvarh == pytest.approx(5 * 1150 * math.sin(lag_rad) / 3600 * 1e9, rel=5e-5)


@pytest.mark.parametrize("frequency_hz", [50.0, 60.0])
@pytest.mark.parametrize("rate_hz", [2000, 8000, 64_000])
@pytest.mark.parametrize("delay_samples", [0.5, 0.9, -1.49, 2.5, -3.3, 10.0])
def test_a_delay_of_many_samples_is_put_right_at_every_rate(
    delay_samples: float, rate_hz: int, frequency_hz: float
) -> None:
    # At a power factor of 0.25 half a sample of 2 kHz left alone would be 37 % of power.
    delay_s, lag_rad = delay_samples / rate_hz, math.acos(0.25)
    voltage = wave(U_V, frequency_hz, 0.3, rate_hz=rate_hz)
    current = wave(5.0, frequency_hz, 0.3 - lag_rad, rate_hz=rate_hz, late_s=-delay_s)
    engine = Engine(calibration(current_delay_s=delay_s), 1, rate_hz, frequency_hz)
    _, *seconds = engine.push(block([voltage], [current], rate_hz))
    for second in seconds:
        assert second.phases[0].active_power_w == pytest.approx(1150 * 0.25, rel=5e-5)
        assert second.phases[0].reactive_power_var == pytest.approx(
            1150 * math.sin(lag_rad), rel=5e-5
        )
    # The first second lacks what was sampled before the stream began.
    active_nwh, _ = energy_sums(seconds, 0)
    assert active_nwh == pytest.approx(2 * 1150 * 0.25 / 3600 * 1e9, rel=5e-5)


def test_a_delay_of_more_than_a_quarter_of_a_cycle_is_refused() -> None:
    Engine(calibration(current_delay_s=-5e-3), 1, 8000)
    with pytest.raises(ValueError, match=r"current delay of L1, 5\.100 ms, is beyond ±5 ms"):
        Engine(calibration(current_delay_s=5.1e-3), 1, 8000)


@pytest.mark.parametrize("temperature_c", [-40.0, 23.0, 70.0])
def test_a_shunts_temperature_does_not_change_the_current(temperature_c: float) -> None:
    rise_k = temperature_c - 23.0
    resistance_share = 1 + 20e-6 * rise_k - 0.4e-6 * rise_k**2
    engine = Engine(calibration(shunt_alpha_per_k=20e-6, shunt_beta_per_k2=-0.4e-6), 1, 8000)
    seconds = engine.push(
        block([wave(U_V, 50.0)], [wave(5.0, 50.0) * resistance_share], temperature_c=temperature_c)
    )
    for second in seconds:
        assert second.phases[0].current_a == pytest.approx(5.0, rel=1e-6)
        assert second.phases[0].active_energy_nwh == pytest.approx(1150 / 3600 * 1e9, rel=1e-6)
