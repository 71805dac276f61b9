// The dashboard of Meter Node: one view a meter, made of built-in cards, of what the meter has.
//
// Entities are found by device and by the meter's own name for the quantity, the tail of their
// unique id: neither the language nor a new name of an entity changes that. Must not know ciphers,
// MQTT or how a quantity is measured.

const PLATFORM = "meter_node";
const TYPE = "meter-node";
const TEXTS = `component.${PLATFORM}.selector.dashboard.options`;
const PHASES = ["l1", "l2", "l3"];
const OWN_NAME = { type: "entity" }; // without the meter's, which stands above

const HOURS_TO_SHOW = 24;
const DAYS_TO_LOOK_BACK = 40; // for a register of a meter that is away
const MAX_COLUMNS = 4;
// As on the Energy dashboard. A chart is drawn on a canvas, which knows no variables of a theme.
const FROM_GRID = "#488fc2";
const TO_GRID = "#8353d1";
// Without a limit of its own a house is drawn for a common main fuse, 230 V × 25 A a phase.
const WATTS_A_PHASE = 5750;
const WATTS = { mW: 0.001, W: 1, kW: 1000, MW: 1e6, GW: 1e9, TW: 1e12 };

// --- what there is -----------------------------------------------------------------------------

/** One meter: its device, and its entities by domain and by the meter's name for the quantity. */
class Meter {
  constructor(device, rows) {
    this.deviceId = device.id;
    this.name = device.name_by_user || device.name || device.id;
    this.entities = rows.map(({ entity_id, unique_id }) => ({
      id: entity_id,
      domain: entity_id.slice(0, entity_id.indexOf(".")),
      // A system title has no underscore in it: what follows the first is the quantity.
      key: unique_id.slice(unique_id.indexOf("_") + 1),
    }));
  }

  /** Return the entity id of a quantity, undefined where the meter has none. */
  find(domain, key) {
    return this.entities.find((entity) => entity.domain === domain && entity.key === key)?.id;
  }

  /** Return the entity ids whose quantity matches, in the order of their quantities. */
  all(domain, pattern) {
    return this.entities
      .filter((entity) => entity.domain === domain && pattern.test(entity.key))
      .sort((one, other) => one.key.localeCompare(other.key, "en", { numeric: true }))
      .map((entity) => entity.id);
  }

  /** Return the phases of which a quantity is shown, with its entity id. */
  phases(quantity) {
    return PHASES.map((phase) => ({ phase, id: this.find("sensor", `${quantity}_${phase}`) }))
      .filter(({ id }) => id);
  }
}

const registries = new WeakMap();

/** Return the registry's rows; asked for once, until an entity comes, goes or is changed. */
function registryOf(hass) {
  if (!registries.has(hass.entities)) {
    const rows = hass.callWS({ type: "config/entity_registry/list" });
    registries.set(hass.entities, rows);
    // A connection that was lost for a moment must not be remembered.
    rows.catch(() => registries.delete(hass.entities));
  }
  return registries.get(hass.entities);
}

/** Return the meters by name; what is disabled or hidden is left out. */
async function metersOf(hass) {
  const byDevice = new Map();
  for (const row of await registryOf(hass)) {
    const shown = hass.entities[row.entity_id];
    if (row.platform !== PLATFORM || !shown || shown.hidden || !hass.devices[row.device_id]) {
      continue;
    }
    byDevice.set(row.device_id, [...(byDevice.get(row.device_id) ?? []), row]);
  }
  return [...byDevice]
    .map(([device, rows]) => new Meter(hass.devices[device], rows))
    .sort((one, other) => one.name.localeCompare(other.name));
}

/** Return the imports on the Energy dashboard, none where that is not set up, and if it has a sun. */
async function gridOf(hass) {
  try {
    const { energy_sources: sources } = await hass.callWS({ type: "energy/get_prefs" });
    return {
      grid: sources.filter(({ type }) => type === "grid").map((grid) => grid.stat_energy_from),
      hasSolar: sources.some(({ type }) => type === "solar"),
    };
  } catch {
    return { grid: [], hasSolar: false };
  }
}

