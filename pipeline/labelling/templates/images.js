// Images on the page: sections, cards, pictures.

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

/** Sections, one a cluster of several images; those that stand alone for their cluster share one. */
function draw() {
  const groups = new Map();
  for (const item of DATA.items) groups.set(item.cluster, [...(groups.get(item.cluster) ?? []), item]);
  const several = [...groups.values()].filter((items) => items.length > 1 && items[0].cluster !== null);
  const alone = DATA.items.filter((item) => !several.some((items) => items.includes(item)));
  for (const items of several) $("images").append(section(items, `Group ${items[0].cluster}`, true));
  if (alone.length) $("images").append(section(alone, several.length ? "One of its group each" : "", false));
  document.body.classList.toggle("has-groups", several.length > 0);
  document.body.classList.toggle("has-review", DATA.items.some((item) => item.proposal));
}

function section(items, title, isGroup) {
  const list = make("ul", "cards", ...items.map((item) => make("li", "", card(item))));
  const element = make("section", "group", list);
  if (!title) return element;
  const head = make("div", "head", make("h2", "", title), make("span", "soft", plural(items.length, "image")));
  if (isGroup) {
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

