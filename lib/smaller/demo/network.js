/* The network: an encoder of XLM-R's or BERT's kind whose weights are whole numbers of 8 bits, run as ONNX Runtime does.
   What goes into a product of matrices is quantized as it comes, over all tokens; sums are exact. All else differs in
   its last digits, as between two of the runtime's own kernels: now and then a number is rounded to its neighbour. */
"use strict";

const round = Math.fround;
const PAIR = 2 ** 26;    // two weights in one number: the sums of both fit into the 53 bits of a double
const EXACT = 512;       // so many products of 255 * 255 at most, before the two sums could touch
const ROUNDING = 1.5 * 2 ** 52;  // adding and taking it off rounds to the nearest whole number, halves to the even one

/* The error function and its slope at steps from 0 on; between them cubic pieces come as near as 1e-10. */
const STEPS = 64, REACH = 6;
const height = new Float64Array(REACH * STEPS + 1), slope = new Float64Array(height.length);
for (let place = 0; place < height.length; place++) {
  const x = place / STEPS;
  let term = 2 * x / Math.sqrt(Math.PI) * Math.exp(-x * x);
  slope[place] = 2 / Math.sqrt(Math.PI) * Math.exp(-x * x);
  for (let odd = 3; term > 1e-18; odd += 2) {  // a series in which nothing cancels
    height[place] += term;
    term *= 2 * x * x / odd;
  }
}

function errorFunction(x) {
  const at = Math.abs(x) * STEPS, place = Math.floor(at);
  if (place >= REACH * STEPS) return Math.sign(x);
  const t = at - place, rise = height[place + 1] - height[place];
  const bend = (1 - t) * (slope[place] / STEPS - rise) + t * (rise - slope[place + 1] / STEPS);
  return Math.sign(x) * (height[place] + t * (rise + (1 - t) * bend));
}

function gelu(values) {
  const factor = round(Math.SQRT1_2);
  for (let i = 0; i < values.length; i++)
    values[i] = values[i] / 2 * round(round(errorFunction(round(values[i] * factor))) + 1);
}

/* Whole numbers 0 to 255 for rows of numbers, less the one that stands for zero, four rows beside each other. */
function quantized(values, rows, width) {
  let low = 0, high = 0;
  for (let i = 0; i < rows * width; i++) {
    const value = values[i];
    if (value < low) low = value;
    else if (value > high) high = value;
  }
  const scale = round(round(high - low) / 255) || 1;
  const zero = Math.max(0, Math.min(255, 0 - round(low / scale))) + ROUNDING - ROUNDING;
  const found = new Float64Array(Math.ceil(rows / 4) * 4 * width);
  for (let row = 0; row < rows; row++) {
    let target = (row >> 2) * 4 * width + (row & 3);
    for (let i = row * width; i < (row + 1) * width; i++, target += 4) {
      const whole = round(values[i] / scale) + ROUNDING - ROUNDING;
      found[target] = whole < -zero ? -zero : whole > 255 - zero ? 255 - zero : whole;
    }
  }
  return { values: found, scale, rows, width };
}

/* Four rows at a time by four columns of weights: the innermost loop of everything. */
function fourColumns(input, weights, start, sums) {
  const { values, rows, width } = input;
  for (let block = 0; block * 4 < rows; block++) {
    sums.fill(0, block * 16, block * 16 + 16);
    for (let from = 0; from < width; from += EXACT) {
      const end = Math.min(width, from + EXACT);
      let p = 0, q = 0, r = 0, s = 0, t = 0, u = 0, v = 0, w = 0;
      let i = (block * width + from) * 4, j = start + from * 2;
      for (let k = from; k < end; k++, i += 4, j += 2) {
        const left = weights[j], right = weights[j + 1];
        const a = values[i], b = values[i + 1], c = values[i + 2], d = values[i + 3];
        p += a * left; q += a * right;
        r += b * left; s += b * right;
        t += c * left; u += c * right;
        v += d * left; w += d * right;
      }
      unpack(sums, block * 16, p, q);
      unpack(sums, block * 16 + 4, r, s);
      unpack(sums, block * 16 + 8, t, u);
      unpack(sums, block * 16 + 12, v, w);
    }
  }
}

