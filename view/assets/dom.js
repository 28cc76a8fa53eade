// Elements from text: nothing of a bundle is ever taken as HTML.

export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const by = (id) => document.getElementById(id);

export const number = (n) => n.toLocaleString("en");

export function count(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes}\u00a0B`;
  let value = bytes;
  for (const unit of ["KiB", "MiB", "GiB", "TiB"]) {
    value /= 1024;
    if (value < 1024 || unit === "TiB") return `${value.toFixed(1)}\u00a0${unit}`;
  }
  return "";
}

// What went wrong, in words that the server chose.
export class Trouble extends Error {}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    ended();
    throw new Trouble("The page has lost its connection.");
  }
  const json = await response.json().catch(() => ({}));
  if (!response.ok) throw new Trouble(json.error ?? `It did not work (${response.status}).`);
  return json;
}

export function ask(path, params = {}, signal = undefined) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, value);
  }
  return answer(fetch(`api/${path}?${query}`, { signal }));
}

export function tell(path, what) {
  return answer(
    fetch(`api/${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(what) }),
  );
}

export function notice(text) {
  const place = by("notice");
  if (!place) return;
  place.textContent = text;
  place.hidden = text === "";
}

export function ended() {
  notice("tracewell has stopped serving this page, after some time without use or because it was ended. Run “tracewell bundle view” again. What you struck out is kept.");
}