/** Return the last state of registers in the statistics, by entity, as far as there are any. */
async function recordedOf(hass, entities) {
  try {
    const found = await hass.callWS({
      type: "recorder/statistics_during_period",
      start_time: new Date(Date.now() - DAYS_TO_LOOK_BACK * 86400e3).toISOString(),
      statistic_ids: entities,
      period: "day",
      types: ["state"],
    });
    return new Map(entities.map((entity) => [entity, found[entity]?.at(-1)?.state]));
  } catch {
    return new Map();
  }
}

/** Return the export registers that ever counted: of a meter that is away its statistics tell. */
async function exportersOf(meters, hass) {
  const registers = meters
    .map((meter) => meter.find("sensor", "export_active_energy"))
    .filter(Boolean);
  const stateOf = (entity) => Number(hass.states[entity]?.state);
  const silent = registers.filter((entity) => Number.isNaN(stateOf(entity)));
  const recorded = silent.length ? await recordedOf(hass, silent) : new Map();
  return new Set(registers.filter((entity) => (recorded.get(entity) ?? stateOf(entity)) > 0));
}

/** Return a function from a key to the text in the user's language. */
async function textsOf(hass) {
  const localize = await hass.loadBackendTranslation("selector", PLATFORM);
  return (key) => localize(`${TEXTS}.${key}`) || key;
}

// --- cards -------------------------------------------------------------------------------------

const columns = (count, rows) => ({ grid_options: { columns: count, ...(rows && { rows }) } });

const heading = (text, icon, badges = []) => ({
  type: "heading",
  heading: text,
  icon,
  ...(badges.length && {
    badges: badges.map((entity) => ({ type: "entity", entity, name: OWN_NAME })),
  }),
});

const tile = (entity, more = {}) => ({ type: "tile", entity, name: OWN_NAME, ...more });

const section = (head, cards) =>
  cards.length ? { type: "grid", cards: [head, ...cards] } : undefined;

/** Return what a total has grown by today, side by side for those that there are. */
function todayCards(meter, { exporters, text }) {
  const totals = [
    [meter.find("sensor", "import_active_energy"), "import_today", "mdi:transmission-tower-export"],
    [exportOf(meter, exporters), "export_today", "mdi:transmission-tower-import"],
    [meter.find("sensor", "import_cost"), "cost_today", "mdi:cash-minus"],
    [meter.find("sensor", "export_compensation"), "compensation_today", "mdi:cash-plus"],
  ].filter(([entity]) => entity);
  return totals.map(([entity, name, icon]) => ({
    type: "statistic",
    entity,
    name: text(name),
    icon,
    stat_type: "change",
    period: { calendar: { period: "day" } },
    ...columns(totals.length > 1 ? 6 : 12, 2),
  }));
}

const flowCard = (text) => ({
  type: "energy-distribution",
  title: text("flow"),
  link_dashboard: true,
});

/** Whether the flow tells what a home uses: one that exports uses nothing by it without its sun. */
const flowIsTrue = (meters, { exporters, hasSolar }) =>
  hasSolar || !meters.some((meter) => exportOf(meter, exporters));

const bars = (title, entities, more) => ({
  type: "statistics-graph",
  title,
  chart_type: "bar",
  stat_types: ["change"],
  entities,
  ...more,
});

const graph = (title, entities, hours) => ({
  type: "history-graph",
  title,
  hours_to_show: hours,
  entities,
});

/** Return the export register's entity, undefined in a house that never exported. */
function exportOf(meter, exporters) {
  const exported = meter.find("sensor", "export_active_energy");
  return exporters.has(exported) ? exported : undefined;
}

/** Return how many watts are one of the unit in which a power is shown, by its owner's choice. */
function wattsOf(state) {
  return WATTS[state?.attributes?.unit_of_measurement] ?? 1;
}

/** Return the signed power on a dial: below zero the house exports. */
function powerGauge(meter, { exporters, hass }) {
  const entity = meter.find("sensor", "active_power");
  const limit = meter.find("sensor", "power_limit");
  const phases = Math.max(meter.phases("voltage").length, 1);
  const limitW = Number(hass.states[limit]?.state) * wattsOf(hass.states[limit]);
  const max = (limitW || phases * WATTS_A_PHASE) / wattsOf(hass.states[entity]);
  const exports = exportOf(meter, exporters);
  return {
    type: "gauge",
    entity,
    name: OWN_NAME,
    needle: true,
    min: exports ? -max : 0,
    max,
    segments: [
      ...(exports ? [{ from: -max, color: TO_GRID }] : []),
      { from: 0, color: "var(--success-color)" },
      { from: 0.5 * max, color: "var(--warning-color)" },
      { from: 0.8 * max, color: "var(--error-color)" },
    ],
    ...columns(12),
  };
}

