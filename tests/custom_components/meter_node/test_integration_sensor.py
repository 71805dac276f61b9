"""What a homeowner sees of a meter."""

from __future__ import annotations

import pytest
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from integration_home import STATUS_TOPIC, THREE_PHASES, Home, Meter, RealFrame
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.channel.hello import Hello, hello_topic, push_topic
from custom_components.meter_node.channel.registers import REGISTERS
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.sensor import QUANTITY_SENSORS, SENSORS


async def test_nothing_is_shown_before_the_meter_sent_something(home: Home) -> None:
    await home.set_up()
    assert home.states() == {}


async def test_entities_are_named_as_a_homeowner_would(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert home.states() == {
        "sensor.382m_4711_import_energy": "12345.678",
        "sensor.382m_4711_export_energy": "4.321",
        "sensor.382m_4711_power": "1500.4",
        "sensor.382m_4711_power_l1": "500.4",
        "sensor.382m_4711_import_power": "1500.4",
        "sensor.382m_4711_export_power": "0.0",
        "sensor.382m_4711_voltage_l1": "230.12",
        "sensor.382m_4711_voltage_l2": "229.87",
        "sensor.382m_4711_voltage_l3": "231.0",
        "sensor.382m_4711_current_l1": "2.18",
        "sensor.382m_4711_power_factor": "0.998",
        "sensor.382m_4711_power_factor_l1": "0.997",
        "sensor.382m_4711_frequency": "50.012",
        "sensor.382m_4711_clock_deviation": "0",
        "sensor.382m_4711_link_quality": "100",
        "binary_sensor.382m_4711_exporting": "off",
    }


async def test_power_is_negative_while_the_house_exports(home: Home) -> None:
    await home.set_up()
    await home.push(import_active_power=0, export_active_power=23_457)
    assert home.state("active_power") == "-2345.7"


async def test_totals_are_ready_for_the_energy_dashboard(home: Home) -> None:
    await home.set_up()
    await home.push()
    state = home.hass.states.get("sensor.382m_4711_import_energy")
    assert state is not None
    assert state.attributes["device_class"] == SensorDeviceClass.ENERGY
    assert state.attributes["state_class"] == SensorStateClass.TOTAL_INCREASING
    assert state.attributes["unit_of_measurement"] == "kWh"


async def test_energy_per_phase_and_reactive_quantities_wait_disabled(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert home.disabled() == {
        "import_reactive_energy",
        "import_active_energy_l1",
        "import_active_power_l1",
        "export_active_power_l1",
        "import_reactive_power",
        "apparent_power",
    }


async def test_a_quantity_gets_its_entity_when_it_is_first_sent(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert home.entity_id("current_l2") is None
    await home.push(current_l2=1_500)
    assert home.state("current_l2") == "1.5"


async def test_an_instantaneous_value_that_is_not_sent_any_more_is_unknown(home: Home) -> None:
    await home.set_up()
    await home.push()
    without = {key: raw for key, raw in THREE_PHASES.items() if key != "voltage_l2"}
    await home.push(home.meter.seal(home.meter.body(without)))
    assert home.state("voltage_l2") == "unknown"


async def test_a_total_stays_while_pushes_come_without_it(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.push(home.meter.seal(home.meter.body({"voltage_l1": 23_000})))
    assert home.state("import_active_energy") == "12345.678"


async def test_a_register_that_is_no_number_is_passed_over(home: Home) -> None:
    """A float64 in place of the integer, and not a number at all (IEEE 754: NaN)."""
    good = home.meter.body({"import_active_energy": 1, "frequency": 50_000})
    integer = bytes.fromhex("06") + (50_000).to_bytes(4)
    assert good.count(integer) == 1
    await home.set_up()
    await home.push(home.meter.seal(good.replace(integer, bytes.fromhex("187ff8000000000000"))))
    assert home.state("import_active_energy") == "0.001"
    assert home.entity_id("frequency") is None


async def test_a_hello_tells_what_a_meter_is_only_until_its_first_frame(home: Home) -> None:
    await home.set_up()
    assert home.device.model == "382M"
    forged = home.meter.hello(model="Call 555-0100", software="9.9")
    await home.say(home.meter.hello_topic, forged)
    assert home.device.model == "382M"
    await home.push()
    await home.restart()  # the broker hands the forged one over before any frame
    await home.say(home.meter.hello_topic, forged)
    assert (home.device.model, home.device.sw_version) == ("382M-3", "0.1.0")
    await home.push()
    await home.say(home.meter.hello_topic, forged)
    assert (home.device.model, home.device.sw_version) == ("382M-3", "0.1.0")


async def test_the_device_says_what_the_meter_is(home: Home) -> None:
    await home.set_up()
    await home.push()
    device = home.device
    assert device.manufacturer == "Meter Node"
    assert device.model == "382M-3"
    assert device.serial_number == "98764711"
    assert device.sw_version == "0.1.0"
    assert device.name == "382M 4711"


@pytest.fixture
def danish_home(home: Home, danish: RealFrame, real_hello: Hello) -> Home:
    """A home with a real Danish meter behind a bridge."""
    home.meter = Meter(bytes.fromhex(danish.title), danish.keys or pytest.fail("no keys"))
    home.entry = MockConfigEntry(
        domain=DOMAIN,
        title="OMNIPOWER 1522",
        unique_id=danish.title,
        data=home.meter.entry_data,
        options={"scaler_profile": "energy_1_wh"},
    )
    home.entry.add_to_hass(home.hass)
    home.broker.keep(home.meter.hello_topic, real_hello.to_json())
    return home


async def test_a_real_danish_meter_is_read(danish_home: Home, danish: RealFrame) -> None:
    await danish_home.set_up()
    await danish_home.push(danish.payload)
    assert danish_home.state("import_active_energy") == "866.636"
    voltages = [float(danish_home.state(f"voltage_l{phase}") or 0) for phase in (1, 2, 3)]
    assert voltages == [224, 223, 223]
    assert float(danish_home.state("power_factor") or 0) == 1.0
    assert danish_home.entity_id("clock_deviation") is None, "it does not say its zone"
    assert danish_home.state("link_quality") == "100"
    assert danish_home.device.manufacturer == "Kamstrup"
    assert danish_home.device.serial_number == "27581522"
    assert danish_home.device.model == "OMNIPOWER"


async def test_the_scale_of_a_real_meter_is_the_entrys(
    danish_home: Home, danish: RealFrame
) -> None:
    danish_home.hass.config_entries.async_update_entry(
        danish_home.entry, options={"scaler_profile": "energy_10_wh"}
    )
    await danish_home.set_up()
    await danish_home.push(danish.payload)
    assert danish_home.state("import_active_energy") == "8666.36"


async def test_another_scale_puts_its_totals_right(danish_home: Home, danish: RealFrame) -> None:
    danish_home.hass.config_entries.async_update_entry(
        danish_home.entry, options={"scaler_profile": "energy_10_wh"}
    )
    danish_home.freezer.move_to("2020-01-07 22:47:25")  # five seconds later, where the tests live
    await danish_home.set_up()
    await danish_home.push(danish.payload)
    assert danish_home.state("import_active_energy") == "8666.36"

    flow = await danish_home.hass.config_entries.options.async_init(danish_home.entry.entry_id)
    configure = danish_home.hass.config_entries.options.async_configure
    scale = {"scale": {"scaler_profile": "energy_1_wh"}, "tariff": {}, "capacity": {}}
    await configure(flow["flow_id"], scale)
    result = await configure(flow["flow_id"], {"import": {}, "export": {}})
    assert result["step_id"] == "rescale"
    result = await configure(flow["flow_id"], {})
    assert result["type"] == "create_entry"
    await danish_home.settle()
    assert danish_home.state("import_active_energy") == "866.636"


async def test_a_plain_real_meter_is_read_without_keys(
    home: Home, real_frames: dict[str, RealFrame]
) -> None:
    swedish = real_frames["omnipower_3p_se_10s_plain"]
    number = swedish.expected["1.1.0.0.5.255"]
    home.entry = MockConfigEntry(
        domain=DOMAIN,
        title="Plain meter",
        unique_id=number,
        data={"system_title": number},
        options={"scaler_profile": "energy_1_wh"},
    )
    home.entry.add_to_hass(home.hass)
    hello = Hello("Kamstrup_V0001", number, "OMNIPOWER", "0.1.0", 10, STATUS_TOPIC, ciphered=False)
    home.broker.keep(hello_topic(number), hello.to_json())
    await home.set_up()
    home.broker.send(push_topic(number), swedish.payload)
    await home.settle()
    assert home.state("active_power") == "826.0"
    assert home.state("voltage_l2") == "233.0"
    assert home.entity_id("clock_deviation") is None
    assert home.device.manufacturer == "Kamstrup"


def test_every_register_that_is_pushed_has_its_sensor() -> None:
    keys = [sensor.key for sensor in QUANTITY_SENSORS]
    assert {register.key for register in REGISTERS if register.quantity.pushed} < set(keys)
    assert len({sensor.key for sensor in SENSORS}) == len(SENSORS)


def test_every_quantity_has_a_class_for_statistics() -> None:
    for sensor in QUANTITY_SENSORS:
        # Home Assistant has no class for distortion.
        assert sensor.device_class is not None or sensor.key.startswith(
            ("voltage_thd", "current_thd")
        )
        assert sensor.state_class is not None


async def test_a_total_that_comes_once_an_hour_is_shown_after_a_restart_as_it_was(
    home: Home,
) -> None:
    await home.set_up()
    await home.push(import_active_energy=12_345_678)
    del home.broker.retained[home.meter.push_topic]
    await home.restart()
    assert home.state("import_active_energy") == "unavailable"
    short = {"voltage_l1": 23_000}
    await home.push(home.meter.seal(home.meter.body(short)))
    assert home.state("import_active_energy") == "12345.678"
    await home.push(import_active_energy=12_345_700)
    assert home.state("import_active_energy") == "12345.7"


async def test_a_total_that_was_never_heard_is_not_shown_after_a_restart(home: Home) -> None:
    await home.set_up()
    await home.restart()
    await home.push(home.meter.seal(home.meter.body({"voltage_l1": 23_000})))
    assert home.state("import_active_energy") is None
