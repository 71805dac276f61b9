// The list of a node's meters, each with its LCD; looks again every two seconds.

import { Lcd } from "./lcd.js";

const SVG = "http://www.w3.org/2000/svg";
const cards = new Map();

function card(meter) {
  const link = Object.assign(document.createElement("a"), { href: `/meter/${meter.name}`, className: "card" });
  const title = document.createElement("h2");
  title.textContent = meter.name;
  const model = Object.assign(document.createElement("span"), { textContent: ` ${meter.model}` });
  title.append(model);
  const glass = Object.assign(document.createElement("div"), { className: "glass" });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("role", "img");
  glass.append(svg);
  const caption = Object.assign(document.createElement("p"), { className: "caption-below" });
  link.append(title, glass, caption);
  document.getElementById("cards").append(link);
  return { lcd: new Lcd(svg, { compact: true }), caption };
}

async function look() {
  try {
    const { meters, title } = await (await fetch("/meters")).json();
    document.getElementById("title").textContent = title;
    for (const meter of meters) {
      if (!cards.has(meter.name)) cards.set(meter.name, card(meter));
      const { lcd, caption } = cards.get(meter.name);
      lcd.show(meter.face);
      caption.textContent = meter.face.symbols.pay ? `${meter.face.caption} · PAY` : meter.face.caption;
    }
    document.body.classList.remove("is-lost");
  } catch {
    document.body.classList.add("is-lost");
  }
  setTimeout(look, 2000);
}
look();