// --- sections ----------------------------------------------------------------------------------

function nowSection(meter, context) {
  const { text, hours } = context;
  const power = meter.find("sensor", "active_power");
  const frequency = meter.all("sensor", /^frequency$/);
  return section(heading(text("now"), "mdi:home-lightning-bolt", frequency), [
    ...(power ? [powerGauge(meter, context)] : []),
    ...todayCards(meter, context),
    ...(power ? [graph("", [{ entity: power, name: OWN_NAME }], hours)] : []),
  ]);
}

/** Return import and export as the bars of a chart. */
function flowsOf(meter, { exporters, text }) {
  const imported = meter.find("sensor", "import_active_energy");
  const exported = exportOf(meter, exporters);
  return [
    ...(imported ? [{ entity: imported, name: text("from_grid"), color: FROM_GRID }] : []),
    ...(exported ? [{ entity: exported, name: text("to_grid"), color: TO_GRID }] : []),
  ];
}

function energySection(meter, context) {
  const { text, grid } = context;
  const flows = flowsOf(meter, context);
  const alone = grid.length === 1 && grid[0] === meter.find("sensor", "import_active_energy");
  return section(heading(text("energy"), "mdi:lightning-bolt"), [
    ...(alone && flowIsTrue([meter], context) ? [flowCard(text)] : []),
    ...(flows.length ? [bars(text("hours"), flows, { period: "hour", days_to_show: 1 })] : []),
  ]);
}

function daysSection(meter, context) {
  const flows = flowsOf(meter, context);
  const made = section(
    heading(context.text("days"), "mdi:chart-bar"),
    flows.length ? [bars("", flows, { period: "day", days_to_show: 30, ...columns("full") })] : [],
  );
  return made && { ...made, column_span: 2 };
}

function phasesSection(meter, { text, hours }) {
  const present = PHASES.filter((phase) => meter.find("sensor", `voltage_${phase}`));
  const width = 12 / Math.max(present.length, 1);
  const tiles = ["active_power", "voltage", "current", "current_headroom"].flatMap((quantity) => {
    const entities = meter.phases(quantity).filter(({ phase }) => present.includes(phase));
    return present.length > 1
      ? entities.map(({ id }) => tile(id, { vertical: true, ...columns(width, 2) }))
      : entities.map(({ id }) => tile(id));
  });
  const currents = meter.phases("current").map(({ id }) => ({ entity: id, name: OWN_NAME }));
  return section(heading(text("phases"), "mdi:sine-wave"), [
    ...tiles,
    ...(currents.length ? [graph("", currents, hours)] : []),
  ]);
}

function tariffSection(meter, { text }) {
  const [calendar] = meter.all("calendar", /./);
  // In pairs: what is in force, what it costs, what comes.
  const now = [
    meter.find("sensor", "active_tariff"),
    meter.find("binary_sensor", "peak_tariff"),
    meter.find("sensor", "import_price"),
    meter.find("sensor", "export_price"),
    meter.find("sensor", "next_tariff"),
  ].filter(Boolean);
  const change = meter.find("sensor", "next_tariff_change");
  const registers = meter.all("sensor", /^import_active_energy_t\d$/);
  const rows = registers.map((entity) => ({ entity, name: OWN_NAME }));
  return section(heading(text("tariff"), "mdi:clock-time-five-outline"), [
    ...now.map((entity) => tile(entity)),
    ...(change ? [tile(change, { name: text("change") })] : []),
    ...(calendar
      ? [{ type: "calendar", entities: [calendar], initial_view: "listWeek", ...columns(12, 5) }]
      : []),
    ...(rows.length > 1 ? [{ type: "entities", entities: rows }] : []),
  ]);
}

/** Return a card that is seen only while there is something to say. */
const seenUnless = (entity, state) =>
  tile(entity, {
    ...columns(12),
    visibility: [{ condition: "state", entity, state_not: [state, "unknown", "unavailable"] }],
  });

