// Parameters of a network: how they begin, and the safetensors files that hold them.

import { fromBase64, Problem } from "./document.js";

const MASK = (1n << 64n) - 1n;

/** The key of a generator from a seed of 64 bits: eight words of PCG (as the crate rand_core has it). */
function key(seed) {
  let state = BigInt(seed) & MASK;
  return Array.from({ length: 8 }, () => {
    state = (state * 0x5851f42d4c957f2dn + 0xa17654e46fbe17f3n) & MASK;
    const word = Number((((state >> 18n) ^ state) >> 27n) & 0xffffffffn);
    const turn = Number(state >> 59n);
    return ((word >>> turn) | (word << ((32 - turn) & 31))) >>> 0;
  });
}

/** Uniform numbers in [0, 1) of 24 bits, by ChaCha with eight rounds. */
export class Random {
  #key;
  #block = 0;
  #words = new Uint32Array(16);
  #used = 16;

  constructor(seed) {
    this.#key = key(seed);
  }

  #refill() {
    const block = this.#block++;
    const first = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...this.#key, block >>> 0, Math.floor(block / 2 ** 32), 0, 0];
    const w = Uint32Array.from(first);
    const quarter = (a, b, c, d) => {
      w[a] += w[b]; w[d] = turned(w[d] ^ w[a], 16);
      w[c] += w[d]; w[b] = turned(w[b] ^ w[c], 12);
      w[a] += w[b]; w[d] = turned(w[d] ^ w[a], 8);
      w[c] += w[d]; w[b] = turned(w[b] ^ w[c], 7);
    };
    for (let round = 0; round < 8; round += 2) {
      for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
      for (let i = 0; i < 4; i++) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (let i = 0; i < 16; i++) this.#words[i] = w[i] + first[i];
    this.#used = 0;
  }

  next() {
    if (this.#used === 16) this.#refill();
    return (this.#words[this.#used++] >>> 8) / 2 ** 24;
  }
}

const turned = (word, by) => (word << by) | (word >>> (32 - by));

/** The first parameters of a run with this seed, those of `elbo train` to the bit. */
export function firstParameters(host, seed) {
  const random = new Random(seed);
  return host.parameters.map(({ tensor, begin }) => {
    if (!begin) throw new Problem("tensor", `${tensor} does not begin at random: its first values must be given.`);
    const length = begin.reduce((sum, part) => sum + part.n, 0);
    if (!Number.isSafeInteger(length) || length > 2 ** 30) throw new Problem("document", `${tensor}: ${length} first values.`);
    const values = new Float32Array(length);
    let at = 0;
    for (const part of begin) {
      const end = at + part.n;
      if (part.uniform !== undefined) {
        for (; at < end; at++) values[at] = (2 * random.next() - 1) * part.uniform;
      } else if (part.base64 !== undefined) {
        values.set(new Float32Array(fromBase64(part.base64, tensor).buffer), at);
        at = end;
      } else {
        values.fill(part.value, at, end);
        at = end;
      }
    }
    return values;
  });
}

/** The words of a clock before the draw of the image at `position`. */
export function firstClock(seed, position = 0) {
  const wide = BigInt(seed) & MASK;
  return Uint32Array.of(Number(wide & 0xffffffffn), Number(wide >> 32n), 0, 0, position, 0, 0, 0);
}

/** Writes parameters, in the order of the host, to a program's tensors. */
export function writeParameters(program, parameters) {
  const wanted = program.host.parameters;
  if (parameters.length !== wanted.length) throw new Problem("tensor", `These are the parameters of another network: ${parameters.length} tensors, expected ${wanted.length}.`);
  wanted.forEach(({ tensor }, i) => {
    const { dims, length } = program.tensor(tensor);
    if (parameters[i].length !== length) throw new Problem("tensor", `These are the parameters of another network: ${tensor} is [${dims}], expected ${length} numbers, got ${parameters[i].length}.`);
    const bad = parameters[i].findIndex((v) => !Number.isFinite(v));
    if (bad >= 0) throw new Problem("not finite", `${tensor} holds ${parameters[i][bad]} at ${bad}.`);
  });
  wanted.forEach(({ tensor }, i) => program.write(tensor, parameters[i]));
}

/** For each element of a file's tensor, which of the parameter's it is. */
function places({ dims, axes }) {
  const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((a, b) => a * b, 1));
  let all = [0];
  for (const axis of axes) all = all.flatMap((place) => Array.from({ length: dims[axis] }, (_, i) => place + i * strides[axis]));
  return all;
}

const count = (shape) => shape.reduce((a, b) => a * b, 1);

/** model.safetensors of parameters in the order of the host, as `elbo import` reads it. `more`: metadata, each a string. */
export function writeFile(host, parameters, more = {}) {
  const header = { __metadata__: { ...host.metadata, ...more } };
  const parts = [];
  let at = 0;
  host.parameters.forEach(({ files }, i) => {
    for (const { name, shape, first, order, scale } of files) {
      const n = count(shape);
      const own = parameters[i].subarray(first, first + n);
      const values = order ? Float32Array.from(places(order), (place) => own[place] * scale) : own.map((v) => v * scale);
      header[name] = { dtype: "F32", shape, data_offsets: [at, at + 4 * n] };
      parts.push(values);
      at += 4 * n;
    }
  });
  let text = JSON.stringify(header);
  let head = new TextEncoder().encode(text);
  if (head.length % 8 !== 0) {
    text += " ".repeat(8 - head.length % 8);
    head = new TextEncoder().encode(text);
  }
  const bytes = new Uint8Array(8 + head.length + at);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(head.length), true);
  bytes.set(head, 8);
  let to = 8 + head.length;
  for (const values of parts) {
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), to);
    to += values.byteLength;
  }
  return bytes;
}