function unpack(sums, place, left, right) {
  const second = Math.round(left / PAIR), fourth = Math.round(right / PAIR);
  sums[place] += left - second * PAIR;
  sums[place + 1] += second;
  sums[place + 2] += right - fourth * PAIR;
  sums[place + 3] += fourth;
}

/* Four columns of sums, with their bias, into their place. */
function scaled(sums, rows, scale, bias, column, found) {
  const outputs = bias.length, count = Math.min(4, outputs - column);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < count; i++)
      found[row * outputs + column + i] = round(round(sums[row * 4 + i]) * scale) + bias[column + i];
}

class Linear {
  /* `weights` of shape (inputs, outputs); columns are packed by fours, two in a number. */
  constructor(inputs, outputs, weights, scale, zero, bias) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.scale = scale;
    this.bias = bias;
    this.packed = new Float64Array(Math.ceil(outputs / 4) * 2 * inputs);
    const weight = (row, column) => (column < outputs ? weights[row * outputs + column] - zero : 0);
    for (let column = 0, place = 0; column < outputs; column += 4)
      for (let row = 0; row < inputs; row++, place += 2) {
        this.packed[place] = weight(row, column) + weight(row, column + 1) * PAIR;
        this.packed[place + 1] = weight(row, column + 2) + weight(row, column + 3) * PAIR;
      }
  }

  /* Yields between columns, so that whoever runs it may do something else. */
  *of(input) {
    const { outputs, inputs, bias } = this, { rows } = input;
    const scale = round(input.scale * this.scale);
    const found = new Float32Array(rows * outputs), sums = new Float64Array(Math.ceil(rows / 4) * 16);
    for (let column = 0; column < outputs; column += 4) {
      fourColumns(input, this.packed, column / 4 * inputs * 2, sums);
      scaled(sums, rows, scale, bias, column, found);
      yield;
    }
    return found;
  }
}

/* The sum of two tables with mean 0 and spread 1 in each row, then weighted and shifted. */
function added(left, right, { weight, bias }, epsilon) {
  const width = weight.length, found = new Float32Array(left.length);
  for (let start = 0; start < left.length; start += width) {
    let sum = 0, squares = 0;
    for (let i = start; i < start + width; i++) {
      found[i] = left[i] + right[i];
      sum += found[i];
    }
    const mean = round(sum / width);
    for (let i = start; i < start + width; i++) {
      found[i] -= mean;
      squares += found[i] * found[i];
    }
    const factor = round(1 / round(Math.sqrt(round(round(squares / width) + epsilon))));
    for (let i = 0; i < width; i++) found[start + i] = round(found[start + i] * factor) * weight[i] + bias[i];
  }
  return found;
}

/* What each token takes from all tokens, in heads of some columns. Generators leave the work to functions, which
   browsers make fast. */
function* attention(query, key, value, width, headWidth) {
  const length = query.length / width, found = new Float32Array(query.length);
  const shares = new Float64Array(Math.ceil(length / 4) * 4);
  for (let head = 0; head < width; head += headWidth) {
    const keys = turned(key, head, headWidth, width), values = turned(value, head, headWidth, width);
    for (let own = head; own < query.length; own += width) {
      attended(query, own, keys, values, shares, length, found);
      yield;
    }
  }
  return found;
}

/* Some columns of a table, one after another, each filled up with zeros to a multiple of four. */
function turned(table, first, count, width) {
  const length = Math.ceil(table.length / width / 4) * 4, found = new Float64Array(count * length);
  for (let i = 0; i < count; i++)
    for (let at = first + i, place = i * length; at < table.length; at += width, place++) found[place] = table[at];
  return found;
}

