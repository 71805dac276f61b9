"""What may be posted in an issue names no meter and gives no key away."""

from __future__ import annotations

import json

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from integration_home import AskedMeter, Home, logged
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.diagnostics import async_get_config_entry_diagnostics


async def test_keys_and_numbers_are_left_out(home: Home) -> None:
    await home.set_up()
    await home.push()
    text = json.dumps(await async_get_config_entry_diagnostics(home.hass, home.entry))
    for secret in (*home.meter.entry_data.values(), "98764711", "attic"):
        assert secret not in text.lower()


async def test_control_keys_are_left_out_and_that_it_can_be_asked_is_told(
    paired: Home, asked: AskedMeter
) -> None:
    told = await async_get_config_entry_diagnostics(paired.hass, paired.entry)
    text = json.dumps(told).lower()
    for key, secret in asked.entry_data.items():
        assert secret not in text, key
    assert told["can_be_asked"] is True


async def test_what_helps_is_in_it(home: Home) -> None:
    await home.set_up()
    await home.push()
    await home.push(b"noise")
    told = await async_get_config_entry_diagnostics(home.hass, home.entry)
    assert told["entry"]["data"]["encryption_key"] == "**REDACTED**"
    assert told["hello"]["model"] == "382M"
    assert told["available"] is True
    assert (told["push_interval_s"], told["observed_interval_s"]) == (10, None)
    assert told["refused"] == {"foreign": 1}
    assert told["accepted"] == 1
    assert told["invocation_counter"] == 1001
    assert told["reading"]["list"] == "MeterNode_V1"
    assert told["reading"]["texts"]["model"] == "382M-3"
    assert told["values"]["voltage_l1"] == 230.12


async def test_states_and_logs_are_in_it(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.telling(logged("power_up", 7)))
    told = await async_get_config_entry_diagnostics(home.hass, home.entry)
    json.dumps(told)
    assert told["reading"]["states"]["0.0.96.3.10.255 3"] == "1"
    assert told["reading"]["states"]["0.1.128.3.10.255 2"] == "None"
    assert told["reading"]["logs"] == {"0.0.99.98.0.255": 7}


async def test_tariff_costs_and_capacity_are_in_it(home: Home) -> None:
    options = {"tariff_preset": "norway_elvia", "capacity_preset": "norway_elvia"}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.set_up()
    await home.push()
    told = await async_get_config_entry_diagnostics(home.hass, home.entry)
    json.dumps(told)
    assert told["calendar"]["name"] == "Elvia"
    assert told["tariff"] in (1, 2)
    assert told["costs"]["currency"] == "NOK"
    assert told["capacity"]["preset"] == "norway_elvia"


async def test_it_can_be_had_before_the_first_frame(home: Home) -> None:
    del home.broker.retained[home.meter.hello_topic]
    await home.set_up()
    told = await async_get_config_entry_diagnostics(home.hass, home.entry)
    assert told["hello"] is None
    assert told["reading"] is None
    assert told["last_good_frame"] is None


async def test_it_can_be_had_of_a_meter_that_could_not_be_loaded(
    hass: HomeAssistant, entry: MockConfigEntry
) -> None:
    assert not await hass.config_entries.async_setup(entry.entry_id)  # there is no channel
    assert entry.state is ConfigEntryState.SETUP_RETRY
    told = await async_get_config_entry_diagnostics(hass, entry)
    assert told["entry"]["state"] == "setup_retry"
    assert told["entry"]["data"]["encryption_key"] == "**REDACTED**"
    assert set(told) == {"entry"}


async def test_it_can_be_had_of_a_meter_that_was_unloaded(home: Home) -> None:
    await home.set_up()
    await home.push()
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    told = await async_get_config_entry_diagnostics(home.hass, home.entry)
    assert told["entry"]["state"] == "not_loaded"


async def test_a_topic_and_a_name_of_the_users_choice_are_left_out(home: Home) -> None:
    data = {"raw_topic": "reader/98764711/hansen", "pairing_name": "Hansens telefon"}
    home.hass.config_entries.async_update_entry(home.entry, data=home.entry.data | data)
    await home.set_up()
    told = json.dumps(await async_get_config_entry_diagnostics(home.hass, home.entry)).lower()
    assert "hansen" not in told
    assert "98764711" not in told
