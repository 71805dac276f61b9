"""Energy: exact, no sample lost or counted twice, nothing netted, nothing creeping."""

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter_node.metrology import Calibration, Engine, Measurement, SampleBlock
from meter_node.metrology.energy import DelayTaps, moments
from tests.meter_node.metrology.waveforms import (
    CURRENT_GAIN_A,
    START_NS,
    VOLTAGE_GAIN_V,
    Harmonic,
    block,
    calibration,
    energy_sums,
    part,
    wave,
)

RATE_HZ = 2000


def test_the_energy_of_a_recording_is_the_sum_over_its_samples_to_the_last_nwh() -> None:
    recording = block([wave(230, 50, seconds=20)], [wave(5, 50, -math.pi / 3, seconds=20)])
    products = sum(
        u * i
        for u, i in zip(recording.voltage[0].tolist(), recording.current[0].tolist(), strict=True)
    )
    exact_nwh = products * Fraction(VOLTAGE_GAIN_V * CURRENT_GAIN_A) * 10**9 / (8000 * 3600)
    active_nwh, reactive_nvarh = energy_sums(Engine(calibration(), 1, 8000).push(recording), 0)
    assert active_nwh == math.floor(exact_nwh)
    assert active_nwh == pytest.approx(20 * 575 / 3600 * 1e9, rel=1e-6)
    assert reactive_nvarh == pytest.approx(20 * 1150 * math.sin(math.pi / 3) / 3600 * 1e9, rel=1e-6)


def test_a_load_of_less_than_a_nwh_a_second_adds_up_through_the_remainder() -> None:
    # Millivolts and milliamperes, with the gate out of the way: 0.46 nWh a second, of which every
    # second alone would give nothing.
    gains = {"voltage_gain_v": VOLTAGE_GAIN_V / 1e4, "current_gain_a": CURRENT_GAIN_A / 7e4}
    recording = block([wave(230, 50, seconds=10)], [wave(5, 50, seconds=10)])
    engine = Engine(calibration(1, **gains), 1, 8000, starting_current_a=1e-12)
    seconds = engine.push(recording)
    per_second_nwh = 1150 / (1e4 * 7e4) / 3600 * 1e9
    assert [m.phases[0].active_energy_nwh for m in seconds] == [
        math.floor((k + 1) * per_second_nwh) - math.floor(k * per_second_nwh) for k in range(10)
    ]


def test_one_phase_importing_and_another_exporting_both_register() -> None:
    voltage = wave(230, 50)
    i_1kw = wave(1000 / 230, 50)
    nothing = np.zeros(voltage.size)
    seconds = Engine(calibration(3), 3, 8000).push(block([voltage] * 3, [i_1kw, -i_1kw, nothing]))
    for second in seconds:
        assert second.import_active_energy_nwh == pytest.approx(1000 / 3600 * 1e9, rel=1e-6)
        assert second.export_active_energy_nwh == pytest.approx(1000 / 3600 * 1e9, rel=1e-6)
        assert second.active_power_w == pytest.approx(0, abs=0.01)


def busy_recording() -> SampleBlock:
    """2.8 s of three distorted, noisy phases that begin within a second of the grid."""
    chance = np.random.default_rng(3)
    harmonics = (Harmonic(3, 0.2, 1.0), Harmonic(5, 0.1, 2.0))
    shape = {"seconds": 2.8, "rate_hz": RATE_HZ}
    voltages = [wave(228 + p, 50.07, -2.1 * p, **shape) for p in range(3)]  # type: ignore[arg-type]
    currents = [
        wave(3.0 * (p - 1.2), 50.07, -2.1 * p - 0.5, harmonics, **shape)  # type: ignore[arg-type]
        for p in range(3)
    ]
    noise = 0.05 + 0.01 * chance.standard_normal((2, 3, voltages[0].size))
    return block(voltages + noise[0], currents + noise[1], RATE_HZ, first_sample=17 * RATE_HZ + 700)


# From here on each piece of the recording is at another temperature, as a source would say it.
# A tenth of a sample, seven samples late, four early.
DELAYS_S = (40e-6, 3.37e-3, -1.8e-3)
TEMPERATURES_C = {0: -40.0, 1300: 10.0, 1301: 31.5, 3900: 70.0}


def measure_in_cuts(recording: SampleBlock, cuts: list[int]) -> list[Measurement]:
    corrections = {
        "voltage_offset_codes": 1200.0,
        "current_offset_codes": -800.25,
        "shunt_alpha_per_k": 20e-6,
        "shunt_beta_per_k2": -0.4e-6,
    }
    phases = tuple(
        calibration(1, **corrections, current_delay_s=delay_s).phases[0] for delay_s in DELAYS_S
    )
    engine = Engine(Calibration(phases), 3, RATE_HZ)
    edges = sorted({0, *TEMPERATURES_C, *cuts, recording.samples})
    seconds = []
    temperature_c = 23.0
    for start, stop in pairwise(edges):
        temperature_c = TEMPERATURES_C.get(start, temperature_c)
        piece = part(recording, start, stop)
        seconds += engine.push(replace(piece, shunt_temperature_c=temperature_c))
    rest = engine.flush()
    return seconds + ([rest] if rest else [])


BUSY = busy_recording()
BUSY_MEASURED = measure_in_cuts(BUSY, [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, BUSY.samples), max_size=12))
def test_how_the_stream_is_cut_does_not_change_the_last_digit(cuts: list[int]) -> None:
    assert measure_in_cuts(BUSY, cuts) == BUSY_MEASURED


