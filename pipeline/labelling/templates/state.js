// What was answered: remembered by the browser, every change of it undone by one step.

const DATA = JSON.parse(document.getElementById("data").textContent);
const STEPS = 100; // that can be undone after a reload

const state = {
  answers: new Map(), // name of image: class, or "" for "cannot tell"
  others: new Map(), // imported labels of images that are not on the page
  added: [], // classes that the person named
  past: [], // what undoes each change, the last one last
  isSaved: true, // whether all of it was downloaded
  forgets: false, // whether the browser refuses to remember
};

const classes = () => [...DATA.classes, ...state.added];

/** Set answers, and maybe others, as pairs of name and value, null for none; what undoes it is kept. */
function change(answers, others = []) {
  const added = [...state.added];
  for (const [, value] of [...answers, ...others]) {
    if (value && !classes().includes(value)) state.added.push(value);
  }
  const before = { answers: put(state.answers, answers), others: put(state.others, others), added };
  state.past.push(before);
  state.isSaved = false;
  save();
}

/** Why something cannot be a class; "" if it can. */
function problemOf(name) {
  if (classes().includes(name)) return "";
  return DATA.mayAdd ? problemOfName(name) : `there is no class ${name} in the test set`;
}

/** Undo the last change; returns the names of the images that it was about, or null if there is none. */
function undo() {
  const last = state.past.pop();
  if (!last) return null;
  put(state.answers, last.answers);
  put(state.others, last.others);
  state.added = last.added;
  state.isSaved = false;
  save();
  return last.answers.map(([name]) => name);
}

/** Set values of a map, and return those that stood there, in the reverse order. */
function put(map, pairs) {
  const before = pairs.map(([name]) => [name, map.get(name) ?? null]).reverse();
  for (const [name, value] of pairs) {
    if (value === null) map.delete(name);
    else map.set(name, value);
  }
  return before;
}

function save() {
  const { answers, others, added, past } = state;
  const kept = JSON.stringify({ answers: [...answers], others: [...others], added, past: past.slice(-STEPS) });
  try {
    localStorage.setItem(DATA.key, kept);
    sessionStorage.setItem(DATA.key, kept);
    state.forgets = false;
  } catch {
    state.forgets = true;
  }
}

/**
 * Take up what the browser remembers of these images, if it remembers anything. On a busy machine, Chromium now and then
 * shows a reloaded file an empty localStorage; the tab's own sessionStorage is there all the same.
 */
function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(DATA.key) ?? sessionStorage.getItem(DATA.key));
    if (!kept) return save();
    state.answers = new Map(kept.answers);
    state.others = new Map(kept.others);
    state.added = kept.added.filter((name) => !DATA.classes.includes(name));
    state.past = kept.past ?? [];
  } catch (error) {
    state.forgets = !(error instanceof SyntaxError || error instanceof TypeError);
  }
}

/** labels.csv: the labels of other images as they were, then those of this page; "cannot tell" is an empty label. */
function labelsFile() {
  const rows = [[DATA.column, "label"], ...new Map([...DATA.kept, ...state.others])];
  for (const { name, label } of DATA.items) {
    const answer = state.answers.get(name) ?? (label || null);
    if (answer !== null) rows.push([name, answer]);
  }
  return rows.map(writeRow).join("");
}

