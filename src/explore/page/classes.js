// Of a model that is told the class of an image: which one the walk is told, and how likely each makes an image.

import { $, element, number } from "./dom.js";

/** The class of the decoded image. */
export const chosenClass = () => Number($("class").value);

/** The class under which the image is judged. */
export const judgedClass = () => Number($("judge").value);

/** A question, with the class that is chosen where the model is told one. */
export const told = (model, body) => (model.classes.length ? { ...body, class: chosenClass() } : body);

/** What the figures are of where no class is told. */
const WORDS = { "estimates-title": ["log p(x), nats", "log p(x|y), nats"], "posterior-title": ["Posterior q(z|x) ", "Posterior q(z|x,y) "] };

/** Shows what there is to choose. */
export function showChoices(model) {
  for (const [id, words] of Object.entries(WORDS)) $(id).firstChild.textContent = words[model.classes.length ? 1 : 0];
  $("by-class-part").hidden = true;
  for (const id of ["class", "judge"]) {
    $(`${id}-part`).hidden = model.classes.length === 0;
    $(id).replaceChildren(
      ...model.classes.map((name, i) => {
        const option = element("option", "", name);
        option.value = i;
        return option;
      }),
    );
  }
}

/** `walkAs` and `judgeAs` are called where somebody has chosen. */
export function onChoice(walkAs, judgeAs) {
  $("class").addEventListener("change", walkAs);
  $("judge").addEventListener("change", () => judgeAs(judgedClass()));
}

/** What each class makes of the image: p(y|x) is p(x|y) over the sum of all, if each is as likely beforehand. */
export function showClasses(model, { class: judged, by_class: all }, judgeAs) {
  if (judged === undefined) return;
  $("judge").value = judged;
  $("by-class-part").hidden = !all;
  if (!all) return;
  const most = Math.max(...all);
  const weights = all.map((value) => Math.exp(value - most));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const rows = all.map((value, i) => {
    const share = (100 * weights[i]) / sum;
    const item = element("li");
    const row = element("button");
    row.type = "button";
    row.setAttribute("aria-pressed", i === judged);
    row.title = `log p(x|y) ${number(value)} nats`;
    row.addEventListener("click", () => judgeAs(i));
    const bar = element("span", "bar");
    const part = element("b");
    part.style.width = `${share}%`;
    bar.append(part);
    row.append(element("span", "", model.classes[i]), bar, element("span", "", `${number(share, 1)} %`));
    item.append(row);
    return item;
  });
  $("by-class").replaceChildren(...rows);
}
