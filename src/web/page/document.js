// A plan as a document, and its check before anything is made of it: docs/plans.md says what is in one. Whatever a document
// says, what follows from it is a list of buffers within bounds and dispatches over them; the browser holds the shaders to the rest.

/** What went wrong: one plain sentence, and what to do about it, which may be nothing. */
export class Problem extends Error {
  constructor(kind, message, advice = "") {
    super(message);
    this.name = "Problem";
    this.kind = kind;
    this.advice = advice;
  }
}

const VERSION = 1;
const ADVICE = "The files of this page do not fit together, or one of them came only in part: reload the page; if it stays, write the folder anew with elbo web.";

/** Element types: bytes of one, and the array that holds them. */
export const TYPES = { f32: [4, Float32Array], u32: [4, Uint32Array], u8: [1, Uint8Array] };

/** WebGPU's default limits that a document may go beyond. */
const DEFAULTS = { maxStorageBuffersPerShaderStage: 8, maxStorageBufferBindingSize: 2 ** 27, maxBufferSize: 2 ** 28 };
/** What a document may ask for at most; shaders index in 32 bits. */
const MOST = { maxStorageBuffersPerShaderStage: 64, maxStorageBufferBindingSize: 2 ** 32 - 4, maxBufferSize: 2 ** 32 - 4 };
const MOST_TENSORS = 20000;
const MOST_DISPATCHES = 20000;
const MOST_GROUPS = 65535;
/** Elements between the beginnings of two parts of a tensor. */
const PART_ALIGNMENT = 64;

