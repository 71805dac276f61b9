"""The register table: OBIS codes, units, and one name for each."""

from __future__ import annotations

import pytest

from meter_node.channel import obis, registers

# facts/dlms.md "Object model" and facts/meter.md "Registers", key by key, with B = 0. Phases are
# C + 20, + 40, + 60 (IEC 62056-61); units by their code in the Blue Book's table.
WATT, VOLT_AMPERE, VAR, WATT_HOUR, VAR_HOUR = 27, 28, 29, 30, 32
AMPERE, VOLT, HERTZ, NONE = 33, 35, 44, 255
EXPECTED = {
    "import_active_energy": ("1.8", WATT_HOUR),
    "import_active_energy_l1": ("21.8", WATT_HOUR),
    "import_active_energy_l2": ("41.8", WATT_HOUR),
    "import_active_energy_l3": ("61.8", WATT_HOUR),
    "export_active_energy": ("2.8", WATT_HOUR),
    "export_active_energy_l1": ("22.8", WATT_HOUR),
    "export_active_energy_l2": ("42.8", WATT_HOUR),
    "export_active_energy_l3": ("62.8", WATT_HOUR),
    "import_reactive_energy": ("3.8", VAR_HOUR),
    "export_reactive_energy": ("4.8", VAR_HOUR),
    "reactive_energy_q1": ("5.8", VAR_HOUR),
    "reactive_energy_q2": ("6.8", VAR_HOUR),
    "reactive_energy_q3": ("7.8", VAR_HOUR),
    "reactive_energy_q4": ("8.8", VAR_HOUR),
    "import_active_power": ("1.7", WATT),
    "import_active_power_l1": ("21.7", WATT),
    "import_active_power_l2": ("41.7", WATT),
    "import_active_power_l3": ("61.7", WATT),
    "export_active_power": ("2.7", WATT),
    "export_active_power_l1": ("22.7", WATT),
    "export_active_power_l2": ("42.7", WATT),
    "export_active_power_l3": ("62.7", WATT),
    "import_reactive_power": ("3.7", VAR),
    "import_reactive_power_l1": ("23.7", VAR),
    "import_reactive_power_l2": ("43.7", VAR),
    "import_reactive_power_l3": ("63.7", VAR),
    "export_reactive_power": ("4.7", VAR),
    "export_reactive_power_l1": ("24.7", VAR),
    "export_reactive_power_l2": ("44.7", VAR),
    "export_reactive_power_l3": ("64.7", VAR),
    "apparent_power": ("9.7", VOLT_AMPERE),
    "voltage_l1": ("32.7", VOLT),
    "voltage_l2": ("52.7", VOLT),
    "voltage_l3": ("72.7", VOLT),
    "current_l1": ("31.7", AMPERE),
    "current_l2": ("51.7", AMPERE),
    "current_l3": ("71.7", AMPERE),
    "power_factor": ("13.7", NONE),
    "power_factor_l1": ("33.7", NONE),
    "power_factor_l2": ("53.7", NONE),
    "power_factor_l3": ("73.7", NONE),
    "frequency": ("14.7", HERTZ),
}


def name(code: str, *, b: int = 0) -> bytes:
    c, d = code.split(".")
    return bytes((1, b, int(c), int(d), 0, 255))


def test_each_register_has_the_obis_code_of_the_object_model() -> None:
    found = {key: registers.BY_KEY[key].logical_name for key in EXPECTED}
    assert found == {key: name(code) for key, (code, _) in EXPECTED.items()}


def test_each_register_has_its_unit() -> None:
    found = {key: int(registers.BY_KEY[key].quantity.unit) for key in EXPECTED}
    assert found == {key: unit for key, (_, unit) in EXPECTED.items()}


def test_what_the_real_meters_write_with_b_of_1_is_the_same_register() -> None:
    for key, (code, _) in EXPECTED.items():
        assert registers.BY_LOGICAL_NAME[name(code, b=1)].key == key


def test_what_idis_meters_write_with_b_of_0_is_the_same_register() -> None:
    for key, (code, _) in EXPECTED.items():
        assert registers.BY_LOGICAL_NAME[name(code)].key == key


def test_no_other_channel_is_taken_for_this_meter() -> None:
    assert name("1.8", b=2) not in registers.BY_LOGICAL_NAME


def test_keys_are_unique() -> None:
    assert len(registers.BY_KEY) == len(registers.REGISTERS)


def test_logical_names_are_unique() -> None:
    names = [register.logical_name for register in registers.REGISTERS]
    assert len(set(names)) == len(names)


