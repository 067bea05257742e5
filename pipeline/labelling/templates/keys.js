// Files in and out, keys and buttons; the page begins at the end of this.

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
