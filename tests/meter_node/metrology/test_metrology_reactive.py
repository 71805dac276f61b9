"""Reactive power and energy where frequency, phase, voltage or load do not stand still."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from meter_node.metrology import Engine, Measurement
from tests.meter_node.metrology.waveforms import block, calibration, energy_sums

RATE_HZ = 8000
SECONDS = 20
T_S = np.arange(SECONDS * RATE_HZ) / RATE_HZ
VAR = 230.0 * 5.0
SECOND_NVARH = 1e9 / 3600


def measure(
    turn: NDArray[np.float64],
    voltage_share: NDArray[np.float64] | float,
    current_share: NDArray[np.float64] | float,
) -> list[Measurement]:
    """230 V and 5 A times these, the current 90° behind: 1150 var where both shares are 1."""
    voltage = voltage_share * math.sqrt(2) * 230.0 * np.sin(turn)
    current = current_share * math.sqrt(2) * 5.0 * np.sin(turn - math.pi / 2)
    return Engine(calibration(), 1, RATE_HZ).push(block([voltage], [current], RATE_HZ))


@pytest.mark.parametrize("drift_hz_per_s", [0.5, -0.5])
def test_a_drifting_frequency_costs_no_reactive_energy(drift_hz_per_s: float) -> None:
    turn = 2 * math.pi * (50 * T_S + drift_hz_per_s / 2 * (T_S - SECONDS / 2) ** 2)
    seconds = measure(turn, 1.0, 1.0)
    for second in seconds:
        assert second.phases[0].reactive_power_var == pytest.approx(VAR, rel=1e-4)
    assert energy_sums(seconds, 0)[1] == pytest.approx(SECONDS * VAR * SECOND_NVARH, rel=1e-4)


@pytest.mark.parametrize("frequency_hz", [50.0, 50.07])
def test_half_a_second_at_half_the_voltage_counts_as_what_it_is(frequency_hz: float) -> None:
    # An impedance: half the voltage is half the current, a quarter of the power.
    share = np.where(T_S % 1 < 0.5, 1.0, 0.5)
    seconds = measure(2 * math.pi * frequency_hz * T_S, share, share)
    true_var = VAR * (1 + 0.25) / 2
    # A step within a cycle leaves that cycle's phasor open: twice 0.06 of a cycle's power a second.
    shown_var = [second.phases[0].reactive_power_var for second in seconds]
    assert np.mean(shown_var) == pytest.approx(true_var, rel=6e-3)
    assert energy_sums(seconds, 0)[1] == pytest.approx(SECONDS * true_var * SECOND_NVARH, rel=5e-3)


@pytest.mark.parametrize("eighth", range(8))
@pytest.mark.parametrize("around_s", [10.3, 10.97])
def test_a_load_switched_within_a_cycle_leaves_a_twelfth_of_its_energy_open(
    around_s: float, eighth: int
) -> None:
    # Voltage turned back by 90° times current is VAR · (1 − cos 2(ωt − 90°)), and whole cycles have
    # VAR. Of what begins at t the cosine leaves VAR · sin 2(ωt − 90°) / 2ω: no more than 1/2ω, a
    # twelfth of a cycle or 0.16 % of a second of the load. In eighths of a cycle that
    # is none, all, none, all the other way. The rest is that the load comes with a whole sample.
    omega = 2 * math.pi * 50
    at_s = around_s + eighth * 0.02 / 8
    seconds = measure(omega * T_S, 1.0, (at_s <= T_S).astype(np.float64))
    left_s = math.sin(2 * (omega * at_s - math.pi / 2)) / (2 * omega)
    assert abs(left_s) <= 0.0016
    booked_s = energy_sums(seconds, 0)[1] / (VAR * SECOND_NVARH)
    assert booked_s == pytest.approx(SECONDS - at_s + left_s, abs=1 / RATE_HZ)
    # Nothing of it stays: each second behind the step is right.
    for second in seconds[12:]:
        assert second.phases[0].reactive_power_var == pytest.approx(VAR, rel=1e-6)


def test_where_in_a_cycle_a_load_is_switched_evens_out() -> None:
    # Sixteen times on for 37 eighths of a cycle, an eighth of a cycle later each time; both sides
    # of a burst leave something, none of which has a direction of its own.
    begun_s = np.floor(T_S) * (1 + 0.02 / 8) + 0.2
    on = (abs(T_S - begun_s - 0.04625) < 0.04625) & (T_S >= 2) & (T_S < 18)
    seconds = measure(2 * math.pi * 50 * T_S, 1.0, on.astype(np.float64))
    booked_s = energy_sums(seconds, 0)[1] / (VAR * SECOND_NVARH)
    assert booked_s == pytest.approx(np.count_nonzero(on) / RATE_HZ, rel=5e-4)


def test_a_jump_of_phase_costs_a_cycle_and_not_a_second() -> None:
    # 90° in the middle of each second: only the two halves of the cycle it falls into cancel.
    turn = 2 * math.pi * 50 * T_S + np.floor(T_S + 0.5) * math.pi / 2
    seconds = measure(turn, 1.0, 1.0)
    assert energy_sums(seconds, 0)[1] == pytest.approx(SECONDS * VAR * SECOND_NVARH, rel=1e-2)


@pytest.mark.parametrize("frequency_hz", [49.9, 50.0, 50.07])
@pytest.mark.parametrize("at_s", [0.5, 0.92, 0.98])
def test_a_burst_is_booked_once_wherever_in_a_second_it_lies(
    at_s: float, frequency_hz: float
) -> None:
    # A tenth of a second's load each five seconds.
    on = ((T_S - at_s) % 5 < 0.1).astype(np.float64)
    seconds = measure(2 * math.pi * frequency_hz * T_S, 1.0, on)
    true_nvarh = float(np.mean(on)) * SECONDS * VAR * SECOND_NVARH
    assert energy_sums(seconds, 0)[1] == pytest.approx(true_nvarh, rel=2e-3)


def test_a_load_that_goes_is_never_taken_back_as_export() -> None:
    # On until the moment no window has seen yet; then nothing, then the opposite.
    share = np.select([T_S < 4.99, T_S < 8.0], [1.0, 0.0], -1.0)
    seconds = measure(2 * math.pi * 50 * T_S, 1.0, share)
    imported = [second.import_reactive_energy_nvarh for second in seconds]
    exported = [second.export_reactive_energy_nvarh for second in seconds]
    assert sum(imported) == pytest.approx(4.99 * VAR * SECOND_NVARH, rel=0.01)
    assert sum(exported[:8]) == 0
    assert sum(exported) == pytest.approx(12 * VAR * SECOND_NVARH, rel=0.01)
