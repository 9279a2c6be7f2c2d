/**
 * Small custom elements over server-rendered text: <live-value>, <live-status>, <live-count>, <live-progress>,
 * <live-age>. Light DOM; all data is hostile, so it is only ever written as text.
 */

import { ago, levelOf, parts, wordOf } from "./format.js";
import { store } from "./live.js";

/** How an element asks for a number to be written: its attributes, or a binding's data-* ones. */
export function formatOf(element, prefix = "") {
  const read = (name) => element.getAttribute(prefix + name);
  return { format: read("format") ?? "si", unit: read("unit") ?? "", digits: Number(read("digits") ?? 4) };
}

/** Write a number and its unit; the unit stands in a <span class="unit"> so that it can be smaller. */
export function writeNumber(element, value, options) {
  const [number, unit] = parts(value, options);
  const wanted = unit ? `${number}\u202F${unit}` : number;
  if (element.textContent === wanted) return;
  element.replaceChildren(number);
  if (!unit) return;
  const span = document.createElement("span");
  span.className = "unit";
  span.textContent = `\u202F${unit}`;
  element.append(span);
}

/** Set the level, the shape and the word of a `.status` (templates/cotton/status.html). */
export function writeStatus(status, value, word) {
  const level = levelOf(value);
  if (status.dataset.level !== level) {
    status.dataset.level = level;
    const use = status.querySelector("use");
    if (use) use.setAttribute("href", `${use.getAttribute("href").split("#")[0]}#status-${level}`);
  }
  const label = status.querySelector(".word");
  const wanted = word ?? wordOf(value);
  if (label && label.textContent !== wanted) label.textContent = wanted;
}

/** An element bound to one key of the store. */
class KeyedElement extends HTMLElement {
  #undo = null;

  connectedCallback() {
    const key = this.getAttribute("key");
    if (!key) return;
    this.setAttribute("aria-live", "off");
    this.start?.();
    if (store.ready) this.write(store.get(key));
    this.#undo = store.on(key, (changes, meta) => {
      if (changes.has(key) || meta.first) this.write(changes.get(key) ?? null);
    });
  }

  disconnectedCallback() {
    this.#undo?.();
  }

  field(value) {
    const name = this.getAttribute("field") ?? "value";
    return value && Object.hasOwn(value, name) ? value[name] : null;
  }
}

class LiveValue extends KeyedElement {
  /** `raw` is the server's unformatted value: written in the same format as those that follow. */
  start() {
    const raw = this.getAttribute("raw");
    if (raw !== null) writeNumber(this, raw === "None" ? null : raw, formatOf(this));
  }

  write(value) {
    const options = formatOf(this);
    const unitField = this.getAttribute("unit-field");
    if (unitField && typeof value?.[unitField] === "string") options.unit = value[unitField];
    writeNumber(this, this.field(value), options);
  }
}

class LiveStatus extends KeyedElement {
  write(value) {
    const status = this.querySelector(".status");
    const wordField = this.getAttribute("word-field");
    if (status) writeStatus(status, this.field(value), wordField ? value?.[wordField] : undefined);
  }
}

class LiveProgress extends KeyedElement {
  write(value) {
    const done = this.field(value);
    const bar = this.querySelector("progress");
    if (bar && Number.isFinite(done)) bar.value = Math.min(1, Math.max(0, done)) * (bar.max || 1);
    const levelAt = Number(this.getAttribute("warn-above"));
    if (bar && levelAt) bar.dataset.level = done > 1 ? "critical" : done > levelAt ? "warning" : "ok";
    const text = this.querySelector("[data-percent]");
    if (text) writeNumber(text, done, { format: "percent", digits: Number(text.dataset.digits ?? 3) });
  }
}

/** How many keys of a prefix pass a filter such as `state=FIRING,ACKNOWLEDGED`; `level` when there is one. */
class LiveCount extends HTMLElement {
  #undo = null;

  connectedCallback() {
    const prefix = this.getAttribute("prefix") ?? "";
    this.#undo = store.on(prefix, () => this.#write(prefix));
    if (store.ready) this.#write(prefix);
  }

  disconnectedCallback() {
    this.#undo?.();
  }

  #write(prefix) {
    const wanted = filterOf(this.getAttribute("filter"));
    const count = store.entries(prefix).filter(([, value]) => wanted(value)).length;
    this.textContent = String(count);
    const host = this.closest("[data-count-level]");
    if (host) host.dataset.level = count ? host.dataset.countLevel : "ok";
    this.dispatchEvent(new CustomEvent("aii:count", { bubbles: true, detail: count }));
  }
}

/** The age of what the page shows, written only while it is stale. */
class LiveAge extends HTMLElement {
  #undo = null;

  connectedCallback() {
    this.#undo = store.onConnection(({ phase, age_ms, paused }) => {
      const old = paused || ["stale", "reconnecting", "closed"].includes(phase);
      const wanted = old && age_ms !== null ? ago(age_ms) : "";
      if (this.textContent !== wanted) this.textContent = wanted;
    });
  }

  disconnectedCallback() {
    this.#undo?.();
  }
}

/** "state=FIRING,ACKNOWLEDGED" as a predicate; no filter lets everything through. */
export function filterOf(rule) {
  if (!rule) return () => true;
  const [field, words] = rule.split("=", 2);
  const wanted = new Set((words ?? "").split(","));
  return (value) => wanted.has(String(value?.[field.trim()]));
}

customElements.define("live-value", LiveValue);
customElements.define("live-status", LiveStatus);
customElements.define("live-progress", LiveProgress);
customElements.define("live-count", LiveCount);
customElements.define("live-age", LiveAge);
