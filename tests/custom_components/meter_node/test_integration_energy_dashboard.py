"""The Energy dashboard: configured by a repair that shows what it changes and touches no more."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.components.energy.data import EnergyManager, async_get_manager
from homeassistant.components.recorder import Recorder
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.components.recorder.statistics import async_import_statistics
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from homeassistant.setup import async_setup_component
from integration_home import Home
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.meter_node import energy_dashboard
from custom_components.meter_node.const import DOMAIN
from custom_components.meter_node.energy_dashboard import GridConnection, NotValidError, Proposal

IMPORT, EXPORT = "sensor.382m_4711_import_energy", "sensor.382m_4711_export_energy"
POWER = "sensor.382m_4711_power"
SOLAR = {"type": "solar", "stat_energy_from": "sensor.roof", "config_entry_solar_forecast": None}
HEATER = {"stat_consumption": "sensor.heater"}


@pytest.fixture(autouse=True)
def _custom_integrations(recorder_mock: Recorder, enable_custom_integrations: None) -> None:
    """The recorder wants to be there before Home Assistant is."""


@pytest.fixture
async def manager(hass: HomeAssistant) -> EnergyManager:
    """The Energy dashboard's preferences, with a roof and a heater in them."""
    assert await async_setup_component(hass, "energy", {})
    assert await async_setup_component(hass, "repairs", {})
    manager = await async_get_manager(hass)
    await manager.async_update(
        {
            "energy_sources": [SOLAR],  # type: ignore[typeddict-item]
            "device_consumption": [HEATER],  # type: ignore[typeddict-item]
            "device_consumption_water": [],
        }
    )
    return manager


async def have_statistics(home: Home, *entity_ids: str, unit: str = "kWh") -> None:
    """Have a first hour of these in the recorder."""
    for entity_id in entity_ids:
        async_import_statistics(
            home.hass,
            {
                "mean_type": StatisticMeanType.NONE,
                "has_sum": True,
                "name": None,
                "source": "recorder",
                "statistic_id": entity_id,
                "unit_class": "energy" if unit == "kWh" else None,
                "unit_of_measurement": unit,
            },
            [{"start": datetime(2026, 11, 20, 10, tzinfo=UTC), "state": 1.0, "sum": 0.0}],
        )
    await async_wait_recording_done(home.hass)


async def a_minute(home: Home) -> None:
    await home.wait(60)
    await home.hass.async_block_till_done(wait_background_tasks=True)


def issue(home: Home) -> ir.IssueEntry | None:
    return ir.async_get(home.hass).async_get_issue(
        DOMAIN, f"energy_dashboard_{home.entry.entry_id}"
    )


async def fix(home: Home) -> Any:
    return await home.hass.data["repairs"]["flow_manager"].async_init(
        DOMAIN, data={"issue_id": f"energy_dashboard_{home.entry.entry_id}"}
    )


async def submit(home: Home, form: Any, **typed: Any) -> Any:
    return await home.hass.data["repairs"]["flow_manager"].async_configure(form["flow_id"], typed)