function fail(place, problem) {
  throw new Problem("document", `${place}: ${problem}.`, ADVICE);
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value, most) => Number.isSafeInteger(value) && value >= 0 && value <= most;
const isName = (value) => typeof value === "string" && value.length > 0 && value.length <= 300;
const shown = (value) => {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

function list(value, place, most) {
  if (!Array.isArray(value) || value.length > most) fail(place, `expected a list of at most ${most}, got ${Array.isArray(value) ? value.length : shown(value)}`);
  return value;
}

/** A text in JSON, or what it was parsed to, of a format and of the version that is read here. */
function parsed(given, what, format) {
  let value = given;
  if (typeof given === "string") {
    try {
      value = JSON.parse(given);
    } catch (error) {
      fail(what, `it is no JSON (${error.message})`);
    }
  }
  if (!isObject(value)) fail(what, `expected an object, got ${shown(value)}`);
  if (value.format !== format) fail(what, `its format is ${shown(value.format)}; expected ${shown(format)}`);
  if (value.version !== VERSION) fail(what, `it is of version ${shown(value.version)}; this page reads ${VERSION}`);
  return value;
}

export function fromBase64(text, place) {
  if (typeof text !== "string") fail(place, `expected base64, got ${shown(text)}`);
  let binary;
  try {
    binary = atob(text);
  } catch {
    fail(place, "it is no base64");
  }
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checkTensor(tensor, i, names) {
  const place = `tensors[${i}]`;
  if (!isObject(tensor) || !isName(tensor.name)) fail(place, "it has no name");
  const at = `${place}, ${shown(tensor.name)}`;
  if (names.has(tensor.name)) fail(at, "another tensor has this name");
  if (!Object.hasOwn(TYPES, tensor.dtype)) fail(at, `its type is ${shown(tensor.dtype)}; expected f32, u32 or u8`);
  const [size] = TYPES[tensor.dtype];
  let length = 1;
  for (const dim of list(tensor.dims, `${at}.dims`, 8)) {
    if (!isCount(dim, MOST.maxBufferSize) || dim === 0) fail(at, `its dimensions are ${shown(tensor.dims)}; expected positive whole numbers`);
    length *= dim;
    if (length * size > MOST.maxBufferSize) fail(at, `its dimensions are ${shown(tensor.dims)}, which are too many elements`);
  }
  names.set(tensor.name, i);
  return { name: tensor.name, dims: tensor.dims, dtype: tensor.dtype, length, bytes: length * size, whole: i, first: 0 };
}

function checkPart(tensors, i, partOf) {
  const [whole, first] = list(partOf, `tensors[${i}].part_of`, 2);
  const [part, of] = [tensors[i], tensors[whole]];
  const fits = isCount(whole, tensors.length - 1) && isCount(first, 2 ** 32) && whole !== i && of.whole === whole
    && part.dtype === "f32" && of.dtype === "f32" && first % PART_ALIGNMENT === 0 && first + part.length <= of.length;
  if (!fits) fail(`tensors[${i}], ${shown(part.name)}`, `it cannot be a part of tensor ${shown(whole)} from element ${shown(first)} on`);
  part.whole = whole;
  part.first = first;
}

function checkDispatch(dispatch, place, tensors, modules, buffers) {
  if (!isObject(dispatch)) fail(place, "expected an object");
  for (const field of ["kernel", "variant", "entry"]) {
    if (!isName(dispatch[field])) fail(place, `its ${field} is ${shown(dispatch[field])}`);
  }
  if (!isCount(dispatch.module, modules.length - 1)) fail(place, `there is no module ${shown(dispatch.module)}`);
  if (!isObject(dispatch.overrides)) fail(place, "it has no overrides");
  for (const [name, value] of Object.entries(dispatch.overrides)) {
    if (!Number.isFinite(value)) fail(place, `the override ${shown(name)} is ${shown(value)}; expected a number`);
  }
  const grid = list(dispatch.grid, `${place}, grid`, 3);
  if (grid.length !== 3 || !grid.every((n) => isCount(n, MOST_GROUPS) && n > 0)) fail(place, `its grid is ${shown(grid)}; expected three numbers from 1 to ${MOST_GROUPS}`);
  const seen = [];
  for (const bound of list(dispatch.bindings, `${place}, bindings`, buffers)) {
    if (!isObject(bound) || !isCount(bound.binding, 999)) fail(place, `a binding is ${shown(bound)}`);
    if (!["read", "write", "update"].includes(bound.access)) fail(place, `the access of binding ${bound.binding} is ${shown(bound.access)}`);
    if (!isCount(bound.tensor, tensors.length - 1)) fail(place, `there is no tensor ${shown(bound.tensor)}`);
    for (const other of seen) {
      if (other.binding === bound.binding) fail(place, `binding ${bound.binding} is there twice`);
      const same = tensors[other.tensor].whole === tensors[bound.tensor].whole;
      const written = other.access !== "read" || bound.access !== "read";
      if (other.tensor === bound.tensor || same && written) fail(place, `${shown(tensors[bound.tensor].name)} is bound twice`);
    }
    seen.push(bound);
  }
  for (const field of ["flops", "bytes"]) {
    if (!(dispatch[field] >= 0 && Number.isFinite(dispatch[field]))) fail(place, `its ${field} are ${shown(dispatch[field])}`);
  }
}

/**
 * Checks a document and its modules, each a text in JSON or what that was parsed to.
 * Returns what a device needs of them: { document, limits, tensors, names, constants, modules, plans }.
 */
export async function checked(givenDocument, givenModules) {
  const document = parsed(givenDocument, "the plan", "elbo plan");
  const pool = parsed(givenModules, "the modules", "elbo modules");
  if (!isObject(pool.modules)) fail("the modules", "there are none");
  if (!isObject(document.limits)) fail("the plan", "it has no limits");
  if (!isObject(document.host)) fail("the plan", "it has no host");
  for (const [name, value] of Object.entries(document.limits)) {
    if (!Object.hasOwn(DEFAULTS, name)) fail("limits", `${shown(name)} is none that can be asked for`);
    if (!isCount(value, MOST[name])) fail("limits", `${name} is ${shown(value)}; expected at most ${MOST[name]}`);
  }
  const limits = { ...DEFAULTS, ...document.limits };

  const names = new Map();
  const tensors = list(document.tensors, "tensors", MOST_TENSORS).map((tensor, i) => checkTensor(tensor, i, names));
  document.tensors.forEach((tensor, i) => {
    if (tensor.part_of !== undefined) checkPart(tensors, i, tensor.part_of);
  });
  // A part of a part has no place of its own.
  tensors.forEach((tensor, i) => {
    if (tensors[tensor.whole].whole !== tensor.whole) fail(`tensors[${i}], ${shown(tensor.name)}`, "it is a part of a part");
    const largest = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
    if (tensor.whole === i && tensor.bytes > largest) fail(`tensors[${i}], ${shown(tensor.name)}`, `it has ${tensor.bytes} bytes; the document asks for room for ${largest}`);
  });
  const constants = list(document.constants, "constants", MOST_TENSORS).map((constant, i) => {
    const place = `constants[${i}]`;
    if (!isObject(constant) || !isCount(constant.tensor, tensors.length - 1)) fail(place, "it names no tensor");
    const bytes = fromBase64(constant.base64, place);
    const tensor = tensors[constant.tensor];
    if (bytes.length !== tensor.bytes) fail(place, `${bytes.length} bytes for ${shown(tensor.name)}, which has ${tensor.bytes}`);
    return { name: tensor.name, bytes };
  });

  const modules = list(document.modules, "modules", 1000).map((name) => {
    const text = Object.hasOwn(pool.modules, name) ? pool.modules[name] : undefined;
    if (typeof text !== "string") fail(`module ${shown(name)}`, "it is not among the modules");
    return text;
  });
  const found = await Promise.all(modules.map(sha256));
  found.forEach((hash, i) => {
    if (hash !== document.modules[i]) fail(`module ${shown(document.modules[i])}`, "its text is another one's");
  });

  const plans = new Map();
  let count = 0;
  list(document.plans, "plans", 1000).forEach((plan, i) => {
    if (!isObject(plan) || !isName(plan.name)) fail(`plans[${i}]`, "it has no name");
    const place = `plans[${i}], ${shown(plan.name)}`;
    if (plans.has(plan.name)) fail(place, "another plan has this name");
    const dispatches = list(plan.dispatches, place, MOST_DISPATCHES);
    count += dispatches.length;
    if (dispatches.length === 0 || count > MOST_DISPATCHES) fail(place, `it has ${dispatches.length} dispatches`);
    dispatches.forEach((d, j) => checkDispatch(d, `${place}, dispatch ${j}`, tensors, modules, limits.maxStorageBuffersPerShaderStage));
    plans.set(plan.name, dispatches);
  });
  return { document, limits: document.limits, tensors, names, constants, modules, plans };
}
