"""What is so or not: alarms, phases, relays, and which way the power goes."""

from __future__ import annotations

import pytest
from homeassistant.components.binary_sensor.const import BinarySensorDeviceClass
from homeassistant.const import EntityCategory
from integration_home import ALL_IS_WELL, THREE_PHASES, Home, alarm

from custom_components.meter_node.binary_sensor import BINARY_SENSORS
from custom_components.meter_node.channel import axdr, objects
from custom_components.meter_node.channel.alarms import ALARMS, BITS, register
from custom_components.meter_node.channel.reading import State
from custom_components.meter_node.data import MeterData, States

PHASES = {f"voltage_l{phase}": 230.0 for phase in (1, 2, 3)}
BY_KEY = {sensor.key: sensor for sensor in BINARY_SENSORS}
USUALLY_ON = {"relay_1", "present_l1", "present_l2", "present_l3"}
UNUSUAL = {
    "clock_invalid": {"clock_invalid"},
    "store_error": {"meter_fault"},
    "memory_error": {"meter_fault"},
    "program_error": {"meter_fault"},
    "magnet": {"magnet", "tamper"},
    "cover_open": {"tamper"},
    "breaker_failure": {"breaker_failure"},
    "neutral_fault": {"neutral_fault"},
    "limiter_exceeded": {"limiter_exceeded"},
    "credit_low": {"credit_low"},
    "credit_exhausted": {"credit_low"},
    **{f"under_voltage_l{n}": {"under_voltage", f"under_voltage_l{n}"} for n in (1, 2, 3)},
    **{f"over_voltage_l{n}": {"over_voltage", f"over_voltage_l{n}"} for n in (1, 2, 3)},
    **{f"missing_voltage_l{n}": {f"present_l{n}"} for n in (1, 2, 3)},
}
"""Which sensors an alarm changes from how they stand while all is well."""


def data(bits: int) -> MeterData:
    """What a prepaid three-phase meter with breaker says while these alarms hold."""
    return MeterData(
        PHASES,
        States.of(
            [
                State(objects.ALARMS.class_id, objects.ALARMS.logical_name, 2, bits),
                State(objects.BREAKER.class_id, objects.BREAKER.logical_name, 2, True),
                State(objects.CREDIT.class_id, objects.CREDIT.logical_name, 2, 1000),
                State(objects.LIMITER.class_id, objects.LIMITER.logical_name, 3, 9000),
            ]
        ),
    )


def on(bits: int) -> set[str]:
    return {sensor.key for sensor in BINARY_SENSORS if sensor.value_fn(data(bits))}


@pytest.mark.parametrize("name", BITS)
def test_each_alarm_is_shown_where_it_belongs(name: str) -> None:
    assert on(0) ^ on(register([name])) == UNUSUAL[name]


def test_an_alarm_of_a_newer_meter_is_passed_over() -> None:
    unknown = 0xFFFFFFFF & ~register(alarm.name for alarm in ALARMS)
    assert unknown
    assert on(unknown) == on(0)


async def test_all_is_well(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    shown = {
        key: state for key in BY_KEY if (state := home.state(key, "binary_sensor")) is not None
    }
    # Which tariff is the peak tells a calendar, which nobody asked this meter for.
    expected = set(BY_KEY) - home.disabled() - {"peak_tariff"}
    assert {key for key, state in shown.items() if state == "on"} == USUALLY_ON
    assert {key for key, state in shown.items() if state == "off"} == expected - USUALLY_ON


async def test_they_are_named_as_a_homeowner_would(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying(alarm("missing_voltage_l2", "cover_open")))
    shown = home.states()
    assert shown["binary_sensor.382m_4711_phase_l1"] == "on"
    assert shown["binary_sensor.382m_4711_phase_l2"] == "off"
    assert shown["binary_sensor.382m_4711_load_relay_1"] == "on"
    assert shown["binary_sensor.382m_4711_load_relay_2"] == "off"
    assert shown["binary_sensor.382m_4711_tampering"] == "on"
    assert shown["binary_sensor.382m_4711_strong_magnetic_field"] == "off"


async def test_voltage_per_phase_waits_disabled(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    assert home.disabled() & set(BY_KEY) == {
        f"{kind}_voltage_l{phase}" for kind in ("under", "over") for phase in (1, 2, 3)
    }


async def test_a_flat_has_one_phase(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body({"voltage_l1": 23_000}, said=ALL_IS_WELL)))
    assert home.state("present_l1", "binary_sensor") == "on"
    for phase in (2, 3):
        for key in ("present", "under_voltage", "over_voltage"):
            assert home.entity_id(f"{key}_l{phase}", "binary_sensor") is None


async def test_a_meter_without_alarms_only_shows_which_way_the_power_goes(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert [key for key in BY_KEY if home.entity_id(key, "binary_sensor")] == ["exporting"]


async def test_what_is_only_for_a_breaker_needs_one(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body(THREE_PHASES, said=alarm())))
    assert home.state("neutral_fault", "binary_sensor") == "off"
    for key in ("breaker_failure", "limiter_exceeded", "credit_low", "relay_1"):
        assert home.entity_id(key, "binary_sensor") is None


@pytest.mark.parametrize(
    ("imported", "exported", "shown"), [(0, 12_000, "on"), (12_000, 0, "off"), (900, 900, "off")]
)
async def test_a_house_exports_when_more_goes_out_than_comes_in(
    home: Home, imported: int, exported: int, shown: str
) -> None:
    """Phases are not netted: both can be above zero at once."""
    await home.set_up()
    await home.push(import_active_power=imported, export_active_power=exported)
    assert home.state("exporting", "binary_sensor") == shown


async def test_a_relay_is_followed(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    await home.push(home.meter.saying({(objects.RELAYS[2], 2): axdr.boolean(value=True)}))
    assert home.state("relay_2", "binary_sensor") == "on"


def test_each_has_the_class_that_home_assistant_gives_it() -> None:
    classes = {sensor.key: sensor.device_class for sensor in BINARY_SENSORS}
    assert classes.pop("exporting") is None  # there is none for a direction
    assert classes.pop("peak_tariff") is None  # nor for a time of day
    assert {key for key, kind in classes.items() if kind is BinarySensorDeviceClass.POWER} == {
        "relay_1",
        "relay_2",
        "present_l1",
        "present_l2",
        "present_l3",
    }
    assert {key for key, kind in classes.items() if kind is BinarySensorDeviceClass.TAMPER} == {
        "tamper",
        "magnet",
    }
    assert set(classes.values()) == {
        BinarySensorDeviceClass.POWER,
        BinarySensorDeviceClass.TAMPER,
        BinarySensorDeviceClass.PROBLEM,
    }


def test_faults_of_the_meter_itself_are_diagnostic() -> None:
    assert {sensor.key for sensor in BINARY_SENSORS if sensor.entity_category} == {
        "meter_fault",
        "clock_invalid",
    }
    assert BY_KEY["meter_fault"].entity_category is EntityCategory.DIAGNOSTIC
