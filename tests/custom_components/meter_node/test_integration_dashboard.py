"""The dashboard's module: run as a browser does, against a made-up home; and how it is served."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import quickjs
from aiohttp.test_utils import TestClient
from homeassistant.components.frontend import DATA_EXTRA_MODULE_URL
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from integration_home import Home

from custom_components.meter_node.binary_sensor import BINARY_SENSORS
from custom_components.meter_node.event import EVENTS
from custom_components.meter_node.sensor import SENSORS

FOLDER = Path(__file__).parents[3] / "custom_components" / "meter_node"
MODULE = FOLDER / "frontend" / "meter-node-strategy.js"
DASHBOARD, VIEW = "ll-strategy-dashboard-meter-node", "ll-strategy-view-meter-node"

PAGE = """
class Registry {
  constructor(browsers) {
    this.browsers = browsers;
    this.defined = new Map();
    this.waiting = new Map();
  }
  get(name) { return this.defined.get(name); }
  define(name, element) {
    if (this.defined.has(name) || [...this.defined.values()].includes(element)) {
      throw new Error(`${name} is defined already`);
    }
    this.defined.set(name, element);
    if (this.browsers && !this.browsers.get(name)) this.browsers.define(name, class {});
    this.waiting.get(name)?.forEach((resolve) => resolve(element));
  }
  async whenDefined(name) {
    return this.get(name) ?? await new Promise((resolve) => {
      this.waiting.set(name, [...(this.waiting.get(name) ?? []), resolve]);
    });
  }
}
globalThis.customElements = new Registry();
// What Home Assistant's page does, in this order, as soon as its program is there.
globalThis.runProgram = () => {
  customElements = new Registry(customElements);
  customElements.define("home-assistant", class {});
};
globalThis.window = globalThis;
globalThis.document = { documentElement: { lang: "da" } };
globalThis.asked = [];
globalThis.generate = (element, config, home) => {
  const hass = {
    ...home,
    callWS: async (message) => {
      asked.push(message.type);
      if (message.type === "config/entity_registry/list") return home.registry;
      if (message.type === "energy/get_prefs" && home.grid) return { energy_sources: home.grid };
      if (message.type === "recorder/statistics_during_period" && home.recorded) {
        return Object.fromEntries(
          message.statistic_ids.map((id) => [id, home.recorded[id]]).filter(([, rows]) => rows),
        );
      }
      throw new Error("not_found");
    },
    loadBackendTranslation: async (category, domain) => (key) => home.texts[key],
  };
  customElements.get(element).generate(config, hass).then(
    (made) => { globalThis.answer = JSON.stringify(made); },
    (error) => { globalThis.failed = `${error}\\n${error.stack}`; },
  );
};
"""

# One page whose first question for the registry is lost, and which is drawn twice.
ONCE_LOST = """
globalThis.outcomes = [];
globalThis.questions = 0;
globalThis.hass = {
  ...home,
  callWS: async ({ type }) => {
    if (type !== "config/entity_registry/list") throw new Error("not_found");
    questions += 1;
    if (questions === 1) throw new Error("lost");
    return home.registry;
  },
  loadBackendTranslation: async () => (key) => home.texts[key],
};
const strategy = customElements.get("ll-strategy-dashboard-meter-node");
globalThis.draw = () => strategy.generate({}, hass).then(
  () => outcomes.push("made"),
  (error) => outcomes.push(error.message),
);
draw().then(draw);
"""

# Those of the built-in cards that Home Assistant's page loads by these names.
BUILT_IN = {
    "calendar",
    "energy-distribution",
    "entities",
    "gauge",
    "heading",
    "history-graph",
    "logbook",
    "markdown",
    "statistic",
    "statistics-graph",
    "tile",
}


class EmptyPage:
    """A browser's page, with the registry that the browser gave it."""

    def __init__(self) -> None:
        self.context = quickjs.Context()
        self.context.eval(PAGE)

    def load(self, version: str = "") -> None:
        """Load the module; one of another version has that for its first view's title."""
        source = MODULE.read_text()
        if version:
            source = source.replace('title: text("home")', f'title: "{version}"')
        self.context.module(source)
        self.settle()

    def run_program(self) -> None:
        """Run Home Assistant's own program, which replaces the registry."""
        self.context.eval("runProgram()")
        self.settle()

    def settle(self) -> None:
        """Have every promise that is kept be acted upon."""
        while self.context.execute_pending_job():
            pass

    def found(self) -> list[str]:
        """Return the names that the page finds in its registry, without its own."""
        names: str = self.context.eval("[...customElements.defined.keys()].join()")
        return [name for name in names.split(",") if name != "home-assistant"]

    def generate(self, home: MadeUpHome, element: str = DASHBOARD, **config: Any) -> Any:
        """Have a strategy make its configuration, as the page does."""
        self.context.eval("globalThis.answer = globalThis.failed = undefined")
        arguments = ", ".join(map(json.dumps, (element, config, home.as_page())))
        self.context.eval(f"generate({arguments})")
        self.settle()
        assert self.context.get("failed") is None
        return json.loads(self.context.get("answer"))


