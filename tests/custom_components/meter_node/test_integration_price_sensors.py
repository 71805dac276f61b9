"""The price-now sensors of others: renamed, gone, repeating themselves; and a home that moves."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers import issue_registry as ir
from integration_home import Home

from custom_components.meter_node.store import MeterStore

SPOT, RENAMED = "sensor.spot", "sensor.price_now"
UNIT = {"unit_of_measurement": "DKK/kWh"}


@pytest.fixture
async def priced(home: Home) -> Home:
    """A home whose one price is another integration's sensor."""
    home.hass.config.currency = "DKK"
    er.async_get(home.hass).async_get_or_create(
        "sensor", "exchange", "spot", suggested_object_id="spot"
    )
    home.hass.states.async_set(SPOT, "1.5", UNIT)
    options = {"import_prices": {}, "export_prices": {}, "import_spot": SPOT, "export_spot": SPOT}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.set_up()
    await home.push(import_active_energy=1_000_000)
    return home


def rename(home: Home) -> None:
    er.async_get(home.hass).async_update_entity(SPOT, new_entity_id=RENAMED)
    home.hass.states.async_remove(SPOT)


def raised(home: Home) -> list[Any]:
    return [issue for _, issue in ir.async_get(home.hass).issues.items()]


async def test_a_price_sensor_is_followed_under_its_new_name(priced: Home) -> None:
    home = priced
    rename(home)
    home.hass.states.async_set(RENAMED, "2.5", UNIT)
    await home.settle()
    assert home.entry.options["import_spot"] == home.entry.options["export_spot"] == RENAMED
    assert home.state("import_price") == "2.5"
    await home.wait(10)
    await home.push(import_active_energy=1_000_000)
    await home.wait(10)
    await home.push(import_active_energy=1_002_000)  # 2 kWh
    assert home.state("import_cost") == "5.0"
    await home.restart()
    assert home.coordinator.tariffs.missing_prices == []


async def test_another_change_of_a_price_sensor_in_the_registry_is_none_of_ours(
    priced: Home,
) -> None:
    er.async_get(priced.hass).async_update_entity(SPOT, name="Power price")
    await priced.settle()
    assert priced.entry.options["import_spot"] == SPOT


async def test_a_price_sensor_that_is_gone_is_told_after_ten_minutes(priced: Home) -> None:
    er.async_get(priced.hass).async_remove(SPOT)
    priced.hass.states.async_remove(SPOT)
    await priced.settle()
    for _ in range(9):
        await priced.wait(60)
        await priced.push()
    assert not [one for one in raised(priced) if one.translation_key == "price_sensor_gone"]
    await priced.wait(60)
    (issue,) = [one for one in raised(priced) if one.translation_key == "price_sensor_gone"]
    assert issue.translation_placeholders == {"meter": priced.entry.title, "sensor": SPOT}
    priced.hass.states.async_set(SPOT, "1.5", UNIT)
    await priced.wait(60)
    assert not [one for one in raised(priced) if one.translation_key == "price_sensor_gone"]


async def test_a_price_sensor_that_repeats_itself_has_nothing_written(priced: Home) -> None:
    await priced.wait(60)
    with patch.object(MeterStore, "_content") as content:
        for number in range(20):
            priced.hass.states.async_set(SPOT, "1.5", UNIT | {"updated": number})
            await priced.wait(3)
    assert content.call_count == 0


async def test_a_changing_price_is_written_no_more_often_than_pushes(priced: Home) -> None:
    """Twenty prices in a minute, and a write every 30 seconds."""
    await priced.wait(60)
    with patch.object(MeterStore, "_content", return_value={}, autospec=True) as content:

        def written(store: MeterStore) -> dict[str, Any]:
            store._save_pending = store._soon = False
            return {}

        content.side_effect = written
        for number in range(20):
            priced.hass.states.async_set(SPOT, str(number), UNIT)
            await priced.wait(3)
    assert 1 <= content.call_count <= 2


async def test_a_calendar_that_failed_at_once_is_asked_for_again(home: Home) -> None:
    """Without waiting for anything a request may fail: that it has ended must be seen then, too."""
    await home.set_up()
    asked = 0

    class Unconnected:
        def heard(self, sent: object) -> None: ...

        async def async_ask(self, service: bytes) -> None:
            nonlocal asked
            asked += 1
            raise HomeAssistantError("no link")

    home.coordinator.asker = Unconnected()
    for _ in range(3):
        await home.push()
        await home.wait(601)
    assert asked == 3


async def test_a_home_in_another_time_zone_goes_by_it_at_once(home: Home) -> None:
    await home.hass.config.async_set_time_zone("America/New_York")
    home.hass.config_entries.async_update_entry(
        home.entry, options={"tariff_preset": "denmark_n1", "import_prices": {}}
    )
    await home.set_up()
    await home.push()
    # It is 7:00 in New York, 10 hours before the peak at 17:00, and 13:00 in Copenhagen.
    assert home.state("next_tariff_change") == "2026-11-20T22:00:00+00:00"
    await home.hass.config.async_update(time_zone="Europe/Copenhagen")
    await home.settle()
    await home.push()
    assert home.state("next_tariff_change") == "2026-11-20T16:00:00+00:00"


async def test_a_home_with_another_currency_counts_in_it_at_once(priced: Home) -> None:
    await priced.hass.config.async_update(currency="SEK")
    priced.hass.states.async_set(SPOT, "2", {"unit_of_measurement": "SEK/kWh"})
    await priced.settle()
    await priced.push()
    price = priced.shown("import_price")
    assert price is not None
    assert (price.state, price.attributes["unit_of_measurement"]) == ("2.0", "SEK/kWh")


async def test_a_home_that_is_renamed_loads_nothing_anew(home: Home) -> None:
    await home.set_up()
    before = home.coordinator
    await home.hass.config.async_update(location_name="Elsewhere")
    await home.settle()
    assert home.coordinator is before
