"""Setting a meter up over Bluetooth: discovered, chosen by hand, or found by its pairing text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_home import WAIT_S, House, Node, until
from homeassistant import config_entries
from homeassistant.components.bluetooth import BluetoothServiceInfoBleak
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.loader import async_get_integration

from custom_components.meter_node import bluetooth
from custom_components.meter_node.channel import gatt
from custom_components.meter_node.const import DOMAIN


def service_info(title: bytes, name: str = "382M", data: bytes | None = None) -> Any:
    """What Home Assistant hands to a flow."""
    address = "C0:00:00:00:00:01"
    service_data = {gatt.SERVICE_UUID: gatt.service_data(title) if data is None else data}
    advertised = AdvertisementData(name, {}, service_data, [gatt.SERVICE_UUID], None, -60, ())
    return BluetoothServiceInfoBleak(
        name=name,
        address=address,
        rssi=-60,
        manufacturer_data={},
        service_data=service_data,
        service_uuids=[gatt.SERVICE_UUID],
        source="local",
        device=BLEDevice(address, name, {}),
        advertisement=advertised,
        connectable=True,
        time=0.0,
        tx_power=None,
    )


async def discovered(hass: HomeAssistant, info: Any) -> Any:
    return await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": config_entries.SOURCE_BLUETOOTH}, data=info
    )


async def proven(hass: HomeAssistant, node: Node, flow: Any) -> Any:
    """Let the meter push until the flow is through with it."""

    async def pushing() -> None:
        while True:
            node.push()
            await asyncio.sleep(0.1)

    assert flow["type"] is FlowResultType.SHOW_PROGRESS, flow
    task = asyncio.create_task(pushing())
    try:
        async with asyncio.timeout(WAIT_S):
            while flow["type"] is FlowResultType.SHOW_PROGRESS:
                await asyncio.sleep(0.1)
                flow = await hass.config_entries.flow.async_configure(flow["flow_id"])
    finally:
        task.cancel()
    return flow


@pytest.fixture
async def alone(house: House, hass: HomeAssistant) -> AsyncIterator[House]:
    """No entry yet; what the test adds is unloaded at its end."""
    await hass.config_entries.async_remove(house.entry.entry_id)
    await until(lambda: bluetooth.advertised(hass))
    yield house
    await hass.async_block_till_done()
    for entry in hass.config_entries.async_loaded_entries(DOMAIN):
        assert await hass.config_entries.async_unload(entry.entry_id)


def test_the_manifest_finds_what_a_node_advertises(hass: HomeAssistant) -> None:
    async def matchers() -> Any:
        return (await async_get_integration(hass, DOMAIN)).bluetooth

    assert hass.loop.run_until_complete(matchers()) == [
        {"connectable": True, "service_data_uuid": gatt.SERVICE_UUID}
    ]


async def test_a_meter_in_reach_is_discovered_and_set_up_with_its_pairing_text(
    alone: House, hass: HomeAssistant
) -> None:
    flows = hass.config_entries.flow
    await until(lambda: flows.async_progress_by_handler(DOMAIN))
    (flow,) = flows.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == "bluetooth"
    assert flow["context"]["unique_id"] == alone.meter.title
    assert flow["context"]["title_placeholders"] == {"name": f"382M ({alone.meter.title})"}
    assert flow["step_id"] == "keys"
    asked = alone.node.answering.asked
    result = await flows.async_configure(flow["flow_id"], {"pairing_text": asked.pairing_text})
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    assert result["title"] == "382M 4711"
    assert result["data"] == asked.entry_data
    assert [one.source for one in alone.node.answering.askers] == ["bluetooth"]
    await hass.async_block_till_done()
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.state is ConfigEntryState.LOADED
    await alone.connected()


async def test_wrong_keys_are_told_and_can_be_mended(alone: House, hass: HomeAssistant) -> None:
    flow = await discovered(hass, service_info(alone.meter.system_title))
    if flow["type"] is not FlowResultType.FORM:  # its advertisement was heard before
        (flow,) = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    wrong = {"encryption_key": "00" * 16, "authentication_key": "11" * 16}
    result = await hass.config_entries.flow.async_configure(flow["flow_id"], wrong)
    result = await proven(hass, alone.node, result)
    assert result["step_id"] == "keys"
    assert result["errors"] == {"base": "wrong_keys"}
    result = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {"pairing_text": alone.meter.pairing_text}
    )
    result = await proven(hass, alone.node, result)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def paired_with(hass: HomeAssistant, alone: House, flow: Any) -> None:
    """Paste the meter's pairing text; the entry is made once a push was opened with it."""
    flow = await hass.config_entries.flow.async_configure(
        flow["flow_id"], {"pairing_text": alone.meter.pairing_text}
    )
    flow = await proven(hass, alone.node, flow)
    assert flow["type"] is FlowResultType.CREATE_ENTRY


async def test_a_meter_in_reach_can_be_chosen_by_hand(alone: House, hass: HomeAssistant) -> None:
    flows = hass.config_entries.flow
    result: Any = await flows.async_init(DOMAIN, context={"source": "user"})
    assert result["description_placeholders"]["count"] == "1"
    result = await flows.async_configure(result["flow_id"], {"meter": alone.meter.title})
    assert result["step_id"] == "keys"
    assert alone.meter.title in result["description_placeholders"]["meter"]
    await paired_with(hass, alone, result)


async def test_a_pairing_text_alone_finds_the_meter_over_bluetooth(
    alone: House, hass: HomeAssistant
) -> None:
    flows = hass.config_entries.flow
    result: Any = await flows.async_init(DOMAIN, context={"source": "user"})
    await paired_with(hass, alone, result)


async def test_a_meter_that_was_found_over_mqtt_is_the_same_one(
    house: House, hass: HomeAssistant
) -> None:
    flow = await discovered(hass, service_info(house.meter.system_title))
    assert flow["type"] is FlowResultType.ABORT
    assert flow["reason"] == "already_configured"


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x07" + bytes(8)])
async def test_what_is_no_meters_advertisement_starts_no_flow(
    hass: HomeAssistant, enable_bluetooth: None, data: bytes
) -> None:
    flow = await discovered(hass, service_info(bytes(8), data=data))
    assert flow["type"] is FlowResultType.ABORT
    assert flow["reason"] == "invalid_discovery_info"


async def test_a_name_that_no_form_should_show_is_not_shown(
    hass: HomeAssistant, enable_bluetooth: None
) -> None:
    flow = await discovered(hass, service_info(b"MTN12345", name="[x](http://evil)"))
    assert flow["type"] is FlowResultType.FORM
    assert flow["description_placeholders"]["meter"] == f"Meter Node ({b'MTN12345'.hex()})"


async def test_a_meter_that_is_out_of_reach_by_then_is_not_heard(
    hass: HomeAssistant, enable_bluetooth: None
) -> None:
    flow = await discovered(hass, service_info(b"MTN12345"))
    keys = {"encryption_key": "00" * 16, "authentication_key": "11" * 16}
    with patch.object(bluetooth, "is_ready", lambda hass: True):
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], keys)
    assert result["errors"] == {"base": "meter_not_heard"}
    with patch.object(bluetooth, "is_ready", lambda hass: False):
        result = await hass.config_entries.flow.async_configure(flow["flow_id"], keys)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "no_channel")