async def test_nothing_is_proposed_before_the_first_statistics(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    await a_minute(home)
    assert issue(home) is None
    await have_statistics(home, IMPORT)
    await a_minute(home)
    assert issue(home) is not None


async def test_the_repair_shows_what_it_adds_and_touches_nothing_else(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT, EXPORT, POWER)
    await a_minute(home)
    form = await fix(home)
    assert form["description_placeholders"] == {"meter": "382M 4711", "kept": "1"}
    shown = {str(field): field.default() for field in form["data_schema"].schema}
    assert shown == {"stat_energy_from": IMPORT, "stat_energy_to": EXPORT, "stat_rate": POWER}
    assert manager.data is not None
    assert manager.data["energy_sources"] == [SOLAR]  # looking changes nothing
    done = await submit(home, form, **shown)
    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert issue(home) is None
    solar, grid = manager.data["energy_sources"]
    assert solar == SOLAR
    assert grid == {
        "type": "grid",
        "name": "382M 4711",
        "stat_energy_from": IMPORT,
        "stat_energy_to": EXPORT,
        "stat_rate": POWER,
        "stat_cost": None,
        "entity_energy_price": None,
        "number_energy_price": None,
        "stat_compensation": None,
        "entity_energy_price_export": None,
        "number_energy_price_export": None,
        "cost_adjustment_day": 0.0,
    }
    assert manager.data["device_consumption"] == [HEATER]
    await a_minute(home)
    assert issue(home) is None


async def test_cost_and_compensation_of_the_meter_come_along(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    registry = er.async_get(home.hass)
    cost, compensation = (
        registry.async_get_or_create(
            "sensor", DOMAIN, f"{home.entry.unique_id}_{key}", config_entry=home.entry
        ).entity_id
        for key in ("import_cost", "export_compensation")
    )
    await have_statistics(home, IMPORT, EXPORT)
    await have_statistics(home, cost, compensation, unit="DKK")
    await a_minute(home)
    await submit(home, await fix(home))
    assert manager.data is not None
    grid: Any = manager.data["energy_sources"][1]
    assert (grid["stat_cost"], grid["stat_compensation"]) == (cost, compensation)


async def test_what_was_done_by_hand_needs_no_repair(home: Home, manager: EnergyManager) -> None:
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT)
    await a_minute(home)
    form = await fix(home)
    by_hand: Any = {"type": "grid", "stat_energy_from": IMPORT, "cost_adjustment_day": 0}
    await manager.async_update({"energy_sources": [by_hand]})  # type: ignore[typeddict-item]
    assert (await submit(home, form))["type"] is FlowResultType.CREATE_ENTRY
    assert manager.data is not None
    assert manager.data["energy_sources"] == [by_hand]
    await a_minute(home)
    assert issue(home) is None


@pytest.mark.parametrize(
    "chosen",
    [
        {"energy_sources": [{**SOLAR, "stat_energy_from": EXPORT}]},
        {"device_consumption": [{"stat_consumption": IMPORT}]},
    ],
)
async def test_a_meter_that_was_made_something_else_is_not_proposed_as_a_grid(
    home: Home, manager: EnergyManager, chosen: Any
) -> None:
    await manager.async_update(chosen)
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT, EXPORT)
    await a_minute(home)
    assert issue(home) is None


async def test_an_issue_that_is_opened_too_late_is_closed(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT)
    await a_minute(home)
    by_hand: Any = {"type": "grid", "stat_energy_from": IMPORT, "cost_adjustment_day": 0}
    await manager.async_update({"energy_sources": [by_hand]})  # type: ignore[typeddict-item]
    assert (await fix(home))["type"] is FlowResultType.CREATE_ENTRY
    assert issue(home) is None


async def test_preferences_that_would_be_refused_are_left_as_they_are(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT, POWER)
    await a_minute(home)
    other: Any = {"type": "grid", "stat_rate": POWER, "cost_adjustment_day": 0}
    await manager.async_update({"energy_sources": [other]})  # type: ignore[typeddict-item]
    answer = await submit(home, await fix(home))
    assert (answer["type"], answer["reason"]) == (FlowResultType.ABORT, "not_valid")
    assert POWER in answer["description_placeholders"]["error"]
    assert manager.data is not None
    assert manager.data["energy_sources"] == [other]
    assert issue(home) is not None


async def test_a_first_dashboard_is_begun_where_there_was_none(
    home: Home, hass: HomeAssistant
) -> None:
    assert await async_setup_component(hass, "energy", {})
    await energy_dashboard.async_add(
        hass, Proposal(GridConnection(name="Meter", stat_energy_from=IMPORT), 0)
    )
    data = (await async_get_manager(hass)).data
    assert data is not None
    assert [source["type"] for source in data["energy_sources"]] == ["grid"]
    assert (data["device_consumption"], data["device_consumption_water"]) == ([], [])


async def test_a_meter_whose_import_is_disabled_is_not_proposed(
    home: Home, manager: EnergyManager
) -> None:
    await home.set_up()
    await home.push()
    await have_statistics(home, IMPORT)
    er.async_get(home.hass).async_update_entity(IMPORT, disabled_by=er.RegistryEntryDisabler.USER)
    await a_minute(home)
    assert issue(home) is None


