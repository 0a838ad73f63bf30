// The page of `elbo explore`. It asks the server only when somebody does something.

import { addClasses, chosenClass, judgedClass, showClasses, told } from "./classes.js";
import { $, clamp, element, number } from "./dom.js";

const TOKEN = new URLSearchParams(location.search).get("token");
const SHOWN_SLIDERS = 10;
const SHOWN_POSTERIORS = 20;
const COLOURS = ["#4e9bff", "#ff9d42", "#5fd35f", "#ff6b6b", "#b98cff", "#c9976f", "#ff8fd0", "#c4c8cc", "#e3e34f", "#3fd8e6"];

let model;
let z = [];
let levels; // of the image on the sheet: rows from the top, the channels of a pixel side by side
let mean = []; // of the last posterior

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const post = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, body === undefined ? { headers } : post);
  } catch {
    throw new Error("The server does not answer: start elbo explore again and open the address that it prints.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Runs `work` on what it is given, one at a time. Of what comes meanwhile only the last is kept. */
function latest(work) {
  let busy = false;
  let next;
  return async (given) => {
    next = given;
    if (busy) return;
    busy = true;
    while (next !== undefined) {
      const now = next;
      next = undefined;
      try {
        await work(now);
        $("problem").hidden = true;
      } catch (error) {
        $("problem").textContent = error.message;
        $("problem").hidden = false;
      }
    }
    busy = false;
  };
}

/** The channels of pixel i as red, green and blue. */
function rgb(levels, i) {
  return model.channels === 1 ? [levels[i], levels[i], levels[i]] : levels.slice(3 * i, 3 * i + 3);
}

function paint(canvas, levels) {
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(model.width, model.height);
  for (let i = 0; i < model.width * model.height; i++) pixels.data.set([...rgb(levels, i), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
}

// Latent space

const decode = latest(async (at) => paint($("decoded"), (await ask("decode", told(model, { z: at }))).image));

const sample = latest(async (seed) => {
  const drawn = await ask("sample", told(model, { seed }));
  setZ(drawn.z, `drawn with seed ${seed}`, drawn.image);
});

/** Goes to a z, whose image may be known already. */
function setZ(to, origin, image) {
  z = [...to];
  $("origin").textContent = origin;
  for (const slider of document.querySelectorAll("#slider-part input")) {
    const value = z[slider.dataset.unit];
    slider.value = value;
    slider.setAttribute("aria-valuetext", number(value));
    slider.parentElement.querySelector("output").textContent = number(value);
  }
  placeCross(z);
  if (image) paint($("decoded"), image);
  else decode(z);
}

function sliderRow({ unit, kl, active }) {
  const row = element("div", active ? "row" : "row inactive");
  const label = element("label", "", unit);
  const slider = element("input");
  slider.id = label.htmlFor = `unit-${unit}`;
  slider.type = "range";
  slider.min = -model.extent;
  slider.max = model.extent;
  slider.step = 0.05;
  slider.dataset.unit = unit;
  slider.setAttribute("aria-label", `z of unit ${unit}`);
  slider.addEventListener("input", () => {
    const to = [...z];
    to[unit] = slider.valueAsNumber;
    setZ(to, "by hand");
  });
  const shownKl = element("span", "kl", number(kl));
  shownKl.title = `KL(q(z|x) || p(z)) of unit ${unit}, nats, mean over ${model.measured} test images`;
  row.append(label, slider, element("output"), shownKl);
  return row;
}

function addSliders() {
  const rows = model.units.map(sliderRow);
  $("sliders").append(...rows.slice(0, SHOWN_SLIDERS));
  fold($("more-sliders"), rows.slice(SHOWN_SLIDERS));
}

/** Puts the units with less KL out of the way. */
function fold(details, rows) {
  details.hidden = rows.length === 0;
  details.querySelector("summary").textContent = `${rows.length} more unit${rows.length === 1 ? "" : "s"}, with less KL`;
  details.lastElementChild.replaceChildren(...rows);
}

// The map, for two latent units

function placeCross(at) {
  $("cross").style.left = `${50 + (50 * at[0]) / model.extent}%`;
  $("cross").style.top = `${50 - (50 * at[1]) / model.extent}%`;
}

function showTiles() {
  if (!model.tiles) return;
  const file = model.classes.length ? `map/${chosenClass()}.png` : "map.png";
  $("tiles").src = `${file}?token=${TOKEN}`;
}

function addMap() {
  const map = $("map");
  document.body.classList.add("mapped");
  $("map-part").hidden = false;
  showTiles();
  const under = (event) => {
    const box = map.getBoundingClientRect();
    const part = (value) => clamp(value, 0, 1);
    return [
      model.extent * (2 * part((event.clientX - box.left) / box.width) - 1),
      model.extent * (1 - 2 * part((event.clientY - box.top) / box.height)),
    ];
  };
  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    map.setPointerCapture(event.pointerId);
    setZ(under(event), "on the map");
  });
  map.addEventListener("pointermove", (event) => {
    if (map.hasPointerCapture(event.pointerId)) setZ(under(event), "on the map");
    else if (event.pointerType === "mouse") decode(under(event));
  });
  map.addEventListener("pointerleave", () => decode(z));
  map.addEventListener("keydown", (event) => {
    const step = (model.extent / 50) * (event.shiftKey ? 5 : 1);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    setZ(z.map((value, i) => clamp(value + step * way[i], -model.extent, model.extent)), "on the map");
    $("said").textContent = `z = ${number(z[0])}, ${number(z[1])}`;
  });
  const show = () => {
    const [tiles, dots] = [$("show-tiles").checked, $("show-dots").checked];
    $("tiles").className = `pixels ${tiles ? (dots ? "dim" : "") : "off"}`;
    $("dots").hidden = !dots;
    $("legend").hidden = !dots || !$("legend").hasChildNodes();
    if (dots) scatter(true);
  };
  $("show-tiles").addEventListener("change", show);
  $("show-dots").addEventListener("change", show);
  $("dots-of").textContent = model.measured;
  show();
}

let points;
const scatter = latest(async () => {
  points ??= await ask("scatter");
  const canvas = $("dots");
  const box = $("map").getBoundingClientRect();
  [canvas.width, canvas.height] = [box.width, box.height].map((side) => side * devicePixelRatio);
  const context = canvas.getContext("2d");
  const { classes, names } = points;
  // More classes than colours are not told apart.
  const kinds = classes ? [...new Set(classes)].sort((a, b) => a - b) : [];
  const told = kinds.length > 0 && kinds.length <= COLOURS.length;
  const colour = (kind) => COLOURS[kinds.indexOf(kind)];
  points.z.forEach(([x, y], i) => {
    const [across, up] = [x, y].map((value) => 0.5 + (0.5 * value) / model.extent);
    context.fillStyle = told ? colour(classes[i]) : "#ffffff";
    context.beginPath();
    context.arc(across * canvas.width, (1 - up) * canvas.height, 2 * devicePixelRatio, 0, 2 * Math.PI);
    context.fill();
  });
  $("legend").replaceChildren(
    ...(told ? kinds : []).map((kind) => {
      const item = element("li");
      const dot = element("i");
      dot.style.background = colour(kind);
      item.append(dot, names[kind]);
      return item;
    }),
  );
  $("legend").hidden = $("dots").hidden || !told;
});

// An image

let wanted; // the last question: an image that was drawn on meanwhile is not to be painted over
const infer = latest(async (question) => {
  const answer = await ask("infer", question);
  if ("test" in question && question === wanted) {
    levels = Uint8ClampedArray.from(answer.image);
    paint($("sheet"), levels);
    const label = answer.label === null ? "" : `, label ${answer.label}`;
    $("label").textContent = `over test image ${question.test}${label}`;
  }
  if (question === wanted) showClasses(model, answer, judgeAs);
  paint($("seen"), answer.x);
  paint($("reconstruction"), answer.reconstruction);
  showEstimates(answer);
  showPosterior(answer);
});

/** The same image under another class. */
function judgeAs(i) {
  if (wanted) inferWanted({ ...wanted, class: i });
}

function inferWanted(question) {
  wanted = question;
  infer(question);
}

function showEstimates(answer) {
  const names = ["simple_monte_carlo", "elbo", "importance_weighted"];
  const ends = names.flatMap((name) => [-1, 1].map((sign) => answer[name].value + sign * answer[name].standard_error));
  const low = Math.min(...ends);
  const span = Math.max(...ends) - low || 1;
  let doubtful = false;
  for (const name of names) {
    const { value, standard_error: error, effective_size: size } = answer[name];
    const [plot, shown, deviation, effective] = $(name).querySelectorAll("td");
    plot.firstElementChild.style.setProperty("--at", (value - low) / span);
    plot.firstElementChild.style.setProperty("--width", (2 * error) / span);
    shown.textContent = number(value);
    deviation.textContent = number(error);
    const few = size !== null && size < 10;
    effective.textContent = size === null ? "" : number(size, size < 100 ? 1 : 0) + (few ? " *" : "");
    doubtful ||= few;
  }
  const notes = [`K = ${model.samples} draws; ± is the standard error over them.`];
  if (doubtful) notes.push("* Few draws carry the weight: it may be off by more than its ±, most often too low.");
  if (!model.probability) notes.push("The pixels are not binarized: these are cross entropies, not probabilities.");
  $("estimates-note").textContent = notes.join(" ");
  const total = answer.kl.reduce((sum, kl) => sum + kl, 0);
  $("kl").textContent = `KL to ${model.prior ? "N(0, I)" : "the prior"} ${number(total)} nats`;
}

function showPosterior({ mu, sigma, kl }) {
  mean = mu;
  const share = (value) => 50 + (50 * value) / model.extent;
  const rows = model.units.map(({ unit }) => {
    const row = element("li");
    const bar = element("span", "bar");
    bar.setAttribute("aria-hidden", "true");
    const [spread, middle] = [element("b"), element("u")];
    spread.style.left = `${share(mu[unit] - sigma[unit])}%`;
    spread.style.width = `${(100 * sigma[unit]) / model.extent}%`;
    middle.style.left = `${clamp(share(mu[unit]), 0, 100)}%`;
    bar.append(spread, middle);
    row.title = `unit ${unit}: KL ${number(kl[unit])} nats`;
    row.append(element("span", "", unit), bar, element("span", "", `${number(mu[unit])} ± ${number(sigma[unit])}`));
    return row;
  });
  $("posterior").replaceChildren(...rows.slice(0, SHOWN_POSTERIORS));
  fold($("more-posterior"), rows.slice(SHOWN_POSTERIORS));
}

/** The sheet has changed by hand. */
function drawn(how) {
  $("label").textContent = how;
  paint($("sheet"), levels);
  const image = [...levels];
  inferWanted(model.classes.length ? { image, class: judgedClass() } : { image });
}

/** What the pen leaves: white on grey images, of its colour on others. */
function ink() {
  const code = $("ink").value;
  return model.channels === 1 ? [255] : [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
}

/** A pen with a soft edge along a line, as wide on the image as MNIST's. */
function stroke([x0, y0], [x1, y1]) {
  const scale = Math.min(model.width, model.height) / 28;
  const [core, edge] = [0.6 * scale, Math.max(1, 1.1 * scale)];
  const reach = core + edge;
  const colours = ink();
  const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
  const range = (a, b, end) => [Math.max(0, Math.floor(Math.min(a, b) - reach)), Math.min(end - 1, Math.ceil(Math.max(a, b) + reach))];
  const [left, right] = range(x0, x1, model.width);
  const [top, bottom] = range(y0, y1, model.height);
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const [dx, dy] = [x + 0.5 - x0, y + 0.5 - y0];
      const along = length ? clamp((dx * (x1 - x0) + dy * (y1 - y0)) / length, 0, 1) : 0;
      const distance = Math.hypot(dx - along * (x1 - x0), dy - along * (y1 - y0));
      const cover = clamp((reach - distance) / edge, 0, 1);
      colours.forEach((colour, channel) => {
        const at = (y * model.width + x) * model.channels + channel;
        // White can only grow, so that lines that cross have no seam.
        levels[at] = model.channels === 1 ? Math.max(levels[at], colour * cover) : levels[at] + cover * (colour - levels[at]);
      });
    }
  }
}

function addSheet() {
  const sheet = $("sheet");
  const under = (event) => {
    const box = sheet.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * model.width, ((event.clientY - box.top) / box.height) * model.height];
  };
  let last;
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    sheet.setPointerCapture(event.pointerId);
    $("pen").hidden = true;
    last = under(event);
    stroke(last, last);
    drawn("");
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!sheet.hasPointerCapture(event.pointerId) || !last) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const each of all.length ? all : [event]) {
      const now = under(each);
      stroke(last, now);
      last = now;
    }
    drawn("");
  });
  for (const end of ["pointerup", "pointercancel"]) sheet.addEventListener(end, () => (last = undefined));

  const pen = { at: [model.width / 2, model.height / 2], down: false };
  const placePen = () => {
    $("pen").hidden = false;
    $("pen").classList.toggle("down", pen.down);
    $("pen").style.left = `${(100 * pen.at[0]) / model.width}%`;
    $("pen").style.top = `${(100 * pen.at[1]) / model.height}%`;
  };
  sheet.addEventListener("focus", () => sheet.matches(":focus-visible") && placePen());
  sheet.addEventListener("blur", () => {
    pen.down = false;
    $("pen").hidden = true;
  });
  sheet.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    const from = pen.at;
    if (way) {
      pen.at = [clamp(from[0] + way[0], 0, model.width), clamp(from[1] + way[1], 0, model.height)];
    } else if (!event.repeat) {
      pen.down = !pen.down;
      $("said").textContent = pen.down ? "pen down" : "pen up";
    }
    placePen();
    if (pen.down) {
      stroke(from, pen.at);
      drawn("");
    }
  });
}

