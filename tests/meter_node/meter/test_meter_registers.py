"""The meter books exactly what was measured: nothing netted, nothing lost, nothing back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meter_node.channel.registers import SUMMED_ENERGIES, registers_of
from meter_node.meter.meter import Meter
from meter_node.meter.snapshot import NANO, Snapshot
from meter_node.meter.variant import Variant, VariantError
from meter_node.metrology.measurement import Measurement, PhaseMeasurement

ONE_WH = NANO
PHASE = PhaseMeasurement(
    voltage_v=230.0,
    current_a=0.0,
    active_power_w=0.0,
    reactive_power_var=0.0,
    apparent_power_va=0.0,
    power_factor=1.0,
    active_energy_nwh=0,
    reactive_energy_nvarh=0,
)


def second(*phases: PhaseMeasurement) -> Measurement:
    """One second of the given phases."""
    return Measurement(start_ns=0, end_ns=NANO, frequency_hz=50.0, phases=phases)


def energy(active: int, reactive: int = 0) -> PhaseMeasurement:
    """A phase with so many nWh and nvarh."""
    return replace(PHASE, active_energy_nwh=active, reactive_energy_nvarh=reactive)


def test_one_phase_importing_and_one_exporting_move_both_registers() -> None:
    meter = Meter(Variant())
    meter.advance(second(energy(ONE_WH), energy(-ONE_WH), energy(0)))
    kept = meter.snapshot().energies_nwh
    assert (kept["import_active_energy"], kept["export_active_energy"]) == (ONE_WH, ONE_WH)
    assert (kept["import_active_energy_l1"], kept["export_active_energy_l2"]) == (ONE_WH, ONE_WH)


@pytest.mark.parametrize(
    ("active", "reactive", "quadrant"), [(1, 1, 1), (-1, 1, 2), (-1, -1, 3), (1, -1, 4)]
)
def test_reactive_energy_goes_to_the_quadrant_of_its_signs(
    active: int, reactive: int, quadrant: int
) -> None:
    meter = Meter(Variant())
    meter.advance(second(energy(active, reactive), energy(0), energy(0)))
    kept = meter.snapshot().energies_nwh
    booked = {name: value for name, value in kept.items() if name.startswith("reactive") and value}
    assert booked == {f"reactive_energy_q{quadrant}": 1, f"reactive_energy_q{quadrant}_l1": 1}
    direction = "import" if reactive > 0 else "export"
    assert kept[f"{direction}_reactive_energy"] == 1


small = st.integers(-(10**12), 10**12)


@given(st.lists(st.tuples(*[st.tuples(small, small)] * 3), min_size=1, max_size=30))
def test_totals_are_the_sum_of_their_phases_to_the_last_nanowatt_hour(
    seconds: list[tuple[tuple[int, int], ...]],
) -> None:
    meter = Meter(Variant())
    before = meter.snapshot().energies_nwh
    for phases in seconds:
        meter.advance(second(*(energy(*phase) for phase in phases)))
        now = meter.snapshot().energies_nwh
        assert all(now[key] >= before[key] for key in now), "a register went backwards"
        before = now
    for name in SUMMED_ENERGIES:
        assert before[name] == sum(before[f"{name}_l{phase}"] for phase in (1, 2, 3))
    for name in SUMMED_ENERGIES[:4]:
        assert before[name] == sum(before[f"{name}_t{tariff}"] for tariff in range(1, 9))
    # Import less export is what the phases measured, to the last unit.
    measured = sum(active for phases in seconds for active, _ in phases)
    assert before["import_active_energy"] - before["export_active_energy"] == measured


def test_registers_roll_over_at_ten_million_kilowatt_hours() -> None:
    almost = 10**7 * 1000 * NANO - 1
    meter = Meter(Variant("162M", phases=1), {"import_active_energy": almost})
    meter.advance(second(energy(3)))
    assert meter.snapshot().energies_nwh["import_active_energy"] == 2


def test_a_meter_goes_on_from_what_was_kept() -> None:
    meter = Meter(Variant(), {"import_active_energy": 5 * ONE_WH + 7})
    meter.advance(second(energy(ONE_WH), energy(0), energy(0)))
    assert meter.snapshot().energies_nwh["import_active_energy"] == 6 * ONE_WH + 7


def test_shown_energy_is_truncated_and_shown_power_is_rounded_to_its_scaler() -> None:
    snapshot = Snapshot(
        0,
        {"import_active_energy": 2 * ONE_WH - 1},
        {"import_active_power": 230.04, "voltage_l1": 229.996, "current_l1": 0.0126},
    )
    assert snapshot.raw("import_active_energy") == 1
    assert snapshot.raw("import_active_power") == 2300  # 0.1 W
    assert snapshot.raw("voltage_l1") == 23000  # 0.01 V
    assert snapshot.raw("current_l1") == 13  # 1 mA
    assert snapshot.raw("frequency") is None


def test_shown_import_and_export_power_are_not_netted_between_phases() -> None:
    meter = Meter(Variant())
    meter.advance(
        second(replace(PHASE, active_power_w=1000.0), replace(PHASE, active_power_w=-1000.0), PHASE)
    )
    shown = meter.snapshot().instantaneous
    assert (shown["import_active_power"], shown["export_active_power"]) == (1000.0, 1000.0)


def test_a_one_phase_meter_has_no_register_of_the_second_phase() -> None:
    meter = Meter(Variant("162M", phases=1))
    meter.advance(second(energy(1)))
    snapshot = meter.snapshot()
    keys = set(snapshot.energies_nwh) | set(snapshot.instantaneous) | set(snapshot.counted)
    assert keys <= {register.key for register in registers_of(1)}
    assert not {key for key in keys if key.endswith(("_l2", "_l3"))}


def test_a_measurement_of_other_phases_than_the_meters_is_refused() -> None:
    with pytest.raises(ValueError, match="2 phases for a meter of 3"):
        Meter(Variant()).advance(second(PHASE, PHASE))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"model": "500M"}, "500M"),
        ({"model": "162M", "phases": 3}, "not 3"),
        ({"current_range": "5(80)"}, r"5\(80\)"),
        ({"current_range": "5(100)", "breaker": True}, "not made with a breaker"),
        ({"relays": 3}, "none, one or two"),
    ],
)
def test_what_the_brochure_does_not_offer_is_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(VariantError, match=said):
        Variant(**wrong)  # type: ignore[arg-type]
