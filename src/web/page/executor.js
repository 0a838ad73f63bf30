// Runs the plans of a document on WebGPU: many dispatches a submission, two submissions in flight, nothing read back
// within a step. The counterpart of src/device/gpu/executor.rs.

import { checked, Problem, TYPES } from "./document.js";

export { Problem };

/** What a submission should take, in seconds: long enough that the host's work does not show, short enough that a page stays alive. */
const TARGET = 0.05;
/** What the first of a run should take, and each that follows twice as long. */
const FIRST_TARGET = 0.001;
const IN_FLIGHT = 2;
/** An adapter is taken for this slow until it is measured, in operations and bytes a second. */
const FIRST_RATE = 1e9;
/** And what each dispatch takes besides, in seconds: of a GPU, and of a CPU that imitates one. */
const FIRST_SECONDS = [1e-5, 5e-3];
/** How far one measurement may move an estimate. */
const MOST_CHANGE = 8;
/** Most dispatches of a submission. */
const MOST = 1024;

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp|software/i;
const BROWSERS = "WebGPU is in Chrome and Edge from 113 on (on Linux it may want the flag --enable-unsafe-webgpu, and --enable-features=Vulkan), in Safari from 26 on, and in Firefox from 141 on Windows and 145 on a Mac.";
const DEFECT = "This is a defect: please report it, with the names of the browser and the GPU.";
const SMALLER = "Take a smaller network or batch, and close other tabs that use the GPU.";

/** An opened GPU. */
class Opened {
  constructor(device, info, software) {
    const names = [info.description, [info.vendor, info.architecture, info.device].filter(Boolean).join(" ")];
    this.device = device;
    this.info = { vendor: info.vendor ?? "", architecture: info.architecture ?? "", device: info.device ?? "", description: info.description ?? "" };
    this.name = names.find(Boolean) ?? "a GPU that does not tell its name";
    this.software = software;
    this.limits = {};
    for (const name in device.limits) this.limits[name] = device.limits[name];
    /** The first thing that went wrong, after which nothing that is computed counts. */
    this.problem = null;
    this.waiting = new Set();
    this.lost = device.lost.then((info) => {
      const closed = info.reason === "destroyed";
      const message = closed ? "The GPU was closed." : `The browser lost the GPU (${info.message || "it does not say why"}).`;
      const problem = this.failed(new Problem("lost", message, closed ? "" : `Reload the page: what was computed since is gone. ${SMALLER}`));
      for (const reject of this.waiting) reject(problem);
      return problem;
    });
    device.addEventListener("uncapturederror", ({ error }) => {
      this.failed(new Problem("device", `The GPU refused what it was given: ${error.message}`, DEFECT));
    });
  }

  failed(problem) {
    this.problem ??= problem;
    return this.problem;
  }

  /** The value of a promise, unless the GPU is lost before it comes. */
  async wait(promise) {
    let value;
    let stop;
    try {
      value = await new Promise((resolve, reject) => {
        stop = reject;
        this.waiting.add(reject);
        promise.then(resolve, reject);
      });
    } catch (error) {
      if (error instanceof Problem) throw error;
      // What a lost device rejects may come before the news of its loss.
      const lost = await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, 200))]);
      throw lost ?? this.problem ?? new Problem("device", `The GPU failed: ${error.message}`, SMALLER);
    } finally {
      this.waiting.delete(stop);
    }
    if (this.problem) throw this.problem;
    return value;
  }

  /** What `make` gives, if the device has memory for it and accepts it. */
  async scoped(what, make, kind = "device") {
    if (this.problem) throw this.problem;
    const { device } = this;
    device.pushErrorScope("validation");
    device.pushErrorScope("out-of-memory");
    let made;
    try {
      made = make();
    } finally {
      const scopes = [device.popErrorScope(), device.popErrorScope()];
      const [memory, invalid] = await this.wait(Promise.all(scopes));
      if (memory) throw new Problem("memory", `The GPU has no memory for ${what}.`, SMALLER);
      if (invalid) throw new Problem(kind, `The GPU refused ${what}: ${invalid.message}`, DEFECT);
    }
    return made;
  }

  close() {
    this.device.destroy();
  }
}