class Page(EmptyPage):
    """A page that has run its program, then the module."""

    def __init__(self) -> None:
        super().__init__()
        self.run_program()
        self.load()


SUN = {"type": "solar", "stat_energy_from": "sensor.roof"}


class MadeUpHome:
    """The home as its page knows it: entities, devices, states, and what it can ask for."""

    def __init__(self) -> None:
        self.registry: list[dict[str, Any]] = []
        self.entities: dict[str, Any] = {}
        self.devices: dict[str, Any] = {}
        self.states: dict[str, Any] = {}
        self.grid: list[dict[str, Any]] | None = None
        self.recorded: dict[str, list[dict[str, float]]] | None = None
        dashboard = json.loads((FOLDER / "translations" / "en.json").read_text())["selector"]
        self.texts = {
            f"component.meter_node.selector.dashboard.options.{key}": text
            for key, text in dashboard["dashboard"]["options"].items()
        }

    def meter(
        self, name: str, keys: Mapping[str, Sequence[str]], *, language: str = "", **states: object
    ) -> MadeUpHome:
        """Add a meter with these quantities by domain; ids are in a language of their own."""
        device = f"device_{name.lower()}"
        self.devices[device] = {"id": device, "name": f"382M {name}", "name_by_user": name}
        for domain, quantities in keys.items():
            for key in quantities:
                entity = f"{domain}.{language}{name.lower()}_{key}"
                self.registry.append(
                    {
                        "entity_id": entity,
                        "unique_id": f"4d54{name.lower().encode().hex()}_{key}",
                        "platform": "meter_node",
                        "device_id": device,
                    }
                )
                self.entities[entity] = {"entity_id": entity, "device_id": device}
                self.states[entity] = {"state": str(states.get(key, "1"))}
        return self

    def as_page(self) -> dict[str, Any]:
        return vars(self)


@pytest.fixture
def page() -> Page:
    return Page()


THREE_PHASES = {
    "sensor": [
        *("active_power", "import_active_energy", "export_active_energy", "frequency"),
        *(f"{quantity}_l{n}" for quantity in ("voltage", "current", "active_power") for n in "123"),
        *("active_tariff", "import_active_energy_t1", "import_active_energy_t2"),
        *("breaker_state", "supply_off_cause", "relay_1_pending", "import_active_demand"),
    ],
    "binary_sensor": ["relay_1", "neutral_fault", "exporting"],
    "event": ["power_quality", "supply"],
}
SINGLE_PHASE = {"sensor": ["active_power", "import_active_energy", "voltage_l1", "current_l1"]}


def cards(node: Any) -> Iterator[dict[str, Any]]:
    """Every card of a view, sections without."""
    for section in node["sections"]:
        yield from section["cards"]


def headings(view: Any) -> list[str]:
    return [card["heading"] for card in cards(view) if card["type"] == "heading"]


def of_type(view: Any, kind: str) -> list[dict[str, Any]]:
    return [card for card in cards(view) if card["type"] == kind]