def test_each_register_is_found_by_each_of_its_two_names_alone() -> None:
    assert len(registers.BY_LOGICAL_NAME) == 2 * len(registers.REGISTERS)


def test_registers_that_count_are_those_of_energy_but_the_net_and_the_resettable_one() -> None:
    counting = {register.key for register in registers.REGISTERS if register.is_energy}
    units = {register.key: register.quantity.unit for register in registers.REGISTERS}
    energies = {key for key, unit in units.items() if unit in (WATT_HOUR, VAR_HOUR)}
    assert energies - counting == {"net_active_energy", "import_active_energy_customer"}
    assert counting < energies


# facts/meter.md "Registers": 15.8.0 and 16.8.0, tariffs, demand, means, sags and swells, 96.8.0.
OTHERS = {
    "absolute_active_energy": "1.0.15.8.0.255",
    "net_active_energy": "1.0.16.8.0.255",
    "import_active_energy_t1": "1.0.1.8.1.255",
    "export_active_energy_t8": "1.0.2.8.8.255",
    "import_reactive_energy_t3": "1.0.3.8.3.255",
    "export_reactive_energy_t2": "1.0.4.8.2.255",
    "import_active_demand": "1.0.1.4.0.255",
    "import_active_demand_maximum": "1.0.1.6.0.255",
    "export_active_demand_maximum": "1.0.2.6.0.255",
    "voltage_average_l2": "1.0.52.24.0.255",
    "current_average_l3": "1.0.71.24.0.255",
    "voltage_sag_count_l1": "1.0.32.32.0.255",
    "voltage_sag_duration_l2": "1.0.52.33.0.255",
    "voltage_sag_magnitude_l3": "1.0.72.34.0.255",
    "voltage_swell_count_l1": "1.0.32.36.0.255",
    "neutral_current": "1.0.91.7.0.255",
    "voltage_thd_l1": "1.0.32.7.124.255",
    "operating_time": "0.0.96.8.0.255",
}


def test_what_derives_from_energy_and_voltage_has_its_obis_code() -> None:
    found = {key: obis.text(registers.BY_KEY[key].logical_name) for key in OTHERS}
    assert found == OTHERS


def test_there_are_a_hundred_registers_and_more() -> None:
    assert len(registers.REGISTERS) >= 100


@pytest.mark.parametrize("phases", [1, 2, 3])
def test_a_meter_has_the_registers_of_its_phases_and_the_totals(phases: int) -> None:
    keys = {register.key for register in registers.registers_of(phases)}
    without = tuple(f"_l{phase}" for phase in range(phases + 1, 4))
    assert keys == {key for key in registers.BY_KEY if not key.endswith(without or ("?",))}


def test_registers_roll_over_at_ten_million_kilowatt_hours() -> None:
    assert registers.ROLLOVER_WH == 10**7 * 1000


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (registers.METER_NUMBER, (0, 0, 96, 1, 0, 255)),
        (registers.MODEL, (0, 0, 96, 1, 1, 255)),
        (registers.SOFTWARE, (1, 0, 0, 2, 0, 255)),
        (registers.CLOCK, (0, 0, 1, 0, 0, 255)),
    ],
)
def test_identity_and_clock_stand_where_the_standard_puts_them(
    code: bytes, expected: tuple[int, ...]
) -> None:
    assert tuple(code) == expected


# --- logical names as text -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1.0.1.8.0.255", "1-0:1.8.0*255", "1-0:1.8.0"])
def test_a_logical_name_is_read_in_each_of_its_spellings(text: str) -> None:
    assert obis.parse(text) == bytes((1, 0, 1, 8, 0, 255))


def test_a_logical_name_is_written_with_points() -> None:
    assert obis.text(bytes((1, 0, 1, 8, 0, 255))) == "1.0.1.8.0.255"


@pytest.mark.parametrize(
    "text", ["", "1.8.0", "1.0.1.8", "1.0.1.8.0.255.1", "1.0.1.8.0.256", "1.0.x.8.0.255", "1.-1"]
)
def test_what_is_no_logical_name_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="not a logical name"):
        obis.parse(text)


@pytest.mark.parametrize(
    ("b", "becomes"), [(0, 0), (1, 0), (2, 2)], ids=["B = 0", "B = 1", "another channel"]
)
def test_channel_one_and_no_channel_are_the_same(b: int, becomes: int) -> None:
    assert obis.any_channel(name("1.8", b=b)) == name("1.8", b=becomes)
