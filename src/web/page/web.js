// The page of `elbo web`: its tabs, its GPU, and which model is explored.

import { installBenchmark } from "./benchmark.js";
import { $, complain, element, shown } from "./dom.js";
import { openDevice } from "./executor.js";
import { open } from "./explore.js";
import { bytes, classes, classesIn, images, manifest, plan } from "./site.js";
import { GpuSource } from "./source.js";
import { firstStep, hasRun, install, script, showNotice, trained } from "./train.js";
import { readFile } from "./weights.js";

const TABS = ["train", "explore", "benchmark"];
let site;

let opened = null; // a promise of the GPU
let ofRun = null; // a promise of the source of the run that came with the page
let version = null; // of what is explored

/** The GPU, opened once; after it was lost, anew. */
function gpu() {
  opened ??= openDevice().then((device) => {
    const { maxStorageBufferBindingSize: most } = device.limits;
    $("gpu").textContent = `${device.name}, binds ${Math.round(most / 2 ** 20)} MiB`;
    if (device.software) {
      $("gpu").textContent += " (software)";
      showNotice("The browser has no GPU for this page and imitates one on the CPU: everything works, a thousand times slower. Take the smallest network and batch.");
    }
    device.lost.then(() => (opened = ofRun = version = null)); // what was on it is gone
    return device;
  });
  opened.catch(() => (opened = null));
  return opened;
}

function show(name) {
  for (const tab of TABS) {
    const is = tab === name;
    $(tab).hidden = !is;
    $(`tab-${tab}`).setAttribute("aria-selected", is);
    $(`tab-${tab}`).tabIndex = is ? 0 : -1;
  }
  history.replaceState(null, "", `#${name}`);
  if (name === "explore") explore();
}

function installTabs() {
  TABS.forEach((name, i) => {
    $(`tab-${name}`).addEventListener("click", () => show(name));
    $(`tab-${name}`).addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      const all = TABS.filter((tab) => !$(`tab-${tab}`).hidden);
      const next = all[(all.indexOf(TABS[i]) + way + all.length) % all.length];
      $(`tab-${next}`).focus();
      show(next);
    });
  });
}

// Explore

async function runSource() {
  const { about, weights, name, seed } = site.run;
  const [device, { document: text, modules }, file, test, labels] = await Promise.all([gpu(), plan(about.document), bytes(weights), images(site, "test"), classes(site)]);
  const parameters = readFile(text.host, file);
  const named = labels && { classes: labels, names: site.data.test.names };
  const told = site.run.classes && (await classesIn(site.run.classes, site.data.test.images));
  return GpuSource.load(device, { document: text, modules }, { about, name, seed: BigInt(seed), test, labels: named, told, parameters });
}

/** Shows the model that is chosen, if it is not the one that is shown. */
async function explore() {
  try {
    const choices = [
      ...(hasRun() ? [["trained", "trained here"]] : []),
      ...(site.run ? [["run", `the run ${site.run.name}`]] : []),
    ];
    const before = $("explored").value;
    $("explored").replaceChildren(...choices.map(([value, label]) => Object.assign(element("option", "", label), { value })));
    if (choices.some(([value]) => value === before)) $("explored").value = before;
    $("explored-part").hidden = choices.length < 2;
    $("explore").classList.toggle("empty", choices.length === 0);
    if (!choices.length) return;
    if ($("explored").value === "run") {
      if (version === "run") return;
      $("facts").textContent = "loading the model";
      ofRun ??= runSource();
      ofRun.catch(() => (ofRun = null));
      await open(await ofRun);
      version = "run";
    } else {
      const now = await trained();
      if (version === now.version) return;
      $("facts").textContent = "looking at the test images";
      await open(now.source);
      version = now.version;
    }
    $("facts").textContent = `${shown.model.run} · ${$("facts").textContent}`;
    complain();
  } catch (error) {
    $("facts").textContent = "no model";
    complain(error);
  }
}

async function begin() {
  installTabs();
  try {
    site = await manifest();
    $("by").textContent = site.by;
    if (site.data.name === "mnist") {
      $("licence").textContent = "The MNIST images are by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0, here with a bit for each pixel.";
    }
    $("explored").addEventListener("change", explore);
    $("to-explore").addEventListener("click", () => show("explore"));
    if (site.choices) install(site, gpu);
    else $("tab-train").hidden = true;
    installBenchmark(site, gpu);
    const wanted = location.hash.slice(1);
    const first = site.run || !site.choices ? "explore" : "train";
    show(TABS.includes(wanted) && !$(`tab-${wanted}`).hidden ? wanted : first);
    await gpu();
    for (const id of ["go", "measure"]) $(id).disabled = false;
  } catch (error) {
    $("gpu").textContent = "no GPU";
    complain(error);
  }
}

begin();
// For those who measure the page.
globalThis.elbo = { firstStep, script };
