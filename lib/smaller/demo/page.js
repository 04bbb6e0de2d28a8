/* The page: what is typed is read after a short rest, in slices that leave typing its time, and shown as text. */
"use strict";

const REST = 120, SLICE = 8;  // milliseconds without a key before reading begins, and of reading at a stretch
const PATIENCE = 400;  // milliseconds after which it is said that the answer that stands there is of an older text
const KEPT = 200;  // answers of other texts' lines that are kept
const SURE = 0.5;  // below it a mark is dashed

const percent = (share) => `${share > 0.995 && share < 1 ? 99 : Math.round(100 * share)} %`;
const several = (count, one, many = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/* One model with the place where its answers go. */
class Pane {
  constructor(root, reader) {
    this.root = root;
    this.reader = reader;
    this.known = new Map();  // answers by line: who types at the end of a text waits for its last line alone
    const labels = this.reader.labels.filter((label) => label !== "O");
    this.types = [...new Set(labels.map((label) => (this.ofWords() || this.bare() ? label : label.slice(2))))];
  }

  ofWords() { return this.reader.unit === "word" && this.reader.scheme === "none"; }
  bare() { return this.reader.unit === "text" || this.reader.scheme === "flat"; }
  hue(type) { return this.types.indexOf(type) % 8; }
  at(part) { return this.root.querySelector(`[data-part=${part}]`); }

  /* Reads a text; a generator that yields often and shows the answer at its end. */
  *read(text) {
    const lines = this.reader.unit === "text" ? [text] : text.split(/\r?\n/), found = [];
    const started = performance.now();
    let fresh = 0;
    for (const line of lines) {
      let answer = this.known.get(line);
      if (!answer) {
        fresh++;
        answer = yield* this.patiently(this.reader.read(line), started);
        this.known.set(line, answer);
      }
      found.push(answer);
    }
    if (this.known.size > KEPT + lines.length) this.known = new Map(lines.map((line, place) => [line, found[place]]));
    this.show(text, found, fresh ? performance.now() - started : 0);
  }

  /* Work as it is, but what takes long is said to go on. */
  *patiently(work, started) {
    for (let said = false; ; ) {
      const step = work.next();
      if (step.done) return step.value;
      if (!said && (said = performance.now() - started > PATIENCE)) {
        this.at("summary").textContent = "Reading.";
        this.at("time").textContent = "";
      }
      yield;
    }
  }

  show(text, found, time) {
    const empty = !text.trim(), answer = () => (this.reader.unit === "text" ? this.shares(found[0]) : this.lines(found));
    const notes = empty ? [] : this.notes(found).map((note) => element("li", { textContent: note }));
    this.at("answer").replaceChildren(...(empty ? [] : answer()));
    this.at("notes").replaceChildren(...notes);
    const table = this.at("table");
    if (table) this.tabled(table, empty ? [] : found);
    this.at("summary").textContent = empty ? this.root.dataset.empty : `${this.summary(found)}.`;
    this.at("time").textContent = time && !empty ? `Read in ${time < 10 ? time.toFixed(1) : Math.round(time)} ms.` : "";
  }

  summary(found) {
    if (this.reader.unit === "text")
      return found[0].label ? `${found[0].label}, ${percent(found[0].score)}` : "No words";
    const words = found.reduce((sum, line) => sum + line.words.length, 0);
    const entities = found.reduce((sum, line) => sum + line.entities.length, 0);
    if (!words) return "No words";
    if (this.ofWords()) return `${several(words, "word")} with ${words === 1 ? "its tag" : "their tags"}`;
    return `${entities ? several(entities, "entity", "entities") : "No entities"} in ${several(words, "word")}`;
  }

  notes(found) {
    const unknown = Math.max(...found.map((line) => line.unknown));
    const strange = Math.max(...found.map((line) => line.strange));
    const parts = Math.max(...found.map((line) => line.windows || 1)), long = "Longer than the model reads at once, so";
    const notes = {
      [`The model's vocabulary does not have ${percent(strange)} of the letters: it was not made for this script, and ` +
        "its answer means little."]: strange > 0.5,
      [`${percent(unknown)} of the words hold characters that the model's vocabulary does not have: its answer may be ` +
        "wrong there."]: unknown > 0.2 && strange > 0 && strange <= 0.5,  // quotes and emoji alone do no harm
      [`${long} read in ${parts} parts that overlap.`]: parts > 1,
      [`${long} only its beginning was read.`]: found.some((line) => line.truncated),
    };
    return Object.keys(notes).filter((note) => notes[note]);
  }

  /* Each line with its entities marked; the text itself stays as it was typed. */
  lines(found) {
    return found.map(({ text, entities }) => {
      const line = element("p", { dir: "auto", lang: this.root.dataset.lang });
      let end = 0;
      for (const entity of entities) {
        line.append(text.slice(end, entity.start), this.mark(entity));
        end = entity.end;
      }
      line.append(text.slice(end) || (text ? "" : "\u00a0"));
      return line;
    });
  }

  mark({ text, type, score }) {
    const share = element("span", { className: "share" }, ` ${percent(score)}`);
    const name = element("span", { className: "type", dir: "ltr", lang: "en" }, type, share);
    const kind = `${this.ofWords() ? "word" : "entity"} hue${this.hue(type)}${score < SURE ? " unsure" : ""}`;
    // A name stays with the last word of its entity; below a word it stands alone.
    const between = this.ofWords() ? "" : "\u00a0";
    return element("mark", { className: kind }, element("span", { className: "own" }, text), between, name);
  }

  /* The labels of a text, the likeliest first, each with a bar. */
  shares({ scores }) {
    const rows = [...scores].sort((a, b) => b.score - a.score).map(({ label, score }, place) => {
      const bar = element("span", { className: `bar hue${this.hue(label)}` });
      const name = element("span", { className: "label" }, label);
      const share = element("span", { className: "share" }, percent(score));
      bar.style.setProperty("--share", score);
      return element("li", { className: place ? "" : "first" }, name, bar, share);
    });
    return [element("ol", { className: "shares" }, ...rows)];
  }

  tabled(table, found) {
    const row = ({ text, type, score }) =>
      element("tr", {}, element("td", { dir: "auto", lang: this.root.dataset.lang, textContent: text }),
        element("td", { textContent: type }), element("td", { className: "number", textContent: percent(score) }));
    const rows = found.flatMap((line) => line.entities.map(row));
    table.querySelector("tbody").replaceChildren(...rows);
    table.hidden = table.parentElement.hidden = !rows.length;
  }
}

/* The reader of a model that lies in a page, perhaps compressed. */
async function readerOf(id) {
  const model = JSON.parse(document.getElementById(id).textContent);
  for (const name of model.compressed ? ["scores", "floats", "bytes"] : []) {
    const stream = new Blob([unpacked(model[name])]).stream().pipeThrough(new DecompressionStream("gzip"));
    model[name] = await new Response(stream).arrayBuffer();
  }
  return new Reader(model);
}

/* A box with a field, examples, and one pane or several that answer the same text. */
async function open(box) {
  const field = box.querySelector("textarea"), panes = [];
  for (const root of box.querySelectorAll("[data-model]"))
    panes.push(new Pane(root, await readerOf(root.dataset.model)));
  let waiting = 0, turn = 0;
  const read = () => {
    const own = ++turn, text = field.value;
    const work = (function* () { for (const pane of panes) yield* pane.read(text); })();
    box.dataset.state = "reading";
    const go = () => {
      if (own !== turn) return;  // something newer was typed
      const until = performance.now() + SLICE;
      do if (work.next().done) return void (box.dataset.state = "ready");
      while (performance.now() < until);
      setTimeout(go);
    };
    go();
  };
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(read, REST);
  });
  for (const button of box.querySelectorAll("[data-example]"))
    button.addEventListener("click", () => {
      field.value = button.dataset.example;
      read();
      field.focus({ preventScroll: true });
    });
  const given = () => {
    const asked = new URLSearchParams(location.hash.slice(1).replace(/\+/g, "%2B")).get("text");
    if (asked !== null) field.value = asked;
    read();
  };
  addEventListener("hashchange", given);
  given();
}

if (typeof document !== "undefined")
  for (const box of document.querySelectorAll("[data-try]")) {
    box.dataset.opened = "";
    open(box).catch(() => notStarted(box));
  }
