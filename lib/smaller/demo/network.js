/* The network: an encoder of XLM-R's or BERT's kind whose weights are whole numbers of 8 bits, run as ONNX Runtime does.
   What goes into a product of matrices is quantized as it comes, over all tokens; sums are exact. All else is in 32 bits
   and in the order of version 1.31 on processors with AVX-512, to the last bit but for the tanh of texts. Its kernels
   for others sum in another order, which now and then rounds a number to its neighbour, in their answers as well. */
"use strict";

const round = Math.fround;
const PAIR = 2 ** 26;    // two weights in one number: the sums of both fit into the 53 bits of a double
const EXACT = 512;       // so many products of 255 * 255 at most, before the two sums could touch
const ROUNDING = 1.5 * 2 ** 52;  // adding and taking it off rounds to the nearest whole number, halves to the even one

/* Polynomials of ONNX Runtime's kernels, the highest power first; those of the error function are by N. Juffa. All are
   computed in 32 bits, where a product and a sum are rounded once, as processors do: round(a * b + c). */
const NEAR = Float32Array.of(-5.99104969e-4, 4.99339588e-3, -2.67667342e-2, 0.112818025, -0.376124859, 0.128379151);
const FAR = Float32Array.of(1.7294893e-5, -3.8320868e-4, 3.88393435e-3, -2.42545605e-2, 0.106777847, 0.634846687,
  0.128717512);
const EXP_IN_ERF = Float32Array.of(1.38319808e-3, 8.37550033e-3, 4.16689515e-2, 0.166664466, 0.499999851, 1, 1);
const EXP = Float32Array.of(1.37805939e-3, 8.37312452e-3, 4.16695364e-2, 0.166664720, 0.499999851, 1, 1);
const [LOG2_E, LN_2, LN_2_REST, LEAST, SPLIT, REACH] = Float32Array.of(
  Math.LOG2E, 0.693145752, 1.42860677e-6, -88.3762626647949, 0.921875, 3.925);
const POWERS = Float64Array.from({ length: 130 }, (_, power) => 2 ** -power);

function polynomial(factors, x) {
  let sum = factors[0];
  for (let i = 1; i < factors.length; i++) sum = round(sum * x + factors[i]);
  return sum;
}

/* The exponential function of a number that is at most zero. */
function exponential(x, factors) {
  const power = Math.min(0, round(x * LOG2_E + ROUNDING / 2 ** 29) - ROUNDING / 2 ** 29);
  const rest = round(round(x - power * LN_2) - power * LN_2_REST);
  return round(polynomial(factors, rest) * POWERS[-power]);
}

function errorFunction(x) {
  const size = Math.min(Math.abs(x), REACH);
  const found = size > SPLIT
    ? round(1 - exponential(-round(polynomial(FAR, size) * size + size), EXP_IN_ERF))
    : round(polynomial(NEAR, round(size * size)) * size + size);
  return x < 0 ? -found : found;
}

function gelu(values) {
  const factor = round(Math.SQRT1_2);
  for (let i = 0; i < values.length; i++)
    values[i] = values[i] / 2 * round(errorFunction(round(values[i] * factor)) + 1);
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
function scaled(sums, rows, scales, bias, column, found) {
  const outputs = bias.length, count = Math.min(4, outputs - column);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < count; i++)
      found[row * outputs + column + i] = round(round(sums[row * 4 + i]) * scales[column + i]) + bias[column + i];
}

/* The numbers of 4 bits in bytes: of each row the first half is in the lower bits, the second in the upper ones. */
function halves(bytes, rows) {
  const found = new Uint8Array(bytes.length * 2), half = bytes.length / rows;
  for (let row = 0; row < rows; row++)
    for (let i = 0, place = row * 2 * half; i < half; i++, place++) {
      found[place] = bytes[row * half + i] & 15;
      found[place + half] = bytes[row * half + i] >> 4;
    }
  return found;
}

class Linear {
  /* `weights` of shape (inputs, outputs), a scale for each output; columns are packed by fours, two in a number. */
  constructor(inputs, outputs, weights, scales, zero, bias) {
    this.inputs = inputs;
    this.outputs = outputs;
    this.scales = scales;
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
    const scales = this.scales.map((scale) => input.scale * scale);
    const found = new Float32Array(rows * outputs), sums = new Float64Array(Math.ceil(rows / 4) * 16);
    for (let column = 0; column < outputs; column += 4) {
      fourColumns(input, this.packed, column / 4 * inputs * 2, sums);
      scaled(sums, rows, scales, bias, column, found);
      yield;
    }
    return found;
  }
}

