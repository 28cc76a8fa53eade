// One member: its forms, its pages.

import { ask, by, count, el, number, size, Trouble } from "./dom.js";

const FORMS = { events: "Events", lines: "Text", tables: "Tables", summary: "Summary", bytes: "Bytes" };
const LEVELS = [["0", "all levels"], ["1", "errors"], ["2", "warnings and worse"], ["3", "information and worse"], ["4", "debug and worse"]];

let now = null;

// Opens a member: in a form, at a place, if they are given.
export async function open(member, at = {}) {
  const form = at.form && member.forms.includes(at.form) ? at.form : member.forms[0];
  now = { member, form, stack: [], filter: { level: "0", component: "", text: "" }, components: [] };
  frame();
  await show({ at: at.at ?? 0, line: at.line, found: at.found });
  by("view")?.focus({ preventScroll: true });
  // On narrow windows the content is below the list.
  if (matchMedia("(max-width: 900px)").matches) by("content").scrollIntoView();
}

function frame() {
  const { member, form } = now;
  const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Forms" }, member.forms.map((name) =>
    el("button", {
      type: "button", role: "tab", "aria-selected": String(name === form), "aria-controls": "view",
      tabindex: name === form ? "0" : "-1", "data-form": name,
      onclick: () => change(name),
      onkeydown: (event) => turn(event, name),
    }, FORMS[name])));
  const head = el("div", { class: "head" },
    el("div", { class: "bar" }, el("h2", {}, member.name), tabs),
    el("p", { class: "quiet" }, `${member.origin} · ${member.kind} · ${size(member.size)}`));
  const parts = [head];
  if (form === "events") parts.push(filters());
  parts.push(el("div", { id: "view", class: "view", tabindex: "0", role: "tabpanel", "aria-label": `Content of ${member.name}` }, el("p", { class: "quiet" }, "Reading…")));
  if (form !== "tables") parts.push(pager());
  by("member").replaceChildren(...parts);
}

async function change(form) {
  now.form = form;
  now.stack = [];
  frame();
  document.querySelector(`[data-form="${form}"]`)?.focus();
  await show({ at: 0 });
}

// Arrow keys between the forms.
function turn(event, name) {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const { forms } = now.member;
  change(forms[(forms.indexOf(name) + step + forms.length) % forms.length]);
}

function filters() {
  const level = el("select", { id: "level-wanted" }, LEVELS.map(([value, text]) => el("option", { value, selected: value === now.filter.level }, text)));
  const component = el("select", { id: "component-wanted" });
  const text = el("input", { id: "text-wanted", type: "search", maxlength: "200", value: now.filter.text, autocomplete: "off", spellcheck: "false", placeholder: "any text" });
  const apply = () => {
    now.filter = { level: level.value, component: component.value, text: text.value.trim() };
    now.stack = [];
    show({ at: 0 });
  };
  level.addEventListener("change", apply);
  component.addEventListener("change", apply);
  text.addEventListener("change", apply);
  fill(component);
  return el("div", { class: "filters", role: "group", "aria-label": "Which events" },
    el("label", {}, "Level ", level), el("label", {}, "Component ", component), el("label", {}, "With text ", text));
}

function fill(select = by("component-wanted")) {
  select?.replaceChildren(el("option", { value: "" }, "all"), ...now.components.map((name) => el("option", { value: name, selected: name === now.filter.component }, name)));
}

function pager() {
  const go = (id, text) => el("button", { type: "button", id }, text);
  const range = el("input", { type: "range", id: "page-place", min: "0", max: "1000", value: "0", "aria-label": "Place in the member" });
  return el("div", { class: "pager" }, go("page-first", "Start"), go("page-before", "Earlier"), go("page-next", "Later"), go("page-last", "End"), range, el("p", { id: "page-state", role: "status" }));
}

// Shows a page of the present form.
export async function show(at) {
  const mine = now;
  const { form } = mine;
  const view = by("view");
  try {
    const page = await { events, tables, lines, summary: lines, bytes }[form](at);
    if (mine !== now || mine.form !== form || page === null) return;
    view.replaceChildren(...page);
    view.scrollTop = 0;
    view.querySelector(".found")?.scrollIntoView({ block: "center" });
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    if (mine === now && mine.form === form) view.replaceChildren(el("p", { class: "trouble" }, error.message));
  }
}

