// A source that asks `elbo explore` over HTTP, which it does only when somebody does something.

const TOKEN = new URLSearchParams(location.search).get("token");

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const post = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, body === undefined ? { headers } : post);
  } catch {
    throw new Error("The server does not answer: start elbo explore again and open the address that it prints.");
  }
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Each as the path of its name has it, see src/explore/api.rs. */
export const http = {
  model: () => ask("model"),
  decode: (question) => ask("decode", question),
  sample: (question) => ask("sample", question),
  infer: (question) => ask("infer", question),
  scatter: () => ask("scatter"),
  /** The address of a picture. */
  map: async (class_) => `${class_ === undefined ? "map.png" : `map/${class_}.png`}?token=${TOKEN}`,
};
