"""Directions and quadrants of one second."""

import pytest

from meter_node.metrology import Measurement, PhaseMeasurement


def a_phase(active_nwh: int, reactive_nvarh: int) -> PhaseMeasurement:
    return PhaseMeasurement(
        voltage_v=230.0,
        current_a=5.0,
        active_power_w=active_nwh * 3600e-9,
        reactive_power_var=reactive_nvarh * 3600e-9,
        apparent_power_va=1150.0,
        power_factor=active_nwh * 3600e-9 / 1150.0,
        active_energy_nwh=active_nwh,
        reactive_energy_nvarh=reactive_nvarh,
    )


def quadrants(of: PhaseMeasurement | Measurement) -> tuple[int, int, int, int]:
    return (
        of.reactive_energy_q1_nvarh,
        of.reactive_energy_q2_nvarh,
        of.reactive_energy_q3_nvarh,
        of.reactive_energy_q4_nvarh,
    )


@pytest.mark.parametrize(
    ("active_nwh", "reactive_nvarh", "expected"),
    [
        (100, 7, (7, 0, 0, 0)),
        (-100, 7, (0, 7, 0, 0)),
        (-100, -7, (0, 0, 7, 0)),
        (100, -7, (0, 0, 0, 7)),
        (0, 7, (7, 0, 0, 0)),
        (0, -7, (0, 0, 0, 7)),
    ],
)
def test_reactive_energy_lies_in_the_quadrant_of_its_signs(
    active_nwh: int, reactive_nvarh: int, expected: tuple[int, int, int, int]
) -> None:
    assert quadrants(a_phase(active_nwh, reactive_nvarh)) == expected


def test_totals_add_directions_without_netting_the_phases() -> None:
    second = Measurement(0, 10**9, 50.0, (a_phase(100, 7), a_phase(-60, 4), a_phase(-1, -2)))
    assert second.import_active_energy_nwh == 100
    assert second.export_active_energy_nwh == 61
    assert second.active_energy_nwh == 39
    assert second.import_reactive_energy_nvarh == 11
    assert second.export_reactive_energy_nvarh == 2
    assert second.reactive_energy_nvarh == 9
    assert quadrants(second) == (7, 4, 2, 0)


def test_total_power_factor_is_power_over_the_sum_of_apparent_powers() -> None:
    second = Measurement(0, 10**9, 50.0, (a_phase(150_000_000, 0), a_phase(50_000_000, 0)))
    assert second.active_power_w == pytest.approx(720.0)
    assert second.apparent_power_va == pytest.approx(2300.0)
    assert second.power_factor == pytest.approx(720 / 2300)


def test_without_load_the_power_factor_is_one() -> None:
    idle = PhaseMeasurement(230.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0, 0)
    assert Measurement(0, 10**9, 50.0, (idle,)).power_factor == 1.0
