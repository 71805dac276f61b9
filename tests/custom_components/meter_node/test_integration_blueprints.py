"""The blueprints: Home Assistant takes each, and an automation made from it does what it says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from homeassistant.components import automation
from homeassistant.components.automation.config import AUTOMATION_BLUEPRINT_SCHEMA
from homeassistant.components.blueprint.models import Blueprint
from homeassistant.core import CoreState, HomeAssistant, ServiceCall
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
from pytest_homeassistant_custom_component.common import (
    async_fire_time_changed,
    async_mock_service,
)

from custom_components.meter_node.const import DOMAIN

if TYPE_CHECKING:
    from freezegun.api import FrozenDateTimeFactory

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "blueprints" / "automation" / DOMAIN
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SOURCE = "https://github.com/meter-node/meter-node/blob/main/"

POWER, HEATER, CHARGER = "sensor.power", "switch.heater", "switch.charger"


def blueprint(name: str) -> Blueprint:
    path = FOLDER / f"{name}.yaml"
    return Blueprint(
        load_yaml_dict(path),
        expected_domain="automation",
        path=path.name,
        schema=AUTOMATION_BLUEPRINT_SCHEMA,
    )


class Automations:
    """One automation made from a blueprint, and the switching that it asks for."""

    def __init__(self, hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
        self.hass = hass
        self.freezer = freezer
        self.on = async_mock_service(hass, "homeassistant", "turn_on")
        self.off = async_mock_service(hass, "homeassistant", "turn_off")

    async def make(self, name: str, **inputs: Any) -> None:
        """Make an automation from a blueprint with these inputs, the others by default."""
        made = {
            "alias": name,
            "use_blueprint": {"path": f"{name}.yaml", "input": inputs},
        }
        with patch(
            "homeassistant.components.blueprint.models.DomainBlueprints._load_blueprint",
            return_value=blueprint(name),
        ):
            assert await async_setup_component(self.hass, automation.DOMAIN, {"automation": [made]})
        await self.hass.async_block_till_done()
        [state] = self.hass.states.async_all("automation")
        assert state.state == "on"

    async def show(self, entity: str, state: object, **attributes: Any) -> None:
        self.hass.states.async_set(entity, str(state), attributes)
        await self.settle()

    async def wait(self, **time: float) -> None:
        self.freezer.tick(timedelta(**time))
        async_fire_time_changed(self.hass)
        await self.settle()

    async def start(self) -> None:
        """Have Home Assistant started."""
        await self.hass.async_start()
        await self.settle()

    async def settle(self) -> None:
        """Let all happen that is due, and not wait for an automation that waits itself."""
        for _ in range(50):
            await asyncio.sleep(0)

    def switched(self) -> list[tuple[str, list[str]]]:
        """What was asked for since the last look, in no order between on and off."""
        asked = [
            (call.service.removeprefix("turn_"), call.data["entity_id"])
            for call in (*self.on, *self.off)
        ]
        self.on.clear()
        self.off.clear()
        return asked


@pytest.fixture
async def automations(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Automations]:
    freezer.move_to(datetime.fromisoformat("2026-11-20T12:00:30+00:00"))
    yield Automations(hass, freezer)
    await hass.services.async_call("automation", "turn_off", {"entity_id": "all"}, blocking=True)


def test_there_are_four() -> None:
    assert NAMES == [
        "keep_the_hour_under_a_limit",
        "pause_at_peak",
        "run_on_surplus_sun",
        "warn_of_neutral_fault",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_home_assistant_takes_each_and_knows_where_it_comes_from(name: str) -> None:
    made = blueprint(name)
    assert made.validate() is None
    assert made.name.startswith("Meter Node: ")
    assert made.metadata["source_url"] == f"{SOURCE}blueprints/automation/{DOMAIN}/{name}.yaml"
    for field, described in made.inputs.items():
        assert described["name"], field
        assert described["selector"], field


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_has_a_button_for_each(name: str) -> None:
    documentation = (ROOT / "docs" / "home-assistant.md").read_text()
    url = blueprint(name).metadata["source_url"]
    quoted = url.replace(":", "%3A").replace("/", "%2F")
    assert (
        f"https://my.home-assistant.io/redirect/blueprint_import/?blueprint_url={quoted}"
        in documentation
    )


@pytest.mark.parametrize(("unit", "scale"), [("W", 1), ("kW", 1000)])
async def test_a_load_runs_while_there_is_sun_to_spare(
    automations: Automations, unit: str, scale: int
) -> None:
    await automations.show(POWER, 0, unit_of_measurement=unit)
    await automations.make("run_on_surplus_sun", power=POWER, load=[HEATER])
    await automations.show(POWER, -1600 / scale, unit_of_measurement=unit)
    await automations.wait(minutes=4, seconds=59)
    assert automations.switched() == []
    await automations.wait(seconds=2)
    assert automations.switched() == [("on", [HEATER])]
    await automations.wait(minutes=15)
    assert automations.switched() == []
    await automations.show(POWER, 400 / scale, unit_of_measurement=unit)
    await automations.wait(minutes=5, seconds=1)
    assert automations.switched() == [("off", [HEATER])]


async def test_a_cloud_that_passes_switches_nothing(automations: Automations) -> None:
    await automations.show(POWER, 0)
    await automations.make("run_on_surplus_sun", power=POWER, load=[HEATER])
    await automations.show(POWER, -1600)
    await automations.wait(minutes=4)
    await automations.show(POWER, -100)
    await automations.wait(minutes=4)
    assert automations.switched() == []


async def test_sun_that_goes_while_the_load_must_run_ends_it_afterwards(
    automations: Automations,
) -> None:
    await automations.show(POWER, 0)
    await automations.make("run_on_surplus_sun", power=POWER, load=[HEATER])
    await automations.show(POWER, -1600)
    await automations.wait(minutes=5, seconds=1)
    assert automations.switched() == [("on", [HEATER])]
    await automations.show(POWER, 1000)
    await automations.wait(minutes=6)
    assert automations.switched() == []
    await automations.wait(minutes=10)
    assert automations.switched() == [("off", [HEATER])]


async def test_a_load_ends_when_nobody_knows_the_power_any_more(automations: Automations) -> None:
    await automations.show(POWER, 0)
    await automations.make("run_on_surplus_sun", power=POWER, load=[HEATER])
    await automations.show(POWER, -1600)
    await automations.wait(minutes=5, seconds=1)
    await automations.wait(minutes=15, seconds=1)
    assert automations.switched() == [("on", [HEATER])]
    await automations.show(POWER, "unavailable")
    await automations.wait(minutes=4)
    assert automations.switched() == []
    await automations.wait(minutes=1, seconds=1)
    assert automations.switched() == [("off", [HEATER])]


@pytest.mark.parametrize(
    ("power", "asked"),
    [(3000, [("off", [HEATER])]), (-2000, [("on", [HEATER])]), (100, [])],
)
async def test_what_holds_already_when_an_automation_is_reloaded_is_not_overlooked(
    automations: Automations, hass: HomeAssistant, power: int, asked: list[Any]
) -> None:
    await automations.show(POWER, power)
    await automations.make("run_on_surplus_sun", power=POWER, load=[HEATER])
    hass.bus.async_fire("automation_reloaded")
    await automations.settle()
    await automations.wait(minutes=5, seconds=1)
    assert automations.switched() == asked


@pytest.mark.parametrize("lost", ["unavailable", "unknown"])
async def test_loads_go_on_after_a_peak_that_ended_unseen(
    automations: Automations, lost: str
) -> None:
    peak = "binary_sensor.peak"
    await automations.show(peak, "off")
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER])
    await automations.show(peak, "on")
    await automations.show(peak, lost)
    assert automations.switched() == [("off", [HEATER])]
    await automations.show(peak, "off")
    assert automations.switched() == [("on", [HEATER])]


async def test_a_peak_that_goes_on_after_it_was_lost_still_ends(automations: Automations) -> None:
    peak = "binary_sensor.peak"
    await automations.show(peak, "on")
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER])
    await automations.show(peak, "unavailable")
    await automations.show(peak, "on")
    assert automations.switched() == [("off", [HEATER])]
    await automations.show(peak, "off")
    assert automations.switched() == [("on", [HEATER])]


@pytest.mark.parametrize(
    ("seen", "now", "switched"),
    [
        ("off", "off", "on"),
        ("unavailable", "off", "on"),
        ("on", "on", "off"),
        ("unavailable", "on", "off"),
    ],
)
async def test_loads_are_as_the_peak_wants_them_after_a_time_without_home_assistant(
    automations: Automations, hass: HomeAssistant, seen: str, now: str, switched: str
) -> None:
    peak = "binary_sensor.peak"
    hass.set_state(CoreState.not_running)
    await automations.show(peak, seen)
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER])
    await automations.start()
    await automations.show(peak, now)
    assert automations.switched() == [(switched, [HEATER])]


async def test_loads_stay_off_at_a_start_where_that_is_wished(
    automations: Automations, hass: HomeAssistant
) -> None:
    peak = "binary_sensor.peak"
    hass.set_state(CoreState.not_running)
    await automations.show(peak, "off")
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER], resume=False)
    await automations.start()
    assert automations.switched() == []


async def test_loads_pause_while_the_tariff_is_high(automations: Automations) -> None:
    peak = "binary_sensor.peak"
    await automations.show(peak, "off")
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER, CHARGER])
    await automations.show(peak, "on")
    assert automations.switched() == [("off", [HEATER, CHARGER])]
    await automations.show(peak, "unavailable")
    assert automations.switched() == []
    await automations.show(peak, "on")
    automations.switched()
    await automations.show(peak, "off")
    assert automations.switched() == [("on", [HEATER, CHARGER])]


async def test_loads_stay_off_after_the_peak_where_that_is_wished(
    automations: Automations,
) -> None:
    peak = "calendar.tariffs"
    await automations.show(peak, "on")
    await automations.make("pause_at_peak", peak=peak, loads=[HEATER], resume=False)
    await automations.show(peak, "off")
    assert automations.switched() == []


async def test_loads_go_one_a_minute_while_the_hour_heads_above_the_limit(
    automations: Automations,
) -> None:
    await automations.show(HEATER, "on")
    await automations.show(CHARGER, "on")
    await automations.show("sensor.projected", 5100)
    await automations.make(
        "keep_the_hour_under_a_limit", demand="sensor.projected", loads=[CHARGER, HEATER]
    )
    await automations.wait(minutes=1)
    assert automations.switched() == [("off", [CHARGER])]
    await automations.show(CHARGER, "off")
    await automations.wait(minutes=1)
    assert automations.switched() == [("off", [HEATER])]
    await automations.show(HEATER, "off")
    await automations.wait(minutes=1)
    assert automations.switched() == []
    await automations.show("sensor.projected", 4500)  # below the limit, and above 80 % of it
    await automations.wait(minutes=1)
    assert automations.switched() == []
    await automations.show("sensor.projected", 3900)
    await automations.wait(minutes=1)
    assert automations.switched() == [("on", [HEATER])]


@pytest.mark.parametrize("state", ["unavailable", "unknown"])
async def test_without_a_demand_the_loads_stay_as_they_are(
    automations: Automations, state: str
) -> None:
    await automations.show(HEATER, "off")
    await automations.show("sensor.projected", state)
    await automations.make("keep_the_hour_under_a_limit", demand="sensor.projected", loads=[HEATER])
    await automations.wait(minutes=1)
    assert automations.switched() == []


async def test_a_neutral_fault_is_told_of_and_so_is_its_end(
    automations: Automations, hass: HomeAssistant
) -> None:
    fault = "binary_sensor.neutral_fault"
    created = async_mock_service(hass, "persistent_notification", "create")
    sent = async_mock_service(hass, "notify", "send_message")
    await automations.show(fault, "off", friendly_name="House Neutral fault")
    at_once = [{"action": "homeassistant.turn_off", "target": {"entity_id": HEATER}}]
    await automations.make(
        "warn_of_neutral_fault", fault=fault, receivers=["notify.phone"], at_once=at_once
    )
    await automations.show(fault, "on", friendly_name="House Neutral fault")
    assert automations.switched() == [("off", [HEATER])]
    assert said(created)[0].startswith("Neutral fault: voltages may be dangerously high.")
    assert said(sent) == said(created)
    assert created[0].data["title"] == "House Neutral fault"
    assert sent[0].data["entity_id"] == ["notify.phone"]
    await automations.show(fault, "off", friendly_name="House Neutral fault")
    assert said(created)[1].startswith("The meter no longer sees a neutral fault.")
    assert automations.switched() == []


@pytest.mark.parametrize("lost", ["unavailable", "unknown"])
async def test_a_fault_that_ended_while_the_meter_was_away_is_told_to_be_over(
    automations: Automations, hass: HomeAssistant, lost: str
) -> None:
    fault = "binary_sensor.fault"
    created = async_mock_service(hass, "persistent_notification", "create")
    await automations.show(fault, "off")
    await automations.make("warn_of_neutral_fault", fault=fault)
    for state in ("on", lost, "on", lost):
        await automations.show(fault, state)
    assert len(created) == 1  # it is still the same one
    await automations.show(fault, "off")
    assert said(created)[1].startswith("The meter no longer sees a neutral fault.")
    assert len({call.data["notification_id"] for call in created}) == 1
    await automations.show(fault, "on")
    assert len(created) == 3


async def test_a_meter_that_comes_back_without_a_fault_is_nothing_to_tell(
    automations: Automations, hass: HomeAssistant
) -> None:
    created = async_mock_service(hass, "persistent_notification", "create")
    await automations.show("binary_sensor.fault", "unavailable")
    await automations.make("warn_of_neutral_fault", fault="binary_sensor.fault")
    await automations.show("binary_sensor.fault", "off")
    assert created == []


async def test_the_end_of_a_fault_is_told_though_what_else_was_to_be_done_failed(
    automations: Automations, hass: HomeAssistant
) -> None:
    created = async_mock_service(hass, "persistent_notification", "create")
    async_mock_service(hass, "lock", "open", raise_exception=HomeAssistantError("stuck"))
    await automations.show("binary_sensor.fault", "off")
    await automations.make(
        "warn_of_neutral_fault", fault="binary_sensor.fault", at_once=[{"action": "lock.open"}]
    )
    await automations.show("binary_sensor.fault", "on")
    await automations.show("binary_sensor.fault", "off")
    assert len(created) == 2


async def test_a_warning_needs_no_receiver(automations: Automations, hass: HomeAssistant) -> None:
    created = async_mock_service(hass, "persistent_notification", "create")
    sent = async_mock_service(hass, "notify", "send_message")
    await automations.show("binary_sensor.fault", "off")
    await automations.make("warn_of_neutral_fault", fault="binary_sensor.fault")
    await automations.show("binary_sensor.fault", "on")
    assert (len(created), len(sent)) == (1, 0)


def said(calls: list[ServiceCall]) -> list[str]:
    return [call.data["message"] for call in calls]
