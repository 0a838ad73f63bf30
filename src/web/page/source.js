// A source, see explore.js, that answers on the visitor's own GPU: the plans of src/web/explored.rs, and what
// src/explore/{model,inference}.rs and src/evaluate/posteriors.rs do on the host.

import { Program } from "./executor.js";
import { firstClock, writeParameters } from "./weights.js";

/** Test images that the KL of the units and the map are made from, at most, and milliseconds that it may take where they are slow. */
const MEASURED = 10000;
const PATIENCE = 4000;
/** A unit is active where the variance of its posterior mean is above this. */
const ACTIVE = 0.01;

/** q(z|x) of each row of `heads`: means, and of each unit by itself the variance's logarithm; the KL of the whole. */
export function posteriors(heads, about) {
  const { latent, family } = about;
  const full = family === "full";
  const width = 2 * latent + (full ? (latent * (latent - 1)) / 2 : 0);
  const all = [];
  for (let row = 0; row + width <= heads.length; row += width) {
    const mu = [];
    const logVariance = [];
    let whole = 0;
    for (let u = 0; u < latent; u++) {
      const m = heads[row + u];
      const l = Math.min(20, Math.max(-30, heads[row + latent + u]));
      let below = 0;
      for (let j = 0; full && j < u; j++) below += heads[row + 2 * latent + (u * (u - 1)) / 2 + j] ** 2;
      mu.push(m);
      logVariance.push(below ? Math.log(Math.exp(l) + below) : l);
      whole += 0.5 * (m * m + (Math.expm1(l) - l) + below);
    }
    all.push({ mu, logVariance, whole, kl: mu.map((m, u) => 0.5 * (m * m + (Math.expm1(logVariance[u]) - logVariance[u]))) });
  }
  return all;
}

/** log (1/K) sum exp v, with its error by the delta method. */
export function logMean(draws) {
  const most = Math.max(...draws);
  let [sum, squares] = [0, 0];
  for (const v of draws) {
    const w = Math.exp(v - most);
    sum += w;
    squares += w * w;
  }
  const k = draws.length;
  const size = (sum * sum) / squares;
  const variance = (Math.max(0, 1 / size - 1 / k) * k) / (k - 1);
  return { value: most + Math.log(sum / k), standard_error: k > 1 ? Math.sqrt(variance) : null, effective_size: size };
}

/** Their mean, with its error. */
function mean(values) {
  const n = values.length;
  const value = values.reduce((sum, v) => sum + v, 0) / n;
  const squares = values.reduce((sum, v) => sum + (v - value) ** 2, 0);
  return { value, standard_error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : null, effective_size: null };
}

export function toLevels(values) {
  return Uint8ClampedArray.from(values, (v) => {
    if (Number.isNaN(v)) throw new Error("The decoder's numbers overflow there.");
    return Math.round(255 * Math.min(1, Math.max(0, v)));
  });
}

function finite(values) {
  if (!values.every(Number.isFinite)) throw new Error("The decoder's numbers overflow there.");
  return Array.from(values);
}

/** Classes as tensors of images have them: two bytes each. */
const wide = (classes) => Uint8Array.from(classes.flatMap((value) => [value & 255, value >> 8]));

/** Classes under which an image is judged one after the other, at most. */
const JUDGED = 20;

/** Tiles of a square side by side. */
export function tiled(mean, about) {
  const { tiles, width, height, channels } = about;
  const image = new ImageData(tiles * width, tiles * height);
  const levels = toLevels(mean);
  for (let tile = 0; tile < tiles * tiles; tile++) {
    for (let i = 0; i < width * height; i++) {
      const [x, y] = [(tile % tiles) * width + (i % width), Math.floor(tile / tiles) * height + Math.floor(i / width)];
      const from = (tile * width * height + i) * channels;
      const to = 4 * (y * tiles * width + x);
      for (let c = 0; c < 3; c++) image.data[to + c] = levels[from + (channels === 1 ? 0 : c)];
      image.data[to + 3] = 255;
    }
  }
  return image;
}

/** The z of each tile of a map, rows from the largest z_1 down. */
export function grid(tiles, extent) {
  const place = (i) => extent * ((2 * i + 1) / tiles - 1);
  return Float32Array.from({ length: 2 * tiles * tiles }, (_, i) => {
    const tile = i >> 1;
    return i % 2 ? -place(Math.floor(tile / tiles)) : place(tile % tiles);
  });
}

