// One meter's page: shows what the node streams, and tells it when the button is held.

import { Lcd } from "./lcd.js";
import { Oscilloscope, PhasorDiagram } from "./diagrams.js";

const HEARTBEAT_MS = 500;
const FLASH_S = 0.06;
const PULSES_PER_KWH = 1000;
const ANNOUNCED_AFTER_PUSH_MS = 8000;

const base = location.pathname.replace(/\/$/, "");
const byId = (id) => document.getElementById(id);
const lcd = new Lcd(byId("lcd"));
const phasors = new PhasorDiagram(byId("phasors"), byId("phasor-values"));
const waves = new Oscilloscope(byId("waves"), byId("legend"));
let texts = {};
let holdS = 6;
let powerW = 0;
let hasPulses = false;
let pushedAt = -Infinity;
let announced = "";

const source = new EventSource(`${base}/live`);
source.onmessage = ({ data }) => show(JSON.parse(data));
source.addEventListener("pulse", flash);
source.onopen = () => lose(false);
source.onerror = () => lose(true);

function lose(lost) {
  byId("lost").hidden = !lost;
  document.body.classList.toggle("is-lost", lost);
  if (lost) powerW = 0;
}

function show(state) {
  if (state.texts) begin(state);
  lcd.show(state.face);
  document.body.dataset.view = state.face.view;
  document.body.dataset.digits = state.face.digits;
  // With an S0 port the LED blinks with its pulses; else as fast as the power would make it.
  hasPulses = state.constant !== null;
  powerW = hasPulses ? 0 : state.face.power_w || 0;
  byId("constant").textContent = `${state.constant ?? PULSES_PER_KWH} imp/kWh`;
  byId("model").textContent = state.model;
  byId("number").textContent = state.meter_number;
  byId("software").textContent = `v${state.software}`;
  byId("rating").textContent = state.face.phases.length > 1 ? `${state.face.phases.length} × 230/400 V` : "230 V";
  if (state.phasors !== undefined) phasors.show(state.phasors, texts);
  if (state.waveforms !== undefined) waves.show(state.waveforms, texts);
  showAlarms(state.alarms);
  byId("token-panel").hidden = !state.prepaid;
  if (state.credit_wh !== null) byId("credit").textContent = (Math.trunc(state.credit_wh / 10) / 100).toFixed(2);
  announce(state.face);
}

function begin(state) {
  texts = state.texts;
  holdS = state.hold_s;
  document.documentElement.lang = state.language;
  document.title = `${state.name} – Meter Node`;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = texts[node.dataset.text];
  byId("button").setAttribute("aria-label", texts.button);
  byId("token").setAttribute("aria-label", texts.token);
  const nav = byId("meters");
  nav.hidden = state.meters.length < 2;
  nav.setAttribute("aria-label", texts.meters);
  nav.replaceChildren(...state.meters.map((name) => {
    const link = Object.assign(document.createElement("a"), { href: `/meter/${name}`, textContent: name });
    if (name === state.name) link.setAttribute("aria-current", "page");
    return link;
  }));
}

function showAlarms(alarms) {
  const list = byId("alarms");
  const wanted = alarms.length ? alarms : [texts.no_alarms];
  if (list.dataset.shown === wanted.join()) return;
  list.dataset.shown = wanted.join();
  list.className = alarms.length ? "any" : "";
  list.replaceChildren(...wanted.map((it) => Object.assign(document.createElement("li"), { textContent: it })));
}

// Spoken only for who pushes: a display that moves on by itself must not talk all day.
function announce(face) {
  const key = `${face.view} ${face.level} ${face.hint}`;
  if (key === announced || performance.now() - pushedAt > ANNOUNCED_AFTER_PUSH_MS) return;
  announced = key;
  byId("spoken").textContent = face.hint || face.spoken;
}

// --- the button -------------------------------------------------------------------------------

const button = byId("button");
let heldSince = null;
let heart = null;
// One after the other, so that a heartbeat can't overtake the letting go.
let sending = Promise.resolve();

function post(path, body, keepalive = false) {
  return fetch(`${base}/${path}`, { method: "POST", keepalive, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

function tell(down, keepalive = false) {
  sending = sending.then(() => post("button", { down }, keepalive)).catch(() => {});
}

function press() {
  if (heldSince !== null) return;
  heldSince = pushedAt = performance.now();
  button.classList.add("down");
  tell(true);
  heart = setInterval(() => tell(true), HEARTBEAT_MS);
}

function release() {
  if (heldSince === null) return;
  heldSince = null;
  pushedAt = performance.now();
  clearInterval(heart);
  button.classList.remove("down");
  tell(false, true);
}

button.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  button.setPointerCapture(event.pointerId);
  press();
});
for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(name, release);
button.addEventListener("contextmenu", (event) => event.preventDefault());
button.addEventListener("keydown", (event) => {
  if (event.key !== " " && event.key !== "Enter") return;
  event.preventDefault();
  if (!event.repeat) press();
});
button.addEventListener("keyup", (event) => {
  if (event.key === " " || event.key === "Enter") release();
});
addEventListener("pagehide", release);
document.addEventListener("visibilitychange", () => { if (document.hidden) release(); });

// --- the metering LED and the button's ring -----------------------------------------------------

const led = byId("led");
let pulse = 0;
let litFor = 0;
let before = performance.now();

function flash() {
  litFor = FLASH_S;
}

function frame(now) {
  const seconds = Math.min(1, (now - before) / 1000);
  before = now;
  pulse += (seconds * Math.abs(powerW) * PULSES_PER_KWH) / 3.6e6;
  litFor -= seconds;
  if (pulse >= 1) {
    pulse %= 1;
    flash();
  }
  led.classList.toggle("on", litFor > 0);
  const held = heldSince === null ? 0 : Math.min(1, (now - heldSince) / 1000 / holdS);
  button.style.setProperty("--held", `${held * 360}deg`);
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);

// --- the top-up token ---------------------------------------------------------------------------

byId("token-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("token"), answer = byId("token-answer");
  if (!field.value.trim()) return;
  answer.textContent = "…";
  answer.className = "";
  try {
    const response = await post("token", { token: field.value });
    const { ok, text } = response.ok ? await response.json() : { ok: false, text: await response.text() };
    answer.textContent = text;
    answer.className = ok ? "good" : "bad";
    if (ok) field.value = "";
  } catch {
    answer.textContent = texts.lost;
    answer.className = "bad";
  }
});
