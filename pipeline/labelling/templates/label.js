// What is seen and pressed.

const $ = (id) => document.getElementById(id);
const KEYS = "1234567890";
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const cards = new Map(); // name of image: its button
const order = []; // images in the order in which they stand on the page
let current = DATA.items[0];
let wholeGroup = false;

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

const plural = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;

// --- images -------------------------------------------------------------------------------------------------

/** Sections, one a cluster of several images; those that stand alone for their cluster share one. */
function draw() {
  const groups = new Map();
  for (const item of DATA.items) groups.set(item.cluster, [...(groups.get(item.cluster) ?? []), item]);
  const several = [...groups.values()].filter((items) => items.length > 1 && items[0].cluster !== null);
  const alone = DATA.items.filter((item) => !several.some((items) => items.includes(item)));
  for (const items of several) $("images").append(section(items, `Group ${items[0].cluster}`));
  if (alone.length) $("images").append(section(alone, several.length ? "One of its group each" : ""));
  document.body.classList.toggle("has-groups", several.length > 0);
  document.body.classList.toggle("has-review", DATA.items.some((item) => item.proposal));
}

function section(items, title) {
  const list = make("ul", "cards", ...items.map((item) => make("li", "", card(item))));
  const element = make("section", "group", list);
  if (!title) return element;
  const head = make("div", "head", make("h2", "", title), make("span", "soft", plural(items.length, "image")));
  if (items.length > 1 && title.startsWith("Group ")) {
    const whole = make("button", "whole", "Answer for the whole group");
    whole.type = "button";
    whole.addEventListener("click", () => {
      const isOn = wholeGroup && items.includes(current);
      select(items.includes(current) ? current : items[0]);
      setWholeGroup(!isOn);
    });
    head.append(whole);
    for (const item of items) item.group = { items, whole, element };
  }
  element.prepend(head);
  return element;
}

function card(item) {
  const alike = make("span", "alike", ...item.alike.map((picture) => image(picture, 48)));
  const facts = make("span", "facts", make("bdi", "name", item.name));
  if (item.reason) facts.append(make("span", "reason", item.reason));
  if (item.label || item.proposal) facts.append(standing(item));
  const beside = make("span", "beside", facts, ...(item.alike.length ? [alike] : []));
  if (item.alike.length) alike.prepend(make("span", "caption", "Alike"));
  const element = make("button", "card", make("span", "shown", image(item.picture, 168)), beside, make("span", "answer"));
  element.type = "button";
  element.title = item.name;
  element.addEventListener("click", () => select(item));
  element.addEventListener("focus", () => select(item));
  cards.set(item.name, element);
  order.push(item);
  return element;
}

/** What the image is labelled as, and what it looks like. */
function standing(item) {
  const parts = [["labelled ", item.label], ["looks like ", item.proposal]].filter(([, name]) => name);
  const texts = parts.flatMap(([words, name], place) => [place ? ", " + words : words, make("b", "", name)]);
  return make("span", "standing", ...texts);
}

function image(picture, box) {
  const element = make("img");
  Object.assign(element, { alt: "", decoding: "async", loading: "lazy" });
  fit(element, picture, box);
  return element;
}

/** Show a picture as large as a box: a small one keeps sharp pixels, where there is room of one whole size. */
function fit(element, { src, width, height }, box) {
  const longest = Math.max(width, height);
  const factor = box / longest >= 3 ? Math.floor(box / longest) : box / longest;
  element.src = src;
  element.width = Math.max(1, Math.round(width * factor));
  element.height = Math.max(1, Math.round(height * factor));
  element.classList.toggle("sharp", factor > 1);
}

/** Show the current image as large as the window allows; closed again by the same. */
function enlarge() {
  if ($("large").open) return $("large").close();
  updateLarge();
  $("large").showModal();
}

function updateLarge() {
  fit($("large").querySelector("img"), current.picture, Math.floor(0.85 * Math.min(innerWidth, innerHeight)));
}

// --- answers ------------------------------------------------------------------------------------------------

/** The images that the next answer is about: those of the group that have none yet; all of it if each has one. */
function target() {
  if (!wholeGroup || !current.group) return [current];
  const left = current.group.items.filter((item) => !state.answers.has(item.name));
  return left.length ? left : current.group.items;
}

function answer(value) {
  const items = target();
  change(items.map((item) => [item.name, value]));
  const said = value === null ? "no answer" : value === "" ? "cannot tell" : value;
  say(items.length > 1 ? `${plural(items.length, "image")}: ${said}` : `${current.name}: ${said}`);
  setWholeGroup(false);
  if (value !== null) goOn();
  update();
}