/** Opens a GPU with at least these limits, which are those of the documents that it is to run. */
export async function openDevice({ powerPreference = "high-performance", limits = {}, gpu = globalThis.navigator?.gpu } = {}) {
  if (!gpu) {
    if (globalThis.isSecureContext === false) {
      throw new Problem("no webgpu", "This page was opened by plain http, where browsers have no WebGPU.", "Open it by https, or on this computer by http://127.0.0.1.");
    }
    throw new Problem("no webgpu", "This browser has no WebGPU.", BROWSERS);
  }
  let adapter = null;
  try {
    adapter = await gpu.requestAdapter({ powerPreference });
  } catch (error) {
    throw new Problem("no adapter", `The browser gives no GPU: ${error.message}`, BROWSERS);
  }
  if (!adapter) {
    throw new Problem("no adapter", "The browser has WebGPU, but no GPU for it.", `See chrome://gpu or about:support for why. ${BROWSERS}`);
  }
  for (const [name, needed] of Object.entries(limits)) {
    const has = adapter.limits[name];
    if (!(has >= needed)) throw new Problem("limits", `This network needs ${name} of ${needed}; the GPU has ${has ?? "no such limit"}.`, SMALLER);
  }
  const info = adapter.info ?? {};
  const told = Object.values({ vendor: info.vendor, architecture: info.architecture, device: info.device, description: info.description });
  const software = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || told.some((text) => SOFTWARE.test(text ?? ""));
  let device;
  try {
    device = await adapter.requestDevice({ requiredLimits: limits });
  } catch (error) {
    throw new Problem("no adapter", `The browser does not open the GPU: ${error.message}`, BROWSERS);
  }
  return new Opened(device, info, software);
}

/** A document on a device. */
export class Program {
  #opened;
  #tensors;
  #names;
  #buffers;
  #plans = new Map();
  #turn = Promise.resolve();

  /** Checks a document, and puts it on a device: buffers, which hold zeros, and what runs over them. */
  static async load(opened, document, modules) {
    const parts = await checked(document, modules);
    for (const [name, needed] of Object.entries(parts.limits)) {
      if (!(opened.limits[name] >= needed)) throw new Problem("limits", `This network needs ${name} of ${needed}; the GPU was opened with ${opened.limits[name]}.`, SMALLER);
    }
    const program = new Program(opened, parts);
    try {
      await program.#make(parts);
    } catch (error) {
      program.close();
      throw error;
    }
    return program;
  }

  constructor(opened, { document, tensors, names }) {
    this.document = document;
    this.host = document.host;
    /** What encoding and submitting has taken of the script so far. */
    this.script = { dispatches: 0, seconds: 0 };
    this.#opened = opened;
    this.#tensors = tensors;
    this.#names = names;
    this.#buffers = tensors.map(() => null);
  }