/** A picture of any size: with the model's channels, and whole on the sheet, the rest black. */
const load = latest(async (file) => {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    throw new Error("That is no picture that this browser can read.");
  }
  const { width, height } = model;
  const canvas = element("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.fillRect(0, 0, width, height);
  const scale = Math.min(width / picture.width, height / picture.height);
  const size = [picture.width * scale, picture.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (width - size[0]) / 2, (height - size[1]) / 2, ...size);
  const { data } = context.getImageData(0, 0, width, height);
  if (model.channels === 1) {
    levels = levels.map((_, i) => 0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]);
  } else {
    levels = levels.map((_, i) => data[4 * Math.floor(i / 3) + (i % 3)]);
  }
  drawn("from a picture");
});

function test(n) {
  if (!Number.isFinite(n)) return;
  $("number").value = clamp(Math.round(n), 0, model.test_images - 1);
  inferWanted({ test: $("number").valueAsNumber });
}

function addButtons() {
  const click = (id, action) => $(id).addEventListener("click", action);
  click("sample", () => sample(crypto.getRandomValues(new Uint32Array(1))[0]));
  click("zero", () => setZ(z.fill(0), "at z = 0"));
  click("clear", () => {
    levels.fill(0);
    drawn("");
  });
  click("invert", () => {
    levels = levels.map((level) => 255 - level);
    drawn("inverted");
  });
  click("previous", () => test($("number").valueAsNumber - 1));
  click("next", () => test($("number").valueAsNumber + 1));
  click("follow", () => {
    if (model.classes.length) {
      $("class").value = judgedClass();
      showTiles();
    }
    setZ(mean, "at the image's μ");
  });
  $("number").max = model.test_images - 1;
  $("number").addEventListener("change", () => test($("number").valueAsNumber));
  $("file").addEventListener("change", () => {
    if ($("file").files.length) load($("file").files[0]);
    $("file").value = "";
  });
  document.addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
    if (file) load(file);
  });
}

const begin = latest(async () => {
  model = await ask("model");
  document.title = `${model.run} · elbo explore`;
  $("run").textContent = model.run;
  $("facts").textContent = `${model.model} · ${model.pixels} · ${model.device.name}`;
  $("bound").textContent = `L_${model.samples}`;
  levels = new Uint8ClampedArray(model.width * model.height * model.channels);
  $("ink-part").hidden = model.channels === 1;
  for (const id of ["decoded", "sheet", "seen", "reconstruction"]) {
    Object.assign($(id), { width: model.width, height: model.height });
  }
  const walkAs = () => {
    setZ(z, $("origin").textContent);
    showTiles();
  };
  addClasses(model, walkAs, judgeAs);
  addSliders();
  if (model.tiles) addMap();
  addSheet();
  addButtons();
  setZ(new Array(model.latent).fill(0), "at z = 0");
  test(0);
});

begin(true);
