"use strict";
// What the page can do beyond being read: sort tables, explore the maps. Without it, everything is still shown.
document.documentElement.classList.add("js");

// --- tables ---

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, heads, column));
    head.append(button);
  }
}

function sort(table, heads, column) {
  const rising = heads[column].ariaSort !== "ascending";
  const text = (row) => row.cells[column].textContent;
  const rows = [...table.tBodies[0].rows].sort((a, b) => compare(text(a), text(b)));
  table.tBodies[0].append(...(rising ? rows : rows.reverse()));
  table.classList.add("sorted");
  for (const head of heads) head.ariaSort = null;
  heads[column].ariaSort = rising ? "ascending" : "descending";
}

function compare(a, b) {
  const numbers = [a, b].map((text) => (/^-?\d[\d.]*( |$)/.test(text) ? parseFloat(text) : NaN));
  if (numbers.every(Number.isFinite)) return numbers[0] - numbers[1];
  return a.localeCompare(b);
}

// --- what is folded opens for links that lead into it, and for the printer ---

function unfold() {
  document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
}
addEventListener("hashchange", unfold);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));
unfold();

// --- moving over a picture by mouse, finger and keys ---

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Calls point(event) where the pointer is and step(dx, dy) for arrow keys; leave() when it is over. */
function explore(element, { point, step, leave }) {
  element.addEventListener("pointermove", point);
  element.addEventListener("pointerdown", point);
  element.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave());
  element.addEventListener("blur", leave);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
    if (!(event.key in STEPS)) return;
    event.preventDefault();
    step(...STEPS[event.key]);
  });
}

// --- the map of the latent space ---

