"""The options of a meter: two forms, each error beside its section, nothing kept half."""

from __future__ import annotations

from typing import Any

import pytest
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from integration_home import Home
from integration_tariffs import CURRENTS, CalendarAsker, limited
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.meter_node.channel import presets


class Options:
    """An options flow as a person goes through it."""

    def __init__(self, hass: HomeAssistant, entry: MockConfigEntry) -> None:
        self.flows = hass.config_entries.options
        self.hass = hass
        self.entry = entry
        self.result: Any = {}

    async def begin(self) -> Options:
        self.result = await self.flows.async_init(self.entry.entry_id)
        return self

    async def submit(self, **sections: dict[str, Any]) -> None:
        self.result = await self.flows.async_configure(self.result["flow_id"], sections)
        await self.hass.async_block_till_done()

    def shows(self, step: str, **errors: str) -> bool:
        result = self.result
        is_form = result["type"] is FlowResultType.FORM
        return is_form and result["step_id"] == step and (result["errors"] or {}) == errors

    @property
    def ended(self) -> bool:
        return self.result["type"] is FlowResultType.CREATE_ENTRY

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """By section and field, what stands in it at first."""
        return {
            str(name): {
                str(field): (field.description or {}).get("suggested_value")
                for field in fields.schema.schema
            }
            for name, fields in self.result["data_schema"].schema.items()
        }

    def choices(self, section: str, field: str) -> list[str]:
        fields = self.result["data_schema"].schema[section].schema.schema
        return [one["value"] for one in fields[field].config["options"]]


@pytest.fixture
async def options(home: Home) -> Options:
    """Of a meter of our own, not loaded."""
    home.hass.config.currency = "DKK"
    return await Options(home.hass, home.entry).begin()


async def test_a_meter_of_our_own_has_no_scale(options: Options) -> None:
    assert options.entry.supports_options
    assert options.shows("init")
    assert options.fields == {
        "tariff": {"tariff_preset": None},
        "capacity": {"capacity_preset": None, "capacity_limit": None, "main_fuse": None},
    }


async def test_everything_may_be_left_empty(options: Options) -> None:
    await options.submit(tariff={}, capacity={})
    assert options.shows("prices")
    await options.submit(**{"import": {}, "export": {}})
    assert options.ended
    assert options.entry.options == {"import_prices": {}, "export_prices": {}}


async def test_a_bridged_meters_scale_stays_an_option(hass: HomeAssistant, home: Home) -> None:
    hass.config_entries.async_update_entry(home.entry, options={"scaler_profile": "energy_10_wh"})
    options = await Options(hass, home.entry).begin()
    assert set(options.fields) == {"scale", "tariff", "capacity"}
    await options.submit(scale={"scaler_profile": "energy_1_wh"}, tariff={}, capacity={})
    # Without a preset one price holds at all hours.
    assert options.fields["import"] == {"price_t1": None, "import_spot": None}
    await options.submit(**{"import": {"price_t1": 1.25}, "export": {"price_t1": 0.5}})
    assert options.ended
    assert home.entry.options == {
        "scaler_profile": "energy_1_wh",
        "import_prices": {"1": 1.25},
        "export_prices": {"1": 0.5},
    }


async def bridged(home: Home) -> Options:
    """Of a real meter that has counted 3.5 kWh, taken for units of 1 Wh."""
    home.hass.config_entries.async_update_entry(
        home.entry, options={"scaler_profile": "energy_1_wh"}
    )
    await home.set_up()
    await home.push(import_active_energy=3_500)
    return await Options(home.hass, home.entry).begin()


async def test_what_another_scale_changes_is_shown_before_it_is_changed(home: Home) -> None:
    options = await bridged(home)
    await options.submit(scale={"scaler_profile": "energy_10_wh"}, tariff={}, capacity={})
    await options.submit(**{"import": {}, "export": {}})
    assert options.shows("rescale")
    told = options.result["description_placeholders"]
    assert told["factor"] == "× 10"
    assert told["totals"].splitlines() == [
        "- 382M 4711 Import energy: 3.500 → 35.000 kWh",
        "- 382M 4711 Export energy: 4.321 → 43.210 kWh",
    ]
    assert home.entry.options == {"scaler_profile": "energy_1_wh"}
    await options.submit()
    assert options.ended
    assert home.entry.options["scaler_profile"] == "energy_10_wh"


async def test_the_same_scale_has_nothing_to_show(home: Home) -> None:
    options = await bridged(home)
    await options.submit(scale={"scaler_profile": "energy_1_wh"}, tariff={}, capacity={})
    await options.submit(**{"import": {}, "export": {}})
    assert options.ended


