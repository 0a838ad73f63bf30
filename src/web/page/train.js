// Training: what is chosen, the run and its curve, its files.

import { draw, Line } from "./chart.js";
import { $, complain, element, number } from "./dom.js";
import { showLearnt } from "./pictures.js";
import { classes, images, plan } from "./site.js";
import { GpuSource } from "./source.js";
import { Training } from "./training.js";
import { readFile, writeFile } from "./weights.js";

/** Milliseconds between two looks at the figures. */
const LOOK = 250;
/** Of the time, at most this share goes to the test images, and to pictures. */
const TESTING = 0.2;
const PICTURES = 0.15;
/** Milliseconds that the test images may take while it trains, and when it pauses: beyond, only the first of them are taken. */
const TEST_LIVE = 1000;
const TEST_PAUSED = 5000;
/** Milliseconds after which a software adapter begins with test images, and with pictures, whose plans it compiles for long. */
const LATER = { testing: 3000, pictures: 10000 };

let site;
let openGpu;

/** The run, if one has begun: {training, about, name, curves, tested, source, ...}. */
let run = null;
let working = null; // what goes on: {stop: AbortController, done: promise}
let busy = false; // a button is at work
/** Parameters that the next run begins with, if a file was loaded. */
let loaded = null;

const CHOICES = ["network", "latent", "objective", "batch"];
const chosen = () => Object.fromEntries(CHOICES.map((id) => [id, $(id).value]));
const modelName = ({ network, latent }) => `${network}-${latent}`;
const runName = (all) => `${modelName(all)}-${all.objective}-${all.batch}`;

export function showNotice(text) {
  $("notice").hidden = !text;
  if (text) $("notice").textContent = text;
}

function options(id, all, value) {
  $(id).replaceChildren(...all.map(({ name, label }) => Object.assign(element("option", "", label), { value: name })));
  if (all.some(({ name }) => name === value)) $(id).value = value;
}

/** What the page offers. `open` gives the GPU. */
export function install(manifest, open) {
  site = manifest;
  openGpu = open;
  const { choices, data } = site;
  const plain = (values) => values.map((value) => ({ name: String(value), label: String(value) }));
  options("network", choices.networks, "400");
  options("latent", plain(choices.latent), "2");
  options("objective", choices.objectives, "elbo");
  options("batch", plain(choices.batches), "128");
  const kinds = data.train.bits === 1 ? "each pixel a bit" : "each pixel a byte";
  const name = { mnist: "MNIST", "fashion-mnist": "Fashion-MNIST" }[data.name] ?? data.name;
  $("data").textContent = `${name}: ${count(data.train.images)} images to train on, ${count(data.test.images)} to test on, ${data.width} × ${data.height}, ${kinds}; ${data.pixels}`;
  $("go").addEventListener("click", () => guarded(go));
  $("reset").addEventListener("click", () => guarded(reset));
  $("save-model").addEventListener("click", () => guarded(saveModel));
  $("save-config").addEventListener("click", () => guarded(saveConfig));
  $("load-model").addEventListener("change", () => guarded(load));
  for (const id of [...CHOICES, "rate", "seed"]) $(id).addEventListener("change", () => (loaded = null));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden || !working) return;
    pause();
    showNotice("The training was paused as this tab went to the background, where browsers slow tabs down. Resume goes on.");
  });
  new ResizeObserver(drawCurve).observe($("curve"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCurve);
  for (const set of ["train", "test"]) images(site, set).catch(() => {}); // on their way while somebody chooses
  showState("not begun");
}

const count = (n) => n.toLocaleString("en").replaceAll(",", " ");

async function guarded(work) {
  if (busy) return;
  busy = true;
  try {
    complain();
    await work();
  } catch (error) {
    complain(error);
    if (!run) {
      loaded = null;
      showState("not begun");
    }
  } finally {
    busy = false;
    showButtons();
  }
}

function showState(text) {
  $("state").textContent = text;
}

function showButtons() {
  $("go").disabled = false;
  $("go").textContent = working ? "Pause" : run ? "Resume" : "Train";
  $("reset").disabled = !run;
  $("to-explore").disabled = !run;
  $("save-model").disabled = $("save-config").disabled = !run;
  for (const id of [...CHOICES, "rate", "seed"]) $(id).disabled = Boolean(run);
  $("load-model").disabled = Boolean(working);
  $("load-model").parentElement.setAttribute("aria-disabled", Boolean(working));
}

/** Learning rate and seed, checked. */
function numbers() {
  const learningRate = $("rate").valueAsNumber;
  if (!(Math.fround(learningRate) > 0 && Number.isFinite(Math.fround(learningRate)))) throw new Error("The learning rate must be a positive number, as in 0.001.");
  const text = $("seed").value.trim();
  if (!/^[0-9]{1,20}$/.test(text) || BigInt(text) >= 1n << 64n) throw new Error("The seed must be a whole number from 0 to 18446744073709551615.");
  return { learningRate, seed: BigInt(text) };
}

async function go() {
  if (working) return stop();
  showNotice();
  if (!run) await begin();
  await lockAndTrain();
}