function startMap(root) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const controls = root.querySelector("form");
  const plane = root.querySelector(".plane");
  const card = root.querySelector(".point");
  const dots = {};
  const seen = new Array(data.truth.length).fill(true);
  const absent = new Set(); // classes that are hidden
  let current = -1;

  for (const figure of root.querySelectorAll("[data-projection]"))
    dots[figure.dataset.projection] = [...figure.querySelectorAll(".points use")];
  const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
  ring.setAttribute("class", "ring");
  ring.setAttribute("r", 5);

  const projection = () => controls.elements.projection.value;
  const predictions = () => data.predictions[controls.elements.budget.value];
  const drawing = () => root.querySelector(`[data-projection="${projection()}"] svg`);

  function isShown(place) {
    const said = Object.values(predictions()).map((classes) => classes[place]);
    const show = controls.elements.show.value;
    if (absent.has(data.truth[place])) return false;
    if (show === "all") return true;
    if (show === "?") return said.some((given) => given !== said[0]);
    return predictions()[show][place] !== data.truth[place];
  }

  function update() {
    for (const figure of root.querySelectorAll("[data-projection]"))
      figure.hidden = figure.dataset.projection !== projection();
    dots[projection()].forEach((dot, place) => {
      seen[place] = isShown(place);
      dot.classList.toggle("off", !seen[place]);
    });
    root.querySelector("output").textContent = `${seen.filter(Boolean).length} of ${seen.length} are shown.`;
    drawing().append(ring);
    select(seen[current] ? current : -1);
  }

  function select(place) {
    current = place;
    card.hidden = place < 0;
    ring.style.display = place < 0 ? "none" : "";
    if (place < 0) return;
    const [x, y] = data.points[projection()][place];
    ring.setAttribute("cx", x);
    ring.setAttribute("cy", y);
    describe(place);
    putBeside(x, y);
  }

  function describe(place) {
    const list = document.createElement("ul");
    for (const [mode, classes] of Object.entries(predictions())) {
      const line = document.createElement("li");
      line.className = classes[place] === data.truth[place] ? "right" : "wrong";
      line.textContent = `${mode}: ${data.classes[classes[place]]}`;
      list.append(line);
    }
    const title = document.createElement("strong");
    title.textContent = data.classes[data.truth[place]];
    card.querySelector(".tile").style.backgroundPosition = data.tiles[place];
    card.querySelector("div").replaceChildren(title, ` test image ${data.numbers[place]}`, list);
  }

  /** Beside a point given in the drawing's units, on the side where there is room. */
  function putBeside(x, y) {
    const box = drawing().getBoundingClientRect();
    const scale = box.width / drawing().viewBox.baseVal.width;
    const [left, top] = [x * scale, y * scale];
    const toTheLeft = left > box.width / 2;
    card.style.left = `${Math.max(0, Math.min(toTheLeft ? left - card.offsetWidth - 14 : left + 14, box.width - card.offsetWidth))}px`;
    card.style.top = `${Math.max(0, Math.min(top + 14, box.height - card.offsetHeight))}px`;
  }

  /** The shown point with the lowest cost of (dx, dy) from here, if any costs less than the limit. */
  function best(x, y, cost, limit) {
    let [found, lowest] = [-1, limit];
    data.points[projection()].forEach(([px, py], place) => {
      const price = seen[place] ? cost(px - x, py - y, place) : Infinity;
      if (price < lowest) [found, lowest] = [place, price];
    });
    return found;
  }

  function point(event) {
    const box = drawing().getBoundingClientRect();
    const scale = drawing().viewBox.baseVal.width / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    select(best(x, y, (dx, dy) => Math.hypot(dx, dy), 16));
  }

  function step(right, down) {
    const view = drawing().viewBox.baseVal;
    const [x, y] = current < 0 ? [view.width / 2, view.height / 2] : data.points[projection()][current];
    const next = best(x, y, (dx, dy, place) => {
      const along = dx * right + dy * down;
      const across = Math.abs(dx * down) + Math.abs(dy * right);
      if (current < 0) return Math.hypot(dx, dy);
      return place === current || along <= 0 ? Infinity : along + 2 * across;
    }, Infinity);
    if (next >= 0) select(next);
  }

  explore(plane, { point, step, leave: () => select(-1) });
  controls.addEventListener("change", update);
  for (const button of root.querySelectorAll("[data-class]")) {
    button.addEventListener("click", () => {
      const number = Number(button.dataset.class);
      if (!absent.delete(number)) absent.add(number);
      button.ariaPressed = String(!absent.has(number));
      update();
    });
  }
  update();
}

for (const root of document.querySelectorAll("#space")) startMap(root);

// --- latents of two dimensions ---

function startManifold(root) {
  const field = root.querySelector(".manifold");
  const loupe = root.querySelector(".loupe");
  const frame = document.createElement("i");
  const [x, y] = [field.dataset.x, field.dataset.y].map((values) => values.split(" ").map(Number));
  const side = x.length;
  let place = [Math.floor(side / 2), Math.floor(side / 2)];
  field.append(frame);
  frame.style.width = frame.style.height = `${100 / side}%`;
  loupe.style.backgroundSize = `${100 * side}% ${100 * side}%`;

  function show(column, row) {
    place = [column, row].map((value) => Math.max(0, Math.min(side - 1, value)));
    const [left, top] = place;
    frame.style.left = `${(100 * left) / side}%`;
    frame.style.top = `${(100 * top) / side}%`;
    loupe.style.backgroundPosition = `${(100 * left) / (side - 1)}% ${(100 * top) / (side - 1)}%`;
    root.querySelector("output").textContent = `latent (${x[left].toFixed(2)}, ${y[top].toFixed(2)})`;
  }

  function point(event) {
    const box = field.getBoundingClientRect();
    show(
      Math.floor(((event.clientX - box.left) / box.width) * side),
      Math.floor(((event.clientY - box.top) / box.height) * side),
    );
  }

  explore(field, { point, step: (right, down) => show(place[0] + right, place[1] + down), leave: () => {} });
  show(...place);
}

for (const root of document.querySelectorAll(".explore")) startManifold(root);
