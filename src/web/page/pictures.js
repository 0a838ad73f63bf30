// What a model in training makes of test images and of draws from the prior, and for two latent units where they lie.

import { $ } from "./dom.js";
import { drawDots } from "./latent.js";
import { extentOf } from "./source.js";

/** Images of a row. */
const ROW = 10;
/** Test images on the map. */
const DOTS = 1000;

/** Images of levels side by side, `rows` of them; row r has those of `sets[r]` from `firsts[r]` on. */
function tile(canvas, sets, firsts, { width, height, channels }, columns) {
  const gap = 1;
  const [wide, high] = [columns * (width + gap) - gap, sets.length * (height + gap) - gap];
  [canvas.width, canvas.height] = [wide, high];
  const image = new ImageData(wide, high);
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  const size = width * height;
  sets.forEach((levels, row) => {
    for (let column = 0; column < columns; column++) {
      const from = (firsts[row] + column) * size * channels;
      if (from >= levels.length) continue;
      for (let i = 0; i < size; i++) {
        const [x, y] = [column * (width + gap) + (i % width), row * (height + gap) + Math.floor(i / width)];
        for (let c = 0; c < 3; c++) image.data[4 * (y * wide + x) + c] = levels[from + i * channels + (channels === 1 ? 0 : c)];
      }
    }
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paints what `source` makes now. */
export async function showLearnt(source) {
  const { about, labels } = source;
  const { drawn, x, mean, codes } = await source.pictures();
  tile($("reconstructions"), [x, mean], [0, 0], about, ROW);
  tile($("draws"), [drawn, drawn], [0, ROW], about, ROW);
  $("manifold").hidden = !about.tiles;
  if (!about.tiles) return;
  const all = await source.codes(DOTS, 200);
  const extent = extentOf(all.length > codes.length ? all : codes);
  const image = await source.tiles(extent);
  const canvas = $("manifold-tiles");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").putImageData(image, 0, 0);
  const points = { z: all.map(({ mu }) => mu), classes: labels?.classes.slice(0, all.length) };
  drawDots($("manifold-dots"), $("manifold-dots").getBoundingClientRect(), points, extent);
}