  async #make({ tensors, constants, modules, plans }) {
    const { device } = this.#opened;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const stored = tensors.filter((tensor, i) => tensor.whole === i);
    const total = stored.reduce((sum, tensor) => sum + padded(tensor.bytes), 0);
    await this.#opened.scoped(`the tensors, ${total} bytes in all`, () => {
      for (const tensor of stored) {
        this.#buffers[tensor.whole] = device.createBuffer({ label: tensor.name, size: padded(tensor.bytes), usage });
      }
    });
    const shaders = await this.#opened.scoped("the shaders", () => modules.map((code) => device.createShaderModule({ code })), "shader");
    // Layers of one shape share a pipeline.
    const made = new Map();
    const pipeline = (d) => {
      const key = JSON.stringify([d.module, d.entry, d.overrides, d.bindings.map((b) => [b.binding, b.access])]);
      if (!made.has(key)) made.set(key, this.#pipeline(d, shaders[d.module]));
      return made.get(key);
    };
    const wanted = [...plans].flatMap(([name, dispatches]) => dispatches.map((dispatch) => ({ name, dispatch, pipeline: pipeline(dispatch) })));
    const ready = await this.#opened.wait(Promise.all(wanted.map((w) => w.pipeline)));
    await this.#opened.scoped("the bind groups", () => {
      wanted.forEach(({ name, dispatch }, i) => {
        const { layout, pipeline } = ready[i];
        const entries = dispatch.bindings.map((b) => ({ binding: b.binding, resource: this.#place(tensors[b.tensor]) }));
        const group = device.createBindGroup({ label: `${name}: ${dispatch.kernel}`, layout, entries });
        if (!this.#plans.has(name)) this.#plans.set(name, []);
        const seconds = (dispatch.flops + dispatch.bytes) / FIRST_RATE + FIRST_SECONDS[Number(this.#opened.software)];
        this.#plans.get(name).push({ pipeline, group, grid: dispatch.grid, seconds, flops: dispatch.flops, bytes: dispatch.bytes });
      });
    });
    for (const { name, bytes } of constants) this.#writeBytes(this.tensor(name), 0, bytes);
  }

  /** The layout and the pipeline of a dispatch. */
  async #pipeline(d, module) {
    const { device } = this.#opened;
    const entries = d.bindings.map((b) => ({
      binding: b.binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: b.access === "read" ? "read-only-storage" : "storage" },
    }));
    const layout = device.createBindGroupLayout({ label: d.kernel, entries });
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: d.kernel,
        layout: device.createPipelineLayout({ label: d.kernel, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: d.entry, constants: d.overrides },
      });
      return { layout, pipeline };
    } catch (error) {
      if (this.#opened.problem) throw this.#opened.problem;
      const { messages } = await module.getCompilationInfo();
      const first = messages.find((m) => m.type === "error");
      const where = first ? `line ${first.lineNum}: ${first.message}` : error.message;
      throw new Problem("shader", `The browser does not compile the kernel ${d.kernel}: ${where}`, "Use another browser, and please report this one with the name of the GPU.");
    }
  }

  #place(tensor) {
    return { buffer: this.#buffers[tensor.whole], offset: 4 * tensor.first, size: padded(tensor.bytes) };
  }

  /** What a tensor is: { name, dims, dtype, length, bytes }. */
  tensor(name) {
    const i = this.#names.get(name);
    if (i === undefined) throw new Problem("tensor", `There is no tensor ${JSON.stringify(name)}.`);
    return this.#tensors[i];
  }

  #writeBytes(tensor, at, bytes) {
    if (this.#opened.problem) throw this.#opened.problem;
    const { buffer, offset } = this.#place(tensor);
    const { queue } = this.#opened.device;
    const whole = bytes.length - bytes.length % 4;
    if (whole > 0) queue.writeBuffer(buffer, offset + at, bytes, 0, whole);
    if (whole < bytes.length) {
      const word = new Uint8Array(4);
      word.set(bytes.subarray(whole));
      queue.writeBuffer(buffer, offset + at + whole, word);
    }
  }

  #typed(tensor, values) {
    const [, Type] = TYPES[tensor.dtype];
    if (!(values instanceof Type)) {
      const got = values?.constructor?.name ?? typeof values;
      throw new Problem("tensor", `${tensor.name} is of ${tensor.dtype}: expected a ${Type.name}, got ${got}.`);
    }
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }

  /** Writes a whole tensor, given in an array of its type. */
  write(name, values) {
    const tensor = this.tensor(name);
    const bytes = this.#typed(tensor, values);
    if (values.length !== tensor.length) throw new Problem("tensor", `${name} is [${tensor.dims}]: expected ${tensor.length} elements, got ${values.length}.`);
    this.#writeBytes(tensor, 0, bytes);
  }

  /** Writes a part of a tensor from element `first` on; the bytes before it, and its own, are a multiple of four. */
  writePart(name, first, values) {
    const tensor = this.tensor(name);
    const bytes = this.#typed(tensor, values);
    const at = first * TYPES[tensor.dtype][0];
    const fits = Number.isSafeInteger(first) && first >= 0 && first + values.length <= tensor.length && at % 4 === 0 && bytes.length % 4 === 0;
    if (!fits) throw new Problem("tensor", `${name} is [${tensor.dims}]: ${values.length} elements do not fit from ${first} on.`);
    this.#writeBytes(tensor, at, bytes);
  }

  /** A whole tensor, after everything before it has run. */
  async read(name) {
    return (await this.readAll([name]))[0];
  }

  /** Several, with one wait. */
  async readAll(names) {
    const opened = this.#opened;
    if (opened.problem) throw opened.problem;
    const tensors = names.map((name) => this.tensor(name));
    const size = tensors.reduce((sum, tensor) => sum + padded(tensor.bytes), 0);
    const staging = await opened.scoped(`reading ${size} bytes`, () => {
      const buffer = opened.device.createBuffer({ label: "read", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = opened.device.createCommandEncoder({ label: "read" });
      let at = 0;
      for (const tensor of tensors) {
        const from = this.#place(tensor);
        encoder.copyBufferToBuffer(from.buffer, from.offset, buffer, at, from.size);
        at += from.size;
      }
      opened.device.queue.submit([encoder.finish()]);
      return buffer;
    });
    try {
      await opened.wait(staging.mapAsync(GPUMapMode.READ));
      const bytes = staging.getMappedRange().slice(0);
      let at = 0;
      return tensors.map((tensor) => {
        const [, Type] = TYPES[tensor.dtype];
        const values = new Type(bytes, at, tensor.length);
        at += padded(tensor.bytes);
        return values;
      });
    } finally {
      staging.destroy();
    }
  }

  #plan(name) {
    const plan = this.#plans.get(name);
    if (!plan) throw new Problem("tensor", `There is no plan ${JSON.stringify(name)}; there are ${[...this.#plans.keys()].join(", ")}.`);
    return plan;
  }

  /** What one step of a plan has to do: { flops, bytes, dispatches }. */
  cost(name) {
    const plan = this.#plan(name);
    const sum = (field) => plan.reduce((total, d) => total + d[field], 0);
    return { flops: sum("flops"), bytes: sum("bytes"), dispatches: plan.length };
  }

  /** Submits `count` dispatches of the endless repetition of a plan, from `start` on. */
  #submit(plan, start, count) {
    const begin = performance.now();
    const { device } = this.#opened;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    let next = start % plan.length;
    for (let i = 0; i < count; i++) {
      const { pipeline, group, grid } = plan[next];
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
      next = next + 1 === plan.length ? 0 : next + 1;
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
    this.script.dispatches += count;
    this.script.seconds += (performance.now() - begin) / 1000;
    const done = device.queue.onSubmittedWorkDone();
    done.catch(() => {}); // where the one before it fails, nobody waits for it
    return { start, count, done };
  }

  /** Does work when all that was asked for before is done. */
  #inTurn(work) {
    const turn = this.#turn.then(() => {
      if (this.#opened.problem) throw this.#opened.problem;
      return work();
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /**
   * Runs a plan so many times, and returns how often it ran. `onProgress` is given the number of finished runs from time to
   * time. When `signal` is aborted, what was submitted is finished, up to the end of the run that it belongs to.
   */
  async run(name, steps = 1, { onProgress, signal } = {}) {
    const plan = this.#plan(name);
    if (!isWhole(steps)) throw new Problem("tensor", `A plan cannot run ${steps} times.`);
    return this.#inTurn(async () => {
      let end = steps * plan.length;
      let issued = 0;
      let target = FIRST_TARGET;
      let last = performance.now();
      const inFlight = [];
      for (;;) {
        if (signal?.aborted) end = Math.min(end, Math.ceil(issued / plan.length) * plan.length);
        while (inFlight.length < IN_FLIGHT && issued < end) {
          const count = fitting(plan, issued, end - issued, target);
          target = Math.min(2 * target, TARGET);
          inFlight.push(this.#submit(plan, issued, count));
          issued += count;
        }
        const first = inFlight.shift();
        if (!first) return issued / plan.length;
        await this.#opened.wait(first.done);
        const now = performance.now();
        learn(plan, first.start, first.count, (now - last) / 1000);
        last = now;
        onProgress?.(Math.floor((first.start + first.count) / plan.length));
      }
    });
  }

  /** Runs one dispatch of a plan: to look at every tensor between kernels. */
  async dispatch(name, index) {
    const plan = this.#plan(name);
    if (!isWhole(index) || index >= plan.length) throw new Problem("tensor", `The plan ${name} has no dispatch ${index}.`);
    return this.#inTurn(() => this.#opened.wait(this.#submit(plan, index, 1).done));
  }

  /** Seconds that so many steps take as one piece of work. */
  async time(name, steps = 1) {
    const plan = this.#plan(name);
    return this.#inTurn(async () => {
      await this.#opened.wait(this.#opened.device.queue.onSubmittedWorkDone());
      const begin = performance.now();
      await this.#opened.wait(this.#submit(plan, 0, steps * plan.length).done);
      return (performance.now() - begin) / 1000;
    });
  }

  /** Frees the buffers. */
  close() {
    for (const buffer of this.#buffers) buffer?.destroy();
  }
}

const isWhole = (n) => Number.isSafeInteger(n) && n >= 0;

/** A whole number of words, as shaders and copies want it. */
const padded = (bytes) => Math.ceil(bytes / 4) * 4;

/** How many dispatches from `start` on, `most` at most, fit into a submission of this length; at least one. */
function fitting(plan, start, most, target) {
  let count = 0;
  let left = target;
  for (let i = start % plan.length; count < Math.min(most, MOST); i = (i + 1) % plan.length) {
    left -= plan[i].seconds;
    if (left <= 0) break;
    count++;
  }
  return Math.max(count, 1);
}

/** Moves the estimates of the dispatches in a submission towards what it took. */
function learn(plan, start, count, elapsed) {
  let expected = 0;
  for (let i = 0; i < count; i++) expected += plan[(start + i) % plan.length].seconds;
  const ratio = elapsed / expected;
  const change = Math.min(Math.max(ratio, 1 / MOST_CHANGE), MOST_CHANGE);
  for (let i = 0; i < Math.min(count, plan.length); i++) {
    const dispatch = plan[(start + i) % plan.length];
    dispatch.seconds = Math.max(dispatch.seconds * change, 1e-7);
  }
}
