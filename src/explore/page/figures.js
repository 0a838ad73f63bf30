// What the model makes of an image, in figures.

import { $, clamp, element, fold, number, shown } from "./dom.js";

const SHOWN_POSTERIORS = 20;

export function showEstimates(answer) {
  const { model } = shown;
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

export function showPosterior({ mu, sigma, kl }) {
  const { model } = shown;
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
