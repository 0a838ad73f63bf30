// What the parts of the page share.

/** An element of the page by its id. */
export const $ = (id) => document.getElementById(id);

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function number(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Shows what went wrong, or that nothing does. */
export function complain(error) {
  $("problem").hidden = !error;
  if (error) $("problem").textContent = [error.message, error.advice].filter(Boolean).join(" ");
}

/** Runs `work` on what it is given, one at a time. Of what comes meanwhile only the last is kept. */
export function latest(work) {
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
        complain();
      } catch (error) {
        complain(error);
      }
    }
    busy = false;
  };
}

/** What is explored: the source that answers for it, and what that says of the model. */
export const shown = { source: undefined, model: undefined };

/** The channels of pixel i as red, green and blue. */
export function rgb(levels, i, channels) {
  return channels === 1 ? [levels[i], levels[i], levels[i]] : levels.slice(3 * i, 3 * i + 3);
}

export function paint(canvas, levels) {
  const { width, height, channels } = shown.model;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) pixels.data.set([...rgb(levels, i, channels), 255], 4 * i);
  context.putImageData(pixels, 0, 0);
}

/** Puts the units with less KL out of the way. */
export function fold(details, rows) {
  details.hidden = rows.length === 0;
  details.querySelector("summary").textContent = `${rows.length} more unit${rows.length === 1 ? "" : "s"}, with less KL`;
  details.lastElementChild.replaceChildren(...rows);
}
