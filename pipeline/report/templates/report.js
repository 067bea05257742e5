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