async def test_a_scale_waits_while_statistics_are_brought_into_another(home: Home) -> None:
    options = await bridged(home)
    home.coordinator._record.rescale = {
        "exponent": 1,
        "since_s": 1_795_176_000,
        "totals": {"import_active_energy": 350},
    }
    await options.submit(scale={"scaler_profile": "energy_10_wh"}, tariff={}, capacity={})
    assert options.shows("init", scale="rescaling")
    await options.submit(scale={"scaler_profile": "energy_1_wh"}, tariff={}, capacity={})
    assert options.shows("prices")


async def test_a_preset_says_how_many_prices_there_are(options: Options) -> None:
    await options.submit(tariff={"tariff_preset": "norway_elvia"}, capacity={})
    assert set(options.fields["import"]) == {"price_t1", "price_t2", "import_spot"}
    told = options.result["description_placeholders"]
    assert told["currency"] == "NOK"
    # The price of the day: Elvia's holds since 1 July 2026.
    assert told["tariffs"] == "T1 Night and weekend (0.1699), T2 Day (0.2899)"


async def test_a_preset_without_a_price_of_today_tells_names_alone(options: Options) -> None:
    options.hass.config.language = "da"
    await options.submit(tariff={"tariff_preset": "denmark_n1"}, capacity={})
    told = options.result["description_placeholders"]
    assert told["tariffs"] == "T1 Lavlast, T2 Højlast, T3 Spidslast"


async def test_all_is_kept_and_shown_again(options: Options) -> None:
    await options.submit(
        tariff={"tariff_preset": "norway_elvia"},
        capacity={"capacity_preset": "norway_elvia", "capacity_limit": 5, "main_fuse": 25},
    )
    await options.submit(**{"import": {"price_t1": 0.2, "price_t2": 0.3}, "export": {}})
    kept = {
        "tariff_preset": "norway_elvia",
        "capacity_preset": "norway_elvia",
        "capacity_limit": 5,
        "main_fuse": 25,
        "import_prices": {"1": 0.2, "2": 0.3},
        "export_prices": {},
    }
    assert options.entry.options == kept
    await options.begin()
    assert options.fields == {
        "tariff": {"tariff_preset": "norway_elvia"},
        "capacity": {"capacity_preset": "norway_elvia", "capacity_limit": 5, "main_fuse": 25},
    }
    await options.submit(tariff={"tariff_preset": "norway_elvia"}, capacity={})
    assert options.fields["import"] == {"price_t1": 0.2, "price_t2": 0.3, "import_spot": None}
    await options.submit(**{"import": {}, "export": {}})  # emptied is taken away
    assert options.entry.options == {
        "tariff_preset": "norway_elvia",
        "import_prices": {},
        "export_prices": {},
    }


async def test_a_limit_without_a_rule_is_refused(options: Options) -> None:
    await options.submit(tariff={}, capacity={"capacity_limit": 5})
    assert options.shows("init", capacity="limit_without_rule")
    assert options.fields["capacity"]["capacity_limit"] == 5
    await options.submit(tariff={}, capacity={})
    assert options.shows("prices")


async def test_presets_of_this_country_come_first(hass: HomeAssistant, home: Home) -> None:
    hass.config.country, hass.config.language = "SE", "da"
    options = await Options(hass, home.entry).begin()
    assert options.choices("capacity", "capacity_preset") == [
        "sweden_ellevio",
        "sweden_goteborg",
        "sweden_sollentuna",
        "belgium_flanders",
        "norway_elvia",
    ]
    assert options.choices("tariff", "tariff_preset") == [
        "sweden_ellevio",
        "sweden_sollentuna",
        "denmark_n1",
        "norway_elvia",
    ]


@pytest.mark.parametrize("way", ["import", "export"])
async def test_a_tariff_without_a_price_among_others_is_refused(options: Options, way: str) -> None:
    await options.submit(tariff={"tariff_preset": "sweden_ellevio"}, capacity={})
    sections = {"import": {}, "export": {}} | {way: {"price_t1": 0.2}}
    await options.submit(**sections)
    assert options.shows("prices", **{way: f"{way}_prices_incomplete"})
    assert options.fields[way]["price_t1"] == 0.2
    assert options.entry.options == {}


async def test_what_is_not_typed_the_preset_may_know(options: Options) -> None:
    await options.submit(tariff={"tariff_preset": "norway_elvia"}, capacity={})
    await options.submit(**{"import": {"price_t1": 0.2}, "export": {}})
    assert options.ended


@pytest.mark.parametrize("way", ["import", "export"])
@pytest.mark.parametrize(
    ("unit", "why"),
    [("missing", "spot_missing"), ("W", "spot_unit"), ("EUR/kWh", "spot_currency")],
)
async def test_a_sensor_that_is_no_price_is_refused(
    options: Options, way: str, unit: str, why: str
) -> None:
    if unit != "missing":
        options.hass.states.async_set("sensor.spot", "1", {"unit_of_measurement": unit})
    await options.submit(tariff={}, capacity={})
    sections = {"import": {}, "export": {}} | {way: {f"{way}_spot": "sensor.spot"}}
    await options.submit(**sections)
    assert options.shows("prices", **{way: f"{way}_{why}"})
    options.hass.states.async_set("sensor.spot", "1", {"unit_of_measurement": "DKK/kWh"})
    await options.submit(**sections)
    assert options.ended
    assert options.entry.options[f"{way}_spot"] == "sensor.spot"


