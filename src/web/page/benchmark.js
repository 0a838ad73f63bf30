// The benchmark: steps of training at each batch size against what the same kernels reach at best on this GPU, in one go.

import { $, complain, element, number } from "./dom.js";
import { Program } from "./executor.js";
import { images, plan } from "./site.js";
import { isTraining } from "./train.js";
import { Training } from "./training.js";

/** Seconds of one measurement, and the most that one may take whatever is asked. */
const SECONDS = 1;
const LONGEST = 4;
/** Samples at least. */
const LEAST = 5;
/** Of a sample: shorter says more about the clock than about what is measured. */
const SHORTEST = 0.02;

let site;
let openGpu;
let result = null;

export function installBenchmark(manifest, open) {
  site = manifest;
  openGpu = open;
  const { choices } = site;
  if (choices) {
    const named = choices.networks.flatMap(({ name, label }) =>
      choices.latent.map((latent) => Object.assign(element("option", "", label.replace(/z$/, latent)), { value: `${name}-${latent}` })),
    );
    $("measured-network").replaceChildren(...named);
    $("measured-network").value = "400-20";
  } else {
    $("measured-network").parentElement.hidden = true;
  }
  $("measure").addEventListener("click", run);
  $("copy-text").addEventListener("click", () => copy($("report").textContent));
  $("copy-json").addEventListener("click", () => copy(JSON.stringify(result, null, 2)));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    $("measuring").textContent = "copied";
  } catch {
    getSelection().selectAllChildren($("report")); // for the keyboard's own copy
    $("measuring").textContent = "The browser does not let the page copy: select the text.";
  }
}

/** The median, 10th and 90th percentile of the seconds of one of what `time(n)` does n times. */
async function sampled(time) {
  await time(1); // compiles, and fills caches
  let n = 1;
  let once = await time(1);
  while (once * n < SHORTEST && n < 4096) {
    n = Math.min(4096, Math.max(2 * n, Math.ceil((1.2 * SHORTEST) / once)));
    once = (await time(n)) / n;
  }
  const samples = [];
  let sum = 0;
  while ((sum < SECONDS || samples.length < LEAST) && (sum < LONGEST || samples.length < 3)) {
    const seconds = await time(n);
    samples.push(seconds / n);
    sum += seconds;
  }
  samples.sort((a, b) => a - b);
  const at = (share) => samples[Math.round(share * (samples.length - 1))];
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), n: samples.length, runs: n };
}

async function withProgram(path, work) {
  const { document, modules } = await plan(path);
  const program = await Program.load(await openGpu(), document, modules);
  try {
    return await work(program);
  } finally {
    program.close();
  }
}

async function ceilings(say) {
  const { ceilings: path, chain, products } = site.measured;
  say("dispatches and a copy");
  const found = await withProgram(path, async (program) => {
    const words = Uint32Array.from({ length: program.tensor("source").length }, (_, i) => Math.imul(i, 2654435761) | 1);
    program.write("source", words);
    const dependent = await sampled((n) => program.time("chain", n));
    const copied = await sampled((n) => program.time("copy", n));
    const got = await program.read("copied");
    const wrong = got.findIndex((word, i) => word !== words[i]);
    if (wrong >= 0) throw new Error(`The GPU copies wrongly: word ${wrong} is ${got[wrong]}, expected ${words[wrong]}.`);
    const per = (timing, parts) => ({ ...timing, median: timing.median / parts, p10: timing.p10 / parts, p90: timing.p90 / parts });
    return { dependent: per(dependent, chain), copy: copied, copied_bytes: 8 * words.length, matmul: [], stopped: null };
  });
  for (const { size, document } of products) {
    const last = found.matmul.at(-1);
    const expected = last ? last.time.median * (size / last.size) ** 3 : 0;
    if (7 * expected > LONGEST) {
      found.stopped = `${size} would take ${number(expected, 1)} s each time`;
      break;
    }
    say(`${size} × ${size} times ${size} × ${size}`);
    found.matmul.push(await withProgram(document, (program) => product(program, size)));
  }
  return found;
}

async function product(program, size) {
  let state = size;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const [x, weight, bias] = [size * size, size * size, size].map((n) => Float32Array.from({ length: n }, random));
  program.write("x", x);
  program.write("weight", weight);
  program.write("bias", bias);
  const time = await sampled((n) => program.time("matmul", n));
  const y = await program.read("y");
  // A product of the right time and the wrong numbers would be no measurement.
  for (const [row, column] of [[0, 0], [size - 1, size - 1], [size >> 1, size >> 2]]) {
    let [sum, sizes] = [bias[column], 1];
    for (let k = 0; k < size; k++) {
      const term = x[row * size + k] * weight[column * size + k];
      sum += term;
      sizes += Math.abs(term);
    }
    const got = y[row * size + column];
    if (!(Math.abs(got - sum) <= 2 ** -23 * size * sizes)) throw new Error(`The GPU multiplies wrongly: element ${row}, ${column} is ${got}, expected ${sum}.`);
  }
  return { size, flops: program.cost("matmul").flops, time };
}

