// The summary and the list of members.

import { ask, by, count, el, ended, notice, number, size, tell, Trouble } from "./dom.js";
import { open, show } from "./content.js";
import { setUpFind } from "./find.js";

const state = { bundle: null, members: new Map(), next: null, here: null };

function chips(place, all, word) {
  by(place).replaceChildren(...(all.length ? all.map((one) => el("li", {}, word(one))) : [el("li", {}, "none known")]));
}

const counted = ({ what, count: n }) => (n ? `${what}: ${number(n)}` : what);

const REPLACED = {
  user: "user names", host: "computer names", ip: "addresses", mac: "hardware addresses", mail: "mail addresses", url: "web addresses",
  path: "paths", uid: "user numbers", id: "identifiers", hash: "file digests", text: "other texts", number: "numbers",
  secret: "passwords, keys and tokens",
};

function showBundle(bundle) {
  state.bundle = bundle;
  const day = bundle.prepared_at.replace("T", " ").slice(0, 16);
  const parts = [bundle.name, `prepared ${day} UTC`, bundle.product !== "unknown" && bundle.product, bundle.case && `case ${bundle.case}`];
  by("about").textContent = parts.filter(Boolean).join(" · ");
  by("given").textContent = `${count(bundle.members, "member")}, ${size(bundle.bytes)}`;
  const out = bundle.struck ? `${count(bundle.struck, "member")} switched off` : "Nothing is switched off";
  by("given-more").textContent = bundle.closed ?? out;
  chips("personal", bundle.personal, (one) => (one.count ? counted(one) : `${one.what}: in ${count(one.members, "member")}`));
  chips("replaced", bundle.replaced.map((one) => ({ ...one, what: REPLACED[one.what] ?? one.what })), counted);
  by("level").textContent = {
    none: "Redaction is off: everything is as it was found.",
    standard: "As far as patterns find it: look at every member.",
    strict: "Strict. As far as patterns find it: look at every member.",
  }[bundle.redaction] ?? bundle.redaction;
  const skipped = bundle.skipped.map(({ what, why }) => el("li", {}, el("strong", {}, what), `: ${why}`));
  const struck = bundle.struck_before.map((name) => el("li", {}, el("strong", {}, name), ": struck out before it was sealed"));
  const all = [...struck, ...skipped];
  if (bundle.more_skipped) all.push(el("li", {}, `and ${number(bundle.more_skipped)} more`));
  by("skipped").replaceChildren(
    all.length
      ? el("details", {}, el("summary", {}, count(all.length, "thing")), el("ul", { class: "quiet" }, all))
      : el("p", { class: "quiet" }, "All that was asked for is there."),
  );
  for (const [name, heading] of groups) heading.update(bundle.groups.find((group) => group.name === name));
}

const GROUPS = {
  os: "Operating system", trace: "Traces", files: "Files", dump: "Memory dumps", dumps: "Memory dumps",
  notes: "Notes on this bundle", private: "For you alone, never given",
};
const groups = new Map();

function heading(name) {
  const button = el("button", { type: "button" });
  const text = el("span", { class: "quiet" });
  const made = el("div", { class: "group" }, el("h2", {}, GROUPS[name] ?? name, " ", text), button);
  let group = null;
  button.addEventListener("click", async () => {
    await strike({ group: name, struck: group.struck < group.members });
  });
  made.update = (now) => {
    group = now;
    if (!now) return;
    const all = now.struck >= now.members;
    text.textContent = `${number(now.members)}, ${size(now.bytes)}`;
    button.textContent = all ? "Give all" : "Give none";
    button.setAttribute("aria-label", `${button.textContent} of ${GROUPS[name] ?? name}`);
    button.hidden = now.private || state.bundle.closed !== null || now.members < 2;
  };
  return made;
}

// Strikes out or takes back; what is shown is what the bundle says afterwards.
async function strike(what) {
  try {
    const bundle = await tell("strike", what);
    for (const member of state.members.values()) {
      const is = what.group === undefined ? member.place === what.member : member.group === what.group;
      if (is && !member.private) member.struck = what.struck;
      member.update();
    }
    showBundle(bundle);
    notice("");
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    notice(error.message);
  }
}

