// A run of training on a device: its beginning, steps, figures, evaluation. The counterpart of src/train/trainer.rs.

import { Problem, Program } from "./executor.js";
import { firstClock, firstParameters, writeParameters } from "./weights.js";

/** Numbers of a row of the history: the sums of log p(x|z) and of the KL, images, the sum of L_K. */
const COLUMNS = 4;
const LEARNING_RATE = 0;

export class Training {
  /**
   * Loads the plans and puts data and first parameters on the device. `train` and `test` are the images in arrays of their
   * type; `parameters`, if they are given, stand in the place of random ones.
   */
  static async begin(opened, document, modules, { train, test, trainLabels, testLabels, ...beginning }) {
    const program = await Program.load(opened, document, modules);
    try {
      const { host } = program;
      if (host.kind !== "training") throw new Problem("document", "The plan is not one of training.");
      const sets = [[host.train, train, trainLabels, "training"], [host.evaluate, test, testLabels, "test"]];
      for (const [pass, images, labels, what] of sets) {
        const { dims, length } = program.tensor(pass.data);
        if (images?.length !== length) throw new Problem("tensor", `The plan is for ${dims[0]} ${what} images of ${dims[1]} pixels: expected ${length} values, got ${images?.length ?? "none"}.`);
        program.write(pass.data, images);
        if (pass.labels !== null) program.write(pass.labels, labels);
      }
      const training = new Training(program);
      await training.restart(beginning);
      return training;
    } catch (error) {
      program.close();
      throw error;
    }
  }

  constructor(program) {
    this.program = program;
    this.host = program.host;
    this.seed = 0;
    /** Finished steps. */
    this.step = 0;
  }

  /** Goes back to the beginning, of another seed, learning rate and parameters where these are given. */
  async restart({ seed = 0, learningRate, parameters } = {}) {
    const { program, host } = this;
    this.seed = seed;
    this.learningRate = learningRate;
    const first = parameters ?? firstParameters(host, seed);
    writeParameters(program, first);
    host.averages.forEach((tensor, i) => program.write(tensor, first[i]));
    for (const { state } of host.parameters) program.write(state, new Float32Array(program.tensor(state).length));
    this.#rewind(host.train);
    this.step = 0;
  }

  /** The clock and the rates of a pass at its beginning. */
  #rewind(pass) {
    const rates = Float32Array.from(this.host.rates);
    if (this.learningRate !== undefined) {
      if (!this.host.learning_rate_fixed) throw new Problem("tensor", "The plan changes the learning rate by itself.");
      if (!(Math.fround(this.learningRate) > 0 && Number.isFinite(Math.fround(this.learningRate)))) throw new Problem("tensor", `The learning rate must be a positive number, it is ${this.learningRate}.`);
      rates[LEARNING_RATE] = this.learningRate;
    }
    this.program.write(pass.clock, firstClock(this.seed));
    this.program.write(pass.rates, rates);
  }

  /** Images drawn so far. */
  get images() {
    return this.step * this.host.train.batch;
  }

  /** The epoch that the next step belongs to, by its first image; 1 is the first. */
  get epoch() {
    return Math.floor(this.images / this.host.train.images) + 1;
  }

  /** Steps from the beginning to the end of an epoch. */
  stepsUntil(epoch) {
    return Math.ceil(epoch * this.host.train.images / this.host.train.batch);
  }

  /** Takes steps, as [`Program.run`] has it. */
  async advance(steps, options) {
    const done = await this.program.run(this.host.train.plan, steps, options);
    this.step += done;
    return done;
  }

  /** The averages over the steps since `from`, in nats an image; of the last epoch at most. */
  async metrics(from = 0) {
    return this.#average(this.host.train, from, this.step);
  }

  /** The figures of the first `images` test images, whole batches of them, z sampled from q by the same noise each time. */
  async evaluate({ signal, images = Infinity } = {}) {
    const { evaluate: pass, swap } = this.host;
    const steps = Math.min(pass.history_steps - 1, Math.max(1, Math.ceil(images / pass.batch)));
    if (swap) await this.program.run(swap);
    try {
      this.#rewind(pass);
      const done = await this.program.run(pass.plan, steps, { signal });
      if (done < steps) throw new Problem("stopped", "The evaluation was stopped.");
      return await this.#average(pass, 0, steps);
    } finally {
      if (swap) await this.program.run(swap);
    }
  }

  async #average(pass, from, to) {
    if (from < to - pass.history_steps || from >= to) throw new Problem("tensor", `There are no figures of the steps ${from} to ${to}: the last ${pass.history_steps} are kept.`);
    const names = pass.norms ? [pass.history, pass.norms.tensor] : [pass.history];
    const [history, norms] = await this.program.readAll(names);
    const sums = new Float64Array(COLUMNS);
    let clipped = 0;
    for (let step = from; step < to; step++) {
      const at = step % pass.history_steps;
      const row = history.subarray(COLUMNS * at, COLUMNS * (at + 1));
      if (!row.every(Number.isFinite) || norms && !Number.isFinite(norms[at])) {
        throw new Problem("not finite", `The figures of step ${step + 1} are not finite: the run has diverged.`, "Begin again with a smaller learning rate.");
      }
      row.forEach((v, i) => { sums[i] += v; });
      if (norms && norms[at] > pass.norms.most) clipped++;
    }
    const [reconstruction, kl, images, bound] = sums;
    return {
      reconstruction: reconstruction / images,
      kl: kl / images,
      elbo: (reconstruction - kl) / images,
      bound: pass.bound ? bound / images : null,
      clipped: norms ? clipped / (to - from) : null,
      images,
    };
  }

  /** The parameters in the order of the host: their averages where these are kept. */
  async parameters() {
    const { parameters, averages } = this.host;
    return this.program.readAll(averages.length > 0 ? averages : parameters.map(({ tensor }) => tensor));
  }

  close() {
    this.program.close();
  }
}