/** A run by what is chosen, at its beginning. */
async function begin() {
  const all = chosen();
  const { learningRate, seed } = numbers();
  showState("loading");
  const about = site.models[modelName(all)];
  const [{ document: text, modules }, train, test, testClasses, opened] = await Promise.all([
    plan(site.trainings[runName(all)]),
    images(site, "train"),
    images(site, "test"),
    classes(site),
    openGpu(),
  ]);
  showState("compiling");
  const training = await Training.begin(opened, text, modules, { seed, learningRate, train, test, parameters: loaded?.parameters });
  run = { training, opened, all, about, seed, learningRate, test, begun: performance.now() };
  run.labels = testClasses && { classes: testClasses, names: site.data.test.names };
  run.lines = { train: new Line(), test: new Line() };
  run.kept = { step: 0, parameters: await training.parameters() };
  $("f-bound-part").hidden = !training.host.train.bound;
  if (loaded) await evaluate(TEST_PAUSED);
}

/** One tab of the page trains at a time: two would share the GPU between them. */
function lockAndTrain() {
  const name = `elbo web ${new URL(".", import.meta.url).pathname}`;
  const locks = navigator.locks ?? { request: (_name, _how, work) => work(true) };
  return new Promise((begun, failed) => {
    locks
      .request(name, { ifAvailable: true }, async (lock) => {
        if (!lock) throw new Error("Another tab trains on this page. Pause it there first, or close it.");
        const stop = new AbortController();
        const done = loop(stop.signal);
        working = { stop, done };
        begun();
        await done.catch(() => {});
        working = null;
        showButtons();
      })
      .catch((error) => {
        showState(run ? "paused" : "not begun");
        failed(error);
      });
  });
}