# --- what a running meter brings ------------------------------------------------------------------


async def test_a_meters_own_calendar_says_how_many_prices_there_are(home: Home) -> None:
    await home.set_up()
    home.coordinator.asker = CalendarAsker(presets.load("denmark_n1").calendar)
    await home.push(home.meter.saying())
    options = await Options(home.hass, home.entry).begin()
    await options.submit(tariff={}, capacity={})
    assert set(options.fields["import"]) == {"price_t1", "price_t2", "price_t3", "import_spot"}
    told = options.result["description_placeholders"]
    assert told["tariffs"] == "T1 Low, T2 High, T3 Peak"
    await options.submit(**{"import": {}, "export": {}})
    assert options.ended
    await home.settle()
    assert home.entry.state is ConfigEntryState.LOADED


async def test_before_the_calendar_is_known_four_prices_are_asked_for(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying())
    options = await Options(home.hass, home.entry).begin()
    await options.submit(tariff={}, capacity={})
    assert len(options.fields["export"]) == 5
    assert options.result["description_placeholders"]["tariffs"] == "T1, T2, T3, T4"


async def test_the_meters_limit_is_offered_as_the_fuse(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.seal(home.meter.body(CURRENTS, said=limited(16_000))))
    options = await Options(home.hass, home.entry).begin()
    assert options.fields["capacity"]["main_fuse"] == 16


async def test_a_fuse_that_was_emptied_is_not_offered_again(home: Home) -> None:
    await home.set_up()
    await home.push(home.meter.saying(limited(40_000)))
    options = await Options(home.hass, home.entry).begin()
    assert options.fields["capacity"]["main_fuse"] == 40
    await options.submit(tariff={}, capacity={})
    await options.submit(**{"import": {}, "export": {}})
    assert options.ended
    await home.settle()
    await home.push(home.meter.saying(limited(40_000)))
    assert (await Options(home.hass, home.entry).begin()).fields["capacity"]["main_fuse"] is None


async def test_a_price_that_the_meter_itself_makes_is_no_spot_price(home: Home) -> None:
    prices = {str(tariff): 2.0 for tariff in range(1, 4)}
    home.hass.config_entries.async_update_entry(
        home.entry,
        options={"tariff_preset": "denmark_n1", "import_prices": prices, "export_prices": prices},
    )
    await home.set_up()
    await home.push()
    options = await Options(home.hass, home.entry).begin()
    await options.submit(tariff={"tariff_preset": "denmark_n1"}, capacity={})
    await options.submit(
        **{
            "import": {"import_spot": home.entity_id("import_price")},
            "export": {"export_spot": home.entity_id("export_price")},
        }
    )
    assert options.shows("prices", **{"import": "import_spot_own", "export": "export_spot_own"})


SIX = {str(tariff): float(tariff) for tariff in range(1, 7)}


async def test_prices_of_a_meter_that_is_not_loaded_are_all_asked_for_again(
    hass: HomeAssistant, home: Home
) -> None:
    hass.config.currency = "DKK"
    hass.config_entries.async_update_entry(
        home.entry, options={"import_prices": SIX, "export_prices": {}}
    )
    options = await Options(hass, home.entry).begin()
    await options.submit(tariff={}, capacity={})
    shown = options.fields["import"]
    assert shown == {f"price_t{tariff}": float(tariff) for tariff in range(1, 7)} | {
        "import_spot": None
    }
    await options.submit(
        **{"import": {name: value for name, value in shown.items() if value}, "export": {}}
    )
    assert home.entry.options["import_prices"] == SIX


async def test_prices_of_tariffs_that_the_calendar_lacks_now_stay_until_all_are_emptied(
    hass: HomeAssistant, home: Home
) -> None:
    hass.config.currency = "NOK"
    hass.config_entries.async_update_entry(
        home.entry, options={"import_prices": SIX, "export_prices": {}}
    )
    await home.set_up()
    home.coordinator.asker = CalendarAsker(presets.load("norway_elvia").calendar)
    await home.push()
    options = await Options(hass, home.entry).begin()
    await options.submit(tariff={}, capacity={})
    assert set(options.fields["import"]) == {"price_t1", "price_t2", "import_spot"}
    await options.submit(**{"import": {"price_t1": 0.5, "price_t2": 2}, "export": {}})
    assert home.entry.options["import_prices"] == SIX | {"1": 0.5}
    await options.begin()
    await options.submit(tariff={}, capacity={})
    await options.submit(**{"import": {}, "export": {}})
    assert home.entry.options["import_prices"] == {}