def named(node: Any) -> Iterator[str]:
    """Every entity id that a configuration names."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("entity", "entity_id") and isinstance(value, str):
                yield value
            elif key in ("entities", "entity_id") and isinstance(value, list):
                yield from (entity for entity in value if isinstance(entity, str))
                yield from named(value)
            else:
                yield from named(value)
    elif isinstance(node, list):
        for value in node:
            yield from named(value)


def test_home_assistant_finds_both_strategies_and_offers_one_for_a_new_dashboard(
    page: Page,
) -> None:
    assert page.found() == [DASHBOARD, VIEW]
    [offered] = json.loads(page.context.eval("JSON.stringify(window.customStrategies)"))
    assert (offered["type"], offered["strategyType"]) == ("meter-node", "dashboard")
    assert offered["name"] == "Meter Node"
    assert offered["description"].startswith("Alle dine elmålere")  # the page's language


def test_the_strategies_are_found_though_the_page_replaced_its_registry_after_the_module() -> None:
    page = EmptyPage()
    page.load()
    page.run_program()
    assert page.found() == [DASHBOARD, VIEW]
    [view] = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"]
    assert view["title"] == "House"
    assert page.context.eval("window.customStrategies.length") == 1


@pytest.mark.parametrize("order", list(itertools.permutations(["old", "new", "program"])))
def test_two_versions_of_the_module_do_no_harm_in_whichever_order_they_come(
    order: tuple[str, ...],
) -> None:
    page = EmptyPage()
    for script in order:
        page.run_program() if script == "program" else page.load(script)
    assert page.found() == [DASHBOARD, VIEW]
    assert page.context.eval("window.customStrategies.length") == 1
    home = MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE)
    first = next(script for script in order if script != "program")
    assert page.generate(home)["views"][0]["title"] == first


def test_both_strategies_are_run_anew_when_an_entity_comes(page: Page) -> None:
    for element in (DASHBOARD, VIEW):
        depends = page.context.eval(f"customElements.get('{element}').registryDependencies.join()")
        assert depends == "entities,devices"


def test_a_home_with_one_meter_gets_one_view_with_all_that_it_has(page: Page) -> None:
    [view] = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"]
    assert (view["title"], view["path"]) == ("House", "house")
    assert headings(view) == [
        *("Now and today", "Energy of the day", "Phases", "Tariff of the day", "Supply"),
        *("Load relays", "Capacity", "The last 30 days", "Events"),
    ]


def test_only_built_in_cards_are_used(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES | {"calendar": ["tariffs"]})
    home.grid = [{"type": "grid", "stat_energy_from": "sensor.house_import_active_energy"}, SUN]
    [view] = page.generate(home)["views"]
    assert {card["type"] for card in cards(view)} == BUILT_IN - {"markdown"}


def test_every_entity_that_is_named_is_there_and_the_meters_own(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE)
    _, flat, house = page.generate(home)["views"]
    for view, name in ((flat, "flat"), (house, "house")):
        entities = set(named(view))
        assert entities
        assert entities <= {entity for entity in home.entities if f".{name}_" in entity}


def test_entities_are_found_whatever_the_language_of_their_ids(page: Page) -> None:
    home = MadeUpHome().meter("Hus", THREE_PHASES, language="maaler_")
    [view] = page.generate(home)["views"]
    [gauge] = of_type(view, "gauge")
    assert gauge["entity"] == "sensor.maaler_hus_active_power"


def test_what_a_meter_has_not_is_not_shown(page: Page) -> None:
    [view] = page.generate(MadeUpHome().meter("Flat", SINGLE_PHASE))["views"]
    assert headings(view) == [*("Now and today", "Energy of the day", "Phases", "The last 30 days")]
    [gauge] = of_type(view, "gauge")
    assert (gauge["min"], gauge["max"]) == (0, 5750)  # 230 V × 25 A, and no export
    assert [card["name"] for card in of_type(view, "statistic")] == ["Import today"]


def test_a_house_that_never_exported_has_no_export(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES, export_active_energy="0.0")
    [view] = page.generate(home)["views"]
    assert [card["name"] for card in of_type(view, "statistic")] == ["Import today"]
    assert of_type(view, "gauge")[0]["min"] == 0


AWAY = {"active_power": "unavailable", "export_active_energy": "unavailable"}


@pytest.mark.parametrize(
    ("recorded", "exports"),
    [
        ([{"state": 0.0}, {"state": 0.0}], False),
        ([{"state": 0.0}, {"state": 0.3}], True),
        ([], False),
        (None, False),  # nothing is recorded at all
    ],
)
def test_a_meter_that_is_away_is_drawn_by_what_it_exported_before(
    page: Page, recorded: list[dict[str, float]] | None, exports: bool
) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES, **AWAY)
    if recorded is not None:
        home.recorded = {"sensor.house_export_active_energy": recorded}
    [view] = page.generate(home)["views"]
    names = ["Import today", "Export today"] if exports else ["Import today"]
    assert [card["name"] for card in of_type(view, "statistic")] == names
    assert (of_type(view, "gauge")[0]["min"] < 0) == exports


def test_statistics_are_asked_for_only_while_a_meter_is_away(page: Page) -> None:
    page.generate(MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE))
    question = "recorder/statistics_during_period"
    assert question not in json.loads(page.context.eval("JSON.stringify(asked)"))
    page.generate(MadeUpHome().meter("House", THREE_PHASES, **AWAY))
    assert json.loads(page.context.eval("JSON.stringify(asked)")).count(question) == 1


def test_the_dial_goes_below_zero_where_the_house_exports(page: Page) -> None:
    [view] = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"]
    [gauge] = of_type(view, "gauge")
    assert (gauge["min"], gauge["max"]) == (-3 * 5750, 3 * 5750)
    assert [segment["from"] for segment in gauge["segments"]] == [-17250, 0, 8625, 13800]


def test_the_dial_ends_at_the_limit_in_force(page: Page) -> None:
    keys = {"sensor": [*SINGLE_PHASE["sensor"], "power_limit"]}
    [view] = page.generate(MadeUpHome().meter("Flat", keys, power_limit="9000"))["views"]
    assert of_type(view, "gauge")[0]["max"] == 9000


def test_the_dial_counts_in_the_unit_that_was_chosen_for_the_power(page: Page) -> None:
    keys = {"sensor": [*SINGLE_PHASE["sensor"], "power_limit"]}
    home = MadeUpHome().meter("Flat", keys, power_limit="9000")
    unit = {"attributes": {"unit_of_measurement": "kW"}}
    home.states["sensor.flat_active_power"] |= unit
    [view] = page.generate(home)["views"]
    assert of_type(view, "gauge")[0]["max"] == 9
    home.states["sensor.flat_power_limit"] = {"state": "8", **unit}
    [view] = page.generate(home)["views"]
    assert of_type(view, "gauge")[0]["max"] == 8


def test_a_registry_that_could_not_be_read_is_asked_for_again(page: Page) -> None:
    home = MadeUpHome().meter("Flat", SINGLE_PHASE)
    page.context.eval(f"globalThis.home = {json.dumps(home.as_page())}")
    page.context.eval(ONCE_LOST)
    page.settle()
    assert json.loads(page.context.eval("JSON.stringify(outcomes)")) == ["lost", "made"]


def test_hidden_and_disabled_entities_stay_away(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES)
    home.entities["sensor.house_frequency"]["hidden"] = True
    del home.entities["sensor.house_active_tariff"]  # as of one that is disabled
    [view] = page.generate(home)["views"]
    assert not {"sensor.house_frequency", "sensor.house_active_tariff"} & set(named(view))


def test_a_relay_is_switched_where_it_can_be_and_shown_where_not(page: Page) -> None:
    shown = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"][0]
    assert "binary_sensor.house_relay_1" in set(named(shown))
    keys = THREE_PHASES | {"select": ["relay_1_choice"], "switch": ["relay_1"]}
    [view] = page.generate(MadeUpHome().meter("House", keys))["views"]
    features = {
        card["entity"]: card["features"][0]["type"]
        for card in of_type(view, "tile")
        if "features" in card
    }
    assert features == {
        "select.house_relay_1_choice": "select-options",
        "switch.house_relay_1": "toggle",
    }
    assert "binary_sensor.house_relay_1" not in set(named(view))


def test_the_supply_can_be_reconnected_only_while_that_would_work(page: Page) -> None:
    keys = THREE_PHASES | {"button": ["reconnect"]}
    [view] = page.generate(MadeUpHome().meter("House", keys))["views"]
    [button] = [card for card in of_type(view, "tile") if card["entity"].startswith("button.")]
    assert button["visibility"] == [
        {"condition": "state", "entity": "button.house_reconnect", "state_not": "unavailable"}
    ]


def test_the_last_days_stand_across_two_columns_and_the_log_across_all(page: Page) -> None:
    [view] = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"]
    [wide, events] = [section for section in view["sections"] if "column_span" in section]
    assert (wide["column_span"], events["column_span"]) == (2, view["max_columns"])
    chart = wide["cards"][1]
    assert (chart["days_to_show"], chart["grid_options"]["columns"]) == (30, "full")


def test_what_is_billed_comes_before_what_the_meter_keeps(page: Page) -> None:
    billed = ["window_projected_power", "month_peak_power", "billed_capacity", "capacity_charge"]
    keys = {"sensor": [*SINGLE_PHASE["sensor"], "import_active_demand", *billed]}
    [view] = page.generate(MadeUpHome().meter("Flat", keys))["views"]
    shown = {card["entity"] for card in of_type(view, "tile")}
    assert {f"sensor.flat_{key}" for key in billed} <= shown
    assert "sensor.flat_import_active_demand" not in shown


def test_prices_costs_and_the_next_change_are_shown_where_they_are_known(page: Page) -> None:
    keys = {
        "sensor": [
            *(*SINGLE_PHASE["sensor"], "active_tariff", "next_tariff_change"),
            *("import_price", "export_price", "import_cost", "export_compensation"),
        ],
        "binary_sensor": ["peak_tariff"],
        "calendar": ["tariffs"],
    }
    [view] = page.generate(MadeUpHome().meter("Flat", keys))["views"]
    names = {card["entity"]: card["name"] for card in of_type(view, "statistic")}
    assert names["sensor.flat_import_cost"] == "Cost today"
    assert names["sensor.flat_export_compensation"] == "Paid back today"
    tiles = {card["entity"].partition(".flat_")[2]: card["name"] for card in of_type(view, "tile")}
    assert {"import_price", "export_price", "peak_tariff"} <= tiles.keys()
    assert tiles["next_tariff_change"] == "Begins"  # beside the next tariff
    assert of_type(view, "calendar")[0]["entities"] == ["calendar.flat_tariffs"]


def test_an_alarm_is_seen_only_while_it_holds(page: Page) -> None:
    [view] = page.generate(MadeUpHome().meter("House", THREE_PHASES))["views"]
    [badge] = view["badges"]
    assert badge["entity"] == "binary_sensor.house_neutral_fault"
    assert badge["visibility"] == [
        {"condition": "state", "entity": "binary_sensor.house_neutral_fault", "state": "on"}
    ]


def test_more_meters_than_one_have_a_view_of_all_of_them_first(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE)
    home.grid = [{"type": "grid", "stat_energy_from": "sensor.house_import_active_energy"}, SUN]
    views = page.generate(home)["views"]
    assert [view["path"] for view in views] == ["home", "flat", "house"]
    assert headings(views[0]) == ["Home", "Flat", "House"]
    assert len(of_type(views[0], "energy-distribution")) == 1


def test_meters_of_one_name_and_names_without_letters_have_paths_of_their_own(page: Page) -> None:
    home = MadeUpHome()
    for name in ("Home", "42", "Ø"):
        home.meter(name, SINGLE_PHASE)
    paths = [view["path"] for view in page.generate(home)["views"]]
    assert paths == ["home", "device_42", "device_home", "device_ø"]


@pytest.mark.parametrize(
    ("sources", "shown"),
    [
        (None, 0),
        ([], 0),
        (["sensor.house_import_active_energy"], 1),
        (["sensor.house_import_active_energy", "sensor.another_import"], 0),
    ],
)
def test_the_energy_flow_is_shown_where_it_is_this_meters_alone(
    page: Page, sources: list[str] | None, shown: int
) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES)
    if sources is not None:
        home.grid = [SUN, *({"type": "grid", "stat_energy_from": source} for source in sources)]
    [view] = page.generate(home)["views"]
    assert len(of_type(view, "energy-distribution")) == shown


def test_the_flow_of_a_home_that_exports_is_left_out_while_its_sun_is_not_known(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES)
    home.grid = [{"type": "grid", "stat_energy_from": "sensor.house_import_active_energy"}]
    [view] = page.generate(home)["views"]
    assert of_type(view, "energy-distribution") == []  # it would say that the home uses nothing
    home.states["sensor.house_export_active_energy"] = {"state": "0"}
    [view] = page.generate(home)["views"]
    assert len(of_type(view, "energy-distribution")) == 1


def test_a_view_of_ones_own_takes_one_meter_and_its_hours(page: Page) -> None:
    home = MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE)
    view = page.generate(home, VIEW, device_id="device_flat", hours_to_show=3)
    assert "sensor.flat_active_power" in set(named(view))
    assert {card["hours_to_show"] for card in of_type(view, "history-graph")} == {3}


def test_a_home_without_a_meter_is_told_where_to_add_one(page: Page) -> None:
    for made in (
        page.generate(MadeUpHome())["views"][0],
        page.generate(MadeUpHome(), VIEW, device_id="gone"),
    ):
        assert made["cards"][0]["content"].startswith("No meter is set up yet.")


def test_the_registry_is_asked_for_once_a_page(page: Page) -> None:
    page.generate(MadeUpHome().meter("House", THREE_PHASES).meter("Flat", SINGLE_PHASE))
    asked = json.loads(page.context.eval("JSON.stringify(asked)"))
    assert asked.count("config/entity_registry/list") == 1


def test_every_quantity_that_is_named_is_one_that_the_integration_has() -> None:
    """A quantity of a later version may be named too: it is matched by a pattern."""
    source = MODULE.read_text()
    ours = {row.key for row in (*SENSORS, *BINARY_SENSORS, *EVENTS)}
    for key in ("active_power", "import_active_energy", "export_active_energy", "power_limit"):
        assert f'"{key}"' in source
        assert key in ours
    alarms = source[source.index("const ALARMS") : source.index("function eventsSection")]
    named = set(re.findall(r"[a-z]+(?:_[a-z]+)+|tamper|magnet", alarms))
    assert len(named) == 10
    assert named <= ours


# --- how it is served ----------------------------------------------------------------------------


@pytest.fixture
def loaded(hass: HomeAssistant) -> set[str]:
    """What every page of Home Assistant loads beside its own."""
    hass.config.components.add("frontend")
    addresses: set[str] = set()
    hass.data[DATA_EXTRA_MODULE_URL] = addresses  # type: ignore[assignment]
    return addresses


async def test_the_module_is_served_and_every_page_loads_it_while_there_is_a_meter(
    home: Home, hass: HomeAssistant, loaded: set[str], hass_client_no_auth: Any
) -> None:
    await home.set_up()
    [url] = loaded
    client: TestClient[Any, Any] = await hass_client_no_auth()
    answer = await client.get(url)
    assert answer.status == 200
    assert answer.content_type == "text/javascript"
    assert await answer.text() == MODULE.read_text()
    await home.restart()
    assert loaded == {url}
    assert await hass.config_entries.async_unload(home.entry.entry_id)
    assert loaded == set()


async def test_an_address_of_another_version_gets_the_module_of_today(
    home: Home, loaded: set[str], hass_client_no_auth: Any
) -> None:
    await home.set_up()
    [url] = loaded
    path, _, version = url.partition("?v=")
    assert version == hashlib.sha256(MODULE.read_bytes()).hexdigest()[:12]
    client: TestClient[Any, Any] = await hass_client_no_auth()
    answer = await client.get(f"{path}?v=0123456789ab")  # a page that was kept since before
    assert await answer.text() == MODULE.read_text()


async def test_a_home_without_pages_does_without_the_module(home: Home) -> None:
    await home.set_up()
    assert "frontend" not in home.hass.config.components
    await home.push()
    assert home.state("active_power") == "1500.4"


async def test_it_cannot_be_set_up_in_yaml(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "meter_node", {"meter_node": {"key": "value"}})
    assert not hass.config_entries.async_entries("meter_node")
