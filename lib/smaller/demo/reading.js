/* What the package's `predict` says of a line: its words with a label each, or the label of a whole text. */
"use strict";

const APART = new RegExp(`(?:['’‘ʼ´\`]|(?!${SPACE})[^\\p{P}\\p{S}])+|[\\p{P}\\p{S}]`, "gu");

/* The text with each letter in one spelling (NFC), and where each unit of it starts and ends in the text as given. */
function composed(text) {
  const whole = text.normalize("NFC");
  if (whole === text) return { text, place: (start, end) => [start, end] };
  const letters = Array.from(text), starts = [], ends = [];
  let found = "", from = 0, part = "";
  for (const [number, letter] of letters.entries()) {
    part += letter;
    const next = letters[number + 1];
    if (next !== undefined && !begins(part, next)) continue;
    const made = part.normalize("NFC"), asMany = Array.from(made).length === Array.from(part).length;
    const before = Array.from(part);
    let at = from;
    Array.from(made).forEach((one, place) => {
      for (let unit = 0; unit < one.length; unit++) {
        starts.push(asMany ? at : from);
        ends.push(asMany ? at + before[place].length : from + part.length);
      }
      if (asMany) at += before[place].length;
    });
    found += made;
    from += part.length;
    part = "";
  }
  return { text: found, place: (start, end) => [starts[start], ends[end - 1]] };
}

/* Whether a letter starts something new: it neither composes with what stands before it nor moves past it. */
function begins(before, letter) {
  const moves = letter === "\u0345" || ("\u0345" + letter).normalize("NFD")[0] !== "\u0345";
  return !moves && (before + letter).normalize("NFC") === before.normalize("NFC") + letter.normalize("NFC");
}

/* Parts of a sentence of words of the given sizes in tokens: first, last, kept from, kept to; see data/encoding.py. */
function windows(sizes, room) {
  const found = [];
  for (let first = 0, kept = 0; ; ) {
    let last = first + 1, used = sizes[first];
    while (last < sizes.length && used + sizes[last] <= room) used += sizes[last++];
    if (last === sizes.length) return [...found, [first, last, kept, last]];
    const overlap = Math.min((last - first) >> 2, last - first - 1), until = last - (overlap >> 1);
    found.push([first, last, kept, until]);
    first = last - overlap;
    kept = until;
  }
}

function probabilities(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const found = Array.from(logits, (value) => Math.exp(value - most));
  const total = found.reduce((a, b) => a + b);
  return found.map((value) => value / total);
}

/* Type, first and last word of each span: see as_bio in data/schemes.py. */
function spans(tags, scheme) {
  const found = [];
  let before = "", closed = true;
  tags.forEach((tag, word) => {
    const bare = scheme === "none" || scheme === "flat";
    const type = tag === "O" ? "" : bare ? tag : tag.slice(2), position = bare ? "I" : tag[0];
    const opens = scheme === "none" || "BSU".includes(position) || closed || type !== before;
    if (type && opens) found.push({ type, first: word, last: word });
    else if (type) found[found.length - 1].last = word;
    closed = !bare && "ESLU".includes(position);
    before = type;
  });
  return found;
}

class Reader {
  /* `model` is the page's data: labels, scheme, room, unit, network and tokenizer, with their numbers in base64. */
  constructor(model) {
    Object.assign(this, model.reader);
    this.tokenizer = new Tokenizer(model.tokenizer, new Float64Array(unpacked(model.scores)));
    const floats = new Float32Array(unpacked(model.floats));
    this.network = new Network(model.network, floats, new Uint8Array(unpacked(model.bytes)));
  }

  /* Reads a line. A generator that yields often, so that it can be stopped, and returns what was found. */
  *read(line) {
    return yield* this.unit === "text" ? this.classified(line) : this.tagged(line);
  }

  /* The share of letters that the vocabulary lacks: few of a script that it was made for, nearly all of others. */
  strange(text) {
    const letters = text.match(/\p{L}/gu) || [], { unknown } = this.tokenizer;
    return letters.filter((letter) => this.tokenizer.tokens(letter).includes(unknown)).length / (letters.length || 1);
  }

  *tagged(line) {
    const { text, place } = composed(line);
    const word = (match) => ({ text: match[0], at: match.index, score: 1, tag: "O" });
    const words = Array.from(text.matchAll(APART), word);
    const found = { text: line, entities: [], words, unknown: 0, strange: this.strange(text), windows: 1 };
    if (!words.length) return found;
    const { before, after, unknown } = this.tokenizer;
    const pieces = words.map((word) => this.tokenizer.tokens(word.text));
    const sizes = pieces.map((piece) => piece.length), room = this.room - before.length - after.length;
    const whole = sizes.reduce((a, b) => a + b) <= room;
    const parts = whole ? [[0, words.length, 0, words.length]] : windows(sizes, room);
    for (const [first, last, low, high] of parts) {
      const row = [...before, ...pieces.slice(first, last).flat().slice(0, room), ...after];
      const logits = yield* this.network.logits(row);
      for (let word = first, token = before.length; word < last; token += sizes[word++])
        if (word >= low && word < high && sizes[word]) this.answer(words[word], logits[token]);
    }
    found.unknown = pieces.filter((piece) => piece.includes(unknown)).length / words.length;
    found.windows = parts.length;
    for (const word of words) [word.start, word.end] = place(word.at, word.at + word.text.length);
    found.entities = spans(words.map((word) => word.tag), this.scheme).map(({ type, first, last }) => {
      const [start, end] = [words[first].start, words[last].end];
      const score = words.slice(first, last + 1).reduce((sum, word) => sum + word.score, 0) / (last - first + 1);
      return { text: line.slice(start, end), type, start, end, score };
    });
    return found;
  }

  answer(word, logits) {
    const shares = probabilities(logits);
    word.score = Math.max(...shares);
    word.tag = this.labels[shares.indexOf(word.score)];
  }

  *classified(line) {
    const text = line.normalize("NFC");
    const found = { text: line, label: "", score: 0, scores: [], unknown: 0, strange: this.strange(text), truncated: false };
    const words = text.split(new RegExp(`${SPACE}+`, "u")).filter(Boolean);
    if (!words.length) return found;
    const { before, after, unknown } = this.tokenizer, pieces = this.tokenizer.tokens(text);
    const room = this.room - before.length - after.length;
    const [logits] = yield* this.network.logits([...before, ...pieces.slice(0, room), ...after]);
    const shares = probabilities(logits), most = Math.max(...shares);
    found.scores = shares.map((score, number) => ({ label: this.labels[number], score }));
    return Object.assign(found, {
      label: this.labels[shares.indexOf(most)],
      score: most,
      truncated: pieces.length > room,
      unknown: words.filter((word) => this.tokenizer.tokens(word).includes(unknown)).length / words.length,
    });
  }
}

/* The bytes of a text in base64; what is bytes already stays. */
function unpacked(text) {
  if (typeof text !== "string") return text;
  const letters = atob(text), found = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) found[place] = letters.charCodeAt(place);
  return found.buffer;
}