async function steps(say) {
  const name = $("measured-network").value;
  const about = site.models[name];
  const [train, test, opened] = await Promise.all([images(site, "train"), images(site, "test"), openGpu()]);
  const rows = [];
  let rate = 0; // operations a second, of the batch before
  for (const batch of site.choices.batches) {
    say(`steps of ${batch} images`);
    const { document, modules } = await plan(site.trainings[`${name}-${site.choices.objectives[0].name}-${batch}`]);
    const flops = document.plans.find((each) => each.name === document.host.train.plan).dispatches.reduce((sum, each) => sum + each.flops, 0);
    if (rate && (7 * flops) / rate > 2 * LONGEST) {
      rows.push({ network: about.model, batch, flops, stopped: `a step would take ${number(flops / rate, 1)} s` });
      continue;
    }
    const training = await Training.begin(opened, document, modules, { seed: 0, train, test });
    try {
      const { program, host } = training;
      const { script } = program;
      await training.advance(1);
      const before = { ...script };
      const time = await sampled(async (n) => {
        const begin = performance.now();
        await training.advance(n);
        return (performance.now() - begin) / 1000;
      });
      const dispatches = script.dispatches - before.dispatches;
      const { elbo } = await training.metrics(Math.max(0, training.step - Math.min(training.step, host.train.history_steps)));
      rate = flops / time.median;
      rows.push({
        network: about.model,
        batch,
        samples: host.train.samples,
        data: site.data.name,
        images: host.train.images,
        dispatches: program.cost(host.train.plan).dispatches,
        flops,
        bytes: program.cost(host.train.plan).bytes,
        time,
        images_per_second: batch / time.median,
        script_per_dispatch: (script.seconds - before.seconds) / dispatches,
        elbo,
      });
    } finally {
      training.close();
    }
  }
  return rows;
}

const rateOf = (perSecond, unit) => {
  for (const [size, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"]]) {
    if (perSecond >= size) return `${number(perSecond / size, 2)} ${letter}${unit}`;
  }
  return `${number(perSecond, 0)} ${unit}`;
};

function duration(seconds) {
  if (seconds >= 1) return `${number(seconds, 2)} s`;
  return seconds >= 1e-3 ? `${number(1e3 * seconds, 2)} ms` : `${number(1e6 * seconds, 2)} µs`;
}

/** Lines with their columns below each other; the first is on the left. */
function aligned(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  ").trimEnd());
}

function report({ device, by, date, agent, ceilings: c, steps: all }) {
  const spread = ({ median, p10, p90, n }) => [duration(median), `(${duration(p10)} to ${duration(p90)}, ${n} samples)`];
  const best = Math.max(...c.matmul.map(({ flops, time }) => flops / time.median));
  const lines = [`${device.name}${device.software ? " (software)" : ""}, WebGPU`, `${by}, ${date}`, agent, "", "ceilings"];
  lines.push(
    ...aligned([
      ["one dispatch after the other", ...spread(c.dependent), ""],
      [`copy of ${number(c.copied_bytes / 2 ** 21, 0)} MiB`, ...spread(c.copy), rateOf(c.copied_bytes / c.copy.median, "B/s")],
      ...c.matmul.map(({ size, flops, time }) => [`matmul ${size}`, ...spread(time), rateOf(flops / time.median, "FLOP/s")]),
    ]),
  );
  if (c.stopped) lines.push(`no larger product: ${c.stopped}`);
  if (all.length) {
    lines.push("", `training steps, ${all[0].network}`);
    const head = ["batch", "step", "images/s", "FLOP/s", "of the best product", "dispatches", "script a dispatch"];
    const row = (each) => [
      String(each.batch),
      duration(each.time.median),
      number(each.images_per_second, 0),
      rateOf(each.flops / each.time.median, "FLOP/s"),
      `${number((100 * each.flops) / each.time.median / best, 0)} %`,
      String(each.dispatches),
      duration(each.script_per_dispatch),
    ];
    lines.push(...aligned([head, ...all.filter(({ stopped }) => !stopped).map(row)]));
    lines.push(...all.filter(({ stopped }) => stopped).map(({ batch, stopped }) => `batch ${batch}: ${stopped}, too long to measure`));
  }
  return lines.join("\n");
}

async function run() {
  if (isTraining()) {
    complain(new Error("The page trains: pause it first, so that nothing else uses the GPU."));
    return;
  }
  const say = (what) => ($("measuring").textContent = `measuring ${what}`);
  $("measure").disabled = true;
  try {
    complain();
    const opened = await openGpu();
    let away = false;
    const left = () => (away ||= document.hidden);
    document.addEventListener("visibilitychange", left);
    const device = { name: opened.name, kind: opened.software ? "software" : "GPU", backend: "WebGPU", software: opened.software, ...opened.info };
    const found = await ceilings(say);
    const taken = site.choices ? await steps(say) : [];
    document.removeEventListener("visibilitychange", left);
    result = { format: "elbo web benchmark", version: 1, by: site.by, date: new Date().toISOString(), agent: navigator.userAgent, device, ceilings: found, steps: taken, away };
    $("report").textContent = report(result) + (away ? "\n\nThe tab was in the background meanwhile: measure again." : "");
    $("report").hidden = false;
    $("copy-text").disabled = $("copy-json").disabled = false;
    $("measuring").textContent = "measured";
  } catch (error) {
    $("measuring").textContent = "";
    complain(error);
  }
  $("measure").disabled = false;
}
