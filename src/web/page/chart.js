// The curve of a run: the ELBO of training and test images over the images drawn.

import { number } from "./dom.js";

const MOST = 2000; // points of a line; beyond it two neighbours become one

/** A line that keeps its length. */
export class Line {
  points = [];

  push(x, y) {
    this.points.push([x, y]);
    if (this.points.length <= MOST) return;
    const pairs = [];
    for (let i = 0; i + 1 < this.points.length; i += 2) {
      const [a, b] = [this.points[i], this.points[i + 1]];
      pairs.push([b[0], (a[1] + b[1]) / 2]);
    }
    this.points = pairs;
  }
}

/** Round steps that part a range into about so many. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const all = [];
  for (let at = Math.ceil(low / step) * step; at <= high + 1e-9 * step; at += step) all.push(at);
  return all;
}

function short(value) {
  for (const [size, letter] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (Math.abs(value) >= size) return `${number(value / size, value % size ? 1 : 0)}${letter}`;
  }
  return number(value, 0);
}

/** Draws lines, [{line, colour, dots}], as large as the canvas is on the page. */
export function draw(canvas, lines) {
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  const scale = devicePixelRatio;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width) return;
  [canvas.width, canvas.height] = [width * scale, height * scale];
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  context.font = `12px ${style.fontFamily}`;
  const all = lines.flatMap(({ line }) => line.points);
  const box = { left: 48, right: width - 8, top: 8, bottom: height - 34 };
  context.strokeStyle = colour("--line");
  context.fillStyle = colour("--muted");
  if (!all.length) {
    context.strokeRect(box.left + 0.5, box.top + 0.5, box.right - box.left, box.bottom - box.top);
    return;
  }
  const most = Math.max(...all.map(([x]) => x), 1);
  // The first steps fall out of sight, so that the later ones are to be seen.
  const values = all.filter(([x]) => x >= 0.05 * most).map(([, y]) => y).sort((a, b) => a - b);
  let [low, high] = [values[Math.floor(0.02 * values.length)], values[values.length - 1]];
  const margin = 0.06 * (high - low || Math.abs(high) || 1);
  [low, high] = [low - margin, high + margin];
  const across = (x) => box.left + ((box.right - box.left) * x) / most;
  const up = (y) => box.bottom - ((box.bottom - box.top) * (y - low)) / (high - low);
  context.textBaseline = "middle";
  context.textAlign = "right";
  const marks = ticks(low, high, Math.max(2, (box.bottom - box.top) / 45));
  const digits = marks.length > 1 && marks[1] - marks[0] < 1 ? 1 : 0;
  for (const y of marks) {
    context.beginPath();
    context.moveTo(box.left, Math.round(up(y)) + 0.5);
    context.lineTo(box.right, Math.round(up(y)) + 0.5);
    context.stroke();
    context.fillText(number(y, digits), box.left - 6, up(y));
  }
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const x of ticks(0, most, Math.max(2, width / 110))) context.fillText(short(x), Math.min(across(x), box.right - 12), box.bottom + 5);
  context.textAlign = "right";
  context.fillText("images drawn", box.right, box.bottom + 20);
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  context.clip();
  for (const { line, colour: name, dots } of lines) {
    context.strokeStyle = context.fillStyle = colour(name);
    context.lineWidth = dots ? 2 : 1.5;
    context.beginPath();
    line.points.forEach(([x, y], i) => (i ? context.lineTo(across(x), up(y)) : context.moveTo(across(x), up(y))));
    context.stroke();
    if (!dots) continue;
    for (const [x, y] of line.points.slice(-200)) {
      context.beginPath();
      context.arc(across(x), up(y), 2.6, 0, 2 * Math.PI);
      context.fill();
    }
  }
  context.restore();
}
