// Requests to the API as a browser must make them, and small dialogs that everything else uses.

export class Refused extends Error {
  constructor(answer) {
    super(answer.message || answer.code || `The server answered ${answer.status}`);
    this.field = answer.fieldName;
    this.code = answer.code;
  }
}

const token = () => (document.cookie.match(/(?:^|; )CSRF=([0-9a-f]+)/) || ["", ""])[1];

// crypto.randomUUID is there on secure origins alone.
export const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function api(method, url, fields, key) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") {
    headers["X-API-CSRF"] = token();
    headers["Idempotency-Key"] = key || newKey();
    headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(url, {
    method, headers, cache: "no-store", credentials: "same-origin",
    body: method === "GET" || fields === undefined ? undefined : JSON.stringify(fields),
    signal: AbortSignal.timeout(30000),
  });
  const found = await answer.json().catch(() => ({ status: answer.status }));
  if (!answer.ok) throw new Refused(found);
  return found;
}

// An element; text never becomes markup.
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function dialog(title, ...content) {
  const close = element("button", { type: "button", className: "quiet", textContent: "Close" });
  const box = element("dialog", {}, element("h2", { textContent: title }), ...content);
  (box.querySelector(".buttons") || box).append(close);
  close.addEventListener("click", () => box.close());
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

export function fail(error) {
  dialog(error.code || "That did not work", element("p", { textContent: error.message, role: "alert" }));
}

export function ask(question, word) {
  return new Promise((answer) => {
    const yes = element("button", { type: "button", className: "danger", textContent: word });
    const box = dialog(question, element("div", { className: "buttons" }, yes));
    yes.addEventListener("click", () => { answer(true); box.close(); });
    box.addEventListener("close", () => answer(false));
  });
}