function item(member) {
  const button = el("button", { type: "button", class: "open", onclick: () => go(member) }, member.name);
  const give = el("button", { type: "button", class: "switch", role: "switch", onclick: () => strike({ member: member.place, struck: !member.struck }) });
  const made = el(
    "div", { class: "item" }, button, give,
    el("p", { class: "more" }, `${size(member.size)} · ${member.kind} · ${member.origin}`),
    member.personal.length ? el("ul", { class: "chips personal", "aria-label": "Personal data it can hold" }, member.personal.map((one) => el("li", {}, counted(one)))) : null,
  );
  member.update = () => {
    made.classList.toggle("struck", member.struck);
    made.classList.toggle("here", state.here === member);
    if (state.here === member) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    give.textContent = member.struck ? "Not given" : "Give";
    give.setAttribute("aria-checked", String(!member.struck));
    give.setAttribute("aria-label", `Give ${member.name}`);
    give.hidden = member.private || state.bundle.closed !== null;
  };
  member.update();
  return made;
}

async function go(member, at = {}) {
  state.here = member;
  for (const other of state.members.values()) other.update();
  await open(member, at);
}

let asked = 0;

async function list(from = 0) {
  const mine = ++asked;
  const { members, next } = await ask("members", { from, text: by("wanted").value });
  // A newer question has been asked meanwhile.
  if (mine !== asked) return;
  const place = by("list");
  if (from === 0) {
    place.replaceChildren();
    groups.clear();
  }
  let last = place.dataset.group;
  for (const found of members) {
    const member = state.members.get(found.place) ?? found;
    Object.assign(member, found);
    state.members.set(member.place, member);
    if (from === 0 && !groups.size || member.group !== last) {
      if (!groups.has(member.group)) groups.set(member.group, heading(member.group));
      place.append(groups.get(member.group));
      groups.get(member.group).update(state.bundle.groups.find((group) => group.name === member.group));
      last = member.group;
    }
    place.append(item(member));
  }
  place.dataset.group = last ?? "";
  if (from === 0 && !members.length) place.append(el("p", { class: "quiet" }, "No member is like that."));
  state.next = next;
  by("more-members").hidden = next === null;
}

// A member that need not be listed yet.
async function memberAt(place) {
  if (!state.members.has(place)) {
    const { members } = await ask("members", { from: place });
    for (const member of members) if (!state.members.has(member.place)) state.members.set(member.place, Object.assign(member, { update() {} }));
  }
  return state.members.get(place);
}

async function done() {
  try {
    await tell("done", {});
  } catch {
    // It has ended already.
  }
  const next = state.bundle?.closed
    ? [el("p", {}, "The bundle is sealed. ", el("code", {}, "tracewell bundle send"), " shows what goes to whom, and asks you before it sends anything.")]
    : [
        el("p", {}, "What you switched off will not be given. Back in the terminal:"),
        el("p", {}, el("code", {}, "tracewell bundle seal"), " encrypts what is left, for support and for you."),
        el("p", {}, el("code", {}, "tracewell bundle send"), " shows what goes to whom, and asks you before it sends anything."),
      ];
  document.body.replaceChildren(el("main", { class: "end" }, el("h1", { tabindex: "-1" }, "Done. Nothing was sent."), ...next, el("p", { class: "quiet" }, "You can close this tab.")));
  document.querySelector("h1").focus();
}

by("done").addEventListener("click", done);
by("more-members").addEventListener("click", () => list(state.next));
let waiting = 0;
by("wanted").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => list().catch(() => ended()), 200);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.matches("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    by("find-text").focus();
  }
});
setUpFind({ memberAt, go, here: () => state.here, show });

try {
  showBundle(await ask("bundle"));
  await list();
  document.body.dataset.ready = "true";
} catch (error) {
  notice(error.message);
}