async def test_without_the_energy_integration_nothing_is_proposed_or_added(
    home: Home, hass: HomeAssistant
) -> None:
    proposal = Proposal(GridConnection(name="Meter", stat_energy_from=IMPORT), 0)
    with patch.object(hass.config, "components", hass.config.components - {"energy"}):
        assert await energy_dashboard.async_proposal(hass, home.entry) is None
        with pytest.raises(NotValidError):
            await energy_dashboard.async_add(hass, proposal)


OURS = {
    **GridConnection(name="House", stat_energy_from=IMPORT, stat_energy_to=EXPORT).source(),
    "name": "My own name",
}


async def priced(home: Home, manager: EnergyManager, source: dict[str, Any]) -> None:
    """A meter on the dashboard, for which prices were given since."""
    prices = {"1": 2.0, "2": 2.0, "3": 2.0}
    home.hass.config_entries.async_update_entry(
        home.entry,
        options={
            "tariff_preset": "denmark_n1",
            "import_prices": prices,
            "export_prices": prices,
        },
    )
    await manager.async_update({"energy_sources": [SOLAR, source]})  # type: ignore[list-item]
    await home.set_up()
    await home.push(import_active_energy=1_000, export_active_energy=1_000)
    await home.push(import_active_energy=2_000, export_active_energy=2_000)
    await have_statistics(home, IMPORT, EXPORT)
    await have_statistics(home, money(home, "import_cost"), unit="DKK")
    await have_statistics(home, money(home, "export_compensation"), unit="DKK")
    await a_minute(home)


def money(home: Home, key: str) -> str:
    entity_id = home.entity_id(key)
    assert entity_id is not None
    return entity_id


async def test_prices_that_come_later_are_offered_to_the_connection_that_is_there(
    home: Home, manager: EnergyManager
) -> None:
    await priced(home, manager, OURS)
    assert issue(home) is not None
    form = await fix(home)
    assert form["step_id"] == "complete"
    assert form["description_placeholders"] == {"meter": "382M 4711", "kept": "1"}
    costs = {
        "stat_cost": money(home, "import_cost"),
        "stat_compensation": money(home, "export_compensation"),
    }
    shown = {str(field): field.default() for field in form["data_schema"].schema}
    assert shown == costs
    assert (await submit(home, form))["type"] is FlowResultType.CREATE_ENTRY
    assert manager.data is not None
    assert manager.data["energy_sources"] == [SOLAR, {**OURS, **costs}]
    await a_minute(home)
    assert issue(home) is None


@pytest.mark.parametrize(
    ("chosen", "offered"),
    [
        ({"number_energy_price": 2.5}, {"stat_compensation"}),
        ({"entity_energy_price": "sensor.price"}, {"stat_compensation"}),
        ({"stat_cost": "sensor.other"}, {"stat_compensation"}),
        ({"number_energy_price_export": 1.0}, {"stat_cost"}),
        ({"stat_energy_to": None}, {"stat_cost"}),
    ],
)
async def test_what_a_homeowner_chose_himself_is_left_to_him(
    home: Home, manager: EnergyManager, chosen: dict[str, Any], offered: set[str]
) -> None:
    await priced(home, manager, {**OURS, **chosen})
    proposal = await energy_dashboard.async_proposal(home.hass, home.entry)
    assert proposal is not None
    assert set(proposal.added) == offered
    await energy_dashboard.async_add(home.hass, proposal)
    assert manager.data is not None
    source: Any = manager.data["energy_sources"][1]
    assert {name: source[name] for name in chosen} == chosen
    assert await energy_dashboard.async_proposal(home.hass, home.entry) is None


async def test_where_all_was_chosen_nothing_is_offered(home: Home, manager: EnergyManager) -> None:
    chosen = {"number_energy_price": 2.5, "number_energy_price_export": 1.0}
    await priced(home, manager, {**OURS, **chosen})
    assert issue(home) is None


async def test_two_connections_of_one_import_are_left_alone(
    home: Home, manager: EnergyManager
) -> None:
    await priced(home, manager, OURS)
    found = await energy_dashboard.async_proposal(home.hass, home.entry)
    assert found is not None
    await manager.async_update({"energy_sources": [OURS, OURS]})  # type: ignore[list-item]
    assert await energy_dashboard.async_proposal(home.hass, home.entry) is None
    await energy_dashboard.async_add(home.hass, found)
    assert manager.data is not None
    assert manager.data["energy_sources"] == [OURS, OURS]
