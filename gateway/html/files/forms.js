// Forms made from a schema: an input for each field that may be given, after its type, options, default and limits.

import { api, dialog, element, fail, newKey } from "./api.js";

const FIRST = ["name", "imageUuid", "description"];
const MOST_OFFERED = 100;

const spread = (name) => {
  const text = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return text[0].toUpperCase() + text.slice(1);
};

const inner = (type) => (type.match(/^(?:array|map)\[(.*)\]$/) || ["", ""])[1];
const referred = (type) => (type.match(/reference\[(\w+)\]/) || ["", ""])[1];

// How each kind of value is asked for (control), shown (text) and read back (value).
const KINDS = [
  { of: (type) => type === "boolean", control: (field) => choice(["true", "false"], field), value: (text) => text === "true" },
  { of: (type, field) => field.options && !inner(type), control: (field) => choice(field.options, field), value: (text) => text },
  { of: (type) => ["int", "float"].includes(type), control: number, value: Number },
  { of: (type) => type.startsWith("array["), control: lines("One a line"), text: (value) => value.map(plain).join("\n"),
    value: (text, type) => text.split("\n").map((line) => line.trim()).filter(Boolean).map((line) => (inner(type) === "json" ? parsed(line) : line)) },
  { of: (type) => /^(map\[|json$)/.test(type), control: lines('JSON, such as {"key": "value"}'), text: (value) => JSON.stringify(value, null, 2), value: parsed },
  { of: (type) => type === "password", control: () => element("input", { type: "password", autocomplete: "new-password" }), value: (text) => text },
  { of: () => true, control: line, value: (text) => text },
];

const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError(`This is no JSON: ${text.slice(0, 60)}`);
  }
}

function choice(options, field) {
  const none = new Option(field.default === null || field.default === undefined ? "" : `as usual (${field.default})`, "");
  return element("select", {}, none, ...options.map((option) => new Option(option, option)));
}

function number(field) {
  const input = element("input", { type: "number", step: field.type === "int" ? "1" : "any" });
  if (field.min !== null) input.min = field.min;
  if (field.max !== null) input.max = field.max;
  return usual(input, field);
}

function line(field) {
  const input = element("input", { type: "text", autocomplete: "off" });
  if (field.maxLength !== null) input.maxLength = field.maxLength;
  if (field.minLength !== null) input.minLength = field.minLength;
  if (field.type === "date") input.placeholder = "2030-01-31T12:00:00Z";
  return usual(input, field);
}

function lines(placeholder) {
  return () => element("textarea", { rows: 3, placeholder, spellcheck: false });
}

function usual(input, field) {
  if (field.default !== null && field.default !== undefined) input.placeholder = `${plain(field.default)} as usual`;
  return input;
}

// What a reference may name is looked up when its input is first entered, and offered by name.
function offer(input, type, schemas) {
  const list = element("datalist", { id: `offered-${input.id}` });
  input.setAttribute("list", list.id);
  input.placeholder = `${spread(type)}: its id`;
  input.addEventListener("focus", async () => {
    try {
      const schema = await api("GET", `${schemas}/${encodeURIComponent(type)}`);
      if (!schema.links.collection) return;
      const found = await api("GET", `${new URL(schema.links.collection).pathname}?limit=${MOST_OFFERED}`);
      list.append(...found.data.map((each) => element("option", { value: each.id, label: each.name ? `${each.name} (${each.id})` : each.id })));
    } catch {
      // Nothing to offer: an id can be written all the same.
    }
  }, { once: true });
  return list;
}

function row(name, field, value, schemas) {
  const kind = KINDS.find((each) => each.of(field.type, field));
  const input = kind.control(field);
  input.id = `field-${name}`;
  input.name = name;
  if (value !== null && value !== undefined) input.value = (kind.text || plain)(value);
  const list = referred(field.type) && input.tagName === "INPUT" ? offer(input, referred(field.type), schemas) : null;
  const label = element("label", { htmlFor: input.id, title: `${name}: ${field.type}` }, spread(name));
  const wrong = element("p", { className: "wrong", role: "alert" });
  const before = input.value;
  return {
    name, input, needed: field.required && !field.default,
    element: element("div", { className: "field" }, label, input, list, wrong),
    complain: (message) => { wrong.textContent = message; if (message) input.focus(); },
    // Only what was given, or changed: everything else is the server's to say.
    read(fields, which) {
      if (which === "update" ? input.value === before : input.value === "") return;
      fields[name] = input.value === "" ? null : kind.value(input.value, field.type);
    },
  };
}

export function openForm({ title, schemas, schema, which, values, send, button }) {
  const fields = Object.entries(schema ? schema.resourceFields : {}).filter(([name, field]) => field[which] && name !== "id");
  const rows = fields.map(([name, field]) => row(name, field, values[name], schemas));
  const rank = (each) => (FIRST.includes(each.name) ? FIRST.indexOf(each.name) : FIRST.length);
  const shown = rows.filter((each) => each.needed || FIRST.includes(each.name) || each.input.value).sort((a, b) => rank(a) - rank(b));
  const rest = rows.filter((each) => !shown.includes(each));
  if (which === "create") for (const each of shown) if (each.needed) each.element.classList.add("needed");

  const wrong = element("p", { className: "wrong", role: "alert" });
  const submit = element("button", { textContent: button || (which === "update" ? "Save" : "Create") });
  const more = shown.length ? element("details", {}, element("summary", { textContent: `${rest.length} more fields` }), ...rest.map((each) => each.element)) : null;
  const form = element("form", {}, ...shown.map((each) => each.element), ...(more ? [rest.length ? more : null] : rest.map((each) => each.element)), wrong, element("div", { className: "buttons" }, submit));
  const box = dialog(title, form);
  const key = newKey();
  let sent = "";
  let lastKey = key;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    wrong.textContent = "";
    for (const each of rows) each.complain("");
    let reading = null;
    try {
      const given = {};
      for (reading of rows) reading.read(given, which);
      reading = null;
      // The same once more (after a lost answer) is the same request; anything else is a new one.
      const text = JSON.stringify(given);
      if (sent && text !== sent) lastKey = newKey();
      sent = text;
      await send(given, lastKey);
      if (box.open) box.close();
    } catch (error) {
      const at = reading || rows.find((each) => each.name === error.field);
      if (at) {
        if (more && rest.includes(at)) more.open = true;
        at.complain(error.message);
      } else {
        wrong.textContent = error.message;
      }
    } finally {
      submit.disabled = false;
    }
  });
  return box;
}

export function showAnswer(title, answer) {
  if (!answer) return fail(new Error("There is no answer."));
  return dialog(title, element("pre", { textContent: JSON.stringify(answer, null, 2) }));
}
