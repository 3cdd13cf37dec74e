// What pages do beyond being read: create, edit, act, delete, filter, and follow what is under way. Pages work without it for reading.

import { api, ask, fail } from "./api.js";
import { openForm, showAnswer } from "./forms.js";

const page = JSON.parse(document.getElementById("document").textContent);
const schemas = JSON.parse(document.getElementById("schemas").textContent);
const FOLLOW_MS = 1500;

for (const part of document.querySelectorAll(".scripted")) part.classList.remove("scripted");

const selfOf = (made) => {
  const link = made.links && made.links.self;
  return link ? new URL(link).pathname : location.href;
};

async function schemaOf(type) {
  return type ? api("GET", `${schemas}/${encodeURIComponent(type)}`) : null;
}

const commands = {
  async create({ create: url, type }) {
    const schema = await schemaOf(type);
    openForm({ title: `New ${type}`, schemas, schema, which: "create", values: page.createDefaults || {}, async send(fields, key) {
      const made = await api("POST", url, fields, key);
      location.assign(made.type === "collection" ? url : selfOf(made));
    } });
  },

  async edit({ edit: url, type }) {
    const schema = await schemaOf(type);
    openForm({ title: `Edit ${page.name || page.id}`, schemas, schema, which: "update", values: page, async send(fields, key) {
      await api("PUT", url, fields, key);
      location.reload();
    } });
  },

  async act({ act: url, type, output }, label) {
    const schema = await schemaOf(type);
    const send = async (fields, key) => {
      const answer = await api("POST", url, fields, key);
      if (output && answer.type === output && answer.id !== page.id) return showAnswer(label, answer);
      location.reload();
    };
    openForm({ title: `${label} ${page.name || page.id}`, schemas, schema, which: "create", values: {}, send, button: label });
  },

  async delete({ delete: url }) {
    if (!await ask(`Delete ${page.name || page.id}?`, "Delete")) return;
    await api("DELETE", url);
    location.reload();
  },
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[type=button]");
  const command = button && Object.keys(commands).find((name) => name in button.dataset);
  if (!command) return;
  button.disabled = true;
  try {
    await commands[command](button.dataset, button.textContent);
  } catch (error) {
    fail(error);
  } finally {
    button.disabled = false;
  }
});

// --- filters ---

const filter = document.getElementById("filter");
if (filter) {
  const { field, modifier, value } = filter.elements;
  const offer = () => {
    modifier.replaceChildren(...field.selectedOptions[0].dataset.modifiers.split(" ").map((name) => new Option(name === "eq" ? "is" : name, name)));
    needsValue();
  };
  const needsValue = () => { value.hidden = modifier.value.endsWith("null"); };
  field.addEventListener("change", offer);
  modifier.addEventListener("change", needsValue);
  if ([...field.options].some((option) => option.value === "state")) field.value = "state";
  offer();
  filter.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = new URL(location.href);
    url.searchParams.delete("marker");
    url.searchParams.append(modifier.value === "eq" ? field.value : `${field.value}_${modifier.value}`, value.hidden ? "" : value.value);
    location.assign(url);
  });
}

// --- what is under way: look again, and show the page anew when something changed ---

const told = (resource) => JSON.stringify([resource.state, resource.transitioning, resource.transitioningMessage, resource.transitioningProgress]);

async function follow() {
  if (!document.hidden && !document.querySelector("dialog[open]")) {
    try {
      if (told(await api("GET", selfOf(page))) !== told(page)) return location.reload();
    } catch {
      // The server is away for a moment, or the thing is: the page stays as it was read.
    }
  }
  setTimeout(follow, FOLLOW_MS);
}
if (document.querySelector("[data-moving]")) setTimeout(follow, FOLLOW_MS);