/** The parameters that a file holds, in the order of the host. */
export function readFile(host, bytes) {
  const fail = (problem) => {
    throw new Problem("tensor", `The file is no model of this network: ${problem}.`, "Choose the network that it was trained with, or another file.");
  };
  if (bytes.length < 8) fail("it is no safetensors file");
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > bytes.length - 8) fail("it is no safetensors file, or only a part of one");
  let header;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, 8 + length)));
  } catch {
    fail("its header is no JSON");
  }
  if (typeof header !== "object" || header === null) fail("its header is no JSON object");
  const data = bytes.subarray(8 + length);
  const known = new Set(["__metadata__"]);
  const parameters = host.parameters.map(({ files }) => {
    const values = new Float32Array(Math.max(...files.map(({ first, shape }) => first + count(shape))));
    for (const { name, shape, first, order, scale } of files) {
      known.add(name);
      if (!Object.hasOwn(header, name)) fail(`it has no tensor ${name}`);
      const { dtype, shape: has, data_offsets: offsets } = header[name] ?? {};
      if (dtype !== "F32") fail(`${name} should be F32, it is ${dtype}`);
      if (JSON.stringify(has) !== JSON.stringify(shape)) fail(`${name} should be ${JSON.stringify(shape)}, it is ${JSON.stringify(has)}`);
      const n = count(shape);
      const [from, to] = Array.isArray(offsets) ? offsets : [];
      if (!(Number.isSafeInteger(from) && from >= 0 && to - from === 4 * n && to <= data.length)) fail(`${name} is not all in the file`);
      const own = new Float32Array(data.slice(from, to).buffer);
      const bad = own.findIndex((v) => !Number.isFinite(v));
      if (bad >= 0) fail(`${name} holds ${own[bad]}`);
      const at = order ? places(order) : null;
      for (let i = 0; i < n; i++) values[first + (at ? at[i] : i)] = own[i] / scale;
    }
    return values;
  });
  const more = Object.keys(header).find((name) => !known.has(name));
  if (more !== undefined) fail(`it has a tensor ${more} too many`);
  return parameters;
}
