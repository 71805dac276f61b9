"""New keys for a meter that is known: only what was received last belongs to the old ones."""

from __future__ import annotations

from datetime import timedelta

from homeassistant.core import HomeAssistant
from integration_home import NOON, THREE_PHASES, Home, Meter

from custom_components.meter_node.capacity_window import ClosedWindow
from custom_components.meter_node.channel.security import Keys
from custom_components.meter_node.store import async_get_store

OTHER = Keys(bytes(range(100, 116)), bytes(range(116, 132)))
PRICED = {
    "import_prices": {str(tariff): 2.0 for tariff in range(1, 5)},
    "export_prices": {},
    "tariff_preset": "norway_elvia",
    "capacity_preset": "norway_elvia",
}


def typed(keys: Keys) -> dict[str, str]:
    return {
        "encryption_key": keys.encryption.hex(),
        "authentication_key": keys.authentication.hex(),
    }


async def give_keys(home: Home, keys: Keys) -> None:
    """Give a meter other keys, by which it sends from now on."""
    home.meter.keys, home.meter.counter = keys, 5
    home.hass.config_entries.async_update_entry(home.entry, data=home.entry.data | typed(keys))
    await home.restart()


async def test_new_keys_leave_costs_and_peaks_as_they_are(
    hass: HomeAssistant, home: Home, meter: Meter
) -> None:
    hass.config_entries.async_update_entry(home.entry, options=PRICED)
    await home.set_up()
    wh = THREE_PHASES["import_active_energy"]
    await home.push(import_active_energy=wh)
    home.freezer.tick(30)
    await home.push(import_active_energy=wh + 5_000)
    home.coordinator.fill_capacity([ClosedWindow(NOON - timedelta(hours=3), 12_000)])
    await home.settle()
    shown = [home.state(key) for key in ("import_cost", "month_peak_power")]
    assert [float(str(value)) for value in shown] == [10, 12]  # 5 kWh at 2 a kWh; kW
    await give_keys(home, OTHER)
    home.freezer.tick(30)
    await home.push(import_active_energy=wh + 6_000)
    assert float(str(home.state("import_cost"))) == 12
    assert home.state("month_peak_power") == shown[1]


async def test_new_keys_leave_a_total_where_it_was_counted_on(
    hass: HomeAssistant, home: Home, meter: Meter
) -> None:
    await home.set_up()
    await home.push(import_active_energy=1_000_000)
    await home.push(import_active_energy=1_000)
    home.coordinator.async_count_on()
    await home.push(import_active_energy=2_000)
    assert home.state("import_active_energy") == "1001.0"
    await give_keys(home, OTHER)
    await home.push(import_active_energy=3_000)
    assert home.state("import_active_energy") == "1002.0"


async def test_new_keys_leave_totals_and_marks_and_begin_with_a_counter_of_their_own(
    hass: HomeAssistant, home: Home, meter: Meter
) -> None:
    await home.set_up()
    await home.push(import_active_energy=1_000_000)
    home.coordinator.async_mark_history("import_active_energy", [7, 1_795_176_000])
    await give_keys(home, OTHER)
    record = (await async_get_store(hass)).records[meter.title]
    assert record.totals["import_active_energy"] == 1_000_000
    assert record.history == {"import_active_energy": [7, 1_795_176_000]}
    assert record.highest is None
