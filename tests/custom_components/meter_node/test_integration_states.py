"""What a homeowner sees of tariff, breaker, credit, limit and relays."""

from __future__ import annotations

from typing import Any

import pytest
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import EntityCategory
from homeassistant.helpers import entity_registry as er
from hypothesis import given
from hypothesis import strategies as st
from integration_home import ALL_IS_WELL, Home, Said

from custom_components.meter_node.binary_sensor import BINARY_SENSORS
from custom_components.meter_node.channel import axdr, objects
from custom_components.meter_node.channel.reading import State
from custom_components.meter_node.data import MeterData, States
from custom_components.meter_node.event import EVENTS
from custom_components.meter_node.sensor import SENSORS, STATE_SENSORS

STATE_KEYS = {sensor.key for sensor in STATE_SENSORS}


async def test_states_are_named_as_a_homeowner_would(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    shown = home.states()
    told = {
        "sensor.382m_4711_current_tariff": "t2",
        "sensor.382m_4711_breaker": "connected",
        "sensor.382m_4711_why_the_supply_is_off": "none",
        "sensor.382m_4711_credit_left": "123.456",
        "sensor.382m_4711_power_limit": "9000",
        "sensor.382m_4711_load_relay_1_goes_on": "unknown",
        "sensor.382m_4711_load_relay_2_goes_on": "2026-11-20T12:15:00+00:00",
    }
    assert {key: shown.get(key) for key in told} == told


async def test_a_meter_without_breaker_relays_and_credit_has_no_entities_for_them(
    home: Home,
) -> None:
    await home.set_up()
    simple: Said = {
        key: value
        for key, value in ALL_IS_WELL.items()
        if key[0] in (objects.ACTIVE_TARIFF, objects.STATUS_WORD, objects.ALARMS)
    }
    await home.push(home.meter.seal(home.meter.body({}, said=simple)))
    assert {key for key in STATE_KEYS if home.entity_id(key)} == {"status_word"}
    assert home.state("active_tariff") == "t2"


async def test_credit_gets_its_entity_when_prepayment_begins(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying({(objects.CREDIT, 2): axdr.null_data()}))
    assert home.entity_id("credit") is None
    await home.push(home.meter.saying())
    assert home.state("credit") == "123.456"
    await home.push(home.meter.saying({(objects.CREDIT, 2): axdr.null_data()}))
    assert home.state("credit") == "unknown"


async def test_credit_is_no_total_and_may_be_below_zero(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying({(objects.CREDIT, 2): axdr.double_long(-1_500)}))
    shown = home.shown("credit")
    assert shown is not None
    assert shown.state == "-1.5"
    assert shown.attributes["unit_of_measurement"] == "kWh"
    assert shown.attributes["device_class"] == SensorDeviceClass.ENERGY_STORAGE
    assert shown.attributes["state_class"] == SensorStateClass.MEASUREMENT


@pytest.mark.parametrize(
    ("control_state", "shown"),
    [(0, "disconnected"), (1, "connected"), (2, "ready_for_reconnection"), (3, "unknown")],
)
async def test_the_breaker_shows_its_control_state(
    home: Home, control_state: int, shown: str
) -> None:
    """IEC 62056-6-2, class 70, attribute 3; 3 is none of the standard's."""
    await home.set_up()
    await home.push(home.meter.saying())
    await home.push(home.meter.saying({(objects.BREAKER, 3): axdr.enum(control_state)}))
    assert home.state("breaker_state") == shown


@pytest.mark.parametrize(
    ("causes", "shown"),
    [
        ("neutral,manual", "neutral"),
        ("credit", "credit"),
        ("", "none"),
        ("flood,manual", "unknown"),
    ],
)
async def test_why_the_supply_is_off_is_the_strongest_cause(
    home: Home, causes: str, shown: str
) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    await home.push(home.meter.saying({(objects.BREAKER_CAUSES, 2): axdr.visible_string(causes)}))
    assert home.state("supply_off_cause") == shown


async def test_a_limit_of_current_is_shown_in_ampere(home: Home) -> None:
    await home.set_up()
    monitored = axdr.structure(
        axdr.long_unsigned(3), axdr.octet_string(objects.MONITORED_CURRENT), axdr.integer(2)
    )
    limit = axdr.double_long_unsigned(16_500)
    await home.push(
        home.meter.saying({(objects.LIMITER, 2): monitored, (objects.LIMITER, 3): limit})
    )
    assert home.state("current_limit") == "16.5"
    assert home.entity_id("power_limit") is None


async def test_without_a_word_on_what_is_watched_no_limit_is_shown(home: Home) -> None:
    """9000 could be watts or milliamperes."""
    await home.set_up()
    await home.push(home.meter.saying({(objects.LIMITER, 2): axdr.null_data()}))
    assert home.entity_id("power_limit") is home.entity_id("current_limit") is None


async def test_a_limit_that_is_lifted_is_unknown(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    await home.push(home.meter.saying({(objects.LIMITER, 3): axdr.null_data()}))
    assert home.state("power_limit") == "unknown"


async def test_the_status_word_is_for_those_who_look_for_faults(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    assert "status_word" in home.disabled()
    entity_id = home.entity_id("status_word")
    assert entity_id is not None
    entry = er.async_get(home.hass).async_get(entity_id)
    assert entry is not None
    assert entry.entity_category is EntityCategory.DIAGNOSTIC


async def test_a_replayed_frame_moves_no_state(home: Home) -> None:
    await home.set_up()
    old = home.meter.saying({(objects.ACTIVE_TARIFF, 2): axdr.unsigned(1)})
    await home.push(home.meter.saying())
    await home.push(old)
    await home.push(home.meter.saying()[:-1] + b"\x00")
    assert home.state("active_tariff") == "t2"


async def test_states_are_unavailable_when_the_meter_is_silent(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    await home.wait(31)
    assert set(home.states().values()) == {"unavailable"}


# --- what a newer meter might send ---------------------------------------------------------------

ODD: dict[str, bytes] = {
    "null": axdr.null_data(),
    "boolean": axdr.boolean(value=True),
    "negative": axdr.double_long(-1),
    "beyond": axdr.long64_unsigned(2**64 - 1),
    "not a number": bytes.fromhex("187ff8000000000000"),
    "text": axdr.visible_string("T1"),
    "long text": axdr.visible_string("7" * 300),
    "bytes": axdr.octet_string(b"\xff"),
    "array": axdr.array(axdr.unsigned(1)),
    "structure": axdr.structure(),
}


@pytest.mark.parametrize("odd", ODD)
async def test_states_of_other_types_are_passed_over(
    home: Home, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    await home.push(home.meter.saying(dict.fromkeys(ALL_IS_WELL, ODD[odd])))
    assert home.state("import_active_energy") == "12345.678"
    assert home.coordinator.refused == {}
    assert "Traceback" not in caplog.text
    assert "Error" not in caplog.text


WHICH = sorted({which.logical_name for which, _ in ALL_IS_WELL})
CLASSES = sorted({which.class_id for which, _ in ALL_IS_WELL})
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=300)
    | st.binary(max_size=20)
    | st.builds(axdr.BitString, st.integers(0, 255), st.just(8)),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=6,
)
STATES = st.builds(
    State, st.sampled_from(CLASSES), st.sampled_from(WHICH), st.integers(2, 4), VALUES
)


@given(st.lists(STATES, max_size=30))
def test_no_state_can_make_an_entity_raise(states: list[State]) -> None:
    data = MeterData({"voltage_l1": 230.0}, States.of(states), keeps_logs=True)
    for row in (*SENSORS, *BINARY_SENSORS):
        value = row.value_fn(data)
        assert value is None or row.has_fn(data), row.key
        options = row.options if row in STATE_SENSORS else None
        assert options is None or value is None or value in options
    for event in EVENTS:
        event.has_fn(data)


def test_only_its_own_class_stands_for_an_object() -> None:
    breaker = objects.BREAKER
    assert not States.of([State(breaker.class_id + 1, breaker.logical_name, 2, 1)]).has(breaker)