/** Return a card that is seen only while it can be used; a button never used is "unknown". */
const whileAvailable = (entity) =>
  tile(entity, {
    ...columns(12),
    visibility: [{ condition: "state", entity, state_not: "unavailable" }],
  });

const pendingTile = (entity) => seenUnless(entity, "unknown");

const CONTROLS = [
  { domain: "select", features: [{ type: "select-options" }], features_position: "inline" },
  { domain: "switch", features: [{ type: "toggle" }], features_position: "inline" },
];

/** Return each load relay's cards; its true state alone where it cannot be switched from here. */
function relayCards(meter) {
  const numbers = new Set(
    meter.entities.map(({ key }) => /^relay_(\d+)/.exec(key)?.[1]).filter(Boolean),
  );
  return [...numbers].sort().flatMap((number) => {
    const ofRelay = new RegExp(`^relay_${number}(_|$)`);
    const controls = CONTROLS.flatMap(({ domain, ...more }) =>
      meter.all(domain, ofRelay).map((entity) => tile(entity, { ...more, ...columns(12) })),
    );
    const state = meter.all("binary_sensor", ofRelay).map((entity) => tile(entity));
    const shown = controls.length ? controls : state;
    return [...shown, ...meter.all("sensor", ofRelay).map(pendingTile)];
  });
}

function supplySection(meter, { text }) {
  const relays = relayCards(meter);
  const state = meter.all("sensor", /^(breaker_state|credit|power_limit|current_limit)$/);
  return section(heading(text("supply"), "mdi:power-plug-outline"), [
    ...state.map((entity) => tile(entity, columns(state.length > 1 ? 6 : 12))),
    ...meter.all("button", /./).map(whileAvailable),
    ...meter.all("sensor", /^supply_off_cause$/).map((entity) => seenUnless(entity, "none")),
    ...(relays.length
      ? [{ ...heading(text("relays")), heading_style: "subtitle" }, ...relays]
      : []),
  ]);
}

function capacitySection(meter, { text }) {
  const billed = meter.all("sensor", /^window_|^month_peak|capacity/);
  // Without a rule of billing there is what the meter itself keeps.
  const shown = billed.length ? billed : meter.all("sensor", /demand/);
  return section(
    heading(text("capacity"), "mdi:chart-timeline-variant"),
    shown.map((entity) => tile(entity, columns(12))),
  );
}

const ALARMS = new RegExp(
  "^(neutral_fault|under_voltage|over_voltage|tamper|magnet|credit_low|limiter_exceeded" +
    "|breaker_failure|meter_fault|clock_invalid)$",
);

/** Return the meter's log, as wide as the page: beside anything else it would leave a hole. */
function eventsSection(meter, { text }) {
  const events = meter.all("event", /./);
  const log = { type: "logbook", target: { entity_id: events }, hours_to_show: 168 };
  const made = section(
    heading(text("events"), "mdi:bell-outline"),
    events.length ? [{ ...log, ...columns("full", 4) }] : [],
  );
  return made && { ...made, column_span: MAX_COLUMNS };
}

const SECTIONS = [
  nowSection,
  energySection,
  phasesSection,
  tariffSection,
  supplySection,
  capacitySection,
  daysSection,
  eventsSection,
];

// --- views -------------------------------------------------------------------------------------

/** Return what is wrong as badges that are seen only while it is. */
const alarmBadges = (meter) =>
  meter.all("binary_sensor", ALARMS).map((entity) => ({
    type: "entity",
    entity,
    name: OWN_NAME,
    show_name: true,
    color: "red",
    visibility: [{ condition: "state", entity, state: "on" }],
  }));

function meterView(meter, context) {
  return {
    type: "sections",
    max_columns: MAX_COLUMNS,
    dense_section_placement: true,
    badges: alarmBadges(meter),
    sections: SECTIONS.map((make) => make(meter, context)).filter(Boolean),
  };
}

