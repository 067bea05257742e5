// Answers, and what the page shows of them.

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
    warn("This browser does not let the page remember anything: download labels.csv before you close it, and import that to go on.");
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