/** The least multiple of 1/2, from 3 to 8, that all but one of 200 posterior means are within. */
export function extentOf(all) {
  const sizes = all.flatMap(({ mu }) => mu.map(Math.abs)).sort((a, b) => a - b);
  const within = sizes[Math.floor(((sizes.length - 1) * 199) / 200)] ?? 0;
  return Math.min(8, Math.max(3, Math.ceil(2 * within) / 2));
}

export class GpuSource {
  #turn = Promise.resolve();

  /** `about` is the manifest's of the model, `test` its test images as levels, `labels` {classes, names} or null; `told` has the class
   * of each as the network is told it, if it is. */
  static async load(opened, plan, { about, name, seed, test, labels, told, parameters }) {
    const program = await Program.load(opened, plan.document, plan.modules);
    const source = new GpuSource();
    Object.assign(source, { program, opened, about, name, seed, test, labels, told, roles: program.host.tensors });
    program.write(source.roles["codes.data"], test);
    if (told) program.write(source.roles["codes.labels"], wide(told));
    source.put(parameters);
    return source;
  }

  /** Other parameters of the same network. */
  put(parameters) {
    writeParameters(this.program, parameters);
  }

  close() {
    this.program.close();
  }

  /** One piece of work after the other: they share tensors. */
  #alone(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  #size() {
    return this.about.width * this.about.height * this.about.channels;
  }

  /** Posteriors of the first `count` test images, or as many as `patience` milliseconds allow, one batch at least. */
  async #codes(count, patience = Infinity) {
    const { program, roles, about } = this;
    const total = this.test.length / this.#size();
    const begun = performance.now();
    let all = [];
    program.write(roles["codes.clock"], firstClock(this.seed));
    for (let from = 0; from < Math.min(count, total); from += about.coded) {
      if (from > 0 && performance.now() - begun > patience) break;
      program.write(roles["codes.clock"], firstClock(this.seed, from));
      await program.run("codes");
      const heads = await program.read(roles["codes.heads"]);
      all = all.concat(posteriors(heads, about).slice(0, total - from));
    }
    return all.slice(0, count);
  }

  codes(count, patience) {
    return this.#alone(() => this.#codes(count, patience));
  }

  /** Draws from the prior, always the same ones, and the first test images with what becomes of them: levels. */
  pictures() {
    return this.#alone(async () => {
      const { program, roles } = this;
      program.write(roles["draw.clock"], firstClock(this.seed));
      program.write(roles["codes.clock"], firstClock(this.seed));
      this.#tell("draw.classes", 0);
      await program.run("draw");
      await program.run("codes");
      const [drawn, x, mean, heads] = await program.readAll(["draw.mean", "codes.x", "codes.mean", "codes.heads"].map((role) => roles[role]));
      return { drawn: toLevels(drawn), x: toLevels(x), mean: toLevels(mean), codes: posteriors(heads, this.about) };
    });
  }

  /** The class of all rows, where the network is told one. */
  #tell(role, class_) {
    const { program, roles, about } = this;
    if (roles[role]) program.write(roles[role], new Uint32Array(about.rows).fill(class_ ?? 0));
  }

  /** E[x|z] of codes one after the other, (N, Z), a run of rows at a time. */
  async #decoded(z, class_) {
    const { program, roles, about } = this;
    const n = z.length / about.latent;
    const all = new Float32Array(n * this.#size());
    this.#tell("decode.classes", class_);
    for (let from = 0; from < n; from += about.rows) {
      const rows = new Float32Array(about.rows * about.latent);
      rows.set(z.subarray(from * about.latent, (from + about.rows) * about.latent));
      program.write(roles["decode.z"], rows);
      await program.run("decode");
      const mean = await program.read(roles["decode.mean"]);
      all.set(mean.subarray(0, Math.min(about.rows, n - from) * this.#size()), from * this.#size());
    }
    return all;
  }

  /** The map up to `extent`, as ImageData. */
  tiles(extent, class_) {
    return this.#alone(async () => tiled(await this.#decoded(grid(this.about.tiles, extent), class_), this.about));
  }

  async model() {
    const { about } = this;
    this.measured = await this.codes(MEASURED, PATIENCE);
    const n = this.measured.length;
    this.extent = extentOf(this.measured);
    const units = Array.from({ length: about.latent }, (_, unit) => {
      const average = (of) => this.measured.reduce((sum, q) => sum + of(q), 0) / n;
      const middle = average((q) => q.mu[unit]);
      const squares = this.measured.reduce((sum, q) => sum + (q.mu[unit] - middle) ** 2, 0);
      return { unit, kl: average((q) => q.kl[unit]), active: squares / Math.max(1, n - 1) > ACTIVE };
    });
    units.sort((a, b) => b.kl - a.kl);
    return {
      ...about,
      run: this.name,
      device: { name: this.opened.name },
      seed: String(this.seed),
      test_images: this.test.length / this.#size(),
      measured: n,
      extent: this.extent,
      units,
    };
  }

  async #decode(z, class_) {
    return toLevels(await this.#decoded(Float32Array.from(z), class_));
  }

  decode({ z, class: class_ }) {
    return this.#alone(async () => ({ z, image: await this.#decode(z, class_) }));
  }

  sample({ seed, class: class_ }) {
    return this.#alone(async () => {
      const { program, roles, about } = this;
      program.write(roles["draw.clock"], firstClock(seed));
      this.#tell("draw.classes", class_);
      await program.run("draw");
      const [z, mean] = await program.readAll([roles["draw.z"], roles["draw.mean"]]);
      return { z: Array.from(z.subarray(0, about.latent)), image: toLevels(mean.subarray(0, this.#size())) };
    });
  }

  async map(class_) {
    const image = await this.tiles(this.extent, class_);
    const canvas = new OffscreenCanvas(image.width, image.height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return URL.createObjectURL(await canvas.convertToBlob());
  }

  async scatter() {
    const { classes, names } = this.labels ?? {};
    return { z: this.measured.map(({ mu }) => mu), classes: classes?.slice(0, this.measured.length) ?? null, names: names ?? [] };
  }

  infer({ image, test, class: class_ }) {
    return this.#alone(async () => {
      const size = this.#size();
      if (test === undefined) return { image, label: null, ...(await this.#judge(Uint8Array.from(image), 0, class_)) };
      const levels = this.test.slice(test * size, (test + 1) * size);
      const label = this.labels ? this.labels.names[this.labels.classes[test]] : null;
      return { image: Array.from(levels), label, ...(await this.#judge(levels, test, class_ ?? this.told?.[test])) };
    });
  }

  /** The image as the encoder sees it, with the noise of the test image at `place`, and its heads. */
  async #encode(levels, place, class_) {
    const { program, roles } = this;
    program.write(roles.data, levels);
    if (roles.labels) program.write(roles.labels, wide([class_ ?? 0]));
    program.write(roles.clock, firstClock(this.seed, place));
    await program.run("encode");
    return program.readAll([roles.x, roles.heads]);
  }

  /** log p(x|z) and the log weights of draws from q of what was encoded. */
  async #weighted() {
    const { program, roles, about } = this;
    await program.run("importance", Math.ceil(about.samples / about.chunk));
    const all = await program.readAll([roles.log_px, roles.log_w]);
    return all.map((values) => finite(values.subarray(0, about.samples)));
  }

  /** What the model makes of levels, under a class where it is told one; and log p(x|y) under each, where there are few. */
  async #judge(levels, place, class_) {
    const { program, roles, about } = this;
    const judged = {};
    if (about.classes.length) {
      judged.class = class_ ?? 0;
      for (let other = 0; about.classes.length <= JUDGED && other < about.classes.length; other++) {
        await this.#encode(levels, place, other);
        const [, weights] = await this.#weighted();
        (judged.by_class ??= []).push(logMean(weights).value);
      }
    }
    const [x, heads] = await this.#encode(levels, place, class_);
    const [logPx, logW] = await this.#weighted();
    program.write(roles.clock, firstClock(this.seed, place));
    await program.run("prior", Math.ceil(about.samples / about.chunk));
    const prior = finite((await program.read(roles.prior_log_px)).subarray(0, about.samples));

    const [q] = posteriors(heads, about);
    const reconstruction = mean(logPx);
    const elbo = about.closed_kl ? { ...reconstruction, value: reconstruction.value - q.whole } : mean(logW);
    return {
      ...judged,
      x: toLevels(x),
      mu: q.mu,
      sigma: q.logVariance.map((l) => Math.exp(0.5 * l)),
      kl: q.kl,
      reconstruction: await this.#decode(q.mu, class_),
      simple_monte_carlo: logMean(prior),
      elbo,
      importance_weighted: logMean(logW),
    };
  }
}
