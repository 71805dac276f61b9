"""Loads of the type test: their closed formulas against their own waveforms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from meter_node.type_test.loads import (
    UN_V,
    Generator,
    Load,
    Waveform,
    fired_coefficients,
)

BALANCED = Load("active", 5.0, (1.0, ""), (1.0, 1.0, 1.0), 50.0)
RATE_HZ = 8000


def mean_power_w(load: Load, rate_hz: int = RATE_HZ) -> float:
    """Σ u·i over whole periods, each phase's from its own waveform."""
    generator = Generator(load, rate_hz)
    total = 0.0
    for second in range(load.period_s):
        for phase in range(len(load.voltages)):
            voltage_v, current_a = generator.waves(phase, second, 0.0)
            total += float(voltage_v @ current_a) / rate_hz / load.period_s
    return total


@pytest.mark.parametrize("frequency_hz", [49.0, 50.0, 58.8, 60.0, 61.2])
@pytest.mark.parametrize("factor", [(1.0, ""), (0.5, "ind"), (0.8, "cap"), (0.25, "ind")])
def test_a_sines_power_is_the_formulas(factor: tuple[float, str], frequency_hz: float) -> None:
    load = replace(BALANCED, factor=factor, frequency_hz=frequency_hz)
    assert load.power == pytest.approx(3 * 230 * 5 * factor[0])
    assert mean_power_w(load) == pytest.approx(load.power, rel=1e-9)


@pytest.mark.parametrize(
    ("waveform", "power_w"),
    [
        (Waveform.FIFTH, 3 * 1150 * 1.04),
        (Waveform.BURST, 3 * 575.0),
        (Waveform.FIRED, 3 * 575.0),
        (Waveform.HALF_WAVE, 3 * 575.0),
    ],
)
def test_distorted_loads_have_the_power_that_their_formulas_say(
    waveform: Waveform, power_w: float
) -> None:
    load = replace(BALANCED, waveform=waveform)
    assert load.power == pytest.approx(power_w)
    # Where a half wave begins between two samples its power is off by a millionth.
    assert mean_power_w(load) == pytest.approx(power_w, rel=3e-6)


def test_bursts_last_two_cycles_of_four_and_leave_no_rest_over_their_period() -> None:
    load = replace(BALANCED, waveform=Waveform.BURST, voltages=(1.0,))
    assert load.period_s == 2  # 12.5 fours of cycles a second at 50 Hz
    _, current_a = Generator(load, RATE_HZ).waves(0, 0, 0.0)
    cycles = np.abs(current_a[: 4 * 160]).reshape(-1, 40).max(axis=1) > 0
    assert cycles.sum() in (8, 9)  # of 16 quarters of a cycle, one perhaps cut


def test_a_fired_sine_conducts_in_the_second_half_of_each_half_wave() -> None:
    angles = np.linspace(0, 2 * math.pi, 4001)[:-1]
    series = sum(
        cosine * np.cos(order * angles) + sine * np.sin(order * angles)
        for order in range(1, 200, 2)
        for cosine, sine in [fired_coefficients(order)]
    )
    true = np.where(np.sin(2 * angles) < 0, np.sin(angles), 0.0)
    away_from_the_jumps = np.abs(np.cos(angles)) > 0.2
    assert np.abs(series - true)[away_from_the_jumps].max() < 0.02


def test_reactive_power_is_that_of_sine_phi_and_capacitive_is_negative() -> None:
    load = Load("reactive", 5.0, (0.5, "cap"), (1.0,), 50.0)
    assert load.power == pytest.approx(-575.0)
    assert math.cos(load.lag_rad) == pytest.approx(math.sqrt(0.75))


def test_a_phase_without_voltage_or_not_loaded_draws_nothing() -> None:
    assert replace(BALANCED, voltages=(1.0, 0.0, 1.0)).power == pytest.approx(2 * 1150)
    assert replace(BALANCED, only=1).power == pytest.approx(1150)
    assert replace(BALANCED, exported=True).power == pytest.approx(-3 * 1150)


@pytest.mark.parametrize("waveform", list(Waveform))
def test_a_current_is_delayed_by_what_its_filter_delays_it(waveform: Waveform) -> None:
    # A delay of one sample is the waveform one sample later, up to the sample at the seam.
    load = replace(BALANCED, waveform=waveform, voltages=(1.0,))
    generator = Generator(load, RATE_HZ)
    _, early = generator.waves(0, 0, 0.0)
    _, late = generator.waves(0, 0, 1 / RATE_HZ)
    assert late[1:] == pytest.approx(early[:-1], abs=1e-9)


def test_one_second_goes_on_where_the_last_one_ended() -> None:
    generator = Generator(replace(BALANCED, frequency_hz=58.8), RATE_HZ)
    first, _ = generator.waves(1, 0, 0.0)
    second, _ = generator.waves(1, 1, 0.0)
    step = 2 * math.pi * 58.8 / RATE_HZ
    # sin(x + step) = 2 cos(step) sin x − sin(x − step)
    assert second[0] == pytest.approx(2 * math.cos(step) * first[-1] - first[-2], abs=1e-9)
    assert np.abs(first).max() == pytest.approx(math.sqrt(2) * UN_V, rel=1e-4)