/** Return the first view of a home with more meters than one: all of it, then each of them. */
function homeView(meters, paths, context) {
  const { text, grid, hours } = context;
  const ofMeters = meters.map((meter) => {
    const power = meter.find("sensor", "active_power");
    const head = {
      ...heading(meter.name, "mdi:meter-electric"),
      tap_action: { action: "navigate", navigation_path: paths.get(meter) },
    };
    return section(head, [
      ...(power ? [powerGauge(meter, context)] : []),
      ...todayCards(meter, context),
    ]);
  });
  const powers = meters
    .map((meter) => ({ entity: meter.find("sensor", "active_power"), name: meter.name }))
    .filter(({ entity }) => entity);
  const all = section(heading(text("home"), "mdi:home-lightning-bolt"), [
    ...(powers.length ? [graph(text("power"), powers, hours)] : []),
    ...(grid.length && flowIsTrue(meters, context) ? [flowCard(text)] : []),
  ]);
  return {
    title: text("home"),
    path: "home",
    type: "sections",
    max_columns: MAX_COLUMNS,
    badges: meters.flatMap(alarmBadges),
    sections: [all, ...ofMeters].filter(Boolean),
  };
}

/** Return a path for each meter's view: its name, where that makes one. */
function pathsOf(meters) {
  const paths = new Map();
  const taken = new Set(["home"]);
  for (const meter of meters) {
    const name = meter.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
    const path = name && !/^\d+$/.test(name) && !taken.has(name) ? name : meter.deviceId;
    taken.add(path);
    paths.set(meter, path);
  }
  return paths;
}

const contextOf = async (config, hass, meters) => ({
  hass,
  exporters: await exportersOf(meters, hass),
  text: await textsOf(hass),
  ...(await gridOf(hass)),
  hours: config.hours_to_show ?? HOURS_TO_SHOW,
});

/** All meters: `strategy: {type: custom:meter-node}`, with `hours_to_show` for the graphs. */
class MeterNodeDashboardStrategy {
  static registryDependencies = ["entities", "devices"];

  static async generate(config, hass) {
    const meters = await metersOf(hass);
    const context = await contextOf(config, hass, meters);
    const paths = pathsOf(meters);
    if (!meters.length) {
      return { views: [{ cards: [{ type: "markdown", content: context.text("no_meter") }] }] };
    }
    const views = meters.map((meter) => ({
      title: meter.name,
      path: paths.get(meter),
      ...meterView(meter, context),
    }));
    return { views: meters.length > 1 ? [homeView(meters, paths, context), ...views] : views };
  }
}

/** One meter in a dashboard of one's own: `strategy: {type: custom:meter-node, device_id: …}`. */
class MeterNodeViewStrategy {
  static registryDependencies = ["entities", "devices"];

  static async generate(config, hass) {
    const meters = await metersOf(hass);
    const meter = meters.find(({ deviceId }) => deviceId === config.device_id) ?? meters[0];
    const context = await contextOf(config, hass, meters);
    return meter
      ? meterView(meter, context)
      : { cards: [{ type: "markdown", content: context.text("no_meter") }] };
  }
}

const DESCRIPTIONS = {
  da: "Alle dine elmålere: energi, effekt, faser, tarif og hændelser",
  en: "All your electricity meters: energy, power, phases, tariff and events",
};

const ELEMENTS = {
  [`ll-strategy-dashboard-${TYPE}`]: MeterNodeDashboardStrategy,
  [`ll-strategy-view-${TYPE}`]: MeterNodeViewStrategy,
};

/** Define what the registry in use lacks: it may have it of another version of this module. */
function define() {
  for (const [name, strategy] of Object.entries(ELEMENTS)) {
    if (!customElements.get(name)) {
      customElements.define(name, strategy);
    }
  }
}

define();
// Home Assistant's page replaces window.customElements by a registry of its own, which is empty at
// first and the only one in which it looks; nothing settles whether that or this module runs first.
// The page's root element is defined afterwards, in the browser's registry too, so it is time
// whichever of the two was met here. home-assistant/frontend, issue 53890.
customElements.whenDefined("home-assistant").then(define);

// Into the same list: Home Assistant's page keeps hold of it.
window.customStrategies ??= [];
if (!window.customStrategies.some(({ type }) => type === TYPE)) {
  window.customStrategies.push({
    type: TYPE,
    strategyType: "dashboard",
    name: "Meter Node",
    get description() {
      return DESCRIPTIONS[document.documentElement.lang] ?? DESCRIPTIONS.en;
    },
  });
}
