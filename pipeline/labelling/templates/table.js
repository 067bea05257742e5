"use strict";
// Tables of labels as text: read as people have them, written as data.labels reads them.

/** The rows of a CSV file that are not empty, each { line, cells }; lines count from 1. */
function readTable(text) {
  text = text.replace(/^\uFEFF/, "");
  const delimiter = delimiterOf(text.split(/\r\n|\n|\r/, 1)[0]);
  const rows = [];
  let cells = [], cell = "", quoted = false, line = 1, begun = 1;
  const endRow = () => {
    cells.push(cell);
    if (cells.length > 1 || cells[0] !== "") rows.push({ line: begun, cells });
    [cells, cell] = [[], ""];
  };
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    const ends = letter === "\n" || (letter === "\r" && text[at + 1] !== "\n");
    if (ends) line++;
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[at++];
      else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === delimiter) {
      cells.push(cell);
      cell = "";
    } else if (ends) {
      endRow();
      begun = line;
    } else if (letter !== "\r") cell += letter;
  }
  endRow();
  return rows;
}

function delimiterOf(line) {
  const count = (letter) => line.split(letter).length;
  return [",", ";", "\t", "|"].reduce((best, other) => (count(other) > count(best) ? other : best));
}

/** Cells as a line of CSV. What a spreadsheet would compute gets an apostrophe before it, which data.labels drops. */
function writeRow(cells) {
  return cells.map(writeCell).join(",") + "\n";
}

function writeCell(text) {
  if (/^'*[=+\-@]/.test(text) && !isNumber(text)) text = "'" + text;
  return /[",;|\s]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** What a cell says: without spaces around it, and without the apostrophe that keeps a spreadsheet from computing it. */
function plainCell(text) {
  return text.trim().replace(/^'(?='*[=+\-@])/, "");
}

/** Whether data.labels would read this as a number. */
function isNumber(text) {
  return /^[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?$|^[+-]?(nan|inf|infinity)$/i.test(text);
}

/**
 * The labels in a CSV file by name of image: { labels: Map }, or { error } in words.
 * columns: the names that the two columns may have; expected: how this page calls that of the images;
 * problemOf: says why something cannot be the name of a class, "" if it can.
 */
function readLabels(text, { columns, expected, problemOf }) {
  const [head, ...rows] = readTable(text);
  const names = (head?.cells ?? []).map((cell) => cell.trim().toLowerCase());
  const find = (known) => known.map((name) => names.indexOf(name)).find((column) => column >= 0) ?? -1;
  const image = find(columns.names), label = find(columns.labels);
  if (image < 0 || label < 0) return { error: `its first line has to name two columns: ${expected} and label` };
  if (expected === "file" && columns.numbers.includes(names[image])) {
    return { error: "it counts the images, and this page calls them by the names of their files" };
  }
  const labels = new Map(), lines = new Map();
  for (const { line, cells } of rows) {
    if (cells.length !== names.length) return { error: `line ${line} has ${cells.length} columns, the first ${names.length}` };
    const name = plainName(plainCell(cells[image])), said = plainCell(cells[label]);
    const given = said === "-1" ? "" : said;
    const problem = given === "" ? "" : problemOf(given);
    if (problem) return { error: `line ${line}: ${problem}` };
    if (labels.has(name) && labels.get(name) !== given) {
      return { error: `lines ${lines.get(name)} and ${line} give ${name} two labels: ${labels.get(name)} and ${given}` };
    }
    labels.set(name, given);
    lines.set(name, line);
  }
  return { labels };
}

/** A file's name with slashes between folders, as data.labels compares names. */
function plainName(text) {
  return text.trim().replaceAll("\\", "/").replace(/^\.\//, "").normalize("NFC");
}

/** Why something cannot be the name of a new class; "" if it can. */
function problemOfName(name) {
  if (name.length > 200) return "a class has a name of at most 200 letters";
  if (/[\p{C}\p{Z}]/u.test(name.replaceAll(" ", ""))) return "a class has a name of letters that can be seen";
  if (isNumber(name) && !/^(0|[1-9]\d{0,14})$/.test(name)) return "a class is named by a word or by a whole number";
  return "";
}

