// An image: drawn, loaded or of the test set, and what the model makes of it.

import { judgedClass, showClasses } from "./classes.js";
import { $, clamp, element, latest, number, paint, shown } from "./dom.js";
import { showEstimates, showPosterior } from "./figures.js";

let levels; // of the image on the sheet: rows from the top, the channels of a pixel side by side
let mean = []; // of the last posterior
/** Where the image is in latent space. */
export const meanOf = () => mean;

/** The sheet of another model. */
export function begin() {
  const { model } = shown;
  levels = new Uint8ClampedArray(model.width * model.height * model.channels);
  $("ink-part").hidden = model.channels === 1;
  $("number").max = model.test_images - 1;
  test(0);
}

let wanted; // the last question: an image that was drawn on meanwhile is not to be painted over
const infer = latest(async (question) => {
  const { source, model } = shown;
  const answer = await source.infer(question);
  if (source !== shown.source) return; // another model meanwhile
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
  mean = answer.mu;
  showPosterior(answer);
});

/** The same image under another class. */
export function judgeAs(i) {
  if (wanted) inferWanted({ ...wanted, class: i });
}

function inferWanted(question) {
  wanted = question;
  infer(question);
}

/** The sheet has changed by hand. */
function drawn(how) {
  $("label").textContent = how;
  paint($("sheet"), levels);
  const image = [...levels];
  inferWanted(shown.model.classes.length ? { image, class: judgedClass() } : { image });
}

/** What the pen leaves: white on grey images, of its colour on others. */
function ink() {
  const code = $("ink").value;
  return shown.model.channels === 1 ? [255] : [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
}

/** A pen with a soft edge along a line, as wide on the image as MNIST's. */
function stroke([x0, y0], [x1, y1]) {
  const { model } = shown;
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
    const { model } = shown;
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

  const pen = { at: undefined, down: false };
  const placePen = () => {
    const { model } = shown;
    pen.at ??= [model.width / 2, model.height / 2];
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
    const { model } = shown;
    pen.at ??= [model.width / 2, model.height / 2];
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
  const { model } = shown;
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
  $("number").value = clamp(Math.round(n), 0, shown.model.test_images - 1);
  inferWanted({ test: $("number").valueAsNumber });
}

/** Listens; once. */
export function installSheet() {
  addSheet();
  const click = (id, action) => $(id).addEventListener("click", action);
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
  $("number").addEventListener("change", () => test($("number").valueAsNumber));
  $("file").addEventListener("change", () => {
    if ($("file").files.length) load($("file").files[0]);
    $("file").value = "";
  });
  document.addEventListener("paste", (event) => {
    if (!shown.model || $("sheet").offsetParent === null) return; // it is not to be seen
    const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
    if (file) load(file);
  });
}