function turns(page, state, { first = { at: 0 }, before, next, last, place }) {
  const set = (id, to) => {
    const button = by(id);
    button.hidden = to === undefined;
    button.disabled = !to;
    button.onclick = () => to && show(to);
  };
  set("page-first", before ? first : null);
  set("page-before", before);
  set("page-next", next);
  set("page-last", last);
  by("page-state").textContent = state;
  const range = by("page-place");
  range.hidden = place === undefined;
  if (place !== undefined) {
    range.value = page.size ? Math.round((1000 * place) / page.size) : 0;
    range.onchange = () => show({ at: Math.floor((page.size * Number(range.value)) / 1000), near: true });
  }
}

const percent = (part, whole) => (whole ? `${Math.floor((100 * part) / whole)} %` : "");

// Text, and what was made readable.
async function lines(at) {
  const { member, form } = now;
  const page = await ask("lines", { member: member.place, at: at.at, line: at.line, before: at.before ? "1" : "", form: form === "summary" ? form : "" });
  const first = page.rows[0];
  const last = page.rows.at(-1);
  const from = first?.at ?? 0;
  turns(page, first?.line && last?.line ? `Lines ${number(first.line)} to ${number(last.line)}, from ${percent(from, page.size)} of ${size(page.size)}` : `From ${percent(from, page.size)} of ${size(page.size)}`, {
    before: page.before && { ...page.before, before: true },
    next: page.next,
    last: page.next && { at: page.size, before: true },
    place: from,
  });
  if (!page.rows.length) return [el("p", { class: "quiet" }, page.size ? "Nothing more." : "It is empty.")];
  const rows = page.rows.map((row, index) =>
    el("tr", { class: at.found && index === 0 ? "found" : "" },
      el("td", { class: "number", title: row.goes_on ? "goes on with the line before" : null }, row.goes_on ? "…" : row.line ? number(row.line) : ""),
      el("td", {}, row.text)));
  return [el("table", { class: "lines" }, el("tbody", {}, rows))];
}

async function bytes(at) {
  const page = await ask("bytes", { member: now.member.place, at: at.at, before: at.before ? "1" : "" });
  const from = page.rows[0]?.at ?? 0;
  turns(page, page.rows.length ? `Bytes ${number(from)} to ${number(Math.min(page.size, page.rows.at(-1).at + 16))} of ${number(page.size)}` : "", {
    before: page.before && { ...page.before, before: true },
    next: page.next,
    last: page.next && { at: page.size, before: true },
    place: from,
  });
  if (!page.rows.length) return [el("p", { class: "quiet" }, "It is empty.")];
  const rows = page.rows.map((row) =>
    el("tr", { class: at.found && at.at >= row.at && at.at < row.at + 16 ? "found" : "" },
      el("td", { class: "number" }, row.at.toString(16).padStart(8, "0")), el("td", {}, row.hex), el("td", {}, row.text)));
  return [el("table", { class: "lines hex" }, el("tbody", {}, rows))];
}

const PERSONAL = { personal: "personal", secret: "secret" };

function details(row) {
  const who = [["process", row.pid ? `${row.component}, number ${row.pid}` : row.component], ["thread", row.thread ? `${row.thread}, number ${row.tid}` : String(row.tid)], ["category", row.category], ["time", row.time]];
  // What is personal first: that is what is looked for.
  const fields = [...row.fields.filter(([, , kind]) => kind), ...row.fields.filter(([, , kind]) => !kind)];
  const line = ([name, value, kind]) => el("tr", {}, el("th", { scope: "row" }, name),
    el("td", {}, el("span", { class: kind ? "is-personal" : "" }, value), kind ? el("span", { class: "tag" }, PERSONAL[kind]) : null));
  return el("tr", { class: "details" }, el("td", { colspan: "5" }, el("table", { class: "kv" }, el("tbody", {}, [...fields, ...who].map(line)))));
}