/** Steps, figures and pictures until it is stopped. */
async function loop(signal) {
  const { training, lines } = run;
  let steps = 1;
  const later = run.opened.software ? LATER : { testing: 0, pictures: 0 };
  const spent = { testing: TESTING * later.testing, pictures: PICTURES * later.pictures };
  const begun = performance.now();
  const behind = (name, share) => spent[name] < share * (performance.now() - begun);
  try {
    showState("training");
    while (!signal.aborted) {
      const from = training.step;
      const start = performance.now();
      await training.advance(Math.min(steps, training.host.train.history_steps), { signal });
      const elapsed = performance.now() - start;
      if (training.step === from) break;
      const metrics = await training.metrics(from);
      run.first ??= { elapsed: performance.now() - run.begun };
      run.rate = (1000 * (training.step - from) * training.host.train.batch) / elapsed;
      run.operations = ((training.step - from) * training.program.cost(training.host.train.plan).flops) / elapsed;
      steps = Math.max(1, Math.round(((training.step - from) * LOOK) / elapsed));
      lines.train.push(training.images, metrics.elbo);
      run.metrics = metrics;
      showFigures();
      if (!signal.aborted && behind("testing", TESTING)) spent.testing += await timed(() => evaluate(TEST_LIVE, signal));
      if (!signal.aborted && behind("pictures", PICTURES)) spent.pictures += await timed(showPictures);
    }
    showState("paused");
  } catch (error) {
    if (error.kind === "stopped") {
      showState("paused");
    } else {
      showState(error.kind === "lost" ? "the GPU was lost" : "stopped");
      if (error.kind === "lost" && run) {
        forget(run.kept.step);
        complain(new Error(error.message)); // what to do is said with what is kept
      } else {
        complain(error);
      }
    }
  }
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** The figures of the test images under the parameters as they are: of as many as are expected to take so many milliseconds. */
async function evaluate(milliseconds, signal) {
  const { training } = run;
  const { batch, plan: name } = training.host.evaluate;
  const { flops } = training.program.cost(name);
  run.operations ??= flops / (await timed(() => training.evaluate({ signal, images: batch }))); // a millisecond
  const images = batch * Math.floor((milliseconds * run.operations) / flops);
  const tested = await training.evaluate({ signal, images });
  run.tested = { ...tested, step: training.step };
  run.kept = { step: training.step, parameters: await training.parameters() };
  run.lines.test.push(training.images, tested.elbo);
  showFigures();
}

async function showPictures() {
  $("learnt").hidden = false;
  await showLearnt(await explored());
}

/** A source for the model as it is now. */
async function explored() {
  const { training, about, opened, seed, test, labels } = run;
  const parameters = await training.parameters();
  run.kept = { step: training.step, parameters };
  if (run.source) {
    run.source.put(parameters);
  } else {
    const name = "trained here";
    run.source = await GpuSource.load(opened, await plan(about.document), { about, name, seed, test, labels, parameters });
  }
  return run.source;
}

function showFigures() {
  const { training, metrics, tested, rate } = run;
  const set = (id, text) => ($(id).textContent = text);
  set("f-step", count(training.step));
  set("f-epoch", number(training.images / training.host.train.images, training.images < 10 * training.host.train.images ? 2 : 1));
  set("f-rate", rate ? count(rate < 100 ? Number(rate.toFixed(1)) : Math.round(rate)) : "–");
  const shown = tested ?? metrics;
  set("f-train", number(metrics?.elbo));
  set("f-test", number(tested?.elbo));
  set("f-tested", tested && tested.images < training.host.evaluate.images ? `first ${count(tested.images)}` : "");
  set("f-reconstruction", number(shown?.reconstruction));
  set("f-kl", number(shown?.kl));
  set("f-bound", number(metrics?.bound));
  $("curve").setAttribute("aria-label", `The ELBO over the images drawn: after ${training.images} images ${number(metrics?.elbo)} of training images, ${number(tested?.elbo)} of test images`);
  drawCurve();
}

function drawCurve() {
  const { train, test } = run?.lines ?? { train: new Line(), test: new Line() };
  draw($("curve"), [
    { line: train, colour: "--train-line" },
    { line: test, colour: "--test", dots: true },
  ]);
}

function pause() {
  working?.stop.abort();
}

/** Pauses, with the figures and pictures of the parameters at which it did. */
async function stop() {
  const { done } = working;
  pause();
  await done;
  if (!run) return;
  const isWhole = run.tested?.images === run.training.host.evaluate.images;
  if (run.tested?.step !== run.training.step || !isWhole) {
    showState("testing");
    await evaluate(TEST_PAUSED);
  }
  await showPictures();
  showState("paused");
  $("said").textContent = `Paused after ${run.training.step} steps, test ELBO ${number(run.tested.elbo)}`;
}

async function reset() {
  if (working) {
    const { done } = working;
    pause();
    await done;
  }
  run?.training.close();
  run?.source?.close();
  run = loaded = null;
  showNotice();
  showState("not begun");
  for (const id of ["f-rate", "f-step", "f-epoch", "f-test", "f-train", "f-reconstruction", "f-kl", "f-bound"]) $(id).textContent = "–";
  $("f-tested").textContent = "";
  $("learnt").hidden = true;
  drawCurve();
}

/** After the GPU was lost: the parameters of the last look are what the next run begins with. */
function forget(step) {
  loaded = { parameters: run.kept.parameters };
  run = null;
  showNotice(`The parameters after step ${step} are kept: Train begins with them, on the GPU that the browser then gives.`);
}

function download(name, parts, type) {
  const link = Object.assign(element("a"), { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function saveModel() {
  const parameters = await run.training.parameters();
  download("model.safetensors", [writeFile(run.training.host, parameters)], "application/octet-stream");
}

/** The run's configuration, which with the model makes a run folder. */
function saveConfig() {
  const { training, seed, learningRate } = run;
  const settings = { ...training.host.settings, seed: 0, learning_rate: learningRate, epochs: Math.max(1, training.epoch), steps: training.step || null };
  // The seed has more digits than a number here.
  const text = JSON.stringify(settings, null, 2).replace(/"seed": 0(?=[,\n])/, `"seed": ${seed}`);
  download("config.json", [`${text}\n`], "application/json");
}

/** The text of a value of JSON, whatever the order of its fields. */
function canonical(value) {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonical)}]`;
  return `{${Object.keys(value).sort().map((key) => `${key}:${canonical(value[key])}`)}}`;
}

/** The architecture that a file says it is of. */
function architectureOf(bytes) {
  try {
    const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    return canonical(JSON.parse(header.__metadata__.architecture));
  } catch {
    return null; // what reads it says more
  }
}

/** A model of a file, to go on with. */
async function load() {
  const [picked] = $("load-model").files;
  $("load-model").value = "";
  if (!picked || working) return;
  if (picked.size > 1 << 28) throw new Error(`${picked.name} has ${picked.size} bytes: no network of this page is so large.`);
  const bytes = new Uint8Array(await picked.arrayBuffer());
  const architecture = architectureOf(bytes);
  const all = chosen();
  const fitting = Object.entries(site.models).find(([, about]) => canonical(about.architecture) === architecture);
  if (fitting) {
    const end = fitting[0].lastIndexOf("-");
    [all.network, all.latent] = [fitting[0].slice(0, end), fitting[0].slice(end + 1)];
  }
  const { document: text } = await plan(site.trainings[runName(all)]);
  const parameters = readFile(text.host, bytes);
  await reset();
  for (const id of CHOICES) $(id).value = all[id];
  loaded = { parameters };
  await begin();
  await showPictures();
  showState(`${picked.name}, before the first step`);
}

/** The model as it is now, to be explored; with what tells it from what was explored before. */
export async function trained() {
  if (!run) return null;
  if (working) {
    const { done } = working;
    pause();
    showNotice("The training was paused so that its model stays what is explored. Resume goes on.");
    await done;
  }
  const source = await explored();
  return { source, version: `${run.begun} ${run.training.step}` };
}

export const hasRun = () => Boolean(run);
export const isTraining = () => Boolean(working);
/** Milliseconds from the click to the end of the first step. */
export const firstStep = () => run?.first?.elapsed;
/** Script time that a dispatch takes, in seconds, and how many there were. */
export const script = () => run?.training.program.script;

