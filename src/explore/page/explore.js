// Exploring a model: the walk through its latent space, and what it makes of an image. A source answers for the model: `http` or,
// on the page of `elbo web`, the visitor's own GPU. A source has
//   model() what src/explore/api.rs calls About; decode({z}), sample({seed}), infer({image} or {test}), scatter();
//   map(class) the address of a picture,
// each a promise, and each question but the first with a class where the model is told one.

import { judgedClass, onChoice, showChoices } from "./classes.js";
import { $, shown } from "./dom.js";
import { hasTiles, installWalk, setZ, showTiles, walk, zeros } from "./latent.js";
import { begin, installSheet, judgeAs, meanOf } from "./sheet.js";

let installed = false;

function install() {
  installed = true;
  installWalk();
  installSheet();
  onChoice(() => {
    setZ(walk.z, $("origin").textContent);
    showTiles();
  }, judgeAs);
  $("follow").addEventListener("click", () => {
    if (shown.model.classes.length) {
      $("class").value = judgedClass();
      showTiles();
    }
    setZ(meanOf(), "at the image's μ");
  });
}

/** Explores what `source` answers for. */
export async function open(source) {
  const model = await source.model();
  Object.assign(shown, { source, model });
  $("facts").textContent = `${model.model} · ${model.pixels} · ${model.device.name}`;
  $("bound").textContent = `L_${model.samples}`;
  for (const id of ["decoded", "sheet", "seen", "reconstruction"]) {
    Object.assign($(id), { width: model.width, height: model.height });
  }
  if (!installed) install();
  showChoices(model);
  hasTiles();
  setZ(zeros(), "at z = 0");
  begin();
}
