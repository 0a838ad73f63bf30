// What the page is made of besides itself: the manifest, plans with the modules that they name, images. All of it lies beside this
// file, and is fetched when it is needed.

/** Where a file of the page is, whatever path the page has. */
const at = (path) => new URL(path, import.meta.url);

async function file(path) {
  let response;
  try {
    response = await fetch(at(path));
  } catch {
    throw new Error(`${path} cannot be fetched: is the server of this page still there?`);
  }
  if (!response.ok) throw new Error(`${path} cannot be fetched: the server answers ${response.status}. Is the page there as a whole?`);
  return response;
}

export const text = async (path) => (await file(path)).text();
export const bytes = async (path) => new Uint8Array(await (await file(path)).arrayBuffer());

export async function manifest() {
  const site = JSON.parse(await text("elbo-web.json"));
  if (site.format !== "elbo page" || site.version !== 1) throw new Error("elbo-web.json is none that this page can read");
  return site;
}

const modules = new Map(); // by hash: promises of their text
const documents = new Map();

/** A plan and its modules, as Program.load and Training.begin take them. */
export function plan(path) {
  if (!documents.has(path)) {
    const made = fetchPlan(path);
    documents.set(path, made);
    made.catch(() => documents.delete(path)); // it may be there another time
  }
  return documents.get(path);
}

async function fetchPlan(path) {
  const document = JSON.parse(await text(path));
  const named = Array.isArray(document.modules) ? document.modules.filter((hash) => /^[0-9a-f]{64}$/.test(hash)) : [];
  for (const hash of named) {
    if (modules.has(hash)) continue;
    const module = text(`modules/${hash}.wgsl`);
    modules.set(hash, module);
    module.catch(() => modules.delete(hash));
  }
  const texts = await Promise.all(named.map((hash) => modules.get(hash)));
  const pool = Object.fromEntries(named.map((hash, i) => [hash, texts[i]]));
  return { document, modules: { format: "elbo modules", version: 1, modules: pool } };
}

async function unpacked(path) {
  const { body } = await file(path);
  try {
    return new Uint8Array(await new Response(body.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
  } catch {
    throw new Error(`${path} is damaged`);
  }
}

/** The images of a set, (N, D) levels. */
async function levels({ file, images, bits }, size) {
  const packed = await unpacked(file);
  const row = bits === 1 ? Math.ceil(size / 8) : size;
  if (packed.length !== images * row) throw new Error(`${file} has ${packed.length} bytes unpacked, expected ${images * row}`);
  if (bits !== 1) return packed;
  const all = new Uint8Array(images * size);
  let to = 0;
  for (let i = 0; i < images; i++) {
    for (let from = i * row, left = size; left > 0; from++, left -= 8) {
      const byte = packed[from];
      for (let bit = 7; bit >= Math.max(0, 8 - left); bit--) all[to++] = ((byte >> bit) & 1) * 255;
    }
  }
  return all;
}

const sets = new Map();

/** The levels of `train` or `test`. */
export function images(site, name) {
  const { width, height, channels } = site.data;
  if (!sets.has(name)) {
    const made = levels(site.data[name], width * height * channels);
    sets.set(name, made);
    made.catch(() => sets.delete(name));
  }
  return sets.get(name);
}

/** The classes in a file, of so many images. */
export async function classesIn(file, count) {
  const words = await unpacked(file);
  if (words.length !== 2 * count) throw new Error(`${file} is damaged`);
  const view = new DataView(words.buffer);
  return Array.from({ length: count }, (_, i) => view.getUint16(2 * i, true));
}

/** The class of each test image, if they have some. */
export async function classes(site) {
  const { labels, images: count } = site.data.test;
  return labels ? classesIn(labels, count) : null;
}