/* The sum of two tables with mean 0 and spread 1 in each row, then weighted and shifted. */
function added(left, right, { weight, bias }, epsilon) {
  const width = weight.length, eights = width - width % 8, found = new Float32Array(left.length);
  const eight = new Float32Array(8);  // sums of every eighth square
  for (let start = 0; start < left.length; start += width) {
    let sum = 0;
    for (let i = start; i < start + width; i++) {
      found[i] = left[i] + right[i];
      sum += found[i];
    }
    const mean = round(sum / width);
    eight.fill(0);
    for (let i = 0; i < width; i++) {
      const value = (found[start + i] = round(found[start + i] - mean));
      if (i < eights) eight[i & 7] += value * value;
    }
    let squares = summed(eight, 4);
    for (let i = eights; i < width; i++) {
      const square = found[start + i] ** 2;
      squares = round(squares + (i - eights < (width & 4) ? round(square) : square));
    }
    const factor = round(1 / round(Math.sqrt(round(round(squares / width) + epsilon))));
    for (let i = 0; i < width; i++) found[start + i] = round(found[start + i] * factor) * weight[i] + bias[i];
  }
  return found;
}

/* The sum of a few numbers, which are changed: each with the one so many places on, and so on with half the distance. */
function summed(values, distance) {
  for (; distance; distance >>= 1) for (let i = 0; i < distance; i++) values[i] += values[i + distance];
  return values[0];
}

/* What each token takes from all tokens, in heads of some columns. Generators leave the work to functions, which
   browsers make fast. */
function* attention(query, key, value, width, headWidth) {
  const found = new Float32Array(query.length), shares = new Float32Array(query.length / width);
  for (let head = 0; head < width; head += headWidth)
    for (let own = head; own < query.length; own += width) {
      attended(query, own, key, head, width, headWidth, shares);
      mixed(shares, value, head, width, headWidth, found, own);
      yield;
    }
  return found;
}

/* The shares that one token takes of all tokens. Four sums at once, of which each waits for its last number. */
function attended(query, own, key, head, width, headWidth, shares) {
  const length = shares.length, factor = round(1 / Math.sqrt(headWidth)), sixteen = new Float32Array(16);
  let most = -Infinity;
  for (let other = 0; other < length; other += 4) {
    const first = other * width + head, last = key.length - width + head;
    const second = Math.min(last, first + width), third = Math.min(last, second + width);
    const fourth = Math.min(last, third + width);
    let a = 0, b = 0, c = 0, d = 0;
    for (let i = 0; i < headWidth; i++) {
      const one = query[own + i];
      a = round(a + one * key[first + i]);
      b = round(b + one * key[second + i]);
      c = round(c + one * key[third + i]);
      d = round(d + one * key[fourth + i]);
    }
    shares[other] = a * factor;  // what is past the end is not kept
    shares[other + 1] = b * factor;
    shares[other + 2] = c * factor;
    shares[other + 3] = d * factor;
  }
  for (let other = 0; other < length; other++) if (shares[other] > most) most = shares[other];
  for (let other = 0; other < length; other++)
    sixteen[other & 15] += shares[other] = exponential(Math.max(LEAST, round(shares[other] - most)), EXP);
  for (let i = 0; i < 8; i++) sixteen[i] += sixteen[i + 8];
  const [a, b, c, d, e, f, g, h] = sixteen;
  const total = round(round(round(a + b) + round(c + d)) + round(round(e + f) + round(g + h)));
  const part = round(1 / total);
  for (let other = 0; other < length; other++) shares[other] *= part;
}

/* The values of all tokens by their shares, four columns at once; what is past a head's last column is not kept. */
function mixed(shares, value, head, width, headWidth, found, own) {
  for (let i = 0; i < headWidth; i += 4) {
    let a = 0, b = 0, c = 0, d = 0;
    for (let other = 0, at = head + i; other < shares.length; other++, at += width) {
      const share = shares[other];
      a = round(a + share * value[at]);
      b = round(b + share * value[at + 1]);
      c = round(c + share * value[at + 2]);
      d = round(d + share * value[at + 3]);
    }
    found[own + i] = a;
    if (i + 1 < headWidth) found[own + i + 1] = b;
    if (i + 2 < headWidth) found[own + i + 2] = c;
    if (i + 3 < headWidth) found[own + i + 3] = d;
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
    /* What stands for zero; one scale, or where numbers have 4 bits one for each of `many`; and the numbers, of which
       each of `parts` was packed by itself. */
    const held = (count, { signed, four }, many, parts) => {
      const zero = floats(1)[0], scales = four ? floats(many) : new Float32Array(many).fill(floats(1)[0]);
      return { zero, scales, values: four ? halves(wholes(count / 2), parts) : wholes(count, signed) };
    };
    const table = ([rows, width, how]) => ({ width, ...held(rows * width, how, rows, rows) });
    const norm = () => ({ weight: floats(shape.hidden), bias: floats(shape.hidden) });
    const linear = ([inputs, outputs, how]) => {
      const bias = floats(outputs), { zero, scales, values } = held(inputs * outputs, how, outputs, 1);
      return new Linear(inputs, outputs, values, scales, zero, bias);
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
        tokens[token * hidden + i] = entry(words, id, i) + entry(types, 0, i);
        places[token * hidden + i] = entry(positions, place, i);
      }
    });
    return added(tokens, places, this.norm, epsilon);
  }
}

function entry(table, row, column) {
  return round((table.values[row * table.width + column] - table.zero) * table.scales[row]);
}
