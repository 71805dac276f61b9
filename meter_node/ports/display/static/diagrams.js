// Draws phasors and waveforms as SVG. Knows nothing of where they come from.

import { element } from "./lcd.js";

const RADIUS = 100;

// The next of 1, 2, 5, 10, 20 ... that is no less.
function nice(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((it) => it * step).find((it) => it >= value * 0.999) || value;
}

function text(value, decimals) {
  return value.toLocaleString(document.documentElement.lang, { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

export class PhasorDiagram {
  constructor(svg, table) {
    this.svg = svg;
    this.table = table;
    svg.setAttribute("viewBox", "-128 -122 256 244");
    const grid = element("g", { class: "grid" }, svg);
    for (const share of [0.5, 1]) element("circle", { r: RADIUS * share }, grid);
    for (let angle = 0; angle < 180; angle += 30) {
      const x = RADIUS * Math.cos((angle * Math.PI) / 180), y = RADIUS * Math.sin((angle * Math.PI) / 180);
      element("line", { x1: -x, y1: -y, x2: x, y2: y }, grid);
    }
    this.arrows = element("g", {}, svg);
  }

  show(phasors, texts) {
    this.arrows.replaceChildren();
    this.table.replaceChildren();
    if (!phasors) {
      element("text", { class: "none", y: 4 }, this.arrows).textContent = texts.no_picture;
      return;
    }
    const most = Math.max(...phasors.map((it) => it.u), 1);
    const mostCurrent = nice(Math.max(...phasors.map((it) => it.i), 0.05));
    const head = this.table.createTHead().insertRow();
    for (const title of ["", "U", "I", "φ"]) head.append(Object.assign(document.createElement("th"), { textContent: title }));
    const body = this.table.createTBody();
    phasors.forEach((phase, index) => {
      this.arrow((phase.u / most) * RADIUS * 0.94, phase.u_deg, `l${index + 1} voltage`, `U${index + 1}`, phase.u / most > 0.2);
      this.arrow((phase.i / mostCurrent) * RADIUS * 0.8, phase.i_deg, `l${index + 1} current`, `I${index + 1}`, phase.i / mostCurrent > 0.25);
      let lag = phase.u_deg - phase.i_deg;
      lag -= 360 * Math.round(lag / 360);
      const row = body.insertRow();
      row.className = `l${index + 1}`;
      const has = phase.i > 0.0005 && phase.u > 1;
      for (const cell of [`L${index + 1}`, `${text(phase.u, 1)} V`, `${text(phase.i, 3)} A`, has ? `${text(lag, 1)}°` : "–"]) row.insertCell().textContent = cell;
    });
  }

  arrow(length, degrees, kind, name, named) {
    if (length < 1) return;
    // U1 points up, angles count against the clock.
    const turn = ((degrees + 90) * Math.PI) / 180;
    const at = (along, aside = 0) => [along * Math.cos(turn) - aside * Math.sin(turn), -(along * Math.sin(turn) + aside * Math.cos(turn))].map((it) => it.toFixed(1)).join(" ");
    const group = element("g", { class: `phasor ${kind}` }, this.arrows);
    const tip = Math.min(9, length * 0.5);
    element("path", { class: "shaft", d: `M0 0L${at(length - tip * 0.7)}` }, group);
    element("path", { class: "tip", d: `M${at(length)}L${at(length - tip, tip * 0.38)}L${at(length - tip, -tip * 0.38)}Z` }, group);
    if (named) {
      // Beside its tip for a current: it often lies on its voltage.
      const [x, y] = (kind.endsWith("current") ? at(length - 4, -11) : at(length + 10)).split(" ");
      element("text", { x, y: Number(y) + 3.5 }, group).textContent = name;
    }
  }
}

export class Oscilloscope {
  constructor(svg, legend) {
    this.svg = svg;
    this.legend = legend;
    svg.setAttribute("viewBox", "0 0 560 260");
    const grid = element("g", { class: "grid" }, svg);
    for (let place = 0; place <= 8; place += 1) element("line", { x1: 40 + place * 60, y1: 10, x2: 40 + place * 60, y2: 250 }, grid);
    for (let place = 0; place <= 8; place += 1) element("line", { x1: 40, y1: 10 + place * 30, x2: 520, y2: 10 + place * 30, class: place === 4 ? "zero" : "" }, grid);
    this.lines = element("g", {}, svg);
    this.marks = element("g", { class: "scale" }, svg);
  }

  show(waves, texts) {
    this.lines.replaceChildren();
    this.marks.replaceChildren();
    if (!waves || !waves.phases.length) {
      element("text", { class: "none", x: 280, y: 124 }, this.lines).textContent = texts.no_picture;
      this.legend.textContent = "";
      return;
    }
    const peak = (key, least) => nice(Math.max(least, ...waves.phases.flatMap((phase) => phase[key].map(Math.abs))));
    const mostVolts = peak("u", 10), mostAmperes = peak("i", 0.05);
    waves.phases.forEach((phase, index) => {
      this.line(phase.u, mostVolts, `wave voltage l${index + 1}`);
      this.line(phase.i, mostAmperes, `wave current l${index + 1}`);
    });
    const mark = (x, y, anchor, label) => Object.assign(element("text", { x, y, "text-anchor": anchor }, this.marks), { textContent: label });
    for (const [share, y] of [[1, 14], [0.5, 74], [0, 134], [-0.5, 194], [-1, 254]]) {
      mark(35, y, "end", text(share * mostVolts, 0));
      mark(525, y, "start", text(share * mostAmperes, mostAmperes < 0.2 ? 3 : mostAmperes < 2 ? 2 : mostAmperes < 20 ? 1 : 0));
    }
    const milliseconds = (1000 * waves.phases[0].u.length) / waves.rate;
    this.legend.textContent = `—— ${texts.voltage} (V)   - - - ${texts.current} (A)   ${text(milliseconds, 1)} ms`;
    this.svg.setAttribute("aria-label", `${texts.waveforms}: ±${mostVolts} V, ±${mostAmperes} A`);
  }

  line(values, most, kind) {
    const step = 480 / Math.max(1, values.length - 1);
    const d = values.map((value, place) => `${place ? "L" : "M"}${(40 + place * step).toFixed(1)} ${(130 - (value / most) * 120).toFixed(1)}`).join("");
    element("path", { d, class: kind }, this.lines);
  }
}