function event(row, found) {
  const toggle = el("button", { type: "button", class: "row", "aria-expanded": "false" }, row.time.slice(11, 23));
  const made = el("tr", { class: found ? "found" : "" },
    el("td", { class: "time" }, toggle), el("td", { class: `level level-${row.level}` }, row.level),
    el("td", { class: "name" }, row.component), el("td", { class: "name" }, row.event), el("td", { class: "what" }, row.unverified ? "(unverified) " : "", row.text));
  toggle.addEventListener("click", () => {
    const is = toggle.getAttribute("aria-expanded") === "true";
    toggle.setAttribute("aria-expanded", String(!is));
    if (is) made.nextElementSibling.remove();
    else made.after(details(row));
  });
  if (found) queueMicrotask(() => toggle.click());
  return made;
}

// A page of a trace is asked for until it has rows, or there are no more.
async function events(at) {
  const mine = now;
  let from = at.at;
  const rows = [];
  let page;
  do {
    const filter = { ...now.filter, level: now.filter.level === "0" ? "" : now.filter.level };
    page = await ask("events", { member: mine.member.place, at: from, ...filter });
    if (mine !== now || mine.form !== "events") return null;
    rows.push(...page.rows);
    if (page.components.length && page.components.join() !== mine.components.join()) {
      mine.components = page.components;
      fill();
    }
    from = page.next;
    by("page-state").textContent = `Read ${percent(page.done, page.size)} of ${size(page.size)}…`;
  } while (page.next !== null && rows.length < 200);
  const stack = at.stack ?? [];
  const first = rows[0]?.n;
  const filtered = mine.filter.level !== "0" || mine.filter.component || mine.filter.text;
  const state = !rows.length ? "" : filtered ? count(rows.length, "event") + (page.next === null ? "" : " on this page") : `Events ${number(first + 1)} to ${number(rows.at(-1).n + 1)}`;
  let before = null;
  if (stack.length) before = { at: stack.at(-1), stack: stack.slice(0, -1) };
  else if (at.at > 0) before = { at: filtered ? 0 : Math.max(0, at.at - 500) };
  turns(page, `${state}${page.next === null ? ", to the end" : `, ${percent(page.done, page.size)} of ${size(page.size)} read`}`, {
    before,
    next: page.next === null ? null : { at: page.next, stack: [...stack, at.at] },
  });
  const told = page.note ? [el("p", { class: "told" }, page.note)] : [];
  if (!rows.length) return [el("p", { class: "quiet" }, filtered ? "No event is like that." : "No events."), ...told];
  const names = ["Time (UTC)", "Level", "Component", "Event", "What happened"];
  const made = [];
  rows.forEach((row, index) => {
    const day = row.time.slice(0, 10);
    if (index === 0 || day !== rows[index - 1].time.slice(0, 10)) made.push(el("tr", { class: "day" }, el("th", { colspan: "5" }, day)));
    made.push(event(row, Boolean(at.found) && index === 0));
  });
  return [
    el("table", { class: "events" }, el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, made)),
    ...told,
  ];
}

// JSON documents.
async function tables() {
  const { member } = now;
  const root = await ask("tables", { member: member.place });
  if (!root.o) return [node(root, "", () => false)];
  const personal = marks(root.c.find(([key]) => key === "personal_fields")?.[1]);
  const parts = root.c.filter(([key, child]) => key !== "personal_fields" && !(["errors", "cut"].includes(key) && child.n === 0));
  const simple = parts.filter(([, child]) => !child.o && !child.a);
  const nested = parts.filter(([, child]) => child.o || child.a).sort(([a], [b]) => (b === "data") - (a === "data"));
  const made = [];
  if (simple.length) made.push(el("p", { class: "quiet told-first" }, simple.map(([key, child]) => `${words(key)}: ${child.s ?? child.v}`).join(" · ")));
  for (const [key, child, pointer] of nested) {
    const place = `/${pointer}`;
    made.push(el("section", { class: "part" }, el("h3", {}, HEADINGS[key] ?? words(key)), node(child, place, personal)));
  }
  if (root.c.length < root.n) made.push(more(root, "", personal));
  return made;
}

const HEADINGS = { data: "What was found", errors: "What could not be read", cut: "What was left out", ran_as: "Collected as" };