function answerByKey(digit) {
  const name = classes()[KEYS.indexOf(digit)];
  if (name === undefined) say(`No class has the key ${digit} yet.`);
  else answer(name);
}

/** Go to the next image without an answer, if there is one. */
function goOn() {
  const at = order.indexOf(current);
  const next = [...order.slice(at + 1), ...order.slice(0, at)].find((item) => !state.answers.has(item.name));
  if (next) move(next);
  else say("Every image has an answer. Download labels.csv.");
}

function takeBack() {
  const names = undo();
  if (names === null) return say("There is nothing to undo.");
  const first = order.find((item) => names.includes(item.name));
  if (first) move(first);
  say("Undone.");
  update();
}

function nameClass(text) {
  const name = text.trim().normalize("NFC");
  if (!name) return;
  const known = classes().find((each) => each.toLowerCase() === name.toLowerCase());
  const problem = problemOf(known ?? name);
  if (problem) return warn(`${name}: ${problem}.`);
  $("name").value = "";
  $("name").blur();
  cards.get(current.name).focus({ preventScroll: true });
  answer(known ?? name);
}

// --- what is shown ------------------------------------------------------------------------------------------

function select(item) {
  if (item === current) return;
  if (wholeGroup && current.group !== item.group) wholeGroup = false;
  current = item;
  update();
}

/** Select an image, bring it into view, and let keys be heard there. */
function move(item) {
  const hadFocus = document.activeElement?.classList.contains("card");
  select(item);
  const element = cards.get(item.name);
  if (hadFocus) element.focus({ preventScroll: true });
  element.scrollIntoView({ block: "nearest", behavior: CALM.matches ? "auto" : "smooth" });
}

function setWholeGroup(isOn) {
  wholeGroup = isOn && Boolean(current.group);
  update();
}

function update() {
  for (const item of DATA.items) updateCard(item);
  updateChips();
  if ($("large").open) updateLarge();
  const done = DATA.items.filter((item) => state.answers.has(item.name)).length;
  $("progress").value = done / DATA.items.length;
  $("count").textContent = `${done} of ${DATA.items.length}`;
  document.body.classList.toggle("is-done", done === DATA.items.length);
  const items = target();
  $("target").classList.toggle("of-one", !wholeGroup);
  $("target").replaceChildren(...(wholeGroup ? [`${plural(items.length, "image")} of group ${current.cluster}`] : [make("bdi", "", current.name)]));
  offer("keep", current.label, "Keep");
  offer("take", current.proposal, "Take");
  $("undo").disabled = !state.past.length;
  if (state.forgets) {
    warn("This browser does not let the page remember anything: what you answer is lost when the page is closed. Download labels.csv before you leave, and import it to go on.");
  }
}

function offer(id, name, verb) {
  $(id).hidden = !name || wholeGroup;
  $(id).querySelector("span").textContent = `${verb} ${name}`;
}

function updateCard(item) {
  const element = cards.get(item.name), given = state.answers.get(item.name);
  const text = given === undefined ? "" : given === "" ? "cannot tell" : given;
  const isTarget = wholeGroup && item.group !== undefined && item.group === current.group && target().includes(item);
  element.classList.toggle("is-answered", given !== undefined);
  element.classList.toggle("is-target", isTarget);
  element.ariaCurrent = item === current ? "true" : null;
  element.tabIndex = item === current ? 0 : -1;
  element.ariaLabel = `${item.name}: ${text || "no answer yet"}`;
  const place = element.querySelector(".answer");
  place.replaceChildren(text);
  place.classList.toggle("is-class", Boolean(given));
  if (given) place.style.setProperty("--hue", hueOf(given));
  if (item.group) item.group.whole.ariaPressed = String(wholeGroup && current.group === item.group);
}

const hueOf = (name) => String(Math.round((classes().indexOf(name) * 137.5 + 250) % 360));

function updateChips() {
  const counts = new Map();
  for (const item of DATA.items) {
    const given = state.answers.get(item.name);
    if (given) counts.set(given, (counts.get(given) ?? 0) + 1);
  }
  const names = classes(), drawn = [...$("chips").children].map((chip) => chip.value);
  if (names.join("\n") !== drawn.join("\n")) {
    $("chips").replaceChildren(...names.map(chip));
    $("known").replaceChildren(...names.map((name) => new Option(name, name)));
  }
  for (const element of $("chips").children) {
    element.querySelector(".count").textContent = counts.get(element.value) ?? "";
    element.ariaPressed = String(state.answers.get(current.name) === element.value);
  }
}

