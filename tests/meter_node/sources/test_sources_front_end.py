"""The modelled front-end: what reaches the converter, and what tolerances make of it."""

from dataclasses import fields

import numpy as np
import pytest

from meter_node.sources.front_end import (
    CODE_LIMIT,
    DATA_SHEET,
    DATA_SHEET_CRYSTAL,
    DATA_SHEET_TOLERANCE,
    HG324_TOLERANCE,
    Crystal,
    FrontEnd,
    Tolerance,
)

SILENT = FrontEnd(noise_codes=0.0, voltage_offset_codes=0.0, current_offset_codes=0.0)
CHANCE = np.random.default_rng(1)


def codes(
    front_end: FrontEnd,
    voltage_v: float,
    current_a: float,
    shunt_c: float = 23.0,
    board_c: float | None = None,
) -> tuple[int, int]:
    voltage, current = front_end.convert(
        np.array([[voltage_v]]), np.array([[current_a]]), shunt_c, CHANCE, board_c
    )
    return int(voltage[0, 0]), int(current[0, 0])


def test_full_scale_is_the_reference_over_gain_shunt_and_divider() -> None:
    # 600 V over 1000 are the reference's 0.6 V; 100 A in 120 µΩ are 12 mV, times 32 of 0.6 V.
    assert codes(SILENT, 300.0, 100.0) == (CODE_LIMIT // 2, round(CODE_LIMIT * 0.012 * 32 / 0.6))


def test_codes_are_clipped_at_24_bits() -> None:
    assert codes(SILENT, 700.0, -200.0) == (CODE_LIMIT - 1, -CODE_LIMIT)


def test_a_warm_shunt_shows_more_and_a_warm_board_shows_its_drift() -> None:
    front_end = FrontEnd(
        noise_codes=0.0,
        current_offset_codes=0.0,
        voltage_offset_codes=0.0,
        shunt_alpha_per_k=1e-3,
        shunt_beta_per_k2=0.0,
        voltage_drift_per_k=1e-4,
    )
    cold_u, cold_i = codes(front_end, 300.0, 50.0, 23.0, 23.0)
    warm_u, warm_i = codes(front_end, 300.0, 50.0, 33.0, 33.0)
    assert warm_i / cold_i == pytest.approx(1.01, rel=1e-6)
    assert warm_u / cold_u == pytest.approx(1.001, rel=1e-6)


def test_the_nominal_calibration_turns_codes_back() -> None:
    voltage, current = codes(DATA_SHEET, 230.0, 65.0)
    (phase,) = DATA_SHEET.calibration(1).phases
    noise_v = 6 * (DATA_SHEET.voltage_noise_codes or 0) * phase.voltage_gain_v
    assert voltage * phase.voltage_gain_v == pytest.approx(230.0, abs=noise_v)
    noise_a = 6 * DATA_SHEET.noise_codes * phase.current_gain_a
    assert current * phase.current_gain_a == pytest.approx(65.0, abs=noise_a)


def test_a_hundred_amperes_and_a_swell_fit_the_data_sheets_range() -> None:
    (phase,) = DATA_SHEET.calibration(1).phases
    assert CODE_LIMIT * phase.current_gain_a > 100 * 2**0.5
    assert CODE_LIMIT * phase.voltage_gain_v > 1.15 * 400 * 1.1


def test_specimens_stay_within_every_tolerance_and_differ() -> None:
    chance = np.random.default_rng(3)
    made = [DATA_SHEET.made(DATA_SHEET_TOLERANCE, chance) for _ in range(200)]
    shunts = [one.shunt_ohm / DATA_SHEET.shunt_ohm - 1 for one in made]
    assert 0.04 < max(map(abs, shunts)) <= 0.05
    # 50 ppm/K of the shunt and 20 of the reference; 3 nH over 200 µΩ; 3 to 10 K/W of 200 µΩ.
    assert max(abs(one.shunt_alpha_per_k) for one in made) <= 70e-6
    assert all(-1e-6 <= one.shunt_beta_per_k2 <= 0 for one in made)
    assert max(abs(one.current_delay_s) for one in made) <= 15e-6
    assert all(0.6e-3 <= one.self_heating_k_per_a2 <= 2e-3 for one in made)
    assert max(abs(one.sensor_error_k) for one in made) <= 1


def test_a_crystal_is_within_its_data_sheet_from_cold_to_hot() -> None:
    # CTS HG324, codes 2 and 3: ±20 ppm at 25 °C, and ±30 ppm of that over temperature.
    chance = np.random.default_rng(5)
    for crystal in (DATA_SHEET_CRYSTAL.made(HG324_TOLERANCE, chance) for _ in range(50)):
        assert abs(crystal.fast_at(25)) <= 20e-6
        for temperature_c in range(-40, 75, 5):
            assert abs(crystal.fast_at(temperature_c) - crystal.fast_at(25)) <= 30e-6
    # -65 K: 1.7'/60 · 5.08 · 65 - 0.45e-3 · 65² - 108.6e-6 · 65³ = 9.36 - 1.90 - 29.82 ppm.
    assert DATA_SHEET_CRYSTAL.fast_at(-40) == pytest.approx(-22.37e-6, abs=0.01e-6)
    assert Crystal().fast_at(-40) == 0


def test_without_tolerance_a_specimen_is_as_its_data_sheets_say() -> None:
    assert DATA_SHEET.made(Tolerance(), CHANCE) == DATA_SHEET
    assert all(field.default == 0.0 for field in fields(Tolerance))