/* One token's part of it; keys and values column by column, and four sums at once. */
function attended(query, own, keys, values, shares, length, found) {
  const longer = shares.length, columns = keys.length / longer, factor = 1 / Math.sqrt(columns);
  let most = -Infinity, total = 0;
  shares.fill(0);
  for (let i = 0, at = 0; i < columns; i++) {
    const one = query[own + i] * factor;
    for (let other = 0; other < longer; other++, at++) shares[other] += one * keys[at];
  }
  for (let other = 0; other < length; other++) if (shares[other] > most) most = shares[other];
  for (let other = 0; other < length; other++) total += shares[other] = Math.exp(shares[other] - most);
  for (let i = 0, at = 0; i < columns; i++) {
    let a = 0, b = 0, c = 0, d = 0;  // what stands past the last token is multiplied by values of zero
    for (let other = 0; other < longer; other += 4, at += 4) {
      a += shares[other] * values[at];
      b += shares[other + 1] * values[at + 1];
      c += shares[other + 2] * values[at + 2];
      d += shares[other + 3] * values[at + 3];
    }
    found[own + i] = (a + b + c + d) / total;
  }
}

class Network {
  /* `shape` is what Python says of it; `numbers` (Float32Array) and `bytes` (Uint8Array) hold all weights in order. */
  constructor(shape, numbers, bytes) {
    let number = 0, byte = 0;
    const floats = (count) => numbers.subarray(number, (number += count));
    const wholes = (count, signed) => {
      const found = bytes.subarray(byte, (byte += count));
      return signed ? new Int8Array(found.buffer, found.byteOffset, count) : found;
    };
    const table = ([rows, width, signed]) => {
      const [scale, zero] = floats(2);
      return { rows, scale, zero, values: wholes(rows * width, signed) };
    };
    const norm = () => ({ weight: floats(shape.hidden), bias: floats(shape.hidden) });
    const linear = ([inputs, outputs, signed]) => {
      const [scale, zero] = floats(2), bias = floats(outputs);
      return new Linear(inputs, outputs, wholes(inputs * outputs, signed), scale, zero, bias);
    };
    this.shape = shape;
    this.tables = shape.tables.map(table);
    this.norm = norm();
    this.layers = shape.layers.map((six) => {
      const [query, key, value, output] = six.slice(0, 4).map(linear), attended = norm();
      const [up, down] = six.slice(4).map(linear);
      return { query, key, value, output, attended, up, down, norm: norm() };
    });
    this.head = shape.head.map(linear);
  }

  /* The logits of a row of token ids: an array for each token, or one for the row where texts are labelled. A generator
     that yields often and returns them. */
  *logits(row) {
    const { hidden, epsilon, headWidth } = this.shape;
    let states = this.embedded(row);
    for (const layer of this.layers) {
      const input = quantized(states, row.length, hidden), width = layer.output.inputs;
      const query = yield* layer.query.of(input), key = yield* layer.key.of(input);
      const seen = yield* attention(query, key, yield* layer.value.of(input), width, headWidth);
      states = added(yield* layer.output.of(quantized(seen, row.length, width)), states, layer.attended, epsilon);
      const inner = yield* layer.up.of(quantized(states, row.length, hidden));
      gelu(inner);
      const { down, norm } = layer;
      states = added(yield* down.of(quantized(inner, row.length, down.inputs)), states, norm, epsilon);
    }
    const last = this.head[this.head.length - 1], count = last.outputs;
    let places = row.length;
    if (this.head.length > 1) {  // of texts: the first token speaks for all
      states = (yield* this.head[0].of(quantized(states, 1, hidden))).map(Math.tanh);
      places = 1;
    }
    const found = yield* last.of(quantized(states, places, last.inputs));
    return Array.from({ length: places }, (_, place) => found.subarray(place * count, (place + 1) * count));
  }

  /* Tokens, their type and their positions, which XLM-R counts from one after the padding token, leaving that out. */
  embedded(row) {
    const { hidden, epsilon, padding } = this.shape, [words, types, positions] = this.tables;
    const tokens = new Float32Array(row.length * hidden), places = new Float32Array(tokens.length);
    let position = padding;
    row.forEach((id, token) => {
      const place = padding < 0 ? token : id === padding ? padding : ++position;
      for (let i = 0; i < hidden; i++) {
        tokens[token * hidden + i] = entry(words, id * hidden + i) + entry(types, i);
        places[token * hidden + i] = entry(positions, place * hidden + i);
      }
    });
    return added(tokens, places, this.norm, epsilon);
  }
}

function entry(table, place) {
  return round((table.values[place] - table.zero) * table.scale);
}
