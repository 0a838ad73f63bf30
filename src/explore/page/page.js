// The page of `elbo explore`.

import { $, latest, shown } from "./dom.js";
import { open } from "./explore.js";
import { http } from "./http.js";

latest(async () => {
  await open(http);
  const { run } = shown.model;
  document.title = `${run} · elbo explore`;
  $("run").textContent = run;
})(true);
