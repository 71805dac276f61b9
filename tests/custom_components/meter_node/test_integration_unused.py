"""What becomes of entities whose option was emptied, and of those that do not depend on it."""

from __future__ import annotations

from typing import Any

import pytest
from homeassistant.helpers import entity_registry as er
from integration_home import ALL_IS_WELL, Home
from integration_tariffs import CURRENTS, CalendarAsker, limited

from custom_components.meter_node.channel import presets
from custom_components.meter_node.tariff_sensor import CAPACITY_SENSORS, TARIFF_SENSORS

ALL: dict[str, Any] = {
    "tariff_preset": "denmark_n1",
    "capacity_preset": "belgium_flanders",
    "capacity_limit": 5,
    "main_fuse": 25,
    "import_prices": {"1": 1.0, "2": 2.0, "3": 3.0},
    "export_prices": {"1": 1.0, "2": 1.0, "3": 1.0},
}
BY_OPTIONS = {row.key for row in TARIFF_SENSORS + CAPACITY_SENSORS}


def keys(home: Home) -> set[str]:
    """The meter's entities, whether they show anything or not."""
    entities = er.async_entries_for_config_entry(er.async_get(home.hass), home.entry.entry_id)
    return {one.unique_id.removeprefix(f"{home.entry.unique_id}_") for one in entities}


async def push(home: Home, wh: int) -> None:
    values = CURRENTS | {
        "import_active_energy": wh,
        "export_active_energy": wh // 10,
        "import_active_power": 5_000,
        "export_active_power": 0,
    }
    await home.push(home.meter.seal(home.meter.body(values, said=ALL_IS_WELL)))


async def choose(home: Home, options: dict[str, Any]) -> None:
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.restart()


@pytest.fixture
async def chosen(home: Home) -> Home:
    """A home with every option, and an entity of each."""
    home.hass.config_entries.async_update_entry(home.entry, options=ALL)
    await home.set_up()
    for wh in (1_000_000, 1_001_000):
        await push(home, wh)
        await home.wait(10)
    assert {"next_tariff", "tariffs", "import_cost", "current_headroom_l1"} <= keys(home)
    return home


@pytest.mark.parametrize(
    ("emptied", "gone"),
    [
        ({"import_prices": {}}, {"import_price"}),
        ({"export_prices": {}}, {"export_price"}),
        (
            {"main_fuse": None},
            {"current_headroom_l1", "current_headroom_l2", "current_headroom_l3"},
        ),
        (
            {"capacity_preset": None, "capacity_limit": None},
            {
                "window_mean_power",
                "window_projected_power",
                "window_energy_left",
                "month_peak_power",
                "billed_capacity",
                "capacity_charge",
            },
        ),
        (
            {"tariff_preset": None},
            {"next_tariff", "next_tariff_change", "peak_tariff", "tariffs"},
        ),
    ],
)
async def test_entities_of_an_emptied_option_go_and_no_other(
    chosen: Home, emptied: dict[str, Any], gone: set[str]
) -> None:
    if "import_prices" in emptied:  # Denmark's preset knows prices of import, Ellevio's none
        emptied = emptied | {"tariff_preset": "sweden_ellevio"}
    before = keys(chosen)
    options = {name: one for name, one in (ALL | emptied).items() if one is not None}
    await choose(chosen, options)
    await push(chosen, 1_002_000)
    assert before - keys(chosen) == gone & before
    assert gone & before
    for key in BY_OPTIONS & keys(chosen):
        shown = chosen.shown(key)
        assert shown is not None
        assert "restored" not in shown.attributes, key


async def test_the_current_under_the_meters_own_limit_stays_without_a_fuse(home: Home) -> None:
    said = ALL_IS_WELL | limited(to_ma=25_000)
    await home.set_up()
    for _ in range(2):
        await home.push(home.meter.seal(home.meter.body(CURRENTS, said=said)))
        await home.restart()
        assert "current_headroom_l1" in keys(home)


async def test_what_goes_by_the_meters_calendar_stays_while_it_is_asked_for(home: Home) -> None:
    await home.set_up()
    home.coordinator.asker = CalendarAsker(presets.load("denmark_n1").calendar)
    await home.push()
    await home.restart()
    assert {"next_tariff", "peak_tariff", "tariffs"} <= keys(home)