// Which parts a document calls personal: by paths, in which * is any part, or by names.
function marks(list) {
  const patterns = (list?.c ?? []).map((one) => {
    const part = (key) => one.c?.find(([name]) => name === key)?.[1].s;
    const path = one.s ?? part("path") ?? "";
    return { parts: path.startsWith("/") ? path.split("/").slice(1) : null, name: path, is: part("kind") !== "public" };
  });
  return (pointer) => {
    const parts = pointer.split("/").slice(1).map((one) => one.replaceAll("~1", "/").replaceAll("~0", "~"));
    const fits = ({ parts: wanted, name }) =>
      wanted ? wanted.length <= parts.length && wanted.every((one, at) => one === "*" || one === parts[at]) : parts.at(-1) === name;
    const found = patterns.filter(fits);
    return found.length > 0 && found.every(({ is }) => is);
  };
}

const words = (key) => key.replaceAll("_", " ");

function scalar(one, isPersonal, isTold = true) {
  const text = one.s ?? one.v ?? "";
  const cut = one.cut ? ` … and ${number(one.cut)} bytes more: see Text` : "";
  return [el("span", { class: isPersonal && text ? "is-personal" : "" }, text, cut), isPersonal && isTold && text ? el("span", { class: "tag" }, "personal") : null];
}

function node(one, pointer, personal, isTold = true) {
  if (!one.o && !one.a) return el("span", {}, scalar(one, personal(pointer), isTold));
  if (one.n === 0) return el("span", { class: "quiet" }, "none");
  if (!one.c) {
    return el("button", { type: "button", onclick: (event) => swap(event.target, pointer, personal) }, `Show ${count(one.n, "entry", "entries")}`);
  }
  const made = one.o ? pairs(one.c, pointer, personal) : items(one, pointer, personal);
  const end = (one.f ?? 0) + one.c.length;
  return end < one.n ? el("div", {}, made, more(one, pointer, personal)) : made;
}

function pairs(children, pointer, personal) {
  return el("table", { class: "kv" }, el("tbody", {}, children.map(([key, child, part]) =>
    el("tr", {}, el("th", { scope: "row" }, words(key)), el("td", {}, node(child, `${pointer}/${part}`, personal))))));
}

function items(one, pointer, personal) {
  const start = one.f ?? 0;
  const rows = one.c;
  const keys = [];
  const flat = rows.every((row) => row.o && row.c && row.n === row.c.length);
  if (flat) for (const row of rows) for (const [key] of row.c) if (!keys.includes(key)) keys.push(key);
  if (flat && keys.length && keys.length <= 12) {
    const isTold = (key) => rows.some((row, index) => row.c.some(([name, , part]) => name === key && personal(`${pointer}/${start + index}/${part}`)));
    return el("table", { class: "grid" },
      el("thead", {}, el("tr", {}, keys.map((key) => el("th", { scope: "col" }, words(key), isTold(key) ? el("span", { class: "tag" }, "personal") : null)))),
      el("tbody", {}, rows.map((row, index) => el("tr", {}, keys.map((key) => {
        const cell = row.c.find(([name]) => name === key);
        return el("td", {}, cell ? node(cell[1], `${pointer}/${start + index}/${cell[2]}`, personal, false) : "");
      })))));
  }
  if (rows.every((row) => !row.o && !row.a)) return el("ul", {}, rows.map((row, index) => el("li", {}, scalar(row, personal(`${pointer}/${start + index}`)))));
  return el("table", { class: "kv" }, el("tbody", {}, rows.map((row, index) =>
    el("tr", {}, el("th", { scope: "row" }, number(start + index + 1)), el("td", {}, node(row, `${pointer}/${start + index}`, personal))))));
}

// What comes after the children that are shown.
function more(one, pointer, personal) {
  const from = (one.f ?? 0) + one.c.length;
  return el("p", {}, el("button", { type: "button", onclick: (event) => swap(event.target, pointer, personal, from) }, `Show ${number(one.n - from)} more`));
}

async function swap(button, pointer, personal, from = 0) {
  button.disabled = true;
  try {
    const part = await ask("tables", { member: now.member.place, pointer, from });
    button.replaceWith(node(part, pointer, personal));
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    button.replaceWith(el("span", { class: "trouble" }, error.message));
  }
}