def test_a_stream_of_tiny_blocks_gives_the_same_to_the_last_digit() -> None:
    assert measure_in_cuts(BUSY, list(range(0, BUSY.samples, 3))) == BUSY_MEASURED


def test_the_first_second_may_be_a_part_of_one_and_is_booked() -> None:
    assert [m.complete for m in BUSY_MEASURED] == [False, True, True, False]
    spans_s = [(m.end_ns - m.start_ns) / 1e9 for m in BUSY_MEASURED]
    assert spans_s == pytest.approx([0.65, 1, 1, 0.15])
    assert BUSY_MEASURED[0].start_ns == START_NS
    for earlier, later in pairwise(BUSY_MEASURED):
        assert earlier.end_ns == later.start_ns


@pytest.mark.parametrize("rate_hz", [64_000, 200_000])
def test_full_scale_at_high_rates_does_not_overflow(rate_hz: int) -> None:
    top = 2**23 - 1
    square = np.where(np.arange(2 * rate_hz) % (rate_hz // 50) < rate_hz // 100, top, -top)
    codes = square.astype(np.int32)[None]
    seconds = Engine(calibration(), 1, rate_hz).push(SampleBlock(codes, codes, rate_hz, 0, 0, 23.0))
    power_w = top * top * VOLTAGE_GAIN_V * CURRENT_GAIN_A
    assert energy_sums(seconds, 0)[0] == pytest.approx(2 * power_w / 3600 * 1e9, rel=1e-9)


def test_sums_over_any_length_of_the_most_negative_code_are_exact() -> None:
    lowest = np.full((2, 300_000), -(2**23), dtype=np.int32)
    for delay_samples in (0.0, 0.4, -7.3):
        found = moments(lowest, None, (DelayTaps.of(delay_samples),))[0]
        assert found.product == (300_000 * 2**46) << 30
        assert found.voltage == found.current == (-300_000 * 2**23) << 30


@given(st.floats(-12, 12), st.lists(st.integers(1, 399), max_size=5, unique=True))
def test_delayed_products_add_up_to_the_same_integers_however_they_are_cut(
    delay_samples: float, cuts: list[int]
) -> None:
    codes = np.random.default_rng(6).integers(-(2**23), 2**23, (2, 400), dtype=np.int32)
    taps = (DelayTaps.of(delay_samples),)
    whole = moments(codes, None, taps)[0]
    parts = [
        moments(codes[:, start:stop], codes[:, :start] if start else None, taps)[0]
        for start, stop in pairwise([0, *sorted(cuts), 400])
    ]
    for field in ("samples", "product", "voltage", "current"):
        assert sum(getattr(part, field) for part in parts) == getattr(whole, field)


def test_a_delay_of_whole_samples_pairs_each_current_with_that_much_earlier_a_voltage() -> None:
    u, i = np.random.default_rng(7).integers(-(2**23), 2**23, (2, 50), dtype=np.int64)
    late = moments(np.array((u, i), dtype=np.int32), None, (DelayTaps.of(3.0),))[0]
    before_the_stream = int(u[0]) * int(i[:3].sum())
    assert late.product == (int(u[:-3] @ i[3:]) + before_the_stream) << 30


def test_converter_noise_does_not_creep_at_115_percent_of_voltage() -> None:
    chance = np.random.default_rng(8)
    voltage = wave(1.15 * 230, 50.01, seconds=60)
    noise = 25 * CURRENT_GAIN_A * chance.standard_normal(voltage.size)
    seconds = Engine(calibration(), 1, 8000).push(block([voltage], [noise]))
    assert len(seconds) == 60
    assert {energy_sums([m], 0) for m in seconds} == {(0, 0)}
    assert {m.power_factor for m in seconds} == {1.0}


def test_the_starting_current_registers_active_and_reactive_alike() -> None:
    engine = Engine(calibration(), 1, 8000)
    active = engine.push(block([wave(230, 50)], [wave(0.020, 50)]))
    assert energy_sums(active, 0)[0] == pytest.approx(3 * 4.6 / 3600 * 1e9, rel=1e-3)
    assert energy_sums(active, 0)[1] == 0
    engine = Engine(calibration(), 1, 8000)
    reactive = engine.push(block([wave(230, 50)], [wave(0.020, 50, -math.pi / 2)]))
    assert energy_sums(reactive, 0)[1] == pytest.approx(3 * 4.6 / 3600 * 1e9, rel=1e-3)
    assert energy_sums(reactive, 0)[0] == 0


def test_between_its_two_levels_the_gate_stays_as_it_was() -> None:
    # Off below 8 mA, on above 10 mA: 9 mA does not start registering, but goes on.
    currents_a = (0.009, 0.012, 0.009, 0.007, 0.009)
    engine = Engine(calibration(), 1, 8000)
    registered = []
    for index, current_a in enumerate(currents_a):
        seconds = engine.push(
            block(
                [wave(230, 50)],
                [wave(current_a, 50)],
                first_sample=index * 24_000,
                start_ns=START_NS + index * 3 * 10**9,
            )
        )
        registered.append(seconds[2].phases[0].active_energy_nwh > 0)
    assert registered == [False, True, True, False, False]


def test_a_load_that_comes_on_in_the_last_moment_of_a_second_is_not_lost() -> None:
    current = wave(10, 50, seconds=2)
    current[: 8000 - 160] = 0
    seconds = Engine(calibration(), 1, 8000).push(block([wave(230, 50, seconds=2)], [current]))
    assert seconds[0].phases[0].active_energy_nwh == pytest.approx(
        2300 * 0.02 / 3600 * 1e9, rel=1e-3
    )
