// The walk through latent space: sliders, and a map where there are two units.

import { chosenClass, told } from "./classes.js";
import { $, clamp, element, fold, latest, number, paint, shown } from "./dom.js";

const SHOWN_SLIDERS = 10;
const COLOURS = ["#4e9bff", "#ff9d42", "#5fd35f", "#ff6b6b", "#b98cff", "#c9976f", "#ff8fd0", "#c4c8cc", "#e3e34f", "#3fd8e6"];

/** Where it is. */
export const walk = { z: [] };

export const zeros = () => new Array(shown.model.latent).fill(0);

const decode = latest(async (at) => paint($("decoded"), (await shown.source.decode(told(shown.model, { z: at }))).image));

const sample = latest(async (seed) => {
  const drawn = await shown.source.sample(told(shown.model, { seed }));
  setZ(drawn.z, `drawn with seed ${seed}`, drawn.image);
});

/** Goes to a z, whose image may be known already. */
export function setZ(to, origin, image) {
  walk.z = [...to];
  $("origin").textContent = origin;
  for (const slider of document.querySelectorAll("#slider-part input")) {
    const value = walk.z[slider.dataset.unit];
    slider.value = value;
    slider.setAttribute("aria-valuetext", number(value));
    slider.parentElement.querySelector("output").textContent = number(value);
  }
  placeCross(walk.z);
  if (image) paint($("decoded"), image);
  else decode(walk.z);
}

function sliderRow({ unit, kl, active }) {
  const row = element("div", active ? "row" : "row inactive");
  const label = element("label", "", unit);
  const slider = element("input");
  slider.id = label.htmlFor = `unit-${unit}`;
  slider.type = "range";
  slider.min = -shown.model.extent;
  slider.max = shown.model.extent;
  slider.step = 0.05;
  slider.dataset.unit = unit;
  slider.setAttribute("aria-label", `z of unit ${unit}`);
  slider.addEventListener("input", () => {
    const to = [...walk.z];
    to[unit] = slider.valueAsNumber;
    setZ(to, "by hand");
  });
  const shownKl = element("span", "kl", number(kl));
  shownKl.title = `KL(q(z|x) || p(z)) of unit ${unit}, nats, mean over ${shown.model.measured} test images`;
  row.append(label, slider, element("output"), shownKl);
  return row;
}

function addSliders() {
  const rows = shown.model.units.map(sliderRow);
  $("sliders").replaceChildren(...rows.slice(0, SHOWN_SLIDERS));
  fold($("more-sliders"), rows.slice(SHOWN_SLIDERS));
}

// The map, for two latent units

function placeCross(at) {
  $("cross").style.left = `${50 + (50 * at[0]) / shown.model.extent}%`;
  $("cross").style.top = `${50 - (50 * at[1]) / shown.model.extent}%`;
}

/** Shows the picture of the map for the class that is chosen. */
export const showTiles = () => shown.model.tiles && tiles(shown.model.classes.length ? chosenClass() : null);

let address; // of the picture, to be forgotten with it
const tiles = latest(async (chosen) => {
  const next = await shown.source.map(chosen ?? undefined);
  if (address?.startsWith("blob:")) URL.revokeObjectURL(address);
  $("tiles").src = address = next;
});

let points;
/** The map or the sliders of another model. */
export function hasTiles() {
  points = undefined;
  const mapped = Boolean(shown.model.tiles);
  document.body.classList.toggle("mapped", mapped);
  $("map-part").hidden = !mapped;
  addSliders();
  if (!mapped) return;
  $("dots-of").textContent = shown.model.measured;
  showTiles();
  showMap();
}

/** What lies on the map. */
function showMap() {
  const [tiles, dots] = [$("show-tiles").checked, $("show-dots").checked];
  $("tiles").className = `pixels ${tiles ? (dots ? "dim" : "") : "off"}`;
  $("dots").hidden = !dots;
  $("legend").hidden = !dots || !$("legend").hasChildNodes();
  if (dots) scatter(true);
}

/** Listens; once. */
export function installWalk() {
  $("sample").addEventListener("click", () => sample(crypto.getRandomValues(new Uint32Array(1))[0]));
  $("zero").addEventListener("click", () => setZ(zeros(), "at z = 0"));
  const map = $("map");
  const under = (event) => {
    const box = map.getBoundingClientRect();
    const part = (value) => clamp(value, 0, 1);
    const { extent } = shown.model;
    return [
      extent * (2 * part((event.clientX - box.left) / box.width) - 1),
      extent * (1 - 2 * part((event.clientY - box.top) / box.height)),
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
  map.addEventListener("pointerleave", () => decode(walk.z));
  map.addEventListener("keydown", (event) => {
    const { extent } = shown.model;
    const step = (extent / 50) * (event.shiftKey ? 5 : 1);
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault();
    setZ(walk.z.map((value, i) => clamp(value + step * way[i], -extent, extent)), "on the map");
    $("said").textContent = `z = ${number(walk.z[0])}, ${number(walk.z[1])}`;
  });
  $("show-tiles").addEventListener("change", showMap);
  $("show-dots").addEventListener("change", showMap);
}

/** The classes of points, and their colours. More classes than colours are not told apart. */
function kindsOf({ classes }) {
  const kinds = classes ? [...new Set(classes)].sort((a, b) => a - b) : [];
  const told = kinds.length > 0 && kinds.length <= COLOURS.length;
  return { told, kinds, colour: (kind) => COLOURS[kinds.indexOf(kind)] };
}

/** Points on a canvas that shows z up to `extent`, of the size of `box` on the page. */
export function drawDots(canvas, box, points, extent) {
  [canvas.width, canvas.height] = [box.width, box.height].map((side) => side * devicePixelRatio);
  const context = canvas.getContext("2d");
  const { told, colour } = kindsOf(points);
  points.z.forEach(([x, y], i) => {
    const [across, up] = [x, y].map((value) => 0.5 + (0.5 * value) / extent);
    context.fillStyle = told ? colour(points.classes[i]) : "#ffffff";
    context.beginPath();
    context.arc(across * canvas.width, (1 - up) * canvas.height, 2 * devicePixelRatio, 0, 2 * Math.PI);
    context.fill();
  });
}

const scatter = latest(async () => {
  const { source, model } = shown;
  points ??= await source.scatter();
  if (source !== shown.source) return; // another model meanwhile
  drawDots($("dots"), $("map").getBoundingClientRect(), points, model.extent);
  const { told, kinds, colour } = kindsOf(points);
  $("legend").replaceChildren(
    ...(told ? kinds : []).map((kind) => {
      const item = element("li");
      const dot = element("i");
      dot.style.background = colour(kind);
      item.append(dot, points.names[kind]);
      return item;
    }),
  );
  $("legend").hidden = $("dots").hidden || !told;
});
