// Draws a face on an LCD of SVG paths. Knows nothing of meters: which segments are lit is told.

const SVG = "http://www.w3.org/2000/svg";
const CELLS = 8;
const WIDTH = 50, HEIGHT = 104, THICK = 12, GAP = 1.4, PITCH = 65;

export function element(name, attributes = {}, parent = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

// The seven segments a to g of a cell, mitred at the corners as on a real glass.
function segmentPaths(w, h, t, g) {
  const m = h / 2;
  const flipX = (points) => points.map(([x, y]) => [w - x, y]);
  const flipY = (points) => points.map(([x, y]) => [x, h - y]);
  const top = [[g + 1, 0], [w - g - 1, 0], [w - t - g, t - 1], [t + g, t - 1]];
  const upperLeft = [[0, g + 1], [t - 1, t + g], [t - 1, m - t / 2 - g], [t / 2 - 1, m - g], [0, m - g - 2]];
  const middle = [[t / 2 + g, m], [t + g, m - t / 2], [w - t - g, m - t / 2],
    [w - t / 2 - g, m], [w - t - g, m + t / 2], [t + g, m + t / 2]];
  const ordered = [top, flipX(upperLeft), flipY(flipX(upperLeft)), flipY(top), flipY(upperLeft), upperLeft, middle];
  return ordered.map((points) => "M" + points.map((it) => it.map((n) => n.toFixed(2)).join(" ")).join("L") + "Z");
}

const BIG = segmentPaths(WIDTH, HEIGHT, THICK, GAP);
const SMALL = segmentPaths(15, 27, 3.6, 0.5);
// The code's characters: it is written in figures, points, colons and dashes alone.
const FIGURES = { 0: 63, 1: 6, 2: 91, 3: 79, 4: 102, 5: 109, 6: 125, 7: 7, 8: 127, 9: 111, "-": 64 };
const SMALL_CELLS = 8, SMALL_PITCH = 25;

class Segments {
  constructor(parent, count, pitch, paths, mark) {
    this.cells = Array.from({ length: count }, (_, place) => {
      const group = element("g", { transform: `translate(${place * pitch} 0)` }, parent);
      return { lit: paths.map((d) => element("path", { d, class: "seg" }, group)), marks: mark(group) };
    });
  }
  show(cells) {
    this.cells.forEach((cell, place) => {
      const [bits, mark] = cells[place] || [0, ""];
      cell.lit.forEach((path, bit) => path.classList.toggle("on", Boolean((bits >> bit) & 1)));
      cell.marks.point.classList.toggle("on", mark === "." || mark === ":");
      cell.marks.upper.classList.toggle("on", mark === ":");
      // A colon's lower dot stands higher than a point.
      cell.marks.point.setAttribute("transform", mark === ":" ? `translate(0 ${cell.marks.lift})` : "");
    });
  }
}

function marks(w, h, size, gap) {
  return (group) => ({
    lift: -h * 0.18,
    point: element("rect", { x: w + gap, y: h - size, width: size, height: size, rx: size / 5, class: "seg" }, group),
    upper: element("rect", { x: w + gap, y: h * 0.28, width: size, height: size, rx: size / 5, class: "seg mark" }, group),
  });
}

export class Lcd {
  constructor(svg, { compact = false } = {}) {
    this.svg = svg;
    svg.replaceChildren();
    svg.setAttribute("viewBox", compact ? "0 0 660 176" : "0 0 660 312");
    svg.classList.add("lcd");
    const line = element("g", { transform: "translate(26 16)", class: "ink" }, svg);
    this.code = new Segments(element("g", { transform: "skewX(-5)" }, line), SMALL_CELLS, SMALL_PITCH, SMALL, marks(15, 27, 4, 2.6));
    this.tariffs = Array.from({ length: 8 }, (_, index) => {
      const group = element("g", { transform: `translate(${250 + index * 45} -3)`, class: "seg" }, line);
      element("rect", { width: 38, height: 29, rx: 5, class: "box" }, group);
      element("text", { x: 19, y: 22, class: "boxed" }, group).textContent = `T${index + 1}`;
      return group;
    });
    const digits = element("g", { transform: "translate(30 60) skewX(-5)", class: "ink digits" }, svg);
    this.digits = new Segments(digits, CELLS, PITCH, BIG, marks(WIDTH, HEIGHT, 9, 3.5));
    this.unit = element("text", { x: 548, y: 163, class: "unit ink" }, svg);
    if (!compact) this.drawRow(svg);
  }

  drawRow(svg) {
    const row = element("g", { transform: "translate(26 190)", class: "ink" }, svg);
    this.phases = [1, 2, 3].map((number, index) => {
      const group = element("g", { transform: `translate(${index * 80} 0)` }, row);
      const arrow = (d) => element("path", { d, class: "seg" }, group);
      const exporting = arrow("M0 25L14 14V36Z");
      const name = element("text", { x: 34, y: 35, class: "phase seg" }, group);
      name.textContent = `L${number}`;
      return { name, exporting, importing: arrow("M68 25L54 14V36Z") };
    });
    const cross = element("g", { transform: "translate(270 25)" }, row);
    element("path", { d: "M-25 0H25M0 -25V25", class: "axis" }, cross);
    // Quadrant 1 is at the upper right (import, inductive), then on against the clock.
    this.quadrants = [[1, -1], [-1, -1], [-1, 1], [1, 1]].map(([x, y]) =>
      element("path", { d: `M${x * 3} ${y * 3}H${x * 22}A${19} ${19} 0 0 ${x * y < 0 ? 0 : 1} ${x * 3} ${y * 22}Z`, class: "seg" }, cross));
    const symbol = (x, build) => {
      const group = element("g", { transform: `translate(${x} 25)`, class: "seg" }, row);
      build(group);
      return group;
    };
    const boxed = (text, width) => (group) => {
      element("rect", { y: -17, width, height: 34, rx: 6, class: "box" }, group);
      element("text", { x: width / 2, y: 9, class: "boxed big" }, group).textContent = text;
    };
    this.pay = symbol(306, (group) => {
      element("rect", { y: -20, width: 66, height: 40, rx: 6 }, group);
      element("text", { x: 33, y: 10, class: "inverse" }, group).textContent = "PAY";
    });
    this.alarm = symbol(383, (group) => {
      element("path", { d: "M18 -18L37 16H-1Z", class: "line" }, group);
      element("path", { d: "M18 -7V5M18 9.5V12.5", class: "line" }, group);
    });
    // A contact between two terminals: closed, or with its lever up; a dot where it may be closed.
    const breaker = element("g", { transform: "translate(431 25)" }, row);
    const part = (d) => element("path", { d, class: "seg line" }, breaker);
    this.breaker = {
      wires: part("M0 4H10M38 4H48"), closed: part("M10 4H38"), open: part("M10 4L36 -15"),
      ready: element("circle", { cx: 24, cy: 15, r: 4.5, class: "seg" }, breaker),
    };
    this.relays = [symbol(492, boxed("R1", 38)), symbol(536, boxed("R2", 38))];
    this.clock = symbol(587, (group) => {
      element("circle", { cx: 10, cy: -9, r: 9, class: "line thin" }, group);
      element("path", { d: "M10 -14V-9L14 -7M1 0L19 -18", class: "line thin" }, group);
    });
    this.radio = symbol(587, (group) => {
      element("path", { d: "M2 20a11 11 0 0 1 16 0M6 24a6 6 0 0 1 8 0M-2 15.500a17 17 0 0 1 24 0", transform: "translate(0 -6)", class: "line thin" }, group);
    });
    this.caption = element("text", { x: 28, y: 287, class: "caption ink" }, svg);
    this.hint = element("text", { x: 634, y: 287, class: "caption hint ink" }, svg);
  }

  show(face) {
    this.svg.setAttribute("aria-label", face.spoken);
    this.digits.show(face.cells);
    this.unit.textContent = face.unit;
    this.code.show(codeCells(face.code));
    const lit = (node, on) => node.classList.toggle("on", Boolean(on) || face.test);
    this.tariffs.forEach((group, index) => lit(group, face.tariff === index + 1));
    if (!this.phases) return;
    this.phases.forEach(({ name, importing, exporting }, index) => {
      const mark = face.phases[index];
      lit(name, mark && mark.present);
      lit(importing, mark && mark.direction === "import");
      lit(exporting, mark && mark.direction === "export");
    });
    this.quadrants.forEach((path, index) => lit(path, face.quadrant === index + 1));
    const symbols = face.symbols;
    lit(this.pay, symbols.pay);
    lit(this.alarm, symbols.alarm);
    lit(this.breaker.wires, symbols.breaker);
    lit(this.breaker.closed, symbols.breaker === "closed");
    lit(this.breaker.open, symbols.breaker && symbols.breaker !== "closed");
    lit(this.breaker.ready, symbols.breaker === "ready");
    this.relays.forEach((group, index) => lit(group, symbols.relays[index]));
    lit(this.clock, symbols.clock_invalid);
    lit(this.radio, symbols.communicating);
    fit(this.caption, face.hint ? 330 : 606, face.caption);
    fit(this.hint, 270, face.hint);
  }
}

function codeCells(text) {
  const cells = [];
  for (const character of text) {
    if (".:".includes(character) && cells.length) cells[cells.length - 1][1] = character;
    else cells.push([FIGURES[character] || 0, ""]);
  }
  return cells.slice(0, SMALL_CELLS);
}

function fit(node, most, text) {
  if (node.textContent === text && node.dataset.most === String(most)) return;
  node.dataset.most = most;
  node.textContent = text;
  node.removeAttribute("textLength");
  if (text && node.getComputedTextLength() > most) {
    node.setAttribute("textLength", most);
    node.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}
