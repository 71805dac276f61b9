"""Home Assistant's own MQTT, a real broker, a running node: relays switched, profiles read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import MockConfigEntry
from real_house import WAIT_S, House, pair, with_a_relay

from custom_components.meter_node.asking import AskError
from custom_components.meter_node.channel import objects, services
from custom_components.meter_node.verdicts import Reason

pytestmark = pytest.mark.slow

A_DAY = 24 * 60 // 5
"""Rows, of five minutes each."""


class Home:
    """A Home Assistant that is paired with the node's meter."""

    def __init__(self, hass: HomeAssistant, house: House) -> None:
        self.hass = hass
        self.house = house
        made = pair(house.data_dir)
        title = made["system_title"]
        self.mqtt = MockConfigEntry(
            domain="mqtt",
            version=2,
            data={
                "broker": "127.0.0.1",
                "port": house.port,
                "username": house.reader.name,
                "password": house.reader.password,
                "protocol": "5",
            },
            options={"discovery": False, "birth_message": {}},
        )
        self.entry = MockConfigEntry(
            domain="meter_node",
            title="House",
            unique_id=title,
            data={
                "system_title": title,
                "encryption_key": made["encryption_key"],
                "authentication_key": made["authentication_key"],
                "control_encryption_key": made["control_encryption_key"],
                "control_authentication_key": made["control_authentication_key"],
                "pairing_name": made["name"],
            },
        )

    async def begin(self) -> None:
        for entry in (self.mqtt, self.entry):
            entry.add_to_hass(self.hass)
            assert await self.hass.config_entries.async_setup(entry.entry_id)
        await self.until(lambda: self.state("switch", "relay_1") in ("on", "off"))

    async def end(self) -> None:
        for entry in (self.entry, self.mqtt):
            await self.hass.config_entries.async_unload(entry.entry_id)

    def entity_id(self, platform: str, key: str) -> str | None:
        unique_id = f"{self.entry.unique_id}_{key}"
        return er.async_get(self.hass).async_get_entity_id(platform, "meter_node", unique_id)

    def state(self, platform: str, key: str) -> str | None:
        state = self.hass.states.get(self.entity_id(platform, key) or "none.none")
        return state.state if state else None

    def shown_wh(self, key: str) -> float:
        """What a sensor shows in kWh."""
        return round(float(self.state("sensor", key) or "nan") * 1000)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():
                await asyncio.sleep(0.05)

    async def call(self, platform: str, action: str, key: str, **data: Any) -> None:
        entity = {"entity_id": self.entity_id(platform, key)}
        await self.hass.services.async_call(platform, action, entity | data, blocking=True)

    async def act(self, action: str, **data: Any) -> Any:
        return await self.hass.services.async_call(
            "meter_node", action, data, blocking=True, return_response=True
        )


@pytest.fixture
def past_days() -> int:
    """None, unless a test wants some."""
    return 0


@pytest.fixture
async def house(tmp_path: Path, socket_enabled: None, past_days: int) -> AsyncIterator[House]:
    """A node whose meter has so many days behind it."""
    async with with_a_relay(tmp_path, past_days) as made:
        yield made


@pytest.fixture
def hass_config() -> dict[str, Any]:
    """An empty configuration file."""
    return {}


@pytest.fixture
async def home(
    hass: HomeAssistant,
    house: House,
    enable_custom_integrations: None,
    mock_hass_config: None,
) -> AsyncIterator[Home]:
    """Both are there, and the relay is shown."""
    made = Home(hass, house)
    await made.begin()
    yield made
    await made.end()
    await hass.async_block_till_done()


@pytest.mark.parametrize("past_days", [5])
async def test_a_relay_follows_its_switch_and_the_meter_is_read(home: Home) -> None:
    for wish, state in (("turn_on", "on"), ("turn_off", "off"), ("turn_on", "on")):
        await home.call("switch", wish, "relay_1")
        assert (home.state("switch", "relay_1"), home.state("select", "relay_1_choice")) == (
            state,
            state,
        )
    await home.call("select", "select_option", "relay_1_choice", option="automatic")
    assert home.state("select", "relay_1_choice") == "automatic"

    answer = await home.act(
        "get_load_profile", start=(dt_util.utcnow() - timedelta(days=4)).isoformat()
    )
    rows = answer["rows"]
    assert 4 * A_DAY - 1 <= len(rows) <= 4 * A_DAY + 1
    times = [datetime.fromisoformat(row["time"]) for row in rows]
    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=5)}
    energies = [row["import_active_energy"] for row in rows]
    assert energies == sorted(energies)
    assert energies[0] < energies[-1] <= home.shown_wh("import_active_energy")
    start = (dt_util.utcnow() - timedelta(days=6)).isoformat()
    bills = (await home.act("get_billing", kind="daily", start=start))["rows"]
    # Of five days and the minutes since, four midnights at least are past, and six at most.
    assert 4 <= len(bills) <= 6
    assert {row["reason"] for row in bills[:4]} == {"scheduled"}
    billed = {datetime.fromisoformat(row["time"]): row["import_active_energy"] for row in bills}
    both = [
        (billed[at], energy) for at, energy in zip(times, energies, strict=True) if at in billed
    ]
    assert len(both) >= 3
    assert all(bill == energy for bill, energy in both), "a midnight's is the profile's of then"
    log = await home.act("get_log", log="disconnector")
    commanded = [row for row in log["entries"] if row["event"] == "relay_commanded"]
    assert [row["detail"].split()[2].rstrip(",") for row in commanded] == [
        "on",
        "off",
        "on",
        "automatic",
    ]
    counted = (await home.act("reset_trip_counter"))["energy_wh"]
    assert 0 <= (await home.act("reset_trip_counter"))["energy_wh"] <= counted
    with pytest.raises(HomeAssistantError) as told:
        await home.act("enter_token", token="0123456789")
    assert told.value.translation_key == "ask_not_there", "it has no breaker, and so no credit"


async def test_a_refusal_of_the_meters_is_told_in_its_words(home: Home) -> None:
    asker = home.entry.runtime_data.asker
    with pytest.raises(AskError) as told:
        await asker.async_ask(services.put(objects.RELAY_COMMANDS[1], b"\x16\x07"))
    assert told.value.translation_key == "ask_refused_in_words"
    assert "a relay's command" in (told.value.translation_placeholders or {})["said"]


async def test_who_was_revoked_asks_no_more_and_goes_on_seeing(home: Home) -> None:
    await home.call("switch", "turn_on", "relay_1")
    pair(home.house.data_dir, "--revoke", home.entry.data["pairing_name"])
    for _ in range(2):
        with pytest.raises(AskError) as told:
            await home.call("switch", "turn_off", "relay_1")
        assert told.value.reason is Reason.REVOKED
    assert home.state("switch", "relay_1") == "on"
    flows = home.hass.config_entries.flow.async_progress()
    assert [flow["step_id"] for flow in flows] == ["reauth_pairing"]


async def test_a_meter_whose_node_was_killed_is_asked_again_when_it_is_back(home: Home) -> None:
    await home.call("switch", "turn_on", "relay_1")
    await home.house.kill()
    await home.until(lambda: home.state("switch", "relay_1") == "unavailable")
    await home.house.start()
    await home.until(lambda: home.state("switch", "relay_1") == "on")
    await home.call("switch", "turn_off", "relay_1")
    assert home.state("switch", "relay_1") == "off"
