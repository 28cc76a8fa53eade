// Searching in one member or all, a slice at a time.

import { ask, by, count, el, number, Trouble } from "./dom.js";

// Places that are listed before it waits to be told to go on.
const MOST = 500;

export function setUpFind({ memberAt, go, here }) {
  let running = null;
  let rest = null;
  let found = 0;

  const stop = () => {
    running?.abort();
    running = null;
    by("hits-stop").hidden = true;
  };

  async function place(hit) {
    const member = await memberAt(hit.member);
    const line = hit.line ? `, line ${number(hit.line)}` : hit.form === "bytes" ? `, byte ${number(hit.at)}` : "";
    return el(
      "li", {},
      el("button", { type: "button", onclick: () => go(member, { form: hit.form, at: hit.at, line: hit.line, found: true }) },
        el("span", { class: "where" }, member.name + line),
        el("span", { class: "mono" }, hit.before, hit.found ? el("mark", {}, hit.found) : "", hit.after)),
    );
  }

  async function run(text, only, cursor) {
    stop();
    const mine = new AbortController();
    running = mine;
    by("hits-stop").hidden = false;
    by("hits-more").hidden = true;
    const shown = found;
    const errors = [];
    try {
      while (cursor && found - shown < MOST) {
        const where = only === null ? await memberAt(cursor.member) : null;
        by("hits-state").textContent = `${count(found, "place")} so far${where ? `, looking in ${where.name}` : ""}…`;
        const slice = await ask("find", { text, member: only, on: cursor.member, on_at: cursor.at, on_lines: cursor.lines }, mine.signal);
        for (const hit of slice.hits) by("hits-list").append(await place(hit));
        found += slice.hits.length;
        errors.push(...slice.errors);
        cursor = slice.next;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Trouble)) throw error;
      by("hits-state").textContent = error.message;
      stop();
      return;
    }
    if (running !== mine) return;
    stop();
    rest = cursor ? { text, only, cursor } : null;
    by("hits-more").hidden = rest === null;
    const scope = only === null ? "all members" : (await memberAt(only)).name;
    const missed = errors.length ? ` ${count(errors.length, "member")} could not be searched to the end.` : "";
    by("hits-state").textContent = (rest ? `${number(found)} places, and there is more to look at.`
      : found ? `${count(found, "place")} in ${scope}.` : `“${text}” is not in ${scope}.`) + missed;
  }

  by("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = by("find-text").value.trim();
    if (!text) return;
    const only = by("find-where").value === "one" && here() ? here().place : null;
    found = 0;
    by("hits").hidden = false;
    by("hits-list").replaceChildren();
    run(text, only, { member: only ?? 0, at: 0, lines: 0 });
  });
  by("hits-stop").addEventListener("click", () => {
    stop();
    by("hits-state").textContent = `Stopped. ${count(found, "place")} so far.`;
  });
  by("hits-close").addEventListener("click", () => {
    stop();
    by("hits").hidden = true;
    by("find-text").focus();
  });
  by("hits-more").addEventListener("click", () => rest && run(rest.text, rest.only, rest.cursor));
}
