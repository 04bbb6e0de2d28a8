/* Text to token ids as the library `tokenizers` finds them: a Unigram vocabulary, the normalizers and pre-tokenizers
   that stand before one, and tokens that were added by hand. */
"use strict";

const SPACE = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";  // Python's
const WHITE = "[\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";  // Unicode's
const UNKNOWN_PENALTY = 10;

/* A step of normalization as a function from text to text; Python has checked that there are no other kinds. */
function normalizer(step) {
  const edges = (step.strip_left ? `^${WHITE}+` : "^(?!)") + "|" + (step.strip_right ? `${WHITE}+$` : "(?!)$");
  const replaced = step.pattern && new RegExp(
    step.pattern.Regex || step.pattern.String.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&"), "gu");
  const kinds = {
    NFC: (text) => text.normalize("NFC"),
    NFD: (text) => text.normalize("NFD"),
    NFKC: (text) => text.normalize("NFKC"),
    NFKD: (text) => text.normalize("NFKD"),
    Lowercase: (text) => Array.from(text, (letter) => letter.toLowerCase()).join(""),
    Strip: (text) => text.replace(new RegExp(edges, "gu"), ""),
    Replace: (text) => text.replace(replaced, () => step.content),
    Prepend: (text) => text && step.prepend + text,
    Precompiled: (text) => precompiled(text, step.map),
  };
  if (step.type !== "Sequence") return kinds[step.type];
  const steps = step.normalizers.map(normalizer);
  return (text) => steps.reduce((found, one) => one(found), text);
}

/* SentencePiece's table: of a short cluster of letters the first entry that it begins with stands for all of it, which
   is how `tokenizers` reads the table; else each letter has its entry or stays. */
function precompiled(text, map) {
  const parts = [];
  for (const cluster of clusters(text)) {
    const letters = Array.from(cluster);
    let begun = "", whole;
    if (new TextEncoder().encode(cluster).length < 6)
      for (const letter of letters) if ((whole = map[begun += letter]) !== undefined) break;
    if (whole !== undefined) parts.push(whole);
    else for (const letter of letters) parts.push(map[letter] === undefined ? letter : map[letter]);
  }
  return parts.join("");
}

/* Letters with what is written onto them. */
function clusters(text) {
  if (!Intl.Segmenter) return text.match(/\r\n|[^][\p{M}\u200d]*/gu) || [];  // nearly the same
  return Array.from(new Intl.Segmenter().segment(text), (part) => part.segment);
}

/* Pre-tokenization: each takes pieces `{text, atStart}` to pieces. */
function cutter(step) {
  if (step.type === "WhitespaceSplit")
    return (pieces) => pieces.flatMap(({ text, atStart }) => {
      const found = [];
      for (const match of text.matchAll(new RegExp(`(?:(?!${WHITE})[^])+`, "gu")))
        found.push({ text: match[0], atStart: atStart && match.index === 0 });
      return found;
    });
  if (step.type === "Metaspace")
    return (pieces) => pieces.flatMap(({ text, atStart }) => {
      let marked = text.replace(/ /g, step.replacement);
      const scheme = step.prepend_scheme;
      if (!marked.startsWith(step.replacement) && (scheme === "always" || (scheme === "first" && atStart)))
        marked = step.replacement + marked;
      if (step.split === false) return [{ text: marked, atStart }];
      return marked.split(new RegExp(`(?=${step.replacement})`, "u")).map((part) => ({ text: part, atStart: false }));
    });
  const steps = step.pretokenizers.map(cutter);
  return (pieces) => steps.reduce((found, one) => one(found), pieces);
}

class Tokenizer {
  /* `state` is what Python takes from tokenizer.json; `scores` belong to its tokens, in their order. */
  constructor(state, scores) {
    this.ids = new Map(state.tokens.map((token, id) => [token, id]));
    this.scores = scores;
    this.unknown = state.unknown;
    this.before = state.before;
    this.after = state.after;
    this.unknownScore = scores.reduce((least, score) => Math.min(least, score), Infinity) - UNKNOWN_PENALTY;
    this.longest = state.tokens.reduce((most, token) => Math.max(most, token.length), 0);
    this.normalize = state.normalizer ? normalizer(state.normalizer) : (text) => text;
    this.cut = state.cutter ? cutter(state.cutter) : (pieces) => pieces;
    this.added = [false, true].map((normalized) => matcher(state.added.filter((one) => one.normalized === normalized)));
    this.known = new Map();
  }

  /* The token ids of a text, or of one word of a sentence, without those that stand around a sentence. */
  tokens(text) {
    const found = [];
    for (const outer of this.added[0](text)) {
      if (outer.id !== undefined) found.push(outer.id);
      else
        for (const inner of this.added[1](this.normalize(outer.text))) {
          if (inner.id !== undefined) found.push(inner.id);
          else
            for (const { text: piece } of this.cut([{ text: inner.text, atStart: outer.atStart && inner.atStart }]))
              if (piece) found.push(...this.cached(piece));
        }
    }
    return found;
  }

  cached(piece) {
    let found = this.known.get(piece);
    if (!found) {
      if (this.known.size > 20000) this.known.clear();
      this.known.set(piece, (found = this.best(piece)));
    }
    return found;
  }

  /* The likeliest way to cut a piece into tokens (Viterbi); letters that no token holds are one unknown token. */
  best(piece) {
    const size = piece.length;
    const score = new Float64Array(size + 1), start = new Int32Array(size + 1).fill(-1), id = new Int32Array(size + 1);
    const offer = (from, to, token, total) => {
      if (start[to] >= 0 && total <= score[to]) return;
      score[to] = total;
      start[to] = from;
      id[to] = token;
    };
    for (let from = 0, width; from < size; from += width) {
      width = piece.codePointAt(from) > 0xffff ? 2 : 1;
      let single = false;
      for (let to = from + width; to <= Math.min(size, from + this.longest); to++) {
        const token = this.ids.get(piece.slice(from, to));
        if (token === undefined) continue;
        offer(from, to, token, this.scores[token] + score[from]);
        single = single || to === from + width;
      }
      if (!single) offer(from, from + width, this.unknown, this.unknownScore + score[from]);
    }
    const found = [];
    let held = size;
    for (let to = size; to > 0; to = start[to]) {
      const goesOn = id[to] === this.unknown && start[to] > 0 && id[start[to]] === this.unknown;
      if (goesOn) continue;
      const token = id[to] === this.unknown ? this.ids.get(piece.slice(start[to], held)) : id[to];
      found.push(token === undefined ? this.unknown : token);
      held = start[to];
    }
    return found.reverse();
  }
}

/* Cuts a text at tokens that were added by hand: the leftmost first, of several there the longest. */
function matcher(added) {
  if (!added.length) return (text) => (text ? [{ text, atStart: true }] : []);
  const sorted = [...added].sort((a, b) => b.content.length - a.content.length);
  const any = new RegExp(sorted.map((one) => one.content.replace(/[\\^$.*+?()[\]{}|\/]/g, "\\$&")).join("|"), "gu");
  const known = new Map(added.map((one) => [one.content, one]));
  return (text) => {
    const found = [];
    let end = 0;
    for (const match of text.matchAll(any)) {
      const token = known.get(match[0]);
      let start = match.index, stop = start + match[0].length;
      const goesOn = /[\p{L}\p{N}\p{M}\p{Pc}]$/u.test(text.slice(0, start)) || /^[\p{L}\p{N}\p{M}\p{Pc}]/u.test(text.slice(stop));
      if (token.single_word && goesOn) continue;
      if (token.lstrip) start = Math.max(end, text.slice(0, start).replace(new RegExp(`${WHITE}+$`, "u"), "").length);
      if (token.rstrip) stop = text.length - text.slice(stop).replace(new RegExp(`^${WHITE}+`, "u"), "").length;
      if (end < start) found.push({ text: text.slice(end, start), atStart: end === 0 });
      found.push({ id: token.id });
      end = stop;
    }
    if (end < text.length) found.push({ text: text.slice(end), atStart: end === 0 });
    return found;
  };
}