function chip(name, place) {
  const element = make("button", "chip", make("bdi", "", name), make("span", "count"));
  if (place < KEYS.length) element.prepend(make("kbd", "", KEYS[place]));
  element.type = "button";
  element.value = name;
  element.style.setProperty("--hue", hueOf(name));
  element.addEventListener("click", () => answer(name));
  return element;
}

function say(text) {
  $("said").textContent = text;
  if (!state.forgets) $("message").hidden = true;
}

function warn(text) {
  if ($("message").textContent !== text) $("message").textContent = text; // else it would be read aloud again
  $("message").hidden = false;
}

// --- files --------------------------------------------------------------------------------------------------

function download() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([labelsFile()], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  state.isSaved = true;
  say("labels.csv is in the folder of your downloads.");
}

async function importFile(file) {
  const { labels, error } = readLabels(await file.text(), { columns: DATA.columns, expected: DATA.column, problemOf });
  if (error) return warn(`${file.name} was not imported: ${error}.`);
  const byName = new Map(DATA.items.map((item) => [plainName(item.name), item.name]));
  const mine = [], others = [];
  for (const [name, label] of labels) {
    if (byName.has(name)) mine.push([byName.get(name), label]);
    else others.push([name, label]);
  }
  change(mine, others);
  say(`${plural(mine.length, "answer")} imported, and ${plural(others.length, "label")} of other images, which are written to labels.csv, too.`);
  goOn();
  update();
}

// --- keys ---------------------------------------------------------------------------------------------------

const COMMANDS = {
  c: () => answer(""),
  g: () => setWholeGroup(!wholeGroup),
  k: () => $("keep").hidden || answer(current.label),
  n: () => $("name").focus(),
  t: () => $("take").hidden || answer(current.proposal),
  u: takeBack,
  z: enlarge,
  delete: () => answer(null),
  backspace: () => answer(null),
  escape: () => setWholeGroup(false),
  arrowleft: () => move(order[Math.max(0, order.indexOf(current) - 1)]),
  arrowright: () => move(order[Math.min(order.length - 1, order.indexOf(current) + 1)]),
  arrowup: () => moveRow(-1),
  arrowdown: () => moveRow(1),
};

/** Select the image above (-1) or below (1). */
function moveRow(direction) {
  const box = (item) => cards.get(item.name).getBoundingClientRect();
  const here = box(current);
  const beyond = order.filter((item) => direction * (box(item).top - here.top) > here.height / 2);
  const distance = (item) => Math.abs(box(item).top - here.top) + Math.abs(box(item).left - here.left) / 1000;
  if (beyond.length) move(beyond.reduce((best, item) => (distance(item) < distance(best) ? item : best)));
}

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (event.target.tagName === "INPUT") {
    if (key === "escape") cards.get(current.name).focus({ preventScroll: true });
    return;
  }
  if (event.ctrlKey || event.metaKey) {
    const command = { z: takeBack, s: download }[key];
    if (!command) return;
    event.preventDefault();
    return command();
  }
  if (event.altKey || (event.repeat && !key.startsWith("arrow"))) return;
  const digit = /^[0-9]$/.test(key) ? key : /^(?:Digit|Numpad)([0-9])$/.exec(event.code)?.[1];
  const command = digit === undefined ? COMMANDS[key] : () => answerByKey(digit);
  if (!command) return;
  event.preventDefault();
  command();
});

$("download").addEventListener("click", download);
$("import").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => {
  if ($("file").files.length) await importFile($("file").files[0]);
  $("file").value = "";
});
$("unknown").addEventListener("click", () => answer(""));
$("enlarge").addEventListener("click", enlarge);
$("undo").addEventListener("click", takeBack);
$("keep").addEventListener("click", () => answer(current.label));
$("take").addEventListener("click", () => answer(current.proposal));
$("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  nameClass($("name").value);
});
addEventListener("storage", (event) => {
  if (event.key !== DATA.key) return;
  load(); // answered in another tab
  update();
});
addEventListener("beforeunload", (event) => {
  if (state.forgets && !state.isSaved) event.preventDefault();
});
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--dock", `${$("dock").offsetHeight}px`);
}).observe($("dock"));

load();
draw();
current = order.find((item) => !state.answers.has(item.name)) ?? order[0];
update();
